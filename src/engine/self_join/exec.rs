//! The plan node.

use std::fmt;
use std::sync::{Arc, Mutex, OnceLock};

use datafusion::arrow::datatypes::SchemaRef;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::common::{Result, internal_err};
use datafusion::execution::memory_pool::MemoryConsumer;
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_expr::{EquivalenceProperties, Partitioning, PhysicalExpr};
use datafusion::physical_plan::execution_plan::{Boundedness, EmissionType};
use datafusion::physical_plan::metrics::{ExecutionPlanMetricsSet, MetricsSet};
use datafusion::physical_plan::stream::RecordBatchReceiverStreamBuilder;
use datafusion::physical_plan::{
    DisplayAs, DisplayFormatType, ExecutionPlan, ExecutionPlanProperties, PlanProperties, ReplaceChildrenOptions,
};

use super::codes::Codes;
use super::count::CountSpec;
use super::schedule::Schedule;
use super::spec::{Side, Spec};
use super::stream::{Metrics, Shared, Task};
use crate::lake::PartTimes;
use crate::timespan::Timespan;

/// The interval join of a scan with itself.
///
/// Partitions of the scan are parts by time; each is read once, by one of `tasks` that are free. What is found comes
/// out of whichever task has found it, so all partitions of the output must be asked for.
#[derive(Debug)]
pub(super) struct IntervalSelfJoinExec {
    scan: Arc<dyn ExecutionPlan>,
    /// Of each partition of the scan.
    times: Vec<PartTimes>,
    spec: Arc<Spec>,
    /// Gives counts by group instead of pairs.
    count: Option<Arc<CountSpec>>,
    shared: OnceLock<Arc<Shared>>,
    metrics: ExecutionPlanMetricsSet,
    properties: Arc<PlanProperties>,
}

impl IntervalSelfJoinExec {
    pub(super) fn new(
        scan: Arc<dyn ExecutionPlan>,
        times: Vec<PartTimes>,
        spec: Arc<Spec>,
        count: Option<Arc<CountSpec>>,
        tasks: usize,
    ) -> Self {
        let schema: SchemaRef = match &count {
            Some(count) => Arc::clone(&count.schema),
            None => Arc::clone(&spec.output_schema),
        };
        let properties = PlanProperties::new(
            EquivalenceProperties::new(schema),
            Partitioning::UnknownPartitioning(tasks.max(1)),
            if count.is_some() { EmissionType::Final } else { EmissionType::Incremental },
            Boundedness::Bounded,
        );
        let (shared, metrics, properties) = (OnceLock::new(), ExecutionPlanMetricsSet::new(), Arc::new(properties));
        Self { scan, times, spec, count, shared, metrics, properties }
    }

    /// The same join, told other times.
    #[cfg(test)]
    pub(super) fn told(&self, times: Vec<PartTimes>) -> Self {
        Self::new(Arc::clone(&self.scan), times, Arc::clone(&self.spec), self.count.clone(), self.tasks())
    }

    /// How many tasks share the work.
    pub(super) fn tasks(&self) -> usize {
        self.properties.partitioning.partition_count()
    }

    /// The same join, giving counts.
    pub(super) fn counted(&self, spec: Spec, count: CountSpec) -> Self {
        let (scan, times) = (Arc::clone(&self.scan), self.times.clone());
        Self::new(scan, times, Arc::new(spec), Some(Arc::new(count)), self.tasks())
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
            Arc::new(Shared { schedule, times: self.times.clone(), codes, memory, all_read })
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
        let unknown = || vec![PartTimes::default(); scan.output_partitioning().partition_count()];
        let times = if same { self.times.clone() } else { unknown() };
        Ok(Arc::new(Self::new(scan, times, Arc::clone(&self.spec), self.count.clone(), self.tasks())))
    }

    fn with_new_children(self: Arc<Self>, children: Vec<Arc<dyn ExecutionPlan>>) -> Result<Arc<dyn ExecutionPlan>> {
        use datafusion::physical_plan::ChildrenPropertiesMode::Recompute;
        self.replace_children(children, ReplaceChildrenOptions::new(Recompute))
    }

    fn execute(&self, partition: usize, context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        let shared = self.shared(&context);
        let metrics = Metrics::new(&self.metrics, partition);
        let (spec, count, scan) = (Arc::clone(&self.spec), self.count.clone(), Arc::clone(&self.scan));
        let task = Task::new(spec, count, scan, context, shared, metrics);
        let mut stream = RecordBatchReceiverStreamBuilder::new(self.schema(), 2);
        let output = stream.tx();
        stream.spawn(task.run(output));
        Ok(stream.build())
    }

    fn metrics(&self) -> Option<MetricsSet> {
        Some(self.metrics.clone_inner())
    }
}
