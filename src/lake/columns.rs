//! Which column of a file is which column of the job, and what it takes to read it as the job's type.
//!
//! Files of one lake differ: names in another case or of another route, other orders, absent columns, times as
//! timestamps of any unit, INT96, text or numbers, strings as dictionaries or numbers. All of that is input.

use std::sync::Arc;

use datafusion::arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};

use crate::error::{Error, ErrorKind, Result};
use crate::job::{ColumnSpec, ColumnType, EpochUnit, SourceSpec};

/// How the engine holds text. Views would share the buffers of decoded pages and keep all of them alive, and count each
/// one again in every batch that shares it: sorts of a few million rows then exhaust a memory limit that they are far from.
pub(crate) const TEXT: DataType = DataType::Utf8;

/// How text comes out of a scan.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum TextForm {
    /// As `TEXT`, which is what `raw` has in the eyes of SQL.
    Plain,
    /// As dictionaries of `TEXT`, for operators that look at each value once instead of at each row.
    Dictionary,
    /// As views of the pages that were read, for operators that let go of them soon.
    View,
}

impl TextForm {
    /// The type of a text column.
    pub(crate) fn data_type(self) -> DataType {
        match self {
            Self::Plain => TEXT,
            Self::Dictionary => DataType::Dictionary(Box::new(DataType::Int32), Box::new(TEXT)),
            Self::View => DataType::Utf8View,
        }
    }
}

/// By column of the job, how its text comes out of a scan.
pub(crate) type TextForms = Arc<[TextForm]>;

/// How the engine holds time: nanoseconds hold every unit that a lake may have, exactly.
pub(crate) fn instant_type() -> DataType {
    DataType::Timestamp(TimeUnit::Nanosecond, Some("UTC".into()))
}

/// The columns of `raw`, as the job declares them.
#[derive(Debug, Clone, serde::Serialize, serde::Deserialize)]
#[serde(from = "Declared", into = "Declared")]
pub(crate) struct Columns {
    specs: Vec<(String, ColumnSpec)>,
    schema: SchemaRef,
    time: usize,
}

/// What is said of the columns, for other machines.
#[derive(serde::Serialize, serde::Deserialize)]
struct Declared {
    specs: Vec<(String, ColumnSpec)>,
    time: usize,
}

impl From<Columns> for Declared {
    fn from(columns: Columns) -> Self {
        Self { specs: columns.specs, time: columns.time }
    }
}

impl From<Declared> for Columns {
    fn from(declared: Declared) -> Self {
        let Declared { specs, time } = declared;
        let schema = Arc::new(Schema::new(fields(&specs, |_| TextForm::Plain)));
        Self { specs, schema, time }
    }
}

fn fields(specs: &[(String, ColumnSpec)], form: impl Fn(usize) -> TextForm) -> Vec<Field> {
    let field = |(column, (name, spec)): (usize, &(String, ColumnSpec))| {
        Field::new(name, engine_type(spec.kind, form(column)), true)
    };
    specs.iter().enumerate().map(field).collect()
}

/// How a column of a file becomes a column of `raw`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Conversion {
    /// It is of the engine's type already.
    None,
    /// By a function; see `convert`.
    Function,
}

impl Columns {
    pub(crate) fn new(source: &SourceSpec) -> Self {
        let specs: Vec<_> = source.columns.iter().map(|(name, spec)| (name.clone(), spec.clone())).collect();
        let time = specs.iter().position(|(name, _)| *name == source.time).unwrap_or_default();
        Declared { specs, time }.into()
    }

    /// Reads the time from the column `name` instead of the names that the job has for it.
    pub(crate) fn with_time_column(mut self, name: &str) -> Self {
        self.specs[self.time].1.from = vec![name.to_owned()];
        self
    }

    /// The schema of `raw`.
    pub(crate) fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    /// The schema of `raw` with its text in other forms.
    pub(crate) fn schema_in(&self, forms: &[TextForm]) -> SchemaRef {
        Arc::new(Schema::new(fields(&self.specs, |column| forms[column])))
    }

    /// Text as SQL has it.
    pub(crate) fn plain(&self) -> TextForms {
        vec![TextForm::Plain; self.len()].into()
    }

    pub(crate) fn len(&self) -> usize {
        self.specs.len()
    }

    /// The position of the time column.
    pub(crate) fn time(&self) -> usize {
        self.time
    }

    pub(crate) fn name(&self, column: usize) -> &str {
        &self.specs[column].0
    }

    pub(crate) fn spec(&self, column: usize) -> &ColumnSpec {
        &self.specs[column].1
    }

    /// The names under which a column is looked for, in their order.
    pub(crate) fn names(&self, column: usize) -> Vec<&str> {
        let (name, spec) = &self.specs[column];
        if spec.from.is_empty() { vec![name] } else { spec.from.iter().map(String::as_str).collect() }
    }

    /// Where `file` holds the column, if it does: the first of its names that fits, in the same case if there is one.
    pub(crate) fn find(&self, column: usize, file: &Schema) -> Result<Option<usize>> {
        for name in self.names(column) {
            if let Some((index, _)) = file.fields().find(name) {
                return Ok(Some(index));
            }
            let mut alike = file.fields().iter().enumerate().filter(|(_, f)| f.name().eq_ignore_ascii_case(name));
            match (alike.next(), alike.next()) {
                (Some((_, one)), Some((_, other))) => {
                    return Err(Error::new(
                        ErrorKind::SchemaMismatch,
                        format!(
                            "two columns could be `{name}`: `{}` and `{}`; write one of them in source.columns",
                            one.name(),
                            other.name()
                        ),
                    )
                    .with("column", self.name(column)));
                }
                (Some((index, _)), None) => return Ok(Some(index)),
                (None, _) => {}
            }
        }
        Ok(None)
    }

