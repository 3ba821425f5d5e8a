//! A side of the join as a view of the lake's columns: filters and projections down to the scan, as expressions.

use std::sync::Arc;

use datafusion::common::Result;
use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode, TreeNodeRecursion};
use datafusion::physical_expr::expressions::Column;
use datafusion::physical_expr::{PhysicalExprRef, split_conjunction};
use datafusion::physical_expr_common::physical_expr::is_volatile;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::coalesce_partitions::CoalescePartitionsExec;
use datafusion::physical_plan::filter::FilterExec;
use datafusion::physical_plan::projection::ProjectionExec;
use datafusion::physical_plan::repartition::RepartitionExec;

use crate::lake::LakeScanExec;

/// What a side shows of the lake, over the columns of `raw`.
#[derive(Debug, Clone)]
pub(super) struct View {
    pub(super) columns: Vec<PhysicalExprRef>,
    /// All of them hold for each of its rows.
    pub(super) conditions: Vec<PhysicalExprRef>,
}

/// `plan` as a view of a scan, if it is no more than that.
pub(super) fn unfold(plan: &Arc<dyn ExecutionPlan>) -> Result<Option<(View, &LakeScanExec)>> {
    if let Some(scan) = plan.downcast_ref::<LakeScanExec>() {
        let schema = scan.table_schema();
        let column = |raw: &usize| Arc::new(Column::new(schema.field(*raw).name(), *raw)) as PhysicalExprRef;
        return Ok(Some((View { columns: scan.columns().iter().map(column).collect(), conditions: Vec::new() }, scan)));
    }
    if plan.fetch().is_some() {
        return Ok(None);
    }
    if plan.is::<RepartitionExec>() || plan.is::<CoalescePartitionsExec>() {
        return match plan.children().as_slice() {
            [child] => unfold(child),
            _ => Ok(None),
        };
    }
    if let Some(filter) = plan.downcast_ref::<FilterExec>() {
        let Some((mut view, scan)) = unfold(filter.input())? else { return Ok(None) };
        let predicate = substitute(filter.predicate(), &view.columns)?;
        if is_volatile(&predicate) {
            return Ok(None);
        }
        view.conditions.extend(split_conjunction(&predicate).into_iter().map(Arc::clone));
        if let Some(projection) = filter.projection() {
            view.columns = projection.iter().map(|column| Arc::clone(&view.columns[*column])).collect();
        }
        return Ok(Some((view, scan)));
    }
    if let Some(projection) = plan.downcast_ref::<ProjectionExec>() {
        let Some((mut view, scan)) = unfold(projection.input())? else { return Ok(None) };
        let columns = projection.expr().iter().map(|shown| substitute(&shown.expr, &view.columns));
        view.columns = columns.collect::<Result<_>>()?;
        return Ok((!view.columns.iter().any(is_volatile)).then_some((view, scan)));
    }
    Ok(None)
}

/// `expression` with `columns` in place of the columns that it names by position.
pub(super) fn substitute(expression: &PhysicalExprRef, columns: &[PhysicalExprRef]) -> Result<PhysicalExprRef> {
    Arc::clone(expression)
        .transform_down(|e| match e.downcast_ref::<Column>() {
            Some(column) => Ok(Transformed::new(Arc::clone(&columns[column.index()]), true, TreeNodeRecursion::Jump)),
            None => Ok(Transformed::no(e)),
        })
        .data()
}
