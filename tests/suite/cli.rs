//! The command line: every exit code, what goes where, what is said of bad input.

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use serde_json::Value;
use tempfile::TempDir;

const JOB: &str = "signin-success-then-fail";

/// A lake of three days of a small tenant, and a place for outputs.
struct Bench {
    dir: TempDir,
}

impl Bench {
    fn new() -> Self {
        let bench = Self { dir: TempDir::new().unwrap() };
        let lake = bench.path("lake");
        let made = bench.lakehunt(&[
            "generate",
            &lake,
            "--days",
            "3",
            "--rows-per-day",
            "2000",
            "--users",
            "100",
            "--apps",
            "30",
        ]);
        assert_eq!(code(&made), 0, "{}", stderr(&made));
        bench
    }

    fn path(&self, name: &str) -> String {
        self.dir.path().join(name).display().to_string()
    }

    fn command(&self) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_lakehunt"));
        command.current_dir(env!("CARGO_MANIFEST_DIR"));
        // What the machine has set must not decide a test.
        for (name, _) in std::env::vars() {
            if name.starts_with("LAKEHUNT_") {
                command.env_remove(name);
            }
        }
        command
    }

    fn lakehunt(&self, args: &[&str]) -> Output {
        self.command().args(args).output().unwrap()
    }

    /// `run` over the three days, with more flags.
    fn run(&self, more: &[&str]) -> Output {
        let (lake, out) = (self.path("lake"), self.path("out"));
        let range = ["--source", &lake, "--output", &out, "--from", "2024-05-01", "--to", "2024-05-04"];
        self.lakehunt(&[&["run", JOB], &range[..], more].concat())
    }

    /// A copy of the flagship's job and SQL with a change to one of the files.
    fn job(&self, file: &str, change: impl Fn(&str) -> String) -> String {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let home = self.dir.path().join("home");
        for name in [
            "jobs/signin-success-then-fail.yaml",
            "jobs/tests/signin-success-then-fail.yaml",
            "sql/signin-success-then-fail.sql",
            "sql/views/signin-logs.sql",
        ] {
            let text = std::fs::read_to_string(root.join(name)).unwrap();
            let changed = if name == file { change(&text) } else { text.clone() };
            assert!(name != file || changed != text, "the change changes nothing");
            let target = home.join(name);
            std::fs::create_dir_all(target.parent().unwrap()).unwrap();
            std::fs::write(target, changed).unwrap();
        }
        home.join("jobs/signin-success-then-fail.yaml").display().to_string()
    }

    fn file(&self, day: u32) -> PathBuf {
        self.dir.path().join(format!("lake/date=2024-05-{day:02}/part-0.parquet"))
    }
}

fn code(output: &Output) -> i32 {
    output.status.code().unwrap()
}

fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

#[test]
fn a_run_prints_a_summary_and_a_second_one_does_nothing() {
    let bench = Bench::new();
    let first = bench.run(&[]);
    assert_eq!(code(&first), 0, "{}", stderr(&first));
    assert!(stdout(&first).contains("3 windows done"), "{}", stdout(&first));
    assert_eq!(stderr(&first), "", "nothing to warn of");
    let second = bench.run(&[]);
    assert!(stdout(&second).contains("3 done before"), "{}", stdout(&second));
}

#[test]
fn json_is_one_value_on_stdout() {
    let bench = Bench::new();
    let output = bench.run(&["--json", "--window", "12h"]);
    let summary: Value = serde_json::from_str(&stdout(&output)).unwrap();
    assert_eq!(summary["windows"].as_array().unwrap().len(), 6);
    assert_eq!(summary["rows_read"], 6000);
    assert_eq!(summary["time_unit"], "us");
    assert!(summary["windows"].as_array().unwrap().iter().all(|window| window["status"] == "done"));
}

#[test]
fn a_dry_run_writes_nothing() {
    let bench = Bench::new();
    let output = bench.run(&["--dry-run", "--json"]);
    assert_eq!(code(&output), 0);
    let plan: Value = serde_json::from_str(&stdout(&output)).unwrap();
    assert_eq!(plan["files"], 3);
    assert_eq!(plan["windows"][0]["files"], 1);
    assert_eq!(plan["windows"][1]["files"], 2, "a window reads the minute before it, too");
    assert!(!Path::new(&bench.path("out")).exists());
    // No data page is read: a file without a footer does not matter.
    std::fs::write(bench.file(2), "no parquet").unwrap();
    assert_eq!(code(&bench.run(&["--dry-run"])), 0);
}

