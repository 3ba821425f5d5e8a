//! From candidate pairs to rows: the rest of the filter, the columns, batches of the right size.

use std::sync::Arc;

use datafusion::arrow::array::{ArrayRef, AsArray, BooleanArray, RecordBatch, RecordBatchOptions, UInt32Array};
use datafusion::arrow::compute::{BatchCoalescer, filter, take};
use datafusion::arrow::datatypes::{SchemaRef, UInt32Type};
use datafusion::common::cast::as_boolean_array;
use datafusion::common::{JoinSide, Result};
use datafusion::physical_plan::joins::utils::{ColumnIndex, JoinFilter};

use super::probe::Pairs;

/// The rows of both sides that pairs point to.
#[derive(Clone, Copy)]
pub(super) struct Sides<'a> {
    pub(super) build_side: JoinSide,
    pub(super) build: &'a RecordBatch,
    pub(super) probe: &'a RecordBatch,
}

/// Turns pairs into output.
pub(super) struct Output {
    schema: SchemaRef,
    columns: Vec<ColumnIndex>,
    filter: Option<JoinFilter>,
    batches: BatchCoalescer,
    /// Rows of an output without columns, which the coalescer does not count.
    bare_rows: usize,
    batch_size: usize,
}

impl Output {
    pub(super) fn new(
        schema: SchemaRef,
        columns: Vec<ColumnIndex>,
        filter: Option<JoinFilter>,
        batch_size: usize,
    ) -> Self {
        let batches = BatchCoalescer::new(Arc::clone(&schema), batch_size);
        Self { schema, columns, filter, batches, bare_rows: 0, batch_size }
    }

    pub(super) fn push(&mut self, sides: Sides<'_>, pairs: Pairs) -> Result<()> {
        let mut build = UInt32Array::from(pairs.build);
        let mut probe = UInt32Array::from(pairs.probe);
        if let Some(residual) = &self.filter {
            let batch = gather(residual.schema(), residual.column_indices(), sides, &build, &probe)?;
            let passes = residual.expression().evaluate(&batch)?.into_array(batch.num_rows())?;
            let passes: &BooleanArray = as_boolean_array(&passes)?;
            if passes.true_count() < passes.len() {
                build = filter(&build, passes)?.as_primitive::<UInt32Type>().clone();
                probe = filter(&probe, passes)?.as_primitive::<UInt32Type>().clone();
            }
        }
        if build.is_empty() {
            return Ok(());
        }
        if self.columns.is_empty() {
            self.bare_rows += build.len();
        } else {
            self.batches.push_batch(gather(&self.schema, &self.columns, sides, &build, &probe)?)?;
        }
        Ok(())
    }

    /// No more pairs will come.
    pub(super) fn finish(&mut self) -> Result<()> {
        Ok(self.batches.finish_buffered_batch()?)
    }

    /// The next full batch; when finished, also the last.
    pub(super) fn next(&mut self) -> Result<Option<RecordBatch>> {
        if self.bare_rows > 0 {
            let rows = self.bare_rows.min(self.batch_size);
            self.bare_rows -= rows;
            let options = RecordBatchOptions::new().with_row_count(Some(rows));
            return Ok(Some(RecordBatch::try_new_with_options(Arc::clone(&self.schema), vec![], &options)?));
        }
        Ok(self.batches.next_completed_batch())
    }
}

/// The columns of some pairs.
fn gather(
    schema: &SchemaRef,
    columns: &[ColumnIndex],
    sides: Sides<'_>,
    build: &UInt32Array,
    probe: &UInt32Array,
) -> Result<RecordBatch> {
    let arrays = columns
        .iter()
        .map(|column| {
            let (batch, rows) =
                if column.side == sides.build_side { (sides.build, build) } else { (sides.probe, probe) };
            Ok(take(batch.column(column.index), rows, None)?)
        })
        .collect::<Result<Vec<ArrayRef>>>()?;
    let options = RecordBatchOptions::new().with_row_count(Some(build.len()));
    Ok(RecordBatch::try_new_with_options(Arc::clone(schema), arrays, &options)?)
}
