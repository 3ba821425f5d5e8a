//! One partition of the join as a stream.

use datafusion::arrow::array::RecordBatch;
use datafusion::common::{JoinSide, Result};
use datafusion::execution::SendableRecordBatchStream;
use datafusion::physical_expr::PhysicalExprRef;
use datafusion::physical_plan::metrics::{
    BaselineMetrics, Count, ExecutionPlanMetricsSet, MetricBuilder, RecordOutput, Time,
};
use futures::{Stream, StreamExt};

use super::once::SharedTable;
use super::output::{Output, Sides};
use super::probe::Probe;
use super::sequence::Sequence;
use super::table::Table;

/// What the probe side did.
pub(super) struct ProbeMetrics {
    baseline: BaselineMetrics,
    time: Time,
    batches: Count,
    rows: Count,
    candidates: Count,
}

impl ProbeMetrics {
    pub(super) fn new(metrics: &ExecutionPlanMetricsSet, partition: usize) -> Self {
        Self {
            baseline: BaselineMetrics::new(metrics, partition),
            time: MetricBuilder::new(metrics).subset_time("join_time", partition),
            batches: MetricBuilder::new(metrics).counter("input_batches", partition),
            rows: MetricBuilder::new(metrics).counter("input_rows", partition),
            candidates: MetricBuilder::new(metrics).counter("candidate_pairs", partition),
        }
    }
}

/// The join of one partition.
pub(super) struct Joining {
    pub(super) build: SharedTable,
    pub(super) build_side: JoinSide,
    pub(super) sequence: Sequence,
    pub(super) input: SendableRecordBatchStream,
    pub(super) on: Vec<PhysicalExprRef>,
    pub(super) output: Output,
    pub(super) batch_size: usize,
    /// Rows to give at most.
    pub(super) fetch: Option<usize>,
    pub(super) metrics: ProbeMetrics,
    /// The batch that is being looked up.
    pub(super) probe: Option<Probe>,
    /// Whether the probe side has ended.
    pub(super) ended: bool,
}

impl Joining {
    pub(super) fn into_stream(self) -> impl Stream<Item = Result<RecordBatch>> + Send {
        futures::stream::try_unfold(self, |mut joining| async move {
            let batch = joining.next().await?;
            Ok(batch.map(|batch| (batch, joining)))
        })
    }

    /// The next rows. Work is done in steps of at most one probe batch or one batch of candidates; other tasks, and
    /// cancelling, have a chance after each.
    async fn next(&mut self) -> Result<Option<RecordBatch>> {
        let table = self.build.clone().get().await?;
        while self.fetch != Some(0) {
            if let Some(batch) = self.output.next()? {
                return Ok(Some(self.give(batch)));
            }
            if self.probe.is_some() {
                self.step(&table)?;
                tokio::task::consume_budget().await;
            } else if self.ended {
                return Ok(None);
            } else {
                self.advance(&table).await?;
            }
        }
        Ok(None)
    }

    /// Takes the next batch of the probe side.
    async fn advance(&mut self, table: &Table) -> Result<()> {
        // Nothing can match nothing: the probe side need not be read.
        let batch = if table.is_empty() { None } else { self.input.next().await.transpose()? };
        let _compute = self.metrics.baseline.elapsed_compute().timer();
        let _join = self.metrics.time.timer();
        let Some(batch) = batch else {
            self.ended = true;
            return self.output.finish();
        };
        self.metrics.batches.add(1);
        self.metrics.rows.add(batch.num_rows());
        let time_column = self.sequence.time_column(self.build_side.negate());
        self.probe = Some(Probe::try_new(batch, &self.on, time_column, table)?);
        Ok(())
    }

    /// Takes at most a batch of candidates from the batch that is being looked up.
    fn step(&mut self, table: &Table) -> Result<()> {
        let Some(probe) = &mut self.probe else { return Ok(()) };
        let _compute = self.metrics.baseline.elapsed_compute().timer();
        let _join = self.metrics.time.timer();
        match probe.pairs(table, &self.sequence, self.build_side, self.batch_size) {
            Some(pairs) => {
                self.metrics.candidates.add(pairs.build.len());
                let sides = Sides { build_side: self.build_side, build: table.batch(), probe: probe.batch() };
                self.output.push(sides, pairs)
            }
            None => {
                self.probe = None;
                Ok(())
            }
        }
    }

    fn give(&mut self, batch: RecordBatch) -> RecordBatch {
        let batch = match &mut self.fetch {
            Some(left) => {
                let batch = batch.slice(0, batch.num_rows().min(*left));
                *left -= batch.num_rows();
                batch
            }
            None => batch,
        };
        batch.record_output(&self.metrics.baseline)
    }
}
