//! Rows of a hunt become rows of the hit table: plain types that every reader knows, an id, and what the job says.

use std::sync::Arc;

use bytes::Bytes;
use datafusion::arrow::array::{
    Array, ArrayRef, AsArray, BooleanArray, Int64Array, PrimitiveArray, RecordBatch, StringArray, StringBuilder,
    TimestampMicrosecondArray,
};
use datafusion::arrow::compute::{cast, filter_record_batch, not};
use datafusion::arrow::datatypes::{
    DataType, Field, Float64Type, Int64Type, Schema, SchemaRef, TimeUnit, TimestampMicrosecondType,
    TimestampMillisecondType, TimestampNanosecondType, TimestampSecondType,
};
use datafusion::arrow::util::display::{ArrayFormatter, FormatOptions};
use datafusion::parquet::arrow::ArrowWriter;
use datafusion::parquet::basic::{Compression, ZstdLevel};
use datafusion::parquet::file::properties::WriterProperties;
use datafusion::parquet::schema::types::ColumnPath;

use super::record::Key;
use super::table::sha256;
use crate::engine::{OVER_LIMIT, WINDOW_START, WRITTEN};
use crate::error::{Error, ErrorKind, Result};
use crate::job::Job;

/// The column that holds the pairs of a row's key, for the list of keys over the limit.
const DISTRIBUTION_COUNT: &str = "distribution_count";

/// The column that is 1 for the row of a key that KQL's innerunique keeps.
const KQL_RANK: &str = "kql_rank";

/// Digits of a hit's id.
const ID: usize = 32;

/// The columns of a job's hit table, and how they follow from those of its SELECT.
#[derive(Debug)]
pub(crate) struct HitSchema {
    /// Of the file.
    schema: SchemaRef,
    /// Which columns of the SELECT are written, in order.
    columns: Vec<usize>,
    /// How many of them, from the first, are the hit's own values: those before `window_start`.
    values: usize,
    window_start: usize,
    over_limit: Option<usize>,
    /// The columns of a key, in order of their names.
    key: Vec<(Arc<str>, usize)>,
    constants: [String; 5],
}

/// A window's hits as a whole Parquet file.
#[derive(Debug)]
pub(crate) struct HitBytes {
    pub(super) bytes: Bytes,
    /// Worked out beside other windows' files; they are committed by one thread.
    pub(super) sha256: String,
}

impl From<Vec<u8>> for HitBytes {
    fn from(bytes: Vec<u8>) -> Self {
        Self { sha256: sha256(&bytes), bytes: bytes.into() }
    }
}

/// What a window's evaluation gave.
#[derive(Debug)]
pub(crate) struct WindowRows {
    pub(crate) file: HitBytes,
    pub(crate) hits: u64,
    /// The rows that KQL's own (innerunique) answer has; `None` when the hunt ranks nothing.
    pub(crate) kql_rows: Option<u64>,
    pub(crate) over_limit: Vec<Key>,
}

impl HitSchema {
    pub(crate) fn new(job: &Job, select: &Schema) -> Result<Self> {
        let position = |name: &str| {
            select
                .index_of(name)
                .map_err(|_| Error::new(ErrorKind::InvalidJob, format!("the SELECT gives no column {name}")))
        };
        let window_start = position(WINDOW_START)?;
        let over_limit = select.index_of(OVER_LIMIT).ok();
        let columns: Vec<usize> = (0..select.fields().len()).filter(|index| Some(*index) != over_limit).collect();
        let mut fields: Vec<Field> = columns
            .iter()
            .map(|index| {
                let field = select.field(*index);
                Field::new(field.name(), plain_type(field.data_type()), field.is_nullable())
            })
            .collect();
        let key = job.output().key.iter().map(|name| Ok((Arc::from(name.as_str()), position(name)?)));
        let mut key = key.collect::<Result<Vec<_>>>()?;
        key.sort();
        fields.extend(WRITTEN.map(|name| Field::new(name, DataType::Utf8, false)));
        Ok(Self {
            schema: Arc::new(Schema::new(fields)),
            values: columns.iter().take_while(|index| **index != window_start).count(),
            columns,
            window_start,
            over_limit,
            key,
            // Lists are text with commas, as in Sentinel's own alert tables: many BI tools read no list columns.
            constants: [
                job.id().to_owned(),
                job.version().to_owned(),
                job.severity().to_string(),
                job.tactics().join(","),
                job.techniques().join(","),
            ],
        })
    }

    /// The first instants of the rows' windows, in nanoseconds.
    pub(crate) fn window_starts(&self, rows: &RecordBatch) -> Result<Vec<i64>> {
        let starts =
            cast(rows.column(self.window_start), &DataType::Timestamp(TimeUnit::Nanosecond, Some("UTC".into())))
                .map_err(encoding_error)?;
        let starts = starts.as_primitive::<TimestampNanosecondType>();
        if starts.null_count() > 0 {
            return Err(Error::new(
                ErrorKind::InvalidJob,
                "a row has no window_start; filter null times out in the SQL",
            ));
        }
        Ok(starts.values().to_vec())
    }

