//! Rows to the columns of a Parquet row group.
//!
//! Parquet's own column writers are used, not the Arrow writer: one path serves INT96 too, which Arrow cannot write, and
//! a column is encoded straight from the rows, so that no second copy of a row group is held as text.

use std::fs::File;
use std::sync::Arc;

use bytes::Bytes;
use chrono::{DateTime, Datelike};
use parquet::basic::{
    Compression, LogicalType, Repetition, TimeUnit as ParquetUnit, Type as Physical, ZstdLevel,
};
use parquet::data_type::{ByteArray, ByteArrayType, DataType, Int64Type, Int96, Int96Type};
use parquet::errors::{ParquetError, Result};
use parquet::file::properties::{WriterProperties, WriterPropertiesPtr};
use parquet::file::writer::{SerializedColumnWriter, SerializedFileWriter};
use parquet::schema::types::{ColumnPath, Type, TypePtr};

use super::draw::mix;
use super::names;
use super::spec::{TenantSpec, TimeUnit};
use super::tenant::{
    EMPTY_DESCRIPTION, NO_DESCRIPTION, NULL, OTHER_DESCRIPTION, Row, Strings, Tenant,
};
use super::traffic::{MINUTE, SECOND};

/// Rows that are turned into values at once; small enough for the cache.
const CHUNK: usize = 4096;

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

/// Knows the texts behind the indices of rows, and the shape of the files.
pub(super) struct Encoder<'a> {
    pub(super) schema: TypePtr,
    pub(super) properties: WriterPropertiesPtr,
    columns: &'static [(Column, &'static str)],
    unit: TimeUnit,
    tenant: &'a Tenant,
    day_addresses: Strings,
    results: Strings,
    descriptions: Strings,
    countries: Strings,
    clients: Strings,
    access: Strings,
}

impl<'a> Encoder<'a> {
    pub(super) fn new(spec: &TenantSpec, tenant: &'a Tenant) -> Result<Self> {
        let columns = if spec.extra_columns {
            &COLUMNS[..]
        } else {
            &COLUMNS[..NEEDED]
        };
        let results: Vec<&str> = names::RESULTS.iter().map(|r| r.0).collect();
        let mut descriptions: Vec<&str> = names::RESULTS.iter().map(|r| r.1).collect();
        descriptions.push("Other");
        Ok(Self {
            schema: schema(columns, spec.time_unit)?,
            properties: properties(spec),
            columns,
            unit: spec.time_unit,
            tenant,
            day_addresses: Strings::default(),
            results: Strings::from_list(&results),
            descriptions: Strings::from_list(&descriptions),
            countries: Strings::from_list(&names::COUNTRIES),
            clients: Strings::from_list(&names::CLIENTS),
            access: Strings::from_list(&["notApplied", "success", "failure"]),
        })
    }

    /// The addresses whose indices follow the tenant's in the rows to come.
    pub(super) fn set_day_addresses(&mut self, addresses: Strings) {
        self.day_addresses = addresses;
    }

    pub(super) fn write_row_group(
        &self,
        file: &mut SerializedFileWriter<File>,
        rows: &[Row],
    ) -> Result<()> {
        let mut group = file.next_row_group()?;
        for (column, name) in self.columns {
            let mut writer = group.next_column()?.ok_or_else(|| {
                ParquetError::General(format!("no place for column {name} in the file's schema"))
            })?;
            self.write_column(*column, &mut writer, rows)?;
            writer.close()?;
        }
        group.close()?;
        Ok(())
    }

