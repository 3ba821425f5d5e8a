//! The rows of a SELECT in one order, whatever the threads did.
//!
//! ```text
//!   FROM … -> the columns that the SELECT is made of -> sort, merge -> the SELECT's expressions
//! ```
//!
//! A SELECT shows some columns twice, and others follow from them; so it is worked out after the sort, which moves less. The
//! engine keeps an order only where the sort comes last, so that its part ends there.

use std::collections::HashSet;
use std::sync::Arc;

use datafusion::common::tree_node::TreeNode;
use datafusion::common::{Column, Result};
use datafusion::execution::SessionState;
use datafusion::logical_expr::simplify::SimplifyContext;
use datafusion::logical_expr::{Expr, LogicalPlan, LogicalPlanBuilder, Volatility};
use datafusion::optimizer::simplify_expressions::ExprSimplifier;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::projection::{ProjectionExec, ProjectionExpr};

/// A SELECT whose rows are ordered.
#[derive(Debug)]
pub(super) struct Ordered {
    /// The columns that the SELECT is made of, in order.
    pub(super) plan: LogicalPlan,
    /// The SELECT's own, over those of the plan, and their names.
    columns: Vec<Expr>,
    names: Vec<String>,
}

impl Ordered {
    /// The rows of `select`, by the columns `first` and then by all others.
    pub(super) fn by<'a>(select: LogicalPlan, first: impl Iterator<Item = &'a str>) -> Result<Self> {
        let names: Vec<String> = select.schema().fields().iter().map(|field| field.name().clone()).collect();
        let first = first.map(|name| select.schema().as_arrow().index_of(name)).collect::<Result<Vec<_>, _>>()?;
        let (input, columns) = match select {
            LogicalPlan::Projection(select) if select.expr.iter().all(is_plain) => {
                (Arc::unwrap_or_clone(select.input), select.expr)
            }
            select => {
                let columns = select.schema().columns().into_iter().map(Expr::Column).collect();
                (select, columns)
            }
        };
        let mut order: Vec<Expr> = Vec::new();
        for index in first.into_iter().chain(0..columns.len()) {
            let shown = columns[index].clone().unalias();
            // What follows from columns before it orders nothing.
            let known = |column: &Column| order.contains(&Expr::Column(column.clone()));
            if !order.contains(&shown) && !shown.column_refs().into_iter().all(known) {
                order.push(shown);
            }
        }
        let order = order.into_iter().map(|by| by.sort(true, true));
        let of: HashSet<&Column> = columns.iter().flat_map(Expr::column_refs).collect();
        let needed = input.schema().columns().into_iter().filter(|column| of.contains(column)).map(Expr::Column);
        let needed: Vec<Expr> = needed.collect();
        let plan = LogicalPlanBuilder::from(input).project(needed)?.sort(order)?.build()?;
        Ok(Self { plan, columns, names })
    }

    /// The whole SELECT.
    pub(super) fn whole(&self) -> Result<LogicalPlan> {
        LogicalPlanBuilder::from(self.plan.clone()).project(self.columns.iter().cloned())?.build()
    }

    /// The SELECT over the rows that `sorted` gives.
    pub(super) fn shown(&self, state: &SessionState, sorted: Arc<dyn ExecutionPlan>) -> Result<Arc<dyn ExecutionPlan>> {
        let schema = self.plan.schema();
        // As the optimizer would; some functions do nothing but to be simplified away.
        let simplifier = ExprSimplifier::new(
            SimplifyContext::builder()
                .with_schema(Arc::clone(schema))
                .with_config_options(Arc::clone(state.config_options()))
                .build(),
        );
        let columns = self.columns.iter().zip(&self.names).map(|(column, name)| {
            let expr = simplifier.simplify(simplifier.coerce(column.clone().unalias(), schema)?)?;
            Ok(ProjectionExpr { expr: state.create_physical_expr(expr, schema)?, alias: name.clone() })
        });
        Ok(Arc::new(ProjectionExec::try_new(columns.collect::<Result<Vec<_>>>()?, sorted)?))
    }
}

/// Whether it gives the same over the same columns, wherever in a plan and whenever.
fn is_plain(expression: &Expr) -> bool {
    let varies = |part: &Expr| match part {
        Expr::ScalarSubquery(_) | Expr::InSubquery(_) | Expr::Exists(_) => true,
        Expr::ScalarFunction(call) => call.func.signature().volatility != Volatility::Immutable,
        _ => false,
    };
    !expression.exists(|part| Ok(varies(part))).unwrap_or(true)
}

#[cfg(test)]
mod tests {
    use datafusion::arrow::util::pretty::pretty_format_batches;
    use datafusion::physical_plan::collect;
    use datafusion::prelude::SessionContext;

    use super::*;

    const ROWS: &str = "FROM (VALUES (2, 'a', 7), (1, 'b', 7), (1, 'a', 8), (2, 'a', 6), (3, NULL, 5)) AS t(a, b, c)";

    /// The sort of a SELECT, and its rows.
    async fn ordered(select: &str) -> (String, String) {
        let context = SessionContext::new();
        let state = context.state();
        let select = state.create_logical_plan(&format!("{select} {ROWS}")).await.unwrap();
        let ordered = Ordered::by(select, ["x"].into_iter()).unwrap();
        let sort = ordered.plan.display().to_string();
        let sorted = state.create_physical_plan(&ordered.plan).await.unwrap();
        let rows = collect(ordered.shown(&state, sorted).unwrap(), context.task_ctx()).await.unwrap();
        (sort, pretty_format_batches(&rows).unwrap().to_string())
    }

    async fn of_the_engine(select: &str, order: &str) -> String {
        let rows = SessionContext::new().sql(&format!("{select} {ROWS} ORDER BY {order}")).await.unwrap();
        pretty_format_batches(&rows.collect().await.unwrap()).unwrap().to_string()
    }

    #[tokio::test]
    async fn a_column_that_follows_from_others_is_shown_and_orders_nothing() {
        let select = "SELECT b AS x, a, b AS y, a + 1 AS z, 'same' AS w, arrow_cast(c, 'Int32') AS v";
        let (sort, rows) = ordered(select).await;
        assert_eq!(
            sort,
            "Sort: t.b ASC NULLS FIRST, t.a ASC NULLS FIRST, arrow_cast(t.c, Utf8(\"Int32\")) ASC NULLS FIRST"
        );
        assert_eq!(rows, of_the_engine(select, "x NULLS FIRST, a, v").await);
    }

    #[tokio::test]
    async fn what_is_not_the_same_everywhere_is_worked_out_before() {
        for (select, order) in [
            ("SELECT DISTINCT a AS x, b", "x, b NULLS FIRST"),
            ("SELECT a AS x, (SELECT max(column1) FROM (VALUES (1), (2))) AS y, c", "x, y, c"),
        ] {
            assert_eq!(ordered(select).await.1, of_the_engine(select, order).await);
        }
        let (sort, _) = ordered("SELECT a AS x, now() AS y").await;
        assert_eq!(sort, "Sort: x ASC NULLS FIRST, y ASC NULLS FIRST");
    }
}
