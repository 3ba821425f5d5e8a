//! Accounts that do nothing else, row groups that hold a day, and runs that may use next to no memory.

use std::path::Path;
use std::process::{Command, Stdio};

use lakehunt::{ErrorKind, Outcome};
use tempfile::TempDir;
use wait4::Wait4;

use crate::encode::{Form, Time};
use crate::hunts::lakehunt_in;
use crate::lake::{Ask, Lake, at};
use crate::oracle::{Limits, MINUTE, Row, SECOND};
use crate::rows::pair;

const EACH: i128 = 100_000;
/// From one success to the next; the failure stands in the middle.
const STEP: i128 = 36_000_000;

/// One account and address: within an hour 100,000 successes on ten apps, and as many failures on ten others.
fn one_account() -> Vec<Row> {
    let start = at("2024-05-01T10:00:00Z");
    let row = |time, app: String, result: &str, description: &str| Row {
        time: Some(time),
        user: Some("svc@contoso.com".to_owned()),
        ip: Some("10.0.0.1".to_owned()),
        app: Some(app),
        result: Some(result.to_owned()),
        description: Some(description.to_owned()),
    };
    (0..EACH)
        .flat_map(|n| {
            let time = start + n * STEP;
            [row(time, format!("A{}", n % 10), "0", ""), row(time + STEP / 2, format!("B{}", n % 10), "50126", "bad")]
        })
        .collect()
}

#[test]
fn a_hundred_thousand_successes_and_failures_of_one_account_in_an_hour() {
    let lake = Lake::new();
    lake.put_days(&one_account(), &Form::time(Time::Micros(None)));
    for threads in [1, 2] {
        let run = Ask { threads, ..Ask::days("2024-05-01", "2024-05-02") }.run(&lake).unwrap();
        assert_eq!(run.report.hits(), 0, "every key is common");
        // A success is followed by all failures of the next minute, as far as there are any: ten keys, each counted here.
        let reach = (MINUTE - STEP / 2) / STEP + 1;
        let expected: Vec<_> = (0..10)
            .map(|app| {
                let pairs: i128 = (0..EACH).skip(app).step_by(10).map(|n| reach.min(EACH - n)).sum();
                (format!("A{app}"), "50126".to_owned(), i64::try_from(pairs).unwrap())
            })
            .collect();
        assert_eq!(run.answer("2024-05-01").over_limit, expected);
    }
}

#[test]
fn however_little_memory_there_is_the_rows_are_right_or_the_limit_is_named() {
    let lake = Lake::new();
    let start = at("2024-05-01T00:00:00Z");
    let rows: Vec<Row> = (0..6_000)
        .map(|n| (n, start + n * 9 * SECOND))
        .flat_map(|(n, time)| pair(&format!("user{n}"), time, time + MINUTE / 2))
        .collect();
    lake.put_days(&rows, &Form::time(Time::Micros(None)));
    let ask = |memory_limit, threads, interval_join| Ask {
        memory_limit,
        threads,
        interval_join,
        limits: Limits { max_distribution: 100_000, ..Limits::default() },
        ..Ask::days("2024-05-01", "2024-05-02")
    };
    let whole = ask(lakehunt::DEFAULT_MEMORY_LIMIT, 2, true).run(&lake).unwrap().hits("2024-05-01");
    assert!(whole.len() > 3_000, "{} hits", whole.len());
    let (mut done, mut refused) = (0, 0);
    for interval_join in [true, false] {
        for threads in [1, 2] {
            for limit in (12..26).map(|power| 1_usize << power) {
                let run = ask(limit, threads, interval_join).run(&lake).unwrap();
                match &run.report.windows[0].outcome {
                    Outcome::Done { .. } => {
                        assert_eq!(run.hits("2024-05-01"), whole, "{limit} bytes, {threads} threads");
                        done += 1;
                    }
                    Outcome::Failed(error) => {
                        let text = error.to_string();
                        assert_eq!(error.kind(), ErrorKind::ResourcesExhausted, "{limit} bytes: {text}");
                        assert!(text.contains("--memory-limit"), "{text}");
                        let cause = std::error::Error::source(error.as_ref()).map(ToString::to_string);
                        assert!(cause.is_some_and(|cause| cause.contains("allocation failed for ")), "{error:?}");
                        refused += 1;
                    }
                    other => panic!("{limit} bytes: {other:?}"),
                }
            }
        }
    }
    assert!(done >= 8 && refused >= 8, "{done} runs ended and {refused} were refused");
}