    /// The keys of the rows that are `over` the limit, each with its pairs.
    fn keys(&self, rows: &RecordBatch, over: &BooleanArray) -> Result<Vec<Key>> {
        let options = FormatOptions::default();
        let formatter = |(name, index): &(Arc<str>, usize)| {
            let formatter = ArrayFormatter::try_new(rows.column(*index).as_ref(), &options).map_err(encoding_error)?;
            Ok((Arc::clone(name), formatter))
        };
        let formatters = self.key.iter().map(formatter).collect::<Result<Vec<_>>>()?;
        let pairs = rows
            .column_by_name(DISTRIBUTION_COUNT)
            .map(|column| cast(column, &DataType::Int64))
            .transpose()
            .map_err(encoding_error)?;
        let key = |row| Key {
            values: formatters.iter().map(|(name, text)| (Arc::clone(name), text.value(row).to_string())).collect(),
            pairs: pairs.as_ref().map(|pairs| pairs.as_primitive::<Int64Type>().value(row)),
        };
        Ok(over.values().set_indices().map(key).collect())
    }

    /// Rows of the SELECT as rows of the file.
    fn written(&self, rows: &RecordBatch) -> Result<RecordBatch> {
        let mut columns = self
            .columns
            .iter()
            .map(|index| plain(rows.column(*index)))
            .collect::<Result<Vec<_>, _>>()
            .map_err(encoding_error)?;
        columns.push(Arc::new(self.hit_ids(&columns[..self.values], rows.num_rows())));
        for constant in &self.constants {
            columns.push(Arc::new(StringArray::from(vec![constant.as_str(); rows.num_rows()])));
        }
        RecordBatch::try_new(Arc::clone(&self.schema), columns).map_err(encoding_error)
    }

    /// For each row 128 bits of BLAKE3 over the job's id and the hit's own values as they are written. They do not depend
    /// on the window, so the same hit found under other windows has the same id. Who signs in chooses some of the values,
    /// so it is a cryptographic hash; SHA-256 took a twentieth of a run.
    fn hit_ids(&self, values: &[ArrayRef], rows: usize) -> StringArray {
        let mut ids = StringBuilder::with_capacity(rows, rows * ID);
        let mut bytes = Vec::new();
        for row in 0..rows {
            bytes.clear();
            self.put_values(values, row, &mut bytes);
            ids.append_value(&blake3::hash(&bytes).to_hex()[..ID]);
        }
        ids.finish()
    }

    /// What tells a hit from others, each part after its length.
    fn put_values(&self, values: &[ArrayRef], row: usize, bytes: &mut Vec<u8>) {
        let mut part = |part: Option<&[u8]>| {
            // No value has the length of a null.
            let length = part.map_or(u64::MAX, |part| part.len() as u64);
            bytes.extend(length.to_le_bytes());
            bytes.extend(part.unwrap_or_default());
        };
        part(Some(self.constants[0].as_bytes()));
        for value in values {
            if value.is_null(row) {
                part(None);
                continue;
            }
            match value.data_type() {
                DataType::Utf8 => part(Some(value.as_string::<i32>().value(row).as_bytes())),
                DataType::Timestamp(..) => {
                    part(Some(&value.as_primitive::<TimestampMicrosecondType>().value(row).to_le_bytes()));
                }
                DataType::Int64 => part(Some(&value.as_primitive::<Int64Type>().value(row).to_le_bytes())),
                DataType::Float64 => {
                    part(Some(&value.as_primitive::<Float64Type>().value(row).to_bits().to_le_bytes()));
                }
                DataType::Boolean => part(Some(&[u8::from(value.as_boolean().value(row))])),
                _ => {
                    let options = FormatOptions::default();
                    let text = ArrayFormatter::try_new(value.as_ref(), &options).map(|f| f.value(row).to_string());
                    part(Some(text.unwrap_or_default().as_bytes()));
                }
            }
        }
    }
}

/// Writes one window's rows.
pub(crate) struct WindowWriter<'a> {
    schema: &'a HitSchema,
    writer: ArrowWriter<Vec<u8>>,
    hits: u64,
    kql_rows: Option<u64>,
    over_limit: Vec<Key>,
}

impl<'a> WindowWriter<'a> {
    pub(crate) fn new(schema: &'a HitSchema) -> Result<Self> {
        let properties = properties(Compression::ZSTD(ZstdLevel::default()));
        let writer =
            ArrowWriter::try_new(Vec::new(), Arc::clone(&schema.schema), Some(properties)).map_err(encoding_error)?;
        let kql_rows = schema.schema.index_of(KQL_RANK).is_ok().then_some(0);
        Ok(Self { schema, writer, hits: 0, kql_rows, over_limit: Vec::new() })
    }

