//! Hunts as content: their own tests, a new one from nothing, and the lists that they are given.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use serde_json::Value;
use tempfile::TempDir;

use crate::lake::SLUG;
use crate::stores::place::{code, stderr, stdout};

/// A folder that holds jobs of its own.
struct Home {
    dir: TempDir,
}

impl Home {
    fn new() -> Self {
        Self { dir: TempDir::new().unwrap() }
    }

    fn lakehunt(&self, args: &[&str]) -> Output {
        lakehunt_in(self.dir.path(), args)
    }

    /// Changes a file; a change that changes nothing is a test's mistake.
    fn edit(&self, file: &str, from: &str, to: &str) {
        let path = self.dir.path().join(file);
        let text = fs::read_to_string(&path).unwrap();
        assert!(text.contains(from), "{file} has no `{from}`");
        fs::write(path, text.replacen(from, to, 1)).unwrap();
    }
}

pub(crate) fn lakehunt_in(folder: &Path, args: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_lakehunt"));
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("LAKEHUNT_")) {
        command.env_remove(name);
    }
    command.current_dir(folder).args(args).output().unwrap()
}

fn passed(output: &Output) -> String {
    assert_eq!(code(output), Some(0), "{}{}", stdout(output), stderr(output));
    stdout(output)
}

#[test]
fn every_hunt_that_is_there_passes_its_tests() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let shown: Value = serde_json::from_str(&passed(&lakehunt_in(root, &["test", "--json"]))).unwrap();
    let verdicts = shown["verdicts"].as_array().unwrap();
    let jobs = fs::read_dir(root.join("jobs")).unwrap().map(|entry| entry.unwrap().path());
    let mut hunts = 0;
    for job in jobs.filter(|path| path.extension().is_some_and(|ending| ending == "yaml")) {
        let slug = job.file_stem().unwrap().to_str().unwrap();
        let own = verdicts.iter().filter(|verdict| verdict["job"] == slug).count();
        assert!(own >= 3, "{slug} has {own} tests");
        hunts += 1;
    }
    assert!(hunts > 0);
    let from_below = lakehunt_in(&root.join("jobs"), &["test", SLUG, "--filter", "13"]);
    assert!(passed(&from_below).ends_with("1 tests, 0 failed\n"));
}

#[test]
fn a_hunt_begins_with_files_that_pass_and_needs_no_build() {
    let home = Home::new();
    let made = passed(&home.lakehunt(&["new", "many-failures"]));
    for file in ["jobs/many-failures.yaml", "jobs/tests/many-failures.yaml", "sql/many-failures.sql"] {
        assert!(made.contains(file) && home.dir.path().join(file).is_file(), "{made}");
    }
    assert!(passed(&home.lakehunt(&["test"])).ends_with("3 tests, 0 failed\n"));
    assert!(passed(&home.lakehunt(&["validate"])).contains("valid"));
    assert_eq!(code(&home.lakehunt(&["new", "many-failures"])), Some(2), "nothing is written over");

    // The author's hour: another question, another column, a test that says so, and it runs every night.
    home.edit(
        "sql/many-failures.sql",
        "count(DISTINCT AppDisplayName) AS Apps,",
        "count(DISTINCT AppDisplayName) AS Apps,\n  max(ResultType) AS LastCode,",
    );
    home.edit("jobs/many-failures.yaml", "default: 10", "default: 2");
    home.edit("jobs/tests/many-failures.yaml", "      Apps: 2\n", "      Apps: 2\n      LastCode: \"50126\"\n");
    passed(&home.lakehunt(&["test", "many-failures"]));
    passed(&home.lakehunt(&[
        "generate",
        "lake",
        "--days",
        "2",
        "--rows-per-day",
        "3000",
        "--users",
        "60",
        "--apps",
        "20",
    ]));
    let run = [
        "run",
        "many-failures",
        "--source",
        "lake",
        "--output",
        "out",
        "--start",
        "2024-05-01",
        "--as-of",
        "2024-05-03T02:00:00Z",
    ];
    passed(&home.lakehunt(&run));
    assert!(passed(&home.lakehunt(&run)).contains("nothing to do, 2 done before"));
    let hits = passed(&home.lakehunt(&["hits", "out", "--format", "jsonl"]));
    let first: Value = serde_json::from_str(hits.lines().next().expect("the tenant has failures")).unwrap();
    assert!(first["Failures"].as_i64().unwrap() >= 2 && first["LastCode"].is_string(), "{first}");
    assert_eq!(first["job_id"].as_str().map(str::len), Some(36), "an id of its own");
}