    fn write_column(
        &self,
        column: Column,
        writer: &mut SerializedColumnWriter<'_>,
        rows: &[Row],
    ) -> Result<()> {
        let tenant = self.tenant;
        match column {
            Column::TimeGenerated => self.write_time(writer, rows, |row| row.time),
            Column::CreatedDateTime => self.write_time(writer, rows, created),
            Column::UserPrincipalName => texts(writer, rows, |row| {
                (row.user != NULL).then(|| tenant.users.get(row.user))
            }),
            Column::IpAddress => texts(writer, rows, |row| self.address(row.ip)),
            Column::AppDisplayName => texts(writer, rows, |row| {
                (row.app != NULL).then(|| tenant.apps.get(row.app))
            }),
            Column::ResultType => texts(writer, rows, |row| {
                Some(self.results.get(u32::from(row.result)))
            }),
            Column::ResultDescription => {
                texts(writer, rows, |row| self.description(row.description))
            }
            Column::CorrelationId => fixed(writer, rows, 36, |row, text| {
                guid(row.time as u64 ^ u64::from(row.user) << 40, text);
                true
            }),
            Column::UserId => fixed(writer, rows, 36, |row, text| {
                guid(u64::from(row.user), text);
                row.user != NULL
            }),
            Column::Location => texts(writer, rows, |row| {
                (row.ip != NULL).then(|| self.countries.get(tenant.country(row.ip)))
            }),
            Column::ClientAppUsed => texts(writer, rows, |row| {
                // Mostly the first two.
                let hash = mix(row.time as u64) % 64;
                let client = if hash < 60 { hash % 2 } else { hash - 58 };
                Some(self.clients.get(client as u32))
            }),
            Column::ConditionalAccessStatus => texts(writer, rows, |row| {
                let status = match names::RESULTS[usize::from(row.result)].0 {
                    "0" => u32::from(row.app % 3 != 0),
                    "53003" | "530003" => 2,
                    _ => 0,
                };
                Some(self.access.get(status))
            }),
        }
    }

    fn address(&self, ip: u32) -> Option<Bytes> {
        let fixed = self.tenant.addresses.len();
        match ip {
            NULL => None,
            _ if ip < fixed => Some(self.tenant.addresses.get(ip)),
            _ => Some(self.day_addresses.get(ip - fixed)),
        }
    }

    fn description(&self, index: u8) -> Option<Bytes> {
        match index {
            NO_DESCRIPTION => None,
            EMPTY_DESCRIPTION => Some(Bytes::new()),
            OTHER_DESCRIPTION => Some(self.descriptions.get(self.descriptions.len() - 1)),
            _ => Some(self.descriptions.get(u32::from(index))),
        }
    }

