//! What a page says of the hunt, of windows that are not done, of nothing, and of hunts that are others.

use std::path::Path;

use super::{Bench, read};
use crate::lake::SLUG;
use crate::stores::place::{code, stderr, stdout};

#[test]
fn a_page_says_what_was_hunted_and_why() {
    let bench = Bench::with_days(2);
    let html = read(&bench.page(&[]));
    for text in [
        "Same User - Successful logon for a given App and failure on another App within 1m and low distribution",
        "2024-05-01 to 2024-05-02, 2 days (UTC)",
        "A user signs in to one application and within a minute fails on another one",
        "https://attack.mitre.org/techniques/T1087/",
        "T1087 Account Discovery",
        "TA0008 Lateral Movement",
        "An intruder who waits longer than the time of logon_diff",
        "Contains personal data: Users, IP addresses",
        "InvalidUserNameOrPassword: User name or password is wrong",
        "Left out as too common",
        "the failure follows its success within this time, inclusive",
    ] {
        assert!(html.contains(&escaped(text)), "{text}");
    }
    assert!(html.starts_with("<!doctype html>"));
    assert!(html.contains(&escaped(&format!("{}/hits/job={SLUG}", bench.text("out")))), "where the table is");
    // One file that needs no other: the only addresses are those of links.
    for attribute in [" src=", "@import", "url(", "<link", "<iframe", "<base"] {
        assert!(!html.contains(attribute), "{attribute}");
    }
}

/// As the page's template writes text.
fn escaped(text: &str) -> String {
    text.replace('/', "&#x2f;").replace('"', "&quot;")
}

#[test]
fn windows_that_are_not_done_are_told_of() {
    let bench = Bench::with_days(1);
    // The third day's file is no Parquet, the fourth is never asked for, the second is missing in between.
    std::fs::write(bench.path("lake/date=2024-05-03/part-0.parquet"), "no parquet").unwrap();
    assert_eq!(code(&bench.hunts("2024-05-03", "2024-05-04")), Some(1));
    let hits = bench.path(&format!("out/hits/job={SLUG}/window=2024-05-01/hits.parquet"));
    let page = bench.page(&[]);
    let html = read(&page);
    assert!(html.contains("2024-05-01 to 2024-05-03, 3 days (UTC)"), "from the first to the last that a run looked at");
    assert!(html.contains("<b>1 of 3</b>"), "windows done");
    assert!(html.contains("2 windows of 3 not done, so there may be more hits than are shown"));
    assert!(html.contains("<td class=\"missing\" title=\"2024-05-02: missing, not evaluated"));
    assert!(html.contains("<td class=\"failed\" title=\"2024-05-03: failed, "));
    assert!(html.contains("date=2024-05-03&#x2f;part-0.parquet"), "and why it failed");

    // Hits that are not those of their record.
    let other = Bench::with_days(2);
    std::fs::copy(other.path(&format!("out/hits/job={SLUG}/window=2024-05-02/hits.parquet")), &hits).unwrap();
    let html = read(&bench.page(&[]));
    assert!(
        html.contains("<td class=\"stale\" title=\"2024-05-01: its hits are gone or not those that its record names")
    );
    assert!(html.contains("1 window stale"));

    // By another version of the job.
    let (lake, out) = (bench.text("lake"), bench.text("out"));
    bench.passes(&[
        "run",
        SLUG,
        "--source",
        &lake,
        "--output",
        &out,
        "--from",
        "2024-05-01",
        "--to",
        "2024-05-03",
        "--param",
        "max_distribution=4",
    ]);
    assert_eq!(code(&bench.hunts("2024-05-02", "2024-05-03")), Some(0));
    let html = read(&bench.page(&[]));
    assert!(html.contains("1 window done by an earlier version of the job or with other settings"), "of two");
    assert!(html.contains("<td class=\"older\" title=\"2024-05-01: "));
}

#[test]
fn nothing_found_is_a_page_as_well() {
    let bench = Bench::with_days(2);
    let html = read(&bench.page(&["--from", "2024-07-01", "--to", "2024-07-03"]));
    assert!(html.contains("No hits in this range.") && html.contains("<b>0 of 2</b>"), "{html}");
    let (lake, out) = (bench.text("lake"), bench.text("none"));
    let none = ["--param", "max_distribution=0", "--from", "2024-05-01", "--to", "2024-05-03"];
    bench.passes(&[&["run", SLUG, "--source", &lake, "--output", &out], &none[..]].concat());
    let printed = bench.passes(&["report", SLUG, "--output", &out, "-o", "-"]);
    let html = stdout(&printed);
    assert!(
        html.starts_with("<!doctype html>")
            && html.contains("No hits in this range.")
            && html.contains("<b>2 of 2</b>")
    );
    assert!(html.contains("Left out as too common"), "all keys were over the limit");
}

