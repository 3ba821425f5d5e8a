//! The tests of the jobs, in `jobs/tests`, over each form in which lakes hold dynamic columns.

use std::collections::BTreeMap;
use std::path::Path;

use serde::Deserialize;
use serde_json::Value;

use super::SLUGS;
use super::lake::{Ask, Dynamic, Hit, Row, compared, job, put, shown, write};
use crate::lake::{at, instant};
use crate::oracle::{DAY, Scope};

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Test {
    name: String,
    #[serde(default)]
    defaults: BTreeMap<String, Value>,
    #[serde(default)]
    parameters: BTreeMap<String, Value>,
    window: Option<Range>,
    rows: Vec<BTreeMap<String, Value>>,
    #[serde(default)]
    tables: BTreeMap<String, Vec<BTreeMap<String, Value>>>,
    hits: Vec<Hit>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Range {
    from: String,
    to: String,
    size: Option<String>,
    scope: Option<String>,
}

fn row(time: &str, defaults: &BTreeMap<String, Value>, own: &BTreeMap<String, Value>) -> Row {
    let mut row = Row::default();
    for (name, value) in defaults.iter().chain(own) {
        match value {
            Value::String(text) if name == time => row.time = Some(at(text)),
            Value::Null => drop(row.values.remove(name)),
            Value::String(text) => drop(row.values.insert(name.clone(), text.clone())),
            value => drop(row.values.insert(name.clone(), value.to_string())),
        }
    }
    row
}

/// Times as the hit table has them.
fn normal(hit: &Hit, found: &[Hit]) -> Hit {
    let is_time = |name: &str| {
        found.iter().any(|hit| {
            let value = hit.get(name).and_then(Value::as_str);
            value.is_some_and(|text| text.len() == 27 && text.ends_with('Z') && text.as_bytes()[10] == b'T')
        })
    };
    let value = |name: &str, value: &Value| match value {
        Value::String(text) if is_time(name) => Value::from(shown(at(text))),
        value => value.clone(),
    };
    hit.iter().map(|(name, own)| (name.clone(), value(name, own))).collect()
}

fn check(slug: &str, test: &Test, dynamic: Dynamic) {
    let job = job(slug);
    let rows: Vec<Row> = test.rows.iter().map(|own| row(&job.source().time, &test.defaults, own)).collect();
    let last = rows.iter().filter_map(|row| row.time).max().unwrap();
    let day = last.div_euclid(DAY) * DAY;
    let text = |time: i128| instant(time).format("%Y-%m-%dT%H:%M:%SZ").to_string();
    let range = test.window.as_ref();
    let (from, to) = range.map_or((text(day), text(day + DAY)), |range| (range.from.clone(), range.to.clone()));
    let mut ask = Ask::days(slug, &from, &to);
    if let Some(size) = range.and_then(|range| range.size.as_deref()) {
        ask.window = size;
    }
    ask.scope = match range.and_then(|range| range.scope.as_deref()) {
        None | Some("overlap") => Scope::Overlap,
        Some("strict") => Scope::Strict,
        Some(other) => panic!("{other} is no scope"),
    };
    for (name, value) in &test.parameters {
        let value = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        ask = ask.parameter(name, &value);
    }
    let lake = write(&job, &rows, dynamic);
    let further = tempfile::tempdir().unwrap();
    let folders: Vec<_> = test.tables.keys().map(|name| (name, further.path().join(name))).collect();
    for ((name, folder), rows) in folders.iter().zip(test.tables.values()) {
        let source = job.sources().find(|source| source.table == **name).unwrap();
        let rows: Vec<Row> = rows.iter().map(|own| row(&source.time, &BTreeMap::new(), own)).collect();
        put(folder, source, &rows, dynamic);
        ask.tables.push((name, folder));
    }
    let found = ask.run(lake.path()).unwrap().all_hits();
    let expected: Vec<Hit> = test.hits.iter().map(|hit| normal(hit, &found)).collect();
    assert_eq!(compared(&found, &expected), compared(&expected, &expected), "{slug}: {} ({dynamic:?})", test.name);
}

#[test]
fn tests_of_the_jobs_pass_in_each_form() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("jobs/tests");
    for slug in SLUGS {
        let text = std::fs::read_to_string(folder.join(slug).with_extension("yaml")).unwrap();
        let tests: Vec<Test> = serde_saphyr::from_str(&text).unwrap_or_else(|e| panic!("{slug}: {e}"));
        let with_hits = tests.iter().filter(|test| !test.hits.is_empty()).count();
        assert!(with_hits > 0 && with_hits < tests.len(), "{slug} has tests that find something and tests that do not");
        for test in &tests {
            for dynamic in [Dynamic::Json, Dynamic::Struct, Dynamic::Flat] {
                check(slug, test, dynamic);
            }
        }
    }
}
