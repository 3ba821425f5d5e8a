//! One task of the join: reads parts, joins slices, gives rows.

use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex, PoisonError};

use datafusion::common::{Result, exec_err};
use datafusion::execution::TaskContext;
use datafusion::execution::memory_pool::MemoryReservation;
use datafusion::physical_expr::Partitioning;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::metrics::{
    BaselineMetrics, Count, ExecutionPlanMetricsSet, Gauge, MetricBuilder, RecordOutput, Time,
};
use datafusion::physical_plan::repartition::BatchPartitioner;
use futures::{FutureExt, StreamExt};

use super::codes::Codes;
use super::count::{CountSpec, Counter};
use super::gather::Pairs;
use super::index::{INDEXING_AN_EVENT, Index, Match, Passed};
use super::line::{Kept, Line, Slice};
use super::outputs::Outputs;
use super::own::Own;
use super::pairs::{Apart, Output};
use super::rows::{Reader, Rows};
use super::schedule::{Part, Schedule};
use super::spec::Spec;
use crate::engine::session::AllRead;
use crate::lake::PartTimes;

/// Candidate pairs after which other tasks, and cancelling, have a chance.
const MUCH: usize = 1 << 20;

impl Kept for Rows {
    fn bounds(&self) -> (i64, i64) {
        self.bounds
    }

    fn len(&self) -> usize {
        self.times.len()
    }
}

/// What the tasks of a run share.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) schedule: Mutex<Schedule<Rows>>,
    /// By partition of the scan.
    pub(super) times: Arc<[PartTimes]>,
    pub(super) codes: Arc<Codes>,
    /// The consumer that all reservations belong to.
    pub(super) memory: MemoryReservation,
    /// Who waits for the last part to be taken.
    pub(super) all_read: Option<Arc<AllRead>>,
}

