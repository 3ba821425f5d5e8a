//! Workers that die while they evaluate.
//!
//! `LAKEHUNT_KILLS` is the number of workers that are killed; three unless told otherwise.

use std::process::Stdio;
use std::time::{Duration, Instant};

use super::{Worker, hits, run, stderr, tenant, urls};

#[test]
fn a_worker_that_dies_changes_no_row() {
    let kills: u32 = std::env::var("LAKEHUNT_KILLS").map_or(3, |text| text.parse().expect("a number of kills"));
    let folder = tenant(4, 600_000);
    assert!(run(folder.path(), "alone", "6h").status().unwrap().success());
    let expected = hits(&folder.path().join("alone"));
    // How long a run takes that nobody disturbs.
    let workers = Worker::some(3);
    let began = Instant::now();
    assert!(run(folder.path(), "whole", "6h").args(["--workers", &urls(&workers)]).status().unwrap().success());
    let whole = began.elapsed();
    let (mut lost, mut failed) = (0, 0);
    for kill in 0..kills {
        let output = format!("out-{kill}");
        let mut workers = Worker::some(3);
        let mut command = run(folder.path(), &output, "6h");
        let running = command.args(["--workers", &urls(&workers)]).stderr(Stdio::piped()).spawn().unwrap();
        // Over the length of a run: no two kills come at the same place.
        let part = f64::from(kill * 7919 % 1000) / 1000.0;
        std::thread::sleep(Duration::from_millis(20) + whole.mul_f64(part));
        workers[kill as usize % 3].kill();
        let ended = running.wait_with_output().unwrap();
        let left = hits(&folder.path().join(&output));
        lost += usize::from(stderr(&ended).contains("trying again"));
        if ended.status.success() {
            assert!(left == expected, "kill {kill}: {}", stderr(&ended));
        } else {
            failed += 1;
            assert!(stderr(&ended).contains("worker"), "kill {kill}: {}", stderr(&ended));
            assert!(left.iter().all(|(path, bytes)| expected.get(path) == Some(bytes)), "kill {kill}");
        }
    }
    println!("{kills} kills, {lost} of them while chunks were evaluated, {failed} runs failed; a run takes {whole:?}");
}

#[test]
fn a_window_that_stood_stays_when_all_workers_die() {
    let folder = tenant(8, 600_000);
    assert!(run(folder.path(), "out", "all").status().unwrap().success());
    let before = hits(&folder.path().join("out"));
    let mut workers = Worker::some(2);
    let mut again = run(folder.path(), "out", "all");
    again.args(["--force", "--workers", &urls(&workers)]).stderr(Stdio::piped());
    let running = again.spawn().unwrap();
    std::thread::sleep(Duration::from_millis(200));
    workers.iter_mut().for_each(Worker::kill);
    let ended = running.wait_with_output().unwrap();
    assert!(hits(&folder.path().join("out")) == before, "{}", stderr(&ended));
    // A machine that is fast has done it before they died.
    assert!(ended.status.success() || stderr(&ended).contains("no worker answers"), "{}", stderr(&ended));
}

#[test]
fn a_run_without_workers_that_answer_fails_and_writes_nothing() {
    let folder = tenant(5, 2_000);
    let mut worker = Worker::start(|_| {});
    worker.kill();
    let failed = run(folder.path(), "out", "1d").args(["--workers", &worker.url]).output().unwrap();
    assert_eq!(failed.status.code(), Some(5), "{}", stderr(&failed));
    assert!(stderr(&failed).contains("no worker answers"), "{}", stderr(&failed));
    assert!(hits(&folder.path().join("out")).is_empty());
}
