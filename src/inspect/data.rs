//! What only the rows themselves tell.

use std::sync::Arc;

use chrono::DateTime;
use datafusion::arrow::array::{Array, AsArray, RecordBatch};
use datafusion::arrow::datatypes::{Float64Type, Int64Type, TimestampNanosecondType};
use datafusion::prelude::SessionContext;
use serde::Serialize;

use super::Inspection;
use crate::engine::{self, Limits, engine_error};
use crate::error::Result;
use crate::job::{ColumnType, Job, SourceSpec};
use crate::lake::{Columns, FileFacts, Notices, RawTable};
use crate::settings::DEFAULT_MEMORY_LIMIT;
use crate::store::Root;

/// Rows of a column that are null, and those that are empty text: KQL takes both for empty.
#[derive(Debug, Serialize)]
pub(crate) struct Nulls {
    pub(crate) column: String,
    pub(crate) null: u64,
    pub(crate) empty: u64,
}

/// How long one time column trails another, in seconds; percentiles are approximate.
#[derive(Debug, Serialize)]
pub(crate) struct Lag {
    pub(crate) later: String,
    pub(crate) earlier: String,
    pub(crate) rows: u64,
    pub(crate) median_seconds: f64,
    pub(crate) p99_seconds: f64,
    pub(crate) max_seconds: f64,
}

/// Reads all rows of `facts` and fills in what they tell.
pub(super) async fn fill(
    inspection: &mut Inspection,
    job: &Job,
    root: &Root,
    columns: &Arc<Columns>,
    facts: &[Arc<FileFacts>],
) -> Result<()> {
    let all = RawTable::new(root.clone(), Arc::clone(columns), facts.to_vec(), (i64::MIN, i64::MAX), Arc::default());
    let context = session()?;
    context.register_table("raw", Arc::new(all)).map_err(engine_error)?;
    let name = |column: usize| quoted(columns.name(column));

    let mut select = vec![format!("min({0}), max({0})", name(columns.time()))];
    for column in 0..columns.len() {
        select.push(format!("count(*) - count({})", name(column)));
        select.push(match columns.spec(column).kind {
            ColumnType::String | ColumnType::Dynamic => format!("count(*) FILTER (WHERE {} = '')", name(column)),
            _ => "0".to_owned(),
        });
    }
    if let Some(row) = first_row(&context, &format!("SELECT {} FROM raw", select.join(", "))).await? {
        let time = |index: usize| {
            let column = row.column(index).as_primitive::<TimestampNanosecondType>();
            (!column.is_null(0)).then(|| DateTime::from_timestamp_nanos(column.value(0)))
        };
        (inspection.earliest, inspection.latest) = (time(0), time(1));
        for column in 0..columns.len() {
            inspection.nulls.push(Nulls {
                column: columns.name(column).to_owned(),
                null: count(&row, 2 + 2 * column),
                empty: count(&row, 3 + 2 * column),
            });
        }
    }

    let by = (0..columns.len()).map(name).collect::<Vec<_>>().join(", ");
    let duplicates = format!(
        "SELECT coalesce(sum(copies - 1), 0) FROM (SELECT count(*) AS copies FROM raw GROUP BY {by} HAVING count(*) > 1)"
    );
    if let Some(row) = first_row(&context, &duplicates).await? {
        inspection.duplicate_rows = count(&row, 0);
    }
    inspection.lag = lag(job.source(), root, columns, facts).await?;
    Ok(())
}

/// The lag between the first two of the job's time columns that the files hold.
async fn lag(source: &SourceSpec, root: &Root, columns: &Columns, facts: &[Arc<FileFacts>]) -> Result<Option<Lag>> {
    let held: Vec<&str> = columns
        .names(columns.time())
        .into_iter()
        .filter(|name| {
            facts.iter().any(|f| f.shape.schema.fields().iter().any(|field| field.name().eq_ignore_ascii_case(name)))
        })
        .collect();
    let [later, earlier, ..] = held.as_slice() else { return Ok(None) };
    // The same files as a table of two times.
    let mut both = source.clone();
    let spec = source.columns[&source.time].clone();
    both.columns = [("later", later), ("earlier", earlier)]
        .into_iter()
        .map(|(name, stored)| {
            let mut spec = spec.clone();
            spec.from = vec![(*stored).to_owned()];
            (name.to_owned(), spec)
        })
        .collect();
    both.time = "later".to_owned();
    let raw = RawTable::new(
        root.clone(),
        Arc::new(Columns::new(&both)),
        facts.to_vec(),
        (i64::MIN, i64::MAX),
        Arc::new(Notices::default()),
    );
    let context = session()?;
    context.register_table("raw", Arc::new(raw)).map_err(engine_error)?;
    let sql = "SELECT count(seconds), approx_percentile_cont(seconds, 0.5), approx_percentile_cont(seconds, 0.99), max(seconds) \
               FROM (SELECT (CAST(later AS BIGINT) - CAST(earlier AS BIGINT)) / 1e9 AS seconds FROM raw)";
    let Some(row) = first_row(&context, sql).await? else { return Ok(None) };
    let rows = count(&row, 0);
    let seconds = |index: usize| row.column(index).as_primitive::<Float64Type>().value(0);
    Ok((rows > 0).then(|| Lag {
        later: (*later).to_owned(),
        earlier: (*earlier).to_owned(),
        rows,
        median_seconds: seconds(1),
        p99_seconds: seconds(2),
        max_seconds: seconds(3),
    }))
}

fn session() -> Result<SessionContext> {
    let threads = std::thread::available_parallelism().unwrap_or(std::num::NonZeroUsize::MIN);
    engine::context(Limits { threads, memory: DEFAULT_MEMORY_LIMIT, interval_join: true })
}

async fn first_row(context: &SessionContext, sql: &str) -> Result<Option<RecordBatch>> {
    let batches = context.sql(sql).await.map_err(engine_error)?.collect().await.map_err(engine_error)?;
    Ok(batches.into_iter().find(|batch| batch.num_rows() > 0))
}

fn count(row: &RecordBatch, column: usize) -> u64 {
    u64::try_from(row.column(column).as_primitive::<Int64Type>().value(0)).unwrap_or_default()
}

fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}
