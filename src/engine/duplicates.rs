//! Rows that a lake holds more than once, of which a job wants one.
//!
//! Rows are compared inside one window, so that what a window sees does not depend on the windows that are read beside it. The
//! latest of some rows stays: of a window before the first one, of which only the end is read, that is the same one.

use std::collections::BTreeMap;
use std::sync::Arc;

use datafusion::arrow::array::AsArray;
use datafusion::arrow::datatypes::{Int64Type, TimestampNanosecondType};
use datafusion::catalog::TableProvider;
use datafusion::error::Result as EngineResult;
use datafusion::functions::expr_fn::date_bin;
use datafusion::functions_aggregate::expr_fn::{count, sum};
use datafusion::functions_window::expr_fn::row_number;
use datafusion::logical_expr::{Expr, ExprFunctionExt, lit};
use datafusion::prelude::{SessionContext, ident};

use super::bind::Bindings;
use super::hunt::engine_error;
use crate::error::Result;
use crate::job::{Duplicates, SourceSpec};
use crate::lake::RawTable;

/// Names of columns that no lake has.
const WINDOW: &str = "duplicates window";
const PLACE: &str = "duplicates place";
const COPIES: &str = "duplicates copies";

/// The rows of `raw` without those that the job does not want twice.
pub(super) fn without(
    context: &SessionContext,
    source: &SourceSpec,
    bindings: &Bindings,
    raw: RawTable,
) -> EngineResult<Arc<dyn TableProvider>> {
    let rows = || context.read_table(Arc::new(raw.clone()));
    Ok(match (source.duplicates, &source.id) {
        (Duplicates::Exact, _) => rows()?.distinct()?.into_view(),
        (Duplicates::ById, Some(id)) => {
            let columns: Vec<Expr> = source.columns.keys().map(ident).collect();
            let latest = std::iter::once(ident(&source.time).sort(false, false));
            let then = columns.iter().map(|column| column.clone().sort(true, true));
            let place = row_number()
                .partition_by(vec![window(source, bindings), ident(id)])
                .order_by(latest.chain(then).collect())
                .build()?
                .alias(PLACE);
            let one = ident(PLACE).eq(lit(1_u64)).or(ident(id).is_null()).or(ident(id).eq(lit("")));
            rows()?.window(vec![place])?.filter(one)?.select(columns)?.into_view()
        }
        _ => Arc::new(raw),
    })
}

/// How many rows of each window (by its first instant, in nanoseconds) `without` leaves out; `None` where all stay.
pub(crate) async fn dropped(
    context: &SessionContext,
    source: &SourceSpec,
    bindings: &Bindings,
    raw: RawTable,
) -> Result<Option<BTreeMap<i64, u64>>> {
    let mut alike = match (source.duplicates, &source.id) {
        (Duplicates::Exact, _) => source.columns.keys().map(ident).collect(),
        (Duplicates::ById, Some(id)) => vec![ident(id)],
        _ => return Ok(None),
    };
    alike.push(window(source, bindings).alias(WINDOW));
    let count_copies = || -> EngineResult<_> {
        let time = || ident(&source.time);
        let inside = time().gt_eq(bindings.literal("range_start")).and(time().lt(bindings.literal("range_end")));
        let mut rows = context.read_table(Arc::new(raw))?.filter(inside)?;
        if let (Duplicates::ById, Some(id)) = (source.duplicates, &source.id) {
            rows = rows.filter(ident(id).not_eq(lit("")))?;
        }
        rows.aggregate(alike, vec![count(lit(1_i64)).alias(COPIES)])?
            .filter(ident(COPIES).gt(lit(1_i64)))?
            .aggregate(vec![ident(WINDOW)], vec![sum(ident(COPIES) - lit(1_i64)).alias(COPIES)])
    };
    let batches = count_copies().map_err(engine_error)?.collect().await.map_err(engine_error)?;
    let mut dropped = BTreeMap::new();
    for batch in batches {
        let windows = batch.column(0).as_primitive::<TimestampNanosecondType>();
        let counts = batch.column(1).as_primitive::<Int64Type>();
        let rows = windows.iter().zip(counts.iter());
        dropped.extend(rows.filter_map(|(window, count)| Some((window?, u64::try_from(count?).ok()?))));
    }
    Ok(Some(dropped))
}

/// The window of a row.
fn window(source: &SourceSpec, bindings: &Bindings) -> Expr {
    date_bin(bindings.literal("window_size"), ident(&source.time), bindings.literal("range_start"))
}