#[test]
fn code_10_only_for_hits_and_only_when_asked() {
    let bench = Bench::new();
    assert_eq!(code(&bench.run(&["--fail-on-hits"])), 10);
    assert_eq!(code(&bench.run(&["--fail-on-hits"])), 10, "hits of windows done before count");
    assert_eq!(code(&bench.run(&[])), 0);
    let none = bench.run(&["--fail-on-hits", "--param", "max_distribution=0"]);
    assert_eq!(code(&none), 0, "{}", stdout(&none));
}

#[test]
fn code_3_when_some_windows_fail_and_1_when_all_do() {
    let bench = Bench::new();
    std::fs::write(bench.file(3), "no parquet at all").unwrap();
    let some = bench.run(&[]);
    assert_eq!(code(&some), 3, "{}", stderr(&some));
    assert!(stderr(&some).contains("date=2024-05-03/part-0.parquet"), "the file is named: {}", stderr(&some));
    assert!(stdout(&some).contains("2 windows done, 1 failed"), "{}", stdout(&some));
    assert!(!Path::new(&bench.path("out/hits/job=signin-success-then-fail/window=2024-05-03")).exists());

    for day in 1..=2 {
        std::fs::write(bench.file(day), "no parquet at all").unwrap();
    }
    let all = bench.run(&["--force"]);
    assert_eq!(code(&all), 1, "{}", stderr(&all));
}

#[test]
fn code_4_when_the_output_holds_windows_of_another_size() {
    let bench = Bench::new();
    assert_eq!(code(&bench.run(&[])), 0);
    let other = bench.run(&["--window", "1h"]);
    assert_eq!(code(&other), 4, "{}", stderr(&other));
    assert!(stderr(&other).contains("windows of 1d"), "{}", stderr(&other));
}

#[test]
fn code_5_when_there_is_no_source() {
    let bench = Bench::new();
    let missing = bench.run(&["--source", &bench.path("nowhere")]);
    assert_eq!(code(&missing), 5, "{}", stderr(&missing));
    assert!(stderr(&missing).contains("nowhere"), "{}", stderr(&missing));
    let empty = bench.run(&["--from", "2023-05-01", "--to", "2023-05-04"]);
    assert_eq!(code(&empty), 5, "{}", stderr(&empty));
    assert!(!Path::new(&bench.path("out")).exists(), "nothing is written");
}

#[test]
fn a_missing_partition_is_warned_of_by_name_and_stays_to_do() {
    let bench = Bench::new();
    std::fs::remove_dir_all(bench.file(2).parent().unwrap()).unwrap();
    let output = bench.run(&[]);
    assert_eq!(code(&output), 0);
    assert!(stderr(&output).contains("date=2024-05-02 does not exist"), "{}", stderr(&output));
    assert!(stdout(&output).contains("1 without source"), "{}", stdout(&output));
    assert!(!Path::new(&bench.path("out/runs/job=signin-success-then-fail/window=2024-05-02")).exists());
}

#[test]
fn code_2_for_flags_that_make_no_sense() {
    let bench = Bench::new();
    for (flags, said) in [
        (&["--from", "2024-05-04"][..], "is not before"),
        (&["--from", "2024-05-01T01:00:00Z"], "does not divide"),
        (&["--window", "7h"], "do not divide a day"),
        (&["--window", "soon"], "is no time span"),
        (&["--from", "yesterday"], "is no instant"),
        (&["--layout", "date={yy}"], "layout"),
        (&["--param", "logn_diff=1m"], "did you mean `logon_diff`"),
        (&["--param", "logon_diff=60"], "has no unit"),
        (&["--param", "max_distribution"], "name=value"),
        (&["--memory-limit", "1MB"], "at least"),
        (&["--memory-limit", "much"], "memory limit"),
        (&["--threads", "0"], "threads"),
        (&["--scope", "loose"], "overlap"),
        (&["--no-such-flag"], "--no-such-flag"),
        (&["--source", "ftp://host/lake"], "ftp://host/lake"),
    ] {
        let output = bench.run(flags);
        assert_eq!(code(&output), 2, "{flags:?}: {}", stderr(&output));
        assert!(stderr(&output).contains(said), "{flags:?}: {}", stderr(&output));
        assert!(!Path::new(&bench.path("out")).exists(), "{flags:?}: nothing is written");
    }
    let unknown = bench.lakehunt(&["run", "signin-succes-then-fail"]);
    assert_eq!(code(&unknown), 2);
    assert!(stderr(&unknown).contains("did you mean `signin-success-then-fail`"), "{}", stderr(&unknown));
    let no_source = bench.lakehunt(&["run", JOB, "--output", "x", "--from", "2024-05-01", "--to", "2024-05-02"]);
    assert_eq!(code(&no_source), 2);
    assert!(stderr(&no_source).contains("--source is missing"), "{}", stderr(&no_source));
}

