//! The plan node.

use std::fmt;
use std::sync::Arc;

use datafusion::arrow::datatypes::SchemaRef;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::common::{JoinSide, JoinType, Result, assert_eq_or_internal_err, internal_err, project_schema};
use datafusion::execution::memory_pool::MemoryConsumer;
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_expr::equivalence::{ProjectionMapping, join_equivalence_properties};
use datafusion::physical_expr::{PhysicalExpr, PhysicalExprRef};
use datafusion::physical_plan::execution_plan::EmissionType;
use datafusion::physical_plan::joins::PartitionMode;
use datafusion::physical_plan::joins::utils::{
    ColumnIndex, JoinFilter, adjust_right_output_partitioning, build_join_schema, check_join_is_valid,
};
use datafusion::physical_plan::metrics::{ExecutionPlanMetricsSet, MetricsSet};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{
    DisplayAs, DisplayFormatType, Distribution, ExecutionPlan, ExecutionPlanProperties, InputDistributionRequirements,
    PlanProperties, ReplaceChildrenOptions, apply_expression_roots,
};

use super::build::{BuildMetrics, build};
use super::once::{Once, SharedTable};
use super::output::Output;
use super::sequence::Sequence;
use super::stream::{Joining, ProbeMetrics};

/// What joins two inputs, whichever they are.
#[derive(Debug, Clone)]
pub(crate) struct Join {
    /// Keys of the left and of the right side. Nulls equal nothing.
    pub(crate) on: Vec<(PhysicalExprRef, PhysicalExprRef)>,
    pub(crate) sequence: Sequence,
    /// What pairs have to pass besides.
    pub(crate) filter: Option<JoinFilter>,
    /// How the inputs are partitioned: both by the keys, or left in one partition.
    pub(crate) mode: PartitionMode,
    /// The side that is held in memory; left unless both are partitioned.
    pub(crate) build_side: JoinSide,
    /// Columns to give, of those of left and right.
    pub(crate) projection: Option<Vec<usize>>,
    /// Rows to give at most, in each partition.
    pub(crate) fetch: Option<usize>,
}

/// An inner join of rows with the same key that follow each other within a span of time.
///
/// One side is collected, grouped by key and ordered by time; the other streams through and each of its rows looks up
/// the rows in its reach. Rows come out in the order of the side that streams.
#[derive(Debug)]
pub(crate) struct IntervalJoinExec {
    left: Arc<dyn ExecutionPlan>,
    right: Arc<dyn ExecutionPlan>,
    join: Join,
    /// The columns to give.
    columns: Vec<ColumnIndex>,
    /// The table that all partitions use where left is one partition.
    shared: Once,
    metrics: ExecutionPlanMetricsSet,
    properties: Arc<PlanProperties>,
}

impl IntervalJoinExec {
    pub(crate) fn try_new(left: Arc<dyn ExecutionPlan>, right: Arc<dyn ExecutionPlan>, join: Join) -> Result<Self> {
        match (join.mode, join.build_side) {
            (PartitionMode::Partitioned, JoinSide::Left | JoinSide::Right)
            | (PartitionMode::CollectLeft, JoinSide::Left) => {}
            (mode, side) => return internal_err!("IntervalJoinExec cannot build {side} in mode {mode:?}"),
        }
        check_join_is_valid(&left.schema(), &right.schema(), &join.on)?;
        let (schema, columns) = build_join_schema(&left.schema(), &right.schema(), &JoinType::Inner);
        let columns = match &join.projection {
            Some(projection) => projection.iter().map(|column| columns[*column].clone()).collect(),
            None => columns,
        };
        let properties = Arc::new(properties(&left, &right, &join, Arc::new(schema))?);
        let (shared, metrics) = (Once::default(), ExecutionPlanMetricsSet::new());
        Ok(Self { left, right, join, columns, shared, metrics, properties })
    }

    /// The left and the right input.
    pub(crate) fn inputs(&self) -> [&Arc<dyn ExecutionPlan>; 2] {
        [&self.left, &self.right]
    }

