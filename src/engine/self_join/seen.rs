//! The values that a column without dictionaries has had.

use std::hash::BuildHasher;
use std::sync::Arc;

use datafusion::arrow::array::{Array, ArrayRef, StringBuilder, StringViewArray};
use datafusion::common::hash_utils::RandomState;
use hashbrown::HashTable;

use super::strings::INLINE;

const HASHES: RandomState = RandomState::with_seed(0x6c61_6b65);

/// Values beyond which what has been seen is forgotten: the next batch would hardly be without a new one.
const MANY: usize = 4096;

/// Values that were met last are found without hashing them.
const RECENT: usize = 1024;

/// The values of a text column of a part, each once. Batches that bring no new one share a dictionary of them, as if the
/// file had it.
#[derive(Debug, Default)]
pub(super) struct Seen {
    numbers: HashTable<u32>,
    texts: StringBuilder,
    /// Views of values, of long ones without the place, and their numbers.
    recent: Vec<(u128, u32)>,
}

impl Seen {
    /// Forgets the values if they are too many to be worth it.
    pub(super) fn forget_many(&mut self) {
        if self.numbers.len() > MANY {
            *self = Self::default();
        }
    }

    /// How many values there are.
    pub(super) fn len(&self) -> usize {
        self.numbers.len()
    }

    /// Bytes that it takes, or about.
    pub(super) fn size(&self) -> usize {
        let texts = self.texts.values_slice().len() + size_of_val(self.texts.offsets_slice());
        texts + self.numbers.allocation_size() + size_of_val(self.recent.as_slice())
    }

    /// The values by number.
    pub(super) fn values(&self) -> ArrayRef {
        Arc::new(self.texts.finish_cloned())
    }

    /// The numbers of the rows that are wanted; of others any, and none of nulls.
    pub(super) fn numbers(&mut self, texts: &StringViewArray, wanted: impl Fn(usize) -> bool) -> Vec<i32> {
        // No view of a text has this length.
        self.recent.resize(RECENT, (u128::MAX, 0));
        // Some come many times in a row, as the code of success does.
        let mut last = (u128::MAX, 0);
        let number = |(row, view): (usize, &u128)| match wanted(row) && texts.is_valid(row) {
            true if *view == last.0 => last.1,
            // A batch has far fewer rows than 2^31, and there are not many more values.
            true => {
                // A view holds a short text, and the place of a long one.
                last = (*view, self.number(*view, texts.value(row)) as i32);
                last.1
            }
            false => 0,
        };
        texts.views().iter().enumerate().map(number).collect()
    }

    fn number(&mut self, view: u128, text: &str) -> u32 {
        let is_short = view as u32 <= INLINE;
        // Of a long value, its length and how it begins; how it ends tells more of them apart.
        let (known, end) = match is_short {
            true => (view, view >> 64),
            false => {
                (u128::from(view as u64), text.as_bytes().last_chunk().map_or(0, |end| u64::from_le_bytes(*end)).into())
            }
        };
        let slot = (known as u64 ^ end as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let slot = (slot >> 32) as usize % RECENT;
        let (same, number) = self.recent[slot];
        if same == known && (is_short || value(&self.texts, number) == text.as_bytes()) {
            return number;
        }
        let number = self.looked_up(text);
        self.recent[slot] = (known, number);
        number
    }

    fn looked_up(&mut self, text: &str) -> u32 {
        let hash = HASHES.hash_one(text.as_bytes());
        if let Some(number) = self.numbers.find(hash, |number| value(&self.texts, *number) == text.as_bytes()) {
            return *number;
        }
        let number = self.numbers.len() as u32;
        self.numbers.insert_unique(hash, number, |number| HASHES.hash_one(value(&self.texts, *number)));
        self.texts.append_value(text);
        number
    }
}

fn value(texts: &StringBuilder, number: u32) -> &[u8] {
    let (offsets, number) = (texts.offsets_slice(), number as usize);
    &texts.values_slice()[offsets[number] as usize..offsets[number + 1] as usize]
}

#[cfg(test)]
mod tests {
    use datafusion::arrow::array::AsArray;
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn each_value_has_one_number(
            batches in prop::collection::vec(
                prop::collection::vec(prop::option::of("[ab\u{e9}]{0,3}|[ab]{11,14}"), 0..50), 0..5,
            ),
            modulus in 1_usize..4,
        ) {
            let mut seen = Seen::default();
            for batch in batches {
                let texts = StringViewArray::from_iter(batch.iter().map(Option::as_deref));
                let numbers = seen.numbers(&texts, |row| row % modulus == 0);
                let values = seen.values();
                let values = values.as_string::<i32>();
                prop_assert_eq!(seen.len(), values.len());
                prop_assert_eq!(numbers.len(), batch.len());
                for (row, text) in batch.iter().enumerate().filter(|(row, _)| row % modulus == 0) {
                    if let Some(text) = text {
                        prop_assert_eq!(values.value(numbers[row] as usize), text);
                    }
                }
                let distinct: std::collections::HashSet<_> = values.iter().collect();
                prop_assert_eq!(distinct.len(), values.len());
            }
        }
    }

    #[test]
    fn many_values_are_forgotten() {
        let mut seen = Seen::default();
        let texts: StringViewArray = (0..=MANY).map(|number| Some(number.to_string())).collect();
        seen.numbers(&texts, |_| true);
        assert_eq!(seen.len(), MANY + 1);
        seen.forget_many();
        assert_eq!(seen.numbers(&texts.slice(7, 2), |_| true), [0, 1]);
        assert_eq!(seen.values().as_string::<i32>().iter().collect::<Vec<_>>(), [Some("7"), Some("8")]);
        seen.forget_many();
        assert_eq!(seen.len(), 2);
    }
}