    /// Adds rows of the SELECT, all of this window.
    pub(crate) fn write(&mut self, rows: &RecordBatch) -> Result<()> {
        let hits = match self.schema.over_limit {
            None => rows.clone(),
            Some(index) => {
                // What is not known to be over the limit is a hit.
                let over: BooleanArray =
                    rows.column(index).as_boolean().iter().map(|over| Some(over == Some(true))).collect();
                self.over_limit.extend(self.schema.keys(rows, &over)?);
                let hit = not(&over).map_err(encoding_error)?;
                filter_record_batch(rows, &hit).map_err(encoding_error)?
            }
        };
        let written = self.schema.written(&hits)?;
        self.hits += written.num_rows() as u64;
        if let (Some(rows), Some(ranks)) = (&mut self.kql_rows, written.column_by_name(KQL_RANK)) {
            let ranks: &Int64Array = ranks.as_primitive::<Int64Type>();
            *rows += ranks.values().iter().filter(|rank| **rank == 1).count() as u64;
        }
        self.writer.write(&written).map_err(encoding_error)
    }

    pub(crate) fn finish(mut self) -> Result<WindowRows> {
        self.over_limit.sort();
        Ok(WindowRows {
            file: self.writer.into_inner().map_err(encoding_error)?.into(),
            hits: self.hits,
            kql_rows: self.kql_rows,
            over_limit: self.over_limit,
        })
    }
}

/// How all files of an output are written.
fn properties(compression: Compression) -> WriterProperties {
    WriterProperties::builder()
        .set_compression(compression)
        // Each row has its own: a dictionary of them would be another copy.
        .set_column_dictionary_enabled(ColumnPath::from(WRITTEN[0]), false)
        // The engine's version is in the run record; here it would change the bytes with every upgrade.
        .set_created_by("lakehunt".to_owned())
        .build()
}

/// A few rows as a whole Parquet file. It is not compressed: making ready to compress would take longer than all the rest, for
/// each of the columns.
pub(super) fn encode(rows: &RecordBatch) -> Result<Vec<u8>> {
    let properties = properties(Compression::UNCOMPRESSED);
    let mut writer = ArrowWriter::try_new(Vec::new(), rows.schema(), Some(properties)).map_err(encoding_error)?;
    writer.write(rows).map_err(encoding_error)?;
    writer.into_inner().map_err(encoding_error)
}

/// The type under which a column is written: what every reader of Parquet knows.
fn plain_type(data_type: &DataType) -> DataType {
    match data_type {
        DataType::Timestamp(..) => DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())),
        DataType::Utf8View | DataType::LargeUtf8 | DataType::Utf8 => DataType::Utf8,
        DataType::Dictionary(_, value) => plain_type(value),
        data_type if data_type.is_integer() => DataType::Int64,
        DataType::Float16 | DataType::Float32 => DataType::Float64,
        other => other.clone(),
    }
}

fn plain(array: &ArrayRef) -> Result<ArrayRef, datafusion::arrow::error::ArrowError> {
    if let DataType::Timestamp(unit, _) = array.data_type() {
        // Down to whole microseconds, also before 1970, where a cast would go up.
        let micros: TimestampMicrosecondArray = match unit {
            TimeUnit::Nanosecond => floor(array.as_primitive::<TimestampNanosecondType>()),
            TimeUnit::Microsecond => array.as_primitive::<TimestampMicrosecondType>().clone(),
            TimeUnit::Millisecond => {
                array.as_primitive::<TimestampMillisecondType>().unary_opt(|t| t.checked_mul(1_000))
            }
            TimeUnit::Second => array.as_primitive::<TimestampSecondType>().unary_opt(|t| t.checked_mul(1_000_000)),
        };
        return Ok(Arc::new(micros.with_timezone("UTC")));
    }
    cast(array, &plain_type(array.data_type()))
}

fn floor(array: &PrimitiveArray<TimestampNanosecondType>) -> TimestampMicrosecondArray {
    array.unary(|t| t.div_euclid(1_000))
}

pub(super) fn encoding_error(error: impl std::error::Error + Send + Sync + 'static) -> Error {
    Error::new(ErrorKind::Output, "the hits cannot be encoded").caused_by(error)
}

/// Splits rows that are ordered by window into stretches of one window: `(first instant, from row, rows)`.
pub(crate) fn stretches(starts: &[i64]) -> impl Iterator<Item = (i64, usize, usize)> {
    let mut at = 0;
    std::iter::from_fn(move || {
        let start = *starts.get(at)?;
        let rows = starts[at..].iter().take_while(|s| **s == start).count();
        let from = at;
        at += rows;
        Some((start, from, rows))
    })
}
