//! `row_number()` over rows that are sorted by partition already.
//!
//! The engine's window operator looks up each partition in a table and evaluates it by itself, which for partitions of a
//! few rows, such as the keys of a distribution, costs more than the join below. Where a window asks for nothing but row
//! numbers, comparing each row with the one before is enough.

use std::fmt;
use std::sync::Arc;

use datafusion::arrow::array::{ArrayRef, RecordBatch, UInt64Array};
use datafusion::arrow::compute::partition;
use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode, TreeNodeRecursion};
use datafusion::common::{Result, internal_err};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_expr::window::StandardWindowExpr;
use datafusion::physical_expr::{PhysicalExpr, PhysicalExprRef};
use datafusion::physical_optimizer::PhysicalOptimizerRule;
use datafusion::physical_plan::metrics::{BaselineMetrics, ExecutionPlanMetricsSet, MetricsSet, RecordOutput};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::windows::{BoundedWindowAggExec, WindowUDFExpr};
use datafusion::physical_plan::{
    DisplayAs, DisplayFormatType, Distribution, ExecutionPlan, InputOrderMode, PlanProperties, ReplaceChildrenOptions,
};
use futures::StreamExt;

/// Puts `RowNumberExec` in place of the engine's window operator.
#[derive(Debug)]
pub(crate) struct RowNumberRule;

impl PhysicalOptimizerRule for RowNumberRule {
    fn optimize(&self, plan: Arc<dyn ExecutionPlan>, _: &ConfigOptions) -> Result<Arc<dyn ExecutionPlan>> {
        plan.transform_up(|plan| {
            let Some(window) = plan.downcast_ref::<BoundedWindowAggExec>() else { return Ok(Transformed::no(plan)) };
            Ok(match replacement(window) {
                Some(new) => Transformed::yes(Arc::new(new) as _),
                None => Transformed::no(plan),
            })
        })
        .data()
    }

    fn name(&self) -> &str {
        "RowNumber"
    }

    fn schema_check(&self) -> bool {
        true
    }
}

fn replacement(window: &BoundedWindowAggExec) -> Option<RowNumberExec> {
    if window.input_order_mode != InputOrderMode::Sorted {
        return None;
    }
    let expressions = window.window_expr();
    let numbers = |e: &dyn std::any::Any| {
        let function = e.downcast_ref::<StandardWindowExpr>().map(StandardWindowExpr::get_standard_func_expr);
        let function = function.and_then(|function| function.as_any().downcast_ref::<WindowUDFExpr>());
        function.is_some_and(|function| function.fun().name() == "row_number")
    };
    let [first, rest @ ..] = expressions else { return None };
    let partition_by = first.partition_by();
    let alike = rest.iter().all(|e| e.partition_by() == partition_by);
    if !alike || !expressions.iter().all(|e| numbers(e.as_any())) {
        return None;
    }
    Some(RowNumberExec {
        input: Arc::clone(window.input()),
        partition_by: partition_by.to_vec(),
        columns: expressions.len(),
        properties: Arc::clone(window.properties()),
        metrics: ExecutionPlanMetricsSet::new(),
    })
}

/// Adds the number of each row in its partition, from 1; rows of a partition stand together.
#[derive(Debug)]
struct RowNumberExec {
    input: Arc<dyn ExecutionPlan>,
    partition_by: Vec<PhysicalExprRef>,
    /// How many columns of numbers are asked for.
    columns: usize,
    /// Those of the operator that it stands for.
    properties: Arc<PlanProperties>,
    metrics: ExecutionPlanMetricsSet,
}

impl DisplayAs for RowNumberExec {
    fn fmt_as(&self, t: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let by: Vec<_> = self.partition_by.iter().map(ToString::to_string).collect();
        match t {
            DisplayFormatType::TreeRender => writeln!(f, "partition_by=[{}]", by.join(", ")),
            _ => write!(f, "RowNumberExec: partition_by=[{}]", by.join(", ")),
        }
    }
}

