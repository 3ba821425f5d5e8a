//! Lakes of any columns, runs of any hunt over them, and hits as plain values.

use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch, StringArray, StructArray, TimestampNanosecondArray};
use arrow::datatypes::{DataType, Field, Float64Type, Int64Type, Schema, TimestampMicrosecondType};
use lakehunt::{ColumnType, Error, Job, RunReport, Settings, SourceSpec, Span};
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use serde_json::{Map, Value};
use tempfile::TempDir;

use crate::lake::{at, block_on, instant};
use crate::oracle::{DAY, Scope};

/// A row of a lake by the job's names of its columns; what is not there is null. JSON is text.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Default)]
pub(crate) struct Row {
    /// Nanoseconds since 1970, UTC.
    pub(crate) time: Option<i128>,
    pub(crate) values: BTreeMap<String, String>,
}

impl Row {
    /// A value as KQL has it: a string is never null.
    pub(crate) fn text(&self, column: &str) -> &str {
        self.values.get(column).map_or("", String::as_str)
    }

    /// `tostring(column.name)` of a dynamic column.
    pub(crate) fn member(&self, column: &str, name: &str) -> String {
        let json: Value = serde_json::from_str(self.text(column)).unwrap_or_default();
        json.get(name).and_then(Value::as_str).unwrap_or_default().to_owned()
    }
}

/// How files hold dynamic columns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Dynamic {
    Json,
    Struct,
    /// A column for each member: `LocationDetails_city`.
    Flat,
}

/// A job of the library, or one at a path of its own.
pub(crate) fn job(name: &str) -> Job {
    let path = Path::new(name);
    if path.extension().is_some() {
        return Job::load(path).unwrap();
    }
    Job::load(&Path::new(env!("CARGO_MANIFEST_DIR")).join("jobs").join(path).with_extension("yaml")).unwrap()
}

/// What a run is asked for.
#[derive(Debug, Clone)]
pub(crate) struct Ask<'a> {
    pub(crate) slug: &'a str,
    pub(crate) from: i128,
    pub(crate) to: i128,
    pub(crate) window: &'a str,
    pub(crate) scope: Scope,
    pub(crate) threads: usize,
    pub(crate) parameters: Vec<(String, String)>,
    /// Where further tables lie.
    pub(crate) tables: Vec<(&'a str, &'a Path)>,
}

impl<'a> Ask<'a> {
    /// The days `[from, to)`.
    pub(crate) fn days(slug: &'a str, from: &str, to: &str) -> Self {
        let (from, to) = (at(from), at(to));
        Self {
            slug,
            from,
            to,
            window: "1d",
            scope: Scope::Overlap,
            threads: 2,
            parameters: Vec::new(),
            tables: Vec::new(),
        }
    }

    pub(crate) fn parameter(mut self, name: &str, value: &str) -> Self {
        self.parameters.push((name.to_owned(), value.to_owned()));
        self
    }

    pub(crate) fn job(&self) -> Job {
        let mut job = job(self.slug);
        for (name, value) in &self.parameters {
            job.set_parameter(name, value).unwrap();
        }
        job
    }

    pub(crate) fn run(&self, lake: &Path) -> Result<Run, Error> {
        self.run_with(lake, |_| {})
    }

    pub(crate) fn run_with(&self, lake: &Path, change: impl FnOnce(&mut Settings)) -> Result<Run, Error> {
        let output = tempfile::tempdir().unwrap();
        let report = self.run_into(lake, output.path(), change)?;
        let slug = report.job.clone();
        Ok(Run { report, slug, output })
    }

