//! legacy-auth-attempt: a window that is compared with the time before it.

use std::cell::Cell;
use std::collections::BTreeMap;

use proptest::prelude::*;
use proptest::sample::select;
use serde_json::json;

use super::lake::{Ask, Dynamic, Hit, Row, put, shown};
use super::random::{compare, dynamics, hit, rows, scopes};
use crate::lake::at;
use crate::oracle::{DAY, HOUR, Window};
use crate::properties::check;
use crate::rows::EDGE;

const SLUG: &str = "legacy-auth-attempt";
const PROTOCOLS: [&str; 12] = [
    "Authenticated SMTP",
    "AutoDiscover",
    "Exchange ActiveSync",
    "Exchange Online PowerShell",
    "Exchange Web Services",
    "IMAP4",
    "MAPI Over HTTP",
    "Outlook Anywhere (RPC over HTTP)",
    "Outlook Service",
    "POP3",
    "Reporting Web Services",
    "Other clients",
];

fn oracle(rows: &[Row], window: Window, baseline: i128) -> Vec<Hit> {
    let is_legacy = |row: &&Row| {
        row.time.is_some() && row.text("ResultType") == "0" && PROTOCOLS.contains(&row.text("ClientAppUsed"))
    };
    let legacy: Vec<&Row> = rows.iter().filter(is_legacy).collect();
    let key = |row: &Row| {
        ["UserPrincipalName", "ClientAppUsed", "AppDisplayName", "IPAddress"].map(|column| row.text(column).to_owned())
    };
    let before = |row: &&&Row| (window.start - baseline..=window.start).contains(&row.time.unwrap());
    let mut groups: BTreeMap<[String; 7], (i128, i128, i64)> = BTreeMap::new();
    for row in &legacy {
        let time = row.time.unwrap();
        let seen = legacy.iter().filter(before).any(|earlier| key(earlier) == key(row));
        if window.start <= time && time < window.end && !seen {
            let [user, client, app, ip] = key(row);
            let place = |name| row.member("LocationDetails", name);
            let group = [
                user,
                client,
                app,
                ip,
                row.member("DeviceDetail", "operatingSystem"),
                row.member("DeviceDetail", "browser"),
                format!("{}/{}/{}", place("countryOrRegion"), place("state"), place("city")),
            ];
            let group = groups.entry(group).or_insert((time, time, 0));
            *group = (group.0.min(time), group.1.max(time), group.2 + 1);
        }
    }
    let row = |(key, (start, end, count)): ([String; 7], (i128, i128, i64))| {
        let [user, client, app, ip, os, browser, place] = key;
        hit(&[
            ("UserPrincipalName", json!(user)),
            ("ClientAppUsed", json!(client)),
            ("AppDisplayName", json!(app)),
            ("IPAddress", json!(ip)),
            ("isLegacyAuth", json!("Yes")),
            ("OS", json!(os)),
            ("Browser", json!(browser)),
            ("LocationString", json!(place)),
            ("StartTime", json!(shown(start))),
            ("EndTime", json!(shown(end))),
            ("AttemptCount", json!(count)),
            ("timestamp", json!(shown(start))),
            ("AccountCustomEntity", json!(user)),
            ("IPCustomEntity", json!(ip)),
        ])
    };
    groups.into_iter().map(row).collect()
}

