//! A dictionary of a text column: everything that rows ask of a value, worked out once.

use std::collections::{HashMap, HashSet};
use std::hash::BuildHasher;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

use datafusion::arrow::array::{Array, ArrayRef, AsArray, RecordBatch, StringArray, StringViewArray, new_null_array};
use datafusion::arrow::compute::concat;
use datafusion::arrow::datatypes::DataType;
use datafusion::common::cast::as_boolean_array;
use datafusion::common::hash_utils::RandomState;
use datafusion::common::{Result, exec_err};
use datafusion::execution::memory_pool::MemoryReservation;
use hashbrown::HashTable;
use hashbrown::hash_table::Entry;

use super::codes::Codes;
use super::index::mix;
use super::spec::{Lifted, Side, Spec, alone};
use super::strings::Strings;

/// Hashes prune; equality is decided on the strings.
const HASHES: RandomState = RandomState::with_seed(0x5e1f_4b17);

/// The hash of a text; of none any. Half of it takes half of the cache.
pub(super) fn hash_of(text: Option<&str>) -> u32 {
    text.map_or(0, |text| (HASHES.hash_one(text.as_bytes()) >> 32) as u32)
}

/// Where the values of a dictionary lie. The Parquet reader makes a new array for each batch over the same buffers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Address {
    offsets: usize,
    bytes: usize,
    len: usize,
}

impl Address {
    fn of(values: &StringArray) -> Self {
        Self {
            offsets: values.value_offsets().as_ptr() as usize,
            bytes: values.value_data().as_ptr() as usize,
            len: values.len(),
        }
    }
}

/// The values of a text, by value of its column's dictionary; last comes that of a null.
#[derive(Debug)]
pub(super) struct Values {
    pub(super) strings: Strings,
    /// None where they are worked out when they are asked for.
    pub(super) hashes: Vec<u32>,
    pub(super) codes: Vec<u32>,
    firsts: OnceLock<Option<Vec<i32>>>,
}

impl Values {
    /// For each value the first one with its text; none where all texts are different.
    fn firsts(&self) -> Option<Vec<i32>> {
        let mut seen: HashTable<u32> = HashTable::with_capacity(self.hashes.len());
        let mut is_seen = |hash: &u32| match seen.entry(mix(0, *hash), |other| other == hash, |other| mix(0, *other)) {
            Entry::Occupied(_) => true,
            Entry::Vacant(free) => {
                free.insert(*hash);
                false
            }
        };
        let shared: HashSet<u32> = self.hashes.iter().copied().filter(|hash| is_seen(hash)).collect();
        if shared.is_empty() {
            return None;
        }
        let mut known = HashMap::new();
        let texts = self.strings.iter().zip(&self.hashes).zip(0..);
        let firsts = texts.map(|((text, hash), place)| match shared.contains(hash) {
            true => *known.entry(text).or_insert(place),
            false => place,
        });
        let firsts: Vec<i32> = firsts.collect();
        firsts.iter().zip(0..).any(|(first, place)| *first != place).then_some(firsts)
    }
}

/// Which sides values keep rows from.
#[derive(Debug)]
pub(super) struct Sides {
    /// By value, the sides that it does not keep a row from, as bits.
    pub(super) of: Vec<u8>,
    /// The sides that some value keeps a row from; where no row is null, those of the values that are text.
    pub(super) asks: u8,
    pub(super) asks_texts: u8,
}

/// What a text is where its column is null.
fn of_null(spec: &Spec, lifted: &Lifted) -> Result<Option<Arc<str>>> {
    let null = RecordBatch::try_new(alone(&spec.schema, lifted.column), vec![new_null_array(&DataType::Utf8, 1)])?;
    let text = lifted.expression.evaluate(&null)?.into_array(1)?;
    Ok(text.as_string::<i32>().iter().next().flatten().map(Into::into))
}

