//! Layouts: every way in which a lake's folders follow from time, rows in a neighbour's folder, and what is not read.

use lakehunt::{ErrorKind, Outcome};

use crate::encode::Form;
use crate::lake::{Ask, Lake, Run, at};
use crate::oracle::{self, Row, Scope, Window};
use crate::rows::pair;

/// The layout and the same as a pattern of strftime.
const LAYOUTS: [(&str, &str); 12] = [
    ("date={yyyy-MM-dd}", "date=%Y-%m-%d"),
    ("year=/month=/day=", "year=%Y/month=%m/day=%d"),
    ("year=/month=/day=/hour=", "year=%Y/month=%m/day=%d/hour=%H"),
    ("year={yyyy}/month={M}/day={d}/hour={H}", "year=%Y/month=%-m/day=%-d/hour=%-H"),
    ("y=/m=/d=/h=/m=", "y=%Y/m=%m/d=%d/h=%H/m=%M"),
    ("yyyy/MM/dd", "%Y/%m/%d"),
    ("yyyy/MM/dd/HH", "%Y/%m/%d/%H"),
    ("eventDay={yyyyMMdd}", "eventDay=%Y%m%d"),
    ("timestamp={yyyy-MM-ddTHH}", "timestamp=%Y-%m-%dT%H"),
    ("job=7/timestamp={yyyy-MM-ddTHH}", "job=7/timestamp=%Y-%m-%dT%H"),
    ("yyyy/MM", "%Y/%m"),
    ("flat", "anything/%d%S"),
];

/// Pairs at noon, over the hour, over midnight, over the leap day, and over both ends of the range.
fn leap_days() -> Vec<Row> {
    let times = [
        ("2024-02-27T23:59:40Z", "2024-02-28T00:00:20Z"),
        ("2024-02-28T12:00:00Z", "2024-02-28T12:00:30Z"),
        ("2024-02-28T12:59:50Z", "2024-02-28T13:00:20Z"),
        ("2024-02-28T23:59:30Z", "2024-02-29T00:00:10Z"),
        ("2024-02-29T05:00:00Z", "2024-02-29T05:00:30Z"),
        ("2024-02-29T23:59:59Z", "2024-03-01T00:00:00Z"),
        ("2024-03-01T23:59:30Z", "2024-03-02T00:00:10Z"),
    ];
    times.iter().enumerate().flat_map(|(i, (s, f))| pair(&format!("u{i}"), at(s), at(f))).collect()
}

fn users(run: &Run) -> Vec<String> {
    run.all_hits().into_iter().map(|hit| hit.user).collect()
}

#[test]
fn every_layout_gives_the_oracles_answer() {
    let rows = leap_days();
    for (layout, pattern) in LAYOUTS {
        let lake = Lake::new();
        // Columns named like a partition's key and like an output column change nothing.
        lake.put_partitions(pattern, &rows, &Form { extra: true, ..Form::default() });
        for scope in [Scope::Overlap, Scope::Strict] {
            let ask = Ask { layout, scope, ..Ask::days("2024-02-28", "2024-03-02") };
            let run = ask.run(&lake).unwrap();
            let mut hits = 0;
            for (label, day) in [("2024-02-28", 0), ("2024-02-29", 1), ("2024-03-01", 2)] {
                let start = ask.from + day * oracle::DAY;
                let expected = oracle::answer(&rows, Window { start, end: start + oracle::DAY }, scope, ask.limits);
                hits += expected.hits.len();
                assert_eq!(run.answer(label), expected, "{layout}, {scope:?}, {label}");
            }
            assert_eq!(hits, if scope == Scope::Overlap { 6 } else { 3 });
        }
    }
}

#[test]
fn hourly_windows_over_every_layout() {
    let rows = leap_days();
    for (layout, pattern) in LAYOUTS {
        let lake = Lake::new();
        lake.put_partitions(pattern, &rows, &Form::default());
        let ask = Ask {
            layout,
            window: "1h",
            from: at("2024-02-28T12:00:00Z"),
            to: at("2024-02-28T14:00:00Z"),
            ..Ask::days("2024-02-28", "2024-02-29")
        };
        let run = ask.run(&lake).unwrap();
        assert_eq!(users(&run), ["u1", "u2"], "{layout}");
        assert_eq!(users(&ask.strict().run(&lake).unwrap()), ["u1"], "{layout}");
    }
}

