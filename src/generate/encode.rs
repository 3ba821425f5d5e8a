//! Rows to the columns of a Parquet row group.
//!
//! A column is encoded straight from the rows, a few thousand at a time, so that a row group is never held as text.
//! Text goes through Arrow's column writers: they can work side by side, and alone they take a sixth less time than
//! Parquet's generic ones. Times go through the generic ones, since Arrow cannot write INT96.

use std::fs::File;
use std::panic::resume_unwind;
use std::sync::Arc;
use std::thread::{self, ScopedJoinHandle};

use arrow::array::{ArrayRef, StringBuilder};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit as ArrowUnit};
use parquet::arrow::arrow_writer::{ArrowColumnChunk, ArrowColumnWriter, ArrowRowGroupWriterFactory, compute_leaves};
use parquet::basic::{Compression, LogicalType, Repetition, TimeUnit as ParquetUnit, Type as Physical, ZstdLevel};
use parquet::data_type::{DataType as ParquetType, Int64Type, Int96Type};
use parquet::errors::{ParquetError, Result};
use parquet::file::properties::{WriterProperties, WriterPropertiesPtr};
use parquet::file::writer::{SerializedColumnWriter, SerializedFileWriter};
use parquet::schema::types::{ColumnPath, Type, TypePtr};

use super::draw::mix;
use super::names;
use super::spec::{TenantSpec, TimeUnit};
use super::tenant::{EMPTY_DESCRIPTION, NO_DESCRIPTION, NULL, OTHER_DESCRIPTION, Row, Strings, Tenant};
use super::traffic::{MINUTE, SECOND};
use super::values::{guid, int96, iso};

/// Rows that are turned into values at once; small enough for the cache.
const CHUNK: usize = 4096;

/// Row groups with fewer rows are encoded before a thread would have started.
const ROWS_WORTH_A_THREAD: usize = 16 * 1024;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Column {
    TimeGenerated,
    UserPrincipalName,
    IpAddress,
    AppDisplayName,
    ResultType,
    ResultDescription,
    CreatedDateTime,
    CorrelationId,
    UserId,
    Location,
    ClientAppUsed,
    ConditionalAccessStatus,
}

/// In the order of the files.
const COLUMNS: [(Column, &str); 12] = [
    (Column::TimeGenerated, "TimeGenerated"),
    (Column::UserPrincipalName, "UserPrincipalName"),
    (Column::IpAddress, "IPAddress"),
    (Column::AppDisplayName, "AppDisplayName"),
    (Column::ResultType, "ResultType"),
    (Column::ResultDescription, "ResultDescription"),
    (Column::CreatedDateTime, "CreatedDateTime"),
    (Column::CorrelationId, "CorrelationId"),
    (Column::UserId, "UserId"),
    (Column::Location, "Location"),
    (Column::ClientAppUsed, "ClientAppUsed"),
    (Column::ConditionalAccessStatus, "ConditionalAccessStatus"),
];

/// Columns that the hunt reads; the others are extra.
const NEEDED: usize = 6;

/// A column of text on its way.
enum Text<'scope> {
    Encoded(Box<Result<ArrowColumnChunk>>),
    Underway(ScopedJoinHandle<'scope, Result<ArrowColumnChunk>>),
}

impl Text<'_> {
    fn wait(self) -> Result<ArrowColumnChunk> {
        match self {
            Self::Encoded(chunk) => *chunk,
            Self::Underway(thread) => thread.join().unwrap_or_else(|panic| resume_unwind(panic)),
        }
    }
}

/// Knows the texts behind the indices of rows, and the shape of the files.
pub(super) struct Encoder<'a> {
    pub(super) schema: TypePtr,
    pub(super) properties: WriterPropertiesPtr,
    /// The same columns for Arrow's writers.
    arrow: SchemaRef,
    columns: &'static [(Column, &'static str)],
    unit: TimeUnit,
    tenant: &'a Tenant,
    day_addresses: Strings,
}

impl<'a> Encoder<'a> {
    pub(super) fn new(spec: &TenantSpec, tenant: &'a Tenant) -> Result<Self> {
        let columns = if spec.extra_columns { &COLUMNS[..] } else { &COLUMNS[..NEEDED] };
        let arrow = columns
            .iter()
            .map(|(column, name)| Field::new(*name, arrow_type(*column, spec.time_unit), true))
            .collect::<Vec<_>>();
        Ok(Self {
            schema: schema(columns, spec.time_unit)?,
            properties: properties(spec),
            arrow: Arc::new(Schema::new(arrow)),
            columns,
            unit: spec.time_unit,
            tenant,
            day_addresses: Strings::default(),
        })
    }

    /// The addresses whose indices follow the tenant's in the rows to come.
    pub(super) fn set_day_addresses(&mut self, addresses: Strings) {
        self.day_addresses = addresses;
    }

