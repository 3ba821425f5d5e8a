//! Files that cannot be read, output that cannot be written, and runs over what is done already.

use std::path::Path;
use std::time::{Duration, SystemTime};

use lakehunt::{Error, ErrorKind, Outcome};
use parquet::file::reader::{FileReader, SerializedFileReader};

use crate::encode::{Form, encode};
use crate::lake::{Ask, Lake, Run, SLUG, at};
use crate::oracle::SECOND;
use crate::rows::pair;

const DAYS: [&str; 4] = ["2024-05-01", "2024-05-02", "2024-05-03", "2024-05-04"];
const SECOND_DAY: &str = "date=2024-05-02/part-0.parquet";

/// A hit at noon and one a minute before midnight, on each of four days.
fn lake() -> Lake {
    let of = |day: &&str| {
        let (noon, evening) = (at(day) + 43_200 * SECOND, at(day) + 86_350 * SECOND);
        [pair("noon", noon, noon + SECOND), pair("evening", evening, evening + SECOND)].concat()
    };
    Lake::of(&DAYS.iter().flat_map(of).collect::<Vec<_>>())
}

fn four_days() -> Ask {
    Ask::days("2024-05-01", "2024-05-05")
}

/// The windows that failed, by label.
fn failed(run: &Run) -> Vec<&str> {
    run.report.failures().map(|(window, _)| window.label.as_str()).collect()
}

/// Checks that the windows named failed and all others were committed with their two hits.
fn assert_only_fail(run: &Run, expected: &[&str], because: impl Fn(&Error)) {
    assert_eq!(failed(run), expected);
    run.report.failures().for_each(|(_, error)| because(error));
    for day in DAYS {
        if expected.contains(&day) {
            assert!(!run.hits_path(day).exists() && !run.record_path(day).exists(), "{day} is not done");
        } else {
            assert_eq!(run.answer(day).hits.len(), 2, "{day}");
        }
    }
    assert_eq!(run.report.exit_code(), 3, "some windows failed");
}

fn named_corrupt(error: &Error) {
    assert_eq!(error.kind(), ErrorKind::CorruptFile, "{error}");
    assert!(error.context("file").is_some_and(|file| file.ends_with(SECOND_DAY)), "{error}");
}

/// Ways to damage a file so that its footer cannot be read.
fn broken_footers(bytes: &[u8]) -> Vec<(&'static str, Vec<u8>)> {
    let mut scrambled = bytes.to_vec();
    let footer = bytes.len() - 8 - u32::from_le_bytes(bytes[bytes.len() - 8..][..4].try_into().unwrap()) as usize;
    scrambled[footer..footer + 32].fill(0xff);
    vec![
        ("cut at the end", bytes[..bytes.len() - 5].to_vec()),
        ("cut in half", bytes[..bytes.len() / 2].to_vec()),
        ("scrambled", scrambled),
        ("no Parquet", b"user,ip\nu,i\n".to_vec()),
        ("one byte", vec![b'P']),
    ]
}

#[test]
fn a_broken_footer_fails_the_windows_that_need_the_file() {
    let bytes = std::fs::read(lake().path().join(SECOND_DAY)).unwrap();
    for (how, broken) in broken_footers(&bytes) {
        let lake = lake();
        lake.put_bytes(SECOND_DAY, &broken);
        println!("{how}");
        // In overlap mode the next day reads the minute before it, too.
        assert_only_fail(&four_days().run(&lake).unwrap(), &["2024-05-02", "2024-05-03"], named_corrupt);
        assert_only_fail(&four_days().strict().run(&lake).unwrap(), &["2024-05-02"], named_corrupt);
    }
}

/// Overwrites the headers of the pages of one column.
fn damage_pages(bytes: &[u8], column: usize) -> Vec<u8> {
    let reader = SerializedFileReader::new(bytes::Bytes::copy_from_slice(bytes)).unwrap();
    let mut damaged = bytes.to_vec();
    for group in reader.metadata().row_groups() {
        let (start, length) = group.column(column).byte_range();
        let (start, length) = (usize::try_from(start).unwrap(), usize::try_from(length).unwrap());
        damaged[start..start + length.min(16)].fill(0xff);
    }
    damaged
}

