//! Writes rows as one Parquet file, in any of the forms that lakes hold them in.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, Float64Array, Int32Array, Int64Array, ListArray, RecordBatch, StringArray,
    TimestampMicrosecondArray, TimestampMillisecondArray, TimestampNanosecondArray,
};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field, Int32Type, Schema};
use parquet::arrow::arrow_writer::{ArrowWriter, ArrowWriterOptions};
use parquet::data_type::{
    ByteArray, ByteArrayType, DoubleType, Int32Type as PhysicalInt32, Int64Type, Int96, Int96Type,
};
use parquet::file::properties::WriterProperties;
use parquet::file::writer::SerializedFileWriter;
use parquet::schema::parser::parse_message_type;

use crate::oracle::{DAY, Row};

/// How a file holds its times.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Time {
    /// With this zone, if any.
    Millis(Option<&'static str>),
    Micros(Option<&'static str>),
    Nanos(Option<&'static str>),
    /// Julian day and nanoseconds of the day. Strings of such a file are plain or binary.
    Int96,
    /// ISO 8601 with seven digits and a `Z`.
    Text,
    /// Milliseconds since 1970 as a plain integer.
    EpochMillis,
}

impl Time {
    /// The smallest difference that the form holds, in nanoseconds.
    pub(crate) fn tick(self) -> i128 {
        match self {
            Self::Nanos(_) | Self::Int96 => 1,
            Self::Text => 100,
            Self::Micros(_) => 1_000,
            Self::Millis(_) | Self::EpochMillis => 1_000_000,
        }
    }

    /// Its name in reports.
    pub(crate) fn unit(self) -> &'static str {
        match self {
            Self::Nanos(_) | Self::Int96 => "ns",
            Self::Text => "text",
            Self::Micros(_) => "us",
            Self::Millis(_) | Self::EpochMillis => "ms",
        }
    }
}

/// How a file holds its strings.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Text {
    Plain,
    Dictionary,
    Large,
    View,
    /// Byte arrays without a note that they are text.
    Binary,
}

/// How a file holds ResultType. Numbers need values that are numbers; see [`Form::fits`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Code {
    Text,
    Dictionary,
    Int32,
    Int64,
    Float64,
}

/// Under which names a file holds its columns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Names {
    /// As Log Analytics has them.
    Pascal,
    /// As diagnostic settings have them.
    Camel,
    Upper,
}

impl Names {
    fn all(self) -> [&'static str; 6] {
        match self {
            Self::Pascal => {
                ["TimeGenerated", "UserPrincipalName", "IPAddress", "AppDisplayName", "ResultType", "ResultDescription"]
            }
            Self::Camel => {
                ["createdDateTime", "userPrincipalName", "ipAddress", "appDisplayName", "errorCode", "failureReason"]
            }
            Self::Upper => {
                ["TIMEGENERATED", "USERPRINCIPALNAME", "IPADDRESS", "APPDISPLAYNAME", "RESULTTYPE", "RESULTDESCRIPTION"]
            }
        }
    }
}

/// A physical form.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Form {
    pub(crate) time: Time,
    pub(crate) text: Text,
    pub(crate) code: Code,
    pub(crate) names: Names,
    pub(crate) reversed: bool,
    /// Columns that are left out, by their PascalCase name.
    pub(crate) missing: Vec<&'static str>,
    /// Further columns, among them one named like an output column and one like a partition key.
    pub(crate) extra: bool,
    pub(crate) row_group: usize,
    /// Rows of a page.
    pub(crate) page: usize,
    /// Whether the writer notes the Arrow schema, as Arrow's own writers do and others do not.
    pub(crate) arrow_schema: bool,
    /// Whether the file has dictionaries of its values.
    pub(crate) dictionary_pages: bool,
}

impl Default for Form {
    fn default() -> Self {
        Self {
            time: Time::Micros(Some("UTC")),
            text: Text::Plain,
            code: Code::Text,
            names: Names::Pascal,
            reversed: false,
            missing: Vec::new(),
            extra: false,
            row_group: 1_000,
            page: 1_000,
            arrow_schema: true,
            dictionary_pages: true,
        }
    }
}

impl Form {
    pub(crate) fn time(time: Time) -> Self {
        Self { time, ..Self::default() }
    }

    /// The nearest form that can hold `rows`: result types that are no numbers stay text.
    pub(crate) fn fits(&self, rows: &[Row]) -> Self {
        let number = |text: &String| text.parse::<i32>().is_ok_and(|n| n.to_string() == *text);
        let numbers = rows.iter().all(|row| row.result.as_ref().is_none_or(number));
        let code = match self.code {
            Code::Int32 | Code::Int64 | Code::Float64 if !numbers => Code::Text,
            code => code,
        };
        Self { code, ..self.clone() }
    }

