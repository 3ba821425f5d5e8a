//! Signals at random moments of a long run: what is done stays, and the same command goes on from there.

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use lakehunt::{Left, Outcome, Stop};

use crate::lake::{Ask, SLUG};
use crate::nights::{generate, passed, run};
use crate::stores::commits::check_whole;
use crate::stores::faulty::{Fault, Op, failing};
use crate::stores::kills::random_part_of;
use crate::stores::place::{Backend, Place, code, stderr};

/// Signals that have to hit a run before it is through, a backend; `LAKEHUNT_STOPS` sets it for a soak.
const STOPS: u32 = 4;

const RANGE: [&str; 6] = ["--from", "2024-05-01", "--to", "2024-05-07", "--window", "1h"];

#[cfg(unix)]
#[test]
fn a_run_that_is_stopped_at_any_moment_goes_on_from_there() {
    let folder = tempfile::tempdir().unwrap();
    generate(&folder.path().join("lake"), 6, 6000, &[]);
    std::thread::scope(|scope| {
        for backend in Backend::all() {
            let lake = folder.path().join("lake");
            scope.spawn(move || stop_again_and_again(backend, &lake));
        }
    });
}

#[cfg(unix)]
fn stop_again_and_again(backend: Backend, lake: &std::path::Path) {
    let place = Place::new(backend);
    place.upload_folder(lake, "lake");
    let began = Instant::now();
    passed(&place, &run(&place, "out", &RANGE).output().unwrap());
    let whole = began.elapsed();
    let undisturbed = place.hits();
    assert_eq!(undisturbed.len(), 6 * 24);

    let wished: u32 = std::env::var("LAKEHUNT_STOPS").map_or(STOPS, |text| text.parse().expect("a number of stops"));
    let (mut stopped, mut tries, mut resumed) = (0, 0, 0);
    while stopped < wished {
        tries += 1;
        assert!(tries < 300, "{}: {stopped} runs were stopped", backend.name());
        for name in place.objects("out").into_keys() {
            place.delete(&format!("out/{name}"));
        }
        // The same command until it is through. Signals come later and later, so that it gets there.
        for attempt in 0.. {
            let mut command = run(&place, "out", &RANGE);
            // Not in the group of the tests: an interrupt is for this one.
            let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
            if attempt < 3 {
                std::thread::sleep(whole.mul_f64(0.05) + random_part_of(whole));
                let (signal, _) = signal(attempt);
                // It may be through already.
                let _ = Command::new("kill")
                    .args([&format!("-{signal}"), &child.id().to_string()])
                    .stderr(Stdio::null())
                    .status();
            }
            let output = child.wait_with_output().unwrap();
            place.check_no_secret("stderr", &output.stderr);
            check_whole(&place);
            match code(&output) {
                Some(0) => break,
                // A signal that came before the program listened.
                None => {}
                ended => {
                    assert_eq!(ended, Some(signal(attempt).1), "{}: {}", backend.name(), stderr(&output));
                    let said = stderr(&output);
                    assert!(said.contains("the same command goes on from here"), "{}: {said}", backend.name());
                    stopped += 1;
                    resumed += usize::from(!place.hits().is_empty());
                    assert!(place.hits().iter().all(|(label, bytes)| undisturbed[label] == *bytes));
                }
            }
            // Nobody is held up by a run that was stopped.
            let claims = place.objects(&format!("out/runs/job={SLUG}"));
            if let Some(claims) = claims.get("claims.json") {
                assert!(!String::from_utf8_lossy(claims).contains("expires_at"), "{}", backend.name());
            }
        }
        assert!(place.hits() == undisturbed, "{}: as if nobody had stopped it", backend.name());
    }
    println!("{}: {stopped} stops in {tries} rounds, {resumed} with some windows done", backend.name());
}

#[cfg(unix)]
#[test]
fn a_stop_keeps_the_next_job_from_beginning() {
    const NEXT: &str = "signin-burst-from-multiple-locations";
    let place = Place::new(Backend::Local);
    let folder = tempfile::tempdir().unwrap();
    generate(&folder.path().join("lake"), 6, 6000, &[]);
    place.upload_folder(&folder.path().join("lake"), "lake");
    let both = |output: &str| {
        let mut command = place.command();
        command.args(["run", SLUG, NEXT, "--source", &place.url("lake"), "--output", &place.url(output)]).args(RANGE);
        command
    };
    let tables = |output: &str| {
        let mut objects = place.objects(&format!("{output}/hits"));
        objects.retain(|name, _| name.ends_with("hits.parquet"));
        objects
    };
    passed(&place, &both("undisturbed").output().unwrap());

    for (name, ended) in [("INT", 130), ("TERM", 143)] {
        let mut child = both(name).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        // It has a hundred windows to do when the first is done.
        while !place.has(&format!("{name}/runs"), "run.json") {
            assert!(child.try_wait().unwrap().is_none(), "it ended before it was stopped");
            std::thread::sleep(Duration::from_millis(1));
        }
        let status = Command::new("kill").args([&format!("-{name}"), &child.id().to_string()]).status().unwrap();
        assert!(status.success());
        let output = child.wait_with_output().unwrap();
        let said = stderr(&output);
        assert_eq!(code(&output), Some(ended), "{said}");
        assert!(said.contains(&format!("stopped before {NEXT}; the same command goes on from here")), "{said}");
        let begun = tables(name);
        assert!(begun.len() < 6 * 24 && begun.keys().all(|object| object.contains(SLUG)), "{:?}", begun.keys());

        passed(&place, &both(name).output().unwrap());
        assert_eq!(tables(name).len(), 2 * 6 * 24);
        assert!(tables(name) == tables("undisturbed"), "as if nobody had stopped it");
    }
}

/// The signal of an attempt and the exit code that it has.
fn signal(attempt: u32) -> (&'static str, i32) {
    if attempt.is_multiple_of(2) { ("INT", 130) } else { ("TERM", 143) }
}

#[test]
fn a_commit_that_has_begun_is_finished_and_no_other_begins() {
    // The wish comes with the first request of the first window's commit, whose hits take their time.
    let place = Place::new(Backend::Local);
    let folder = tempfile::tempdir().unwrap();
    generate(&folder.path().join("lake"), 1, 500, &[]);
    place.upload_folder(&folder.path().join("lake"), "lake");
    let stop = Stop::default();
    let asked = stop.clone();
    let stores = failing(place.stores(), move |call| {
        if call.op == Op::Get && call.path.ends_with("run.parquet") {
            asked.stop();
        }
        let hits = call.op == Op::Put && call.path.ends_with("hits.parquet");
        if hits { Fault::Slow(Duration::from_millis(300)) } else { Fault::None }
    });
    let ask = Ask { window: "12h", ..Ask::days("2024-05-01", "2024-05-02") };
    let report = place
        .run(&ask, |settings| {
            settings.stores = stores;
            settings.stop = stop;
        })
        .unwrap();
    assert_eq!((report.exit_code(), report.stopped), (0, true));
    assert!(matches!(report.windows[0].outcome, Outcome::Done { .. }), "{report:?}");
    assert!(matches!(report.windows[1].outcome, Outcome::Left(Left::Stopped)), "{report:?}");
    assert_eq!((place.hits().len(), place.records().len()), (1, 1));
    check_whole(&place);
    assert_eq!(place.run(&ask, |_| {}).unwrap().exit_code(), 0);
    assert_eq!(place.records().len(), 2);
}
