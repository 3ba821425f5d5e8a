//! Small tables that a hunt reads beside its lake: users to leave out, addresses of the office, what codes mean.

use std::io::Cursor;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use datafusion::arrow::array::{ArrayRef, AsArray, RecordBatch, StringArray};
use datafusion::arrow::compute::{cast, concat_batches};
use datafusion::arrow::csv::ReaderBuilder;
use datafusion::arrow::csv::reader::Format;
use datafusion::arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion::arrow::error::ArrowError;
use datafusion::parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use serde::Deserialize;
use sha2::{Digest, Sha256};

use super::case::Fields;
use crate::error::{Error, ErrorKind, Result, suggestion};

/// A list is held in memory, and its first column may be bound into a plan.
const MOST_BYTES: u64 = 64 << 20;

/// A list as the job file declares it.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ListSpec {
    /// A CSV file with a header or a Parquet file, relative to the job file; without one the list is empty unless a run is
    /// given one.
    pub(super) file: Option<String>,
    /// Its columns, all of them text; others of the file are not read.
    pub(super) columns: Vec<String>,
}

/// A list with its rows.
#[derive(Debug, Clone)]
pub(crate) struct List {
    rows: RecordBatch,
    file: Option<PathBuf>,
    sha256: String,
}

impl List {
    /// A list without rows.
    pub(super) fn empty(spec: &ListSpec) -> Result<Self> {
        if spec.columns.is_empty() {
            return Err(invalid("a list needs columns; write for example columns: [UserPrincipalName]".to_owned()));
        }
        if let Some((_, twice)) = spec
            .columns
            .iter()
            .enumerate()
            .find(|(index, name)| spec.columns[..*index].iter().any(|c| c.eq_ignore_ascii_case(name)))
        {
            return Err(invalid(format!("two of its columns are named `{twice}` (case aside)")));
        }
        Ok(Self { rows: RecordBatch::new_empty(schema(&spec.columns)), file: None, sha256: digest(&[]) })
    }

    /// The rows of a file.
    pub(super) fn load(spec: &ListSpec, file: &Path) -> Result<Self> {
        let read = || -> Result<Self> {
            let columns = Self::empty(spec)?.rows.schema();
            let unreadable = |e: std::io::Error| invalid("the list cannot be read".to_owned()).caused_by(e);
            let size = std::fs::metadata(file).map_err(unreadable)?.len();
            if size > MOST_BYTES {
                return Err(invalid(format!(
                    "the list has {size} bytes, and more than {MOST_BYTES} are too many; put it into the lake as a table"
                )));
            }
            let bytes = Bytes::from(std::fs::read(file).map_err(unreadable)?);
            let ending = file.extension().map(|ending| ending.to_ascii_lowercase());
            let rows = match ending.as_ref().and_then(|ending| ending.to_str()) {
                Some("csv") => csv(&bytes),
                Some("parquet") => parquet(&bytes),
                _ => {
                    return Err(invalid(
                        "a list is a CSV file with a header (.csv) or a Parquet file (.parquet)".to_owned(),
                    ));
                }
            };
            let rows = rows.map_err(|e| invalid("the list cannot be read".to_owned()).caused_by(e))?;
            Ok(Self { rows: choose(&rows, &columns)?, file: Some(file.to_owned()), sha256: digest(&bytes) })
        };
        read().map_err(|e| e.with("file", file.display()))
    }

    /// These rows, in place of those of a file: for tests.
    pub(super) fn of(spec: &ListSpec, rows: &[Fields]) -> Result<Self> {
        let mut list = Self::empty(spec)?;
        for name in rows.iter().flat_map(|row| row.keys()) {
            if !spec.columns.contains(name) {
                let known = suggestion(name, spec.columns.iter().map(String::as_str));
                return Err(invalid(format!("the list has no column `{name}`{known}")));
            }
        }
        let text = |value: Option<&serde_json::Value>| match value {
            None | Some(serde_json::Value::Null) => String::new(),
            Some(serde_json::Value::String(text)) => text.clone(),
            Some(other) => other.to_string(),
        };
        let columns = spec.columns.iter().map(|name| {
            let values = rows.iter().map(|row| Some(text(row.get(name))));
            Arc::new(values.collect::<StringArray>()) as ArrayRef
        });
        list.rows = RecordBatch::try_new(list.rows.schema(), columns.collect()).map_err(unfit)?;
        list.sha256 = digest(format!("{rows:?}").as_bytes());
        Ok(list)
    }

    /// The rows; no value is null.
    pub(crate) fn rows(&self) -> &RecordBatch {
        &self.rows
    }

    /// The values of the first column.
    pub(crate) fn values(&self) -> Vec<String> {
        self.rows.column(0).as_string::<i32>().iter().flatten().map(str::to_owned).collect()
    }

    /// The file that it was read from.
    pub(crate) fn file(&self) -> Option<&Path> {
        self.file.as_deref()
    }

    /// Of its file's content, as 64 hex digits.
    pub(crate) fn sha256(&self) -> &str {
        &self.sha256
    }
}

fn schema(columns: &[String]) -> SchemaRef {
    Arc::new(Schema::new(columns.iter().map(|name| Field::new(name, DataType::Utf8, false)).collect::<Vec<_>>()))
}