/// A dictionary of one column.
#[derive(Debug)]
pub(super) struct Dictionary {
    /// Where the scan has it, if it is one of the scan's.
    address: Option<Address>,
    /// The values, and a null after them; copies, beside which those at `address` are kept alive. Or the rows of a batch.
    values: Strings,
    _at_address: Option<ArrayRef>,
    sides: Option<Sides>,
    /// More than one batch has it.
    again: AtomicBool,
    /// By position in the spec; those of other columns are absent.
    texts: Vec<Option<Values>>,
    memory: MemoryReservation,
}

impl Dictionary {
    /// Rows as the values of a column of which `spec` asks nothing but hashes, if anything. Those of rows that are not
    /// `wanted` mean nothing.
    pub(super) fn of_rows(
        spec: &Spec,
        column: usize,
        rows: &StringViewArray,
        wanted: impl Fn(usize) -> bool,
        memory: MemoryReservation,
    ) -> Result<Self> {
        // Pages are shared with the batches beside it.
        let bytes: usize = rows.lengths().map(|length| length as usize).sum();
        memory.try_grow(bytes + size_of_val(rows.views().as_ref()))?;
        let nulls = rows.nulls().filter(|nulls| nulls.null_count() > 0);
        let mut asks = 0;
        let mut texts = Vec::with_capacity(spec.texts.len());
        for (at, text) in spec.texts.iter().enumerate() {
            if text.lifted.column != column {
                texts.push(None);
                continue;
            }
            let null = nulls.map(|_| of_null(spec, &text.lifted)).transpose()?.flatten();
            // Few rows are asked for more than the first column of a key.
            let hashes: Vec<u32> = match Side::BOTH.iter().any(|side| spec.side(*side).keys.first() == Some(&at)) {
                true => {
                    let of_null = hash_of(null.as_deref());
                    let hash = |row| match wanted(row) {
                        true if rows.is_valid(row) => hash_of(Some(rows.value(row))),
                        true => of_null,
                        false => 0,
                    };
                    (0..rows.len()).map(hash).collect()
                }
                false => Vec::new(),
            };
            memory.try_grow(size_of_val(hashes.as_slice()))?;
            // A null in the key equals nothing.
            if null.is_none() {
                let of_key = Side::BOTH.into_iter().filter(|side| spec.side(*side).keys.contains(&at));
                asks |= of_key.fold(0, |asks, side| asks | side.bit());
            }
            let strings = Strings::Views(rows.clone(), null);
            texts.push(Some(Values { strings, hashes, codes: Vec::new(), firsts: OnceLock::new() }));
        }
        let all = Side::First.bit() | Side::Then.bit();
        let sides = nulls.filter(|_| asks != 0).map(|nulls| {
            let of = nulls.iter().map(|valid| if valid { all } else { all & !asks }).collect();
            Sides { of, asks, asks_texts: asks }
        });
        Ok(Self {
            address: None,
            values: Strings::Views(rows.clone(), None),
            _at_address: None,
            sides,
            again: AtomicBool::new(false),
            texts,
            memory,
        })
    }

