//! Further tables beside the source.

use std::path::Path;
use std::process::Command;

use super::lake::{Ask, Dynamic, Row, compared, put, write};
use super::random::hit;
use crate::lake::at;
use serde_json::json;
use tempfile::TempDir;

const SLUG: &str = "suspected-brute-force";
const FURTHER: &str = "AADNonInteractiveUserSignInLogs";

fn row(time: &str, user: &str, result: &str) -> Row {
    let values = [("UserPrincipalName", user), ("ResultType", result)];
    Row { time: Some(at(time)), values: values.map(|(name, value)| (name.to_owned(), value.to_owned())).into() }
}

/// Failures and a success of `user` on two days.
fn rows(user: &str, failures: usize) -> Vec<Row> {
    let day = |day: &str| {
        let failures = (0..failures).map(move |i| format!("{day}T12:{i:02}:00Z")).map(|time| row(&time, user, "50126"));
        failures.chain([row(&format!("{day}T12:59:00Z"), user, "0")]).collect::<Vec<_>>()
    };
    [day("2024-05-01"), day("2024-05-02")].concat()
}

fn further(rows: &[Row]) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    put(folder.path(), super::lake::job(SLUG).sources().nth(1).unwrap(), rows, Dynamic::Json);
    folder
}

fn ask<'a>(tables: &'a [(&'a str, &'a Path)]) -> Ask<'a> {
    let ask = Ask::days(SLUG, "2024-05-01", "2024-05-03").parameter("max_failures", "1");
    Ask { tables: tables.to_vec(), ..ask }
}

/// Both lakes have files of the same names and the same size, and each keeps its own rows.
#[test]
fn tables_are_not_confused() {
    let lake = write(&super::lake::job(SLUG), &rows("bob", 2), Dynamic::Json);
    let other = further(&rows("eve", 2));
    let run = ask(&[(FURTHER, other.path())]).run(lake.path()).unwrap();
    let count = |table: &str, user: &str| {
        hit(&[
            ("Type", json!(table)),
            ("UserPrincipalName", json!(user)),
            ("FailureCount", json!(2)),
            ("SuccessCount", json!(1)),
        ])
    };
    for day in ["2024-05-01", "2024-05-02"] {
        let expected = [count("SigninLogs", "bob"), count(FURTHER, "eve")];
        assert_eq!(compared(&run.hits(day), &expected), compared(&expected, &expected));
        let record = run.record(day);
        let paths: Vec<&str> =
            record["inputs"].as_array().unwrap().iter().map(|input| input["path"].as_str().unwrap()).collect();
        let file = format!("date={day}/part-0.parquet");
        assert_eq!(paths, [file.clone(), format!("{FURTHER}: {file}")]);
        assert_eq!(record["tables"][FURTHER], other.path().to_str().unwrap());
        assert_eq!(record["rows_read"], 6);
    }
    let alone = ask(&[]).run(lake.path()).unwrap();
    assert_eq!(alone.all_hits().len(), 2, "the other one is optional");
    assert_eq!(alone.record("2024-05-01")["tables"], serde_json::Value::Null);
}

/// As KQL's union looks at each table by itself.
#[test]
fn a_window_needs_no_partition_of_the_source_where_a_further_table_has_one() {
    let source = write(&super::lake::job(SLUG), &rows("bob", 2)[..3], Dynamic::Json);
    let other = further(&rows("eve", 2));
    let tables = [(FURTHER, other.path())];
    let found = |from: &str| {
        let ask = Ask { from: at(from), ..ask(&tables) };
        ask.run(source.path()).unwrap().hits("2024-05-02").len()
    };
    assert_eq!((found("2024-05-01"), found("2024-05-02")), (1, 1), "together and alone");
}

#[test]
fn a_file_of_a_further_table_makes_a_window_stale() {
    let lake = write(&super::lake::job(SLUG), &rows("bob", 2), Dynamic::Json);
    let (other, output) = (further(&rows("eve", 1)[..2]), tempfile::tempdir().unwrap());
    let tables = [(FURTHER, other.path())];
    let done = || {
        let report = ask(&tables).run_into(lake.path(), output.path(), |_| {}).unwrap();
        report.windows.iter().filter(|w| matches!(w.outcome, lakehunt::Outcome::Done { .. })).count()
    };
    assert_eq!((done(), done()), (2, 0));
    put(other.path(), super::lake::job(SLUG).sources().nth(1).unwrap(), &rows("eve", 3)[4..], Dynamic::Json);
    assert_eq!((done(), done()), (1, 0), "the day of the new file");
}

