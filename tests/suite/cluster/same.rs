//! Two and four workers give the bytes of one process: random lakes, each hunt, each backend.

use std::cell::Cell;
use std::process::Stdio;

use proptest::prelude::*;
use proptest::test_runner::TestCaseError;

use super::{Worker, by, hits, run, run_of, stderr, tenant, urls};
use crate::lake::{Lake, Run, SLUG};
use crate::properties::{case, check};
use crate::stores::place::{Backend, Place, code};
use crate::stores::same::{lake, three_days};

/// As many as the random lakes of a usual run have, by hand: `LAKEHUNT_CASES`.
const LAKES: u32 = 60;

#[test]
fn workers_give_the_rows_of_one_process() {
    for (seed, count, window) in [(1, 2, "1d"), (2, 4, "all"), (3, 1, "6h")] {
        let folder = tenant(seed, 20_000);
        let alone = run(folder.path(), "alone", window).output().unwrap();
        assert!(alone.status.success(), "{}", stderr(&alone));
        let workers = Worker::some(count);
        let together = run(folder.path(), "together", window).args(["--workers", &urls(&workers)]).output().unwrap();
        assert!(together.status.success(), "{}", stderr(&together));
        let expected = hits(&folder.path().join("alone"));
        assert!(!expected.is_empty());
        assert!(expected == hits(&folder.path().join("together")), "seed {seed}, {count} workers, window {window}");
    }
}

#[test]
fn workers_are_found_by_a_name() {
    let folder = tenant(13, 2_000);
    let worker = Worker::start(|_| {});
    assert!(run(folder.path(), "alone", "1d").status().unwrap().success());
    let name = worker.url.replace("http://127.0.0.1:", "dns://localhost:");
    let done = run(folder.path(), "together", "1d").args(["--workers", &name]).output().unwrap();
    assert!(done.status.success(), "{}", stderr(&done));
    assert!(hits(&folder.path().join("alone")) == hits(&folder.path().join("together")));
}

#[test]
fn random_lakes_give_the_rows_of_one_process() {
    let four = Worker::some(4);
    let (lakes, with_hits) = (Cell::new(0), Cell::new(0));
    check(LAKES, (case(3), any::<bool>()), |(case, all)| {
        let lake = Lake::new();
        case.write(&lake);
        let ask = case.ask();
        let alone = match ask.run(&lake) {
            Ok(alone) => alone,
            // Nothing lies where the windows look.
            Err(error) if error.kind() == lakehunt::ErrorKind::SourceMissing => return Ok(()),
            Err(error) => return Err(TestCaseError::fail(error.to_string())),
        };
        let output = tempfile::tempdir().unwrap();
        let workers = if *all { &four[..] } else { &four[..2] };
        let report = ask.configured(&lake.source(), output.path().to_str().unwrap(), &(), by(workers));
        let together = Run::of(report.map_err(|error| TestCaseError::fail(error.to_string()))?, output.path());
        prop_assert_eq!(alone.done().len(), together.done().len());
        for label in alone.done().keys() {
            prop_assert!(alone.hit_bytes(label) == together.hit_bytes(label), "window {}", label);
            prop_assert_eq!(alone.answer(label), together.answer(label));
        }
        let warnings = |run: &Run| {
            let mut lines = run.report.warnings.clone();
            lines.sort();
            lines
        };
        prop_assert_eq!(warnings(&alone).len(), warnings(&together).len(), "{:?}", warnings(&together));
        lakes.set(lakes.get() + 1);
        with_hits.set(with_hits.get() + usize::from(!alone.all_hits().is_empty()));
        Ok(())
    });
    // A comparison of nothing with nothing would prove nothing.
    assert!(with_hits.get() * 3 > lakes.get(), "{} of {} lakes have hits", with_hits.get(), lakes.get());
}

#[test]
fn each_hunt_gives_the_same_on_workers() {
    let folder = tenant(7, 5_000);
    let workers = Worker::some(2);
    let jobs = std::fs::read_dir(std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("jobs")).unwrap();
    let mut jobs: Vec<_> = jobs.map(|entry| entry.unwrap().path()).filter(|path| path.is_file()).collect();
    jobs.sort();
    assert!(jobs.len() >= 6, "{jobs:?}");
    for job in jobs {
        let name = job.file_stem().unwrap().to_str().unwrap();
        let [alone, together] = [vec![], vec!["--workers".to_owned(), urls(&workers)]].map(|more| {
            let output = format!("{name}-{}", more.len());
            let done = run_of(name, folder.path(), &output, "1d").args(more).output().unwrap();
            assert!(done.status.success(), "{name}: {}", stderr(&done));
            hits(&folder.path().join(output))
        });
        assert_eq!(alone.len(), 2, "{name}");
        assert!(alone == together, "{name}");
    }
}

#[test]
fn stores_are_opened_with_each_worker_s_own_credentials() {
    let lake = lake();
    let expected = three_days().run(&lake).unwrap();
    for backend in Backend::all() {
        let place = Place::new(backend);
        place.upload(&lake);
        let worker = |wrong: Option<&str>| {
            let mut command = place.command();
            command.args(["worker", "--listen", "127.0.0.1:0"]).stderr(Stdio::null());
            // Of either kind of key, so that it is one by its form.
            command.envs(wrong.map(|variable| (variable, "AAAAAAAAAAAAAAAA")));
            Worker::of(command)
        };
        let run = |output: &str, workers: &[Worker]| {
            let mut command = place.command();
            command.args(["-v", "run", SLUG, "--source", &place.url("lake"), "--output", &place.url(output)]);
            command.args(["--from", "2024-05-01", "--to", "2024-05-04", "--slack", "1", "--lease", "0s"]);
            command.args(["--workers", &urls(workers)]);
            let output = command.output().unwrap();
            place.check_no_secret("stderr", &output.stderr);
            output
        };
        for count in [2, 4] {
            let workers: Vec<Worker> = (0..count).map(|_| worker(None)).collect();
            let done = run("out", &workers);
            assert_eq!(code(&done), Some(0), "{}: {}", backend.name(), stderr(&done));
            let hits = place.hits();
            assert_eq!(hits.len(), 3, "{}", backend.name());
            for (label, bytes) in &hits {
                assert!(*bytes == expected.hit_bytes(label), "{} {label}, {count} workers", backend.name());
            }
            place.objects("out").keys().for_each(|name| place.delete(&format!("out/{name}")));
        }
        let key = match backend {
            Backend::Local => continue,
            Backend::S3(_) => "AWS_SECRET_ACCESS_KEY",
            Backend::Azure(_) => "AZURE_STORAGE_ACCOUNT_KEY",
        };
        // The run's own credentials are of no use to a worker that has a wrong key.
        let failed = run("out", &[worker(Some(key))]);
        assert_eq!(code(&failed), Some(5), "{}: {}", backend.name(), stderr(&failed));
        assert!(!stderr(&failed).contains("trying again"), "{}: {}", backend.name(), stderr(&failed));
        assert!(place.hits().is_empty(), "{}", backend.name());
    }
}
