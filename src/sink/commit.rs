//! Puts a window's hits and record in place, each as one atomic step.
//!
//! A reader sees the old file or the new one, never part of one. Hits go first: when a crash comes between the two, the
//! window has no record of the new run, is evaluated again, and gives the same bytes.

use std::fs::File;
use std::io::Write as _;
use std::path::Path as FsPath;

use object_store::path::Path;
use object_store::{ObjectStoreExt, PutPayload};
use serde::{Deserialize, Serialize};

use super::record::{RunRecord, VERSION};
use crate::error::{Error, ErrorKind, Result};
use crate::lake::{self, Root};

/// The hit table of one job.
#[derive(Debug)]
pub(crate) struct Table {
    root: Root,
    slug: String,
}

/// What holds for all windows of a table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct TableFile {
    version: u32,
    /// The size of its windows, or the label of the one that covers a range. Windows of two sizes, or two ranges that
    /// overlap, would hold the same hit twice.
    window_size: String,
}

impl Table {
    /// Opens the table of job `slug` below `output`, which is created where it is missing.
    pub(crate) fn create(output: &str, slug: &str) -> Result<Self> {
        Ok(Self { root: lake::create(output)?, slug: slug.to_owned() })
    }

    /// The path of a window's hits below the output's root.
    pub(crate) fn hits_path(&self, label: &str) -> Path {
        Path::from(format!("hits/job={}/window={label}/hits.parquet", self.slug))
    }

    /// The full name of a window's hits.
    pub(crate) fn hits_name(&self, label: &str) -> String {
        self.root.name(&self.hits_path(label))
    }

    fn record_path(&self, label: &str) -> Path {
        Path::from(format!("runs/job={}/window={label}/run.json", self.slug))
    }

    fn table_path(&self) -> Path {
        Path::from(format!("runs/job={}/table.json", self.slug))
    }

    /// Refuses windows of another size than the table has.
    pub(crate) async fn check_size(&self, size: &str) -> Result<()> {
        let path = self.table_path();
        match self.read::<TableFile>(&path).await? {
            Some(table) if table.window_size != size => Err(Error::new(
                ErrorKind::Conflict,
                format!(
                    "the output holds windows of {} for this job, not of {size}: a hit would stand in both; choose another --output",
                    table.window_size
                ),
            )
            .with("file", self.root.name(&path))),
            _ => Ok(()),
        }
    }

    /// Notes the size of the table's windows, before the first of them is written.
    pub(crate) async fn claim(&self, size: &str) -> Result<()> {
        let path = self.table_path();
        let table = TableFile { version: VERSION, window_size: size.to_owned() };
        if self.read::<TableFile>(&path).await?.is_none() {
            self.put(&path, json(&table)?).await?;
        }
        Ok(())
    }

    /// The record of a window, if it is done.
    pub(crate) async fn record(&self, label: &str) -> Result<Option<RunRecord>> {
        self.read(&self.record_path(label)).await
    }

    /// Puts hits and record of a window in place, in this order. `seen` is the record that the window had when this run
    /// looked.
    ///
    /// # Errors
    /// `Conflict` when another run committed the window since, from something else. When it committed the same, there is
    /// nothing left to do.
    pub(crate) async fn commit(&self, hits: Vec<u8>, record: &RunRecord, seen: Option<&RunRecord>) -> Result<()> {
        let label = &record.window.label;
        let now = self.record(label).await?;
        if now.as_ref() != seen
            && let Some(other) = now
        {
            if other.job.fingerprint == record.job.fingerprint && other.inputs == record.inputs {
                return Ok(());
            }
            return Err(Error::new(
                ErrorKind::Conflict,
                "another run committed this window from other files or another job while this one ran; its hits stay, run again",
            )
            .with("file", self.root.name(&self.record_path(label))));
        }
        self.put(&self.hits_path(label), hits).await?;
        self.put(&self.record_path(label), json(record)?).await
    }

    async fn read<T: serde::de::DeserializeOwned>(&self, path: &Path) -> Result<Option<T>> {
        let failed = |e: object_store::Error| {
            Error::new(ErrorKind::Unreachable, "the record cannot be read")
                .with("file", self.root.name(path))
                .caused_by(e)
        };
        let bytes = match self.root.store.get(path).await {
            Ok(found) => found.bytes().await.map_err(failed)?,
            Err(object_store::Error::NotFound { .. }) => return Ok(None),
            Err(e) => return Err(failed(e)),
        };
        serde_json::from_slice(&bytes).map(Some).map_err(|e| {
            Error::new(
                ErrorKind::Output,
                "the record is damaged or of a later version; remove it to have its window evaluated again",
            )
            .with("file", self.root.name(path))
            .caused_by(e)
        })
    }

    async fn put(&self, path: &Path, bytes: Vec<u8>) -> Result<()> {
        let failed = |cause: Box<dyn std::error::Error + Send + Sync>| {
            Error::new(ErrorKind::Output, "the output cannot be written")
                .with("file", self.root.name(path))
                .caused_by(cause)
        };
        match &self.root.folder {
            Some(folder) => {
                let target = folder.join(path.as_ref());
                tokio::task::spawn_blocking(move || replace(&target, &bytes))
                    .await
                    .map_err(|e| failed(e.into()))?
                    .map_err(|e| failed(e.into()))
            }
            None => self.root.store.put(path, PutPayload::from(bytes)).await.map(|_| ()).map_err(|e| failed(e.into())),
        }
    }
}

/// Replaces a local file: the new content is on disk under another name before it takes the place of the old one.
fn replace(target: &FsPath, bytes: &[u8]) -> std::io::Result<()> {
    let folder = target.parent().unwrap_or(FsPath::new("."));
    let name = target.file_name().unwrap_or_default().to_string_lossy();
    std::fs::create_dir_all(folder)?;
    // Hidden, so that no reader takes it for data; of this process, so that two runs do not write into one file.
    let staged = folder.join(format!(".{name}.{}.tmp", std::process::id()));
    let written = File::create(&staged)
        .and_then(|mut file| file.write_all(bytes).and_then(|()| file.sync_all()))
        .and_then(|()| std::fs::rename(&staged, target));
    if written.is_err() {
        // The error that matters is the first one.
        let _ = std::fs::remove_file(&staged);
    }
    written?;
    // The rename itself has to survive a power cut, too. Not every platform can open a folder.
    match File::open(folder) {
        Ok(folder) => folder.sync_all(),
        Err(_) => Ok(()),
    }
}

fn json(value: &impl Serialize) -> Result<Vec<u8>> {
    let mut text = serde_json::to_vec_pretty(value)
        .map_err(|e| Error::new(ErrorKind::Output, "the record cannot be encoded").caused_by(e))?;
    text.push(b'\n');
    Ok(text)
}
