//! The hit table and the runs table as others find them: Parquet or Delta, on every backend, whole after whatever happened.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use arrow::array::AsArray;
use arrow::datatypes::Int64Type;
use lakehunt::{ErrorKind, Outcome, OutputFormat, RunReport};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use serde_json::{Value, json};

use super::commits::{WINDOW, check_whole, conflicts, run_at_once, run_with_another};
use super::faulty::{Call, Fault, Op, failing};
use super::place::{Backend, Place, code, stderr, stdout};
use super::same::{lake, three_days};
use super::servers;
use crate::lake::{Ask, SLUG};

const HITS: &str = "delta/hits/signin-success-then-fail";
const RUNS: &str = "delta/runs";

/// The files that make up a Delta table of `out`, each with its values of the partitions, by replaying its log.
fn files(place: &Place, table: &str) -> BTreeMap<String, Value> {
    let mut files = BTreeMap::new();
    let log = place.objects(&format!("out/{table}/_delta_log"));
    // A log that was cleaned up begins with a checkpoint, which this does not read.
    let from = log.keys().find(|name| name.ends_with(".json")).cloned().unwrap_or_default();
    assert!(from.is_empty() || from.starts_with("00000000000000000000"), "the log begins with {from}");
    for (_, commit) in log.iter().filter(|(name, _)| name.ends_with(".json")) {
        for line in String::from_utf8(commit.clone()).unwrap().lines() {
            let mut action: Value = serde_json::from_str(line).unwrap();
            if let Some(path) = action["remove"]["path"].as_str() {
                files.remove(path).expect("what is removed was there");
            }
            if let Some(path) = action["add"]["path"].as_str().map(str::to_owned) {
                let before = files.insert(path, action["add"]["partitionValues"].take());
                assert!(before.is_none(), "a file is added once");
            }
        }
    }
    files
}

/// The names below `out` of the files that make up the Delta tables.
pub(super) fn data_files(place: &Place) -> BTreeSet<String> {
    let of = |table: &'static str| files(place, table).into_keys().map(move |path| format!("{table}/{path}"));
    of(HITS).chain(of(RUNS)).collect()
}

/// The bytes of the hits of each window, of a Delta table.
pub(super) fn hits(place: &Place) -> BTreeMap<String, Vec<u8>> {
    let mut hits = BTreeMap::new();
    for (path, partition) in files(place, HITS) {
        let bytes = place.get(&format!("out/{HITS}/{path}")).expect("a file of the table is there");
        let before = hits.insert(partition["window_label"].as_str().unwrap().to_owned(), bytes);
        assert!(before.is_none(), "one file a window");
    }
    hits
}

/// The rows of the runs table, of either format, with the columns that tests look at.
pub(super) fn rows(place: &Place) -> Vec<Value> {
    let of_windows = place.windows("runs", "run.parquet").into_values();
    let of_months = files(place, RUNS).into_keys().map(|path| place.get(&format!("out/{RUNS}/{path}")).unwrap());
    let mut rows = Vec::new();
    for bytes in of_windows.chain(of_months) {
        let reader = ParquetRecordBatchReaderBuilder::try_new(bytes::Bytes::from(bytes)).unwrap().build().unwrap();
        for batch in reader {
            let batch = batch.unwrap();
            let text = |name: &str, row: usize| batch[name].as_string::<i32>().value(row).to_owned();
            let number = |name: &str, row: usize| batch[name].as_primitive::<Int64Type>().value(row);
            rows.extend((0..batch.num_rows()).map(|row| {
                json!({
                    "window_label": text("window_label", row),
                    "fingerprint": text("fingerprint", row),
                    "hits": number("hits", row),
                    "over_limit_keys": number("over_limit_keys", row),
                })
            }));
        }
    }
    rows
}

fn run_as(place: &Place, ask: &Ask, format: OutputFormat) -> RunReport {
    place.run(ask, |settings| settings.output_format = format).unwrap()
}

fn without(rows: Vec<Value>, columns: &[&str]) -> Vec<Value> {
    let mut rows: Vec<Value> = rows
        .into_iter()
        .map(|mut row| {
            columns.iter().for_each(|column| {
                row.as_object_mut().unwrap().remove(*column);
            });
            row
        })
        .collect();
    // Ids are of the hits' own values; the rest tells duplicates apart.
    rows.sort_by_cached_key(|row| (row["hit_id"].to_string(), row.to_string()));
    rows
}

