//! The rows of a test as the files of a lake.

use std::collections::BTreeMap;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use datafusion::arrow::array::RecordBatch;
use datafusion::arrow::datatypes::{DataType, SchemaRef};
use datafusion::arrow::json::ReaderBuilder;
use datafusion::parquet::arrow::ArrowWriter;
use object_store::ObjectStoreExt;
use object_store::path::Path;
use serde_json::{Value, json};

use super::{SOURCE, invalid, values};
use crate::error::{Error, ErrorKind, Result, suggestion};
use crate::job::{Case, Fields, Job, SourceSpec};
use crate::lake::{Columns, Layout};
use crate::settings::Settings;
use crate::window::{nanos, parse_instant};

/// The rows of a test, with the values that their columns have in the lake.
pub(super) struct Rows {
    schema: SchemaRef,
    rows: Vec<(DateTime<Utc>, Fields)>,
}

impl Rows {
    /// The rows of the job's source.
    pub(super) fn new(job: &Job, case: &Case) -> Result<Self> {
        Self::of(job.source(), &case.defaults, &case.rows)
    }

    /// The rows of one of the job's tables.
    pub(super) fn of(source: &SourceSpec, defaults: &Fields, rows_of_case: &[Fields]) -> Result<Self> {
        let columns = Columns::new(source);
        let schema = Arc::clone(columns.schema());
        let time = columns.name(columns.time());
        let mut rows = Vec::new();
        for (number, row) in (1..).zip(rows_of_case) {
            let read = || -> Result<_> {
                let mut fields = Fields::new();
                for (name, value) in defaults.iter().chain(row) {
                    let field = schema.field_with_name(name).map_err(|_| {
                        let known: Vec<&str> = schema.fields().iter().map(|field| field.name().as_str()).collect();
                        invalid(format!("the source has no column `{name}`{}", suggestion(name, known)))
                    })?;
                    let value = stored(value, field.data_type()).map_err(|e| e.with("column", name))?;
                    fields.insert(name.clone(), value);
                }
                let at = fields.get(time).and_then(Value::as_i64);
                let at = at.ok_or_else(|| invalid(format!("it has no {time}, which says which window it is in")))?;
                Ok((DateTime::from_timestamp_nanos(at), fields))
            };
            rows.push(read().map_err(|e| e.with("row", number))?);
        }
        Ok(Self { schema, rows })
    }

    /// The first and the last instant of a row.
    pub(super) fn times(&self) -> Option<(DateTime<Utc>, DateTime<Utc>)> {
        let times = || self.rows.iter().map(|(at, _)| *at);
        Some((times().min()?, times().max()?))
    }

    /// Writes the rows into the lake of `settings`: a file for each partition that has some.
    pub(super) async fn put(&self, settings: &Settings) -> Result<()> {
        self.put_into(settings, SOURCE, &settings.layout).await
    }

    /// Writes the rows into a lake.
    pub(super) async fn put_into(&self, settings: &Settings, lake: &str, layout: &Layout) -> Result<()> {
        let root = settings.stores.create(lake, &settings.source_store).await?;
        let folder = |at| layout.partition_of(at).map(|partition| partition.path).unwrap_or_default();
        // One file without rows says that the windows have been delivered, where they hold none.
        let mut files = BTreeMap::from([(folder(settings.span.from()), Vec::new())]);
        for (at, fields) in &self.rows {
            files.entry(folder(*at)).or_default().push(fields);
        }
        for (folder, rows) in files {
            let path = Path::from(format!("{folder}/part-0.parquet"));
            let failed = |e| Error::new(ErrorKind::Engine, "the rows cannot be put").with("file", &path).caused_by(e);
            let bytes = self
                .encode(&rows)
                .map_err(|e| Error::new(ErrorKind::Engine, "the rows cannot be written as Parquet").caused_by(e))?;
            root.store.put(&path, bytes.into()).await.map_err(|e| failed(e.to_string()))?;
        }
        Ok(())
    }

    fn encode(&self, rows: &[&Fields]) -> Result<Vec<u8>, datafusion::error::DataFusionError> {
        let mut decoder = ReaderBuilder::new(Arc::clone(&self.schema)).build_decoder()?;
        decoder.serialize(rows)?;
        let batch = decoder.flush()?.unwrap_or_else(|| RecordBatch::new_empty(Arc::clone(&self.schema)));
        let mut writer = ArrowWriter::try_new(Vec::new(), Arc::clone(&self.schema), None)?;
        writer.write(&batch)?;
        Ok(writer.into_inner()?)
    }
}

/// A value of a test as its column holds it. Times are whole nanoseconds, so that nothing is lost of nine digits.
fn stored(value: &Value, kind: &DataType) -> Result<Value> {
    Ok(match (value, kind) {
        (Value::Null, _) => Value::Null,
        (Value::String(text), DataType::Timestamp(..)) => json!(nanos(parse_instant(text)?)),
        (value, DataType::Timestamp(..)) => {
            return Err(invalid(format!("`{value}` is no instant; write a UTC date or RFC 3339")));
        }
        (value, DataType::Utf8) => json!(values::text(value)),
        (value, _) => value.clone(),
    })
}
