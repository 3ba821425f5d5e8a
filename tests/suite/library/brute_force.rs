//! suspected-brute-force.

use std::cell::Cell;
use std::collections::BTreeMap;

use proptest::prelude::*;
use serde_json::json;

use super::lake::{Ask, Hit, Row, shown};
use super::random::{compare, dynamics, hit, rows};
use crate::oracle::{DAY, HOUR, MINUTE, Window};
use crate::properties::check;
use crate::rows::EDGE;

pub(super) fn oracle(rows: &[Row], window: Window, more_than: i64) -> Vec<Hit> {
    let mut counts: BTreeMap<(i128, [String; 3]), (i64, i64)> = BTreeMap::new();
    for row in rows {
        let Some(time) = row.time.filter(|time| window.start <= *time && *time < window.end) else { continue };
        let hour = time.div_euclid(HOUR) * HOUR;
        let key = ["UserPrincipalName", "UserDisplayName", "IPAddress"].map(|column| row.text(column).to_owned());
        let key = (hour, key);
        let count = counts.entry(key).or_default();
        match row.text("ResultType") {
            "0" | "50125" | "50140" | "70043" | "70044" => count.1 += 1,
            _ => count.0 += 1,
        }
    }
    let kept = counts.into_iter().filter(|(_, (failures, successes))| *failures > more_than && *successes > 0);
    kept.map(|((hour, [user, name, ip]), (failures, successes))| {
        hit(&[
            ("TimeGenerated", json!(shown(hour))),
            ("UserPrincipalName", json!(user)),
            ("UserDisplayName", json!(name)),
            ("IPAddress", json!(ip)),
            ("FailureCount", json!(failures)),
            ("SuccessCount", json!(successes)),
            ("AccountCustomEntity", json!(user)),
            ("IPCustomEntity", json!(ip)),
            ("Type", json!("SigninLogs")),
        ])
    })
    .collect()
}

fn some_rows() -> impl Strategy<Value = Vec<Row>> {
    rows(
        vec![0, 1],
        vec![-1_000, 0, 1_000, HOUR - 1_000, HOUR, HOUR + 30 * MINUTE, 12 * HOUR],
        vec![
            ("UserPrincipalName", vec![Some("bob@x.org"), Some("Bob@x.org"), None, Some("")]),
            ("UserDisplayName", vec![Some("Bob"), Some("Bob"), Some("Bob"), None]),
            ("IPAddress", vec![Some("10.1.2.3"), Some("10.1.2.3"), None]),
            ("ResultType", vec![Some("0"), Some("50126"), Some("50126"), Some("50140"), Some("0 "), None]),
        ],
        48,
    )
}

#[test]
fn the_engine_answers_as_the_oracle_does() {
    let hits = Cell::new(0);
    let windows = prop::sample::select(vec!["1d", "12h", "30m"]);
    check(60, (some_rows(), windows, dynamics(), 0_i64..3), |(rows, window, dynamic, max)| {
        let to = if *window == "30m" { HOUR * 2 } else { 2 * DAY };
        let ask =
            Ask { from: EDGE, to: EDGE + to, window, ..Ask::days("suspected-brute-force", "2024-05-01", "2024-05-03") };
        let ask = ask.parameter("max_failures", &max.to_string());
        let found = compare(&ask, rows, *dynamic, |window| oracle(rows, window, *max))?;
        hits.set(hits.get() + found);
        Ok(())
    });
    assert!(hits.get() > 30, "{} hits", hits.get());
}
