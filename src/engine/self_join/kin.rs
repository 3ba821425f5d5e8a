//! Batches whose key columns have the same dictionaries. Among them the places of values tell keys apart as the texts
//! would, and no hash of a text has to be fetched.

use std::borrow::Cow;
use std::sync::Arc;

use datafusion::common::Result;

use super::dictionary::Dictionary;
use super::index::{mix, spread};
use super::rows::Rows;
use super::spec::{Side, Spec};

/// Columns whose places a hash holds as a whole: each step of it can be taken back.
const EXACT: usize = 2;

/// Batches that have the same dictionaries in the columns of the key.
pub(super) struct Kin<'a> {
    /// By batch, and in it by column of the key: equal for equal texts.
    places: Vec<Vec<Cow<'a, [i32]>>>,
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
        Ok(Some(Self { places }))
    }

    /// Whether no two keys have the same hash, so that it need not be asked whether they are equal.
    pub(super) fn is_exact(&self) -> bool {
        self.places.iter().all(|columns| columns.len() <= EXACT)
    }

    /// Bytes that it takes.
    pub(super) fn size(&self) -> usize {
        let owned = self.places.iter().flatten().filter(|places| matches!(places, Cow::Owned(_)));
        owned.map(|places| size_of_val(places.as_ref())).sum()
    }

    /// By column of the key, places of a batch's values, equal for equal texts.
    pub(super) fn places(&self, batch: usize) -> &[Cow<'a, [i32]>] {
        &self.places[batch]
    }
}

/// The hash of a key among kin. No two keys of at most `EXACT` columns have the same.
pub(super) fn hash(places: impl Iterator<Item = i32>) -> u64 {
    spread(places.fold(0, |hash, place| mix(hash, place as u32)))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The factor by which a factor of `mix` is taken back.
    fn inverse(factor: u64) -> u64 {
        // Each step doubles the bits that are right.
        (0..6).fold(factor, |inverse, _| inverse.wrapping_mul(2_u64.wrapping_sub(factor.wrapping_mul(inverse))))
    }

    proptest! {
        #[test]
        fn a_hash_of_two_places_holds_both(one in 0..i32::MAX, two in 0..i32::MAX) {
            let factor = mix(0, 1);
            let hash = hash([one, two].into_iter());
            let mixed = (hash ^ hash >> 32).wrapping_mul(inverse(factor));
            // Its upper half is the lower one of the first place's hash.
            let first = (mixed >> 32).wrapping_mul(inverse(factor)) as u32;
            prop_assert_eq!(first, one as u32);
            prop_assert_eq!(mixed ^ mix(0, first).rotate_left(32), two as u64);
        }
    }
}