#[test]
fn a_further_table_that_cannot_be_read_is_named() {
    let lake = write(&super::lake::job(SLUG), &rows("bob", 2), Dynamic::Json);
    let other = further(&rows("eve", 2));
    std::fs::write(other.path().join("date=2024-05-02/part-0.parquet"), b"PAR1 no more").unwrap();
    let output = tempfile::tempdir().unwrap();
    let tables = [(FURTHER, other.path())];
    let report = ask(&tables).run_into(lake.path(), output.path(), |_| {}).unwrap();
    assert!(matches!(report.windows[0].outcome, lakehunt::Outcome::Done { hits: 2, .. }));
    let lakehunt::Outcome::Failed(error) = &report.windows[1].outcome else { panic!("{:?}", report.windows[1]) };
    assert!(format!("{error:?}").contains(other.path().to_str().unwrap()), "{error:?}");

    let nowhere = [(FURTHER, Path::new("/not/there"))];
    let error = ask(&nowhere).run_into(lake.path(), output.path(), |_| {}).unwrap_err();
    assert_eq!(error.kind(), lakehunt::ErrorKind::SourceMissing);
}

#[test]
fn a_table_that_is_not_optional_has_to_be_given() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let text = std::fs::read_to_string(root.join("jobs").join(SLUG).with_extension("yaml")).unwrap();
    let text = text.replace("../sql", root.join("sql").to_str().unwrap());
    let text = text.replace(&format!("tests: tests/{SLUG}.yaml\n"), "").replace("    optional: true\n", "");
    let folder = tempfile::tempdir().unwrap();
    let job = folder.path().join("needing.yaml");
    std::fs::write(&job, &text).unwrap();
    let lake = write(&super::lake::job(SLUG), &rows("bob", 2), Dynamic::Json);
    let ask = Ask { slug: job.to_str().unwrap(), ..ask(&[]) };
    let error = ask.run_into(lake.path(), folder.path(), |_| {}).unwrap_err();
    assert_eq!(error.kind(), lakehunt::ErrorKind::Usage);
    assert!(error.to_string().contains("--table AADNonInteractiveUserSignInLogs=URL"), "{error}");

    let twice = text.replace("- table: AADNonInteractiveUserSignInLogs", "- table: signinlogs");
    std::fs::write(&job, twice).unwrap();
    let error = lakehunt::Job::load(&job).unwrap_err();
    assert!(error.to_string().contains("two tables are named `signinlogs`"), "{error}");
}

#[test]
fn tables_are_given_on_the_command_line() {
    let lake = write(&super::lake::job(SLUG), &rows("bob", 2), Dynamic::Json);
    let (other, output) = (further(&rows("eve", 2)), tempfile::tempdir().unwrap());
    let run = |table: &str| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_lakehunt"));
        command.current_dir(env!("CARGO_MANIFEST_DIR")).args([
            "run",
            SLUG,
            "--from",
            "2024-05-01",
            "--to",
            "2024-05-02",
        ]);
        command.args(["--param", "max_failures=1", "--table", table, "--source", lake.path().to_str().unwrap()]);
        command.args(["--output", output.path().to_str().unwrap()]).output().unwrap()
    };
    let refused = run("AADNonInteractiveSignInLogs=x");
    let text = String::from_utf8(refused.stderr).unwrap();
    assert_eq!(refused.status.code(), Some(2), "{text}");
    assert!(text.contains("did you mean `AADNonInteractiveUserSignInLogs`?"), "{text}");
    assert_eq!(run("nothing").status.code(), Some(2));
    let done = run(&format!("{FURTHER}={}", other.path().display()));
    assert_eq!(done.status.code(), Some(0), "{}", String::from_utf8_lossy(&done.stderr));
    let record = output.path().join(format!("runs/job={SLUG}/window=2024-05-01/run.json"));
    let record: serde_json::Value = serde_json::from_slice(&std::fs::read(record).unwrap()).unwrap();
    assert_eq!(record["hits"], 2);
}