    pub(crate) fn join(&self) -> &Join {
        &self.join
    }

    /// Where its columns come from.
    pub(crate) fn output_columns(&self) -> &[ColumnIndex] {
        &self.columns
    }

    fn input(&self, side: JoinSide) -> &Arc<dyn ExecutionPlan> {
        if side == JoinSide::Left { &self.left } else { &self.right }
    }

    fn keys(&self, side: JoinSide) -> Vec<PhysicalExprRef> {
        let key = |(left, right): &(PhysicalExprRef, PhysicalExprRef)| {
            Arc::clone(if side == JoinSide::Left { left } else { right })
        };
        self.join.on.iter().map(key).collect()
    }

    fn build(&self, partition: usize, context: &Arc<TaskContext>) -> Result<SharedTable> {
        let side = self.join.build_side;
        let (name, from) = match self.join.mode {
            PartitionMode::CollectLeft => (self.name().to_owned(), 0),
            _ => (format!("{}[{partition}]", self.name()), partition),
        };
        let input = self.input(side).execute(from, Arc::clone(context))?;
        let memory = MemoryConsumer::new(name).register(context.memory_pool());
        let metrics = BuildMetrics::new(&self.metrics, partition);
        let time_column = self.join.sequence.time_column(side);
        Ok(SharedTable::new(build(input, self.keys(side), time_column, memory, metrics)))
    }
}

/// What the plan may know of the output.
fn properties(
    left: &Arc<dyn ExecutionPlan>,
    right: &Arc<dyn ExecutionPlan>,
    join: &Join,
    schema: SchemaRef,
) -> Result<PlanProperties> {
    let mut equivalences = join_equivalence_properties(
        left.equivalence_properties().clone(),
        right.equivalence_properties().clone(),
        &JoinType::Inner,
        Arc::clone(&schema),
        &maintains_input_order(join.build_side),
        // The rows that stand with one row have an order of their own.
        None,
        &join.on,
    )?;
    let mut partitioning = adjust_right_output_partitioning(right.output_partitioning(), left.schema().fields().len())?;
    if let Some(projection) = &join.projection {
        let mapping = ProjectionMapping::from_indices(projection, &schema)?;
        partitioning = partitioning.project(&mapping, &equivalences);
        equivalences = equivalences.project(&mapping, project_schema(&schema, Some(projection))?);
    }
    let (build, probe) = if join.build_side == JoinSide::Left { (left, right) } else { (right, left) };
    let emission = if build.boundedness().is_unbounded() { EmissionType::Final } else { probe.pipeline_behavior() };
    let boundedness = if build.boundedness().is_unbounded() { build.boundedness() } else { probe.boundedness() };
    Ok(PlanProperties::new(equivalences, partitioning, emission, boundedness))
}

fn maintains_input_order(build_side: JoinSide) -> [bool; 2] {
    [build_side == JoinSide::Right, build_side == JoinSide::Left]
}

impl DisplayAs for IntervalJoinExec {
    fn fmt_as(&self, t: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let join = &self.join;
        let tree = matches!(t, DisplayFormatType::TreeRender);
        let between = if tree { "\n" } else { ", " };
        if !tree {
            write!(f, "IntervalJoinExec: ")?;
        }
        let on: Vec<_> = join.on.iter().map(|(left, right)| format!("({left}, {right})")).collect();
        let [first, then] = join
            .sequence
            .columns()
            .map(|column| format!("{}@{}", self.input(column.side).schema().field(column.index).name(), column.index));
        write!(f, "mode={:?}, build={}{between}on=[{}]", join.mode, join.build_side, on.join(", "))?;
        write!(f, "{between}followed_within=[{first}, {then}, {}]", join.sequence)?;
        if let Some(filter) = &join.filter {
            write!(f, "{between}filter={}", filter.expression())?;
        }
        if let Some(projection) = &join.projection {
            let schema = self.schema();
            let columns: Vec<_> = projection
                .iter()
                .zip(schema.fields())
                .map(|(index, field)| format!("{}@{index}", field.name()))
                .collect();
            write!(f, "{between}projection=[{}]", columns.join(", "))?;
        }
        if let Some(fetch) = join.fetch {
            write!(f, "{between}fetch={fetch}")?;
        }
        if tree { writeln!(f) } else { Ok(()) }
    }
}

