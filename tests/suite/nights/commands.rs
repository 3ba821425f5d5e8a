//! `run` without a range, `status`, `history`, `diff` and the metrics file, as they are typed.

use std::path::Path;

use crate::lake::SLUG;
use crate::nights::{count, generate, json, passed, run};
use crate::stores::place::{Backend, Place, code, stderr, stdout};

/// Six days of a small tenant.
fn place() -> Place {
    let (place, folder) = (Place::new(Backend::Local), tempfile::tempdir().unwrap());
    generate(&folder.path().join("lake"), 6, 1000, &[]);
    place.upload_folder(&folder.path().join("lake"), "lake");
    place
}

fn night(place: &Place, as_of: &str, more: &[&str]) -> std::process::Output {
    run(place, "out", &[&["--start", "2024-05-01", "--as-of", as_of][..], more].concat()).output().unwrap()
}

fn status(place: &Place, as_of: &str, more: &[&str]) -> std::process::Output {
    let (lake, out) = (place.url("lake"), place.url("out"));
    let args = ["status", SLUG, "--source", &lake, "--output", &out, "--start", "2024-05-01", "--as-of", as_of];
    place.lakehunt(&[&args[..], more].concat())
}

#[test]
fn a_run_without_a_range_does_the_nights_that_are_missing() {
    let place = place();
    let early = night(&place, "2024-05-02T00:59:00Z", &[]);
    passed(&place, &early);
    assert!(stdout(&early).contains("no window is complete yet"), "{}", stdout(&early));
    assert!(!Path::new(&place.url("out")).exists());
    let first = json(&night(&place, "2024-05-03T01:00:00Z", &["--json"]));
    assert_eq!((count(&first, "done"), count(&first, "up_to_date")), (2, 0));
    let second = json(&night(&place, "2024-05-05T01:00:00Z", &["--json"]));
    assert_eq!((count(&second, "done"), count(&second, "up_to_date")), (2, 2));
    let third = night(&place, "2024-05-05T02:00:00Z", &[]);
    assert!(stdout(&third).contains("nothing to do, 4 done before"), "{}", stdout(&third));
    let dry = night(&place, "2024-05-07T02:00:00Z", &["--dry-run"]);
    assert!(stdout(&dry).contains("6 windows, 2 to do"), "{}", stdout(&dry));
    // Yesterday's hits are no news.
    assert_eq!(code(&night(&place, "2024-05-05T02:00:00Z", &["--fail-on-hits"])), Some(0));
    assert_eq!(code(&night(&place, "2024-05-06T02:00:00Z", &["--fail-on-hits"])), Some(10));
}

#[test]
fn the_job_file_says_what_a_night_is() {
    let place = place();
    let home = tempfile::tempdir().unwrap();
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    for name in ["sql/signin-success-then-fail.sql", "sql/views/signin-logs.sql"] {
        let target = home.path().join(name);
        std::fs::create_dir_all(target.parent().unwrap()).unwrap();
        std::fs::copy(root.join(name), target).unwrap();
    }
    let text = std::fs::read_to_string(root.join("jobs").join(SLUG).with_extension("yaml")).unwrap();
    let with = |nightly: &str| {
        let before = text.find("\nnightly:").expect("the job that is there has the section");
        let rest = &text[before + 1..];
        let after = rest.find("\n\n").expect("a section follows");
        let path = home.path().join("jobs/night.yaml");
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, format!("{}\nnightly:\n{nightly}{}", &text[..before], &rest[after..])).unwrap();
        let (lake, out) = (place.url("lake"), place.url("night"));
        let job = path.display().to_string();
        place.lakehunt(&["run", &job, "--source", &lake, "--output", &out, "--as-of", "2024-05-06T05:00:00Z", "--json"])
    };
    let windows = |output: &std::process::Output| {
        assert_eq!(code(output), Some(0), "{}", stderr(output));
        let labels =
            json(output)["windows"].as_array().unwrap().iter().map(|w| w["window"].clone()).collect::<Vec<_>>();
        (labels.first().cloned(), labels.last().cloned())
    };
    assert_eq!(windows(&with("  start: 2024-05-02\n")), (Some("2024-05-02".into()), Some("2024-05-05".into())));
    assert_eq!(windows(&with("  lookback: 2d\n  delay: 6h\n")), (Some("2024-05-04".into()), Some("2024-05-04".into())));
    for (nightly, word) in [
        ("  lookbak: 2d\n", "did you mean `lookback`"),
        ("  delay: soon\n", "`soon` is no time span"),
        ("  on_change: rerrun\n", "did you mean `rerun`"),
        ("  start: 2024-05-01T10:00:00Z\n", "2024-05-01 and 2024-05-02"),
    ] {
        let output = with(nightly);
        assert_eq!(code(&output), Some(2), "{nightly}: {}", stderr(&output));
        assert!(stderr(&output).contains(word), "{nightly}: {}", stderr(&output));
    }
}

