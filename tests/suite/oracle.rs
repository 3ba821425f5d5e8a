//! The hunt again, as slowly and plainly as it can be said: nested loops over rows, straight from the definition. It
//! shares no code with the engine, not even for time: an instant is a number of nanoseconds since 1970.

use std::collections::BTreeMap;

pub(crate) const SECOND: i128 = 1_000_000_000;
pub(crate) const MINUTE: i128 = 60 * SECOND;
pub(crate) const HOUR: i128 = 60 * MINUTE;
pub(crate) const DAY: i128 = 24 * HOUR;

/// A sign-in as a lake holds it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Default)]
pub(crate) struct Row {
    /// Nanoseconds since 1970, UTC.
    pub(crate) time: Option<i128>,
    pub(crate) user: Option<String>,
    pub(crate) ip: Option<String>,
    pub(crate) app: Option<String>,
    pub(crate) result: Option<String>,
    pub(crate) description: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Scope {
    Overlap,
    Strict,
}

/// A half-open window `[start, end)`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Window {
    pub(crate) start: i128,
    pub(crate) end: i128,
}

/// What a job's user may change.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    pub(crate) logon_diff: i128,
    pub(crate) max_distribution: i64,
}

impl Default for Limits {
    fn default() -> Self {
        Self { logon_diff: MINUTE, max_distribution: 5 }
    }
}

/// A row of the hit table; times in microseconds, rounded down.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Hit {
    pub(crate) user: String,
    pub(crate) success_time: i64,
    pub(crate) ip: String,
    pub(crate) success_app: String,
    pub(crate) failed_time: i64,
    pub(crate) failed_app: String,
    pub(crate) result: String,
    pub(crate) description: String,
    pub(crate) window_start: i64,
    pub(crate) window_end: i64,
    pub(crate) kql_rank: i64,
    pub(crate) distribution_count: i64,
    pub(crate) pair_count: i64,
}

/// What the hunt answers for one window.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Answer {
    /// In the order of the hit file.
    pub(crate) hits: Vec<Hit>,
    /// The keys over the limit: success app, result type, pairs; in this order.
    pub(crate) over_limit: Vec<(String, String, i64)>,
}

const EXCLUDED_APPS: [&str; 3] =
    ["Office 365 Exchange Online", "Skype for Business Online", "Office 365 SharePoint Online"];

/// KQL has no null strings.
fn text(value: &Option<String>) -> &str {
    value.as_deref().unwrap_or("")
}

pub(crate) fn is_success(row: &Row) -> bool {
    row.time.is_some() && text(&row.result) == "0" && !EXCLUDED_APPS.contains(&text(&row.app))
}

pub(crate) fn is_fail(row: &Row) -> bool {
    row.time.is_some()
        && text(&row.result) != "0"
        && text(&row.result) != "50140"
        && !text(&row.description).eq_ignore_ascii_case("Other")
        && !EXCLUDED_APPS.contains(&text(&row.app))
        && !text(&row.app).is_empty()
}

/// Every pair of a success and a failure, as positions in `rows`, which the window owns.
pub(crate) fn pairs(rows: &[Row], window: Window, scope: Scope, limits: Limits) -> Vec<(usize, usize)> {
    let mut pairs = Vec::new();
    for (s, success) in rows.iter().enumerate() {
        for (f, fail) in rows.iter().enumerate() {
            let (Some(before), Some(after)) = (success.time, fail.time) else { continue };
            let owned = window.start <= after && after < window.end;
            let visible = scope == Scope::Overlap || before >= window.start;
            if is_success(success)
                && is_fail(fail)
                && owned
                && visible
                && text(&success.user) == text(&fail.user)
                && text(&success.ip) == text(&fail.ip)
                && before < after
                && after - before <= limits.logon_diff
                && text(&success.app) != text(&fail.app)
            {
                pairs.push((s, f));
            }
        }
    }
    pairs
}

/// User, success app, failed app, IP, result type, description.
type Group<'a> = (&'a str, &'a str, &'a str, &'a str, &'a str, &'a str);

/// A row of InitialHits: the group with its minima and its number of pairs.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Initial<'a> {
    pub(crate) group: Group<'a>,
    pub(crate) success: i128,
    pub(crate) fail: i128,
    pub(crate) pairs: i64,
}

pub(crate) fn initial_hits<'a>(rows: &'a [Row], pairs: &[(usize, usize)]) -> Vec<Initial<'a>> {
    let mut groups: BTreeMap<Group<'a>, Initial<'a>> = BTreeMap::new();
    for (s, f) in pairs {
        let (success, fail) = (&rows[*s], &rows[*f]);
        let group = (
            text(&success.user),
            text(&success.app),
            text(&fail.app),
            text(&success.ip),
            text(&fail.result),
            text(&fail.description),
        );
        let (before, after) = (success.time.unwrap(), fail.time.unwrap());
        let hit = groups.entry(group).or_insert(Initial { group, success: before, fail: after, pairs: 0 });
        hit.success = hit.success.min(before);
        hit.fail = hit.fail.min(after);
        hit.pairs += 1;
    }
    groups.into_values().collect()
}

