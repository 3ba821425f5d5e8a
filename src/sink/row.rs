//! The runs table: the record of each window as one flat row, for BI to join to the hits by `job_id` and `window_start`.
//!
//! A row follows from its record alone, so whoever finds a record can make its row.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use datafusion::arrow::array::{
    ArrayRef, Float64Array, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray,
};

use super::hits::{encode, encoding_error};
use super::record::RunRecord;
use crate::error::Result;

/// The rows of some records, in their order.
pub(super) fn rows<'a>(records: impl IntoIterator<Item = &'a RunRecord>) -> Result<RecordBatch> {
    let records: Vec<&RunRecord> = records.into_iter().collect();
    let text = |value: fn(&RunRecord) -> Option<&str>| -> ArrayRef {
        Arc::new(records.iter().map(|record| value(record)).collect::<StringArray>())
    };
    let whole = |value: fn(&RunRecord) -> Option<i64>| -> ArrayRef {
        Arc::new(records.iter().map(|record| value(record)).collect::<Int64Array>())
    };
    let time = |value: fn(&RunRecord) -> Option<DateTime<Utc>>| -> ArrayRef {
        let micros = records.iter().map(|record| value(record).map(|time| time.timestamp_micros()));
        Arc::new(micros.collect::<TimestampMicrosecondArray>().with_timezone("UTC"))
    };
    let seconds: Float64Array = records.iter().map(|record| Some(record.evaluation.as_ref()?.seconds)).collect();
    // Columns are only ever added, at the end: readers know the others by name and place.
    let columns: Vec<(&str, ArrayRef)> = vec![
        ("job", text(|r| Some(&r.job.slug))),
        ("job_id", text(|r| Some(&r.job.id))),
        ("job_version", text(|r| Some(&r.job.version))),
        ("window_label", text(|r| Some(&r.window.label))),
        ("window_start", time(|r| Some(r.window.start))),
        ("window_end", time(|r| Some(r.window.end))),
        ("window_size", text(|r| Some(&r.window.size))),
        ("scope", text(|r| Some(&r.window.scope))),
        ("evaluated_at", time(|r| Some(r.finished_at))),
        ("hits", whole(|r| Some(count(r.hits)))),
        ("kql_rows", whole(|r| r.kql_rows.map(count))),
        ("over_limit_keys", whole(|r| Some(count(r.over_limit.len() as u64)))),
        ("over_limit_pairs", whole(|r| Some(r.over_limit.iter().filter_map(|key| key.pairs).sum()))),
        ("files", whole(|r| Some(count(r.inputs.len() as u64)))),
        ("file_bytes", whole(|r| Some(count(r.inputs.iter().map(|input| input.size).sum())))),
        ("newest_file_at", time(|r| r.inputs.iter().map(|input| input.modified).max())),
        ("rows_read", whole(|r| Some(count(r.rows_read)))),
        ("bytes_read", whole(|r| Some(count(r.bytes_read)))),
        ("time_unit", text(|r| r.time_unit.as_deref())),
        ("warnings", whole(|r| Some(count(r.warnings.len() as u64)))),
        ("source", text(|r| Some(&r.source))),
        ("source_version", whole(|r| r.source_version.map(count))),
        ("run", text(|r| r.run.as_deref())),
        ("run_started_at", time(|r| Some(r.started_at))),
        ("pass_windows", whole(|r| Some(count(r.evaluation.as_ref()?.windows)))),
        ("pass_seconds", Arc::new(seconds)),
        ("fingerprint", text(|r| Some(&r.job.fingerprint))),
        ("lakehunt_version", text(|r| r.versions.get("lakehunt").map(String::as_str))),
    ];
    let nullable = columns.into_iter().map(|(name, column)| (name, column, true));
    RecordBatch::try_from_iter_with_nullable(nullable).map_err(encoding_error)
}

/// The row of one record as a Parquet file.
pub(super) fn file(record: &RunRecord) -> Result<Vec<u8>> {
    encode(&rows([record])?)
}

/// Counts are far below what 63 bits hold.
fn count(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}
