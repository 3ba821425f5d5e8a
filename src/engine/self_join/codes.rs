//! Small numbers for values: equal numbers for equal values, in all threads.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use datafusion::arrow::array::StringArray;
use datafusion::common::hash_utils::RandomState;
use datafusion::common::{Result, exec_datafusion_err};
use datafusion::execution::memory_pool::MemoryReservation;

const HASHES: RandomState = RandomState::with_seed(0xc0de);

/// The code of null.
pub(super) const NULL: u32 = u32::MAX;

/// Codes up to it are looked up once for all of their neighbours.
const FEW: usize = 4096;

/// All codes of a run.
#[derive(Debug)]
pub(super) struct Codes(Mutex<Known>);

#[derive(Debug)]
struct Known {
    texts: HashMap<Box<str>, u32, RandomState>,
    numbers: HashMap<i64, u32, RandomState>,
    pairs: HashMap<(u32, u32), u32, RandomState>,
    memory: MemoryReservation,
}

impl Codes {
    pub(super) fn new(memory: MemoryReservation) -> Self {
        let (texts, numbers, pairs) =
            (HashMap::with_hasher(HASHES), HashMap::with_hasher(HASHES), HashMap::with_hasher(HASHES));
        Self(Mutex::new(Known { texts, numbers, pairs, memory }))
    }

    fn lock(&self) -> MutexGuard<'_, Known> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn of_texts(&self, texts: &StringArray) -> Result<Vec<u32>> {
        let mut known = self.lock();
        texts.iter().map(|text| text.map_or(Ok(NULL), |text| known.of_text(text))).collect()
    }

    pub(super) fn of_numbers(&self, numbers: impl Iterator<Item = Option<i64>>) -> Result<Vec<u32>> {
        let mut known = self.lock();
        // Neighbours are alike: the windows of a slice are few.
        let mut last: Option<(i64, u32)> = None;
        numbers
            .map(|number| match (number, last) {
                (None, _) => Ok(NULL),
                (Some(number), Some((same, code))) if number == same => Ok(code),
                (Some(number), _) => {
                    let code = known.of_number(number)?;
                    last = Some((number, code));
                    Ok(code)
                }
            })
            .collect()
    }

    /// Codes of pairs of codes.
    pub(super) fn of_pairs(&self, left: &[u32], right: &[u32]) -> Result<Vec<u32>> {
        let mut known = self.lock();
        // The one on the left is that of a time, as a rule, and neighbours are of one window.
        let mut of = None;
        let mut codes: Vec<u32> = Vec::new();
        left.iter()
            .zip(right)
            .map(|(left, right)| {
                let at = *right as usize;
                if of.replace(*left) != Some(*left) {
                    codes.clear();
                    return known.of_pair((*left, *right));
                }
                match codes.get(at) {
                    Some(code) if *code != NULL => return Ok(*code),
                    Some(_) => {}
                    None if at < FEW => codes.resize(at + 1, NULL),
                    None => return known.of_pair((*left, *right)),
                }
                codes[at] = known.of_pair((*left, *right))?;
                Ok(codes[at])
            })
            .collect()
    }
}

impl Known {
    fn of_text(&mut self, text: &str) -> Result<u32> {
        if let Some(code) = self.texts.get(text) {
            return Ok(*code);
        }
        self.memory.try_grow(2 * (size_of::<(Box<str>, u32)>() + 1) + text.len())?;
        let code = next(self.texts.len())?;
        self.texts.insert(text.into(), code);
        Ok(code)
    }

    fn of_number(&mut self, number: i64) -> Result<u32> {
        if let Some(code) = self.numbers.get(&number) {
            return Ok(*code);
        }
        self.memory.try_grow(2 * (size_of::<(i64, u32)>() + 1))?;
        let code = next(self.numbers.len())?;
        self.numbers.insert(number, code);
        Ok(code)
    }

    fn of_pair(&mut self, pair: (u32, u32)) -> Result<u32> {
        if let Some(code) = self.pairs.get(&pair) {
            return Ok(*code);
        }
        self.memory.try_grow(2 * (size_of::<((u32, u32), u32)>() + 1))?;
        let code = next(self.pairs.len())?;
        self.pairs.insert(pair, code);
        Ok(code)
    }
}

fn next(known: usize) -> Result<u32> {
    u32::try_from(known)
        .ok()
        .filter(|code| *code != NULL)
        .ok_or_else(|| exec_datafusion_err!("IntervalSelfJoinExec: more than 2^32 values to compare or group by"))
}