#[test]
fn slack_finds_what_a_neighbour_holds() {
    let noon = at("2024-05-02T12:00:00Z");
    let late = pair("late", noon, noon + oracle::SECOND);
    let early = pair("early", noon, noon + oracle::SECOND);
    let own = pair("own", noon, noon + oracle::SECOND);
    let split = pair("split", noon, noon + oracle::SECOND);
    let lake = Lake::new();
    let form = Form::default();
    lake.put("date=2024-05-01/a.parquet", &early, &form);
    lake.put("date=2024-05-02/a.parquet", &[&own[..], &split[..1]].concat(), &form);
    lake.put("date=2024-05-03/a.parquet", &[&late[..], &split[1..]].concat(), &form);

    // The day before is read for its last minute, so what it holds of this day is found even so.
    let without = Ask::days("2024-05-02", "2024-05-03").run(&lake).unwrap();
    assert_eq!(users(&without), ["early", "own"]);
    assert_eq!(users(&Ask::days("2024-05-02", "2024-05-03").strict().run(&lake).unwrap()), ["own"]);

    let slack = Ask { slack: 1, ..Ask::days("2024-05-02", "2024-05-03") };
    let with = slack.run(&lake).unwrap();
    assert_eq!(users(&with), ["early", "late", "own", "split"]);
    assert_eq!(with.record("2024-05-02")["inputs"].as_array().unwrap().len(), 3);
    assert!(!with.report.warnings.iter().any(|line| line.contains("outside their partition")), "slack was asked for");

    // Who looks at all days is told that rows lie beside their partition.
    let all = Ask::days("2024-05-01", "2024-05-04");
    let without = all.run(&lake).unwrap();
    for file in ["date=2024-05-01/a.parquet", "date=2024-05-03/a.parquet"] {
        let warned = |line: &&String| line.contains(file) && line.contains("outside their partition");
        assert!(without.report.warnings.iter().any(|line| warned(&line)), "{:?}", without.report.warnings);
    }
    assert_eq!(users(&without), ["early", "own"], "windows that are read together see no more than each alone");
    assert_eq!(users(&all.clone().strict().run(&lake).unwrap()), ["own"]);
    let with = Ask { slack: 1, ..all }.run(&lake).unwrap();
    assert_eq!(users(&with), ["early", "late", "own", "split"], "each once, in the window of its failure");
    assert_eq!(with.hits("2024-05-02").len(), 4);
}

#[test]
fn slack_of_two_reaches_two_partitions() {
    let noon = at("2024-05-03T12:00:00Z");
    let lake = Lake::new();
    lake.put("date=2024-05-05/a.parquet", &pair("late", noon, noon + 1_000), &Form::default());
    let asked = |slack| Ask { slack, ..Ask::days("2024-05-03", "2024-05-04") }.run(&lake);
    assert_eq!(asked(1).err().unwrap().kind(), ErrorKind::SourceMissing);
    assert_eq!(users(&asked(2).unwrap()), ["late"]);
}

#[test]
fn what_is_no_data_is_not_read() {
    let noon = at("2024-05-02T12:00:00Z");
    let lake = Lake::new();
    lake.put("date=2024-05-02/part-0.snappy.parquet", &pair("u", noon, noon + 1_000), &Form::default());
    for path in [
        "_SUCCESS",
        "date=2024-05-02/_SUCCESS",
        "date=2024-05-02/.part-0.snappy.parquet.crc",
        "date=2024-05-02/_temporary/0/part-1.parquet",
        "date=2024-05-02/.hidden/part-1.parquet",
        "date=2024-05-02/_part-1.parquet",
        "date=2024-05-02/part-1.parquet.tmp",
        "date=2024-05-02/notes.txt",
    ] {
        lake.put_bytes(path, b"this is no Parquet file");
    }
    lake.put_bytes("date=2024-05-02/empty.parquet", b"");
    for layout in ["date={yyyy-MM-dd}", "flat"] {
        let run = Ask { layout, ..Ask::days("2024-05-02", "2024-05-03") }.run(&lake).unwrap();
        assert_eq!(run.report.exit_code(), 0, "{layout}");
        assert_eq!(users(&run), ["u"], "{layout}");
        let inputs = run.record("2024-05-02")["inputs"].as_array().unwrap().clone();
        assert_eq!(inputs.len(), 1, "{layout}: {inputs:?}");
        assert_eq!(inputs[0]["path"], "date=2024-05-02/part-0.snappy.parquet");
    }
}

/// A folder that cannot be listed: it holds itself.
#[cfg(unix)]
fn put_loop(lake: &Lake, folder: &str) {
    let folder = lake.path().join(folder);
    std::fs::create_dir_all(&folder).unwrap();
    std::os::unix::fs::symlink(&folder, folder.join("again")).unwrap();
}