#[test]
fn code_2_for_jobs_that_are_not_valid_with_the_nearest_right_word() {
    let bench = Bench::new();
    let yaml = "jobs/signin-success-then-fail.yaml";
    let sql = "sql/signin-success-then-fail.sql";
    let replaced = |from: &'static str, to: &'static str| move |text: &str| text.replacen(from, to, 1);
    type Change = Box<dyn Fn(&str) -> String>;
    let cases: Vec<(&str, Change, &str)> = vec![
        (yaml, Box::new(replaced("severity:", "severty:")), "did you mean `severity`"),
        (yaml, Box::new(replaced("type: timespan", "type: timspan")), "did you mean `timespan`"),
        (yaml, Box::new(replaced("default: 1m", "default: 60")), "logon_diff"),
        (yaml, Box::new(replaced("time: TimeGenerated", "time: TimeGenerate")), "did you mean `TimeGenerated`"),
        (yaml, Box::new(replaced("lookback: logon_diff", "lookback: logon_dif")), "window.lookback"),
        (
            yaml,
            Box::new(replaced("sort: [SuccessLogonTime", "sort: [SuccesLogonTime")),
            "did you mean `SuccessLogonTime`",
        ),
        (yaml, Box::new(replaced("id: bc17381e", "id: [")), "not valid"),
        (sql, Box::new(replaced("$logon_diff", "$logon_dif")), "did you mean `logon_diff`"),
        (sql, Box::new(replaced("followed_within(", "folowed_within(")), "followed_within"),
        (sql, Box::new(replaced("success.IPAddress,", "success.IPAdress,")), "IPAdress"),
        (sql, Box::new(|text| format!("{text}; SELECT 1")), "more than one statement"),
        (sql, Box::new(|_| "DELETE FROM SigninLogs".to_owned()), "no SELECT"),
        (sql, Box::new(|_| "SELEC 1".to_owned()), "parsed"),
        (sql, Box::new(|_| "SELECT 1 AS one".to_owned()), "window_start"),
        (
            sql,
            Box::new(replaced(
                "success.UserPrincipalName = fail.UserPrincipalName\n   AND success.IPAddress = fail.IPAddress\n   AND followed",
                "followed",
            )),
            "equality",
        ),
    ];
    for (file, change, said) in cases {
        let job = bench.job(file, change);
        for command in ["validate", "run"] {
            let (lake, out) = (bench.path("lake"), bench.path("out"));
            let run = ["--source", &lake, "--output", &out, "--from", "2024-05-01", "--to", "2024-05-04"];
            let more: &[&str] = if command == "run" { &run } else { &[] };
            let output = bench.lakehunt(&[&[command, job.as_str()], more].concat());
            assert_eq!(code(&output), 2, "{command}, {said}: {}", stderr(&output));
            assert!(stderr(&output).contains(said), "{command}, {said}: {}", stderr(&output));
            assert!(!Path::new(&bench.path("out/hits")).exists(), "{command}, {said}: nothing is written");
        }
    }
}

#[test]
fn a_parameter_of_the_command_line_is_bound() {
    let bench = Bench::new();
    let hits = |more: &[&str]| {
        let output = bench.run(&[more, &["--json", "--force"]].concat());
        let summary: Value = serde_json::from_str(&stdout(&output)).unwrap();
        summary["hits"].as_u64().unwrap()
    };
    let usual = hits(&[]);
    assert!(hits(&["--param", "max_distribution=100000"]) > usual);
    assert!(hits(&["--param", "logon_diff=1s"]) < usual);
    assert_eq!(hits(&["--param", "excluded_result_types=[]", "--param", "max_distribution=0"]), 0);
}

