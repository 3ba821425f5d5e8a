//! A batch of the scan as the join keeps it: which rows are of which side, and the scan's own buffers.

use std::sync::Arc;

use datafusion::arrow::array::{Array, ArrayRef, AsArray, RecordBatch, StringViewArray};
use datafusion::arrow::buffer::{BooleanBuffer, NullBuffer, ScalarBuffer};
use datafusion::arrow::datatypes::{Int32Type, TimestampNanosecondType};
use datafusion::common::cast::as_boolean_array;
use datafusion::common::{Result, exec_datafusion_err, internal_err};
use datafusion::execution::memory_pool::MemoryReservation;

use super::codes::Codes;
use super::dictionary::{Dictionary, Sides};
use super::gather::{Place, gather};
use super::reading::Reading;
use super::seen::Seen;
use super::spec::{Side, Spec, needed};

/// A text column: for each row the place of its value in a dictionary.
#[derive(Debug)]
pub(super) struct TextColumn {
    /// Never outside of the dictionary.
    keys: ScalarBuffer<i32>,
    /// Which rows are null, if any.
    nulls: Option<NullBuffer>,
    /// Whether the keys of nulls mean nothing. In the columns that texts are made of a null has a key of its own.
    keyless: bool,
    pub(super) dictionary: Arc<Dictionary>,
}

impl TextColumn {
    /// The places of the rows' values, of a column that texts are made of.
    pub(super) fn places(&self) -> &[i32] {
        debug_assert!(!self.keyless);
        &self.keys
    }

    /// Takes the rows of a mask from sides that their values keep them from.
    fn keep(&self, sides: &Sides, mask: &mut [u8]) {
        if sides.asks_texts == 0 {
            let null = sides.of[self.dictionary.null() as usize];
            if let Some(nulls) = &self.nulls {
                (!nulls.inner()).set_indices().for_each(|row| mask[row] &= null);
            }
        } else if self.keyless {
            // Rows that it is of no matter to are most of them, as a rule.
            for (row, mask) in mask.iter_mut().enumerate().filter(|(_, mask)| **mask & sides.asks != 0) {
                *mask &= sides.of[self.place(row)];
            }
        } else {
            mask.iter_mut().zip(self.keys.iter()).for_each(|(mask, key)| *mask &= sides.of[*key as usize]);
        }
    }

    /// The place of a row's value.
    pub(super) fn place(&self, row: usize) -> usize {
        let key = match &self.nulls {
            Some(nulls) if self.keyless && nulls.is_null(row) => self.dictionary.null(),
            _ => self.keys[row],
        };
        key as usize
    }
}

/// A column of the scan.
#[derive(Debug)]
pub(super) enum Column {
    Text(TextColumn),
    /// As it was read; the time is one of these.
    Other(ArrayRef),
}

/// A batch of the scan.
#[derive(Debug)]
pub(super) struct Rows {
    pub(super) times: ScalarBuffer<i64>,
    pub(super) columns: Vec<Column>,
    /// The rows of the first side.
    pub(super) first: BooleanBuffer,
    /// The rows of the later side.
    pub(super) then: Vec<u32>,
    /// The least and the greatest time of its rows that have one.
    pub(super) bounds: (i64, i64),
    _memory: MemoryReservation,
}

impl Rows {
    pub(super) fn text(&self, column: usize) -> Result<&TextColumn> {
        match &self.columns[column] {
            Column::Text(text) => Ok(text),
            Column::Other(array) => internal_err!("column {column} is {}, not text", array.data_type()),
        }
    }
}

/// The least and the greatest time.
fn bounds(times: impl Iterator<Item = i64>) -> (i64, i64) {
    times.fold((i64::MAX, i64::MIN), |(least, greatest), time| (least.min(time), greatest.max(time)))
}

/// Which of up to 64 rows are of a side, as bits.
fn bits(mask: &[u8], side: Side) -> u64 {
    let mut bits = 0;
    for (at, eight) in mask.chunks(8).enumerate() {
        let fewer = || {
            let mut bytes = [0; 8];
            bytes[..eight.len()].copy_from_slice(eight);
            bytes
        };
        let bytes = eight.first_chunk().copied().unwrap_or_else(fewer);
        let ones = (u64::from_le_bytes(bytes) >> side.bit().trailing_zeros()) & 0x0101_0101_0101_0101;
        // Puts the lowest bit of byte n at bit 56 + n.
        bits |= (ones.wrapping_mul(0x0102_0408_1020_4080) >> 56) << (8 * at);
    }
    bits
}

