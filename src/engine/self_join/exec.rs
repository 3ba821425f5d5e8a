//! The plan node.

use std::fmt;
use std::sync::{Arc, Mutex, OnceLock};

use datafusion::arrow::datatypes::SchemaRef;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::common::{Result, internal_err};
use datafusion::execution::memory_pool::MemoryConsumer;
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_expr::expressions::Column;
use datafusion::physical_expr::{EquivalenceProperties, Partitioning, PhysicalExpr};
use datafusion::physical_plan::execution_plan::{Boundedness, EmissionType};
use datafusion::physical_plan::metrics::{ExecutionPlanMetricsSet, MetricsSet};
use datafusion::physical_plan::{
    DisplayAs, DisplayFormatType, ExecutionPlan, ExecutionPlanProperties, PlanProperties, ReplaceChildrenOptions,
};

use super::codes::Codes;
use super::count::CountSpec;
use super::outputs::Streams;
use super::schedule::Schedule;
use super::spec::{Side, Spec};
use super::stream::{Metrics, Shared, Task};
use crate::lake::PartTimes;
use crate::timespan::Timespan;

/// The interval join of a scan with itself.
///
/// Partitions of the scan are parts by time; each is read once, by one of the tasks that are free. There is a task for each
/// partition of the output. Pairs come out of whichever task has found them, and so do groups, unless the partitioning is
/// by hash. So all partitions of the output must be asked for.
#[derive(Debug)]
pub(super) struct IntervalSelfJoinExec {
    scan: Arc<dyn ExecutionPlan>,
    /// Of each partition of the scan.
    times: Arc<[PartTimes]>,
    spec: Arc<Spec>,
    /// Gives counts by group instead of pairs.
    count: Option<Arc<CountSpec>>,
    shared: OnceLock<Arc<Shared>>,
    streams: OnceLock<Streams>,
    metrics: ExecutionPlanMetricsSet,
    properties: Arc<PlanProperties>,
}

impl IntervalSelfJoinExec {
    pub(super) fn new(
        scan: Arc<dyn ExecutionPlan>,
        times: Arc<[PartTimes]>,
        spec: Arc<Spec>,
        count: Option<Arc<CountSpec>>,
        partitioning: Partitioning,
    ) -> Self {
        let schema: SchemaRef = match &count {
            Some(count) => Arc::clone(&count.schema),
            None => Arc::clone(&spec.output_schema),
        };
        let properties = PlanProperties::new(
            EquivalenceProperties::new(schema),
            partitioning,
            if count.is_some() { EmissionType::Final } else { EmissionType::Incremental },
            Boundedness::Bounded,
        );
        let (metrics, properties) = (ExecutionPlanMetricsSet::new(), Arc::new(properties));
        Self { scan, times, spec, count, shared: OnceLock::new(), streams: OnceLock::new(), metrics, properties }
    }

    /// The same join, told other times.
    #[cfg(test)]
    pub(super) fn told(&self, times: Vec<PartTimes>) -> Self {
        let partitioning = self.properties.partitioning.clone();
        Self::new(Arc::clone(&self.scan), times.into(), Arc::clone(&self.spec), self.count.clone(), partitioning)
    }

    /// How many tasks share the work.
    pub(super) fn tasks(&self) -> usize {
        self.properties.partitioning.partition_count()
    }

    /// The same join, giving counts.
    pub(super) fn counted(&self, spec: Spec, count: CountSpec) -> Self {
        let (scan, times) = (Arc::clone(&self.scan), Arc::clone(&self.times));
        let partitioning = Partitioning::UnknownPartitioning(self.tasks());
        Self::new(scan, times, Arc::new(spec), Some(Arc::new(count)), partitioning)
    }

    /// The same join, giving groups by `partitioning`, if it is a hash of what groups are told apart by.
    pub(super) fn partitioned(&self, partitioning: &Partitioning) -> Option<Self> {
        let (Partitioning::Hash(by, partitions), Some(count)) = (partitioning, &self.count) else { return None };
        let of_group = |column: &Column| column.index() < count.groups.len();
        let of_groups = by.iter().all(|by| by.downcast_ref::<Column>().is_some_and(of_group));
        (of_groups && *partitions == self.tasks()).then(|| {
            let (scan, spec) = (Arc::clone(&self.scan), Arc::clone(&self.spec));
            Self::new(scan, Arc::clone(&self.times), spec, self.count.clone(), partitioning.clone())
        })
    }

    pub(super) fn spec(&self) -> &Spec {
        &self.spec
    }

    fn shared(&self, context: &TaskContext) -> Arc<Shared> {
        let start = || {
            let memory = MemoryConsumer::new(self.name()).register(context.memory_pool());
            let bounds = self.times.iter().map(|times| times.bounds);
            let schedule = Mutex::new(Schedule::new(bounds, self.spec.span));
            let codes = Arc::new(Codes::new(memory.new_empty()));
            let all_read = context.session_config().get_extension();
            Arc::new(Shared { schedule, times: Arc::clone(&self.times), codes, memory, all_read })
        };
        Arc::clone(self.shared.get_or_init(start))
    }
}