    /// The rows as a file of this form holds them: times cut down to its unit, missing columns null.
    pub(crate) fn hold(&self, rows: &[Row]) -> Vec<Row> {
        let kept = |name: &str, value: &Option<String>| value.clone().filter(|_| !self.missing.contains(&name));
        rows.iter()
            .map(|row| Row {
                time: row
                    .time
                    .filter(|_| !self.missing.contains(&"TimeGenerated"))
                    .map(|time| time.div_euclid(self.time.tick()) * self.time.tick()),
                user: kept("UserPrincipalName", &row.user),
                ip: kept("IPAddress", &row.ip),
                app: kept("AppDisplayName", &row.app),
                result: kept("ResultType", &row.result),
                description: kept("ResultDescription", &row.description),
            })
            .collect()
    }
}

/// The bytes of a Parquet file that holds `rows`. Times must be whole ticks of the form.
pub(crate) fn encode(rows: &[Row], form: &Form) -> Vec<u8> {
    match form.time {
        Time::Int96 => encode_int96(rows, form),
        _ => write(columns(rows, form), form),
    }
}

/// The columns of `rows` with their names.
pub(crate) fn columns(rows: &[Row], form: &Form) -> Vec<(String, ArrayRef)> {
    let strings =
        |value: fn(&Row) -> &Option<String>| -> StringArray { rows.iter().map(|row| value(row).as_deref()).collect() };
    let text = |value: fn(&Row) -> &Option<String>| -> ArrayRef {
        let plain: ArrayRef = Arc::new(strings(value));
        cast(&plain, &text_type(form.text)).unwrap()
    };
    let values: [ArrayRef; 6] = [
        times(rows, form.time),
        text(|row| &row.user),
        text(|row| &row.ip),
        text(|row| &row.app),
        codes(&strings(|row| &row.result), form),
        text(|row| &row.description),
    ];
    let mut columns: Vec<(String, ArrayRef)> = std::iter::zip(form.names.all(), Names::Pascal.all())
        .zip(values)
        .filter(|((_, name), _)| !form.missing.contains(name))
        .map(|((name, _), values)| (name.to_owned(), values))
        .collect();
    if form.extra {
        // Values that would do harm if they were taken for what their names say.
        let wrong: ArrayRef = Arc::new(StringArray::from(vec!["wrong"; rows.len()]));
        let numbers: ArrayRef = Arc::new(Int64Array::from(vec![7; rows.len()]));
        columns.insert(0, ("date".to_owned(), Arc::clone(&wrong)));
        columns.push(("timestamp".to_owned(), numbers));
        columns.insert(2, ("SuccessLogonTime".to_owned(), Arc::clone(&wrong)));
        let lists = vec![Some(vec![Some(1), None]); rows.len()];
        let nested: ArrayRef = Arc::new(ListArray::from_iter_primitive::<Int32Type, _, _>(lists));
        columns.insert(1, ("AuthenticationDetails".to_owned(), nested));
        columns.push(("window_start".to_owned(), wrong));
    }
    if form.reversed {
        columns.reverse();
    }
    columns
}

/// A Parquet file of these columns.
pub(crate) fn write(columns: Vec<(String, ArrayRef)>, form: &Form) -> Vec<u8> {
    let fields: Vec<Field> =
        columns.iter().map(|(name, values)| Field::new(name, values.data_type().clone(), true)).collect();
    let schema = Arc::new(Schema::new(fields));
    let batch =
        RecordBatch::try_new(Arc::clone(&schema), columns.into_iter().map(|(_, values)| values).collect()).unwrap();
    let properties = WriterProperties::builder()
        .set_max_row_group_row_count(Some(form.row_group))
        // A page ends where a batch of what is written does.
        .set_data_page_row_count_limit(form.page)
        .set_write_batch_size(form.page)
        .set_dictionary_enabled(form.dictionary_pages)
        .build();
    let options = ArrowWriterOptions::new().with_properties(properties).with_skip_arrow_metadata(!form.arrow_schema);
    let mut writer = ArrowWriter::try_new_with_options(Vec::new(), schema, options).unwrap();
    writer.write(&batch).unwrap();
    writer.into_inner().unwrap()
}

fn text_type(text: Text) -> DataType {
    match text {
        Text::Plain => DataType::Utf8,
        Text::Dictionary => DataType::Dictionary(Box::new(DataType::Int32), Box::new(DataType::Utf8)),
        Text::Large => DataType::LargeUtf8,
        Text::View => DataType::Utf8View,
        Text::Binary => DataType::Binary,
    }
}

fn codes(values: &StringArray, form: &Form) -> ArrayRef {
    let numbers = || values.iter().map(|text| text.map(|text| text.parse::<i32>().unwrap()));
    match form.code {
        Code::Text => cast(values, &text_type(form.text)).unwrap(),
        Code::Dictionary => cast(values, &text_type(Text::Dictionary)).unwrap(),
        Code::Int32 => Arc::new(numbers().collect::<Int32Array>()),
        Code::Int64 => Arc::new(numbers().map(|n| n.map(i64::from)).collect::<Int64Array>()),
        Code::Float64 => Arc::new(numbers().map(|n| n.map(f64::from)).collect::<Float64Array>()),
    }
}

