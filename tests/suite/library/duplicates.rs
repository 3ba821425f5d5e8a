//! `source.duplicates`: rows that the lake holds more than once.

use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use proptest::prelude::*;
use tempfile::TempDir;

use super::lake::{Ask, Dynamic, Row, write};
use super::random::{compare, rows};
use crate::lake::at;
use crate::oracle::{DAY, HOUR};
use crate::properties::check;
use crate::rows::EDGE;

/// A job that counts attempts, with something about duplicates in its source.
struct Counting {
    _folder: TempDir,
    path: String,
}

impl Counting {
    fn new(duplicates: &str) -> Self {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let text = std::fs::read_to_string(root.join("jobs/suspected-brute-force.yaml")).unwrap();
        let text = text.replace("../sql", root.join("sql").to_str().unwrap());
        let text = text.replace("tests: tests/suspected-brute-force.yaml\n", "");
        let id = "    Id: { type: string, optional: true }\n";
        let text = text.replacen("  columns:\n", &format!("{duplicates}  columns:\n{id}"), 1);
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("counting.yaml");
        std::fs::write(&path, text).unwrap();
        Self { path: path.to_str().unwrap().to_owned(), _folder: folder }
    }

    fn ask(&self) -> Ask<'_> {
        Ask::days(&self.path, "2024-05-01", "2024-05-03").parameter("max_failures", "0")
    }
}

const EXACT: &str = "  duplicates: exact\n";
const BY_ID: &str = "  duplicates: by_id\n  id: Id\n";

fn row(time: &str, id: Option<&str>, result: &str) -> Row {
    let values = [("UserPrincipalName", Some("bob")), ("Id", id), ("ResultType", Some(result))];
    let values = values.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?.to_owned()))).collect();
    Row { time: Some(at(time)), values }
}

/// Failures and successes of the first hit of each day, and what the records say was dropped.
fn counts(job: &Counting, rows: &[Row]) -> Vec<(i64, i64, Option<u64>)> {
    let ask = job.ask();
    let lake = write(&ask.job(), rows, Dynamic::Json);
    let run = ask.run(lake.path()).unwrap();
    let of = |label: &str| {
        let hits = run.hits(label);
        let count = |name: &str| hits.first().map_or(0, |hit| hit[name].as_i64().unwrap());
        (count("FailureCount"), count("SuccessCount"), run.record(label)["duplicates_dropped"].as_u64())
    };
    run.report.windows.iter().map(|window| of(&window.label)).collect()
}

#[test]
fn duplicates_stay_unless_told_otherwise() {
    let twice = row("2024-05-01T12:00:00Z", Some("1"), "50126");
    let rows =
        [twice.clone(), twice, row("2024-05-01T12:01:00Z", Some("2"), "0"), row("2024-05-02T12:00:00Z", None, "0")];
    assert_eq!(counts(&Counting::new(""), &rows)[0], (2, 1, None));
    assert_eq!(counts(&Counting::new("  duplicates: keep\n"), &rows)[0], (2, 1, None));
}

#[test]
fn exact_duplicates_are_one_row() {
    let thrice = row("2024-05-01T12:00:00Z", Some("1"), "50126");
    let rows = [
        thrice.clone(),
        thrice.clone(),
        thrice,
        row("2024-05-01T12:00:00Z", Some("2"), "50126"),
        row("2024-05-01T12:01:00Z", None, "0"),
        row("2024-05-01T12:01:00Z", None, "0"),
        row("2024-05-02T12:00:00Z", None, "0"),
    ];
    assert_eq!(counts(&Counting::new(EXACT), &rows), [(2, 1, Some(3)), (0, 0, Some(0))]);
}

#[test]
fn of_one_id_the_latest_row_of_a_window_stays() {
    let rows = [
        // A second factor was asked for, and given.
        row("2024-05-01T12:00:00Z", Some("1"), "50074"),
        row("2024-05-01T12:00:05Z", Some("1"), "0"),
        row("2024-05-01T12:10:00Z", Some("2"), "50126"),
        // Without an id nobody knows.
        row("2024-05-01T12:20:00Z", None, "50126"),
        row("2024-05-01T12:20:00Z", None, "50126"),
        row("2024-05-01T12:20:00Z", Some(""), "50126"),
        // Each window by itself.
        row("2024-05-01T23:59:00Z", Some("3"), "50126"),
        row("2024-05-02T00:00:00Z", Some("3"), "50126"),
        row("2024-05-02T00:01:00Z", Some("4"), "0"),
    ];
    assert_eq!(counts(&Counting::new(BY_ID), &rows), [(4, 1, Some(1)), (1, 1, Some(0))]);
}

#[test]
fn an_id_has_to_be_a_column() {
    for (text, message) in [
        ("  duplicates: by_id\n", "source.id"),
        ("  duplicates: by_id\n  id: Ids\n", "did you mean `Id`?"),
        ("  duplicates: by_id\n  id: TimeGenerated\n", "no string column"),
        ("  duplicates: some\n", "by_id"),
    ] {
        let error = lakehunt::Job::load(Path::new(&Counting::new(text).path)).unwrap_err();
        assert_eq!(error.kind(), lakehunt::ErrorKind::InvalidJob);
        assert!(format!("{error:?} {error}").contains(message), "{error}");
    }
}

/// What the option leaves of `rows`, whose windows are days.
fn left(rows: &[Row], by_id: bool) -> Vec<Row> {
    if !by_id {
        return rows.iter().cloned().collect::<BTreeSet<Row>>().into_iter().collect();
    }
    // The columns of the job, in their order; null goes first.
    let rank = |row: &Row| {
        let names = ["AppDisplayName", "IPAddress", "Id", "ResultDescription", "ResultType", "UserPrincipalName"];
        (std::cmp::Reverse(row.time), names.map(|name| row.values.get(name).cloned()))
    };
    let mut best: BTreeMap<(Option<i128>, String), Row> = BTreeMap::new();
    let mut left = Vec::new();
    for row in rows {
        if row.text("Id").is_empty() {
            left.push(row.clone());
            continue;
        }
        let key = (row.time.map(|time| time.div_euclid(DAY)), row.text("Id").to_owned());
        let best = best.entry(key).or_insert_with(|| row.clone());
        if rank(row) < rank(best) {
            *best = row.clone();
        }
    }
    left.into_iter().chain(best.into_values()).collect()
}

#[test]
fn the_engine_leaves_what_the_oracle_does() {
    let hits = Cell::new(0);
    let jobs = [Counting::new(EXACT), Counting::new(BY_ID)];
    let some_rows = rows(
        vec![0, 1],
        vec![-1_000, 0, 1_000, HOUR, HOUR + 1_000],
        vec![
            ("Id", vec![Some("1"), Some("2"), Some("3"), Some(""), None]),
            ("UserPrincipalName", vec![Some("bob"), Some("bob"), Some("eve"), None]),
            ("ResultType", vec![Some("0"), Some("50126"), Some("50126"), None]),
        ],
        24,
    );
    check(40, (some_rows, any::<bool>()), |(rows, by_id)| {
        let ask = jobs[usize::from(*by_id)].ask();
        assert_eq!(ask.from, EDGE);
        let left = left(rows, *by_id);
        let found = compare(&ask, rows, Dynamic::Json, |window| super::brute_force::oracle(&left, window, 0))?;
        hits.set(hits.get() + found);
        Ok(())
    });
    assert!(hits.get() > 30, "{} hits", hits.get());
}