impl ExecutionPlan for RowNumberExec {
    fn name(&self) -> &'static str {
        "RowNumberExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        vec![&self.input]
    }

    fn maintains_input_order(&self) -> Vec<bool> {
        vec![true]
    }

    fn required_input_distribution(&self) -> Vec<Distribution> {
        match self.partition_by.is_empty() {
            true => vec![Distribution::SinglePartition],
            false => vec![Distribution::KeyPartitioned(self.partition_by.clone())],
        }
    }

    fn apply_expressions(
        &self,
        f: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        datafusion::physical_plan::apply_expression_roots(self.partition_by.iter(), f)
    }

    fn replace_children(
        self: Arc<Self>,
        children: Vec<Arc<dyn ExecutionPlan>>,
        _: ReplaceChildrenOptions,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let Ok([input]) = <[_; 1]>::try_from(children) else { return internal_err!("RowNumberExec has one child") };
        Ok(Arc::new(Self {
            input,
            partition_by: self.partition_by.clone(),
            columns: self.columns,
            properties: Arc::clone(&self.properties),
            metrics: ExecutionPlanMetricsSet::new(),
        }))
    }

    fn with_new_children(self: Arc<Self>, children: Vec<Arc<dyn ExecutionPlan>>) -> Result<Arc<dyn ExecutionPlan>> {
        use datafusion::physical_plan::ChildrenPropertiesMode::Recompute;
        self.replace_children(children, ReplaceChildrenOptions::new(Recompute))
    }

    fn execute(&self, partition: usize, context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        let input = self.input.execute(partition, context)?;
        let metrics = BaselineMetrics::new(&self.metrics, partition);
        let mut numbering = Numbering { partition_by: self.partition_by.clone(), last: None };
        let (schema, columns) = (self.schema(), self.columns);
        let numbered = input.map(move |batch| {
            let batch = batch?;
            let _compute = metrics.elapsed_compute().timer();
            let numbers = numbering.number(&batch)?;
            let all = batch.columns().iter().chain(std::iter::repeat_n(&numbers, columns));
            let batch = RecordBatch::try_new(Arc::clone(&schema), all.map(Arc::clone).collect())?;
            Ok(batch.record_output(&metrics))
        });
        Ok(Box::pin(RecordBatchStreamAdapter::new(self.schema(), numbered)))
    }

    fn metrics(&self) -> Option<MetricsSet> {
        Some(self.metrics.clone_inner())
    }
}

/// Numbers the rows of batches that follow each other.
struct Numbering {
    partition_by: Vec<PhysicalExprRef>,
    /// The last row's partition, as arrays of one row, and its number.
    last: Option<(Vec<ArrayRef>, u64)>,
}

impl Numbering {
    fn number(&mut self, batch: &RecordBatch) -> Result<ArrayRef> {
        let rows = batch.num_rows();
        let keys = self.partition_by.iter().map(|e| e.evaluate(batch)?.into_array(rows)).collect::<Result<Vec<_>>>()?;
        if rows == 0 {
            return Ok(Arc::new(UInt64Array::from(Vec::<u64>::new())));
        }
        let one_row = |row: usize| keys.iter().map(|key| key.slice(row, 1)).collect::<Vec<_>>();
        let mut before = match &self.last {
            Some((last, number)) if same(last, &one_row(0))? => *number,
            _ => 0,
        };
        let ranges = match keys.is_empty() {
            true => std::iter::once(0..rows).collect(),
            false => partition(&keys)?.ranges(),
        };
        let mut numbers = Vec::with_capacity(rows);
        for range in ranges {
            numbers.extend((1..=range.len() as u64).map(|number| before + number));
            before = 0;
        }
        self.last = numbers.last().map(|number| (one_row(rows - 1), *number));
        Ok(Arc::new(UInt64Array::from(numbers)))
    }
}

/// Whether two rows are of one partition; nulls are alike.
fn same(left: &[ArrayRef], right: &[ArrayRef]) -> Result<bool> {
    Ok(left.iter().zip(right).all(|(left, right)| left.to_data() == right.to_data()))
}

#[cfg(test)]
mod tests {
    use datafusion::arrow::array::{AsArray, StringArray};
    use datafusion::arrow::datatypes::UInt64Type;
    use datafusion::physical_expr::expressions::col;

    use super::*;

    #[test]
    fn numbers_go_on_over_batches() {
        let batch = |keys: Vec<Option<&str>>| {
            let keys: ArrayRef = Arc::new(StringArray::from(keys));
            RecordBatch::try_from_iter_with_nullable([("key", keys, true)]).unwrap()
        };
        let batches = [
            batch(vec![None, None]),
            batch(vec![None, Some("a")]),
            batch(vec![]),
            batch(vec![Some("a"), Some("a"), Some("b")]),
            batch(vec![Some("c")]),
        ];
        let mut numbering = Numbering { partition_by: vec![col("key", &batches[0].schema()).unwrap()], last: None };
        let numbers =
            batches.iter().map(|batch| numbering.number(batch).unwrap().as_primitive::<UInt64Type>().values().to_vec());
        assert_eq!(numbers.collect::<Vec<_>>(), [vec![1, 2], vec![3, 1], vec![], vec![2, 3, 1], vec![1]]);
    }
}