#[test]
fn both_formats_hold_the_same_hits_for_every_reader_on_every_backend() {
    let Some(readers) = servers::readers() else { return };
    let lake = lake();
    let mut answers: Vec<(String, Vec<Value>)> = Vec::new();
    for backend in Backend::all() {
        let (parquet, delta) = (Place::new(backend), Place::new(backend));
        for (place, format) in [(&parquet, OutputFormat::Parquet), (&delta, OutputFormat::Delta)] {
            place.upload(&lake);
            let report = run_as(place, &three_days(), format);
            assert_eq!(report.exit_code(), 0, "{}", backend.name());
            check_whole(place);
        }
        assert!(parquet.hits() == delta.hits(), "{}: the files are the same to the byte", backend.name());
        let (server, table) = (backend.server(), delta.url(&format!("out/{HITS}")));
        let glob = parquet.url("out/hits/*/*/hits.parquet");
        let of_readers = [
            ("DuckDB, Parquet", readers.duckdb(server, &format!("SELECT * FROM read_parquet('{glob}')"))),
            ("pyarrow, Parquet", readers.pyarrow_rows(server, &parquet.url("out/hits"))),
            ("DuckDB, Delta", readers.duckdb(server, &format!("SELECT * FROM delta_scan('{table}')"))),
            ("pyarrow, Delta", readers.delta_rows(server, &table, "pyarrow")),
            ("deltalake, Delta", readers.delta_rows(server, &table, "deltalake")),
        ];
        for (reader, rows) in of_readers {
            let rows = without(rows.unwrap(), &["job", "window", "window_label"]);
            answers.push((format!("{} by {reader}", backend.name()), rows));
        }
        let state = readers.delta_state(server, &table);
        assert_eq!((&state["reader"], &state["writer"]), (&1.into(), &2.into()), "any reader of Delta reads it");
        assert_eq!(state["features"], json!([[], []]));
        assert_eq!(state["partitions"], json!(["window_label"]));
        for (column, kind) in [("SuccessLogonTime", "timestamp"), ("kql_rank", "long"), ("hit_id", "string")] {
            assert_eq!(state["schema"][column], kind, "{column}");
        }
    }
    let (first, expected) = &answers[0];
    assert!(expected.len() > 5);
    for (reader, rows) in &answers {
        assert!(rows == expected, "{reader} has other rows than {first}:\n{rows:#?}\n{expected:#?}");
    }
}

/// The queries of `sql/bi` over an output of two windows and a gap between them.
#[test]
fn the_queries_for_bi_answer_from_both_formats() {
    let Some(readers) = servers::readers() else { return };
    let sql = |name: &str| {
        let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("sql/bi").join(name).with_extension("sql");
        std::fs::read_to_string(path).unwrap()
    };
    for backend in Backend::all() {
        for format in [OutputFormat::Parquet, OutputFormat::Delta] {
            let place = Place::new(backend);
            place.upload(&lake());
            let mut hits = 0;
            for (from, to) in [("2024-05-01", "2024-05-02"), ("2024-05-03", "2024-05-04")] {
                let mut ask = Ask { slack: 1, ..Ask::days(from, to) };
                // So that some keys are suppressed.
                ask.limits.max_distribution = if to == "2024-05-02" { 5 } else { 1 };
                hits += run_as(&place, &ask, format).hits();
            }
            let suppressed: i64 = rows(&place).iter().map(|row| row["over_limit_keys"].as_i64().unwrap()).sum();
            assert!(hits > 0 && suppressed > 0, "{hits} {suppressed}");
            let output = place.url("out");
            let ask = |query: &str| {
                let all =
                    format!("SET VARIABLE output = '{output}';\n{}\n{}", sql(&format!("duckdb-{format}")), sql(query));
                let what = format!("{}, {format}, {query}", backend.name());
                readers.duckdb(backend.server(), &all).unwrap_or_else(|e| panic!("{what}: {e}"))
            };
            let what = format!("{}, {format}", backend.name());
            let new = ask("new-hits");
            let first = place.records()["2024-05-01"]["kql_rows"].as_u64().unwrap();
            let second = place.records()["2024-05-03"]["kql_rows"].as_u64().unwrap();
            assert_eq!(new.len() as u64, first + second, "{what}");
            let per_user = ask("hits-per-user-and-app");
            assert_eq!(per_user.iter().map(|row| row["hits"].as_u64().unwrap()).sum::<u64>(), hits, "{what}");
            let gaps = ask("coverage-gaps");
            assert_eq!(gaps.len(), 1, "{what}: {gaps:?}");
            assert_eq!(gaps[0]["gap_start"], "2024-05-02T00:00:00.000000Z", "{what}");
            assert_eq!(gaps[0]["gap_end"], "2024-05-03T00:00:00.000000Z", "{what}");
            let freshness = ask("freshness");
            assert_eq!((freshness.len(), &freshness[0]["job"]), (1, &SLUG.into()), "{what}");
            assert_eq!(freshness[0]["windows"], 2, "{what}");
            assert_eq!(freshness[0]["suppressed_keys"], suppressed.to_string(), "{what}");
            assert_eq!(ask("suppressed-keys").len() as i64, suppressed, "{what}");
        }
    }
}

