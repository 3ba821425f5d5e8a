//! What is told of workers: stages, what they have counted and met, what went wrong with them.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use arrow::array::StringArray;
use lakehunt::{ErrorKind, Observer, Work};

use super::{Worker, by, lakehunt, run, stderr, tenant, urls};
use crate::encode::{Form, Time, columns, write};
use crate::lake::{Ask, Lake, Run, SLUG, at};
use crate::oracle::SECOND;
use crate::rows::pair;

#[test]
fn explain_shows_the_stages() {
    let workers = Worker::some(2);
    let shown = lakehunt().args(["explain", SLUG, "--workers", &urls(&workers)]).output().unwrap();
    assert!(shown.status.success(), "{}", stderr(&shown));
    let text = String::from_utf8(shown.stdout).unwrap();
    for part in ["Stage", "NetworkShuffleExec", "RemoteScanExec", "followed_within", "tasks=2"] {
        assert!(text.contains(part), "{part}: {text}");
    }
}

#[test]
fn each_worker_reads_of_each_table() {
    let workers = Worker::some(2);
    // A union of two tables.
    let shown = lakehunt().args(["explain", "suspected-brute-force", "--workers", &urls(&workers)]).output().unwrap();
    let text = String::from_utf8(shown.stdout).unwrap();
    for task in ["t0: RemoteScanExec", "t1: RemoteScanExec"] {
        assert_eq!(text.matches(task).count(), 2, "{task}: {text}");
    }
}

#[test]
fn workers_join_by_time_and_not_pair_by_pair() {
    let folder = tenant(9, 2_000);
    let workers = Worker::some(2);
    let mut command = run(folder.path(), "out", "1d");
    let done = command.args(["-vv", "--workers", &urls(&workers)]).output().unwrap();
    let text = stderr(&done);
    let (_, measured) = text.split_once("measured by workers:").unwrap_or_else(|| panic!("{text}"));
    let join = measured.lines().find(|line| line.contains("JoinExec")).unwrap();
    // The plan is the run's, and what is measured the workers': the engine's own join has no such number.
    assert!(join.contains("candidate_pairs"), "{join}");
}

#[derive(Default)]
struct Watches(Mutex<Option<Work>>);

impl Observer for Watches {
    fn begins(&self, work: &Work) {
        *self.0.lock().unwrap() = Some(work.clone());
    }
}

#[test]
fn what_workers_read_is_told_to_the_run_and_stands_in_its_record() {
    let folder = tenant(10, 20_000);
    let workers = Worker::some(2);
    let (lake, out) = (folder.path().join("lake"), folder.path().join("out"));
    let (ask, watches) = (Ask { window: "all", ..Ask::days("2024-05-01", "2024-05-03") }, Watches::default());
    let report = ask.configured(lake.to_str().unwrap(), out.to_str().unwrap(), &watches, by(&workers)).unwrap();
    let work = watches.0.lock().unwrap().clone().unwrap();
    let read = |work: &Work| -> u64 { <Arc<AtomicU64>>::clone(&work.read).load(Ordering::Relaxed) };
    // Each row once, though two stages have read it.
    assert!(work.rows >= 40_000, "{}", work.rows);
    assert_eq!(read(&work), work.rows);
    let label = report.windows[0].label.clone();
    let workers = &Run::of(report, &out).record(&label)["evaluation"]["workers"];
    assert_eq!(
        (&workers["workers"], &workers["tries"], &workers["rows_read"]),
        (&2.into(), &1.into(), &work.rows.into())
    );
    assert!(workers["bytes_exchanged"].as_u64().unwrap() > 1_000, "{workers}");
}

#[test]
fn what_a_scan_has_met_is_told() {
    let noon = at("2024-05-01T12:00:00Z");
    let rows = [pair("bad", noon, noon + SECOND), pair("good", noon, noon + SECOND)].concat();
    let form = Form::time(Time::Text);
    let mut columns = columns(&rows, &form);
    let texts = [noon, noon + SECOND, noon, noon + SECOND].map(crate::encode::iso);
    columns[0].1 = Arc::new(StringArray::from(vec!["yesterday", &texts[1], &texts[2], &texts[3]]));
    let lake = Lake::new();
    lake.put_bytes("date=2024-05-01/part-0.parquet", &write(columns, &form));
    let (workers, out) = (Worker::some(2), tempfile::tempdir().unwrap());
    let ask = Ask::days("2024-05-01", "2024-05-02");
    let report = ask.configured(&lake.source(), out.path().to_str().unwrap(), &(), by(&workers)).unwrap();
    assert!(report.warnings.iter().any(|line| line.contains("`yesterday`")), "{:?}", report.warnings);
    let users: Vec<String> = Run::of(report, out.path()).all_hits().into_iter().map(|hit| hit.user).collect();
    assert_eq!(users, ["good"]);
}

#[test]
fn a_damaged_file_is_told_as_one_and_not_read_again_and_again() {
    let noon = at("2024-05-01T12:00:00Z");
    let rows: Vec<_> = (0..400).flat_map(|i| pair(&format!("user-{i}"), noon, noon + SECOND)).collect();
    let lake = Lake::of(&rows);
    let file = lake.path().join("date=2024-05-01/part-0.parquet");
    let mut bytes = std::fs::read(&file).unwrap();
    // The pages of the columns, between the first four bytes and the footer.
    let footer = u32::from_le_bytes(bytes[bytes.len() - 8..bytes.len() - 4].try_into().unwrap()) as usize;
    let end = bytes.len() - 8 - footer;
    bytes[4..end].fill(0xff);
    std::fs::write(&file, &bytes).unwrap();
    let (workers, out) = (Worker::some(2), tempfile::tempdir().unwrap());
    let ask = Ask::days("2024-05-01", "2024-05-02");
    let report = ask.configured(&lake.source(), out.path().to_str().unwrap(), &(), by(&workers)).unwrap();
    let (_, error) = report.failures().next().unwrap();
    assert_eq!(error.kind(), ErrorKind::CorruptFile, "{error}");
    assert!(error.context("file").is_some_and(|file| file.ends_with("date=2024-05-01/part-0.parquet")), "{error}");
    assert!(!Run::of(report, out.path()).hits_path("2024-05-01").exists());
}

#[test]
fn a_run_that_needs_more_memory_than_workers_have_says_so() {
    let folder = tenant(11, 400_000);
    let workers: Vec<Worker> = (0..2)
        .map(|_| {
            Worker::start(|command| {
                command.args(["--memory-limit", "16MiB"]);
            })
        })
        .collect();
    let failed = run(folder.path(), "out", "all").args(["--workers", &urls(&workers)]).output().unwrap();
    assert!(!failed.status.success());
    assert!(stderr(&failed).contains("memory") && !stderr(&failed).contains("trying again"), "{}", stderr(&failed));
}