#[test]
fn a_range_and_a_night_are_two_things() {
    let place = place();
    let output = run(&place, "out", &["--from", "2024-05-01", "--to", "2024-05-02", "--late", "1d"]).output().unwrap();
    assert_eq!(code(&output), Some(2));
    let output = run(&place, "out", &["--as-of", "2024-05-05", "--window", "all"]).output().unwrap();
    assert_eq!(code(&output), Some(2));
    assert!(stderr(&output).contains("give --from and --to"), "{}", stderr(&output));
}

#[test]
fn status_tells_what_each_window_is_and_why() {
    let place = place();
    passed(&place, &night(&place, "2024-05-05T01:00:00Z", &[]));
    // A late file, a damaged one, and hits that somebody removed.
    let file = |day: u32, name: &str| format!("lake/date=2024-05-{day:02}/{name}");
    let copy = place.objects("lake").remove("date=2024-05-02/part-0.parquet").unwrap();
    place.put(&file(2, "part-1.parquet"), copy);
    place.put(&file(5, "part-0.parquet"), b"damaged".to_vec());
    place.delete(&format!("out/hits/job={SLUG}/window=2024-05-04/hits.parquet"));
    let failing = night(&place, "2024-05-06T01:00:00Z", &["--late", "1d", "--no-wait"]);
    assert_eq!(code(&failing), Some(3), "{}", stderr(&failing));
    place.delete(&format!("out/hits/job={SLUG}/window=2024-05-04/hits.parquet"));

    let told = json(&status(&place, "2024-05-09T01:00:00Z", &["--late", "30d", "--json"]));
    let windows: Vec<(&str, &str)> = told["windows"]
        .as_array()
        .unwrap()
        .iter()
        .map(|window| (window["status"].as_str().unwrap(), window["reason"].as_str().unwrap_or_default()))
        .collect();
    let expected = [
        ("done", ""),
        ("stale", "1 file added: date=2024-05-02/part-1.parquet"),
        // It sees the last minute of the day before.
        ("stale", "1 file added: date=2024-05-02/part-1.parquet"),
        ("stale", "its hits are gone"),
        ("failed", "part-0.parquet"),
        ("missing", ""),
        ("without_source", "no partition"),
        ("without_source", "no partition"),
    ];
    assert_eq!(windows.len(), expected.len(), "{told}");
    for (window, expected) in windows.iter().zip(expected) {
        assert_eq!(window.0, expected.0, "{told}");
        assert!(window.1.contains(expected.1), "{window:?}");
    }
    let text = stdout(&status(&place, "2024-05-09T01:00:00Z", &["--late", "30d"]));
    assert!(text.contains("2024-05  ◆▲▲▲✗□··"), "{text}");
    assert!(text.contains("8 windows, 1 done, 1 missing, 3 stale, 1 failed, 2 without source"), "{text}");
    assert!(text.contains("2024-05-02 to 2024-05-03 (2)"), "{text}");

    let told = stdout(&place.lakehunt(&["history", SLUG, "--output", &place.url("out")]));
    let lines: Vec<&str> = told.lines().collect();
    assert_eq!(lines.len(), 2, "{told}");
    assert!(lines[0].contains("some failed") && lines[0].contains("1 done, 1 failed"), "{told}");
    assert!(lines[1].contains("nightly") && lines[1].contains("4 done"), "{told}");
    let none = place.lakehunt(&["history", SLUG, "--output", &place.url("nowhere")]);
    assert_eq!(code(&none), Some(5));
}