#[test]
fn a_delta_table_is_as_one_that_was_never_disturbed() {
    for backend in Backend::all() {
        let place = Place::new(backend);
        place.upload(&lake());
        run_as(&place, &three_days(), OutputFormat::Delta);
        let before = place.objects("out");
        let again = run_as(&place, &three_days(), OutputFormat::Delta);
        assert!(again.windows.iter().all(|w| matches!(w.outcome, Outcome::UpToDate { .. })), "{}", backend.name());
        assert!(place.objects("out") == before, "{}: nothing to do, nothing written", backend.name());

        // The same hits again: no version of the table.
        let log = |place: &Place| place.objects(&format!("out/{HITS}/_delta_log")).len();
        let versions = log(&place);
        run_as(&place, &Ask { force: true, ..three_days() }, OutputFormat::Delta);
        assert_eq!(log(&place), versions, "{}", backend.name());
        check_whole(&place);

        // Its files are looked at, not only its log.
        let hits = place.hits();
        let (path, _) = files(&place, HITS).pop_first().unwrap();
        place.delete(&format!("out/{HITS}/{path}"));
        let mended = run_as(&place, &three_days(), OutputFormat::Delta);
        let done = mended.windows.iter().filter(|w| matches!(w.outcome, Outcome::Done { .. })).count();
        assert_eq!(done, 1, "{}", backend.name());
        check_whole(&place);
        assert!(place.hits() == hits, "{}", backend.name());

        // Another format would be another table.
        let refused = place.run(&three_days(), |_| {}).unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::Conflict);
        assert!(refused.to_string().contains("--output-format delta"), "{refused}");
    }
}

#[test]
fn two_runs_leave_one_state_of_a_delta_table_whoever_is_faster() {
    let one_day = Ask { slack: 1, ..Ask::days("2024-05-02", "2024-05-03") };
    // Other hits: pairs across midnight do not count.
    let strict = one_day.clone().strict();
    let next_day = Ask { slack: 1, ..Ask::days("2024-05-03", "2024-05-04") };
    type During = fn(&Call) -> bool;
    let steps: [(&str, During); 4] = [
        ("data file", |call| call.op == Op::Put && call.path.contains("/window_label=")),
        ("commit of hits", |call| call.op == Op::Put && call.path.contains("delta/hits/") && is_commit(call.path)),
        ("commit of rows", |call| call.op == Op::Put && call.path.contains("delta/runs/") && is_commit(call.path)),
        ("record", |call| call.op == Op::Put && call.path.ends_with("run.json")),
    ];
    for backend in Backend::all() {
        for (step, during) in steps {
            for (other, differs) in [(&one_day, false), (&strict, true), (&next_day, false)] {
                for fresh in [true, false] {
                    let place = Arc::new(Place::new(backend));
                    place.upload(&lake());
                    if !fresh {
                        let mut third = three_days();
                        third.limits.max_distribution = 1;
                        run_as(&place, &third, OutputFormat::Delta);
                    }
                    let what = format!("{}, before the {step}, other: {differs}, fresh: {fresh}", backend.name());
                    let report = run_with_another(&place, OutputFormat::Delta, &one_day, other, during);
                    check_whole(&place);
                    if differs {
                        assert_eq!(conflicts(&report), [WINDOW], "{what}");
                        assert_eq!(place.records()[WINDOW]["window"]["scope"], "strict", "{what}");
                    } else {
                        assert_eq!(conflicts(&report), [] as [&str; 0], "{what}");
                    }
                    run_as(&place, &three_days(), OutputFormat::Delta);
                    check_whole(&place);
                    let alone = Place::new(Backend::Local);
                    alone.upload(&lake());
                    run_as(&alone, &three_days(), OutputFormat::Parquet);
                    assert!(place.hits() == alone.hits(), "{what}");
                }
            }
        }
    }
}