#[test]
fn a_test_that_fails_shows_what_differs() {
    let home = Home::new();
    passed(&home.lakehunt(&["new", "hunt"]));
    home.edit("jobs/tests/hunt.yaml", "      Failures: 3\n", "      Failures: 4\n");
    let failed = home.lakehunt(&["test", "hunt"]);
    assert_eq!(code(&failed), Some(1));
    let text = stdout(&failed);
    for line in
        ["FAILED", "1 hit expected, 1 found", "- Failures           4", "+ Failures           3", "3 tests, 1 failed"]
    {
        assert!(text.contains(line), "{line} in {text}");
    }
    let json: Value = serde_json::from_str(&stdout(&home.lakehunt(&["test", "hunt", "--json"]))).unwrap();
    assert_eq!((&json["tests"], &json["failed"]), (&3.into(), &1.into()));
    assert_eq!(json["verdicts"][0]["differences"][0]["expected"]["Failures"], 4);

    // What is wrong with a test itself is named, and is no difference of rows.
    for (from, to, words) in [
        ("Apps: 2", "App: 2", "no column `App`; did you mean `Apps`"),
        ("ResultType: \"50053\"", "ResultTyp: \"50053\"", "no column `ResultTyp`; did you mean `ResultType`"),
        ("{ threshold: 3 }", "{ treshold: 3 }", "no parameter `treshold`; did you mean `threshold`"),
        ("2024-05-01T23:59:59.999Z, App", "soon, App", "`soon` is no instant"),
        ("Failures: 4", "Failures: four", "`four` is no whole number"),
    ] {
        let before = fs::read_to_string(home.dir.path().join("jobs/tests/hunt.yaml")).unwrap();
        home.edit("jobs/tests/hunt.yaml", from, to);
        let failed = home.lakehunt(&["test", "hunt"]);
        assert_eq!(code(&failed), Some(1));
        assert!(stdout(&failed).contains(words), "{}", stdout(&failed));
        fs::write(home.dir.path().join("jobs/tests/hunt.yaml"), before).unwrap();
    }
    home.edit("jobs/tests/hunt.yaml", "  rows:", "  row:");
    let invalid = home.lakehunt(&["test", "hunt"]);
    assert_eq!(code(&invalid), Some(2));
    assert!(stderr(&invalid).contains("did you mean `rows`"), "{}", stderr(&invalid));
    let none = home.lakehunt(&["test", "hunt", "--filter", "no such"]);
    assert_eq!(code(&none), Some(2));
}

/// The hunt of `new` with a list of users to leave out and one of codes with their meaning.
fn with_lists() -> Home {
    let home = Home::new();
    passed(&home.lakehunt(&["new", "hunt"]));
    home.edit(
        "jobs/hunt.yaml",
        "source:\n",
        "lists:\n  Trusted: { columns: [User] }\n  Codes: { file: ../lists/codes.csv, columns: [Code, Meaning] }\nsource:\n",
    );
    home.edit("jobs/hunt.yaml", "default: 10", "default: 1");
    home.edit("sql/hunt.sql", "  min(TimeGenerated) ", "  max(Meaning) AS Meaning,\n  min(TimeGenerated) ");
    home.edit("sql/hunt.sql", "FROM SigninLogs", "FROM SigninLogs LEFT JOIN Codes ON ResultType = Code");
    home.edit("sql/hunt.sql", "AND UserPrincipalName <> ''", "AND NOT array_has($Trusted, UserPrincipalName)");
    fs::create_dir(home.dir.path().join("lists")).unwrap();
    fs::write(home.dir.path().join("lists/codes.csv"), "Code,Meaning,Note\n50126,wrong password,\n").unwrap();
    fs::write(
        home.dir.path().join("jobs/tests/hunt.yaml"),
        r#"
- name: trusted users are left out, and codes explained
  defaults: { TimeGenerated: 2024-05-01T10:00:00Z, ResultType: "50126" }
  lists: { Trusted: [{ User: bob }] }
  rows: [{ UserPrincipalName: ada }, { UserPrincipalName: bob }, { UserPrincipalName: eve, ResultType: "50053" }]
  hits: [{ UserPrincipalName: ada, Meaning: wrong password }, { UserPrincipalName: eve, Meaning: null }]
"#,
    )
    .unwrap();
    home
}

