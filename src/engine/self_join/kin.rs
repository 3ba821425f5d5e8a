//! Batches whose key columns have the same dictionaries. Among them the places of values tell keys apart as the texts
//! would, and no hash of a text has to be fetched.

use std::borrow::Cow;
use std::sync::Arc;

use datafusion::common::Result;

use super::dictionary::Dictionary;
use super::rows::{Rows, mix, spread};
use super::spec::{Side, Spec};

/// Batches that have the same dictionaries in the columns of the key.
pub(super) struct Kin<'a> {
    /// By batch, and in it by column of the key: equal for equal texts.
    places: Vec<Vec<Cow<'a, [i32]>>>,
    columns: usize,
}

impl<'a> Kin<'a> {
    /// Batches, if they are kin, and both sides have the same key.
    pub(super) fn of(spec: &Spec, rows: &'a [Arc<Rows>]) -> Result<Option<Self>> {
        let keys = &spec.side(Side::First).keys;
        let Some(first) = rows.first().filter(|_| keys == &spec.side(Side::Then).keys) else { return Ok(None) };
        let column = |rows: &'a Rows, text: usize| rows.text(spec.texts[text].lifted.column);
        let mut dictionaries: Vec<&Arc<Dictionary>> = Vec::with_capacity(keys.len());
        for text in keys {
            let dictionary = &column(first, *text)?.dictionary;
            if !dictionary.is_common() {
                return Ok(None);
            }
            dictionaries.push(dictionary);
        }
        let mut places = Vec::with_capacity(rows.len());
        for rows in rows {
            let mut of_batch = Vec::with_capacity(keys.len());
            for (text, dictionary) in keys.iter().zip(&dictionaries) {
                let column = column(rows, *text)?;
                if !Arc::ptr_eq(&column.dictionary, dictionary) {
                    return Ok(None);
                }
                of_batch.push(match dictionary.firsts(*text)? {
                    None => Cow::Borrowed(column.places()),
                    Some(firsts) => column.places().iter().map(|place| firsts[*place as usize]).collect(),
                });
            }
            places.push(of_batch);
        }
        Ok(Some(Self { places, columns: keys.len() }))
    }

    /// Whether different keys have different hashes, all of them.
    pub(super) fn is_exact(&self) -> bool {
        self.columns <= EXACT
    }

    /// By column of the key, places of a batch's values, equal for equal texts.
    pub(super) fn places(&self, batch: usize) -> &[Cow<'a, [i32]>] {
        &self.places[batch]
    }
}

/// Columns whose places a hash holds as a whole: each step of it can be taken back.
const EXACT: usize = 2;

/// The hash of a key among kin. No two keys of at most `EXACT` columns have the same.
pub(super) fn hash(places: impl Iterator<Item = i32>) -> u64 {
    spread(places.fold(0, |hash, place| mix(hash, place as u32)))
}