#[test]
fn a_damaged_page_fails_the_windows_that_need_the_file() {
    // The time, a string of both sides, a string of the failures.
    for column in [0, 1, 5] {
        for threads in [1, 2] {
            let lake = lake();
            let bytes = std::fs::read(lake.path().join(SECOND_DAY)).unwrap();
            lake.put_bytes(SECOND_DAY, &damage_pages(&bytes, column));
            let ask = Ask { threads, ..four_days() };
            assert_only_fail(&ask.run(&lake).unwrap(), &["2024-05-02", "2024-05-03"], named_corrupt);
            assert_only_fail(&ask.strict().run(&lake).unwrap(), &["2024-05-02"], named_corrupt);
        }
    }
}

#[test]
fn when_all_windows_fail_the_exit_code_is_the_failures_own() {
    let lake = lake();
    lake.put_bytes(SECOND_DAY, b"this is no Parquet file");
    let run = Ask::days("2024-05-02", "2024-05-04").run(&lake).unwrap();
    assert_eq!(failed(&run), ["2024-05-02", "2024-05-03"]);
    assert_eq!(run.report.exit_code(), 1);
    // Windows without source neither fail nor are done.
    let run = Ask::days("2024-05-02", "2024-05-03").run(&lake).unwrap();
    assert_eq!(run.report.exit_code(), 1);
}

#[test]
fn a_repaired_file_is_all_that_is_left_to_do() {
    let lake = lake();
    let bytes = std::fs::read(lake.path().join(SECOND_DAY)).unwrap();
    lake.put_bytes(SECOND_DAY, &bytes[..bytes.len() / 2]);
    let first = four_days().run(&lake).unwrap();
    assert_eq!(first.report.exit_code(), 3);
    lake.put_bytes(SECOND_DAY, &bytes);
    let second = four_days().run_into(&lake, &first.output).unwrap();
    assert_eq!(second.report.exit_code(), 0);
    let done: Vec<bool> =
        second.report.windows.iter().map(|w| matches!(w.outcome, Outcome::Done { hits: 2, .. })).collect();
    assert_eq!(done, [false, true, true, false]);
}

#[test]
fn an_output_that_cannot_be_written_is_an_error() {
    let lake = lake();
    let folder = tempfile::tempdir().unwrap();

    // A file where the root must be.
    let root = folder.path().join("root");
    std::fs::write(&root, "a file").unwrap();
    let error = four_days().run_into(&lake, &root).err().unwrap();
    assert_eq!((error.kind(), error.kind().exit_code()), (ErrorKind::Output, 1), "{error}");

    // A file where the folder of all hits must be.
    let hits = folder.path().join("hits-are-a-file");
    std::fs::create_dir(&hits).unwrap();
    std::fs::write(hits.join("hits"), "a file").unwrap();
    let run = four_days().run_into(&lake, &hits).unwrap();
    assert_eq!(failed(&run), DAYS);
    assert!(run.report.failures().all(|(_, error)| error.kind() == ErrorKind::Output));
    assert_eq!(run.report.exit_code(), 1);
    assert!(DAYS.iter().all(|day| !run.record_path(day).exists()), "what has no hits has no record");

    // A file where the folder of one window must be.
    let one = folder.path().join("one-window");
    std::fs::create_dir_all(one.join(format!("hits/job={SLUG}"))).unwrap();
    std::fs::write(one.join(format!("hits/job={SLUG}/window=2024-05-02")), "a file").unwrap();
    let run = four_days().run_into(&lake, &one).unwrap();
    assert_only_fail(&run, &["2024-05-02"], |error| {
        assert_eq!(error.kind(), ErrorKind::Output);
        assert!(error.to_string().contains("window=2024-05-02/hits.parquet"), "{error}");
    });
}

/// Bytes and time of change of the hits and the record of each day.
fn state(run: &Run) -> Vec<(Vec<u8>, SystemTime)> {
    let read = |path: &Path| (std::fs::read(path).unwrap(), std::fs::metadata(path).unwrap().modified().unwrap());
    DAYS.iter().flat_map(|day| [read(&run.hits_path(day)), read(&run.record_path(day))]).collect()
}

fn up_to_date(run: &Run) -> Vec<bool> {
    run.report.windows.iter().map(|w| matches!(w.outcome, Outcome::UpToDate { hits: 2 })).collect()
}