fn csv(bytes: &Bytes) -> Result<RecordBatch, ArrowError> {
    // A spreadsheet's mark of UTF-8 is no part of the first name.
    let bytes = bytes.strip_prefix("\u{feff}".as_bytes()).unwrap_or(bytes);
    let (header, _) = Format::default().with_header(true).infer_schema(Cursor::new(bytes), Some(0))?;
    let texts = header.fields().iter().map(|field| Field::new(field.name().trim(), DataType::Utf8, true));
    let texts = Arc::new(Schema::new(texts.collect::<Vec<_>>()));
    let reader = ReaderBuilder::new(Arc::clone(&texts)).with_header(true).build(Cursor::new(bytes))?;
    concat_batches(&texts, &reader.collect::<Result<Vec<_>, _>>()?)
}

fn parquet(bytes: &Bytes) -> Result<RecordBatch, ArrowError> {
    let builder = ParquetRecordBatchReaderBuilder::try_new(bytes.clone())?;
    let schema = Arc::clone(builder.schema());
    concat_batches(&schema, &builder.build()?.collect::<Result<Vec<_>, _>>()?)
}

/// The columns of the list, as text that is never null.
fn choose(rows: &RecordBatch, columns: &SchemaRef) -> Result<RecordBatch> {
    let held = rows.schema();
    let column = |field: &Arc<Field>| -> Result<ArrayRef> {
        let alike = held.fields().iter().position(|other| other.name().eq_ignore_ascii_case(field.name()));
        let index = alike.ok_or_else(|| {
            let known: Vec<&str> = held.fields().iter().map(|field| field.name().as_str()).collect();
            invalid(format!("the list has no column `{}`{}", field.name(), suggestion(field.name(), known)))
        })?;
        let texts = cast(rows.column(index), &DataType::Utf8).map_err(unfit)?;
        let texts = texts.as_string::<i32>().iter().map(|text| Some(text.unwrap_or_default()));
        Ok(Arc::new(texts.collect::<StringArray>()))
    };
    let chosen = columns.fields().iter().map(column).collect::<Result<Vec<_>>>()?;
    RecordBatch::try_new(Arc::clone(columns), chosen).map_err(unfit)
}

fn digest(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

fn unfit(error: ArrowError) -> Error {
    invalid("the list's columns are no text".to_owned()).caused_by(error)
}

fn invalid(message: String) -> Error {
    Error::new(ErrorKind::InvalidJob, message)
}

#[cfg(test)]
mod tests {
    use datafusion::arrow::array::Int64Array;
    use datafusion::parquet::arrow::ArrowWriter;

    use super::*;

    fn spec(columns: &[&str]) -> ListSpec {
        ListSpec { file: None, columns: columns.iter().map(|name| (*name).to_owned()).collect() }
    }

    fn load(name: &str, bytes: &[u8], columns: &[&str]) -> Result<Vec<Vec<String>>> {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join(name);
        std::fs::write(&file, bytes).unwrap();
        let list = List::load(&spec(columns), &file)?;
        let texts = |column: &ArrayRef| column.as_string::<i32>().iter().flatten().map(str::to_owned).collect();
        Ok(list.rows().columns().iter().map(texts).collect())
    }

    #[test]
    fn csv_is_read_by_its_header_as_text() {
        let text = "\u{feff}code, Meaning ,note\n050126,\"wrong, bad\",x\n0,,y\n";
        let read = load("codes.csv", text.as_bytes(), &["Meaning", "Code"]).unwrap();
        assert_eq!(read, [["wrong, bad", ""], ["050126", "0"]]);
        assert_eq!(load("none.csv", b"a,b\n", &["a"]).unwrap(), [[""; 0]]);
    }

    #[test]
    fn parquet_is_read_as_text() {
        let numbers: ArrayRef = Arc::new(Int64Array::from(vec![Some(50126), None]));
        let rows = RecordBatch::try_from_iter([("ResultType", numbers)]).unwrap();
        let mut writer = ArrowWriter::try_new(Vec::new(), rows.schema(), None).unwrap();
        writer.write(&rows).unwrap();
        let bytes = writer.into_inner().unwrap();
        assert_eq!(load("codes.PARQUET", &bytes, &["ResultType"]).unwrap(), [["50126", ""]]);
    }

    #[test]
    fn what_is_wrong_with_a_list_is_named() {
        for (name, bytes, columns, words) in [
            ("a.csv", "user\nx\n", vec!["users"], "no column `users`; did you mean `user`"),
            ("a.txt", "user\nx\n", vec!["user"], ".csv"),
            ("a.parquet", "user\nx\n", vec!["user"], "cannot be read"),
            ("a.csv", "a,b\n1\n", vec!["a"], "cannot be read"),
            ("a.csv", "a\n1\n", vec![], "needs columns"),
            ("a.csv", "a\n1\n", vec!["a", "A"], "two of its columns"),
        ] {
            let error = load(name, bytes.as_bytes(), &columns).unwrap_err();
            assert!(error.to_string().contains(words), "{error}");
            assert!(error.context("file").is_some_and(|file| file.ends_with(name)), "{error}");
        }
    }
}