    pub(crate) fn run_into(
        &self,
        lake: &Path,
        output: &Path,
        change: impl FnOnce(&mut Settings),
    ) -> Result<RunReport, Error> {
        let job = self.job();
        let span = Span::try_new(instant(self.from), instant(self.to))?;
        let mut settings = Settings::new(&job, lake.to_str().unwrap(), output.to_str().unwrap(), span)?;
        settings.window = self.window.parse()?;
        settings.scope = match self.scope {
            Scope::Overlap => lakehunt::Scope::Overlap,
            Scope::Strict => lakehunt::Scope::Strict,
        };
        settings.threads = NonZeroUsize::new(self.threads).unwrap();
        settings.lease = std::time::Duration::ZERO;
        let tables = self.tables.iter().map(|(name, path)| ((*name).to_owned(), path.to_str().unwrap().to_owned()));
        settings.tables.extend(tables);
        change(&mut settings);
        block_on(lakehunt::run(&job, &settings, &()))
    }
}

/// A row of the hit table.
pub(crate) type Hit = Map<String, Value>;

/// A run and what it left.
pub(crate) struct Run {
    pub(crate) report: RunReport,
    slug: String,
    output: TempDir,
}

impl Run {
    fn file(&self, label: &str) -> PathBuf {
        self.output.path().join(format!("hits/job={}/window={label}/hits.parquet", self.slug))
    }

    pub(crate) fn bytes(&self, label: &str) -> Vec<u8> {
        std::fs::read(self.file(label)).unwrap()
    }

    pub(crate) fn record(&self, label: &str) -> Value {
        let path = self.output.path().join(format!("runs/job={}/window={label}/run.json", self.slug));
        serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
    }

    /// The hits of a window; none of one that has no source.
    pub(crate) fn hits(&self, label: &str) -> Vec<Hit> {
        if self.file(label).exists() { read_hits(self.bytes(label)) } else { Vec::new() }
    }

    /// Of all windows, in their order.
    pub(crate) fn all_hits(&self) -> Vec<Hit> {
        for window in &self.report.windows {
            let fine = matches!(
                window.outcome,
                lakehunt::Outcome::Done { .. } | lakehunt::Outcome::WithoutSource | lakehunt::Outcome::UpToDate { .. }
            );
            assert!(fine, "{}: {:?}", window.label, window.outcome);
        }
        self.report.windows.iter().flat_map(|window| self.hits(&window.label)).collect()
    }
}

/// Microseconds, as the hit table has them.
pub(crate) fn shown(nanos: i128) -> String {
    instant(nanos).format("%Y-%m-%dT%H:%M:%S%.6fZ").to_string()
}

fn read_hits(bytes: Vec<u8>) -> Vec<Hit> {
    let reader = ParquetRecordBatchReaderBuilder::try_new(bytes::Bytes::from(bytes)).unwrap();
    reader.build().unwrap().flat_map(|batch| rows_of(&batch.unwrap())).collect()
}

fn rows_of(batch: &RecordBatch) -> Vec<Hit> {
    let value = |column: &ArrayRef, row: usize| -> Value {
        if column.is_null(row) {
            return Value::Null;
        }
        match column.data_type() {
            DataType::Utf8 => column.as_string::<i32>().value(row).into(),
            DataType::Int64 => column.as_primitive::<Int64Type>().value(row).into(),
            DataType::Float64 => column.as_primitive::<Float64Type>().value(row).into(),
            DataType::Boolean => column.as_boolean().value(row).into(),
            DataType::Timestamp(..) => {
                shown(i128::from(column.as_primitive::<TimestampMicrosecondType>().value(row)) * 1_000).into()
            }
            other => panic!("the hit table has a column of type {other}"),
        }
    };
    let names: Vec<String> = batch.schema().fields().iter().map(|field| field.name().clone()).collect();
    let row = |row: usize| names.iter().cloned().zip(batch.columns().iter().map(|c| value(c, row))).collect();
    (0..batch.num_rows()).map(row).collect()
}

/// The hits with only the columns that `like` has, in an order that depends on nothing else.
pub(crate) fn compared(hits: &[Hit], like: &[Hit]) -> Vec<String> {
    let names: BTreeSet<&String> = like.iter().flat_map(Hit::keys).collect();
    let text = |hit: &Hit| {
        let columns: Vec<String> = names
            .iter()
            .map(|name| format!("{name}={}", hit.get(*name).unwrap_or_else(|| panic!("there is no column {name}"))))
            .collect();
        columns.join(", ")
    };
    let mut lines: Vec<String> = hits.iter().map(text).collect();
    lines.sort();
    lines
}

