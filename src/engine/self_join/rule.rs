//! Puts the self-join in place of an interval join whose sides are views of one table, and of the first phase of an
//! aggregation above it that asks for counts.

use std::sync::Arc;

use datafusion::arrow::datatypes::DataType;
use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode, TreeNodeRecursion};
use datafusion::common::{Result, ScalarValue};
use datafusion::physical_expr::aggregate::AggregateFunctionExpr;
use datafusion::physical_expr::expressions::{Column, Literal};
use datafusion::physical_expr::utils::collect_columns;
use datafusion::physical_expr::{Partitioning, PhysicalExprRef};
use datafusion::physical_expr_common::physical_expr::is_volatile;
use datafusion::physical_optimizer::PhysicalOptimizerRule;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::aggregates::{AggregateExec, AggregateMode};
use datafusion::physical_plan::projection::ProjectionExec;
use datafusion::physical_plan::repartition::RepartitionExec;

use super::count::{Aggregate, CountSpec, Grouping};
use super::exec::IntervalSelfJoinExec;
use super::spec::{Side, Spec};
use super::view::{substitute, unfold};
use crate::engine::interval_join::IntervalJoinExec;
use crate::functions;

/// Replaces interval joins of a table with itself.
#[derive(Debug)]
pub(crate) struct SelfJoinRule;

impl PhysicalOptimizerRule for SelfJoinRule {
    fn optimize(&self, plan: Arc<dyn ExecutionPlan>, _: &ConfigOptions) -> Result<Arc<dyn ExecutionPlan>> {
        plan.transform_down(|plan| {
            let replaced = if let Some(exchange) = plan.downcast_ref::<RepartitionExec>() {
                partitioned(exchange)?
            } else if let Some(aggregate) = plan.downcast_ref::<AggregateExec>() {
                counted(aggregate)?
            } else if let Some(join) = plan.downcast_ref::<IntervalJoinExec>() {
                self_join(join)?.map(|new| as_partitioned(join, Arc::new(new))).transpose()?
            } else {
                None
            };
            Ok(match replaced {
                Some(new) => Transformed::new(new, true, TreeNodeRecursion::Jump),
                None => Transformed::no(plan),
            })
        })
        .data()
    }

    fn name(&self) -> &str {
        "IntervalSelfJoin"
    }

    fn schema_check(&self) -> bool {
        true
    }
}

/// The self-join that gives the rows of `join`, if there is one.
fn self_join(join: &IntervalJoinExec) -> Result<Option<IntervalSelfJoinExec>> {
    // It keeps no order.
    if join.fetch().is_some() || join.properties().output_ordering().is_some() {
        return Ok(None);
    }
    let [left, right] = join.inputs();
    let (Some((left, scan)), Some((right, other))) = (unfold(left)?, unfold(right)?) else { return Ok(None) };
    if !scan.reads_same(other) {
        return Ok(None);
    }
    let Some((spec, scanned)) = Spec::try_new(join, left, right, scan.table_schema())? else { return Ok(None) };
    if scanned.get(spec.time) != Some(&scan.time()) {
        return Ok(None);
    }
    let tasks = join.properties().output_partitioning().partition_count();
    let scan = scan.by_time(scanned, tasks)?;
    let (times, tasks) = (Arc::clone(scan.times()), Partitioning::UnknownPartitioning(tasks));
    Ok(Some(IntervalSelfJoinExec::new(Arc::new(scan), times, Arc::new(spec), None, tasks)))
}

/// The rows of `new` partitioned as those of `join` are, since operators above may count on it.
fn as_partitioned(join: &IntervalJoinExec, new: Arc<dyn ExecutionPlan>) -> Result<Arc<dyn ExecutionPlan>> {
    let partitioning = join.properties().output_partitioning();
    Ok(match partitioning {
        Partitioning::Hash(_, partitions) if *partitions > 1 => {
            Arc::new(RepartitionExec::try_new(new, partitioning.clone())?)
        }
        _ => new,
    })
}

/// What gives the rows of `exchange`, if they are groups that can be counted as pairs are found: those are given by
/// partition, so that lists are not moved once more.
fn partitioned(exchange: &RepartitionExec) -> Result<Option<Arc<dyn ExecutionPlan>>> {
    let Some(aggregate) = exchange.input().downcast_ref::<AggregateExec>() else { return Ok(None) };
    if exchange.preserve_order() || *aggregate.mode() != AggregateMode::Partial {
        return Ok(None);
    }
    let join = first_phase(aggregate)?.and_then(|join| join.partitioned(exchange.partitioning()));
    Ok(join.map(|join| Arc::new(join) as _))
}

/// What gives the rows of `aggregate`, if it can be counted as pairs are found.
fn counted(aggregate: &AggregateExec) -> Result<Option<Arc<dyn ExecutionPlan>>> {
    let single = match aggregate.mode() {
        AggregateMode::Partial => false,
        AggregateMode::Single => true,
        _ => return Ok(None),
    };
    let Some(join) = first_phase(aggregate)? else { return Ok(None) };
    if !single {
        return Ok(Some(Arc::new(join)));
    }
    if join.tasks() != 1 {
        return Ok(None);
    }
    Ok(Some(Arc::new(AggregateExec::try_new(
        AggregateMode::Final,
        aggregate.group_expr().as_final(),
        aggregate.aggr_expr().to_vec(),
        aggregate.filter_expr().to_vec(),
        Arc::new(join),
        aggregate.input_schema(),
    )?)))
}

