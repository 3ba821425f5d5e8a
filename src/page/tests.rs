//! Values of a report beside SQL over the same rows, for a table of a made-up hunt.

use std::collections::BTreeMap;
use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};
use datafusion::arrow::array::{ArrayRef, AsArray, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray};
use datafusion::arrow::datatypes::Int64Type;
use datafusion::datasource::MemTable;
use datafusion::prelude::{SessionConfig, SessionContext};
use serde_json::json;

use super::Request;
use super::gather::gather;
use super::read::{Found, Material};
use super::render::html;
use super::values::Report;
use crate::job::Job;
use crate::sink::RunRecord;
use crate::window::parse_instant;

fn job() -> Job {
    Job::load(&std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("jobs/signin-success-then-fail.yaml")).unwrap()
}

fn at(text: &str) -> DateTime<Utc> {
    parse_instant(text).unwrap()
}

/// A day's hits: each of a user, two apps and a code, some of them null or empty.
fn hits(day: DateTime<Utc>, seed: usize, count: usize) -> RecordBatch {
    let pick = |row: usize, of: &[Option<&'static str>]| of[(row * 7 + seed * 3) % of.len()];
    let texts = |of: &[Option<&'static str>]| -> ArrayRef {
        Arc::new((0..count).map(|row| pick(row, of)).collect::<StringArray>())
    };
    let times = |add: i64| -> ArrayRef {
        let times = (0..count as i64).map(|row| day.timestamp_micros() + row * 1_000_000 + add);
        Arc::new(TimestampMicrosecondArray::from_iter_values(times).with_timezone("UTC"))
    };
    let same = |instant: DateTime<Utc>| -> ArrayRef {
        let times = std::iter::repeat_n(instant.timestamp_micros(), count);
        Arc::new(TimestampMicrosecondArray::from_iter_values(times).with_timezone("UTC"))
    };
    let numbers =
        |of: fn(i64) -> i64| -> ArrayRef { Arc::new(Int64Array::from_iter_values((0..count as i64).map(of))) };
    RecordBatch::try_from_iter([
        ("UserPrincipalName", texts(&[Some("bob@x"), Some("eve@x"), Some("Bob@x"), None, Some(""), Some("zoé@x")])),
        ("SuccessLogonTime", times(0)),
        ("IPAddress", texts(&[Some("10.0.0.1"), Some("2001:db8::1"), Some("10.0.0.2")])),
        ("SuccessAppDisplayName", texts(&[Some("A"), Some("B|C"), Some("")])),
        ("FailedLogonTime", times(1_234_567)),
        ("FailedAppDisplayName", texts(&[Some("D"), Some("E")])),
        ("ResultType", texts(&[Some("50126"), Some("50076"), Some("unheard of"), Some("50126")])),
        ("window_start", same(day)),
        ("window_end", same(day + TimeDelta::days(1))),
        ("kql_rank", numbers(|row| 1 + row % 3)),
        ("distribution_count", numbers(|row| 1 + row % 5)),
        ("hit_id", texts(&[Some("id")])),
    ])
    .unwrap()
}

fn record(day: DateTime<Utc>, hits: usize, fingerprint: &str) -> RunRecord {
    let label = day.format("%Y-%m-%d").to_string();
    serde_json::from_value(json!({
        "version": 1,
        "job": {"slug": "job", "id": "id", "version": "1.0.0", "fingerprint": fingerprint},
        "window": {"label": label, "start": day, "end": day + TimeDelta::days(1), "size": "1d", "scope": "overlap"},
        "parameters": {"logon_diff": "1m"}, "source": "lake", "layout": "flat",
        "inputs": [{"path": format!("{label}.parquet"), "size": 10, "modified": day}],
        "rows_read": 100, "bytes_read": 1000, "time_unit": "us", "hits": hits, "kql_rows": null,
        "over_limit": [
            {"SuccessAppDisplayName": "A", "ResultType": "50126", "pairs": 7},
            {"SuccessAppDisplayName": label, "ResultType": "<b>", "pairs": 100},
        ],
        "warnings": [], "started_at": day, "finished_at": day + TimeDelta::days(2), "versions": {"lakehunt": "0.1.0"},
    }))
    .unwrap()
}

fn material(counts: &[usize]) -> Material {
    let windows: BTreeMap<String, Found> = counts
        .iter()
        .enumerate()
        .map(|(index, count)| {
            let day = at("2024-05-01") + TimeDelta::days(index as i64);
            let rows = if *count > 0 { vec![hits(day, index, *count)] } else { Vec::new() };
            let found = Found { record: Some(record(day, *count, "same")), whole: true, rows };
            (day.format("%Y-%m-%d").to_string(), found)
        })
        .collect();
    Material { window_size: Some("1d".to_owned()), windows, ..Material::default() }
}

fn request(rows: usize) -> Request {
    Request { from: None, to: None, rows, output: "hunts".to_owned(), now: at("2024-06-01") }
}

fn report(material: &Material, rows: usize) -> Report {
    gather(&job(), material, &request(rows)).unwrap()
}

/// What a query over the same rows gives: text and number.
async fn query(material: &Material, sql: &str) -> Vec<(String, u64)> {
    let batches: Vec<RecordBatch> = material.windows.values().flat_map(|found| found.rows.clone()).collect();
    let context = SessionContext::new_with_config(
        SessionConfig::new().set_bool("datafusion.sql_parser.enable_ident_normalization", false),
    );
    let table = MemTable::try_new(batches[0].schema(), vec![batches]).unwrap();
    context.register_table("hits", Arc::new(table)).unwrap();
    let mut rows = Vec::new();
    for batch in context.sql(sql).await.unwrap().collect().await.unwrap() {
        let texts = datafusion::arrow::compute::cast(batch.column(0), &datafusion::arrow::datatypes::DataType::Utf8);
        let texts = texts.unwrap();
        let numbers = batch.column(1).as_primitive::<Int64Type>();
        rows.extend(
            (0..batch.num_rows()).map(|row| {
                (texts.as_string::<i32>().value(row).to_owned(), u64::try_from(numbers.value(row)).unwrap())
            }),
        );
    }
    rows
}

#[tokio::test]
async fn figures_equal_queries() {
    let material = material(&[37, 0, 5, 88]);
    let report = report(&material, 50);
    assert_eq!(report.hits.0, 130);
    for top in &report.tops {
        let column = &top.column;
        let value = format!("coalesce(nullif({column}, ''), '(empty)')");
        let sql =
            format!("SELECT {value} AS value, count(*) AS n FROM hits GROUP BY 1 ORDER BY n DESC, value LIMIT 10");
        let shown: Vec<(String, u64)> = top.entries.iter().map(|entry| (entry.text.clone(), entry.hits.0)).collect();
        assert_eq!(shown, query(&material, &sql).await, "{column}");
    }
    let columns: Vec<&str> = report.tops.iter().map(|top| top.column.as_str()).collect();
    assert_eq!(
        columns,
        ["UserPrincipalName", "IPAddress", "SuccessAppDisplayName", "FailedAppDisplayName", "ResultType"]
    );
    let bars = report.bars.as_ref().unwrap();
    assert_eq!(bars.labels, ["2024-05-01", "2024-05-02", "2024-05-03", "2024-05-04"]);
    let by_day =
        "SELECT date_format(window_start, '%Y-%m-%d') AS d, count(*) FILTER (WHERE kql_rank = 1) FROM hits GROUP BY 1";
    let kql: BTreeMap<String, u64> = query(&material, by_day).await.into_iter().collect();
    let expected: Vec<u64> = bars.labels.iter().map(|day| kql.get(day).copied().unwrap_or_default()).collect();
    assert_eq!(bars.first, expected);
    let others = bars.others.as_ref().unwrap();
    let all: Vec<u64> = bars.first.iter().zip(others).map(|(first, others)| first + others).collect();
    assert_eq!(all, [37, 0, 5, 88]);
    assert_eq!((report.table.rows.len(), report.table.left.0), (50, 80));
    // Common keys over all windows: one in each, and one in all.
    let keys: Vec<(u64, u64)> = report.common.keys.iter().map(|key| (key.pairs.0, key.windows.0)).collect();
    assert_eq!(keys, [(100, 1), (100, 1), (100, 1), (100, 1), (28, 4)]);
    // Timelines count all, whatever they show.
    let users: u64 = report.timelines.entities.iter().map(|entity| entity.hits.0).sum();
    assert_eq!(users, 130);
    let moment = &report.timelines.entities[0].shown[0];
    assert_eq!(moment.span.as_deref(), Some("1.234 s"));
    assert_eq!(moment.events[1].place, 2.1, "of the minute that the job allows");
    let named: Vec<&str> = moment.events.iter().map(|event| event.class).collect();
    assert_eq!((named, moment.events[0].code.as_deref()), (vec!["success", "failure"], None));
}

#[test]
fn a_page_of_many_hits_stays_small() {
    let material = material(&[40_000, 40_000]);
    let report = report(&material, 500);
    let page = html(&report).unwrap();
    assert_eq!(report.hits.0, 80_000);
    assert!(page.contains("80,000 hits"));
    assert!(page.len() < 600_000, "{}", page.len());
    assert!(page.contains("<b>80,000</b>"), "figures count all");
}

#[test]
fn no_window_and_no_hit_make_a_page_too() {
    let none = report(&Material::default(), 10);
    assert_eq!((none.hits.0, none.bars.is_none(), none.range.as_str()), (0, true, "no window"));
    assert!(html(&none).unwrap().contains("No window of this range was ever looked at"));
    let empty = html(&report(&material(&[0, 0]), 10)).unwrap();
    assert!(empty.contains("No hits in this range.") && !empty.contains("<svg"));
}

#[test]
fn years_are_drawn_by_longer_bars() {
    let counts: Vec<usize> = (0..400).map(|day| day % 3).collect();
    let report = report(&material(&counts), 10);
    let bars = report.bars.unwrap();
    assert_eq!((bars.unit.as_str(), bars.labels.len()), ("week", 58));
    let others = bars.others.unwrap();
    assert_eq!(bars.first.iter().chain(&others).sum::<u64>(), 399);
    assert_eq!(bars.labels[0], "2024-04-29", "weeks begin on a Monday");
    assert_eq!(report.coverage.lines.len(), 14, "a line for each month");
    assert_eq!(report.provenance.windows_left.0, 280);
}
