//! The key of each row of a batch.

use datafusion::arrow::array::{Array, ArrayRef, RecordBatch};
use datafusion::arrow::buffer::NullBuffer;
use datafusion::common::hash_utils::{RandomState, create_hashes};
use datafusion::common::{NullEquality, Result};
use datafusion::physical_expr::PhysicalExprRef;
use datafusion::physical_plan::joins::utils::JoinKeyComparator;

/// Not the seed that rows are partitioned with: the keys of one partition have hashes with much in common by that one.
const HASHES: RandomState = RandomState::with_seed(0x1a6e_4b17);

/// The values of the key columns, and a hash of them for each row.
pub(super) struct Keys {
    pub(super) values: Vec<ArrayRef>,
    pub(super) hashes: Vec<u64>,
    nulls: Option<NullBuffer>,
}

impl Keys {
    pub(super) fn evaluate(on: &[PhysicalExprRef], batch: &RecordBatch) -> Result<Self> {
        let rows = batch.num_rows();
        let values = on.iter().map(|key| key.evaluate(batch)?.into_array(rows)).collect::<Result<Vec<_>>>()?;
        let mut hashes = vec![0; rows];
        create_hashes(&values, &HASHES, &mut hashes)?;
        let logical: Vec<_> = values.iter().map(|column| column.logical_nulls()).collect();
        let nulls = NullBuffer::union_many(logical.iter().map(Option::as_ref));
        Ok(Self { values, hashes, nulls })
    }

    /// Whether some column of the row's key is null: it equals nothing then.
    pub(super) fn is_null(&self, row: usize) -> bool {
        self.nulls.as_ref().is_some_and(|nulls| nulls.is_null(row))
    }
}

/// Equality of keys as the engine's hash join has it.
pub(super) fn comparator(left: &[ArrayRef], right: &[ArrayRef]) -> Result<JoinKeyComparator> {
    JoinKeyComparator::new(left, right, &vec![Default::default(); left.len()], NullEquality::NullEqualsNothing)
}