#[cfg(unix)]
#[test]
fn only_the_folders_of_the_windows_are_listed() {
    let noon = at("2024-05-02T12:00:00Z");
    let rows = pair("u", noon, noon + 1_000);
    for (layout, pattern, before, after) in [
        ("date={yyyy-MM-dd}", "date=%Y-%m-%d", "date=2024-04-30", "date=2024-05-03"),
        ("yyyy/MM/dd", "%Y/%m/%d", "2024/04/30", "2024/05/03"),
        (
            "year=/month=/day=/hour=",
            "year=%Y/month=%m/day=%d/hour=%H",
            "year=2024/month=05/day=01/hour=22",
            "year=2023",
        ),
        ("timestamp=", "timestamp=%Y-%m-%dT%H", "timestamp=2024-05-01T22", "timestamp=2024-05-03T00"),
    ] {
        let lake = Lake::new();
        lake.put_partitions(pattern, &rows, &Form::default());
        for folder in [before, after] {
            lake.put_bytes(&format!("{folder}/bad.parquet"), b"this is no Parquet file");
            put_loop(&lake, folder);
        }
        let run = Ask { layout, ..Ask::days("2024-05-02", "2024-05-03") }.run(&lake).unwrap();
        assert_eq!(run.report.exit_code(), 0, "{layout}");
        assert_eq!(users(&run), ["u"], "{layout}");
    }
}

#[cfg(unix)]
#[test]
fn a_folder_of_the_windows_that_cannot_be_listed_fails_the_run() {
    let noon = at("2024-05-02T12:00:00Z");
    let lake = Lake::of(&pair("u", noon, noon + 1_000));
    put_loop(&lake, "date=2024-05-02");
    let error = Ask::days("2024-05-02", "2024-05-03").run(&lake).err().unwrap();
    assert_eq!(error.kind(), ErrorKind::Unreachable, "{error}");
    assert!(error.to_string().contains("date=2024-05-02"), "{error}");
}

#[test]
fn folders_that_do_not_fit_the_layout_are_left_alone() {
    let noon = at("2024-05-02T12:00:00Z");
    let lake = Lake::new();
    lake.put("date=2024-05-02/a.parquet", &pair("u", noon, noon + 1_000), &Form::default());
    lake.put("date=2024-5-2/a.parquet", &pair("v", noon, noon + 1_000), &Form::default());
    lake.put("date=2024-05-02 copy/a.parquet", &pair("w", noon, noon + 1_000), &Form::default());
    lake.put("a.parquet", &pair("x", noon, noon + 1_000), &Form::default());
    lake.put("date=2024-05-02/hour=12/a.parquet", &pair("y", noon, noon + 1_000), &Form::default());
    let run = Ask::days("2024-05-02", "2024-05-03").run(&lake).unwrap();
    assert_eq!(users(&run), ["u", "y"], "what lies deeper belongs to its partition");
}

#[test]
fn a_partition_that_is_missing_leaves_its_window_to_do() {
    let noon = at("2024-05-02T12:00:00Z");
    let lake = Lake::of(&pair("u", noon, noon + 1_000));
    let run = Ask::days("2024-05-01", "2024-05-04").run(&lake).unwrap();
    assert_eq!(run.report.exit_code(), 0);
    for (window, label) in std::iter::zip(&run.report.windows, ["2024-05-01", "2024-05-02", "2024-05-03"]) {
        assert_eq!(window.label, label);
        assert_eq!(matches!(window.outcome, Outcome::WithoutSource), label != "2024-05-02", "{label}");
        assert_eq!(run.record_path(label).exists(), label == "2024-05-02", "{label}");
        assert_eq!(run.hits_path(label).exists(), label == "2024-05-02", "{label}");
    }
    for path in ["date=2024-05-01", "date=2024-05-03"] {
        assert!(run.report.warnings.iter().any(|line| line.contains(path)), "{:?}", run.report.warnings);
    }
    // It arrives.
    let noon = at("2024-05-03T12:00:00Z");
    lake.put_days(&pair("v", noon, noon + 1_000), &Form::default());
    let again = Ask::days("2024-05-01", "2024-05-04").run_into(&lake, &run.output).unwrap();
    assert_eq!(users(&again), ["u", "v"]);
    assert!(matches!(again.report.windows[1].outcome, Outcome::UpToDate { hits: 1 }));
}

#[test]
fn no_partition_at_all_is_an_error() {
    let noon = at("2024-05-02T12:00:00Z");
    let lake = Lake::of(&pair("u", noon, noon + 1_000));
    let error = Ask::days("2024-06-01", "2024-06-04").run(&lake).err().unwrap();
    assert_eq!(error.kind(), ErrorKind::SourceMissing, "{error}");
    assert_eq!(error.kind().exit_code(), 5);
    let empty = Lake::new();
    for layout in ["flat", "date={yyyy-MM-dd}"] {
        let error = Ask { layout, ..Ask::days("2024-06-01", "2024-06-04") }.run(&empty).err().unwrap();
        assert_eq!(error.kind(), ErrorKind::SourceMissing, "{layout}: {error}");
    }
    let nowhere = lake.path().join("nowhere").to_str().unwrap().to_owned();
    let output = tempfile::tempdir().unwrap();
    let error = Ask::days("2024-05-02", "2024-05-03").report(&nowhere, output.path()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::SourceMissing, "{error}");
    assert!(error.to_string().contains("nowhere"), "{error}");
}