impl ExecutionPlan for IntervalJoinExec {
    fn name(&self) -> &'static str {
        "IntervalJoinExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }

    fn required_input_distribution(&self) -> Vec<Distribution> {
        self.input_distribution_requirements().into_per_child()
    }

    fn input_distribution_requirements(&self) -> InputDistributionRequirements {
        match self.join.mode {
            PartitionMode::Partitioned => InputDistributionRequirements::co_partitioned(
                [JoinSide::Left, JoinSide::Right].map(|side| Distribution::KeyPartitioned(self.keys(side))).into(),
            ),
            _ => InputDistributionRequirements::new(vec![
                Distribution::SinglePartition,
                Distribution::UnspecifiedDistribution,
            ]),
        }
    }

    fn maintains_input_order(&self) -> Vec<bool> {
        maintains_input_order(self.join.build_side).into()
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        vec![&self.left, &self.right]
    }

    fn apply_expressions(
        &self,
        f: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        let keys = self.join.on.iter().flat_map(|(left, right)| [left, right]);
        apply_expression_roots(keys.chain(self.join.filter.iter().map(JoinFilter::expression)), f)
    }

    fn replace_children(
        self: Arc<Self>,
        children: Vec<Arc<dyn ExecutionPlan>>,
        _: ReplaceChildrenOptions,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let Ok([left, right]) = <[_; 2]>::try_from(children) else {
            return internal_err!("IntervalJoinExec has two children");
        };
        Ok(Arc::new(Self::try_new(left, right, self.join.clone())?))
    }

    fn with_new_children(self: Arc<Self>, children: Vec<Arc<dyn ExecutionPlan>>) -> Result<Arc<dyn ExecutionPlan>> {
        use datafusion::physical_plan::ChildrenPropertiesMode::Recompute;
        self.replace_children(children, ReplaceChildrenOptions::new(Recompute))
    }

    fn execute(&self, partition: usize, context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        let partitions = [&self.left, &self.right].map(|input| input.output_partitioning().partition_count());
        let build_side = self.join.build_side;
        let table = match self.join.mode {
            PartitionMode::CollectLeft => {
                assert_eq_or_internal_err!(partitions[0], 1, "IntervalJoinExec collects one partition");
                self.shared.get_or_start(|| self.build(partition, &context))?
            }
            _ => {
                assert_eq_or_internal_err!(
                    partitions[0],
                    partitions[1],
                    "IntervalJoinExec joins partition by partition"
                );
                self.build(partition, &context)?
            }
        };
        let batch_size = context.session_config().batch_size();
        let joining = Joining {
            build: table,
            build_side,
            sequence: self.join.sequence.clone(),
            input: self.input(build_side.negate()).execute(partition, Arc::clone(&context))?,
            on: self.keys(build_side.negate()),
            output: Output::new(self.schema(), self.columns.clone(), self.join.filter.clone(), batch_size),
            batch_size,
            fetch: self.join.fetch,
            metrics: ProbeMetrics::new(&self.metrics, partition),
            probe: None,
            ended: false,
        };
        Ok(Box::pin(RecordBatchStreamAdapter::new(self.schema(), joining.into_stream())))
    }

    fn metrics(&self) -> Option<MetricsSet> {
        Some(self.metrics.clone_inner())
    }

    fn fetch(&self) -> Option<usize> {
        self.join.fetch
    }

    fn with_fetch(&self, fetch: Option<usize>) -> Option<Arc<dyn ExecutionPlan>> {
        let join = Join { fetch, ..self.join.clone() };
        let exec = Self::try_new(Arc::clone(&self.left), Arc::clone(&self.right), join).ok()?;
        Some(Arc::new(exec))
    }
}
