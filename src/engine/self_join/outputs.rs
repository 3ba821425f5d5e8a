//! Where what the tasks have found comes out: where it was found, or groups in the partition of their hash.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use datafusion::arrow::array::RecordBatch;
use datafusion::arrow::datatypes::SchemaRef;
use datafusion::common::{DataFusionError, Result, internal_err};
use datafusion::physical_expr::Partitioning;
use datafusion::physical_plan::stream::RecordBatchReceiverStreamBuilder;
use tokio::sync::Semaphore;
use tokio::sync::mpsc::Sender;

/// Batches of pairs that wait for somebody to take them.
const WAITING: usize = 2;

/// The outputs that a task gives to: its own, or by number those of all partitions.
pub(super) struct Outputs(Vec<Sender<Result<RecordBatch>>>);

impl Outputs {
    /// Gives a batch to an output; whether it is wanted.
    pub(super) async fn give(&self, output: usize, batch: RecordBatch) -> bool {
        self.0[output].send(Ok(batch)).await.is_ok()
    }

    /// Says why nothing more comes. To all: what one of them has is not all that there is.
    pub(super) async fn fail(&self, error: DataFusionError) {
        let error = Arc::new(error);
        for output in &self.0 {
            // Who does not listen any more need not know.
            let _ = output.send(Err(DataFusionError::from(&error))).await;
        }
    }
}

/// The streams of all partitions, each with the outputs of its task, until they are asked for.
pub(super) struct Streams(Mutex<Vec<Option<(RecordBatchReceiverStreamBuilder, Outputs)>>>);

impl Streams {
    pub(super) fn new(schema: &SchemaRef, partitioning: &Partitioning) -> Self {
        let partitions = 0..partitioning.partition_count();
        let of = |waiting: usize| RecordBatchReceiverStreamBuilder::new(Arc::clone(schema), waiting);
        let streams = match partitioning {
            Partitioning::Hash(..) => {
                // Groups are given when all are counted, and no task may wait for one partition to be emptied before it
                // gives to another: they may be asked for in turn.
                let streams: Vec<_> = partitions.map(|_| of(Semaphore::MAX_PERMITS)).collect();
                let all = || Outputs(streams.iter().map(RecordBatchReceiverStreamBuilder::tx).collect());
                let outputs: Vec<Outputs> = streams.iter().map(|_| all()).collect();
                streams.into_iter().zip(outputs).map(Some).collect()
            }
            _ => {
                let own = |stream: RecordBatchReceiverStreamBuilder| (Outputs(vec![stream.tx()]), stream);
                partitions.map(|_| own(of(WAITING))).map(|(output, stream)| Some((stream, output))).collect()
            }
        };
        Self(Mutex::new(streams))
    }

    /// That of a partition, and where its task gives to.
    pub(super) fn take(&self, partition: usize) -> Result<(RecordBatchReceiverStreamBuilder, Outputs)> {
        let mut streams = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match streams.get_mut(partition).and_then(Option::take) {
            Some(stream) => Ok(stream),
            None => internal_err!("IntervalSelfJoinExec: partition {partition} is asked for twice, or there is none"),
        }
    }
}

impl fmt::Debug for Streams {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Streams").finish_non_exhaustive()
    }
}