    /// Appends a row group to a file. The columns of text are encoded side by side; they go to the file in its order, so
    /// that the bytes are the same however many threads the machine runs at once.
    pub(super) fn write_row_group(&self, file: &mut SerializedFileWriter<File>, rows: &[Row]) -> Result<()> {
        let factory = ArrowRowGroupWriterFactory::new(file, Arc::clone(&self.arrow));
        let writers = factory.create_column_writers(file.flushed_row_groups().len())?;
        let mut group = file.next_row_group()?;
        thread::scope(|scope| {
            // Started all at once, hence collected.
            let texts: Vec<_> = self
                .columns
                .iter()
                .zip(writers)
                .map(|((column, _), writer)| {
                    if !self.is_text(*column) {
                        None
                    } else if rows.len() < ROWS_WORTH_A_THREAD {
                        Some(Text::Encoded(Box::new(self.encode(*column, writer, rows))))
                    } else {
                        let encode = move || self.encode(*column, writer, rows);
                        Some(Text::Underway(scope.spawn(encode)))
                    }
                })
                .collect();
            for ((column, name), text) in self.columns.iter().zip(texts) {
                match text {
                    Some(text) => text.wait()?.append_to_row_group(&mut group)?,
                    None => {
                        let mut writer = group
                            .next_column()?
                            .ok_or_else(|| ParquetError::General(format!("no place for {name} in the schema")))?;
                        self.write_times(&mut writer, rows, |row| ticks(*column, row))?;
                        writer.close()?;
                    }
                }
            }
            Ok::<_, ParquetError>(())
        })?;
        group.close()?;
        Ok(())
    }

    fn is_text(&self, column: Column) -> bool {
        !is_time(column) || self.unit == TimeUnit::Text
    }

    /// Encodes a column of text.
    fn encode(&self, column: Column, writer: ArrowColumnWriter, rows: &[Row]) -> Result<ArrowColumnChunk> {
        let Tenant { users, apps, .. } = self.tenant;
        match column {
            Column::UserPrincipalName => texts(writer, rows, |row, values| {
                values.append_option((row.user != NULL).then(|| users.get(row.user)));
            }),
            Column::IpAddress => texts(writer, rows, |row, values| {
                values.append_option((row.ip != NULL).then(|| self.address(row.ip)));
            }),
            Column::AppDisplayName => texts(writer, rows, |row, values| {
                values.append_option((row.app != NULL).then(|| apps.get(row.app)));
            }),
            Column::ResultType => texts(writer, rows, |row, values| {
                values.append_value(names::RESULTS[usize::from(row.result)].0);
            }),
            Column::ResultDescription => texts(writer, rows, |row, values| {
                values.append_option(match row.description {
                    NO_DESCRIPTION => None,
                    EMPTY_DESCRIPTION => Some(""),
                    OTHER_DESCRIPTION => Some("Other"),
                    result => Some(names::RESULTS[usize::from(result)].1),
                });
            }),
            Column::TimeGenerated | Column::CreatedDateTime => texts(writer, rows, |row, values| {
                values.append_value(String::from_utf8_lossy(&iso(ticks(column, row))));
            }),
            Column::CorrelationId => texts(writer, rows, |row, values| {
                let key = row.time as u64 ^ u64::from(row.user) << 40;
                values.append_value(String::from_utf8_lossy(&guid(key)));
            }),
            Column::UserId => texts(writer, rows, |row, values| {
                if row.user == NULL {
                    values.append_null();
                } else {
                    values.append_value(String::from_utf8_lossy(&guid(u64::from(row.user))));
                }
            }),
            Column::Location => texts(writer, rows, |row, values| {
                values.append_option((row.ip != NULL).then(|| self.tenant.country(row.ip)));
            }),
            Column::ClientAppUsed => texts(writer, rows, |row, values| {
                // Mostly the first two.
                let hash = (mix(row.time as u64) % 64) as usize;
                let client = if hash < 60 { hash % 2 } else { hash - 58 };
                values.append_value(names::CLIENTS[client]);
            }),
            Column::ConditionalAccessStatus => texts(writer, rows, |row, values| {
                values.append_value(match names::RESULTS[usize::from(row.result)].0 {
                    "0" if row.app % 3 != 0 => "success",
                    "53003" | "530003" => "failure",
                    _ => "notApplied",
                });
            }),
        }
    }

    fn address(&self, ip: u32) -> &str {
        match ip.checked_sub(self.tenant.addresses.len()) {
            None => self.tenant.addresses.get(ip),
            Some(ip) => self.day_addresses.get(ip),
        }
    }

