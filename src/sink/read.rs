//! Reads hits back from an output.

use std::sync::Arc;

use bytes::Bytes;
use chrono::{DateTime, Utc};
use datafusion::arrow::array::{AsArray, BooleanArray, RecordBatch};
use datafusion::arrow::compute::filter_record_batch;
use datafusion::arrow::datatypes::{SchemaRef, TimestampMicrosecondType};
use datafusion::parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use futures::TryStreamExt;
use object_store::ObjectStoreExt;
use object_store::path::Path;

use super::delta::{HITS, hits_of};
use crate::engine::WINDOW_START;
use crate::error::{Error, ErrorKind, Result};
use crate::job::StoreSpec;
use crate::store::{Action, Root, Stores, failed, is_absent};

/// The hit tables of an output.
#[derive(Debug)]
pub(crate) struct HitReader {
    root: Root,
}

impl HitReader {
    /// Opens the output.
    pub(crate) async fn open(stores: &Stores, output: &str, spec: &StoreSpec) -> Result<Self> {
        Ok(Self { root: stores.open(output, spec).await? })
    }

    /// The hit files of all jobs or of one, ordered by job and window; those of Delta tables after the others.
    pub(crate) async fn files(&self, job: Option<&str>) -> Result<Vec<Path>> {
        let prefix = match job {
            Some(job) => Path::from(format!("hits/job={job}")),
            None => Path::from("hits"),
        };
        let unreachable = |e| failed(&self.root, &prefix, Action::List, e);
        let mut files: Vec<Path> = self
            .root
            .store
            .list(Some(&prefix))
            .map_ok(|meta| meta.location)
            .try_filter(|path| futures::future::ready(path.filename() == Some("hits.parquet")))
            .try_collect()
            .await
            .map_err(unreachable)?;
        files.sort();
        files.extend(self.files_of_tables(job).await?);
        if files.is_empty() {
            return Err(Error::new(ErrorKind::SourceMissing, "the output holds no hit table; run a job first")
                .with("url", self.root.name(&prefix)));
        }
        Ok(files)
    }

    /// The files of the hits that are Delta tables.
    async fn files_of_tables(&self, job: Option<&str>) -> Result<Vec<Path>> {
        let slugs = match job {
            Some(job) => vec![job.to_owned()],
            None => delta_jobs(&self.root).await?,
        };
        let mut files = Vec::new();
        for slug in slugs {
            let mut hits = hits_of(&self.root, &slug)?;
            hits.refresh().await?;
            for file in hits.all_files() {
                let path = hits.below_output(&file.path);
                if !file.intact {
                    let what =
                        "rows of this file were deleted by another program, which is not supported; run the job again";
                    return Err(Error::new(ErrorKind::CorruptFile, what).with("file", self.root.name(&path)));
                }
                files.push(path);
            }
        }
        Ok(files)
    }

    /// The columns of a file, and all of its rows.
    pub(crate) async fn table(&self, file: &Path) -> Result<(SchemaRef, Vec<RecordBatch>)> {
        let unreadable = |e| failed(&self.root, file, Action::Read, e);
        let content = self.root.store.get(file).await.map_err(unreadable)?;
        let bytes: Bytes = content.bytes().await.map_err(unreadable)?;
        decode_table(bytes, &self.root.name(file))
    }

    /// The rows of a file whose window begins in the half-open range.
    pub(crate) async fn read(
        &self,
        file: &Path,
        from: Option<DateTime<Utc>>,
        to: Option<DateTime<Utc>>,
    ) -> Result<Vec<RecordBatch>> {
        let name = self.root.name(file);
        let mut batches = Vec::new();
        for batch in self.table(file).await?.1 {
            let Some(starts) = batch.column_by_name(WINDOW_START) else {
                return Err(damaged(&name, "it has no column window_start"));
            };
            let Some(starts) = starts.as_primitive_opt::<TimestampMicrosecondType>() else {
                return Err(damaged(&name, "its window_start is no time"));
            };
            let inside: BooleanArray =
                starts
                    .iter()
                    .map(|start| {
                        let start = start.and_then(DateTime::from_timestamp_micros);
                        Some(start.is_some_and(|start| {
                            from.is_none_or(|from| start >= from) && to.is_none_or(|to| start < to)
                        }))
                    })
                    .collect();
            batches.push(filter_record_batch(&batch, &inside).map_err(|e| damaged(&name, e))?);
        }
        Ok(batches)
    }
}

/// The jobs whose hits are a Delta table, in order.
pub(super) async fn delta_jobs(root: &Root) -> Result<Vec<String>> {
    let folder = Path::from(HITS);
    let listed = match root.store.list_with_delimiter(Some(&folder)).await {
        Ok(listed) => listed,
        Err(e) if is_absent(&e) => return Ok(Vec::new()),
        Err(e) => return Err(failed(root, &folder, Action::List, e)),
    };
    let mut slugs: Vec<String> =
        listed.common_prefixes.iter().filter_map(|prefix| prefix.filename().map(str::to_owned)).collect();
    slugs.sort();
    Ok(slugs)
}

/// The rows of a hit file; `name` is for messages.
pub(crate) fn decode(bytes: Bytes, name: &str) -> Result<Vec<RecordBatch>> {
    decode_table(bytes, name).map(|(_, rows)| rows)
}

/// The columns of a hit file, which one without hits has as well, and its rows.
fn decode_table(bytes: Bytes, name: &str) -> Result<(SchemaRef, Vec<RecordBatch>)> {
    let builder = ParquetRecordBatchReaderBuilder::try_new(bytes).map_err(|e| damaged(name, e))?;
    let schema = Arc::clone(builder.schema());
    let reader = builder.build().map_err(|e| damaged(name, e))?;
    let rows = reader.map(|batch| batch.map_err(|e| damaged(name, e))).collect::<Result<_>>()?;
    Ok((schema, rows))
}

fn damaged(name: &str, cause: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Error {
    Error::new(ErrorKind::CorruptFile, "the hits cannot be read").with("file", name).caused_by(cause)
}