/// The hunt's answer for one window.
pub(crate) fn answer(rows: &[Row], window: Window, scope: Scope, limits: Limits) -> Answer {
    let pairs = pairs(rows, window, scope, limits);
    let mut initial = initial_hits(rows, &pairs);

    let mut distribution: BTreeMap<(&str, &str), i64> = BTreeMap::new();
    for (s, f) in &pairs {
        *distribution.entry((text(&rows[*s].app), text(&rows[*f].result))).or_default() += 1;
    }
    let over_limit = distribution
        .iter()
        .filter(|(_, pairs)| **pairs > limits.max_distribution)
        .map(|((app, result), pairs)| ((*app).to_owned(), (*result).to_owned(), *pairs))
        .collect();

    // Success time, failed time, then the remaining columns in output order; all before anything is rounded.
    initial.sort_by_key(|hit| {
        let (user, success_app, failed_app, ip, result, description) = hit.group;
        (hit.success, hit.fail, user, ip, success_app, failed_app, result, description)
    });
    let mut ranks: BTreeMap<(&str, &str), i64> = BTreeMap::new();
    let mut hits = Vec::new();
    for hit in initial {
        let (user, success_app, failed_app, ip, result, description) = hit.group;
        let count = distribution[&(success_app, result)];
        if count > limits.max_distribution {
            continue;
        }
        // The rows come in the order in which innerunique prefers them, so the first of a key is the one it keeps.
        let rank = ranks.entry((success_app, result)).or_default();
        *rank += 1;
        hits.push(Hit {
            user: user.to_owned(),
            success_time: micros(hit.success),
            ip: ip.to_owned(),
            success_app: success_app.to_owned(),
            failed_time: micros(hit.fail),
            failed_app: failed_app.to_owned(),
            result: result.to_owned(),
            description: description.to_owned(),
            window_start: micros(window.start),
            window_end: micros(window.end),
            kql_rank: *rank,
            distribution_count: count,
            pair_count: hit.pairs,
        });
    }
    Answer { hits, over_limit }
}

fn micros(nanos: i128) -> i64 {
    i64::try_from(nanos.div_euclid(1_000)).unwrap()
}

/// The definition's identities hold for the oracle itself.
mod identities {
    use proptest::prelude::*;

    use super::*;
    use crate::rows::{EDGE, any_rows};

    const WINDOW: Window = Window { start: EDGE, end: EDGE + DAY };

    fn scopes() -> impl Strategy<Value = Scope> {
        prop_oneof![Just(Scope::Overlap), Just(Scope::Strict)]
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 2_000, failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn minima_belong_to_a_real_pair(rows in any_rows(), scope in scopes()) {
            let pairs = pairs(&rows, WINDOW, scope, Limits::default());
            for hit in initial_hits(&rows, &pairs) {
                prop_assert!(hit.success < hit.fail && hit.fail - hit.success <= MINUTE);
                let real = pairs.iter().any(|(s, f)| {
                    rows[*s].time == Some(hit.success)
                        && rows[*f].time == Some(hit.fail)
                        && text(&rows[*s].user) == hit.group.0
                        && text(&rows[*s].app) == hit.group.1
                        && text(&rows[*f].app) == hit.group.2
                });
                prop_assert!(real, "{hit:?}");
            }
        }

        #[test]
        fn innerunique_is_one_row_of_each_surviving_key(rows in any_rows(), scope in scopes()) {
            let answer = answer(&rows, WINDOW, scope, Limits::default());
            let key = |hit: &Hit| (hit.success_app.clone(), hit.result.clone());
            let mut keys: Vec<_> = answer.hits.iter().map(key).collect();
            keys.sort();
            keys.dedup();
            let mut kept: Vec<_> = answer.hits.iter().filter(|hit| hit.kql_rank == 1).map(key).collect();
            kept.sort();
            prop_assert_eq!(kept, keys);
            for hit in &answer.hits {
                let total: i64 = answer.hits.iter().filter(|h| key(h) == key(hit)).map(|h| h.pair_count).sum();
                prop_assert_eq!(total, hit.distribution_count, "the pairs of a key are those of its hits");
                prop_assert!((1..=5).contains(&hit.distribution_count));
            }
        }

        /// For each success: the failures of that result type by the same user and IP within `(t, t + 1m]`, minus
        /// those among them on its own app.
        #[test]
        fn pairs_of_a_key_are_counted_success_by_success(rows in any_rows()) {
            let window = Window { start: EDGE - 10 * DAY, end: EDGE + 10 * DAY };
            let limits = Limits { max_distribution: 0, ..Limits::default() };
            for (app, result, count) in answer(&rows, window, Scope::Overlap, limits).over_limit {
                let mut expected = 0;
                for success in rows.iter().filter(|row| is_success(row) && text(&row.app) == app) {
                    let t = success.time.unwrap();
                    let reach = |row: &&Row| {
                        is_fail(row)
                            && text(&row.result) == result
                            && (text(&row.user), text(&row.ip)) == (text(&success.user), text(&success.ip))
                            && (t + 1..=t + MINUTE).contains(&row.time.unwrap())
                    };
                    expected += rows.iter().filter(reach).count();
                    expected -= rows.iter().filter(reach).filter(|row| row.app == success.app).count();
                }
                prop_assert_eq!(i64::try_from(expected).unwrap(), count);
            }
        }

        #[test]
        fn a_strict_window_has_no_pair_that_an_overlapping_one_has_not(rows in any_rows()) {
            let strict = pairs(&rows, WINDOW, Scope::Strict, Limits::default());
            let overlap = pairs(&rows, WINDOW, Scope::Overlap, Limits::default());
            prop_assert!(strict.iter().all(|pair| overlap.contains(pair)));
        }

        #[test]
        fn the_order_of_rows_is_of_no_account(rows in any_rows(), scope in scopes()) {
            let mut sorted = rows.clone();
            sorted.sort();
            let limits = Limits::default();
            prop_assert_eq!(answer(&rows, WINDOW, scope, limits), answer(&sorted, WINDOW, scope, limits));
        }
    }
}