/// Whether the rows that `plan` reads leave memory again while it reads: all scans stand below counting self-joins.
pub(crate) fn passes(plan: &Arc<dyn ExecutionPlan>) -> bool {
    if let Some(join) = plan.downcast_ref::<IntervalSelfJoinExec>() {
        return join.count.is_some();
    }
    let children = plan.children();
    !children.is_empty() && children.into_iter().all(passes)
}

impl DisplayAs for IntervalSelfJoinExec {
    fn fmt_as(&self, t: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let tree = matches!(t, DisplayFormatType::TreeRender);
        let between = if tree { "\n" } else { ", " };
        if !tree {
            write!(f, "IntervalSelfJoinExec: ")?;
        }
        let spec = &self.spec;
        let text = |text: &usize| spec.texts[*text].lifted.expression.to_string();
        let keys = spec.side(Side::First).keys.iter().zip(&spec.side(Side::Then).keys);
        let keys: Vec<_> = keys.map(|(first, then)| format!("({}, {})", text(first), text(then))).collect();
        write!(f, "on=[{}]", keys.join(", "))?;
        let time = spec.schema.field(spec.time).name();
        write!(f, "{between}followed_within=[{time}, {}]", Timespan::from_nanos(spec.span))?;
        let apart: Vec<_> = spec.apart.iter().map(|(a, b)| format!("{} != {}", text(a), text(b))).collect();
        if !apart.is_empty() {
            write!(f, "{between}apart=[{}]", apart.join(", "))?;
        }
        if let Some(filter) = &spec.filter {
            write!(f, "{between}filter={}", filter.expression())?;
        }
        for (name, side) in [("first", Side::First), ("then", Side::Then)] {
            let side = spec.side(side);
            let conditions = side.lifted.iter().map(|lifted| lifted.expression.to_string());
            let conditions: Vec<_> = conditions.chain(side.rest.iter().map(ToString::to_string)).collect();
            write!(f, "{between}{name}=[{}]", conditions.join(" AND "))?;
        }
        if let Some(count) = &self.count {
            write!(f, "{between}counted_by=[{}]", count.names.join(", "))?;
        }
        if let partitioning @ Partitioning::Hash(..) = &self.properties.partitioning {
            write!(f, "{between}partitioning={partitioning}")?;
        }
        if tree { writeln!(f) } else { Ok(()) }
    }
}

impl ExecutionPlan for IntervalSelfJoinExec {
    fn name(&self) -> &'static str {
        "IntervalSelfJoinExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        vec![&self.scan]
    }

    fn benefits_from_input_partitioning(&self) -> Vec<bool> {
        // Its partitions are parts by time already.
        vec![false]
    }

    fn apply_expressions(
        &self,
        _: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        // Its expressions are over forms of the scan's columns that only it knows.
        Ok(TreeNodeRecursion::Continue)
    }

    fn replace_children(
        self: Arc<Self>,
        children: Vec<Arc<dyn ExecutionPlan>>,
        _: ReplaceChildrenOptions,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let Ok([scan]) = <[_; 1]>::try_from(children) else {
            return internal_err!("IntervalSelfJoinExec has one child");
        };
        // Times belong to partitions: those of another scan are not known.
        let same = scan.output_partitioning().partition_count() == self.times.len();
        let unknown = || vec![PartTimes::default(); scan.output_partitioning().partition_count()].into();
        let times = if same { Arc::clone(&self.times) } else { unknown() };
        let partitioning = self.properties.partitioning.clone();
        Ok(Arc::new(Self::new(scan, times, Arc::clone(&self.spec), self.count.clone(), partitioning)))
    }

    fn with_new_children(self: Arc<Self>, children: Vec<Arc<dyn ExecutionPlan>>) -> Result<Arc<dyn ExecutionPlan>> {
        use datafusion::physical_plan::ChildrenPropertiesMode::Recompute;
        self.replace_children(children, ReplaceChildrenOptions::new(Recompute))
    }

    fn execute(&self, partition: usize, context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        let shared = self.shared(&context);
        let metrics = Metrics::new(&self.metrics, partition);
        let partitioning = &self.properties.partitioning;
        let (spec, count, scan) = (Arc::clone(&self.spec), self.count.clone(), Arc::clone(&self.scan));
        let waiting = shared.memory.new_empty();
        let task = Task::new(spec, count, scan, context, shared, metrics, partitioning)?;
        let streams = self.streams.get_or_init(|| Streams::new(&self.schema(), partitioning, waiting));
        streams.begin(partition, |outputs| task.run(outputs))
    }

    fn metrics(&self) -> Option<MetricsSet> {
        Some(self.metrics.clone_inner())
    }
}