/// The self-join that gives the first phase of `aggregate`, if it can be counted as pairs are found.
fn first_phase(aggregate: &AggregateExec) -> Result<Option<IntervalSelfJoinExec>> {
    let group_by = aggregate.group_expr();
    let plain = group_by.is_single()
        && !group_by.is_empty()
        && aggregate.limit_options().is_none()
        && aggregate.filter_expr().iter().all(Option::is_none);
    if !plain {
        return Ok(None);
    }
    // What the aggregation sees, over the join's output.
    let Some((columns, join)) = below(aggregate.input())? else { return Ok(None) };
    let Some(self_join) = self_join(join)? else { return Ok(None) };
    let mut spec = self_join.spec().clone();
    let mut groupings = [Vec::new(), Vec::new()];
    let mut groups = Vec::new();
    for (expression, _) in group_by.expr() {
        let expression = substitute(expression, &columns)?;
        let Some((side, grouping)) = grouping(&expression, &mut spec)? else { return Ok(None) };
        groupings[usize::from(side == Side::Then)].push(grouping);
        groups.push(expression);
    }
    let mut aggregates = Vec::new();
    for function in aggregate.aggr_expr() {
        let Some(asked) = asked(function, &columns)? else { return Ok(None) };
        aggregates.push(asked);
    }
    let names = group_by.expr().iter().map(|(_, name)| name.clone()).collect();
    let schema = match aggregate.mode() {
        AggregateMode::Partial => aggregate.schema(),
        // That of a first phase of the same.
        _ => {
            let first = AggregateExec::try_new(
                AggregateMode::Partial,
                group_by.clone(),
                aggregate.aggr_expr().to_vec(),
                aggregate.filter_expr().to_vec(),
                Arc::clone(aggregate.input()),
                aggregate.input_schema(),
            )?;
            first.schema()
        }
    };
    let count = CountSpec { groupings, groups, aggregates, schema, names };
    Ok(Some(self_join.counted(spec, count)))
}

/// The columns of `plan` over the output of an interval join, if projections are all that lies between.
fn below(plan: &Arc<dyn ExecutionPlan>) -> Result<Option<(Vec<PhysicalExprRef>, &IntervalJoinExec)>> {
    if let Some(join) = plan.downcast_ref::<IntervalJoinExec>() {
        let schema = join.schema();
        let columns = schema.fields().iter().enumerate();
        let columns = columns.map(|(index, field)| Arc::new(Column::new(field.name(), index)) as PhysicalExprRef);
        return Ok(Some((columns.collect(), join)));
    }
    let Some(projection) = plan.downcast_ref::<ProjectionExec>() else { return Ok(None) };
    let Some((columns, join)) = below(projection.input())? else { return Ok(None) };
    let shown = projection.expr().iter().map(|shown| substitute(&shown.expr, &columns));
    let columns = shown.collect::<Result<Vec<_>>>()?;
    Ok((!columns.iter().any(is_volatile)).then_some((columns, join)))
}

/// How rows of one side are told apart by `expression` over the join's output.
fn grouping(expression: &PhysicalExprRef, spec: &mut Spec) -> Result<Option<(Side, Grouping)>> {
    let columns = collect_columns(expression);
    let mut sides = columns.iter().map(|column| spec.output[column.index()].0);
    let Some(side) = sides.next() else { return Ok(None) };
    if sides.any(|other| other != side) {
        return Ok(None);
    }
    let over: Vec<_> = spec
        .output
        .iter()
        .map(|(of, index)| if *of == side { Arc::clone(&spec.side(side).columns[*index]) } else { null() })
        .collect();
    let expression = substitute(expression, &over)?;
    if let Some(text) = spec.coded(&expression)? {
        return Ok(Some((side, Grouping::Text(text))));
    }
    let of_time = collect_columns(&expression).iter().all(|column| column.index() == spec.time);
    let instant = matches!(expression.data_type(&spec.schema)?, DataType::Timestamp(..) | DataType::Int64);
    if !of_time || !instant {
        return Ok(None);
    }
    let time: PhysicalExprRef = Arc::new(Column::new(spec.schema.field(spec.time).name(), 0));
    Ok(Some((side, Grouping::Time(substitute(&expression, &vec![time; spec.time + 1])?))))
}

fn null() -> PhysicalExprRef {
    Arc::new(Literal::new(ScalarValue::Null))
}

/// What `function` asks of a group, if that can be had by counting.
fn asked(function: &AggregateFunctionExpr, columns: &[PhysicalExprRef]) -> Result<Option<Aggregate>> {
    if function.is_distinct() || function.is_reversed() || !function.order_bys().is_empty() {
        return Ok(None);
    }
    let arguments = function.expressions();
    if functions::is_all_or_one(function.fun()) {
        let DataType::List(item) = function.field().data_type().clone() else { return Ok(None) };
        let limit = functions::limit_of(&arguments)?;
        let value = substitute(&arguments[0], columns)?;
        return Ok((!is_volatile(&value)).then_some(Aggregate::AllOrOne { value, item, limit }));
    }
    let all = |e: &PhysicalExprRef| e.downcast_ref::<Literal>().is_some_and(|literal| !literal.value().is_null());
    let counts = function.fun().name() == "count" && arguments.iter().all(all);
    Ok(counts.then_some(Aggregate::Count))
}
