//! What the log says of a data file, so that readers can skip it: rows, nulls, and bounds of numbers and times.

use std::sync::Arc;

use bytes::Bytes;
use chrono::{DateTime, SecondsFormat};
use datafusion::arrow::array::{Array, AsArray};
use datafusion::arrow::compute::{max, min, sum};
use datafusion::arrow::datatypes::{DataType, Int64Type, TimeUnit, TimestampMicrosecondType};
use datafusion::parquet::arrow::arrow_reader::ArrowReaderMetadata;
use datafusion::parquet::arrow::arrow_reader::statistics::StatisticsConverter;
use serde_json::{Map, Value, json};

use crate::error::{Error, ErrorKind, Result};

/// The statistics of a Parquet file, as text of JSON.
///
/// Text is left out: its bounds would stand in the log, which is kept longer than the rows are.
pub(super) fn of(file: &Bytes) -> Result<String> {
    let unreadable = |e| Error::new(ErrorKind::Output, "a file that was just encoded cannot be read").caused_by(e);
    let meta = ArrowReaderMetadata::load(file, Default::default()).map_err(unreadable)?;
    let groups = meta.metadata().row_groups();
    let (mut least, mut greatest, mut nulls) = (Map::new(), Map::new(), Map::new());
    for field in meta.schema().fields() {
        let converter = StatisticsConverter::try_new(field.name(), meta.schema(), meta.parquet_schema());
        let Ok(converter) = converter else { continue };
        if let Ok(counts) = converter.row_group_null_counts(groups)
            && counts.null_count() == 0
        {
            nulls.insert(field.name().clone(), json!(sum(&counts).unwrap_or_default()));
        }
        let (mins, maxes) = (converter.row_group_mins(groups), converter.row_group_maxes(groups));
        let (mins, maxes) = (mins.map_err(unreadable)?, maxes.map_err(unreadable)?);
        let bounds = match field.data_type() {
            DataType::Int64 => {
                let bound = |array: &Arc<dyn Array>| array.as_primitive_opt::<Int64Type>().cloned();
                let (mins, maxes) = (bound(&mins), bound(&maxes));
                (mins.and_then(|a| min(&a)).map(Value::from), maxes.and_then(|a| max(&a)).map(Value::from))
            }
            DataType::Timestamp(TimeUnit::Microsecond, Some(_)) => {
                let bound = |array: &Arc<dyn Array>| array.as_primitive_opt::<TimestampMicrosecondType>().cloned();
                let (mins, maxes) = (bound(&mins), bound(&maxes));
                // The log has milliseconds: down for what is least, up for what is greatest.
                let earliest = mins.and_then(|a| min(&a)).map(|micros| micros.div_euclid(1_000));
                let latest = maxes.and_then(|a| max(&a)).map(|micros| -(-micros).div_euclid(1_000));
                (earliest.and_then(instant), latest.and_then(instant))
            }
            _ => continue,
        };
        if let (Some(from), Some(to)) = bounds {
            least.insert(field.name().clone(), from);
            greatest.insert(field.name().clone(), to);
        }
    }
    let rows: i64 = groups.iter().map(|group| group.num_rows()).sum();
    Ok(json!({"numRecords": rows, "minValues": least, "maxValues": greatest, "nullCount": nulls}).to_string())
}

fn instant(millis: i64) -> Option<Value> {
    let time = DateTime::from_timestamp_millis(millis)?;
    Some(Value::from(time.to_rfc3339_opts(SecondsFormat::Millis, true)))
}

#[cfg(test)]
mod tests {
    use datafusion::arrow::array::{ArrayRef, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray};

    use super::*;
    use crate::sink::hits::encode;

    #[test]
    fn bounds_are_of_whole_milliseconds_and_hold_all_rows() {
        let times = TimestampMicrosecondArray::from(vec![Some(-1), Some(1_001), None]).with_timezone("UTC");
        let columns: [(&str, ArrayRef); 3] = [
            ("at", Arc::new(times)),
            ("count", Arc::new(Int64Array::from(vec![3, 1, 2]))),
            ("user", Arc::new(StringArray::from(vec!["bob", "eve", "bob"]))),
        ];
        let file = encode(&RecordBatch::try_from_iter(columns).unwrap()).unwrap();
        let stats: Value = serde_json::from_str(&of(&file.into()).unwrap()).unwrap();
        assert_eq!(stats["numRecords"], 3);
        assert_eq!(stats["minValues"], json!({"at": "1969-12-31T23:59:59.999Z", "count": 1}));
        assert_eq!(stats["maxValues"], json!({"at": "1970-01-01T00:00:00.002Z", "count": 3}));
        assert_eq!(stats["nullCount"], json!({"at": 1, "count": 0, "user": 0}));
    }
}
