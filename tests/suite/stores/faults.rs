//! The real job over stores that fail: it gets through what passes, and says what does not.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use lakehunt::{ErrorKind, Outcome, Retry, RunReport};

use super::faulty::{Call, Fault, Op, failing};
use super::place::{Backend, Place, code, stderr};
use super::proxy::{Answer, Proxy};
use super::same::{lake, three_days};
use crate::lake::SLUG;

const SECOND_DAY: &str = "date=2024-05-02";

/// What three undisturbed days give.
fn expected() -> BTreeMap<String, Vec<u8>> {
    let place = Place::new(Backend::Local);
    place.upload(&lake());
    place.run(&three_days(), |_| {}).unwrap();
    place.hits()
}

fn failed(report: &RunReport) -> Vec<(&str, ErrorKind)> {
    report.failures().map(|(window, error)| (window.label.as_str(), error.kind())).collect()
}

#[test]
fn with_one_request_in_five_failing_the_rows_are_the_same() {
    let expected = expected();
    let ways = [Fault::Reset, Fault::Throttle, Fault::Short, Fault::Breaks, Fault::LostAnswer];
    for backend in Backend::all() {
        // Each way by itself, and all in turn.
        for way in ways.into_iter().map(Some).chain([None]) {
            let place = Place::new(backend);
            place.upload(&lake());
            let met = Arc::new(AtomicUsize::new(0));
            let count = Arc::clone(&met);
            let plan = move |call: &Call| {
                if call.number % 5 != 2 {
                    return Fault::None;
                }
                count.fetch_add(1, Ordering::Relaxed);
                way.unwrap_or(ways[call.number / 5 % ways.len()])
            };
            let stores = failing(place.stores(), plan);
            let report = place.run(&three_days(), |settings| settings.stores = stores).unwrap();
            assert_eq!(failed(&report), [], "{} {way:?}", backend.name());
            assert!(place.hits() == expected, "{} {way:?}", backend.name());
            assert!(met.load(Ordering::Relaxed) >= 4, "{} {way:?}: it did fail", backend.name());

            // What it wrote is done: nothing is left in doubt.
            let again = place.run(&three_days(), |_| {}).unwrap();
            assert!(again.windows.iter().all(|w| matches!(w.outcome, Outcome::UpToDate { .. })), "{way:?}");
        }
    }
}

/// As above, but on the wire: what the clients of S3 and Azure make of it, not what stands above them.
#[test]
fn with_one_answer_in_five_missing_on_the_wire_the_rows_are_the_same() {
    let expected = expected();
    let answers = [Answer::Status(503), Answer::Closed, Answer::Status(429), Answer::CutShort, Answer::Status(500)];
    for backend in Backend::remote() {
        let place = Place::new(backend);
        place.upload(&lake());
        let server = backend.server().unwrap();
        let endpoint = server.endpoint();
        let (host, account) = endpoint.trim_start_matches("http://").split_once('/').unwrap_or((&endpoint[7..], ""));
        let proxy = Proxy::before(host, move |number| match number % 5 {
            2 => answers[number / 5 % answers.len()],
            _ => Answer::Passed,
        });
        let through = format!("http://{}/{account}", proxy.address);
        let mut command = place.command();
        command.env("AWS_ENDPOINT_URL", through.trim_end_matches('/')).env("AZURE_STORAGE_ENDPOINT", &through);
        let output = command
            .args(["run", SLUG, "--source", &place.url("lake"), "--output", &place.url("out"), "-vv"])
            .args(["--from", "2024-05-01", "--to", "2024-05-04", "--slack", "1", "--store-timeout", "1m"])
            .output()
            .unwrap();
        place.check_no_secret("stderr", &output.stderr);
        assert_eq!(code(&output), Some(0), "{}: {}", backend.name(), stderr(&output));
        assert!(place.hits() == expected, "{}", backend.name());
        assert!(proxy.requests() > 15, "{}: {} requests", backend.name(), proxy.requests());
    }
}