#[test]
fn diff_tells_what_a_rerun_changed() {
    let place = place();
    let range = ["--from", "2024-05-01", "--to", "2024-05-04"];
    passed(&place, &run(&place, "out", &range).output().unwrap());
    let diff = |more: &[&str]| {
        let out = place.url("out");
        let args = [&["diff", SLUG, "--output", &out][..], &range, more].concat();
        let output = place.lakehunt(&args);
        passed(&place, &output);
        stdout(&output)
    };
    assert!(diff(&[]).contains("0 new, 0 gone, 0 changed, in 0 windows"), "{}", diff(&[]));
    let before = place.hits();
    let between = chrono::Utc::now().to_rfc3339();
    // A smaller limit: hits go, and none come.
    passed(&place, &run(&place, "out", &[&range[..], &["--param", "max_distribution=2"]].concat()).output().unwrap());
    let after = place.hits();
    assert!(before != after);
    let rows = |hits: &std::collections::BTreeMap<String, Vec<u8>>| -> usize {
        hits.values().map(|bytes| crate::lake::read_hits(bytes.clone()).len()).sum()
    };
    let gone = rows(&before) - rows(&after);
    assert!(gone > 0);
    let lines = diff(&["--format", "jsonl"]);
    assert_eq!(lines.lines().filter(|line| line.contains(r#""change":"gone""#)).count(), gone, "{lines}");
    assert!(diff(&[]).contains(&format!("0 new, {gone} gone, 0 changed, in 3 windows")), "{}", diff(&[]));
    // Back again: compared with the last change they are new; compared with the beginning nothing changed.
    passed(&place, &run(&place, "out", &range).output().unwrap());
    assert!(place.hits() == before);
    assert!(diff(&[]).contains(&format!("{gone} new, 0 gone, 0 changed, in 3 windows")), "{}", diff(&[]));
    assert!(diff(&["--since", &between]).contains("0 new, 0 gone, 0 changed, in 3 windows"));
    assert!(diff(&["--since", "2024-05-01"]).contains("in 0 windows"), "nothing was there then");
    // Readers of the table see none of the earlier hits.
    assert_eq!(place.objects("out/hits").len(), 3);
    let earlier = place.objects("out/runs").into_keys().filter(|name| name.contains("/hits-")).count();
    assert_eq!(earlier, 6);
}

#[test]
fn the_metrics_file_is_replaced_as_a_whole() {
    let place = place();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("lakehunt.prom");
    for (as_of, done) in [("2024-05-03T01:00:00Z", 2), ("2024-05-05T01:00:00Z", 2), ("2024-05-05T01:00:00Z", 0)] {
        passed(&place, &night(&place, as_of, &["--metrics-file", path.to_str().unwrap()]));
        let text = std::fs::read_to_string(&path).unwrap();
        let line = format!("lakehunt_run_windows{{job=\"{SLUG}\",outcome=\"done\"}} {done}\n");
        assert!(text.contains(&line), "{text}");
        assert!(text.contains("# TYPE lakehunt_run_finished_timestamp_seconds gauge"), "{text}");
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1, "nothing else is left");
    }
    let nowhere = night(&place, "2024-05-05T01:00:00Z", &["--metrics-file", "/nowhere/at/all.prom"]);
    assert_eq!(code(&nowhere), Some(1));
    assert!(stderr(&nowhere).contains("/nowhere/at/all.prom"), "{}", stderr(&nowhere));
}