impl Shared {
    fn schedule<T>(&self, act: impl FnOnce(&mut Schedule<Rows>) -> T) -> T {
        act(&mut self.schedule.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// What a task did.
pub(super) struct Metrics {
    baseline: BaselineMetrics,
    read_time: Time,
    join_time: Time,
    parts: Count,
    slices: Count,
    first_rows: Count,
    later_rows: Count,
    pruned_rows: Count,
    pairs: Count,
    /// Bytes that the whole pool has given out, at the most that was seen.
    memory: Gauge,
}

impl Metrics {
    pub(super) fn new(metrics: &ExecutionPlanMetricsSet, partition: usize) -> Self {
        let count = |name: &'static str| MetricBuilder::new(metrics).counter(name, partition);
        let time = |name: &'static str| MetricBuilder::new(metrics).subset_time(name, partition);
        Self {
            baseline: BaselineMetrics::new(metrics, partition),
            read_time: time("sides_time"),
            join_time: time("join_time"),
            parts: count("parts"),
            slices: count("slices"),
            first_rows: count("probe_rows"),
            later_rows: count("build_rows"),
            pruned_rows: count("pruned_rows"),
            pairs: count("pairs"),
            memory: MetricBuilder::new(metrics).gauge("pool_mem_used", partition),
        }
    }
}

/// What becomes of pairs.
enum Sink {
    Rows(Output),
    Counts(Box<Counter>),
}

/// One task.
pub(super) struct Task {
    spec: Arc<Spec>,
    scan: Arc<dyn ExecutionPlan>,
    context: Arc<TaskContext>,
    shared: Arc<Shared>,
    sink: Sink,
    /// Tells the output of a group; without it there is one.
    partitioner: Option<BatchPartitioner>,
    passed: Passed,
    batch_size: usize,
    metrics: Metrics,
}

impl Task {
    pub(super) fn new(
        spec: Arc<Spec>,
        count: Option<Arc<CountSpec>>,
        scan: Arc<dyn ExecutionPlan>,
        context: Arc<TaskContext>,
        shared: Arc<Shared>,
        metrics: Metrics,
        partitioning: &Partitioning,
    ) -> Result<Self> {
        let batch_size = context.session_config().batch_size();
        let sink = match count {
            None => Sink::Rows(Output::new(Arc::clone(&spec), batch_size)),
            Some(count) => {
                let (codes, memory) = (Arc::clone(&shared.codes), shared.memory.new_empty());
                Sink::Counts(Box::new(Counter::new(Arc::clone(&spec), count, codes, memory)))
            }
        };
        let partitioner = match partitioning {
            Partitioning::Hash(by, partitions) => {
                let time = metrics.baseline.elapsed_compute().clone();
                Some(BatchPartitioner::new_hash_partitioner(by.clone(), *partitions, time)?)
            }
            _ => None,
        };
        Ok(Self { spec, scan, context, shared, sink, partitioner, passed: Passed::default(), batch_size, metrics })
    }

    /// Gives rows until there are no more, or nobody wants them.
    pub(super) async fn run(mut self, outputs: Outputs) -> Result<()> {
        // Who waits for groups of this task would take its end for that of all that it has.
        let ended = AssertUnwindSafe(self.give_all(&outputs)).catch_unwind().await;
        if let Err(error) = ended.unwrap_or_else(|_| exec_err!("IntervalSelfJoinExec: a task has panicked")) {
            outputs.fail(error).await;
        }
        Ok(())
    }

    async fn give_all(&mut self, outputs: &Outputs) -> Result<()> {
        while let Some(part) = self.shared.schedule(Schedule::next) {
            self.metrics.parts.add(1);
            let Some(rows) = self.read(part, outputs).await? else { return Ok(()) };
            let slice = self.shared.schedule(|schedule| schedule.finish(part, rows));
            if let Some(slice) = slice
                && !self.join(slice, outputs).await?
            {
                return Ok(());
            }
        }
        if let Some(all_read) = &self.shared.all_read {
            all_read.tell();
        }
        match &mut self.sink {
            Sink::Rows(rows) => {
                rows.finish()?;
                self.give_completed(outputs).await;
            }
            Sink::Counts(counter) => {
                let partitioner = self.partitioner.take();
                for (output, groups) in counter.finish(partitioner)? {
                    // All at once: what merges lists takes over those that come whole.
                    outputs.give(output, groups.record_output(&self.metrics.baseline)).await;
                }
            }
        }
        Ok(())
    }

    /// Turns pairs into rows, and gives those that are enough for a batch; whether more are wanted.
    async fn push(&mut self, index: &Index<'_>, pairs: Pairs, outputs: &Outputs) -> Result<bool> {
        self.metrics.pairs.add(pairs.len());
        if let Sink::Rows(rows) = &mut self.sink {
            rows.push(index.rows(), &pairs)?;
        }
        let wanted = self.give_completed(outputs).await;
        tokio::task::consume_budget().await;
        Ok(wanted)
    }

    /// Gives the batches of pairs that are full; whether more are wanted.
    async fn give_completed(&mut self, outputs: &Outputs) -> bool {
        let Sink::Rows(rows) = &mut self.sink else { return true };
        while let Some(batch) = rows.next() {
            if !outputs.give(0, batch.record_output(&self.metrics.baseline)).await {
                return false;
            }
        }
        true
    }

    /// Reads a part of the scan, and joins on the way what is its own, while it is in the cache. The rows that are left
    /// for the schedule; `None` when nobody wants more.
    async fn read(&mut self, part: Part, outputs: &Outputs) -> Result<Option<Vec<Arc<Rows>>>> {
        let (spec, shared) = (Arc::clone(&self.spec), Arc::clone(&self.shared));
        let times = &shared.times[part.partition];
        let own = Own::of(part.alone, times.bounds, spec.span);
        let mut line = Line::new(own.map_or(i64::MIN, |own| own.from), spec.span);
        let mut input = self.scan.execute(part.partition, Arc::clone(&self.context))?;
        let mut reader = Reader::new(&spec, &shared.codes, &shared.memory);
        let mut left = Vec::new();
        let mut read = 0;
        while let Some(batch) = input.next().await.transpose()? {
            let rows = {
                let _compute = self.metrics.baseline.elapsed_compute().timer();
                let _read = self.metrics.read_time.timer();
                reader.read(&batch)?.map(Arc::new)
            };
            let promised = times.from(read);
            read += batch.num_rows() as u64;
            // A scan that has its bytes never waits. Reads ahead that it has begun are tasks of this thread until it gives way.
            tokio::task::yield_now().await;
            if let Some(rows) = rows {
                if rows.bounds.0 < promised {
                    return Err(times.broken(promised, rows.bounds.0));
                }
                if own.is_none_or(|own| own.is_more_than(rows.bounds)) {
                    left.push(Arc::clone(&rows));
                }
                line.keep(own.map(|_| rows));
            }
            let Some(own) = own else { continue };
            let Some(to) = times.from(read).checked_sub(1).map(|to| to.min(own.to)) else { continue };
            if line.is_worth_it(to)
                && let Some(slice) = line.finish(to)
                && !self.join(slice, outputs).await?
            {
                return Ok(None);
            }
        }
        let Some(own) = own else { return Ok(Some(left)) };
        if let Some(slice) = line.finish(own.to)
            && !self.join(slice, outputs).await?
        {
            return Ok(None);
        }
        drop(line);
        if let Sink::Counts(counter) = &mut self.sink {
            counter.let_go()?;
        }
        left.into_iter().map(|rows| own.take_from(rows).map(Arc::new)).collect::<Result<_>>().map(Some)
    }

    /// Joins a slice; whether anyone wants more.
    async fn join(&mut self, slice: Slice<Rows>, outputs: &Outputs) -> Result<bool> {
        let memory = self.shared.memory.new_empty();
        memory.try_grow(slice.rows.iter().map(|rows| rows.then.len()).sum::<usize>() * INDEXING_AN_EVENT)?;
        self.metrics.slices.add(1);
        let spec = Arc::clone(&self.spec);
        let index = {
            let _compute = self.metrics.baseline.elapsed_compute().timer();
            let _join = self.metrics.join_time.timer();
            Index::new(&spec, &slice)?
        };
        self.metrics.later_rows.add(index.places().len());
        memory.try_resize(memory.size().max(index.size()))?;
        self.metrics.memory.set_max(self.context.memory_pool().reserved());
        if index.is_empty() {
            return Ok(true);
        }
        let mut found = Vec::with_capacity(index.rows().len());
        for batch in 0..index.rows().len() {
            let matches = find(&index, batch, &mut self.passed, &self.metrics);
            memory.try_grow(matches.capacity() * size_of::<Match>())?;
            found.push(matches);
            tokio::task::consume_budget().await;
        }
        let reached = {
            let _compute = self.metrics.baseline.elapsed_compute().timer();
            let _join = self.metrics.join_time.timer();
            index.reached(found.iter().flatten())
        };
        if reached.is_empty() {
            return Ok(true);
        }
        match &mut self.sink {
            Sink::Counts(counter) => {
                let events = counter.begin(&spec, &index, &reached)?;
                for found in found {
                    let mut left = found.as_slice();
                    while !left.is_empty() {
                        let done = {
                            let _compute = self.metrics.baseline.elapsed_compute().timer();
                            let _join = self.metrics.join_time.timer();
                            let (done, pairs) = counter.add(&events, left, MUCH)?;
                            self.metrics.pairs.add(pairs as usize);
                            done
                        };
                        left = &left[done..];
                        tokio::task::consume_budget().await;
                    }
                    tokio::task::consume_budget().await;
                }
                counter.end()?;
            }
            Sink::Rows(_) => {
                let apart = Apart::new(&spec, &index, &reached)?;
                let mut pairs = Pairs::default();
                for found in found {
                    let firsts = apart.firsts(&index, &found)?;
                    for (number, each) in found.iter().enumerate() {
                        for event in index.later(each) {
                            let event = *event as usize;
                            if !apart.differ(&firsts, number, event) {
                                continue;
                            }
                            pairs.push(each.first, index.places()[event]);
                            if pairs.len() == self.batch_size
                                && !self.push(&index, std::mem::take(&mut pairs), outputs).await?
                            {
                                return Ok(false);
                            }
                        }
                    }
                    tokio::task::consume_budget().await;
                }
                return self.push(&index, pairs, outputs).await;
            }
        }
        Ok(true)
    }
}

/// The matches of a batch's first events.
fn find(index: &Index<'_>, batch: usize, passed: &mut Passed, metrics: &Metrics) -> Vec<Match> {
    let _compute = metrics.baseline.elapsed_compute().timer();
    let _join = metrics.join_time.timer();
    let (found, asked, passed) = index.matches(batch, passed);
    metrics.first_rows.add(asked);
    metrics.pruned_rows.add(asked - passed);
    found
}