/// How many bytes the scan has read, as its metrics tell.
fn scanned(said: &str) -> f64 {
    let (_, told) = said.split_once("bytes_scanned=").unwrap();
    let (number, unit) = told.split(',').next().unwrap().split_once(' ').unwrap();
    assert_eq!(unit, "M");
    number.parse::<f64>().unwrap() * 1e6
}

/// How many bytes the only file of a lake has.
fn bytes_of(lake: &str) -> f64 {
    let file = Path::new(lake).join("date=2024-05-01/part-0.parquet");
    file.metadata().unwrap().len() as f64
}

/// Many writers make one row group of a day. Parts of it read their pages alone, and its dictionaries.
#[test]
fn a_large_row_group_is_read_by_all_threads_and_gives_the_same_bytes() {
    let dir = TempDir::new().unwrap();
    let path = |name: &str| dir.path().join(name).display().to_string();
    let lakehunt = |args: &[&str]| {
        let output = lakehunt_in(Path::new(env!("CARGO_MANIFEST_DIR")), args);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{args:?}: {said}");
        said
    };
    for (form, more) in [("dictionaries", None), ("plain", Some("--plain"))] {
        let lake = path(form);
        let generate = ["generate", &lake, "--days", "1", "--rows-per-day", "600000", "--six-columns"];
        lakehunt(&generate.into_iter().chain(more).collect::<Vec<_>>());
        let hits = |threads: &str| {
            let out = path(&format!("{form}-{threads}"));
            let job = "signin-success-then-fail";
            let range = ["--from", "2024-05-01", "--to", "2024-05-02"];
            let run = [&["run", job, "--source", &lake, "--output", &out, "-vv", "--threads", threads], &range[..]];
            let said = lakehunt(&run.concat());
            // What the operator measured.
            assert!(said.contains(&format!("parts={threads},")), "{said}");
            assert!(scanned(&said) < bytes_of(&lake) * 1.1, "{} bytes of {}", scanned(&said), bytes_of(&lake));
            std::fs::read(format!("{out}/hits/job={job}/window=2024-05-01/hits.parquet")).unwrap()
        };
        let whole = hits("1");
        assert!(whole.len() > 10_000, "{} bytes", whole.len());
        assert_eq!(hits("2"), whole, "{form}");
    }
}

/// Bytes that a run over a lake of four days has in memory at most, and what it says.
fn peak(lake: &str, out: &str) -> (u64, String) {
    let run = ["run", "signin-success-then-fail", "--source", lake, "--output", out, "-vv", "--threads", "2"];
    let mut command = Command::new(env!("CARGO_BIN_EXE_lakehunt"));
    command.current_dir(env!("CARGO_MANIFEST_DIR")).args(run).args(["--from", "2024-05-01", "--to", "2024-05-05"]);
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    let said = std::io::read_to_string(child.stderr.take().unwrap()).unwrap();
    let ended = child.wait4().unwrap();
    assert!(ended.status.success(), "{said}");
    (ended.rusage.maxrss, said)
}

/// Nothing of a file stays in memory but what its footer tells, and small files are work for all threads.
#[test]
fn many_small_files_take_little_more_memory_than_few_large_ones() {
    let dir = TempDir::new().unwrap();
    let path = |name: &str| dir.path().join(name).display().to_string();
    let run = |files: &str| {
        let lake = path(files);
        let generate = ["generate", &lake, "--days", "4", "--rows-per-day", "4000", "--six-columns", "--files", files];
        let output = lakehunt_in(Path::new(env!("CARGO_MANIFEST_DIR")), &generate);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let out = path(&format!("hits-{files}"));
        let (peak, said) = peak(&lake, &out);
        let (_, parts) = said.split_once(" parts=").unwrap();
        let parts: u64 = parts.split(',').next().unwrap().parse().unwrap();
        let hits = |day| {
            std::fs::read(format!("{out}/hits/job=signin-success-then-fail/window=2024-05-0{day}/hits.parquet"))
                .unwrap()
        };
        (peak, parts, [1, 2, 3, 4].map(hits))
    };
    let (few, large, whole) = run("1");
    let (many, small, hits) = run("500");
    assert!(hits == whole, "the rows are the same");
    assert!(large == 1 && small > 32, "{large} and {small} parts");
    // It was 38 KB while a scan kept what the engine counts of each, and is 16.
    let of_file = many.saturating_sub(few) / 2_000;
    assert!(of_file < 26_000, "{of_file} bytes a file: {many} and {few}");
}