/// Reads the batches of one part of the scan.
pub(super) struct Reader<'a> {
    spec: &'a Spec,
    codes: &'a Codes,
    /// Counts what is kept, shared with everything that is made of it.
    memory: &'a MemoryReservation,
    /// The dictionary that each column had last.
    dictionaries: Vec<Option<Arc<Dictionary>>>,
    /// By column.
    readings: Vec<Reading>,
    /// The values of columns that have none in the scan.
    seen: Vec<Seen>,
    /// The rows of a batch as places.
    places: ScalarBuffer<i32>,
}

impl<'a> Reader<'a> {
    pub(super) fn new(spec: &'a Spec, codes: &'a Codes, memory: &'a MemoryReservation) -> Self {
        let columns = spec.schema.fields().len();
        Self {
            spec,
            codes,
            memory,
            dictionaries: vec![None; columns],
            readings: (0..columns).map(|column| Reading::of(spec, column)).collect(),
            seen: (0..columns).map(|_| Seen::default()).collect(),
            places: Vec::new().into(),
        }
    }

    /// The rows of a batch, if any is of a side.
    pub(super) fn read(&mut self, batch: &RecordBatch) -> Result<Option<Rows>> {
        let len = batch.num_rows();
        let Some(times) = batch.column(self.spec.time).as_primitive_opt::<TimestampNanosecondType>() else {
            return internal_err!("the time is of type {}", batch.column(self.spec.time).data_type());
        };
        let nulls = times.nulls().filter(|nulls| nulls.null_count() > 0);
        let bounds = match nulls {
            None => bounds(times.values().iter().copied()),
            Some(_) => bounds(times.iter().flatten()),
        };
        let mut mask = self.in_time(times.values(), bounds);
        if let Some(nulls) = nulls {
            mask.iter_mut().zip(nulls).filter(|(_, valid)| !valid).for_each(|(mask, _)| *mask = 0);
        }
        let memory = self.memory.new_empty();
        let mut columns = Vec::with_capacity(batch.num_columns());
        let mut plain = Vec::new();
        for (index, array) in batch.columns().iter().enumerate() {
            columns.push(match array.as_string_view_opt() {
                Some(texts) => {
                    plain.push((index, texts));
                    // Until it is known which rows are asked for.
                    Column::Other(Arc::clone(array))
                }
                None => self.column(index, array, &memory)?,
            });
        }
        // Those that cost more a row come last, when fewer rows are left to ask.
        for costly in [false, true] {
            for column in &columns {
                if let Column::Text(text) = column
                    && text.keyless == costly
                    && let Some(sides) = text.dictionary.sides()
                {
                    text.keep(sides, &mut mask);
                }
            }
        }
        // A text that has no dictionary is looked at for rows only that have passed all else.
        plain.sort_by_key(|(index, _)| self.readings[*index].cost());
        for (index, texts) in plain {
            let text = self.plain(index, texts, &mask, &memory)?;
            if let Some(sides) = text.dictionary.sides() {
                text.keep(sides, &mut mask);
            }
            columns[index] = Column::Text(text);
        }
        let mut rows = Rows {
            times: times.values().clone(),
            columns,
            first: BooleanBuffer::new_unset(0),
            then: Vec::new(),
            bounds,
            _memory: memory,
        };
        self.check_rest(&rows, &mut mask)?;

        let mut first = Vec::with_capacity(len.div_ceil(64));
        let mut then = Vec::new();
        for (word, mask) in mask.chunks(64).enumerate() {
            first.push(bits(mask, Side::First));
            let mut later = bits(mask, Side::Then);
            while later != 0 {
                // The engine's batches are far from 2^32 rows.
                then.push(word as u32 * 64 + later.trailing_zeros());
                later &= later - 1;
            }
        }
        if then.is_empty() && first.iter().all(|word| *word == 0) {
            return Ok(None);
        }
        rows.first = BooleanBuffer::new(first.into(), 0, len);
        rows._memory.try_grow(rows.first.inner().capacity() + size_of_val(then.as_slice()))?;
        rows.then = then;
        Ok(Some(rows))
    }

    /// For each time, the sides whose range holds it; all times lie in `bounds`.
    fn in_time(&self, times: &[i64], bounds: (i64, i64)) -> Vec<u8> {
        let [(first, last), (then, until)] = Side::BOTH.map(|side| self.spec.side(side).times);
        let [in_first, in_then] = [(first, last), (then, until)].map(|(from, to)| from <= bounds.0 && bounds.1 <= to);
        if in_first && in_then {
            return vec![Side::First.bit() | Side::Then.bit(); times.len()];
        }
        let holds = |from: i64, to: i64, time: i64| u8::from(from <= time) & u8::from(time <= to);
        let sides = |time: &i64| holds(first, last, *time) | holds(then, until, *time) << 1;
        times.iter().map(sides).collect()
    }

