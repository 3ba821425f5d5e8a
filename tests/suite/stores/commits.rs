//! Two runs of one window at once: one consistent state, whichever is faster at whichever step.

use std::process::{Child, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use lakehunt::{ErrorKind, Outcome, OutputFormat, RunReport, Settings, Stores};
use serde_json::Value;
use sha2::{Digest, Sha256};

use super::faulty::{Call, Fault, Op, failing};
use super::place::{Backend, Place, code, stderr};
use super::same::{lake, three_days};
use crate::encode::Form;
use crate::lake::{Ask, SLUG, at};
use crate::oracle::{MINUTE, SECOND};
use crate::rows::pair;

pub(super) const WINDOW: &str = "2024-05-02";

/// Checks that each record stands beside the hits that it names and the row that it has in the runs table, whichever
/// format the output has.
pub(crate) fn check_whole(place: &Place) {
    let (hits, records, rows) = (place.hits(), place.records(), super::tables::rows(place));
    for (label, record) in &records {
        let what = format!("{} {label}", place.backend.name());
        // Of a window without hits a Delta table has no file.
        let none = record["hits"] == 0 && record["hit_file"]["path"].is_null();
        let there = hits.get(label);
        assert!(is_whole(record, there) || (none && there.is_none()), "{what}: the record is not of its hits");
        let of: Vec<&Value> = rows.iter().filter(|row| row["window_label"] == *label).collect();
        assert_eq!(of.len(), 1, "{what}: one row a window");
        assert_eq!(of[0]["hits"], record["hits"], "{what}");
        assert_eq!(of[0]["fingerprint"], record["job"]["fingerprint"], "{what}: the row is not of its record");
    }
}

pub(super) fn is_whole(record: &Value, hits: Option<&Vec<u8>>) -> bool {
    let digest = |bytes: &Vec<u8>| Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    hits.is_some_and(|bytes| record["hit_file"]["sha256"] == digest(bytes))
}

pub(super) fn conflicts(report: &RunReport) -> Vec<&str> {
    let failures: Vec<_> = report.failures().collect();
    for (_, error) in &failures {
        assert_eq!((error.kind(), error.kind().exit_code()), (ErrorKind::Conflict, 4), "{error}");
    }
    failures.into_iter().map(|(window, _)| window.label.as_str()).collect()
}

/// A run of one window, during whose first request that `during` names, another run takes place as a whole.
pub(super) fn run_with_another(
    place: &Arc<Place>,
    format: OutputFormat,
    ours: &Ask,
    other: &Ask,
    during: fn(&Call) -> bool,
) -> RunReport {
    let (elsewhere, other, once) = (Arc::clone(place), other.clone(), AtomicBool::new(false));
    let stores = failing(place.stores(), move |call| {
        if during(call) && !once.swap(true, Ordering::SeqCst) {
            // On a thread of its own: the plan is asked from within a runtime.
            let stores = elsewhere.stores();
            let run = || elsewhere.run(&other, |settings| unclaimed(settings, stores, format)).unwrap();
            let report = std::thread::scope(|scope| scope.spawn(run).join());
            assert_eq!(report.unwrap().exit_code(), 0, "the other run is not disturbed");
        }
        Fault::None
    });
    place.run(ours, |settings| unclaimed(settings, stores, format)).unwrap()
}

/// A run that makes and heeds no claims: what its commits do has to be right without.
fn unclaimed(settings: &mut Settings, stores: Stores, format: OutputFormat) {
    settings.stores = stores;
    settings.output_format = format;
    settings.lease = Duration::ZERO;
}

#[test]
fn whoever_is_faster_the_state_is_one() {
    let one_day = Ask { slack: 1, ..Ask::days("2024-05-02", "2024-05-03") };
    // Other hits: pairs across midnight do not count.
    let strict = one_day.clone().strict();
    let before_hits: fn(&Call) -> bool = |call| call.op == Op::Put && call.path.ends_with("hits.parquet");
    let before_record: fn(&Call) -> bool = |call| call.op == Op::Put && call.path.ends_with("run.json");
    for backend in Backend::all() {
        for (step, during) in [("hits", before_hits), ("record", before_record)] {
            for (other, differs) in [(&one_day, false), (&strict, true)] {
                for fresh in [true, false] {
                    let place = Arc::new(Place::new(backend));
                    place.upload(&lake());
                    if !fresh {
                        // What both find there is of a third kind.
                        let mut third = one_day.clone();
                        third.limits.max_distribution = 1;
                        place.run(&third, |_| {}).unwrap();
                    }
                    let what = format!("{}, before the {step}, other: {differs}, fresh: {fresh}", backend.name());
                    let report = run_with_another(&place, OutputFormat::Parquet, &one_day, other, during);
                    check_whole(&place);
                    match (step, differs) {
                        // The other one's hits are there first: ours must not replace them.
                        ("hits", true) => {
                            assert_eq!(conflicts(&report), [WINDOW], "{what}");
                            assert_eq!(place.records()[WINDOW]["window"]["scope"], "strict", "{what}");
                        }
                        // The other one found our hits without a record and replaced them.
                        ("record", true) => assert_eq!(conflicts(&report), [WINDOW], "{what}"),
                        _ => assert_eq!(conflicts(&report), [] as [&str; 0], "{what}: the same is no conflict"),
                    }
                    // The loser does it again, and has its way.
                    let again = place.run(&one_day, |_| {}).unwrap();
                    assert_eq!(again.exit_code(), 0, "{what}");
                    check_whole(&place);
                    let expected = one_day.run(&lake()).unwrap();
                    assert!(place.hits()[WINDOW] == expected.hit_bytes(WINDOW), "{what}");
                }
            }
        }
    }
}

#[test]
fn hits_that_were_changed_or_removed_are_made_again() {
    for backend in Backend::all() {
        let place = Place::new(backend);
        place.upload(&lake());
        place.run(&three_days(), |_| {}).unwrap();
        let before = place.hits();
        let path = |label: &str| format!("out/hits/job={SLUG}/window={label}/hits.parquet");
        place.delete(&path("2024-05-01"));
        place.put(&path("2024-05-03"), b"not what was committed".to_vec());
        let report = place.run(&three_days(), |_| {}).unwrap();
        let done: Vec<bool> = report.windows.iter().map(|w| matches!(w.outcome, Outcome::Done { .. })).collect();
        assert_eq!(done, [true, false, true], "{}", backend.name());
        assert!(place.hits() == before);
    }
}

/// A table that is copied gets other etags; its bytes tell that it is done.
#[test]
fn a_copied_table_is_still_done() {
    for backend in Backend::all() {
        let place = Place::new(backend);
        place.upload(&lake());
        place.run(&three_days(), |_| {}).unwrap();
        let all = place.objects("out");
        for (name, bytes) in &all {
            place.delete(&format!("out/{name}"));
            place.put(&format!("out/{name}"), bytes.clone());
        }
        let report = place.run(&three_days(), |_| {}).unwrap();
        assert!(report.windows.iter().all(|w| matches!(w.outcome, Outcome::UpToDate { .. })), "{}", backend.name());
        assert!(place.objects("out") == all, "nothing is written");
    }
}

/// Not every store that speaks S3 knows `If-Match`.
#[test]
fn a_store_without_conditions_is_looked_at_before_each_put() {
    for backend in Backend::all() {
        let place = Arc::new(Place::new(backend));
        place.upload(&lake());
        let stores = failing(place.stores(), |_| Fault::Unconditional);
        let report = place.run(&three_days(), |settings| settings.stores = stores).unwrap();
        assert_eq!(report.exit_code(), 0, "{}", backend.name());
        check_whole(&place);
        let again = place.run(&three_days(), |_| {}).unwrap();
        assert!(again.windows.iter().all(|w| matches!(w.outcome, Outcome::UpToDate { .. })), "{}", backend.name());

        // Another run's window is seen by the look.
        let place = Arc::new(Place::new(backend));
        place.upload(&lake());
        let (elsewhere, once) = (Arc::clone(&place), AtomicBool::new(false));
        let stores = failing(place.stores(), move |call| {
            if call.op == Op::Put && call.path.ends_with("hits.parquet") && !once.swap(true, Ordering::SeqCst) {
                let strict = three_days().strict();
                let stores = elsewhere.stores();
                let run =
                    || elsewhere.run(&strict, |settings| unclaimed(settings, stores, OutputFormat::Parquet)).unwrap();
                std::thread::scope(|scope| scope.spawn(run).join()).unwrap();
            }
            Fault::Unconditional
        });
        let report = place.run(&three_days(), |settings| unclaimed(settings, stores, OutputFormat::Parquet)).unwrap();
        assert!(!conflicts(&report).is_empty(), "{}", backend.name());
        check_whole(&place);
    }
}

#[test]
fn vacuum_removes_what_is_staged_and_old_and_nothing_else() {
    for backend in Backend::all() {
        let place = Place::new(backend);
        place.upload(&lake());
        place.run(&three_days(), |_| {}).unwrap();
        let whole = place.objects("out");
        let staged = [
            format!("hits/job={SLUG}/window=2024-05-01/.hits.parquet.4711-0.tmp"),
            format!("runs/job={SLUG}/window=2024-05-01/.run.json.4711-1.tmp"),
        ];
        for name in &staged {
            place.put(&format!("out/{name}"), b"half".to_vec());
        }
        let vacuum = |more: &[&str]| {
            let output = place.lakehunt(&[&["vacuum", &place.url("out"), "--json"], more].concat());
            assert_eq!(code(&output), Some(0), "{}", stderr(&output));
            serde_json::from_slice::<Value>(&output.stdout).unwrap()
        };
        let young = vacuum(&[]);
        assert_eq!((&young["kept_young"], young["leftovers"].as_array().unwrap().len()), (&2.into(), 0));
        let dry = vacuum(&["--older-than", "0s", "--dry-run"]);
        assert_eq!((&dry["removed"], dry["leftovers"].as_array().unwrap().len()), (&false.into(), 2));
        assert_eq!(place.objects("out").len(), whole.len() + 2, "a dry run removes nothing");
        let real = vacuum(&["--older-than", "0s"]);
        assert_eq!((&real["removed"], &real["bytes"]), (&true.into(), &8.into()));
        assert!(place.objects("out") == whole, "{}", backend.name());

        place.delete(&format!("out/runs/job={SLUG}/window=2024-05-03/run.json"));
        let unfinished = vacuum(&[])["without_record"].clone();
        assert_eq!(unfinished.as_array().unwrap().len(), 1, "{unfinished}");
        assert!(unfinished[0].as_str().unwrap().contains("window=2024-05-03"), "{unfinished}");
    }
}

#[test]
fn windows_of_two_sizes_at_once_do_not_mix() {
    for backend in Backend::all() {
        let place = Arc::new(Place::new(backend));
        place.upload(&lake());
        let hours = Ask { window: "6h", ..three_days() };
        let (elsewhere, once) = (Arc::clone(&place), AtomicBool::new(false));
        let stores = failing(place.stores(), move |call| {
            if call.op == Op::Put && call.path.ends_with("table.json") && !once.swap(true, Ordering::SeqCst) {
                std::thread::scope(|scope| scope.spawn(|| elsewhere.run(&hours, |_| {}).unwrap()).join()).unwrap();
            }
            Fault::None
        });
        let error = place.run(&three_days(), |settings| settings.stores = stores).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Conflict, "{}: {error}", backend.name());
        assert_eq!(place.hits().len(), 12, "only windows of six hours are there");
    }
}