    /// Works out what `spec` asks of the values of `column`.
    pub(super) fn try_new(
        spec: &Spec,
        codes: &Codes,
        column: usize,
        values: &ArrayRef,
        memory: MemoryReservation,
    ) -> Result<Self> {
        if *values.data_type() != DataType::Utf8 {
            return exec_err!("IntervalSelfJoinExec: a dictionary holds {} instead of text", values.data_type());
        }
        let with_null = concat(&[values.as_ref(), new_null_array(&DataType::Utf8, 1).as_ref()])?;
        memory.try_grow(with_null.get_array_memory_size())?;
        let batch = RecordBatch::try_new(alone(&spec.schema, column), vec![Arc::clone(&with_null)])?;
        let rows = batch.num_rows();
        let evaluate = |lifted: &Lifted| lifted.expression.evaluate(&batch)?.into_array(rows);

        let mut sides = vec![Side::First.bit() | Side::Then.bit(); rows];
        let mut texts: Vec<Option<Values>> = Vec::with_capacity(spec.texts.len());
        for text in &spec.texts {
            if text.lifted.column != column {
                texts.push(None);
                continue;
            }
            let array = evaluate(&text.lifted)?;
            let strings = array.as_string::<i32>().clone();
            let mut hashes = Vec::new();
            if text.hashed {
                hashes.extend(strings.iter().map(hash_of));
            }
            let codes = if text.coded { codes.of_texts(&strings)? } else { Vec::new() };
            memory.try_grow(array.get_array_memory_size() + hashes.len() * 4 + codes.len() * 4)?;
            let strings = Strings::Plain(strings);
            texts.push(Some(Values { strings, hashes, codes, firsts: OnceLock::new() }));
        }
        for side in Side::BOTH {
            let spec = spec.side(side);
            for condition in spec.lifted.iter().filter(|condition| condition.column == column) {
                let passes = evaluate(condition)?;
                let passes = as_boolean_array(&passes)?;
                for (sides, passes) in sides.iter_mut().zip(passes) {
                    if passes != Some(true) {
                        *sides &= !side.bit();
                    }
                }
            }
            // A null in the key equals nothing.
            for values in spec.keys.iter().filter_map(|text| texts[*text].as_ref()) {
                for (row, sides) in sides.iter_mut().enumerate() {
                    if values.strings.get(row).is_none() {
                        *sides &= !side.bit();
                    }
                }
            }
        }
        memory.try_grow(sides.len())?;
        let all = Side::First.bit() | Side::Then.bit();
        let asks = |sides: &[u8]| sides.iter().fold(0, |asks, sides| asks | all & !sides);
        let (asks, asks_texts) = (asks(&sides), asks(&sides[..rows - 1]));
        let sides = (asks != 0).then_some(Sides { of: sides, asks, asks_texts });
        let values_of = with_null.as_string::<i32>().clone();
        Ok(Self {
            address: None,
            values: Strings::Plain(values_of),
            _at_address: None,
            sides,
            again: AtomicBool::new(false),
            texts,
            memory,
        })
    }

    /// The same, known by the scan's own values, of which it is made.
    pub(super) fn at(mut self, values: &ArrayRef) -> Self {
        self.address = values.as_string_opt::<i32>().map(Address::of);
        self._at_address = Some(Arc::clone(values));
        self
    }

    /// Whether it is made of these very values.
    pub(super) fn is_of(&self, values: &ArrayRef) -> bool {
        values.as_string_opt::<i32>().is_some_and(|values| Some(Address::of(values)) == self.address)
    }

    /// Says that one more batch has it.
    pub(super) fn comes_again(&self) {
        self.again.store(true, Ordering::Relaxed);
    }

    /// Whether more than one batch has it.
    pub(super) fn is_common(&self) -> bool {
        self.again.load(Ordering::Relaxed)
    }

    /// For each value the first one with the same text, of a text with hashes; none where all texts are different. It is
    /// worked out when it is first asked for.
    pub(super) fn firsts(&self, text: usize) -> Result<Option<&[i32]>> {
        let values = self.text(text)?;
        let firsts = values.firsts.get_or_init(|| {
            let firsts = values.firsts();
            // Small beside what is known of the values already.
            self.memory.grow(firsts.as_deref().map_or(0, size_of_val));
            firsts
        });
        Ok(firsts.as_deref())
    }

    /// The place that stands for a null, where values are no rows.
    pub(super) fn null(&self) -> i32 {
        // Keys of 32 bits count the values.
        (self.values.len() - 1) as i32
    }

    /// The values by place.
    pub(super) fn values(&self) -> &Strings {
        &self.values
    }

    /// Which sides values keep rows from, if any does.
    pub(super) fn sides(&self) -> Option<&Sides> {
        self.sides.as_ref()
    }

    /// The values of a text of this column.
    pub(super) fn text(&self, text: usize) -> Result<&Values> {
        match &self.texts[text] {
            Some(values) => Ok(values),
            None => datafusion::common::internal_err!("text {text} is of another column"),
        }
    }
}
