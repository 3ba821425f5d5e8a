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

/// Values that were met last are found by a glance at them: room for many more than a column has, as a rule, so that few of
/// them push each other out.
const RECENT: usize = 1 << RECENT_BITS;
const RECENT_BITS: u32 = 13;

/// Rows that are looked at together, so that what is known of them stays in the cache.
const TOGETHER: usize = 256;

/// What a glance at a text tells: its length, how it begins, and how it ends.
type Glance = [u64; 4];

/// Bytes of a text up to which a glance tells all of it.
const TOLD: u32 = 28;

/// A view of a text holds its length, four bytes of it and, if it is short, all others; the rest of a glance is read from
/// the text itself.
fn glance(view: u128, text: &[u8]) -> Glance {
    let (low, high) = (view as u64, (view >> 64) as u64);
    let word = |bytes: &[u8]| bytes.first_chunk().map_or(0, |word| u64::from_le_bytes(*word));
    if view as u32 <= INLINE {
        return [low, high, 0, 0];
    }
    // Without a branch for those that are shorter, which cannot be foreseen: what they begin with is told twice.
    let end = &text[text.len().saturating_sub(16)..];
    [low, word(&text[4..]), word(end), word(&text[text.len() - 8..])]
}

/// A factor for each word of a glance, odd and of no pattern. One alone would let bytes that two words hold, or that stand
/// in the same place of two, cancel each other out.
const FACTORS: [u64; 4] = [0x9e37_79b9_7f4a_7c15, 0xc2b2_ae3d_27d4_eb4f, 0x1656_67b1_9e37_79f9, 0xd6e8_feb8_6659_fd93];

/// Where a value is kept that was met.
fn slot_of(glance: &Glance) -> usize {
    let products = glance.iter().zip(FACTORS).map(|(word, factor)| word.wrapping_mul(factor));
    // Only the highest bits of a product depend on all of a word.
    (products.fold(0, u64::wrapping_add) >> (u64::BITS - RECENT_BITS)) as usize
}

/// A value that was met.
#[derive(Debug, Clone, Copy)]
struct Recent {
    glance: Glance,
    number: u32,
}

impl Recent {
    /// No text has this length.
    const NONE: Self = Self { glance: [u64::MAX; 4], number: 0 };
}

/// The values of a text column of a part, each once. Batches that bring no new one share a dictionary of them, as if the
/// file had it.
#[derive(Debug, Default)]
pub(super) struct Seen {
    numbers: HashTable<u32>,
    texts: StringBuilder,
    recent: Vec<Recent>,
    /// The view of a short text that may come in most rows, as the code of success does, and its number.
    usual: Option<(u128, u32)>,
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

    /// The numbers of the rows that are `asked` for; of others any, and none of nulls.
    pub(super) fn numbers(&mut self, texts: &StringViewArray, mut asked: Vec<bool>) -> Vec<i32> {
        self.recent.resize(RECENT, Recent::NONE);
        if let Some(nulls) = texts.nulls() {
            (!nulls.inner()).set_indices().for_each(|row| asked[row] = false);
        }
        let mut numbers = Vec::with_capacity(texts.len());
        let (mut rows, mut glances) = ([0; TOGETHER], [Glance::default(); TOGETHER]);
        for (asked, views) in asked.chunks(TOGETHER).zip(texts.views().chunks(TOGETHER)) {
            // No view of a text is of this length.
            let (usual, number) = self.usual.unwrap_or((u128::MAX, 0));
            let begin = numbers.len();
            numbers.resize(begin + views.len(), number as i32);
            // Which rows are asked for and what they hold cannot be foreseen: steps that do not depend on it are quick.
            let (mut all, mut many) = (0, 0);
            for ((asked, view), row) in asked.iter().zip(views).zip(begin..) {
                rows[many] = row;
                all += usize::from(*asked);
                many += usize::from(*asked & (*view != usual));
            }
            let rows = &rows[..many];
            for (row, known) in rows.iter().zip(&mut glances) {
                *known = glance(texts.views()[*row], texts.value(*row).as_bytes());
            }
            for (row, known) in rows.iter().zip(&glances) {
                // A batch has far fewer rows than 2^31, and there are not many more values.
                numbers[*row] = self.number(known, || texts.value(*row)) as i32;
            }
            // The view of a long one says where it stands, which another one of the next batch may do as well.
            let is_short = |row: &&usize| texts.views()[**row] as u32 <= INLINE;
            if let Some(row) = rows.first().filter(|_| 2 * many > all).filter(is_short) {
                self.usual = Some((texts.views()[*row], numbers[*row] as u32));
            }
        }
        numbers
    }

    fn number<'t>(&mut self, known: &Glance, text: impl Fn() -> &'t str) -> u32 {
        let slot = slot_of(known);
        let recent = self.recent[slot];
        let is_told = known[0] as u32 <= TOLD;
        if recent.glance == *known && (is_told || value(&self.texts, recent.number) == text().as_bytes()) {
            return recent.number;
        }
        let number = self.looked_up(text());
        self.recent[slot] = Recent { glance: *known, number };
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
                prop::collection::vec(prop::option::of("[ab\u{e9}]{0,3}|[ab]{11,17}|a{4,20}[ab]{4}b{9,20}"), 0..50), 0..5,
            ),
            // Most rows of many a column are the same.
            repeats in prop::collection::vec(0_usize..400, 50),
            modulus in 1_usize..4,
        ) {
            let mut seen = Seen::default();
            for batch in batches {
                let rows = batch.iter().zip(&repeats).flat_map(|(text, repeats)| {
                    let again = if *repeats < 40 { 10 * repeats } else { 1 };
                    std::iter::repeat_n(text, again)
                });
                let batch: Vec<Option<String>> = rows.cloned().collect();
                let texts = StringViewArray::from_iter(batch.iter().map(Option::as_deref));
                let numbers = seen.numbers(&texts, (0..batch.len()).map(|row| row % modulus == 0).collect());
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
    fn long_texts_of_two_batches_in_the_same_place_are_two_values() {
        let mut seen = Seen::default();
        for (text, number) in [("Contoso Expenses One", 0), ("Contoso Expenses Two", 1)] {
            let texts = StringViewArray::from_iter_values([text; 3]);
            assert_eq!(seen.numbers(&texts, vec![true; 3]), [number; 3]);
        }
    }

    #[test]
    fn values_that_differ_in_one_byte_have_places_of_their_own() {
        for len in 1..=28_usize {
            let slots = (0..len).map(|at| {
                let text: String = (0..len).map(|one| if one == at { 'b' } else { 'a' }).collect();
                let texts = StringViewArray::from_iter_values([&text]);
                slot_of(&glance(texts.views()[0], text.as_bytes()))
            });
            let slots: std::collections::HashSet<_> = slots.collect();
            assert!(slots.len() + 1 >= len, "{} for {len} bytes", slots.len());
        }
    }

    #[test]
    fn many_values_are_forgotten() {
        let mut seen = Seen::default();
        let texts: StringViewArray = (0..=MANY).map(|number| Some(number.to_string())).collect();
        seen.numbers(&texts, vec![true; MANY + 1]);
        assert_eq!(seen.len(), MANY + 1);
        seen.forget_many();
        assert_eq!(seen.numbers(&texts.slice(7, 2), vec![true; 2]), [0, 1]);
        assert_eq!(seen.values().as_string::<i32>().iter().collect::<Vec<_>>(), [Some("7"), Some("8")]);
        seen.forget_many();
        assert_eq!(seen.len(), 2);
    }
}
