//! Where what the tasks have found comes out: where it was found, or groups in the partition of their hash.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use datafusion::arrow::array::RecordBatch;
use datafusion::arrow::datatypes::SchemaRef;
use datafusion::common::runtime::SpawnedTask;
use datafusion::common::{DataFusionError, Result, internal_err};
use datafusion::execution::SendableRecordBatchStream;
use datafusion::execution::memory_pool::MemoryReservation;
use datafusion::physical_expr::Partitioning;
use datafusion::physical_plan::stream::{RecordBatchReceiverStreamBuilder, RecordBatchStreamAdapter};
use futures::TryStreamExt;
use tokio::sync::Semaphore;
use tokio::sync::mpsc::Sender;

/// Batches of pairs that wait for somebody to take them.
const WAITING: usize = 2;

/// The outputs that a task gives to: its own, or by number those of all partitions.
pub(super) struct Outputs {
    senders: Vec<Sender<Result<RecordBatch>>>,
    /// What waits in all outputs, where that can be much.
    waiting: Option<Arc<MemoryReservation>>,
}

impl Outputs {
    /// Gives a batch to an output; whether it is wanted.
    pub(super) async fn give(&self, output: usize, batch: RecordBatch) -> bool {
        let bytes = batch.get_array_memory_size();
        if let Some(waiting) = &self.waiting {
            // It is in memory already, counted or not.
            waiting.grow(bytes);
        }
        let given = self.senders[output].send(Ok(batch)).await.is_ok();
        if let Some(waiting) = self.waiting.as_ref().filter(|_| !given) {
            waiting.shrink(bytes);
        }
        given
    }

    /// Says why nothing more comes. To all: what one of them has is not all that there is.
    pub(super) async fn fail(&self, error: DataFusionError) {
        let error = Arc::new(error);
        for output in &self.senders {
            // Who does not listen any more need not know.
            let _ = output.send(Err(DataFusionError::from(&error))).await;
        }
    }
}

/// The tasks of all partitions. They end early only when nobody has any of the streams any more: each of them finds groups of
/// every partition.
type Tasks = Arc<Mutex<Vec<SpawnedTask<Result<()>>>>>;

/// The stream of a partition that is not asked for yet, and where its task gives to.
type Waiting = (RecordBatchReceiverStreamBuilder, Outputs);

/// The streams of all partitions.
pub(super) struct Streams(Mutex<Left>);

struct Left {
    waiting: Vec<Option<Waiting>>,
    /// Where groups come out by hash, and not all streams have been asked for.
    tasks: Option<Tasks>,
    /// What waits in the outputs, there.
    memory: Arc<MemoryReservation>,
}

impl Streams {
    pub(super) fn new(schema: &SchemaRef, partitioning: &Partitioning, memory: MemoryReservation) -> Self {
        let memory = Arc::new(memory);
        let partitions = 0..partitioning.partition_count();
        let of = |waiting: usize| RecordBatchReceiverStreamBuilder::new(Arc::clone(schema), waiting);
        let (waiting, tasks) = match partitioning {
            Partitioning::Hash(..) => {
                // Groups are given when all are counted, and no task may wait for one partition to be emptied before it
                // gives to another: they may be asked for in turn.
                let streams: Vec<_> = partitions.map(|_| of(Semaphore::MAX_PERMITS)).collect();
                let all = || Outputs {
                    senders: streams.iter().map(RecordBatchReceiverStreamBuilder::tx).collect(),
                    waiting: Some(Arc::clone(&memory)),
                };
                let outputs: Vec<Outputs> = streams.iter().map(|_| all()).collect();
                (streams.into_iter().zip(outputs).map(Some).collect(), Some(Tasks::default()))
            }
            _ => {
                let streams = partitions.map(|_| {
                    let stream = of(WAITING);
                    let output = Outputs { senders: vec![stream.tx()], waiting: None };
                    Some((stream, output))
                });
                (streams.collect(), None)
            }
        };
        Self(Mutex::new(Left { waiting, tasks, memory }))
    }

    /// The stream of a partition, whose task `run` begins.
    pub(super) fn begin<T>(&self, partition: usize, run: impl FnOnce(Outputs) -> T) -> Result<SendableRecordBatchStream>
    where
        T: Future<Output = Result<()>> + Send + 'static,
    {
        let mut left = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let Some((mut stream, outputs)) = left.waiting.get_mut(partition).and_then(Option::take) else {
            return internal_err!("IntervalSelfJoinExec: partition {partition} is asked for twice, or there is none");
        };
        let task = run(outputs);
        let Some(tasks) = left.tasks.clone() else {
            stream.spawn(task);
            return Ok(stream.build());
        };
        if left.waiting.iter().all(Option::is_none) {
            left.tasks = None;
        }
        tasks.lock().unwrap_or_else(PoisonError::into_inner).push(SpawnedTask::spawn(task));
        let stream = stream.build();
        let (schema, memory) = (stream.schema(), Arc::clone(&left.memory));
        let held = stream.inspect_ok(move |taken| {
            let _held = &tasks;
            memory.shrink(taken.get_array_memory_size());
        });
        Ok(Box::pin(RecordBatchStreamAdapter::new(schema, held)))
    }
}

impl fmt::Debug for Streams {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Streams").finish_non_exhaustive()
    }
}
