//! The build side: rows by key, and within a key in order of time.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};
use std::ops::Range;

use datafusion::arrow::array::{Array, ArrayRef, RecordBatch, TimestampNanosecondArray};
use datafusion::common::{Result, exec_datafusion_err};
use datafusion::execution::memory_pool::MemoryReservation;

use super::keys::{Keys, comparator};

/// Bytes that a row can take besides its columns while the table is made: to sort (hash, class, time, row), in the table
/// itself, and a group with its place in the map for each.
pub(super) const MAKING_A_ROW: usize = size_of::<Entry>() + size_of::<i64>() + size_of::<u32>() + 2 * A_GROUP;

/// Bytes of a group and its place in the map.
const A_GROUP: usize = size_of::<Group>() + size_of::<(u64, u32)>() + 1;

/// The rows of one key.
struct Group {
    hash: u64,
    /// Where they stand in `times` and `rows`.
    begin: u32,
    end: u32,
}

/// Ordered by its fields.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Entry {
    hash: u64,
    /// Tells keys of one hash apart.
    class: u32,
    time: i64,
    row: u32,
}

/// The rows of the build side that can match: those with a time and without a null in the key.
pub(super) struct Table {
    batch: RecordBatch,
    keys: Vec<ArrayRef>,
    /// Keys of one hash stand together.
    groups: Vec<Group>,
    /// The first group of a hash.
    by_hash: HashMap<u64, u32, BuildHasherDefault<AlreadyHashed>>,
    times: Vec<i64>,
    rows: Vec<u32>,
    memory: MemoryReservation,
}

impl Table {
    /// The table of `batch`, whose rows have `keys` and `times`. Its memory is reserved in `memory` beforehand.
    pub(super) fn try_new(
        batch: RecordBatch,
        keys: Keys,
        times: &TimestampNanosecondArray,
        memory: MemoryReservation,
    ) -> Result<Self> {
        let rows = u32::try_from(batch.num_rows())
            .map_err(|_| exec_datafusion_err!("IntervalJoinExec: the build side has more than 2^32 rows"))?;
        let mut entries: Vec<Entry> = Vec::with_capacity(batch.num_rows());
        entries.extend(
            (0..rows)
                .filter(|row| !keys.is_null(*row as usize) && times.is_valid(*row as usize))
                .map(|row| (row, row as usize))
                .map(|(row, at)| Entry { hash: keys.hashes[at], class: 0, time: times.value(at), row }),
        );
        let Keys { values: keys, hashes, .. } = keys;
        drop(hashes);
        entries.sort_unstable();

        let mut table = Self {
            batch,
            groups: Vec::new(),
            by_hash: HashMap::default(),
            times: Vec::with_capacity(entries.len()),
            rows: Vec::with_capacity(entries.len()),
            keys,
            memory,
        };
        let equal = comparator(&table.keys, &table.keys)?;
        for same_hash in entries.chunk_by_mut(|a, b| a.hash == b.hash) {
            classify(same_hash, |a, b| equal.is_equal(a as usize, b as usize));
            for same_key in same_hash.chunk_by(|a, b| a.class == b.class) {
                table.push(same_key);
            }
        }
        table.groups.shrink_to_fit();
        Ok(table)
    }

    fn push(&mut self, group: &[Entry]) {
        let Some(Entry { hash, .. }) = group.first() else { return };
        // No more groups and places than rows, which fit 32 bits.
        self.by_hash.entry(*hash).or_insert(self.groups.len() as u32);
        let begin = self.rows.len() as u32;
        self.times.extend(group.iter().map(|entry| entry.time));
        self.rows.extend(group.iter().map(|entry| entry.row));
        self.groups.push(Group { hash: *hash, begin, end: self.rows.len() as u32 });
    }