    /// Writes a column of timestamps.
    fn write_times(
        &self,
        writer: &mut SerializedColumnWriter<'_>,
        rows: &[Row],
        ticks: impl Fn(&Row) -> i64,
    ) -> Result<()> {
        let divisor = match self.unit {
            TimeUnit::Int96 => return times::<Int96Type>(writer, rows, |row| int96(ticks(row))),
            TimeUnit::Ns | TimeUnit::Text => {
                return times::<Int64Type>(writer, rows, |row| ticks(row) * 100);
            }
            TimeUnit::Us => 10,
            TimeUnit::Ms => 10_000,
        };
        times::<Int64Type>(writer, rows, |row| ticks(row).div_euclid(divisor))
    }
}

fn is_time(column: Column) -> bool {
    matches!(column, Column::TimeGenerated | Column::CreatedDateTime)
}

/// The instant in a column of times.
fn ticks(column: Column, row: &Row) -> i64 {
    match column {
        Column::CreatedDateTime => created(row),
        _ => row.time,
    }
}

/// The instant of the sign-in itself, 2 to 300 seconds before the row was made.
fn created(row: &Row) -> i64 {
    row.time - 2 * SECOND - (mix(row.time as u64) % (5 * MINUTE as u64 - 2 * SECOND as u64)) as i64
}

fn schema(columns: &[(Column, &str)], unit: TimeUnit) -> Result<TypePtr> {
    let fields = columns
        .iter()
        .map(|(column, name)| {
            let (physical, logical) = match unit {
                _ if !is_time(*column) => (Physical::BYTE_ARRAY, Some(LogicalType::String)),
                TimeUnit::Ms => (Physical::INT64, Some(timestamp(ParquetUnit::MILLIS))),
                TimeUnit::Us => (Physical::INT64, Some(timestamp(ParquetUnit::MICROS))),
                TimeUnit::Ns => (Physical::INT64, Some(timestamp(ParquetUnit::NANOS))),
                TimeUnit::Int96 => (Physical::INT96, None),
                TimeUnit::Text => (Physical::BYTE_ARRAY, Some(LogicalType::String)),
            };
            let field = Type::primitive_type_builder(name, physical)
                .with_logical_type(logical)
                .with_repetition(Repetition::OPTIONAL)
                .build();
            field.map(Arc::new)
        })
        .collect::<Result<Vec<_>>>()?;
    let schema = Type::group_type_builder("signin_logs").with_fields(fields).build()?;
    Ok(Arc::new(schema))
}

/// What Arrow's writer of a column takes; its writers of times stay unused.
fn arrow_type(column: Column, unit: TimeUnit) -> DataType {
    if is_time(column) && unit != TimeUnit::Text {
        DataType::Timestamp(ArrowUnit::Nanosecond, None)
    } else {
        DataType::Utf8
    }
}

fn timestamp(unit: ParquetUnit) -> LogicalType {
    LogicalType::timestamp(true, unit)
}

fn properties(spec: &TenantSpec) -> WriterPropertiesPtr {
    // Measured over the twelve columns: zstd's first level takes a tenth more time than snappy, for 34 bytes a row
    // instead of 57 (8 and 11 without the extra columns).
    let mut properties = WriterProperties::builder()
        .set_compression(Compression::ZSTD(ZstdLevel::default()))
        .set_dictionary_enabled(spec.dictionary);
    // Values that come once: a dictionary is built and thrown away for nothing.
    for name in ["TimeGenerated", "CreatedDateTime", "CorrelationId"] {
        properties = properties.set_column_dictionary_enabled(ColumnPath::from(name), false);
    }
    Arc::new(properties.build())
}

/// Writes a column without nulls.
fn times<T: ParquetType>(
    writer: &mut SerializedColumnWriter<'_>,
    rows: &[Row],
    value: impl Fn(&Row) -> T::T,
) -> Result<()> {
    let levels = [1; CHUNK];
    let mut values = Vec::with_capacity(CHUNK);
    for chunk in rows.chunks(CHUNK) {
        values.clear();
        values.extend(chunk.iter().map(&value));
        writer.typed::<T>().write_batch(&values, Some(&levels[..chunk.len()]), None)?;
    }
    Ok(())
}

/// Encodes a column of text; `append` adds the one value of a row.
fn texts(
    mut writer: ArrowColumnWriter,
    rows: &[Row],
    append: impl Fn(&Row, &mut StringBuilder),
) -> Result<ArrowColumnChunk> {
    let field = Field::new("", DataType::Utf8, true);
    for chunk in rows.chunks(CHUNK) {
        let mut builder = StringBuilder::with_capacity(chunk.len(), chunk.len() * 32);
        for row in chunk {
            append(row, &mut builder);
        }
        let values: ArrayRef = Arc::new(builder.finish());
        for leaf in compute_leaves(&field, &values)? {
            writer.write(&leaf)?;
        }
    }
    writer.close()
}
