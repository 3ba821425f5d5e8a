//! signin-success-then-fail-other-ip.

use std::cell::Cell;
use std::collections::BTreeMap;

use proptest::prelude::*;
use serde_json::json;

use super::lake::{Ask, Hit, Row, put, shown};
use super::random::{compare, dynamics, hit, rows, scopes};
use crate::oracle::{DAY, MINUTE, SECOND, Scope, Window};
use crate::properties::check;
use crate::rows::EDGE;

const APPS: [&str; 2] = ["Office 365 Exchange Online", "Skype for Business Online"];

/// KQL's `split(text, by)[index]`, which is null past the end, and so nothing in a `strcat`.
fn part<'a>(text: &'a str, by: &str, index: usize) -> &'a str {
    text.split(by).nth(index).unwrap_or("")
}

fn block(ip: &str) -> String {
    let by = if ip.contains(':') { ":" } else { "." };
    format!("{}{by}{}", part(ip, by, 0), part(ip, by, 1))
}

/// KQL's `startswith` minds no case.
fn starts_with(text: &str, prefix: &str) -> bool {
    text.to_ascii_lowercase().starts_with(&prefix.to_ascii_lowercase())
}

fn oracle(table: &str, rows: &[Row], window: Window, scope: Scope, diff: i128) -> Vec<Hit> {
    let mut groups: BTreeMap<Vec<String>, (i128, i128, i64)> = BTreeMap::new();
    for success in rows {
        for fail in rows {
            let (Some(s), Some(f)) = (success.time, fail.time) else { continue };
            let owned = window.start <= f && f < window.end && (scope == Scope::Overlap || s >= window.start);
            let is_success = success.text("ResultType") == "0" && !APPS.contains(&success.text("AppDisplayName"));
            let is_fail = !["0", "50140"].contains(&fail.text("ResultType"))
                && !fail.text("ResultDescription").eq_ignore_ascii_case("Other")
                && !APPS.contains(&fail.text("AppDisplayName"));
            let same = |column: &str| success.text(column) == fail.text(column);
            if owned
                && is_success
                && is_fail
                && same("UserPrincipalName")
                && same("AppDisplayName")
                && s < f
                && f - s <= diff
                && !starts_with(fail.text("IPAddress"), &block(success.text("IPAddress")))
            {
                let key = [
                    success.text("UserPrincipalName"),
                    success.text("IPAddress"),
                    success.text("Location"),
                    success.text("AppDisplayName"),
                    fail.text("IPAddress"),
                    fail.text("Location"),
                    fail.text("ResultType"),
                    fail.text("ResultDescription"),
                ];
                let group = groups.entry(key.map(str::to_owned).to_vec()).or_insert((s, f, 0));
                *group = (group.0.max(s), group.1.max(f), group.2 + 1);
            }
        }
    }
    let row = |(key, (s, f, pairs)): (Vec<String>, (i128, i128, i64))| {
        assert!(s < f && f - s <= diff, "the two maxima are those of a real pair");
        let user = key[0].to_lowercase();
        hit(&[
            ("UserPrincipalName", json!(user)),
            ("SuccessIPAddress", json!(key[1])),
            ("SuccessLocation", json!(key[2])),
            ("AppDisplayName", json!(key[3])),
            ("FailedIPAddress", json!(key[4])),
            ("FailedLocation", json!(key[5])),
            ("ResultType", json!(key[6])),
            ("ResultDescription", json!(key[7])),
            ("Type", json!(table)),
            ("FailedLogonTime", json!(shown(f))),
            ("SuccessLogonTime", json!(shown(s))),
            ("timestamp", json!(shown(s))),
            ("Name", json!(part(&user, "@", 0))),
            ("UPNSuffix", json!(part(&user, "@", 1))),
            ("UserAsWritten", json!(key[0])),
            ("pair_count", json!(pairs)),
        ])
    };
    groups.into_iter().map(row).collect()
}

fn some_rows() -> impl Strategy<Value = Vec<Row>> {
    let edges = [0, 10 * MINUTE];
    let offsets = edges.iter().flat_map(|edge| [-1_000, 0, 1_000].map(|tick| edge + tick));
    let offsets: Vec<i128> = offsets.chain([-10 * MINUTE, -5 * MINUTE, 5 * MINUTE, 30 * SECOND]).collect();
    rows(
        vec![0, 0, 1, 2],
        offsets,
        vec![
            (
                "UserPrincipalName",
                vec![Some("bob@x.org"), Some("bob@x.org"), Some("bob@x.org"), Some("Bob@x.org"), Some("a@b@c"), None],
            ),
            (
                "AppDisplayName",
                vec![Some("A"), Some("A"), Some("A"), Some("a"), Some("Skype for Business Online"), None],
            ),
            (
                "ResultType",
                vec![Some("0"), Some("0"), Some("50126"), Some("50126"), Some("50126"), Some("50140"), None],
            ),
            ("ResultDescription", vec![Some("bad"), Some("bad"), Some("bad"), Some("oTHER"), None]),
            ("Location", vec![Some("US"), Some("DE"), None]),
            (
                "IPAddress",
                vec![
                    Some("10.1.2.3"),
                    Some("10.12.2.3"),
                    Some("192.0.2.1"),
                    Some("2001:db8::1"),
                    Some("2001:DB8::2"),
                    Some("::1"),
                    Some("1.2.3.4:80"),
                    Some("10"),
                    None,
                ],
            ),
        ],
        48,
    )
}

const FURTHER: &str = "AADNonInteractiveUserSignInLogs";

#[test]
fn the_engine_answers_as_the_oracle_does() {
    let (hits, of_both) = (Cell::new(0), Cell::new(0));
    let further = prop_oneof![Just(None), some_rows().prop_map(Some)];
    let strategy = (some_rows(), further, scopes(), dynamics(), 1_usize..=3);
    check(60, strategy, |(rows, further, scope, dynamic, threads)| {
        let mut ask = Ask {
            from: EDGE,
            to: EDGE + 3 * DAY,
            scope: *scope,
            threads: *threads,
            ..Ask::days("signin-success-then-fail-other-ip", "2024-05-01", "2024-05-04")
        };
        let folder = tempfile::tempdir().unwrap();
        let further = further.as_deref();
        if let Some(rows) = further {
            put(folder.path(), ask.job().sources().nth(1).unwrap(), rows, *dynamic);
            ask.tables = vec![(FURTHER, folder.path())];
        }
        let diff = 10 * MINUTE;
        let found = compare(&ask, rows, *dynamic, |window| {
            let mut found = oracle("SigninLogs", rows, window, *scope, diff);
            let of_one = found.len();
            found.extend(oracle(FURTHER, further.unwrap_or_default(), window, *scope, diff));
            of_both.set(of_both.get() + usize::from(of_one > 0 && found.len() > of_one));
            found
        })?;
        hits.set(hits.get() + found);
        Ok(())
    });
    assert!(hits.get() > 30 && of_both.get() > 0, "{} hits, {} windows with both", hits.get(), of_both.get());
}