/// Writes a lake in the layout of the hunts, one file for each day that rows have; rows without a time go to the first.
pub(crate) fn write(job: &Job, rows: &[Row], dynamic: Dynamic) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    put(folder.path(), job.source(), rows, dynamic);
    folder
}

pub(crate) fn put(folder: &Path, source: &SourceSpec, rows: &[Row], dynamic: Dynamic) {
    let first = rows.iter().filter_map(|row| row.time).min().unwrap_or(at("2024-05-01"));
    let mut days: BTreeMap<i128, Vec<&Row>> = BTreeMap::new();
    for row in rows {
        days.entry(row.time.unwrap_or(first).div_euclid(DAY)).or_default().push(row);
    }
    for (day, rows) in days {
        let folder = folder.join(instant(day * DAY).format("date=%Y-%m-%d").to_string());
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::write(folder.join("part-0.parquet"), encode(source, &rows, dynamic)).unwrap();
    }
}

/// A Parquet file of the job's columns that some row has.
pub(crate) fn encode(source: &SourceSpec, rows: &[&Row], dynamic: Dynamic) -> Vec<u8> {
    let times: TimestampNanosecondArray =
        rows.iter().map(|row| row.time.map(|time| i64::try_from(time).unwrap())).collect();
    let mut columns: Vec<(String, ArrayRef)> = vec![(source.time.clone(), Arc::new(times.with_timezone("UTC")))];
    let texts = |value: &dyn Fn(&Row) -> Option<String>| -> ArrayRef {
        Arc::new(rows.iter().map(|row| value(row)).collect::<StringArray>())
    };
    for (name, spec) in source.columns.iter().filter(|(name, _)| **name != source.time) {
        if rows.iter().all(|row| !row.values.contains_key(name)) {
            continue;
        }
        let parsed = |row: &Row| row.values.get(name).and_then(|json| serde_json::from_str::<Value>(json).ok());
        let objects =
            rows.iter().all(|row| !row.values.contains_key(name) || parsed(row).is_some_and(|v| v.is_object()));
        if spec.kind != ColumnType::Dynamic || dynamic == Dynamic::Json || !objects {
            columns.push((name.clone(), texts(&|row| row.values.get(name).cloned())));
            continue;
        }
        let members: BTreeSet<String> = rows
            .iter()
            .filter_map(|row| parsed(row))
            .flat_map(|json| json.as_object().unwrap().keys().cloned().collect::<Vec<_>>())
            .collect();
        let member = |member: &str| texts(&|row| Some(parsed(row)?.get(member)?.as_str()?.to_owned()));
        let arrays: Vec<(String, ArrayRef)> = members.iter().map(|name| (name.clone(), member(name))).collect();
        match dynamic {
            Dynamic::Flat => {
                columns.extend(arrays.into_iter().map(|(member, array)| (format!("{name}_{member}"), array)))
            }
            _ if arrays.is_empty() => {}
            _ => {
                let fields: Vec<Field> =
                    arrays.iter().map(|(name, _)| Field::new(name, DataType::Utf8, true)).collect();
                let present: Vec<bool> = rows.iter().map(|row| row.values.contains_key(name)).collect();
                let arrays = arrays.into_iter().map(|(_, array)| array).collect();
                let structs = StructArray::new(fields.into(), arrays, Some(present.into()));
                columns.push((name.clone(), Arc::new(structs)));
            }
        }
    }
    let fields: Vec<Field> =
        columns.iter().map(|(name, array)| Field::new(name, array.data_type().clone(), true)).collect();
    let schema = Arc::new(Schema::new(fields));
    let batch =
        RecordBatch::try_new(Arc::clone(&schema), columns.into_iter().map(|(_, array)| array).collect()).unwrap();
    let mut writer = ArrowWriter::try_new(Vec::new(), schema, None).unwrap();
    writer.write(&batch).unwrap();
    writer.into_inner().unwrap()
}
