//! Puts the interval join in place of a hash join.

use std::sync::Arc;

use datafusion::arrow::datatypes::{DataType, Schema, TimeUnit};
use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode};
use datafusion::common::{JoinSide, JoinType, NullEquality, Result, ScalarValue};
use datafusion::physical_expr::expressions::{Column, Literal};
use datafusion::physical_expr::utils::collect_columns;
use datafusion::physical_expr::{PhysicalExpr, ScalarFunctionExpr, conjunction_opt, split_conjunction};
use datafusion::physical_optimizer::PhysicalOptimizerRule;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::joins::utils::JoinFilter;
use datafusion::physical_plan::joins::{HashJoinExec, PartitionMode};

use super::exec::{IntervalJoinExec, Join};
use super::sequence::Sequence;
use crate::functions;

/// Replaces an inner hash join that asks for `followed_within` between its sides by an interval join.
#[derive(Debug)]
pub(crate) struct IntervalJoinRule;

impl PhysicalOptimizerRule for IntervalJoinRule {
    fn optimize(&self, plan: Arc<dyn ExecutionPlan>, _: &ConfigOptions) -> Result<Arc<dyn ExecutionPlan>> {
        plan.transform_up(|plan| {
            let Some(join) = plan.downcast_ref::<HashJoinExec>() else { return Ok(Transformed::no(plan)) };
            Ok(match replacement(join)? {
                Some(join) => Transformed::yes(Arc::new(join) as _),
                None => Transformed::no(plan),
            })
        })
        .data()
    }

    fn name(&self) -> &str {
        "IntervalJoin"
    }

    fn schema_check(&self) -> bool {
        true
    }
}

/// The interval join that gives the rows of `join`, if there is one.
fn replacement(join: &HashJoinExec) -> Result<Option<IntervalJoinExec>> {
    let inner = join.join_type() == &JoinType::Inner && join.null_equality() == NullEquality::NullEqualsNothing;
    let Some(filter) = join.filter().filter(|_| inner) else { return Ok(None) };
    // Someone below waits for what this join knows of its keys.
    if !join.dynamic_expressions_produced().is_empty() {
        return Ok(None);
    }
    let Some((sequence, rest)) = split(filter)? else { return Ok(None) };
    let build_side = match join.partition_mode() {
        PartitionMode::CollectLeft => JoinSide::Left,
        // The hash join keeps the order of its right side, and someone above may count on it.
        PartitionMode::Partitioned if join.properties().output_ordering().is_some() => JoinSide::Left,
        // There are fewer of the later events, as a rule: a hunt asks what came of something common.
        PartitionMode::Partitioned => sequence.later_side(),
        PartitionMode::Auto => return Ok(None),
    };
    let new = IntervalJoinExec::try_new(
        Arc::clone(join.left()),
        Arc::clone(join.right()),
        Join {
            on: join.on().to_vec(),
            sequence,
            filter: rest,
            mode: *join.partition_mode(),
            build_side,
            projection: join.projection.as_ref().map(|columns| columns.to_vec()),
            fetch: join.fetch(),
        },
    )?;
    let ordered = match join.properties().output_ordering() {
        Some(ordering) => new.properties().equivalence_properties().ordering_satisfy(ordering.clone())?,
        None => true,
    };
    Ok(ordered.then_some(new))
}

/// The first condition of `filter` that is a sequence of both sides, and what the filter asks besides.
fn split(filter: &JoinFilter) -> Result<Option<(Sequence, Option<JoinFilter>)>> {
    let mut conditions = split_conjunction(filter.expression());
    let found = conditions.iter().enumerate().find_map(|(index, e)| Some((index, sequence(e.as_ref(), filter)?)));
    let Some((index, sequence)) = found else { return Ok(None) };
    conditions.remove(index);
    let rest = conjunction_opt(conditions.into_iter().map(Arc::clone)).map(|e| narrow(e, filter)).transpose()?;
    Ok(Some((sequence, rest)))
}

/// `followed_within` of a column of one side, a column of the other and a span of fixed length.
fn sequence(condition: &dyn PhysicalExpr, filter: &JoinFilter) -> Option<Sequence> {
    let call = condition.downcast_ref::<ScalarFunctionExpr>().filter(|e| functions::is_followed_within(e.fun()))?;
    let [first, then, span] = call.args() else { return None };
    let (first, then) = (first.downcast_ref::<Column>()?, then.downcast_ref::<Column>()?);
    let instant = |column: &Column| match filter.schema().field(column.index()).data_type() {
        DataType::Timestamp(TimeUnit::Nanosecond, zone) => Some(zone.clone()),
        _ => None,
    };
    if instant(first)? != instant(then)? {
        return None;
    }
    let ScalarValue::IntervalMonthDayNano(Some(span)) = span.downcast_ref::<Literal>()?.value() else { return None };
    // A span of months is an error, which the function tells best.
    let span = functions::interval_nanos(*span).ok()?;
    let side = |column: &Column| filter.column_indices()[column.index()].clone();
    Sequence::try_new(side(first), side(then), span)
}

/// A filter of `condition`, which is over the columns of `filter`, that takes no more columns than it needs.
pub(crate) fn narrow(condition: Arc<dyn PhysicalExpr>, filter: &JoinFilter) -> Result<JoinFilter> {
    let mut kept: Vec<usize> = collect_columns(&condition).iter().map(Column::index).collect();
    kept.sort_unstable();
    kept.dedup();
    let condition = condition
        .transform(|e| {
            let Some(column) = e.downcast_ref::<Column>() else { return Ok(Transformed::no(e)) };
            let Ok(index) = kept.binary_search(&column.index()) else { return Ok(Transformed::no(e)) };
            Ok(Transformed::yes(Arc::new(Column::new(column.name(), index)) as Arc<dyn PhysicalExpr>))
        })
        .data()?;
    let fields: Vec<_> = kept.iter().map(|index| Arc::clone(&filter.schema().fields()[*index])).collect();
    let columns = kept.iter().map(|index| filter.column_indices()[*index].clone()).collect();
    let schema = Schema::new_with_metadata(fields, filter.schema().metadata().clone());
    Ok(JoinFilter::new(condition, columns, Arc::new(schema)))
}