#[test]
fn a_request_that_never_ends_is_made_again() {
    let place = Place::new(Backend::Local);
    place.upload(&lake());
    let stores = place.stores().with_retry(Retry { retries: 3, limit: Duration::from_secs(4) });
    // Each object hangs once at most, so that no request does so in all of its tries.
    let hung = std::sync::Mutex::new(std::collections::HashSet::new());
    let stores = failing(stores, move |call| {
        let hangs = call.number % 9 == 4 && hung.lock().unwrap().insert(call.path.to_owned());
        if hangs { Fault::Hangs } else { Fault::None }
    });
    let report = place.run(&three_days(), |settings| settings.stores = stores).unwrap();
    assert_eq!(failed(&report), []);
    assert!(place.hits() == expected());
}

#[test]
fn a_slow_store_is_waited_for() {
    let place = Place::new(Backend::Local);
    place.upload(&lake());
    let stores = failing(place.stores(), |_| Fault::Slow(Duration::from_millis(20)));
    let report = place.run(&three_days(), |settings| settings.stores = stores).unwrap();
    assert_eq!(failed(&report), []);
    assert!(place.hits() == expected());
}

/// From each request on, the store does not answer any more.
#[test]
fn a_store_that_goes_away_leaves_what_was_there() {
    let lake = lake();
    let expected = expected();
    let place = Place::new(Backend::Local);
    place.upload(&lake);
    let mut completed = false;
    for last in (0..80).step_by(3) {
        let before = place.objects("out");
        let stores = place.stores().with_retry(Retry { retries: 1, limit: Duration::from_secs(2) });
        let stores = failing(stores, move |call| if call.number > last { Fault::Reset } else { Fault::None });
        let run = place.run(&three_days(), |settings| {
            settings.stores = stores;
            settings.force = true;
        });
        match run {
            Err(error) => {
                assert_eq!((error.kind(), error.kind().exit_code()), (ErrorKind::Unreachable, 5), "{error}");
                assert!(error.to_string().contains(&place.url("")), "the place is named: {error}");
                assert!(place.objects("out") == before, "nothing was touched");
            }
            Ok(report) => {
                completed |= report.exit_code() == 0;
                for (_, error) in report.failures() {
                    assert!(matches!(error.kind(), ErrorKind::Unreachable | ErrorKind::Output), "{error}");
                    assert!(error.to_string().contains(&place.url("")), "the place is named: {error}");
                }
            }
        }
        for (label, bytes) in place.hits() {
            assert!(bytes == expected[&label], "{label} after {last} requests");
        }
    }
    assert!(completed, "at some point the requests suffice");
}

#[test]
fn when_the_source_goes_away_the_other_windows_do_not_wait_for_it_again() {
    let place = Place::new(Backend::Local);
    place.upload(&lake());
    let data = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&data);
    let stores = place.stores().with_retry(Retry { retries: 1, limit: Duration::from_secs(2) });
    let stores = failing(stores, move |call| {
        // Footers are fetched first, one a file; data after that.
        let of_a_file = call.op == Op::Get && call.path.ends_with("part-0.parquet") && call.path.starts_with("date=");
        if of_a_file && count.fetch_add(1, Ordering::SeqCst) >= 3 { Fault::Reset } else { Fault::None }
    });
    // Little memory, so that each window is evaluated by itself.
    let report = place
        .run(&three_days(), |settings| {
            settings.stores = stores;
            settings.memory_limit = 1 << 10;
        })
        .unwrap();
    assert_eq!(failed(&report).len(), 3);
    assert!(failed(&report).iter().all(|(_, kind)| *kind == ErrorKind::Unreachable));
    assert_eq!(report.exit_code(), 5);
    assert!(place.objects("out/hits").is_empty());
}

#[test]
fn a_full_disk_is_an_error_at_once() {
    let place = Place::new(Backend::Local);
    place.upload(&lake());
    let tries = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&tries);
    let stores = failing(place.stores(), move |call| {
        if call.op == Op::Put && call.path.ends_with("hits.parquet") {
            count.fetch_add(1, Ordering::SeqCst);
            return Fault::Full;
        }
        Fault::None
    });
    let report = place.run(&three_days(), |settings| settings.stores = stores).unwrap();
    assert_eq!(failed(&report).len(), 3);
    for (_, error) in report.failures() {
        assert_eq!((error.kind(), error.kind().exit_code()), (ErrorKind::Output, 1), "{error}");
        assert!(error.to_string().contains("hits.parquet"), "{error}");
    }
    assert_eq!(tries.load(Ordering::SeqCst), 3, "a disk that is full says so again");
    assert!(place.records().is_empty(), "what has no hits has no record");
}