fn is_commit(path: &str) -> bool {
    path.contains("/_delta_log/") && path.ends_with(".json")
}

#[test]
fn processes_that_run_at_once_leave_one_consistent_delta_table() {
    for backend in Backend::all() {
        run_at_once(backend, OutputFormat::Delta);
    }
}

/// A run that may put so many objects and no more, for each number that there is: what a kill after each of them leaves.
#[test]
fn a_delta_run_that_ends_after_any_put_loses_and_doubles_nothing() {
    let mut third = three_days();
    third.limits.max_distribution = 1;
    std::thread::scope(|scope| {
        for backend in Backend::all() {
            let third = &third;
            scope.spawn(move || {
                let states: Vec<BTreeMap<String, Vec<u8>>> = [third, &three_days()]
                    .into_iter()
                    .map(|ask| {
                        let alone = Place::new(Backend::Local);
                        alone.upload(&lake());
                        run_as(&alone, ask, OutputFormat::Delta);
                        alone.hits()
                    })
                    .collect();
                assert!(states[0] != states[1]);
                for answered in [true, false] {
                    let mut puts = 0;
                    // All of them are tried on a folder; a server takes its time.
                    let step = if backend.server().is_some() { 3 } else { 1 };
                    while !cut(backend, third, &states, puts, answered) {
                        puts += step;
                        assert!(puts < 100, "{}", backend.name());
                    }
                    assert!(puts >= 9, "{}: {puts} puts", backend.name());
                }
            });
        }
    });
}

/// Ends a run after some puts, of which the last one is done and not `answered`, or not. Gives true if it needed no more.
fn cut(backend: Backend, third: &Ask, states: &[BTreeMap<String, Vec<u8>>], puts: usize, answered: bool) -> bool {
    let place = Place::new(backend);
    place.upload(&lake());
    run_as(&place, third, OutputFormat::Delta);
    let count = AtomicUsize::new(0);
    let stores = failing(place.stores(), move |call| {
        if call.op != Op::Put {
            return Fault::None;
        }
        let number = count.fetch_add(1, Ordering::SeqCst) + 1;
        match number.cmp(&puts) {
            std::cmp::Ordering::Less => Fault::None,
            std::cmp::Ordering::Equal if answered => Fault::None,
            std::cmp::Ordering::Equal => Fault::LostAnswer,
            std::cmp::Ordering::Greater => Fault::Full,
        }
    });
    let ended = place.run(&three_days(), |settings| {
        settings.stores = stores;
        settings.output_format = OutputFormat::Delta;
    });
    let what = format!("{}, {puts} puts, answered: {answered}", backend.name());
    let hits = place.hits();
    let labels: BTreeSet<&String> = states.iter().flat_map(BTreeMap::keys).collect();
    for label in labels {
        let known = states.iter().any(|state| state.get(label) == hits.get(label));
        assert!(known, "{what}: {label} is neither the old window nor the new one");
    }
    // The next one makes up for it, and finds nothing twice.
    let clean = run_as(&place, &three_days(), OutputFormat::Delta);
    assert_eq!(clean.exit_code(), 0, "{what}");
    check_whole(&place);
    assert!(place.hits() == states[1], "{what}");
    let swept = place.lakehunt(&["vacuum", &place.url("out"), "--older-than", "0s", "--retention", "0s"]);
    assert_eq!(code(&swept), Some(0), "{what}: {}", stderr(&swept));
    let data = data_files(&place);
    let there = place.objects("out/delta").into_keys().filter(|name| !name.contains("/_delta_log/"));
    assert_eq!(there.map(|name| format!("delta/{name}")).collect::<BTreeSet<_>>(), data, "{what}");
    ended.is_ok_and(|report| report.exit_code() == 0)
}

