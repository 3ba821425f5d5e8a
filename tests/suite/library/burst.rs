//! signin-burst-from-multiple-locations.

use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;
use proptest::sample::select;
use serde_json::json;

use super::lake::{Ask, Hit, Row, shown};
use super::random::{compare, dynamics, hit, rows, scopes};
use crate::oracle::{DAY, HOUR, MINUTE, SECOND, Scope, Window};
use crate::properties::check;
use crate::rows::EDGE;

const WINDOW: i128 = 10 * MINUTE;
const BIN: i128 = 5 * MINUTE;

fn place(row: &Row) -> String {
    let member = |name| row.member("LocationDetails", name);
    format!("{}/{}/{}", member("countryOrRegion"), member("state"), member("city"))
}

fn bin(time: i128) -> i128 {
    // Any bin of minutes that divides a day begins where those of 1970 do.
    time.div_euclid(BIN) * BIN
}

fn oracle(rows: &[Row], window: Window, scope: Scope, baseline: i128, top: usize) -> Vec<Hit> {
    let sign_ins: Vec<&Row> = rows.iter().filter(|row| row.time.is_some() && place(row) != "//").collect();
    let mut counts: BTreeMap<String, i64> = BTreeMap::new();
    for row in &sign_ins {
        if (window.start - baseline..window.end).contains(&row.time.unwrap()) {
            *counts.entry(place(row)).or_default() += 1;
        }
    }
    let mut places: Vec<(i64, String)> = counts.into_iter().map(|(place, count)| (-count, place)).collect();
    places.sort();
    let popular: BTreeSet<String> = places.into_iter().take(top).map(|(_, place)| place).collect();

    let mut distinct = BTreeSet::new();
    for first in &sign_ins {
        for second in &sign_ins {
            let (start, end) = (first.time.unwrap(), second.time.unwrap());
            let owned = window.start <= end && end < window.end && (scope == Scope::Overlap || start >= window.start);
            // The first one's bin is one of range(bin(End - lookupWindow), bin(End), lookupBin).
            let mut keys = Vec::new();
            let mut key = bin(end - WINDOW);
            while key <= bin(end) {
                keys.push(key);
                key += BIN;
            }
            if owned
                && first.text("Identity") == second.text("Identity")
                && keys.contains(&bin(start))
                && end > start
                && place(first) != place(second)
                && !popular.contains(&place(first))
                && !popular.contains(&place(second))
            {
                let (identity, user) = (first.text("Identity").to_owned(), first.text("UserPrincipalName").to_owned());
                distinct.insert((identity, place(first), place(second), start, end, user));
            }
        }
    }
    let row = |(identity, from, to, start, end, user): (String, String, String, i128, i128, String)| {
        hit(&[
            ("timeSpan", json!((end - start) as f64 / SECOND as f64)),
            ("Identity", json!(identity)),
            ("locationString", json!(from)),
            ("EndLocationString", json!(to)),
            ("Start", json!(shown(start))),
            ("End", json!(shown(end))),
            ("UserPrincipalName", json!(user)),
            ("timestamp", json!(shown(start))),
            ("AccountCustomEntity", json!(user)),
        ])
    };
    distinct.into_iter().map(row).collect()
}

fn some_rows() -> impl Strategy<Value = Vec<Row>> {
    let near = [-15, -14, -11, -10, -5, -1, 0, 1, 4, 5, 9, 10, 11, 14, 15].map(|minutes| minutes * MINUTE);
    let offsets = near.iter().flat_map(|near| [near - 1_000, *near, near + 1_000]).collect();
    rows(
        vec![-3, -2, -1, 0, 0, 0, 1, 1, 2],
        offsets,
        vec![
            ("Identity", vec![Some("Bob"), Some("Bob"), Some("Bob"), Some("bob"), None]),
            ("UserPrincipalName", vec![Some("bob@x.org"), Some("Bob@x.org"), None]),
            (
                "LocationDetails",
                vec![
                    Some(r#"{"countryOrRegion":"DE","state":"Bayern","city":"Hof"}"#),
                    Some(r#"{"countryOrRegion":"DE","city":"Ulm"}"#),
                    Some(r#"{"countryOrRegion":"FR"}"#),
                    Some(r#"{"state":"","city":""}"#),
                    Some(r#"{"countryOrRegion":"NZ","state":"","city":"Bluff"}"#),
                    Some(r#"{"countryOrRegion":"nz","state":null,"city":"Bluff"}"#),
                    Some("{}"),
                    None,
                ],
            ),
        ],
        40,
    )
}

#[test]
fn the_engine_answers_as_the_oracle_does() {
    let hits = Cell::new(0);
    let baselines = select(vec![("0s", 0), ("1d", DAY), ("36h", 36 * HOUR), ("9d", 9 * DAY)]);
    let strategy = (some_rows(), scopes(), dynamics(), baselines, 0_usize..4, select(vec!["1d", "12h"]));
    check(80, strategy, |(rows, scope, dynamic, (baseline, nanos), top, window)| {
        let ask = Ask {
            from: EDGE,
            to: EDGE + 3 * DAY,
            scope: *scope,
            window,
            ..Ask::days("signin-burst-from-multiple-locations", "2024-05-01", "2024-05-04")
        };
        let ask = ask.parameter("baseline", baseline).parameter("popular_locations", &top.to_string());
        let found = compare(&ask, rows, *dynamic, |window| oracle(rows, window, *scope, *nanos, *top))?;
        hits.set(hits.get() + found);
        Ok(())
    });
    assert!(hits.get() > 40, "{} hits", hits.get());
}
