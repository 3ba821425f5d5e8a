//! A batch of the probe side against the table: candidate pairs, some at a time.

use std::ops::Range;

use datafusion::arrow::array::{Array, AsArray, RecordBatch, TimestampNanosecondArray};
use datafusion::arrow::datatypes::TimestampNanosecondType;
use datafusion::common::{JoinSide, Result, internal_datafusion_err};
use datafusion::physical_expr::PhysicalExprRef;
use datafusion::physical_plan::joins::utils::JoinKeyComparator;

use super::keys::{Keys, comparator};
use super::sequence::Sequence;
use super::table::Table;

/// Rows of the build side and of the probe batch, pair by pair.
pub(super) struct Pairs {
    pub(super) build: Vec<u32>,
    pub(super) probe: Vec<u32>,
}

/// One batch of the probe side.
pub(super) struct Probe {
    batch: RecordBatch,
    keys: Keys,
    times: TimestampNanosecondArray,
    equal: JoinKeyComparator,
    /// The row that is looked up next.
    next: usize,
    /// Places of the table that stand with the row before it and are not given yet.
    pending: Range<usize>,
}

impl Probe {
    pub(super) fn try_new(
        batch: RecordBatch,
        on: &[PhysicalExprRef],
        time_column: usize,
        table: &Table,
    ) -> Result<Self> {
        let keys = Keys::evaluate(on, &batch)?;
        let equal = comparator(table.keys(), &keys.values)?;
        let times = batch.column(time_column);
        let times = times
            .as_primitive_opt::<TimestampNanosecondType>()
            .ok_or_else(|| internal_datafusion_err!("IntervalJoinExec: the time is of type {}", times.data_type()))?
            .clone();
        Ok(Self { batch, keys, times, equal, next: 0, pending: 0..0 })
    }

    pub(super) fn batch(&self) -> &RecordBatch {
        &self.batch
    }

    /// The next pairs, at most `limit`, in the order of the probe rows; `build` is the side of the table. None when
    /// there are no more.
    pub(super) fn pairs(&mut self, table: &Table, sequence: &Sequence, build: JoinSide, limit: usize) -> Option<Pairs> {
        let mut pairs = Pairs { build: Vec::new(), probe: Vec::new() };
        loop {
            let room = limit - pairs.build.len();
            let given = self.pending.start..self.pending.end.min(self.pending.start + room);
            if !given.is_empty() {
                // A pending row stands before `next`; rows of a batch are counted in 32 bits by `take`.
                let row = (self.next - 1) as u32;
                self.pending.start = given.end;
                pairs.build.extend_from_slice(table.rows(given));
                pairs.probe.resize(pairs.build.len(), row);
            }
            if pairs.build.len() == limit {
                return Some(pairs);
            }
            if self.next == self.batch.num_rows() {
                return (!pairs.build.is_empty()).then_some(pairs);
            }
            self.pending = self.reach(table, sequence, build, self.next);
            self.next += 1;
        }
    }

    /// The places of the table that stand with a row.
    fn reach(&self, table: &Table, sequence: &Sequence, build: JoinSide, row: usize) -> Range<usize> {
        if self.keys.is_null(row) || self.times.is_null(row) {
            return 0..0;
        }
        let Some(group) = table.group(self.keys.hashes[row], |other| self.equal.is_equal(other, row)) else {
            return 0..0;
        };
        let reach = sequence.reach(build, table.times(group.clone()), self.times.value(row));
        group.start + reach.start..group.start + reach.end
    }
}