#[test]
fn a_second_run_has_nothing_to_do() {
    let lake = lake();
    let first = four_days().run(&lake).unwrap();
    let before = state(&first);
    std::thread::sleep(Duration::from_millis(20));
    // Threads and memory do not decide rows.
    let second = Ask { threads: 1, ..four_days() }.run_into(&lake, &first.output).unwrap();
    assert_eq!(up_to_date(&second), [true; 4]);
    assert_eq!((second.report.exit_code(), second.report.hits()), (0, 8));
    assert!(state(&second) == before, "nothing is written again");
}

#[test]
fn a_changed_file_is_read_again_and_no_other() {
    let lake = lake();
    let first = four_days().run(&lake).unwrap();
    let noon = at("2024-05-02T12:00:00Z");
    std::thread::sleep(Duration::from_millis(20));
    lake.put("date=2024-05-02/part-1.parquet", &pair("new", noon, noon + SECOND), &Form::default());
    let second = four_days().run_into(&lake, &first.output).unwrap();
    // The next day reads the last minute of the one that changed.
    assert_eq!(up_to_date(&second), [true, false, false, true]);
    assert_eq!(second.hits("2024-05-02").len(), 3);
    assert_eq!(second.hits("2024-05-03").len(), 2);

    // A file of the same length under the same name.
    let other = encode(&pair("neu", noon, noon + SECOND), &Form::default());
    std::thread::sleep(Duration::from_millis(20));
    lake.put_bytes("date=2024-05-02/part-1.parquet", &other);
    let third = four_days().run_into(&lake, &first.output).unwrap();
    assert_eq!(third.hits("2024-05-02").iter().filter(|hit| hit.user == "neu").count(), 1);

    // A file that is gone.
    std::fs::remove_file(lake.path().join("date=2024-05-02/part-1.parquet")).unwrap();
    let fourth = four_days().run_into(&lake, &first.output).unwrap();
    assert_eq!(fourth.hits("2024-05-02").len(), 2);
}

#[test]
fn force_evaluates_again_and_gives_the_same_bytes() {
    let lake = lake();
    let first = four_days().run(&lake).unwrap();
    let before: Vec<_> = DAYS.iter().map(|day| first.hit_bytes(day)).collect();
    let second = Ask { force: true, ..four_days() }.run_into(&lake, &first.output).unwrap();
    assert!(second.report.windows.iter().all(|w| matches!(w.outcome, Outcome::Done { hits: 2, .. })));
    let after: Vec<_> = DAYS.iter().map(|day| second.hit_bytes(day)).collect();
    assert!(before == after);
}

#[test]
fn what_decides_rows_has_a_done_window_evaluated_again() {
    let lake = lake();
    let first = four_days().run(&lake).unwrap();
    assert_eq!(up_to_date(&four_days().strict().run_into(&lake, &first.output).unwrap()), [false; 4]);
    assert_eq!(up_to_date(&four_days().run_into(&lake, &first.output).unwrap()), [false; 4], "the other way, too");
    let mut limited = four_days();
    limited.limits.max_distribution = 1;
    let run = limited.run_into(&lake, &first.output).unwrap();
    assert_eq!(run.report.hits(), 0, "two users share each key");
    assert_eq!(run.answer("2024-05-01").over_limit, [("A".to_owned(), "50126".to_owned(), 2)]);
}

#[test]
fn an_output_of_windows_of_another_size_is_refused() {
    let lake = lake();
    let first = four_days().run(&lake).unwrap();
    let error = Ask { window: "6h", ..four_days() }.run_into(&lake, &first.output).err().unwrap();
    assert_eq!(error.kind(), ErrorKind::Conflict, "{error}");
    assert_eq!(up_to_date(&four_days().run_into(&lake, &first.output).unwrap()), [true; 4]);

    // So is one window over another range: what both cover would be there twice.
    let whole = Ask { window: "all", ..four_days() };
    let first = whole.run(&lake).unwrap();
    let shorter = Ask { window: "all", ..Ask::days("2024-05-01", "2024-05-04") };
    let error = shorter.run_into(&lake, &first.output).err().unwrap();
    assert_eq!(error.kind(), ErrorKind::Conflict, "{error}");
    let again = whole.run_into(&lake, &first.output).unwrap();
    assert!(matches!(again.report.windows[0].outcome, Outcome::UpToDate { .. }));
}
