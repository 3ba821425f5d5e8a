//! user-login-ip-address-teleportation.

use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;
use proptest::sample::select;
use serde_json::json;

use super::lake::{Ask, Hit, Row, shown};
use super::random::{compare, dynamics, hit, rows, scopes};
use crate::lake::{block_on, instant};
use crate::oracle::{DAY, HOUR, MINUTE, Scope, Window};
use crate::properties::check;
use crate::rows::EDGE;

const SLUG: &str = "user-login-ip-address-teleportation";

fn oracle(rows: &[Row], window: Window, scope: Scope, baseline: i128, max_prevalence: f64) -> Vec<Hit> {
    const TEN: i128 = 10 * MINUTE;
    let is_login =
        |row: &&Row| row.time.is_some() && row.text("ConditionalAccessStatus").eq_ignore_ascii_case("success");
    let country = |row: &Row| row.member("LocationDetails", "countryOrRegion");
    let logins: Vec<&Row> = rows.iter().filter(is_login).collect();
    let mut counts: BTreeMap<String, u32> = BTreeMap::new();
    for login in &logins {
        if (window.start - baseline..window.end).contains(&login.time.unwrap()) && !country(login).is_empty() {
            *counts.entry(country(login)).or_default() += 1;
        }
    }
    let total: u32 = counts.values().sum();
    let is_rare = |country: &String| {
        counts.get(country).is_some_and(|count| f64::from(*count) / f64::from(total) * 100.0 < max_prevalence)
    };
    let vpn = |row: &Row| ["127.0.0.1", "0.0.0.0"].contains(&row.text("IPAddress"));
    let mut distinct = BTreeSet::new();
    for anomalous in &logins {
        for other in &logins {
            let (time, other_time) = (anomalous.time.unwrap(), other.time.unwrap());
            let (first, last) = (time.min(other_time), time.max(other_time));
            let owned = window.start <= last && last < window.end && (scope == Scope::Overlap || first >= window.start);
            if owned
                && is_rare(&country(anomalous))
                && !anomalous.text("IPAddress").is_empty()
                && anomalous.text("UserPrincipalName") == other.text("UserPrincipalName")
                && anomalous.text("IPAddress") != other.text("IPAddress")
                && country(anomalous) != country(other)
                && (other_time - TEN..=other_time + TEN).contains(&time)
                && !vpn(anomalous)
                && !vpn(other)
            {
                let text = |row: &Row, column: &str| row.text(column).to_owned();
                distinct.insert((
                    text(anomalous, "UserPrincipalName"),
                    text(anomalous, "IPAddress"),
                    time,
                    country(anomalous),
                    text(other, "IPAddress"),
                    country(other),
                    other_time,
                ));
            }
        }
    }
    let row = |(user, ip, time, from, other_ip, to, other): (String, String, i128, String, String, String, i128)| {
        hit(&[
            ("Account", json!(user)),
            ("AnomalousIP", json!(ip)),
            ("AnomalousLoginTime", json!(shown(time))),
            ("AnomalousCountry", json!(from)),
            ("OtherLoginIP", json!(other_ip)),
            ("OtherLoginCountry", json!(to)),
            ("OtherLoginWindowStart", json!(shown(other - TEN))),
            ("OtherLoginWindowEnd", json!(shown(other + TEN))),
            ("timestamp", json!(shown(time))),
            ("AccountCustomEntity", json!(user)),
            ("IPCustomEntity", json!(ip)),
        ])
    };
    distinct.into_iter().map(row).collect()
}