#[test]
fn commands_work_on_a_delta_table() {
    for backend in Backend::all() {
        let place = Place::new(backend);
        place.upload(&lake());
        let (source, output) = (place.url("lake"), place.url("out"));
        let range = ["--from", "2024-05-01", "--to", "2024-05-04"];
        let run = |more: &[&str]| {
            let run = ["run", SLUG, "--source", &source, "--output", &output, "--slack", "1"];
            let done = place.lakehunt(&[&run, &range[..], &["--output-format", "delta"], more].concat());
            assert_eq!(code(&done), Some(0), "{}: {}", backend.name(), stderr(&done));
            stdout(&done)
        };
        run(&["--param", "max_distribution=1"]);
        run(&["--force"]);
        let report: Value = serde_json::from_str(&run(&["--json"])).unwrap();
        let listed = place.lakehunt(&["hits", &output, "--format", "csv"]);
        assert_eq!(stdout(&listed).lines().count() as u64, 1 + report["hits"].as_u64().unwrap(), "{}", stderr(&listed));
        let status =
            [&["status", SLUG, "--source", &source, "--output", &output, "--slack", "1", "--json"], &range[..]];
        let status = place.lakehunt(&status.concat());
        assert_eq!(stdout(&status).matches("\"done\"").count(), 3, "{}", stdout(&status));
        let diff = |place: &Place| place.lakehunt(&[&["diff", SLUG, "--output", &output], &range[..]].concat());
        let changed = stdout(&diff(&place));
        assert!(!changed.contains(": 0 new, 0 gone, 0 changed"), "{changed}");

        run(&["--force", "--param", "max_distribution=1"]);
        // What was replaced is kept as long as it is told to be, and no longer.
        let vacuum = |more: &[&str]| {
            let swept = place.lakehunt(&[&["vacuum", &output, "--json"], more].concat());
            assert_eq!(code(&swept), Some(0), "{}: {}", backend.name(), stderr(&swept));
            serde_json::from_slice::<Value>(&swept.stdout).unwrap()["expired"].as_array().unwrap().len()
        };
        let hits = place.hits();
        assert_eq!(vacuum(&[]), 0, "{}", backend.name());
        let would = vacuum(&["--retention", "0s", "--dry-run"]);
        assert!(would > 0 && place.hits() == hits, "{}", backend.name());
        assert_eq!(vacuum(&["--retention", "0s"]), would, "{}", backend.name());
        assert_eq!(vacuum(&["--retention", "0s"]), 0, "{}: nothing is left of it", backend.name());
        assert!(place.hits() == hits, "{}", backend.name());
        let forgotten = diff(&place);
        assert_eq!(code(&forgotten), Some(0));
        assert!(stderr(&forgotten).contains("vacuum has removed"), "{}", stderr(&forgotten));
        // And the table goes on.
        run(&["--force"]);
        check_whole(&place);
    }
}

#[test]
fn a_long_log_gets_checkpoints_that_others_read() {
    let Some(readers) = servers::readers() else { return };
    for backend in Backend::all() {
        let place = Place::new(backend);
        place.upload(&lake());
        for round in 0..11 {
            let mut ask = Ask { force: true, ..three_days() };
            ask.limits.max_distribution = 1 + 4 * (round % 2);
            run_as(&place, &ask, OutputFormat::Delta);
        }
        for table in [HITS, RUNS] {
            let log = place.objects(&format!("out/{table}/_delta_log"));
            assert!(
                log.keys().any(|name| name.ends_with(".checkpoint.parquet")),
                "{}: {:?}",
                backend.name(),
                log.keys()
            );
            assert!(log.contains_key("_last_checkpoint"), "{}", backend.name());
        }
        check_whole(&place);
        // Who begins with the checkpoint finds the same.
        let server = backend.server();
        let hits = readers.delta_rows(server, &place.url(&format!("out/{HITS}")), "deltalake").unwrap();
        let runs = readers.delta_rows(server, &place.url(&format!("out/{RUNS}")), "deltalake").unwrap();
        let total: i64 = rows(&place).iter().map(|row| row["hits"].as_i64().unwrap()).sum();
        assert_eq!((hits.len() as i64, runs.len()), (total, 3), "{}", backend.name());
        let again = run_as(
            &place,
            &{
                let mut ask = three_days();
                ask.limits.max_distribution = 1;
                ask
            },
            OutputFormat::Delta,
        );
        assert!(again.windows.iter().all(|w| matches!(w.outcome, Outcome::UpToDate { .. })), "{}", backend.name());
    }
}

/// Without a put on a condition two runs could both write a version of the log, and one be lost.
#[test]
fn a_store_without_conditions_gets_no_delta_table() {
    let place = Place::new(Backend::Local);
    place.upload(&lake());
    let stores = failing(place.stores(), |_| Fault::Unconditional);
    let report = place.run(&three_days(), |settings| {
        settings.stores = stores;
        settings.output_format = OutputFormat::Delta;
    });
    let report = report.unwrap();
    let errors: Vec<String> = report.failures().map(|(_, error)| error.to_string()).collect();
    assert_eq!(errors.len(), 3);
    assert!(errors.iter().all(|error| error.contains("--output-format parquet")), "{errors:?}");
}