pub(super) fn start(place: &Place, limit: &str, format: OutputFormat) -> Child {
    let (source, output) = (place.url("lake"), place.url("out"));
    let limit = format!("max_distribution={limit}");
    let args = ["run", SLUG, "--source", &source, "--output", &output, "--from", "2024-05-01", "--to", "2024-05-04"];
    let mut command = place.command();
    command.args(args).args(["--slack", "1", "--force", "--param", &limit, "--lease", "0s"]);
    command.args(["--output-format", &format.to_string()]);
    command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap()
}

#[test]
fn processes_that_run_at_once_leave_one_consistent_table() {
    for backend in Backend::all() {
        run_at_once(backend, OutputFormat::Parquet);
    }
}

/// Processes of different parameters over a lake that grows; then one alone, whose hits are as if it had been the only one.
pub(super) fn run_at_once(backend: Backend, format: OutputFormat) {
    let place = Place::new(backend);
    place.upload(&lake());
    let more = at("2024-05-02") + 60 * MINUTE;
    for round in 0..4_i128 {
        // The lake changes too, so that records and hits differ from round to round.
        let rows = pair(&format!("new-{round}"), more + round * SECOND, more + (round + 1) * SECOND);
        let form = Form::default();
        let bytes = crate::encode::encode(&rows, &form.fits(&rows));
        place.put(&format!("lake/date=2024-05-02/late-{round}.parquet"), bytes);
        let limits = ["5", "9", "5", "2"];
        let runs: Vec<Child> = limits.iter().map(|limit| start(&place, limit, format)).collect();
        for run in runs {
            let output = run.wait_with_output().unwrap();
            let allowed = [Some(0), Some(3), Some(4)];
            assert!(allowed.contains(&code(&output)), "{}: {}", backend.name(), stderr(&output));
            place.check_no_secret("stderr", &output.stderr);
        }
        check_whole(&place);
        // A window without hits has no file in a Delta table.
        assert_eq!(place.records().len(), 3);
    }
    let last = start(&place, "5", format).wait_with_output().unwrap();
    assert_eq!(code(&last), Some(0), "{}", stderr(&last));
    let alone = Place::new(Backend::Local);
    let copy = tempfile::tempdir().unwrap();
    for (name, bytes) in place.objects("lake") {
        let path = copy.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, bytes).unwrap();
    }
    alone.upload_folder(copy.path(), "lake");
    alone.run(&three_days(), |settings| settings.output_format = format).unwrap();
    let labels = |place: &Place| place.hits().into_keys().collect::<Vec<_>>();
    assert_eq!(labels(&alone), labels(&place), "{}", backend.name());
    assert!(alone.hits() == place.hits(), "{}", backend.name());
}
