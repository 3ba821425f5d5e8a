//! Random lakes, and the comparison of a run with an oracle: windows together, and each one alone.

use lakehunt::ErrorKind;
use proptest::prelude::*;
use proptest::sample::select;
use proptest::test_runner::TestCaseError;
use serde_json::Value;

use super::lake::{Ask, Dynamic, Hit, Row, compared, write};
use crate::lake::instant;
use crate::oracle::{DAY, Scope, Window};
use crate::rows::EDGE;

/// Columns with their values; a value that is none is null.
pub(crate) type Pools = Vec<(&'static str, Vec<Option<&'static str>>)>;

/// Rows whose times are a day of `days`, an edge of `offsets` and their sum after the first window's start, with a value of
/// each pool; some of them twice, some without a time.
pub(crate) fn rows(
    days: Vec<i128>,
    offsets: Vec<i128>,
    pools: Pools,
    largest: usize,
) -> impl Strategy<Value = Vec<Row>> {
    let time = (select(days), select(offsets), prop::bool::weighted(0.02))
        .prop_map(|(day, offset, without)| (!without).then_some(EDGE + day * DAY + offset));
    let values: Vec<_> = pools.iter().map(|(_, values)| select(values.clone())).collect();
    let names: Vec<&'static str> = pools.iter().map(|(name, _)| *name).collect();
    let row = (time, values, prop::bool::weighted(0.1)).prop_map(move |(time, values, twice)| {
        let values = names.iter().zip(values);
        let values = values.filter_map(|(name, value)| Some(((*name).to_owned(), value?.to_owned()))).collect();
        vec![Row { time, values }; 1 + usize::from(twice)]
    });
    prop::collection::vec(row, 0..=largest).prop_map(|rows| rows.into_iter().flatten().collect())
}

pub(crate) fn dynamics() -> impl Strategy<Value = Dynamic> {
    select(vec![Dynamic::Json, Dynamic::Struct, Dynamic::Flat])
}

pub(crate) fn scopes() -> impl Strategy<Value = Scope> {
    select(vec![Scope::Overlap, Scope::Strict])
}

/// A row of an answer.
pub(crate) fn hit(columns: &[(&str, Value)]) -> Hit {
    columns.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect()
}

/// Compares the run of `ask` with what the oracle answers for each window; gives the number of hits.
pub(crate) fn compare(
    ask: &Ask<'_>,
    rows: &[Row],
    dynamic: Dynamic,
    oracle: impl Fn(Window) -> Vec<Hit>,
) -> Result<usize, TestCaseError> {
    let lake = write(&ask.job(), rows, dynamic);
    let run = match ask.run(lake.path()) {
        // Without a partition of its own range a run has nothing to do, and says so.
        Err(error) if error.kind() == ErrorKind::SourceMissing => {
            let days = (ask.from..ask.to).step_by(DAY as usize);
            let days = days.map(|start| Window { start, end: ask.to.min(start + DAY) });
            let expected: Vec<Hit> = days.flat_map(&oracle).collect();
            prop_assert!(expected.is_empty(), "{error}, and there are hits: {expected:?}");
            return Ok(0);
        }
        run => run.map_err(|e| TestCaseError::fail(e.to_string()))?,
    };
    run.all_hits();
    let mut count = 0;
    for window in &run.report.windows {
        let nanos = |instant: chrono::DateTime<chrono::Utc>| i128::from(instant.timestamp_nanos_opt().unwrap());
        let bounds = Window { start: nanos(window.start), end: nanos(window.end) };
        let found = run.hits(&window.label);
        let mut expected = oracle(bounds);
        if matches!(window.outcome, lakehunt::Outcome::WithoutSource) {
            // What a window finds is in partitions of its own.
            prop_assert!(expected.is_empty(), "{} has hits but no source: {expected:?}", window.label);
            continue;
        }
        for hit in &mut expected {
            hit.insert("window_start".to_owned(), super::lake::shown(bounds.start).into());
            hit.insert("window_end".to_owned(), super::lake::shown(bounds.end).into());
        }
        count += expected.len();
        let like = expected.clone();
        prop_assert_eq!(found.len(), expected.len(), "{}: found {:?}, expected {:?}", window.label, found, expected);
        prop_assert_eq!(compared(&found, &like), compared(&expected, &like), "window {}", window.label);
        // A window alone has the same bytes.
        let alone = Ask { from: bounds.start, to: bounds.end, ..ask.clone() };
        let alone = alone.run(lake.path()).map_err(|e| TestCaseError::fail(e.to_string()))?;
        prop_assert!(alone.bytes(&window.label) == run.bytes(&window.label), "{} differs alone", instant(bounds.start));
    }
    Ok(count)
}