    /// Reserves what the table takes now that it is made.
    pub(super) fn settle(&mut self, columns: usize) -> Result<usize> {
        let size = columns
            + self.times.capacity() * size_of::<i64>()
            + self.rows.capacity() * size_of::<u32>()
            + self.groups.capacity() * size_of::<Group>()
            + self.by_hash.capacity() * 8 / 7 * (size_of::<(u64, u32)>() + 1);
        self.memory.try_resize(size)?;
        Ok(size)
    }

    /// The columns of the rows.
    pub(super) fn batch(&self) -> &RecordBatch {
        &self.batch
    }

    /// The key columns of the rows.
    pub(super) fn keys(&self) -> &[ArrayRef] {
        &self.keys
    }

    /// Whether no row can match.
    pub(super) fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// Where the rows of a key stand; `is_key` says whether a row has it.
    pub(super) fn group(&self, hash: u64, is_key: impl Fn(usize) -> bool) -> Option<Range<usize>> {
        let first = *self.by_hash.get(&hash)? as usize;
        self.groups[first..]
            .iter()
            .take_while(|group| group.hash == hash)
            .find(|group| is_key(self.rows[group.begin as usize] as usize))
            .map(|group| group.begin as usize..group.end as usize)
    }

    /// The times of a group, ascending.
    pub(super) fn times(&self, group: Range<usize>) -> &[i64] {
        &self.times[group]
    }

    /// The rows of the batch that stand at some places.
    pub(super) fn rows(&self, places: Range<usize>) -> &[u32] {
        &self.rows[places]
    }
}

/// Tells the keys of one hash apart: rows of one key get one class and stand together, in order of time.
fn classify(same_hash: &mut [Entry], equal: impl Fn(u32, u32) -> bool) {
    let mut keys: Vec<u32> = Vec::new();
    for entry in same_hash.iter_mut() {
        let class = keys.iter().position(|row| equal(*row, entry.row)).unwrap_or_else(|| {
            keys.push(entry.row);
            keys.len() - 1
        });
        entry.class = class as u32;
    }
    if keys.len() > 1 {
        same_hash.sort_unstable();
    }
}

/// A hash is its own hash.
#[derive(Default)]
struct AlreadyHashed(u64);

impl Hasher for AlreadyHashed {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = self.0.rotate_left(8) ^ u64::from(*byte);
        }
    }

    fn write_u64(&mut self, hash: u64) {
        self.0 = hash;
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use datafusion::arrow::array::{Int64Array, StringArray};
    use datafusion::execution::memory_pool::{MemoryConsumer, MemoryPool, UnboundedMemoryPool};
    use datafusion::physical_expr::expressions::col;

    use super::*;

    #[test]
    fn keys_of_one_hash_are_told_apart() {
        let users: ArrayRef = Arc::new(StringArray::from(vec![Some("b"), Some("a"), None, Some("b"), Some("a")]));
        let numbers: ArrayRef = Arc::new(Int64Array::from(vec![1, 1, 1, 1, 1]));
        let batch = RecordBatch::try_from_iter([("user", users), ("number", numbers)]).unwrap();
        let on = ["user", "number"].map(|name| col(name, &batch.schema()).unwrap());
        let mut keys = Keys::evaluate(&on, &batch).unwrap();
        keys.hashes = vec![7; 5];
        let times = TimestampNanosecondArray::from(vec![30, 20, 25, 10, 40]);
        let pool: Arc<dyn MemoryPool> = Arc::new(UnboundedMemoryPool::default());
        let memory = MemoryConsumer::new("test").register(&pool);
        let table = Table::try_new(batch, keys, &times, memory).unwrap();

        let rows = |user: usize| {
            let equal = comparator(table.keys(), table.keys()).unwrap();
            table.group(7, |row| equal.is_equal(row, user)).map(|group| table.rows(group).to_vec())
        };
        assert_eq!(rows(0), Some(vec![3, 0]));
        assert_eq!(rows(1), Some(vec![1, 4]));
        assert_eq!(rows(2), None);
        assert!(table.group(8, |_| true).is_none());
    }
}
