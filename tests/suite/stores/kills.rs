//! Processes that are killed at any moment: each window is the old one or the new one, and one clean run is all it takes.
//!
//! `LAKEHUNT_KILLS` is the number of kills a backend; ten unless told otherwise, a hundred for a soak.

use std::collections::BTreeMap;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use lakehunt::OutputFormat;

use super::commits::check_whole;
use super::place::{Backend, Place, code, stderr};
use crate::lake::SLUG;

const DAYS: u32 = 4;

/// The windows of a small tenant's days, an hour each: many commits, so that a kill can come between any two.
fn run(place: &Place, format: OutputFormat) -> Command {
    let mut command = place.command();
    let (source, output) = ("lake", "out");
    command.args(["run", SLUG, "--source", &place.url(source), "--output", &place.url(output)]);
    command.args(["--from", "2024-05-01", "--to", "2024-05-05", "--window", "1h"]);
    // The next run does not wait until the claim of the one that was killed expires.
    command.args(["--lease", "0s", "--output-format", &format.to_string()]);
    command.stdout(Stdio::null()).stderr(Stdio::piped());
    command
}

/// Two states of one lake, between which it goes back and forth: `lake` has or has not the second file of each day.
struct States {
    late: BTreeMap<String, Vec<u8>>,
    hits: [BTreeMap<String, Vec<u8>>; 2],
}

fn prepare(place: &Place, format: OutputFormat) -> States {
    let folder = tempfile::tempdir().unwrap();
    let made = Command::new(env!("CARGO_BIN_EXE_lakehunt"))
        .args([
            "generate",
            &folder.path().join("lake").display().to_string(),
            "--files",
            "2",
            "--rows-per-day",
            "12000",
        ])
        .args(["--days", &DAYS.to_string(), "--users", "300", "--apps", "80", "--attacks-per-day", "8"])
        .output()
        .unwrap();
    assert!(made.status.success(), "{}", stderr(&made));
    place.upload_folder(&folder.path().join("lake"), "lake");
    let all = place.objects("lake");
    let late: BTreeMap<_, _> = all.into_iter().filter(|(name, _)| name.ends_with("part-1.parquet")).collect();
    assert_eq!(late.len() as u32, DAYS);
    let mut states = States { late, hits: [BTreeMap::new(), BTreeMap::new()] };
    for state in [1, 0] {
        states.enter(place, state);
        let undisturbed = run(place, format).output().unwrap();
        assert_eq!(code(&undisturbed), Some(0), "{}", stderr(&undisturbed));
        states.hits[state] = place.hits();
        assert_eq!(place.records().len() as u32, 24 * DAYS);
    }
    assert!(states.hits[0] != states.hits[1], "the late files matter");
    states
}

impl States {
    /// Puts the lake into a state: with the late files or without.
    fn enter(&self, place: &Place, state: usize) {
        for (name, bytes) in &self.late {
            let path = format!("lake/{name}");
            if state == 1 { place.put(&path, bytes.clone()) } else { place.delete(&path) }
        }
    }
}

#[test]
fn a_killed_run_loses_nothing_and_doubles_nothing() {
    let kills: u32 = std::env::var("LAKEHUNT_KILLS").map_or(10, |text| text.parse().expect("a number of kills"));
    std::thread::scope(|scope| {
        for backend in Backend::all() {
            scope.spawn(move || kill_again_and_again(backend, OutputFormat::Parquet, kills));
        }
    });
}

#[test]
fn a_run_that_is_killed_leaves_a_delta_table_of_whole_windows() {
    let kills: u32 = std::env::var("LAKEHUNT_KILLS").map_or(10, |text| text.parse().expect("a number of kills"));
    std::thread::scope(|scope| {
        for backend in Backend::all() {
            scope.spawn(move || kill_again_and_again(backend, OutputFormat::Delta, kills));
        }
    });
}

fn kill_again_and_again(backend: Backend, format: OutputFormat, kills: u32) {
    let place = Place::new(backend);
    let states = prepare(&place, format);
    // How long a run takes when it has everything to do.
    states.enter(&place, 1);
    let began = Instant::now();
    let whole = run(&place, format).output().unwrap();
    assert_eq!(code(&whole), Some(0), "{}", stderr(&whole));
    let whole = began.elapsed();

    // Aimed anew by every run: how fast this machine is now is not how fast it was.
    let mut span = whole;
    let (mut cut, mut tries) = (0, 0_u32);
    let mut mixed = 0;
    while cut < kills {
        tries += 1;
        assert!(tries < 20 * kills + 100, "{}: {cut} of {tries} runs were cut off", backend.name());
        let state = (tries % 2) as usize;
        states.enter(&place, state);
        let before = place.hits();
        let mut child = run(&place, format).spawn().unwrap();
        // Committing is the last part of a run, and what there is to disturb.
        std::thread::sleep(span.mul_f64(0.2) + random_part_of(span));
        child.kill().unwrap();
        let output = child.wait_with_output().unwrap();
        place.check_no_secret("stderr", &output.stderr);
        // One that was through already is no kill, and the next is aimed earlier.
        let through = code(&output).is_some();
        cut += u32::from(!through);

        let hits = place.hits();
        let untouched = hits == before;
        span = span.mul_f64(if through {
            0.8
        } else if untouched {
            1.25
        } else {
            1.0
        });
        assert_eq!(place.records().len() as u32, 24 * DAYS, "{}: no window is missing", backend.name());
        for label in place.records().keys() {
            let known = states.hits.iter().any(|known| known.get(label) == hits.get(label));
            assert!(known, "{} {label}: neither the old window nor the new one", backend.name());
        }
        mixed += u32::from(hits != states.hits[0] && hits != states.hits[1]);
    }
    for state in [1, 0] {
        states.enter(&place, state);
        let clean = run(&place, format).output().unwrap();
        assert_eq!(code(&clean), Some(0), "{}", stderr(&clean));
        assert!(place.hits() == states.hits[state], "{}: as if nobody had been killed", backend.name());
        check_whole(&place);
    }
    // Before its log is cleaned up.
    let data = super::tables::data_files(&place);
    let swept = place.lakehunt(&["vacuum", &place.url("out"), "--older-than", "0s", "--retention", "0s"]);
    assert_eq!(code(&swept), Some(0), "{}", stderr(&swept));
    let names: Vec<String> = place.objects("out").into_keys().collect();
    let ours = |name: &String| {
        let ends = ["hits.parquet", "run.parquet", "run.json", "table.json", ".lakehunt.lock"];
        ends.iter().any(|end| name.ends_with(end)) || name.contains("/history/") || name.contains("/_delta_log/")
    };
    let left: Vec<&String> = names.iter().filter(|name| !ours(name) && !data.contains(*name)).collect();
    assert!(left.is_empty(), "{}: {left:?}", backend.name());
    assert!(data.iter().all(|name| names.contains(name)), "{}: {data:?}", backend.name());
    let line = format!(
        "{}: {cut} of {tries} runs killed, {mixed} times with windows of both states; a whole run takes {whole:.1?}\n",
        backend.name()
    );
    // Of interest in a soak; what passes is not shown otherwise.
    print!("{line}");
}

pub(crate) fn random_part_of(time: Duration) -> Duration {
    use std::hash::{BuildHasher, Hasher};
    let random = std::collections::hash_map::RandomState::new().build_hasher().finish();
    time.mul_f64((random % 1_000_000) as f64 / 1e6)
}
