//! Rows out of many batches as one plain batch.

use std::borrow::Borrow;

use datafusion::arrow::array::{Array, ArrayRef, RecordBatch, RecordBatchOptions, StringBuilder, new_null_array};
use datafusion::arrow::compute::interleave;
use datafusion::arrow::datatypes::SchemaRef;
use datafusion::common::Result;
use datafusion::physical_plan::joins::utils::JoinFilter;
use std::sync::Arc;

use super::dictionary::Dictionary;
use super::rows::{Column, Rows};
use super::spec::{Side, Spec, filter_role};
use super::strings::Strings;

/// Where a row stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) batch: u32,
    pub(super) row: u32,
}

/// Pairs of rows.
#[derive(Debug, Default)]
pub(super) struct Pairs {
    pub(super) first: Vec<Place>,
    pub(super) then: Vec<Place>,
}

impl Pairs {
    pub(super) fn len(&self) -> usize {
        self.first.len()
    }

    pub(super) fn push(&mut self, first: Place, then: Place) {
        self.first.push(first);
        self.then.push(then);
    }
}

/// The scan's columns of some rows, text plain; nulls instead of those that are not `needed`.
pub(super) fn gather<R: Borrow<Rows>>(
    spec: &Spec,
    batches: &[R],
    places: &[Place],
    needed: &[bool],
) -> Result<RecordBatch> {
    let columns = needed.iter().enumerate().map(|(column, needed)| match needed {
        true => gather_column(batches, places, column),
        false => Ok(new_null_array(spec.schema.field(column).data_type(), places.len())),
    });
    let columns = columns.collect::<Result<Vec<_>>>()?;
    let options = RecordBatchOptions::new().with_row_count(Some(places.len()));
    Ok(RecordBatch::try_new_with_options(Arc::clone(&spec.schema), columns, &options)?)
}

fn gather_column<R: Borrow<Rows>>(batches: &[R], places: &[Place], column: usize) -> Result<ArrayRef> {
    let of = |batch: usize| &batches[batch].borrow().columns[column];
    if let Some(Column::Other(_)) = batches.first().map(|_| of(0)) {
        let arrays = batches.iter().map(|rows| match &rows.borrow().columns[column] {
            Column::Other(array) => Ok(array.as_ref()),
            Column::Text(_) => datafusion::common::internal_err!("a column is text in some batches only"),
        });
        let arrays = arrays.collect::<Result<Vec<&dyn Array>>>()?;
        let places: Vec<_> = places.iter().map(|place| (place.batch as usize, place.row as usize)).collect();
        return Ok(interleave(&arrays, &places)?);
    }
    gather_texts(batches, places, column, |dictionary| Ok(dictionary.values()))
}

/// What `strings` has for the values of a text column.
fn gather_texts<R: Borrow<Rows>>(
    batches: &[R],
    places: &[Place],
    column: usize,
    strings: impl Fn(&Dictionary) -> Result<&Strings>,
) -> Result<ArrayRef> {
    let columns = batches.iter().map(|rows| {
        let column = rows.borrow().text(column)?;
        Ok((column, strings(&column.dictionary)?))
    });
    let columns = columns.collect::<Result<Vec<_>>>()?;
    let mut texts = StringBuilder::with_capacity(places.len(), places.len() * 16);
    for place in places {
        let (column, strings) = columns[place.batch as usize];
        let key = column.place(place.row as usize);
        texts.append_option(strings.get(key));
    }
    Ok(Arc::new(texts.finish()))
}

/// The columns of pairs.
pub(super) struct SideColumns<'a, R> {
    spec: &'a Spec,
    rows: &'a [R],
    pairs: &'a Pairs,
    /// The scan's columns, by side, that those which are no text are made of.
    batches: [RecordBatch; 2],
}

impl<'a, R: Borrow<Rows>> SideColumns<'a, R> {
    pub(super) fn new(spec: &'a Spec, rows: &'a [R], pairs: &'a Pairs) -> Result<Self> {
        let batches = [
            gather(spec, rows, &pairs.first, &spec.side(Side::First).needed)?,
            gather(spec, rows, &pairs.then, &spec.side(Side::Then).needed)?,
        ];
        Ok(Self { spec, rows, pairs, batches })
    }

    fn column(&self, side: Side, index: usize) -> Result<ArrayRef> {
        let (batch, places) = match side {
            Side::First => (&self.batches[0], &self.pairs.first),
            Side::Then => (&self.batches[1], &self.pairs.then),
        };
        let of_side = self.spec.side(side);
        if let Some(text) = of_side.shown[index] {
            // It has been worked out for each value.
            let column = self.spec.texts[text].lifted.column;
            return gather_texts(self.rows, places, column, |dictionary| Ok(&dictionary.text(text)?.strings));
        }
        of_side.columns[index].evaluate(batch)?.into_array(batch.num_rows())
    }

    fn batch(&self, schema: &SchemaRef, columns: impl Iterator<Item = (Side, usize)>) -> Result<RecordBatch> {
        let columns = columns.map(|(side, index)| self.column(side, index)).collect::<Result<Vec<_>>>()?;
        let options = RecordBatchOptions::new().with_row_count(Some(self.batches[0].num_rows()));
        Ok(RecordBatch::try_new_with_options(Arc::clone(schema), columns, &options)?)
    }

    /// The join's output.
    pub(super) fn output(&self) -> Result<RecordBatch> {
        self.batch(&self.spec.output_schema, self.spec.output.iter().copied())
    }

    /// What a filter of pairs is about.
    pub(super) fn of_filter(&self, filter: &JoinFilter) -> Result<RecordBatch> {
        let columns = filter.column_indices().iter().map(|column| (filter_role(column.side), column.index));
        self.batch(filter.schema(), columns)
    }
}
