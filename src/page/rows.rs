//! The rows of many hit files as one table.

use std::collections::HashMap;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use datafusion::arrow::array::{
    Array, ArrayRef, AsArray, BooleanArray, RecordBatch, RecordBatchOptions, new_null_array,
};
use datafusion::arrow::compute::{cast, concat_batches, filter_record_batch};
use datafusion::arrow::datatypes::{DataType, Field, Int64Type, Schema, TimestampMicrosecondType};
use datafusion::arrow::error::ArrowError;
use datafusion::arrow::util::display::{ArrayFormatter, FormatOptions};

use crate::engine::WINDOW_START;
use crate::error::{Error, ErrorKind, Result};
use crate::report::visible;

/// How an instant is shown: UTC, to the millisecond.
const INSTANT: &str = "%Y-%m-%d %H:%M:%S%.3f";

/// The rows whose window begins in the half-open range.
pub(super) fn within(
    batch: &RecordBatch,
    from: Option<DateTime<Utc>>,
    to: Option<DateTime<Utc>>,
) -> Result<RecordBatch> {
    let starts = batch
        .column_by_name(WINDOW_START)
        .and_then(|starts| starts.as_primitive_opt::<TimestampMicrosecondType>())
        .ok_or_else(|| Error::new(ErrorKind::CorruptFile, "a hit file has no times in its column window_start"))?;
    let inside = |start: Option<i64>| {
        let start = start.and_then(DateTime::from_timestamp_micros);
        start.is_some_and(|start| from.is_none_or(|from| start >= from) && to.is_none_or(|to| start < to))
    };
    let mask: BooleanArray = starts.iter().map(|start| Some(inside(start))).collect();
    filter_record_batch(batch, &mask).map_err(failed)
}

/// One table of all hits.
#[derive(Debug)]
pub(super) struct Rows {
    batch: RecordBatch,
}

impl Rows {
    /// Puts batches under one another. A job that changed can have given other columns before: those of the newest batch
    /// come first, and what a batch lacks is null.
    pub(super) fn of(batches: &[RecordBatch]) -> Result<Self> {
        let mut fields: Vec<Arc<Field>> = Vec::new();
        let mut places: HashMap<String, usize> = HashMap::new();
        for field in batches.iter().rev().flat_map(|batch| batch.schema_ref().fields()) {
            match places.get(field.name()) {
                Some(place) if fields[*place].data_type() == field.data_type() => {}
                // Of two types, text can hold both.
                Some(place) => fields[*place] = Arc::new(Field::new(field.name(), DataType::Utf8, true)),
                None => {
                    places.insert(field.name().clone(), fields.len());
                    fields.push(Arc::new(field.as_ref().clone().with_nullable(true)));
                }
            }
        }
        let schema = Arc::new(Schema::new(fields));
        let adapted = batches.iter().map(|batch| adapt(batch, &schema)).collect::<Result<Vec<_>, _>>();
        let batch = adapted.and_then(|batches| concat_batches(&schema, &batches)).map_err(failed)?;
        Ok(Self { batch })
    }

    pub(super) fn len(&self) -> usize {
        self.batch.num_rows()
    }

    /// The rows from this one on.
    pub(super) fn since(&self, row: usize) -> Self {
        let row = row.min(self.len());
        Self { batch: self.batch.slice(row, self.len() - row) }
    }

    pub(super) fn schema(&self) -> &Schema {
        self.batch.schema_ref()
    }

    pub(super) fn position(&self, name: &str) -> Option<usize> {
        self.schema().index_of(name).ok()
    }

    /// The values of a column as text that can be shown; none for null.
    pub(super) fn texts(&self, column: usize) -> Result<Vec<Option<String>>> {
        let values = self.batch.column(column);
        if let Some(texts) = values.as_string_opt::<i32>() {
            return Ok(texts.iter().map(|text| text.map(|text| visible(text).into_owned())).collect());
        }
        let options = FormatOptions::default().with_timestamp_tz_format(Some(INSTANT));
        let formatter = ArrayFormatter::try_new(values.as_ref(), &options).map_err(failed)?;
        (0..values.len())
            .map(|row| match values.is_null(row) {
                true => Ok(None),
                false => formatter.value(row).try_to_string().map(|text| Some(visible(&text).into_owned())),
            })
            .collect::<Result<_, _>>()
            .map_err(failed)
    }

    /// The values of a column of times, in microseconds.
    pub(super) fn times(&self, column: usize) -> Vec<Option<i64>> {
        let times = self.batch.column(column).as_primitive_opt::<TimestampMicrosecondType>();
        times.map_or_else(|| vec![None; self.len()], |times| times.iter().collect())
    }

    /// The values of a column of whole numbers, if there is one of that name.
    pub(super) fn numbers(&self, name: &str) -> Option<Vec<Option<i64>>> {
        let values = self.batch.column_by_name(name)?;
        let numbers = values.as_primitive_opt::<Int64Type>()?;
        Some(numbers.iter().collect())
    }
}

fn adapt(batch: &RecordBatch, schema: &Arc<Schema>) -> Result<RecordBatch, ArrowError> {
    let columns: Vec<ArrayRef> = schema
        .fields()
        .iter()
        .map(|field| match batch.column_by_name(field.name()) {
            Some(column) if column.data_type() == field.data_type() => Ok(Arc::clone(column)),
            Some(column) => cast(column, field.data_type()),
            None => Ok(new_null_array(field.data_type(), batch.num_rows())),
        })
        .collect::<Result<_, _>>()?;
    let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
    RecordBatch::try_new_with_options(Arc::clone(schema), columns, &options)
}

fn failed(error: ArrowError) -> Error {
    Error::new(ErrorKind::Engine, "the hits cannot be shown").caused_by(error)
}

#[cfg(test)]
mod tests {
    use datafusion::arrow::array::{Int64Array, StringArray};

    use super::*;

    #[test]
    fn batches_of_other_columns_are_one_table() {
        let text = |values: Vec<Option<&str>>| -> ArrayRef { Arc::new(StringArray::from(values)) };
        let numbers = |values: Vec<i64>| -> ArrayRef { Arc::new(Int64Array::from(values)) };
        let old = RecordBatch::try_from_iter([("a", text(vec![Some("x")])), ("n", text(vec![Some("7")]))]).unwrap();
        let new = RecordBatch::try_from_iter([
            ("n", numbers(vec![1, 2])),
            ("b", text(vec![None, Some("y\n")])),
            ("a", text(vec![Some(""), None])),
        ])
        .unwrap();
        let rows = Rows::of(&[old, new]).unwrap();
        let names: Vec<&str> = rows.schema().fields().iter().map(|field| field.name().as_str()).collect();
        assert_eq!((rows.len(), names), (3, vec!["n", "b", "a"]));
        let texts = |name: &str| rows.texts(rows.position(name).unwrap()).unwrap();
        let some = |text: &str| Some(text.to_owned());
        assert_eq!(texts("n"), [some("7"), some("1"), some("2")]);
        assert_eq!(texts("b"), [None, None, some("y\\n")]);
        assert_eq!(texts("a"), [some("x"), some(""), None]);
        assert_eq!(rows.numbers("n"), None, "text by now");
        assert_eq!(Rows::of(&[]).unwrap().len(), 0);
    }
}
