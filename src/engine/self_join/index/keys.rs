//! Keys of a slice's rows: their hashes, and whether two are the same.

use std::collections::HashMap;
use std::sync::Arc;

use datafusion::common::Result;

use crate::engine::self_join::dictionary::hash_of;
use crate::engine::self_join::rows::Rows;
use crate::engine::self_join::spec::{Side, Spec};
use crate::engine::self_join::strings::Strings;

/// A column of a side's key in one batch.
struct KeyColumn<'a> {
    places: &'a [i32],
    strings: &'a Strings,
    /// By place; none where few are asked for.
    hashes: &'a [u32],
    /// Equal for equal texts of equal dictionaries, in a slice.
    dictionary: u32,
}

impl KeyColumn<'_> {
    fn hash(&self, row: usize) -> u32 {
        let place = self.places[row] as usize;
        self.hashes.get(place).copied().unwrap_or_else(|| hash_of(self.strings.get(place)))
    }
}

/// The key of a side in one batch.
pub(super) struct Keys<'a>(Vec<KeyColumn<'a>>);

impl<'a> Keys<'a> {
    /// Those of a side in each batch. `known` are the dictionaries of both sides.
    pub(super) fn of(
        spec: &Spec,
        rows: &'a [Arc<Rows>],
        side: Side,
        known: &mut HashMap<(usize, *const ()), u32>,
    ) -> Result<Vec<Self>> {
        let mut column = |rows: &'a Rows, text: usize| {
            let column = rows.text(spec.texts[text].lifted.column)?;
            let one = (text, Arc::as_ptr(&column.dictionary).cast());
            let next = known.len() as u32;
            let dictionary = *known.entry(one).or_insert(next);
            let values = column.dictionary.text(text)?;
            Ok(KeyColumn { places: column.places(), strings: &values.strings, hashes: &values.hashes, dictionary })
        };
        let mut of_batch = |rows| spec.side(side).keys.iter().map(|text| column(rows, *text)).collect::<Result<_>>();
        rows.iter().map(|rows| Ok(Self(of_batch(rows)?))).collect()
    }

    /// The hash of a row's key.
    pub(super) fn hash(&self, row: usize) -> u64 {
        spread(self.0.iter().fold(0, |hash, column| mix(hash, column.hash(row))))
    }

    /// The hash of the first column of a row's key.
    pub(super) fn head(&self, row: usize) -> u64 {
        spread(self.0.first().map_or(0, |column| mix(0, column.hash(row))))
    }

    /// Whether the key of a row is that of another one.
    pub(super) fn same(&self, row: usize, other: &Self, at: usize) -> bool {
        self.0.iter().zip(&other.0).all(|(mine, theirs)| {
            let (my, their) = (mine.places[row], theirs.places[at]);
            mine.dictionary == theirs.dictionary && my == their
                || mine.strings.same(my as usize, theirs.strings, their as usize)
        })
    }
}

/// Adds a part to a hash.
pub(in crate::engine::self_join) fn mix(hash: u64, part: u32) -> u64 {
    (hash.rotate_left(32) ^ u64::from(part)).wrapping_mul(0x9e37_79b9_7f4a_7c15)
}

/// Ends a hash of parts.
pub(in crate::engine::self_join) fn spread(hash: u64) -> u64 {
    // The low bits of a product depend on few.
    hash ^ hash >> 32
}
