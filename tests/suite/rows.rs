//! Random sign-ins that collide: few values for each column, and times whose differences are exactly the edges that
//! matter.

use proptest::prelude::*;
use proptest::sample::select;

use crate::oracle::{DAY, MINUTE, Row, SECOND};

/// 2024-05-01, the first edge of a window that times cluster around.
pub(crate) const EDGE: i128 = 19_844 * DAY;

/// How result types are drawn: with odd ones, or only those that a number can hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Codes {
    Any,
    Numeric,
}

fn or_null(values: Vec<Option<&'static str>>) -> impl Strategy<Value = Option<String>> + Clone {
    select(values).prop_map(|value| value.map(str::to_owned))
}

/// Nanoseconds from the edge of a window. `tick` is the smallest step.
fn offset(tick: i128) -> impl Strategy<Value = i128> + Clone {
    let near = vec![
        -MINUTE - tick,
        -MINUTE,
        -MINUTE + tick,
        -30 * SECOND,
        -2 * tick,
        -tick,
        0,
        tick,
        2 * tick,
        30 * SECOND,
        MINUTE - tick,
        MINUTE,
        MINUTE + tick,
    ];
    // Most rows stand at the edge itself, some a while later, where no edge disturbs.
    (select(near), select(vec![0, 0, 0, 10 * MINUTE])).prop_map(|(near, later)| near + later)
}

fn time(tick: i128) -> impl Strategy<Value = Option<i128>> + Clone {
    prop_oneof![
        29 => offset(tick).prop_map(Some),
        1 => Just(None),
    ]
}

/// One sign-in near 1970-01-01; the caller moves it. Pools are narrowed by the data set's own `taste`.
fn row(tick: i128, codes: Codes, taste: u8) -> impl Strategy<Value = Row> {
    let users = match taste % 4 {
        0 => vec![Some("bob@x")],
        1 => vec![Some("bob@x"), Some("bob@x"), Some("Bob@x")],
        2 => vec![Some("bob@x"), Some("eve@x"), Some("kim@x"), Some("zoé@x")],
        _ => vec![Some(""), None, Some("bob@x")],
    };
    let ips = match taste / 4 % 3 {
        0 => vec![Some("10.0.0.1")],
        1 => vec![Some("2001:db8::1"), Some("2001:db8::1"), Some("2001:DB8::1")],
        _ => vec![None, Some(""), Some("10.0.0.1")],
    };
    let apps = match taste / 12 % 3 {
        0 => vec![Some("A"), Some("B"), Some("C")],
        1 => vec![Some("A"), Some("a"), Some("B"), Some(""), None, Some(" ")],
        _ => vec![
            Some("A"),
            Some("Office 365 Exchange Online"),
            Some("office 365 exchange online"),
            Some("Skype for Business Online"),
            Some("Office 365 SharePoint Online"),
            Some("B"),
        ],
    };
    // Successes and one failure most of all, so that pairs are many; the rest now and then.
    let (often, rarely) = (
        vec![Some("0"), Some("50126")],
        match codes {
            Codes::Numeric => vec![Some("50076"), Some("50140"), None],
            Codes::Any => vec![Some("50076"), Some("50140"), Some("50140 "), Some("0 "), Some(""), None],
        },
    );
    let results = prop_oneof![3 => select(often), 1 => select(rarely)].prop_map(|value| value.map(str::to_owned));
    let descriptions = match taste / 36 % 2 {
        0 => vec![Some("bad")],
        _ => {
            vec![Some("bad"), Some("Bad"), Some("Other"), Some("oTHER"), Some("Other "), Some("OtherÉ"), Some(""), None]
        }
    };
    (time(tick), or_null(users), or_null(ips), or_null(apps), results, or_null(descriptions))
        .prop_map(|(time, user, ip, app, result, description)| Row { time, user, ip, app, result, description })
}

/// A data set: sign-ins around time 0, some of them twice.
pub(crate) fn data_set(codes: Codes, largest: usize) -> impl Strategy<Value = Vec<Row>> {
    let ticks = select(vec![1, 100, 1_000, 1_000_000]);
    (ticks, 0..72_u8)
        .prop_flat_map(move |(tick, taste)| {
            prop::collection::vec((row(tick, codes, taste), prop::bool::weighted(0.1)), 0..=largest)
        })
        .prop_map(|rows| rows.into_iter().flat_map(|(row, twice)| vec![row; 1 + usize::from(twice)]).collect())
}

/// `rows` later by `by` nanoseconds.
pub(crate) fn later(rows: &[Row], by: i128) -> impl Iterator<Item = Row> {
    rows.iter().map(move |row| Row { time: row.time.map(|time| time + by), ..row.clone() })
}

/// A data set around [`EDGE`].
pub(crate) fn any_rows() -> impl Strategy<Value = Vec<Row>> {
    data_set(Codes::Any, 24).prop_map(|rows| later(&rows, EDGE).collect())
}

/// The success of `user` at the first instant and the failure at the second one.
pub(crate) fn pair(user: &str, success: i128, failure: i128) -> [Row; 2] {
    let some = |text: &str| Some(text.to_owned());
    let row = |time, app, result, description| Row {
        time: Some(time),
        user: some(user),
        ip: some("10.0.0.1"),
        app: some(app),
        result: some(result),
        description: some(description),
    };
    [row(success, "A", "0", ""), row(failure, "B", "50126", "bad")]
}
