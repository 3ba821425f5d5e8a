//! The most frequent values of columns.

use std::collections::HashMap;

use super::codes::Codes;
use super::columns::Columns;
use super::rows::Rows;
use super::values::{Count, Top, TopEntry};
use crate::error::Result;

/// Values of a column that a page shows.
const MOST_ENTRIES: usize = 10;

/// Stands for a value that is null or empty text; to KQL the two are one.
pub(super) const EMPTY: &str = "(empty)";

/// The most frequent entities, applications and result codes, as far as the hits have them.
pub(super) fn tops(rows: &Rows, columns: &Columns, codes: &Codes) -> Result<Vec<Top>> {
    let entities = columns.entities.iter().map(|entity| (entity.many.clone(), entity.position, false));
    let apps = columns.apps.iter().map(|(title, position)| (title.clone(), *position, false));
    let code = columns.code.into_iter().map(|position| ("Failure codes".to_owned(), position, true));
    entities
        .chain(apps)
        .chain(code)
        .map(|(title, position, is_code)| {
            let counted = counted(&rows.texts(position)?);
            let most = counted.first().map_or(1, |(_, hits)| *hits);
            let entries = counted.iter().take(MOST_ENTRIES).map(|(text, hits)| TopEntry {
                meaning: if is_code { codes.meaning(text).map(str::to_owned) } else { None },
                text: text.clone(),
                hits: Count(*hits),
                // A bar that is there can be seen.
                share: (hits * 100).div_ceil(most),
            });
            Ok(Top {
                title,
                column: rows.schema().field(position).name().clone(),
                entries: entries.collect(),
                distinct: Count(counted.len() as u64),
                left: Count(counted.len().saturating_sub(MOST_ENTRIES) as u64),
            })
        })
        .collect()
}

/// The different values with how often they are there, the most frequent first.
pub(super) fn counted(values: &[Option<String>]) -> Vec<(String, u64)> {
    let mut counts: HashMap<&str, u64> = HashMap::new();
    for value in values {
        let text = value.as_deref().filter(|text| !text.is_empty()).unwrap_or(EMPTY);
        *counts.entry(text).or_default() += 1;
    }
    let mut counted: Vec<(String, u64)> = counts.into_iter().map(|(text, hits)| (text.to_owned(), hits)).collect();
    counted.sort_by(|(a, a_hits), (b, b_hits)| b_hits.cmp(a_hits).then_with(|| a.cmp(b)));
    counted
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_counted_and_ordered_the_same_way_each_time() {
        let values: Vec<Option<String>> =
            ["b", "a", "", "c", "a", "b"].into_iter().map(|text| Some(text.to_owned())).chain([None]).collect();
        let expected = [("(empty)", 2), ("a", 2), ("b", 2), ("c", 1)];
        assert_eq!(counted(&values), expected.map(|(text, hits)| (text.to_owned(), hits)));
        assert_eq!(counted(&[]), []);
    }
}