/// An allow-list of networks takes hits away, a bad network in it stops the run and is named with its list.
#[test]
fn a_list_of_networks_leaves_addresses_out() {
    let home = Home::new();
    passed(&home.lakehunt(&["new", "hunt"]));
    home.edit("jobs/hunt.yaml", "source:\n", "lists:\n  Networks: { columns: [Network] }\nsource:\n");
    home.edit("jobs/hunt.yaml", "default: 10", "default: 1");
    home.edit("sql/hunt.sql", "AND UserPrincipalName <> ''", "AND NOT ip_in_any_range(IPAddress, $Networks)");
    fs::write(
        home.dir.path().join("jobs/tests/hunt.yaml"),
        r#"
- name: the office is left out, what has no address is not
  defaults: { TimeGenerated: 2024-05-01T10:00:00Z, ResultType: "50126" }
  lists: { Networks: [{ Network: 203.0.113.0/24 }, { Network: "2001:db8::/32" }] }
  rows:
    - { UserPrincipalName: ada, IPAddress: 203.0.113.255 }
    - { UserPrincipalName: bob, IPAddress: "2001:db8::7" }
    - { UserPrincipalName: eve, IPAddress: 203.0.114.0 }
    - { UserPrincipalName: fay, IPAddress: "" }
  hits: [{ UserPrincipalName: eve }, { UserPrincipalName: fay }]
"#,
    )
    .unwrap();
    passed(&home.lakehunt(&["test", "hunt"]));
    passed(&home.lakehunt(&["generate", "lake", "--days", "1", "--rows-per-day", "3000", "--users", "60"]));
    let list = home.dir.path().join("networks.csv");
    let run = |networks: &str| {
        fs::write(&list, format!("Network\n{networks}\n")).unwrap();
        let run = ["run", "hunt", "--source", "lake", "--output", "out", "--from", "2024-05-01", "--to", "2024-05-02"];
        home.lakehunt(&[&run[..], &["--list", "Networks=networks.csv"]].concat())
    };
    let hits = || passed(&home.lakehunt(&["hits", "out", "--format", "jsonl"])).lines().count();
    passed(&run("255.255.255.255"));
    assert!(hits() > 0);
    let refused = run("10.0.0.0/8\n10.0.0.0/33");
    let message = stderr(&refused);
    assert_eq!(code(&refused), Some(2), "{message}");
    assert!(message.contains("`$Networks`") && message.contains("`10.0.0.0/33`"), "{message}");
    assert!(hits() > 0, "what was there stays");
    passed(&run("0.0.0.0/0\n::/0"));
    assert_eq!(hits(), 0);
}