    fn write_time(
        &self,
        writer: &mut SerializedColumnWriter<'_>,
        rows: &[Row],
        ticks: impl Fn(&Row) -> i64,
    ) -> Result<()> {
        let per_unit = match self.unit {
            TimeUnit::Ms => 10_000,
            TimeUnit::Us => 10,
            TimeUnit::Ns => {
                return times::<Int64Type>(writer, rows, |row| ticks(row) * 100);
            }
            TimeUnit::Int96 => {
                return times::<Int96Type>(writer, rows, |row| int96(ticks(row)));
            }
            TimeUnit::Text => {
                return fixed(writer, rows, 28, |row, text| {
                    iso(ticks(row), text);
                    true
                });
            }
        };
        times::<Int64Type>(writer, rows, |row| ticks(row).div_euclid(per_unit))
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
            let is_time = matches!(column, Column::TimeGenerated | Column::CreatedDateTime);
            let (physical, logical) = match unit {
                _ if !is_time => (Physical::BYTE_ARRAY, Some(LogicalType::String)),
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
    let schema = Type::group_type_builder("signin_logs")
        .with_fields(fields)
        .build()?;
    Ok(Arc::new(schema))
}

fn timestamp(unit: ParquetUnit) -> LogicalType {
    LogicalType::timestamp(true, unit)
}

fn properties(spec: &TenantSpec) -> WriterPropertiesPtr {
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
fn times<T: DataType>(
    writer: &mut SerializedColumnWriter<'_>,
    rows: &[Row],
    value: impl Fn(&Row) -> T::T,
) -> Result<()> {
    let levels = [1; CHUNK];
    let mut values = Vec::with_capacity(CHUNK);
    for chunk in rows.chunks(CHUNK) {
        values.clear();
        values.extend(chunk.iter().map(&value));
        writer
            .typed::<T>()
            .write_batch(&values, Some(&levels[..chunk.len()]), None)?;
    }
    Ok(())
}

/// Writes a column of texts that exist already.
fn texts(
    writer: &mut SerializedColumnWriter<'_>,
    rows: &[Row],
    text: impl Fn(&Row) -> Option<Bytes>,
) -> Result<()> {
    let mut values: Vec<ByteArray> = Vec::with_capacity(CHUNK);
    let mut levels = Vec::with_capacity(CHUNK);
    for chunk in rows.chunks(CHUNK) {
        values.clear();
        levels.clear();
        for row in chunk {
            let text = text(row);
            levels.push(i16::from(text.is_some()));
            values.extend(text.map(ByteArray::from));
        }
        writer
            .typed::<ByteArrayType>()
            .write_batch(&values, Some(&levels), None)?;
    }
    Ok(())
}

/// Writes a column of texts that are made for their row, all of one width; `write` appends one and says whether it is
/// to be kept (else the value is NULL).
fn fixed(
    writer: &mut SerializedColumnWriter<'_>,
    rows: &[Row],
    width: usize,
    write: impl Fn(&Row, &mut Vec<u8>) -> bool,
) -> Result<()> {
    let mut values: Vec<ByteArray> = Vec::with_capacity(CHUNK);
    let mut levels = Vec::with_capacity(CHUNK);
    for chunk in rows.chunks(CHUNK) {
        values.clear();
        levels.clear();
        let mut text = Vec::with_capacity(width * chunk.len());
        for row in chunk {
            levels.push(i16::from(write(row, &mut text)));
        }
        let text = Bytes::from(text);
        let kept = levels.iter().enumerate().filter(|(_, level)| **level == 1);
        values.extend(kept.map(|(i, _)| ByteArray::from(text.slice(i * width..(i + 1) * width))));
        writer
            .typed::<ByteArrayType>()
            .write_batch(&values, Some(&levels), None)?;
    }
    Ok(())
}

fn int96(ticks: i64) -> Int96 {
    const JULIAN_DAY_OF_EPOCH: i64 = 2_440_588;
    let day = 24 * 60 * MINUTE;
    let nanos = (ticks.rem_euclid(day) * 100) as u64;
    let mut value = Int96::new();
    value.set_data(
        nanos as u32,
        (nanos >> 32) as u32,
        (ticks.div_euclid(day) + JULIAN_DAY_OF_EPOCH) as u32,
    );
    value
}

/// Appends `2024-05-01T08:15:00.1234567Z`.
fn iso(ticks: i64, text: &mut Vec<u8>) {
    let seconds = ticks.div_euclid(SECOND);
    let date = DateTime::from_timestamp(seconds, 0).unwrap_or_default();
    let second = seconds.rem_euclid(86_400) as u64;
    let mut digits = |value: u64, count: u32, after: u8| {
        for place in (0..count).rev() {
            text.push(b'0' + (value / 10u64.pow(place) % 10) as u8);
        }
        text.push(after);
    };
    digits(date.year() as u64, 4, b'-');
    digits(u64::from(date.month()), 2, b'-');
    digits(u64::from(date.day()), 2, b'T');
    digits(second / 3_600, 2, b':');
    digits(second / 60 % 60, 2, b':');
    digits(second % 60, 2, b'.');
    digits(ticks.rem_euclid(SECOND) as u64, 7, b'Z');
}

/// Appends an identifier in the form of a random UUID, the same one for the same key.
fn guid(key: u64, text: &mut Vec<u8>) {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    let high = mix(key) & !0xf000 | 0x4000;
    let low = mix(!key) & !(0b11 << 62) | 0b10 << 62;
    let mut digits = [b'-'; 36];
    // Where the hyphens are not.
    let places = (0..8)
        .chain(9..13)
        .chain(14..18)
        .chain(19..23)
        .chain(24..36);
    for (index, place) in places.enumerate() {
        let half = if index < 16 { high } else { low };
        digits[place] = HEX[(half >> (60 - index % 16 * 4) & 15) as usize];
    }
    text.extend_from_slice(&digits);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_in_all_units() {
        // 2024-02-29T23:59:59.1234567Z
        let ticks = 1_709_251_199 * SECOND + 1_234_567;
        let mut text = Vec::new();
        iso(ticks, &mut text);
        assert_eq!(text, b"2024-02-29T23:59:59.1234567Z");
        assert_eq!(int96(ticks).to_nanos(), ticks * 100);
        assert_eq!(TimeUnit::Ms.cut(ticks) % SECOND, 1_230_000);
        assert_eq!(TimeUnit::Us.cut(ticks) % SECOND, 1_234_560);
        assert_eq!(TimeUnit::Text.cut(ticks), ticks);
    }

    #[test]
    fn guids_have_the_form_of_version_4() {
        let mut text = Vec::new();
        guid(7, &mut text);
        assert_eq!(text.len(), 36);
        assert_eq!(text[14], b'4');
        assert!(b"89ab".contains(&text[19]));
    }
}
