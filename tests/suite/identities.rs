//! What must not change a byte of a hit file: the order of rows, how they are split over files and row groups, the
//! form of their columns, the number of threads, and whether windows are run together or one by one.

use std::collections::BTreeMap;
use std::path::Path;

use proptest::prelude::*;
use proptest::test_runner::TestCaseError;
use serde_json::Value;

use crate::encode::{Form, Time};
use crate::lake::{Ask, Lake, Run, at};
use crate::oracle::{Row, SECOND};
use crate::properties::{Case, case, check};
use crate::rows::pair;

/// A case of which every form holds every row exactly.
fn exact(case: Case) -> Case {
    let coarsest = Form::time(Time::Millis(None));
    let forms = case.forms.iter().map(|form| Form { missing: Vec::new(), ..form.clone() }).collect();
    Case { sets: case.sets.iter().map(|rows| coarsest.hold(rows)).collect(), forms, slack: false, ..case }
}

/// The same rows in another order, in other files, of other forms, read by another number of threads.
fn reshaped(case: &Case, other: &Case, order: &[u16]) -> Case {
    let shuffled = |rows: &Vec<Row>| -> Vec<Row> {
        let mut rows: Vec<(u16, Row)> =
            rows.iter().enumerate().map(|(i, row)| (order[i % order.len()], row.clone())).collect();
        rows.sort_by_key(|(place, _)| *place);
        rows.into_iter().map(|(_, row)| row).collect()
    };
    Case {
        sets: case.sets.iter().map(shuffled).collect(),
        forms: other.forms.clone(),
        places: other.places.clone(),
        threads: other.threads,
        interval_join: other.interval_join,
        ..case.clone()
    }
}

fn written(case: &Case) -> (Lake, Vec<Row>) {
    let lake = Lake::new();
    let rows = case.write(&lake);
    (lake, rows)
}

/// The record of a window without what may differ from run to run.
fn lasting(run: &Run, label: &str) -> Value {
    let mut record = run.record(label);
    for key in ["started_at", "finished_at", "run", "evaluation"] {
        record.as_object_mut().unwrap().remove(key).unwrap();
    }
    // What the store calls the file: a name for this very file, not for its content.
    record["hit_file"].as_object_mut().unwrap().remove("etag").unwrap();
    // The row of the runs table says when, and by which run.
    record.as_object_mut().unwrap().remove("row_file").unwrap();
    record
}

#[test]
fn bytes_do_not_depend_on_the_physical_form() {
    let cases = (case(4), case(4), prop::collection::vec(any::<u16>(), 40));
    check(150, cases, |(one, other, order)| {
        let one = exact(one.clone());
        let other = reshaped(&one, &exact(other.clone()), order);
        let ((lake, rows), (again, same)) = (written(&one), written(&other));
        let sorted = |mut rows: Vec<Row>| {
            rows.sort();
            rows
        };
        prop_assert_eq!(sorted(rows), sorted(same), "the test itself has to keep the rows");
        match (one.ask().run(&lake), other.ask().run(&again)) {
            (Ok(one), Ok(other)) => {
                prop_assert_eq!(one.done(), other.done());
                for label in one.done().keys() {
                    prop_assert!(one.hit_bytes(label) == other.hit_bytes(label), "window {}", label);
                    prop_assert_eq!(&one.record(label)["over_limit"], &other.record(label)["over_limit"]);
                }
            }
            (Err(one), Err(other)) => prop_assert_eq!(one.kind(), other.kind()),
            _ => prop_assert!(false, "one of the two failed"),
        }
        Ok(())
    });
}

#[test]
fn one_by_one_in_shards_and_again_windows_are_the_same_byte_for_byte() {
    let cases = case(4).prop_filter("windows that can be run one by one", |case| case.window != "all");
    check(150, (cases, any::<bool>(), 1_usize..=3), |(case, astray, count)| {
        // Rows beside their partition must be found by both or by none, too.
        let case = &Case { astray: *astray, ..case.clone() };
        let (lake, _) = written(case);
        let whole = match case.ask().run(&lake) {
            Ok(run) => run,
            Err(error) => {
                prop_assert_eq!(error.kind(), lakehunt::ErrorKind::SourceMissing);
                return Ok(());
            }
        };
        let folder = tempfile::tempdir().unwrap();
        let (mut done, mut nightly) = (BTreeMap::new(), None);
        for window in case.windows() {
            let night = Ask { from: window.start, to: window.end, threads: 1, ..case.ask() };
            match night.run_into(&lake, folder.path()) {
                Ok(run) => {
                    prop_assert_eq!(run.report.exit_code(), 0);
                    done.extend(run.done());
                    nightly = Some(run);
                }
                Err(error) => prop_assert_eq!(error.kind(), lakehunt::ErrorKind::SourceMissing),
            }
        }
        prop_assert_eq!(&done, &whole.done());
        let nightly = nightly.expect("the whole run had a source");
        let folder = tempfile::tempdir().unwrap();
        let sharded = sharded(case, &lake, folder.path(), *count)?;
        for label in done.keys() {
            prop_assert!(nightly.hit_bytes(label) == whole.hit_bytes(label), "window {}", label);
            prop_assert_eq!(lasting(&nightly, label), lasting(&whole, label));
            prop_assert!(sharded.hit_bytes(label) == whole.hit_bytes(label), "window {} of a shard", label);
            prop_assert_eq!(lasting(&sharded, label), lasting(&whole, label));
        }
        // Once more over the same files.
        let again = Ask { force: true, ..case.ask() }.run_into(&lake, folder.path()).unwrap();
        for label in done.keys() {
            prop_assert!(again.hit_bytes(label) == whole.hit_bytes(label), "window {} again", label);
            prop_assert_eq!(lasting(&again, label), lasting(&whole, label));
        }
        Ok(())
    });
}

/// The windows of a case done by `count` shards, one after the other, the newest windows first. Gives the last run that did
/// something.
fn sharded(case: &Case, lake: &Lake, output: &Path, count: usize) -> Result<Run, TestCaseError> {
    let mut last = None;
    for shard in 1..=count {
        let run = case.ask().configured(&lake.source(), output.to_str().unwrap(), &(), |settings| {
            settings.shard = Some(format!("{shard}/{count}").parse().unwrap());
            settings.newest_first = true;
        });
        match run {
            Ok(report) => {
                prop_assert_eq!(report.exit_code(), 0);
                last = Some(Run::of(report, output));
            }
            Err(error) => prop_assert_eq!(error.kind(), lakehunt::ErrorKind::SourceMissing),
        }
    }
    Ok(last.expect("one of the shards has a source"))
}

#[test]
fn a_hit_has_one_id_in_windows_of_any_size() {
    let noon = at("2024-05-01T12:00:00Z");
    let rows: Vec<Row> = ["u", "v", "w"].iter().flat_map(|user| pair(user, noon + SECOND, noon + 2 * SECOND)).collect();
    let lake = Lake::of(&rows);
    let day = Ask::days("2024-05-01", "2024-05-02");
    let ids = day.run(&lake).unwrap().ids("2024-05-01");
    let mut distinct = ids.clone();
    distinct.sort();
    distinct.dedup();
    assert_eq!(distinct.len(), 3);
    assert_eq!(day.clone().strict().run(&lake).unwrap().ids("2024-05-01"), ids);
    let hourly = Ask { window: "1h", ..day.clone() }.run(&lake).unwrap();
    assert_eq!(hourly.ids("2024-05-01T1200"), ids);
    let all = Ask { window: "all", ..day }.run(&lake).unwrap();
    assert_eq!(all.ids("all_2024-05-01_2024-05-02"), ids);
}