/// A tiny file system that is really full, where the tests may mount one; the fault above stands for it elsewhere.
#[test]
fn a_run_into_a_full_file_system_leaves_no_half_window() {
    let folder = tempfile::tempdir().unwrap();
    let mounted = std::process::Command::new("mount")
        .args(["-t", "tmpfs", "-o", "size=64k", "tmpfs"])
        .arg(folder.path())
        .output()
        .is_ok_and(|output| output.status.success());
    if !mounted {
        use std::io::Write as _;
        let _ = std::io::stderr().write_all(b"left out: a really full file system, because none can be mounted here\n");
        return;
    }
    let place = Place::new(Backend::Local);
    place.upload(&lake());
    std::fs::write(folder.path().join("ballast"), vec![0; 40 << 10]).unwrap();
    let out = folder.path().display().to_string();
    let report = three_days().configured(&place.url("lake"), &out, &(), |settings| settings.stores = place.stores());
    let report = report.unwrap();
    let failures = failed(&report);
    let files: Vec<_> = walk(folder.path());
    let unmounted = std::process::Command::new("umount").arg(folder.path()).output().unwrap();
    assert!(unmounted.status.success());
    assert!(!failures.is_empty() && failures.iter().all(|(_, kind)| *kind == ErrorKind::Output), "{failures:?}");
    assert!(files.iter().all(|name| !name.ends_with(".tmp")), "{files:?}");
}

fn walk(folder: &std::path::Path) -> Vec<String> {
    let mut names = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            names.extend(walk(&path));
        } else {
            names.push(path.display().to_string());
        }
    }
    names
}

#[test]
fn a_file_that_changes_or_vanishes_under_a_run_is_named() {
    let expected = expected();
    let file = format!("{SECOND_DAY}/part-0.parquet");
    for backend in Backend::all() {
        for vanishes in [false, true] {
            // Before its footer is read, and between footer and data.
            for reads in [0, 1] {
                let place = Arc::new(Place::new(backend));
                place.upload(&lake());
                // Shorter by nothing: only its version tells.
                let other = Mutex::new(Some(place.objects("lake")[&file].clone()));
                let seen = AtomicUsize::new(0);
                let changed = AtomicBool::new(false);
                let (wanted, elsewhere) = (file.clone(), Arc::clone(&place));
                let stores = failing(place.stores(), move |call| {
                    if call.op == Op::Get
                        && call.path.ends_with(&wanted)
                        && seen.fetch_add(1, Ordering::SeqCst) == reads
                        && !changed.swap(true, Ordering::SeqCst)
                    {
                        let mut bytes = other.lock().unwrap().take().unwrap();
                        let path = format!("lake/{wanted}");
                        // On a thread of its own: the plan is asked from within the runtime.
                        std::thread::scope(|scope| {
                            scope.spawn(|| match vanishes {
                                true => elsewhere.delete(&path),
                                false => {
                                    // Equal bytes have equal etags on S3, and are no change.
                                    let half = bytes.len() / 2;
                                    bytes[half] ^= 0xff;
                                    elsewhere.put(&path, bytes);
                                }
                            });
                        });
                    }
                    Fault::None
                });
                let report = place.run(&three_days(), |settings| settings.stores = stores).unwrap();
                let what = format!("{} vanishes: {vanishes} after {reads}", backend.name());
                // With a slack of one, every window reads that day.
                assert_eq!(failed(&report).len(), 3, "{what}");
                for (_, error) in report.failures() {
                    assert_eq!(error.kind(), ErrorKind::SourceChanged, "{what}: {error}");
                    assert!(error.context("url").is_some_and(|url| url.ends_with(&file)), "{what}: {error}");
                }
                assert!(place.objects("out/hits").is_empty(), "{what}");

                // A file that is only other than it was is no error the next time, unless it is damaged.
                if vanishes {
                    let again = place.run(&three_days(), |_| {}).unwrap();
                    assert_eq!(again.exit_code(), 0, "{what}");
                    assert!(place.hits() != expected, "{what}: its rows are missing");
                }
            }
        }
    }
}