fn some_rows() -> impl Strategy<Value = Vec<Row>> {
    let near = [-20, -10, -5, 0, 5, 10, 20].map(|minutes| minutes * MINUTE);
    let offsets = near.iter().flat_map(|near| [near - 1_000, *near, near + 1_000]).collect();
    rows(
        vec![-1, 0, 0, 0, 1, 1, 2],
        offsets,
        vec![
            (
                "UserPrincipalName",
                vec![Some("bob@x.org"), Some("bob@x.org"), Some("bob@x.org"), Some("Bob@x.org"), None],
            ),
            (
                "IPAddress",
                vec![Some("10.1.2.3"), Some("10.1.2.3"), Some("10.1.2.4"), Some("10.1.2.5"), Some("0.0.0.0"), None],
            ),
            ("ConditionalAccessStatus", vec![Some("success"), Some("SUCCESS"), Some("success"), Some("failure"), None]),
            (
                "LocationDetails",
                vec![
                    Some(r#"{"countryOrRegion":"DE"}"#),
                    Some(r#"{"countryOrRegion":"DE"}"#),
                    Some(r#"{"countryOrRegion":"FR"}"#),
                    Some(r#"{"countryOrRegion":"NZ"}"#),
                    Some(r#"{"countryOrRegion":""}"#),
                    Some("{}"),
                    None,
                ],
            ),
        ],
        56,
    )
}

#[test]
fn the_engine_answers_as_the_oracle_does() {
    let hits = Cell::new(0);
    let baselines = select(vec![("0s", 0), ("1d", DAY), ("30h", 30 * HOUR), ("6d", 6 * DAY)]);
    let prevalences = select(vec![0.01, 25.0, 40.0, 50.0]);
    let strategy = (some_rows(), scopes(), dynamics(), baselines, prevalences, select(vec!["1d", "12h"]));
    check(80, strategy, |(rows, scope, dynamic, (baseline, nanos), prevalence, window)| {
        let ask = Ask {
            from: EDGE,
            to: EDGE + 3 * DAY,
            scope: *scope,
            window,
            ..Ask::days(SLUG, "2024-05-01", "2024-05-04")
        };
        let ask = ask.parameter("baseline", baseline).parameter("max_prevalence", &prevalence.to_string());
        let found = compare(&ask, rows, *dynamic, |window| oracle(rows, window, *scope, *nanos, *prevalence))?;
        hits.set(hits.get() + found);
        Ok(())
    });
    assert!(hits.get() > 40, "{} hits", hits.get());
}

/// With the KQL's own limit: one login in more than ten thousand.
#[test]
fn a_country_is_rare_with_less_than_one_login_in_ten_thousand() {
    let login = |time: i128, ip: &str, country: &str| {
        let json = format!(r#"{{"countryOrRegion":"{country}"}}"#);
        let values = [
            ("UserPrincipalName", "bob@x.org"),
            ("IPAddress", ip),
            ("ConditionalAccessStatus", "success"),
            ("LocationDetails", json.as_str()),
        ];
        let values = values.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
        Row { time: Some(EDGE + time), values }
    };
    for (usual, expected) in [(9_999, 0), (10_000, 1)] {
        // The usual ones lie an hour before the one that is not usual, but for the last.
        let mut rows: Vec<Row> = (0..usual - 1).map(|i| login(i * 1_000, "10.0.0.1", "DE")).collect();
        rows.push(login(HOUR, "10.0.0.1", "DE"));
        rows.push(login(HOUR + MINUTE, "10.0.0.2", "NZ"));
        let lake =
            super::lake::write(&Ask::days(SLUG, "2024-05-01", "2024-05-02").job(), &rows, super::lake::Dynamic::Json);
        let run = Ask::days(SLUG, "2024-05-01", "2024-05-02").run(lake.path()).unwrap();
        assert_eq!(run.all_hits().len(), expected, "{usual} logins from elsewhere");
    }
}

/// Half a day in one country and half a day in another, both rare, with ten minutes less a little between: of the hundred million
/// pairs that the account has, those at the border are near. They are found by their time, not by comparing all.
#[test]
fn a_busy_account_goes_through_the_interval_join() {
    const SECOND: i128 = MINUTE / 60;
    let login = |seconds: i128, ip: &str, country: &str| {
        let json = format!(r#"{{"countryOrRegion":"{country}"}}"#);
        let values = [
            ("UserPrincipalName", "scanner@x.org"),
            ("IPAddress", ip),
            ("ConditionalAccessStatus", "success"),
            ("LocationDetails", json.as_str()),
        ];
        let values = values.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
        Row { time: Some(EDGE + seconds * SECOND), values }
    };
    let first = (0..10_000).map(|i| login(4 * i, "10.0.0.1", "DE"));
    let then = (0..10_000).map(|i| login(40_540 + 4 * i, "10.0.0.2", "NZ"));
    let rows: Vec<Row> = first.chain(then).collect();

    let ask = Ask::days(SLUG, "2024-05-01", "2024-05-02").parameter("max_prevalence", "60.0");
    let lake = super::lake::write(&ask.job(), &rows, super::lake::Dynamic::Json);
    let hits = ask.run(lake.path()).unwrap().all_hits();
    // The i-th login before the gap and the j-th after it are 544 + 4 (i + j) seconds apart, at most 600: 120 pairs, and each of
    // their sides is the anomalous one once.
    assert_eq!(hits.len(), 240);
    let twice: BTreeSet<_> = hits.iter().map(|hit| hit["hit_id"].to_string()).collect();
    assert_eq!(twice.len(), 240);

    let span = lakehunt::Span::try_new(instant(EDGE), instant(EDGE + DAY)).unwrap();
    let job = ask.job();
    let settings = lakehunt::Settings::new(&job, lake.path().to_str().unwrap(), ".", span).unwrap();
    let plan = block_on(lakehunt::explain(&job, &settings)).unwrap();
    let joins: Vec<&str> = plan.lines().filter(|line| line.trim_start().starts_with("IntervalJoinExec")).collect();
    assert!(joins.len() == 1 && joins[0].contains("UserPrincipalName"), "{plan}");
}