#[test]
fn the_environment_comes_after_flags_and_before_the_job() {
    let bench = Bench::new();
    let (lake, out) = (bench.path("lake"), bench.path("out"));
    let run = |window: Option<&str>| {
        let mut command = bench.command();
        command.args(["run", JOB, "--dry-run", "--json"]);
        command.envs([("LAKEHUNT_SOURCE", &lake), ("LAKEHUNT_OUTPUT", &out)]);
        command.envs([("LAKEHUNT_FROM", "2024-05-01"), ("LAKEHUNT_TO", "2024-05-02"), ("LAKEHUNT_WINDOW", "6h")]);
        if let Some(window) = window {
            command.args(["--window", window]);
        }
        let plan: Value = serde_json::from_str(&stdout(&command.output().unwrap())).unwrap();
        plan["windows"].as_array().unwrap().len()
    };
    assert_eq!(run(None), 4);
    assert_eq!(run(Some("1h")), 24);
}

#[test]
fn the_job_file_holds_settings_that_flags_come_before() {
    let bench = Bench::new();
    let (lake, out) = (bench.path("lake"), bench.path("out"));
    let job = bench.job("jobs/signin-success-then-fail.yaml", |text| {
        text.replace("  table: SigninLogs", &format!("  url: {lake}\n  table: SigninLogs"))
            .replace("  size: 1d", "  from: 2024-05-01\n  to: 2024-05-03\n  size: 12h")
            .replace("output:\n", &format!("output:\n  url: {out}\n"))
            + "\nrun: { threads: 1, memory_limit: 256MiB }\n"
    });
    let windows = |flags: &[&str]| {
        let output = bench.lakehunt(&[&["run", job.as_str(), "--dry-run", "--json"], flags].concat());
        let plan: Value = serde_json::from_str(&stdout(&output)).unwrap();
        plan["windows"].as_array().unwrap().len()
    };
    assert_eq!(windows(&[]), 4);
    assert_eq!(windows(&["--to", "2024-05-04", "--window", "1d"]), 3);
    assert_eq!(code(&bench.lakehunt(&["run", &job])), 0);
    assert!(Path::new(&out).join("hits/job=signin-success-then-fail/window=2024-05-02T1200/hits.parquet").exists());
}

#[cfg(unix)]
#[test]
fn signals_end_it_with_their_codes() {
    let bench = Bench::new();
    for (signal, expected) in [("INT", 130), ("TERM", 143)] {
        let folder = bench.path(signal);
        let mut child = bench
            .command()
            .args(["generate", &folder, "--days", "3650", "--rows-per-day", "100000"])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        // The first rows are on their way once the folder is there.
        while !Path::new(&folder).exists() {
            std::thread::sleep(Duration::from_millis(20));
        }
        let killed = Command::new("kill").args([&format!("-{signal}"), &child.id().to_string()]).status().unwrap();
        assert!(killed.success());
        assert_eq!(child.wait().unwrap().code(), Some(expected));
    }
}

#[test]
fn hits_are_printed_in_three_forms() {
    let bench = Bench::new();
    let out = bench.path("out");
    let before = bench.lakehunt(&["hits", &out]);
    assert_eq!(code(&before), 5, "{}", stderr(&before));
    let summary: Value = serde_json::from_str(&stdout(&bench.run(&["--json"]))).unwrap();
    let count = summary["hits"].as_u64().unwrap() as usize;

    let lines = stdout(&bench.lakehunt(&["hits", &out, "--format", "jsonl"]));
    let rows: Vec<Value> = lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(rows.len(), count);
    assert!(
        rows.iter()
            .all(|row| row["hit_id"].as_str().unwrap().len() == 32 && row["tactics"] == "Discovery,LateralMovement")
    );
    let ranked = rows.iter().filter(|row| row["kql_rank"] == 1).count();

    let csv =
        stdout(&bench.lakehunt(&["hits", &out, "--format", "csv", "--kql", "--columns", "UserPrincipalName,kql_rank"]));
    assert_eq!(csv.lines().next(), Some("UserPrincipalName,kql_rank"));
    assert_eq!(csv.lines().count(), ranked + 1);

    let table = stdout(&bench.lakehunt(&["hits", &out, "--from", "2024-05-02", "--to", "2024-05-03"]));
    assert!(table.contains("| UserPrincipalName"), "{table}");
    assert!(table.contains("2024-05-02") && !table.contains("2024-05-03"), "{table}");

    let unknown = bench.lakehunt(&["hits", &out, "--columns", "UserPrincipalNam"]);
    assert_eq!(code(&unknown), 2);
    assert!(stderr(&unknown).contains("did you mean `UserPrincipalName`"), "{}", stderr(&unknown));
}