fn some_rows() -> impl Strategy<Value = Vec<Row>> {
    rows(
        vec![-7, -6, -2, -1, 0, 1, 2, 2],
        vec![-1_000, 0, 1_000, 6 * HOUR, 12 * HOUR - 1_000, 12 * HOUR, 13 * HOUR],
        vec![
            ("UserPrincipalName", vec![Some("bob@x.org"), Some("bob@x.org"), Some("Bob@x.org"), None]),
            ("ClientAppUsed", vec![Some("IMAP4"), Some("IMAP4"), Some("imap4"), Some("POP3"), Some("Browser"), None]),
            ("AppDisplayName", vec![Some("A"), None]),
            ("IPAddress", vec![Some("10.1.2.3"), Some("10.1.2.4")]),
            ("ResultType", vec![Some("0"), Some("0"), Some("0"), Some("50126"), None]),
            (
                "DeviceDetail",
                vec![
                    Some(r#"{"operatingSystem":"Linux","browser":"Chrome 1"}"#),
                    Some(r#"{"operatingSystem":"Linux"}"#),
                    Some("{}"),
                    None,
                ],
            ),
            ("LocationDetails", vec![Some(r#"{"countryOrRegion":"DE","city":"Ulm"}"#), Some(r#"{"state":"X"}"#), None]),
        ],
        32,
    )
}

#[test]
fn the_engine_answers_as_the_oracle_does() {
    let hits = Cell::new(0);
    let baselines = select(vec![("0s", 0), ("1d", DAY), ("30h", 30 * HOUR), ("6d", 6 * DAY)]);
    let strategy = (some_rows(), scopes(), dynamics(), baselines, select(vec!["1d", "12h"]), 1_usize..=3);
    check(80, strategy, |(rows, scope, dynamic, (baseline, nanos), window, threads)| {
        let ask = Ask {
            from: EDGE,
            to: EDGE + 3 * DAY,
            scope: *scope,
            window,
            threads: *threads,
            ..Ask::days(SLUG, "2024-05-01", "2024-05-04")
        };
        let ask = ask.parameter("baseline", baseline);
        let found = compare(&ask, rows, *dynamic, |window| oracle(rows, window, *nanos))?;
        hits.set(hits.get() + found);
        Ok(())
    });
    assert!(hits.get() > 60, "{} hits", hits.get());
}

fn legacy(time: &str, user: &str) -> Row {
    let values = [("UserPrincipalName", user), ("ClientAppUsed", "IMAP4"), ("ResultType", "0")];
    let values = values.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
    Row { time: Some(at(time)), values }
}

/// Rows that lie beside their partition are seen or not whichever windows are read together, however far a window reaches.
#[test]
fn astray_rows_are_seen_alike_alone_and_together() {
    let ask = Ask::days(SLUG, "2024-05-01", "2024-05-06");
    let job = ask.job();
    let folder = tempfile::tempdir().unwrap();
    let rows: Vec<Row> = (1..6).map(|day| legacy(&format!("2024-05-0{day}T12:00:00Z"), &format!("u{day}"))).collect();
    put(folder.path(), job.source(), &rows, Dynamic::Json);
    // Partitions that hold a row of each other day.
    for (day, file) in [("2024-04-28", "a"), ("2024-05-02", "b"), ("2024-05-03", "c"), ("2024-05-05", "d")] {
        let astray: Vec<Row> = (1..6).map(|other| legacy(&format!("2024-05-0{other}T18:00:00Z"), file)).collect();
        let path = folder.path().join(format!("date={day}"));
        std::fs::create_dir_all(&path).unwrap();
        let bytes = super::lake::encode(job.source(), &astray.iter().collect::<Vec<_>>(), Dynamic::Json);
        std::fs::write(path.join(format!("{file}.parquet")), bytes).unwrap();
    }
    let together = ask.run(folder.path()).unwrap();
    assert_eq!(together.report.windows.len(), 5);
    assert!(!together.all_hits().is_empty());
    for (from, to) in [(1, 2), (2, 3), (3, 4), (4, 5), (5, 6), (1, 3), (2, 5), (3, 6)] {
        let (from, to) = (format!("2024-05-0{from}"), format!("2024-05-0{to}"));
        let part = Ask::days(SLUG, &from, &to).run(folder.path()).unwrap();
        for window in &part.report.windows {
            assert!(part.bytes(&window.label) == together.bytes(&window.label), "{} of {from} to {to}", window.label);
        }
    }
}

/// A file that arrives late in the stretch that a window is compared with makes the window stale.
#[test]
fn files_of_the_history_are_inputs() {
    let ask = Ask::days(SLUG, "2024-05-07", "2024-05-08");
    let job = ask.job();
    let (folder, output) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    put(
        folder.path(),
        job.source(),
        &[legacy("2024-05-07T12:00:00Z", "bob"), legacy("2024-05-02T12:00:00Z", "eve")],
        Dynamic::Json,
    );
    let run = || ask.run_into(folder.path(), output.path(), |_| {}).unwrap();
    let outcome = |report: &lakehunt::RunReport| match &report.windows[0].outcome {
        lakehunt::Outcome::Done { hits, .. } => format!("done, {hits}"),
        lakehunt::Outcome::UpToDate { hits } => format!("up to date, {hits}"),
        other => format!("{other:?}"),
    };
    assert_eq!(outcome(&run()), "done, 1");
    assert_eq!(outcome(&run()), "up to date, 1");
    put(folder.path(), job.source(), &[legacy("2024-05-01T00:00:00Z", "bob")], Dynamic::Json);
    assert_eq!(outcome(&run()), "done, 0", "bob did so six days before");
    put(folder.path(), job.source(), &[legacy("2024-04-30T12:00:00Z", "kim")], Dynamic::Json);
    assert_eq!(outcome(&run()), "up to date, 0", "nobody looks that far back");
}