#[test]
fn lists_are_tables_and_values_of_a_hunt() {
    let home = with_lists();
    passed(&home.lakehunt(&["test", "hunt"]));
    passed(&home.lakehunt(&[
        "generate",
        "lake",
        "--days",
        "1",
        "--rows-per-day",
        "3000",
        "--users",
        "60",
        "--apps",
        "20",
    ]));
    let run = |more: &[&str]| {
        let run = ["run", "hunt", "--source", "lake", "--output", "out", "--from", "2024-05-01", "--to", "2024-05-02"];
        home.lakehunt(&[&run[..], more].concat())
    };
    let users = || -> Vec<String> {
        let hits = passed(&home.lakehunt(&["hits", "out", "--format", "jsonl"]));
        let hits = hits.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
        hits.map(|hit| hit["UserPrincipalName"].as_str().unwrap().to_owned()).collect()
    };
    passed(&run(&[]));
    let all = users();
    let somebody = all[0].clone();
    // Another list is another question: the window is evaluated again, and its record names the file.
    fs::write(home.dir.path().join("lists/trusted.csv"), format!("User\n{somebody}\n")).unwrap();
    passed(&run(&["--list", "Trusted=lists/trusted.csv"]));
    let rest: Vec<String> = all.iter().filter(|user| **user != somebody).cloned().collect();
    assert!(!rest.is_empty() && rest.len() < all.len());
    assert_eq!(users(), rest);
    let record = home.dir.path().join("out/runs/job=hunt/window=2024-05-01/run.json");
    let record: Value = serde_json::from_str(&fs::read_to_string(record).unwrap()).unwrap();
    assert_eq!(record["lists"]["Trusted"]["file"], "lists/trusted.csv");
    assert_eq!(record["lists"]["Trusted"]["rows"], 1);
    assert_eq!(record["lists"]["Codes"]["sha256"].as_str().map(str::len), Some(64));
    assert!(passed(&run(&["--list", "Trusted=lists/trusted.csv"])).contains("nothing to do"));

    for (list, words) in [
        ("Truste=lists/trusted.csv", "no list `Truste`; did you mean `Trusted`"),
        ("Trusted=lists/none.csv", "none.csv"),
        ("Trusted=lists/codes.csv", "no column `User`"),
        ("Trusted", "--list name=file.csv"),
    ] {
        let refused = run(&["--list", list]);
        assert_eq!(code(&refused), Some(2), "{list}");
        assert!(stderr(&refused).contains(words), "{}", stderr(&refused));
    }
}

#[test]
fn several_hunts_run_with_one_command() {
    let home = Home::new();
    for name in ["one", "two"] {
        passed(&home.lakehunt(&["new", name]));
        home.edit(&format!("jobs/{name}.yaml"), "default: 10", "default: 2");
    }
    passed(&home.lakehunt(&[
        "generate",
        "lake",
        "--days",
        "1",
        "--rows-per-day",
        "3000",
        "--users",
        "60",
        "--apps",
        "20",
    ]));
    let run = |jobs: &[&str], more: &[&str]| {
        let range = ["--source", "lake", "--output", "out", "--from", "2024-05-01", "--to", "2024-05-02"];
        home.lakehunt(&[&["run"], jobs, &range[..], more].concat())
    };
    let text = passed(&run(&["one", "two"], &["--metrics-file", "run.prom"]));
    assert!(text.contains("one") && text.contains("two"), "{text}");
    let metrics = fs::read_to_string(home.dir.path().join("run.prom")).unwrap();
    for job in ["one", "two"] {
        assert!(metrics.contains(&format!("lakehunt_run_exit_code{{job=\"{job}\"}} 0")), "{metrics}");
    }
    let again: Value = serde_json::from_str(&passed(&run(&["--all"], &["--json"]))).unwrap();
    let jobs: Vec<&str> = again.as_array().unwrap().iter().map(|report| report["job"].as_str().unwrap()).collect();
    assert_eq!(jobs, ["one", "two"]);
    assert_eq!(code(&run(&["--all"], &["--fail-on-hits"])), Some(10));

    // One that is broken keeps no other from its night, and is told of.
    home.edit("sql/one.sql", "FROM SigninLogs", "FROM SigninLog");
    let broken = run(&["--all"], &["--force", "--fail-on-hits"]);
    assert_eq!(code(&broken), Some(2), "{}", stderr(&broken));
    assert!(stderr(&broken).contains("SigninLog") && stdout(&broken).contains("two"), "{}", stdout(&broken));
    assert_eq!(code(&run(&["one", "two"], &["--param", "threshold=3"])), Some(2));
    assert_eq!(code(&home.lakehunt(&["run"])), Some(2));
    let none = Home::new();
    fs::create_dir(none.dir.path().join("jobs")).unwrap();
    let refused = none.lakehunt(&["run", "--all", "--source", "lake", "--output", "out"]);
    assert_eq!(code(&refused), Some(2));
    assert!(stderr(&refused).contains("holds no job"), "{}", stderr(&refused));
}