fn times(rows: &[Row], form: Time) -> ArrayRef {
    let ticks = || {
        rows.iter().map(|row| {
            row.time.map(|time| {
                assert_eq!(time % form.tick(), 0, "{form:?} cannot hold {time}");
                i64::try_from(time / form.tick()).unwrap()
            })
        })
    };
    match form {
        Time::Millis(zone) => Arc::new(ticks().collect::<TimestampMillisecondArray>().with_timezone_opt(zone)),
        Time::Micros(zone) => Arc::new(ticks().collect::<TimestampMicrosecondArray>().with_timezone_opt(zone)),
        Time::Nanos(zone) => Arc::new(ticks().collect::<TimestampNanosecondArray>().with_timezone_opt(zone)),
        Time::EpochMillis => Arc::new(ticks().collect::<Int64Array>()),
        Time::Text => Arc::new(rows.iter().map(|row| row.time.map(iso)).collect::<StringArray>()),
        Time::Int96 => unreachable!("Arrow's writer has no INT96"),
    }
}

/// `2024-05-01T13:00:00.1234567Z`
pub(crate) fn iso(time: i128) -> String {
    let seconds = i64::try_from(time.div_euclid(1_000_000_000)).unwrap();
    let instant = chrono::DateTime::from_timestamp(seconds, 0).unwrap();
    format!("{}.{:07}Z", instant.format("%Y-%m-%dT%H:%M:%S"), time.rem_euclid(1_000_000_000) / 100)
}

/// Days from the Julian epoch to 1970-01-01.
const JULIAN_1970: i128 = 2_440_588;

fn int96(time: i128) -> Int96 {
    let (day, nanos) = (time.div_euclid(DAY) + JULIAN_1970, time.rem_euclid(DAY));
    let nanos = u64::try_from(nanos).unwrap();
    let mut value = Int96::new();
    value.set_data(nanos as u32, (nanos >> 32) as u32, u32::try_from(day).unwrap());
    value
}

fn encode_int96(rows: &[Row], form: &Form) -> Vec<u8> {
    let note = if form.text == Text::Binary { "" } else { "(UTF8)" };
    let code = match form.code {
        Code::Int32 => "int32",
        Code::Int64 => "int64",
        Code::Float64 => "double",
        Code::Text | Code::Dictionary => "binary",
    };
    let mut order: Vec<usize> = (0..6).filter(|i| !form.missing.contains(&Names::Pascal.all()[*i])).collect();
    if form.reversed {
        order.reverse();
    }
    let fields: String = order
        .iter()
        .map(|column| {
            let name = form.names.all()[*column];
            match column {
                0 => format!("optional int96 {name};"),
                4 if code != "binary" => format!("optional {code} {name};"),
                _ => format!("optional binary {name} {note};"),
            }
        })
        .collect();
    let schema = Arc::new(parse_message_type(&format!("message signins {{ {fields} }}")).unwrap());
    let mut writer = SerializedFileWriter::new(Vec::new(), schema, Arc::default()).unwrap();
    for rows in rows.chunks(form.row_group) {
        let mut group = writer.next_row_group().unwrap();
        for column in &order {
            let strings: Vec<Option<&str>> = rows
                .iter()
                .map(|row| {
                    let value = [&None, &row.user, &row.ip, &row.app, &row.result, &row.description][*column];
                    value.as_deref()
                })
                .collect();
            let levels = |present: Vec<bool>| present.into_iter().map(i16::from).collect::<Vec<_>>();
            let some = levels(strings.iter().map(Option::is_some).collect());
            let numbers = || strings.iter().flatten().map(|text| text.parse::<i32>().unwrap());
            let mut chunk = group.next_column().unwrap().unwrap();
            if *column == 0 {
                let values: Vec<Int96> = rows.iter().filter_map(|row| row.time.map(int96)).collect();
                let some = levels(rows.iter().map(|row| row.time.is_some()).collect());
                chunk.typed::<Int96Type>().write_batch(&values, Some(&some), None).unwrap();
            } else if *column == 4 && code == "int32" {
                let values: Vec<i32> = numbers().collect();
                chunk.typed::<PhysicalInt32>().write_batch(&values, Some(&some), None).unwrap();
            } else if *column == 4 && code == "int64" {
                let values: Vec<i64> = numbers().map(i64::from).collect();
                chunk.typed::<Int64Type>().write_batch(&values, Some(&some), None).unwrap();
            } else if *column == 4 && code == "double" {
                let values: Vec<f64> = numbers().map(f64::from).collect();
                chunk.typed::<DoubleType>().write_batch(&values, Some(&some), None).unwrap();
            } else {
                let values: Vec<ByteArray> = strings.iter().flatten().map(|text| ByteArray::from(*text)).collect();
                chunk.typed::<ByteArrayType>().write_batch(&values, Some(&some), None).unwrap();
            }
            chunk.close().unwrap();
        }
        group.close().unwrap();
    }
    writer.into_inner().unwrap()
}