    /// What it takes to read a column of type `physical` as the job's column, text in a form.
    ///
    /// # Errors
    /// When no value of that type can be one of the job's type.
    pub(crate) fn conversion(&self, column: usize, physical: &DataType, form: TextForm) -> Result<Conversion> {
        let spec = self.spec(column);
        let possible = match spec.kind {
            ColumnType::String => is_text(physical) || is_number(physical) || *physical == DataType::Null,
            ColumnType::Datetime => {
                is_text(physical)
                    || matches!(physical, DataType::Timestamp(..) | DataType::Int64 | DataType::UInt64 | DataType::Null)
            }
            ColumnType::Long | ColumnType::Real | ColumnType::Bool => {
                is_text(physical) || is_number(physical) || matches!(physical, DataType::Boolean | DataType::Null)
            }
            ColumnType::Dynamic => {
                is_text(physical)
                    || is_number(physical)
                    || physical.is_nested()
                    || matches!(physical, DataType::Boolean | DataType::Null)
            }
        };
        if !possible {
            return Err(Error::new(
                ErrorKind::SchemaMismatch,
                format!("a column of type {physical} cannot be read as {}", spec.kind),
            )
            .with("column", self.name(column)));
        }
        Ok(if *physical == engine_type(spec.kind, form) { Conversion::None } else { Conversion::Function })
    }

    /// The schema to ask the Parquet reader for: text columns of the job in the engine's own form, whatever form the
    /// writer noted (dictionary, large, binary without annotation); everything else as it is.
    pub(crate) fn reading_schema(&self, file: &Schema) -> Result<SchemaRef> {
        let mut fields = file.fields().to_vec();
        for column in 0..self.len() {
            if let Some(index) = self.find(column, file)?
                && is_text(fields[index].data_type())
            {
                fields[index] = Arc::new(fields[index].as_ref().clone().with_data_type(TEXT));
            }
        }
        Ok(Arc::new(Schema::new_with_metadata(fields, file.metadata().clone())))
    }

    /// The resolution of the time column of a file whose column has the type `physical`.
    pub(crate) fn resolution(&self, physical: &DataType) -> Resolution {
        match physical {
            DataType::Timestamp(unit, _) => Resolution::of(*unit),
            DataType::Int64 | DataType::UInt64 => match self.spec(self.time).epoch {
                EpochUnit::S => Resolution::Second,
                EpochUnit::Ms => Resolution::Millisecond,
                EpochUnit::Us => Resolution::Microsecond,
                EpochUnit::Ns => Resolution::Nanosecond,
            },
            _ => Resolution::Text,
        }
    }
}

/// The unit in which a file's times are stored, finest first. Rows inside one unit compare as equal, so pairs inside
/// it are lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize)]
pub enum Resolution {
    /// Text, as fine as its digits.
    #[serde(rename = "text")]
    Text,
    /// 1 ns.
    #[serde(rename = "ns")]
    Nanosecond,
    /// 1 µs.
    #[serde(rename = "us")]
    Microsecond,
    /// 1 ms.
    #[serde(rename = "ms")]
    Millisecond,
    /// 1 s.
    #[serde(rename = "s")]
    Second,
}

impl Resolution {
    fn of(unit: TimeUnit) -> Self {
        match unit {
            TimeUnit::Second => Self::Second,
            TimeUnit::Millisecond => Self::Millisecond,
            TimeUnit::Microsecond => Self::Microsecond,
            TimeUnit::Nanosecond => Self::Nanosecond,
        }
    }

    /// The unit in nanoseconds; text counts as its finest, 1 ns.
    pub(crate) fn nanos(self) -> i64 {
        match self {
            Self::Text | Self::Nanosecond => 1,
            Self::Microsecond => 1_000,
            Self::Millisecond => 1_000_000,
            Self::Second => 1_000_000_000,
        }
    }
}

impl std::fmt::Display for Resolution {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Text => "text",
            Self::Nanosecond => "ns",
            Self::Microsecond => "us",
            Self::Millisecond => "ms",
            Self::Second => "s",
        })
    }
}

fn engine_type(kind: ColumnType, form: TextForm) -> DataType {
    match kind {
        ColumnType::Datetime => instant_type(),
        ColumnType::String | ColumnType::Dynamic => form.data_type(),
        ColumnType::Long => DataType::Int64,
        ColumnType::Real => DataType::Float64,
        ColumnType::Bool => DataType::Boolean,
    }
}

fn is_text(data_type: &DataType) -> bool {
    match data_type {
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => true,
        // Older writers leave out the note that a byte array is text.
        DataType::Binary | DataType::LargeBinary | DataType::BinaryView => true,
        DataType::Dictionary(_, value) => is_text(value),
        _ => false,
    }
}

/// Whether the file says itself that a column is text.
pub(super) fn is_noted_text(data_type: &DataType) -> bool {
    match data_type {
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => true,
        DataType::Dictionary(_, value) => is_noted_text(value),
        _ => false,
    }
}

fn is_number(data_type: &DataType) -> bool {
    data_type.is_integer() || data_type.is_floating() || data_type.is_decimal()
}
