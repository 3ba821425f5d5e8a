//! The values of hits in a form in which those that a test expects and those that are found can be compared and shown.

use std::sync::Arc;

use chrono::{DateTime, SecondsFormat, Utc};
use datafusion::arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use datafusion::arrow::compute::cast;
use datafusion::arrow::datatypes::{
    DataType, DurationNanosecondType, Float64Type, Int64Type, TimeUnit, TimestampMicrosecondType,
};
use datafusion::arrow::util::display::array_value_to_string;
use serde_json::{Value, json};

use super::invalid;
use crate::error::{Error, ErrorKind, Result};
use crate::job::Fields;
use crate::timespan::Timespan;
use crate::window::parse_instant;

/// A scalar as text: a number that stands for a code is meant as its digits.
pub(super) fn text(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

/// A value that a test expects, in a column of type `kind`.
pub(super) fn expected(value: &Value, kind: &DataType) -> Result<Value> {
    let mismatch = |what: &str| invalid(format!("`{}` is no {what}", text(value)));
    Ok(match (kind, value) {
        (_, Value::Null) => Value::Null,
        (DataType::Timestamp(..), Value::String(text)) => json!(instant(parse_instant(text)?.timestamp_micros())),
        (DataType::Timestamp(..), _) => return Err(mismatch("instant")),
        (DataType::Duration(_), Value::String(text)) => json!(text.parse::<Timespan>()?.to_string()),
        (DataType::Duration(_), _) => return Err(mismatch("time span")),
        (DataType::List(item), Value::Array(items)) => {
            Value::Array(items.iter().map(|value| expected(value, item.data_type())).collect::<Result<_>>()?)
        }
        (DataType::List(_), _) => return Err(mismatch("list")),
        (kind, value) if kind.is_integer() => json!(value.as_i64().ok_or_else(|| mismatch("whole number"))?),
        (kind, value) if kind.is_floating() => json!(value.as_f64().ok_or_else(|| mismatch("number"))?),
        (DataType::Boolean, value) => json!(value.as_bool().ok_or_else(|| mismatch("boolean"))?),
        (_, value) => json!(text(value)),
    })
}

/// The rows that were found.
pub(super) fn found(batch: &RecordBatch) -> Result<Vec<Fields>> {
    let mut rows = vec![Fields::new(); batch.num_rows()];
    for (field, column) in batch.schema_ref().fields().iter().zip(batch.columns()) {
        let values = column_values(column).map_err(|e| {
            Error::new(ErrorKind::Engine, "the hits cannot be compared").with("column", field.name()).caused_by(e)
        })?;
        for (row, value) in rows.iter_mut().zip(values) {
            row.insert(field.name().clone(), value);
        }
    }
    Ok(rows)
}

fn column_values(column: &ArrayRef) -> Result<Vec<Value>, datafusion::error::DataFusionError> {
    let value: Box<dyn Fn(usize) -> Value> = match column.data_type() {
        DataType::Timestamp(_, zone) => {
            let column = cast(column, &DataType::Timestamp(TimeUnit::Microsecond, zone.clone()))?;
            let times = column.as_primitive::<TimestampMicrosecondType>().clone();
            Box::new(move |row| json!(instant(times.value(row))))
        }
        DataType::Duration(_) => {
            let column = cast(column, &DataType::Duration(TimeUnit::Nanosecond))?;
            let spans = column.as_primitive::<DurationNanosecondType>().clone();
            Box::new(move |row| json!(Timespan::from_nanos(spans.value(row)).to_string()))
        }
        DataType::List(_) => {
            let lists = column.as_list::<i32>().clone();
            let items = column_values(lists.values())?;
            Box::new(move |row| {
                let [from, to] = [row, row + 1].map(|at| lists.value_offsets()[at] as usize);
                Value::Array(items[from..to].to_vec())
            })
        }
        kind if kind.is_integer() => {
            let numbers = cast(column, &DataType::Int64)?.as_primitive::<Int64Type>().clone();
            Box::new(move |row| json!(numbers.value(row)))
        }
        kind if kind.is_floating() => {
            let numbers = cast(column, &DataType::Float64)?.as_primitive::<Float64Type>().clone();
            Box::new(move |row| json!(numbers.value(row)))
        }
        DataType::Boolean => {
            let values = column.as_boolean().clone();
            Box::new(move |row| json!(values.value(row)))
        }
        _ => {
            let column = Arc::clone(column);
            let texts: Vec<String> =
                (0..column.len()).map(|row| array_value_to_string(&column, row)).collect::<Result<_, _>>()?;
            Box::new(move |row| json!(texts[row]))
        }
    };
    Ok((0..column.len()).map(|row| if column.is_null(row) { Value::Null } else { value(row) }).collect())
}

fn instant(micros: i64) -> String {
    let instant = DateTime::<Utc>::from_timestamp_micros(micros).unwrap_or_default();
    instant.to_rfc3339_opts(SecondsFormat::AutoSi, true)
}

#[cfg(test)]
mod tests {
    use datafusion::arrow::array::{Float64Array, ListArray, TimestampMicrosecondArray};

    use super::*;

    #[test]
    fn what_is_expected_and_what_is_found_have_one_form() {
        let time = TimestampMicrosecondArray::from(vec![Some(1_714_564_800_000_000), None]).with_timezone("UTC");
        let lists = ListArray::from_iter_primitive::<Int64Type, _, _>([Some(vec![Some(1), None]), Some(vec![])]);
        let columns: [(ArrayRef, [Value; 2]); 3] = [
            (Arc::new(time), [json!("2024-05-01T14:00:00+02:00"), Value::Null]),
            (Arc::new(lists), [json!([1, null]), json!([])]),
            (Arc::new(Float64Array::from(vec![1.0, 0.1])), [json!(1), json!(0.1)]),
        ];
        for (column, values) in columns {
            let expected = values.map(|value| expected(&value, column.data_type()).unwrap());
            assert_eq!(column_values(&column).unwrap(), expected);
        }
    }

    #[test]
    fn what_a_column_cannot_hold_is_named() {
        for (value, kind) in [
            (json!("soon"), DataType::Timestamp(TimeUnit::Microsecond, None)),
            (json!("many"), DataType::Int64),
            (json!("x"), DataType::new_list(DataType::Utf8, true)),
        ] {
            let error = expected(&value, &kind).unwrap_err();
            assert!(error.to_string().contains(&text(&value)), "{error}");
        }
    }
}