#[test]
fn inspect_tells_what_a_lake_holds() {
    let bench = Bench::new();
    let output = bench.lakehunt(&["inspect", &bench.path("lake"), "--json"]);
    assert_eq!(code(&output), 0, "{}", stderr(&output));
    let lake: Value = serde_json::from_str(&stdout(&output)).unwrap();
    assert_eq!(lake["layout"], "date={yyyy-MM-dd}");
    assert_eq!(lake["layout_guessed"], true);
    assert_eq!((&lake["files"], &lake["rows"], &lake["partitions"]), (&3.into(), &6000.into(), &3.into()));
    assert_eq!(lake["coarsest_time_unit"], "us");
    assert!(lake["earliest"].as_str().unwrap().starts_with("2024-05-01T"));
    assert!(lake["lag"]["median_seconds"].as_f64().unwrap() > 0.0);
    std::fs::write(bench.file(2), "no parquet").unwrap();
    let text = stdout(&bench.lakehunt(&["inspect", &bench.path("lake")]));
    assert!(text.contains("1 file cannot be used") && text.contains("date=2024-05-02"), "{text}");
}

#[test]
fn explain_shows_parameters_sql_and_plans() {
    let bench = Bench::new();
    let text = stdout(&bench.lakehunt(&["explain", JOB, "--param", "logon_diff=90s"]));
    for part in ["$logon_diff", "90s", "-- view SigninLogs", "-- logical plan", "-- physical plan", "followed_within"] {
        assert!(text.contains(part), "{part}");
    }
}

#[test]
fn every_job_of_the_project_is_valid() {
    let output = Bench { dir: TempDir::new().unwrap() }.lakehunt(&["validate"]);
    assert_eq!(code(&output), 0, "{}", stderr(&output));
    assert!(stdout(&output).contains(": valid"), "{}", stdout(&output));
}

#[test]
fn the_demo_finds_what_it_planted_and_can_be_repeated() {
    let dir = TempDir::new().unwrap();
    let bench = Bench { dir };
    let folder = bench.path("demo");
    for _ in 0..2 {
        let output = bench.lakehunt(&["demo", "--dir", &folder]);
        assert_eq!(code(&output), 0, "{}", stderr(&output));
        assert!(stdout(&output).contains("The 14 planted attacks, found:"), "{}", stdout(&output));
    }
    let taken = bench.lakehunt(&["demo", "--dir", env!("CARGO_MANIFEST_DIR")]);
    assert_eq!(code(&taken), 2, "somebody else's folder is left alone: {}", stderr(&taken));
}

#[test]
fn a_reader_that_has_seen_enough_is_no_error() {
    let bench = Bench::new();
    let mut child = bench.command().args(["completions", "bash"]).stdout(Stdio::piped()).spawn().unwrap();
    drop(child.stdout.take());
    assert_eq!(child.wait().unwrap().code(), Some(0));
    for shell in ["bash", "zsh", "fish", "powershell", "elvish"] {
        assert!(stdout(&bench.lakehunt(&["completions", shell])).contains("lakehunt"), "{shell}");
    }
}

#[test]
fn logs_can_be_json() {
    let bench = Bench::new();
    let output = bench.run(&["--source", &bench.path("nowhere"), "--log-format", "json"]);
    let line: Value = serde_json::from_str(stderr(&output).lines().next().unwrap()).unwrap();
    assert_eq!(line["level"], "ERROR");
    assert_eq!(line["fields"]["kind"], "source missing");
}

#[test]
fn the_readme_names_every_flag_and_command() {
    let readme = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md")).unwrap();
    let bench = Bench { dir: TempDir::new().unwrap() };
    let help = stdout(&bench.lakehunt(&["--help"]));
    let commands: Vec<&str> = help
        .lines()
        .skip_while(|line| !line.starts_with("Commands:"))
        .skip(1)
        .take_while(|line| !line.is_empty())
        .filter_map(|line| line.split_whitespace().next())
        .filter(|name| *name != "help")
        .collect();
    assert!(commands.len() >= 8, "{commands:?}");
    for command in commands {
        assert!(readme.contains(&format!("lakehunt {command}")), "the README does not name `{command}`");
        let help = stdout(&bench.lakehunt(&[command, "--help"]));
        for flag in help.split_whitespace().filter(|word| word.starts_with("--") && word.len() > 2) {
            let flag = flag.trim_end_matches(|c: char| !c.is_ascii_alphanumeric());
            assert!(readme.contains(flag), "the README does not name {flag} of `{command}`");
        }
    }
}
