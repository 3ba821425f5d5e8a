//! The Delta tables of an output.
//!
//! ```text
//! OUT/delta/hits/<slug>      the hits of one job, partitioned by window_label
//! OUT/delta/runs             a row for each window of every job, partitioned by job and month
//! ```
//!
//! A partition is what a commit replaces, so that neither a commit nor another engine's OPTIMIZE ever mixes two windows in
//! one file. Hits are few, and a window without any has no file; runs are one small row a window, so they stand together
//! by month. Data files are written by us and are those of the Parquet format, to the byte.

mod commit;
mod log;
mod rows;
mod schema;
mod stats;

use object_store::path::Path;
use tokio::sync::Mutex;

pub(crate) use log::{File, Log};

use super::record::HitFile;
use super::table::{Table, sha256};
use super::{RunRecord, Seen};
use crate::error::Result;
use crate::store::{Action, Root, failed, is_absent};
use object_store::ObjectStoreExt;

/// The folder of the hit tables, below an output.
pub(super) const HITS: &str = "delta/hits";

/// The folder of the runs table.
pub(super) const RUNS: &str = "delta/runs";

/// The column that hits are partitioned by.
const WINDOW: &str = "window_label";

/// The table of a job's hits.
pub(super) fn hits_of(output: &Root, slug: &str) -> Result<Log> {
    Log::new(output, &Path::from(HITS).join(slug), &[WINDOW])
}

/// The table of all jobs' runs.
pub(super) fn runs_of(output: &Root) -> Result<Log> {
    Log::new(output, &Path::from(RUNS), &["job", "month"])
}

/// The Delta tables that the runs of one job write.
#[derive(Debug)]
pub(super) struct DeltaOutput {
    slug: String,
    /// Full name of the table of hits.
    name: String,
    hits: Mutex<Log>,
    runs: Mutex<Log>,
}

impl DeltaOutput {
    pub(super) fn new(output: &Root, slug: &str) -> Result<Self> {
        let hits = hits_of(output, slug)?;
        let name = hits.root().display.clone();
        Ok(Self { slug: slug.to_owned(), name, hits: Mutex::new(hits), runs: Mutex::new(runs_of(output)?) })
    }

    pub(super) fn hits_name(&self, label: &str) -> String {
        format!("{}/{WINDOW}={label}", self.name)
    }

    /// The files of a window, as the log was last read.
    pub(super) async fn files(&self, label: &str) -> Vec<File> {
        let hits = self.hits.lock().await;
        hits.files(&[label.to_owned()]).iter().map(|active| active.file.clone()).collect()
    }

    /// The path of a file of hits below the output's root.
    pub(super) fn path(&self, file: &str) -> Path {
        Path::from(format!("{HITS}/{}/{file}", self.slug))
    }
}

impl Table {
    /// Reads what is new in the logs of its Delta tables, if it is of that format.
    pub(crate) async fn refresh(&self) -> Result<()> {
        match self.delta() {
            Some(delta) => delta.hits.lock().await.refresh().await,
            None => Ok(()),
        }
    }

    pub(super) async fn look_at_delta(&self, delta: &DeltaOutput, label: &str) -> Result<Seen> {
        let files = delta.files(label).await;
        let record = self.read::<RunRecord>(&self.record_path(label)).await?;
        let whole = match record.as_ref().and_then(|(record, _)| record.hit_file.as_ref()) {
            Some(named) => self.is_whole(delta, named, &files).await?,
            None => false,
        };
        Ok(Seen { hits: None, files, record, whole })
    }

    /// Whether the files of a window are what its record names: also the object, which the log does not vouch for.
    async fn is_whole(&self, delta: &DeltaOutput, named: &HitFile, files: &[File]) -> Result<bool> {
        let file = match (&named.path, files) {
            (None, []) => return Ok(true),
            (Some(path), [file]) if file.path == *path && file.intact => file,
            _ => return Ok(false),
        };
        let path = delta.path(&file.path);
        let meta = match self.store().head(&path).await {
            Ok(meta) => meta,
            Err(e) if is_absent(&e) => return Ok(false),
            Err(e) => return Err(failed(self.root(), &path, Action::Read, e)),
        };
        if meta.size != named.size || (named.etag.is_some() && named.etag == meta.e_tag) {
            return Ok(meta.size == named.size);
        }
        // A table that was copied has other etags and the same bytes.
        Ok(self.fetch(&path).await?.is_some_and(|(bytes, _)| sha256(&bytes) == named.sha256))
    }
}