    /// A text column without a dictionary, for the rows of a mask that are of a side which asks for it.
    fn plain(
        &mut self,
        index: usize,
        texts: &StringViewArray,
        mask: &[u8],
        memory: &MemoryReservation,
    ) -> Result<TextColumn> {
        let reading = self.readings[index];
        let wanted = |row: usize| mask[row] & reading.sides != 0;
        let memory_of = || self.memory.new_empty();
        if reading.as_it_stands {
            // It holds its pages, which neighbours share: rows of a part are let go in order of time, as a rule.
            if self.places.len() < texts.len() {
                // Batches are far from 2^31 rows.
                self.places = (0..texts.len() as i32).collect();
            }
            let dictionary = Arc::new(Dictionary::of_rows(self.spec, index, texts, wanted, memory_of())?);
            return Ok(TextColumn { keys: self.places.slice(0, texts.len()), nulls: None, keyless: false, dictionary });
        }
        let seen = &mut self.seen[index];
        seen.forget_many();
        let before = seen.len();
        let mut keys = seen.numbers(texts, (0..texts.len()).map(wanted).collect());
        let dictionary = match &self.dictionaries[index] {
            Some(known) if before > 0 && seen.len() == before => {
                known.comes_again();
                Arc::clone(known)
            }
            _ => {
                let memory = memory_of();
                memory.try_grow(seen.size())?;
                let new = Dictionary::try_new(self.spec, self.codes, index, &seen.values(), memory)?;
                Arc::clone(self.dictionaries[index].insert(Arc::new(new)))
            }
        };
        let nulls = texts.nulls().filter(|nulls| nulls.null_count() > 0).cloned();
        if let Some(nulls) = &nulls {
            (!nulls.inner()).set_indices().for_each(|row| keys[row] = dictionary.null());
        }
        memory.try_grow(size_of_val(keys.as_slice()))?;
        Ok(TextColumn { keys: keys.into(), nulls, keyless: false, dictionary })
    }

    fn column(&mut self, index: usize, array: &ArrayRef, memory: &MemoryReservation) -> Result<Column> {
        let Some(encoded) = array.as_any_dictionary_opt() else {
            memory.try_grow(array.get_array_memory_size())?;
            return Ok(Column::Other(Arc::clone(array)));
        };
        let dictionary = match &self.dictionaries[index] {
            Some(known) if known.is_of(encoded.values()) => {
                known.comes_again();
                Arc::clone(known)
            }
            _ => {
                let memory = self.memory.new_empty();
                let new = Dictionary::try_new(self.spec, self.codes, index, encoded.values(), memory)?;
                Arc::clone(self.dictionaries[index].insert(Arc::new(new.at(encoded.values()))))
            }
        };
        let Some(keys) = encoded.keys().as_primitive_opt::<Int32Type>() else {
            return internal_err!("a dictionary is indexed by {}", encoded.keys().data_type());
        };
        memory.try_grow(size_of_val(keys.values().as_ref()))?;
        let nulls = keys.nulls().filter(|nulls| nulls.null_count() > 0).cloned();
        let of_texts = self.spec.texts.iter().any(|text| text.lifted.column == index);
        let keyless = nulls.is_some() && !of_texts;
        let keys = match &nulls {
            Some(nulls) if of_texts => {
                let mut places = keys.values().to_vec();
                for row in (!nulls.inner()).set_indices() {
                    places[row] = dictionary.null();
                }
                places.into()
            }
            _ => keys.values().clone(),
        };
        Ok(Column::Text(TextColumn { keys, nulls, keyless, dictionary }))
    }

    /// Asks what is not about one text or the time of the rows that have passed everything else.
    fn check_rest(&self, rows: &Rows, mask: &mut [u8]) -> Result<()> {
        for side in Side::BOTH {
            let Some(condition) = &self.spec.side(side).rest else { continue };
            let asked: Vec<Place> = (0..mask.len())
                .filter(|row| mask[*row] & side.bit() != 0)
                .map(|row| Place { batch: 0, row: row as u32 })
                .collect();
            let batch = gather(self.spec, &[rows], &asked, &needed(condition, self.spec.schema.fields().len()))?;
            let passes = condition.evaluate(&batch)?.into_array(asked.len())?;
            let passes = as_boolean_array(&passes)
                .map_err(|_| exec_datafusion_err!("a condition gives {} instead of a boolean", passes.data_type()))?;
            for (place, passes) in asked.iter().zip(passes) {
                if passes != Some(true) {
                    mask[place.row as usize] &= !side.bit();
                }
            }
        }
        Ok(())
    }
}
