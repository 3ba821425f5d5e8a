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

use std::collections::BTreeMap;

use object_store::path::Path;
use tokio::sync::Mutex;

pub(crate) use log::{File, Log};

use super::record::HitFile;
use super::table::Table;
use super::{RunRecord, Seen};
use crate::error::Result;
use crate::store::Root;

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
    /// The runs that the rows of its windows are of, when they were last read.
    rows: Mutex<BTreeMap<String, Option<String>>>,
}

impl DeltaOutput {
    pub(super) fn new(output: &Root, slug: &str) -> Result<Self> {
        let hits = hits_of(output, slug)?;
        let name = hits.root().display.clone();
        Ok(Self {
            slug: slug.to_owned(),
            name,
            hits: Mutex::new(hits),
            runs: Mutex::new(runs_of(output)?),
            rows: Mutex::default(),
        })
    }

    pub(super) fn hits_name(&self, label: &str) -> String {
        format!("{}/{WINDOW}={label}", self.name)
    }

    /// The files of a window, as the log was last read.
    pub(super) async fn files(&self, label: &str) -> Vec<File> {
        let hits = self.hits.lock().await;
        hits.files(&[label.to_owned()]).iter().map(|active| active.file.clone()).collect()
    }

    /// Whether the row of a window is of the run that put its record.
    async fn has_row(&self, record: &RunRecord) -> bool {
        self.rows.lock().await.get(&record.window.label) == Some(&record.run)
    }

    /// The path of a file of hits below the output's root.
    pub(super) fn path(&self, file: &str) -> Path {
        Path::from(format!("{HITS}/{}/{file}", self.slug))
    }
}

impl Table {
    /// Reads what is new in its Delta tables, if it is of that format, before its windows are looked at.
    pub(crate) async fn before_looks(&self) -> Result<()> {
        let Some(delta) = self.delta() else { return Ok(()) };
        self.refresh().await?;
        let mut runs = delta.runs.lock().await;
        runs.refresh().await?;
        *delta.rows.lock().await = rows::runs_of_windows(&runs, &delta.slug).await?;
        Ok(())
    }

    /// Reads what is new in the log of its hits, if they are a Delta table.
    async fn refresh(&self) -> Result<()> {
        match self.delta() {
            Some(delta) => delta.hits.lock().await.refresh().await,
            None => Ok(()),
        }
    }

    pub(super) async fn look_at_delta(&self, delta: &DeltaOutput, label: &str) -> Result<Seen> {
        let files = delta.files(label).await;
        let record = self.read::<RunRecord>(&self.record_path(label)).await?;
        let whole = match &record {
            Some((record, _)) => match &record.hit_file {
                Some(named) => delta.has_row(record).await && self.is_whole(delta, named, &files).await?,
                None => false,
            },
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
        let meta = self.head(&path).await?;
        self.is(&path, meta.as_ref(), Some(named)).await
    }
}