#[test]
fn a_page_goes_by_what_the_job_declares() {
    let bench = Bench::with_days(1);
    std::fs::create_dir_all(bench.path("home/jobs")).unwrap();
    std::fs::create_dir_all(bench.path("home/sql")).unwrap();
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    std::fs::copy(root.join("sql/views/signin-logs.sql"), bench.path("home/sql/view.sql")).unwrap();
    std::fs::write(
        bench.path("home/sql/first.sql"),
        "SELECT UserPrincipalName AS Who, min(TimeGenerated) AS FirstSeen, count(*) AS sign_ins, \
         date_bin($window_size, TimeGenerated, $range_start) AS window_start \
         FROM SigninLogs WHERE TimeGenerated >= $range_start GROUP BY 1, 4 HAVING count(*) > 100",
    )
    .unwrap();
    let job = |entities: &str| {
        let path = bench.path("home/jobs/first.yaml");
        let columns = "    TimeGenerated: { type: datetime }\n    UserPrincipalName: { type: string }\n    IPAddress: { type: string }\n    \
             AppDisplayName: { type: string }\n    ResultType: { type: string }\n    ResultDescription: { type: string }\n";
        let text = format!(
            "id: first\nname: Busy users\nversion: 1.0.0\n{entities}sql: ../sql/first.sql\nsource:\n  table: SigninLogs\n  \
             view: ../sql/view.sql\n  layout: date={{yyyy-MM-dd}}\n  time: TimeGenerated\n  columns:\n{columns}"
        );
        std::fs::write(&path, text).unwrap();
        path.display().to_string()
    };
    let file = job("");
    let (lake, out) = (bench.text("lake"), bench.text("out"));
    bench.passes(&["run", &file, "--source", &lake, "--output", &out, "--from", "2024-05-01", "--to", "2024-05-02"]);
    let html = read(&bench.page_of(&file, &[]));
    assert!(html.contains("Busy users") && html.contains("data-name=\"sign_ins\""), "its own columns");
    for part in [
        "id=\"tops\"",
        "id=\"timelines\"",
        "id=\"common\"",
        "id=\"kql\"",
        "Blind spots",
        "personal data",
        "<dt>Tactics",
    ] {
        assert!(!html.contains(part), "{part} is of other hunts");
    }
    // With an entity it has a list and timelines.
    let host = "entityMappings:\n  - entityType: Host\n    fieldMappings:\n      - { identifier: HostName, columnName: Who }\n";
    let html = read(&bench.page_of(&job(host), &[]));
    assert!(html.contains("<h3>Hosts ") && html.contains("Timelines, by host") && html.contains("<b>First seen</b>"));
}

#[test]
fn what_cannot_be_done_is_said_and_leaves_nothing() {
    let bench = Bench::new();
    let missing = bench.lakehunt(&["report", SLUG, "--output", &bench.text("out"), "-o", &bench.text("page.html")]);
    assert_eq!(code(&missing), Some(5), "{}", stderr(&missing));
    assert!(stderr(&missing).contains("run the job first"), "{}", stderr(&missing));
    assert!(!bench.path("page.html").exists());

    let bench = Bench::with_days(1);
    let out = bench.text("out");
    let nowhere = bench.lakehunt(&["report", SLUG, "--output", &out, "-o", &bench.text("no/such/page.html")]);
    assert_eq!(code(&nowhere), Some(1), "{}", stderr(&nowhere));
    assert!(stderr(&nowhere).contains("the page cannot be written"), "{}", stderr(&nowhere));
    for (flags, said) in [
        (&["--from", "2024-05-02", "--to", "2024-05-01"][..], "is not before"),
        (&["--from", "soon"], "is no instant"),
        (&["--rows", "many"], "--rows"),
        (&["--from", "1700-01-01", "--to", "2200-01-01"], "choose larger ones"),
    ] {
        let refused =
            bench.lakehunt(&[&["report", SLUG, "--output", &out, "-o", &bench.text("page.html")], flags].concat());
        assert_eq!(code(&refused), Some(2), "{flags:?}: {}", stderr(&refused));
        assert!(stderr(&refused).contains(said), "{flags:?}: {}", stderr(&refused));
    }
    assert!(!bench.path("page.html").exists(), "nothing is written");
}
