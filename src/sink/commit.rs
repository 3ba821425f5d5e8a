//! Puts a window's hits, its row of the runs table and its record in place, so that all tell of the same run whatever
//! happens to it.
//!
//! ```text
//!   look      hits' version, record            (before the window is evaluated)
//!   put       hits.parquet   if still as seen
//!   put       run.parquet    if still as it was before the hits were put
//!   put       run.json       if still as seen, naming the hits that it goes with
//! ```
//!
//! Each put is one atomic step: a reader sees the old file or the new one. Where a run ends between two of them, the record
//! is missing, or is of other inputs, or names other hits than are there: in each case the window is not done, the next
//! run does it again, and the same input gives the same bytes.
//!
//! Two runs of one window: who comes second finds that the hits, or the record, are no longer as seen. If the other run
//! wrote the same, there is nothing left to do; else it gives up with a conflict. Whoever put the hits last puts the record
//! last, so that no record stands beside another run's hits.
//!
//! Of a Delta table hits and rows are commits to its log (`delta`), in the same order; the record is the same file.

use bytes::Bytes;
use object_store::path::Path;
use object_store::{ObjectMeta, ObjectStoreExt, UpdateVersion};

use super::delta::File;
use super::hits::HitBytes;
use super::record::{HitFile, RunRecord};
use super::row;
use super::table::{Put, Table, json, sha256};
use crate::error::{Error, ErrorKind, Result};
use crate::store::{Action, failed, is_absent};

/// Times that a commit looks again at what others put in its way. Each time another run got further, so more than a few
/// means that something else writes here.
const LOOKS: usize = 5;

/// What a window had when a run looked.
#[derive(Debug, Clone, Default)]
pub(crate) struct Seen {
    pub(super) hits: Option<UpdateVersion>,
    /// The files of the window, of a Delta table.
    pub(super) files: Vec<File>,
    pub(super) record: Option<(RunRecord, UpdateVersion)>,
    /// Whether the hits that are there are those that the record goes with.
    pub(super) whole: bool,
}

impl Seen {
    /// The record of the window, if it is done: there is one, and the hits beside it are its own.
    pub(crate) fn done(&self) -> Option<&RunRecord> {
        self.record().filter(|_| self.whole)
    }

    /// The record of the window, also where the hits beside it are others.
    pub(crate) fn record(&self) -> Option<&RunRecord> {
        self.record.as_ref().map(|(record, _)| record)
    }
}

impl Table {
    /// Looks at what a window has. The hits first: a run that commits between the two looks is then noticed by the hits.
    ///
    /// Of a Delta table this is what its log said when it was last read; see [`Self::before_looks`].
    pub(crate) async fn look(&self, label: &str) -> Result<Seen> {
        if let Some(delta) = self.delta() {
            return self.look_at_delta(delta, label).await;
        }
        let (hits_path, row_path) = (self.hits_path(label), self.row_path(label));
        let (hits, row) = futures::try_join!(self.head(&hits_path), self.head(&row_path))?;
        let record = self.read::<RunRecord>(&self.record_path(label)).await?;
        let whole = match (&hits, &record) {
            (Some(hits), Some((record, _))) => {
                self.is(&hits_path, Some(hits), record.hit_file.as_ref()).await?
                    && self.is(&row_path, row.as_ref(), record.row_file.as_ref()).await?
            }
            _ => false,
        };
        let hits = hits.map(|meta| UpdateVersion { e_tag: meta.e_tag, version: meta.version });
        Ok(Seen { hits, files: Vec::new(), record, whole })
    }

    pub(super) async fn head(&self, path: &Path) -> Result<Option<ObjectMeta>> {
        match self.store().head(path).await {
            Ok(meta) => Ok(Some(meta)),
            Err(e) if is_absent(&e) => Ok(None),
            Err(e) => Err(failed(self.root(), path, Action::Read, e)),
        }
    }

    /// Whether what is there is the file that a record names.
    pub(super) async fn is(&self, path: &Path, there: Option<&ObjectMeta>, named: Option<&HitFile>) -> Result<bool> {
        match (there, named) {
            // Of a version that did not note it.
            (_, None) => Ok(true),
            (None, Some(_)) => Ok(false),
            (Some(there), Some(named)) if there.size != named.size => Ok(false),
            (Some(there), Some(named)) if named.etag.is_some() && named.etag == there.e_tag => Ok(true),
            // A table that was copied has other etags and the same bytes.
            (_, Some(named)) => Ok(self.fetch(path).await?.is_some_and(|(bytes, _)| sha256(&bytes) == named.sha256)),
        }
    }

    /// Puts hits, row and record of a window in place, in this order, if the window is still as it was `seen`.
    ///
    /// # Errors
    /// `Conflict` when another run committed something else since. When it committed the same, there is nothing left to
    /// do.
    pub(crate) async fn commit(&self, hits: HitBytes, mut record: RunRecord, seen: Seen) -> Result<RunRecord> {
        let label = record.window.label.clone();
        let HitBytes { bytes: hits, sha256: digest } = hits;
        let size = hits.len() as u64;
        record.earlier = self.keep_earlier(&seen, &digest).await?;
        let row_path = self.row_path(&label);
        // Before the hits are put: a row that is put later than this is of a run that saw these hits, or replaces them.
        let row_seen = self.version(&row_path).await?;
        let put = self.put(&self.hits_path(&label), hits.clone(), seen.hits).await?;
        let version = match put {
            Put::Done(version) => version,
            // Another run's, or this one's own whose answer was lost.
            Put::Changed => match self.hits(&label).await? {
                Some((there, version)) if there == hits => version,
                _ => return Err(self.conflict(&label)),
            },
        };
        record.hit_file = Some(HitFile { size, sha256: digest, etag: version.e_tag, path: None });
        let ours = async || Ok(self.hits(&label).await?.is_some_and(|(there, _)| there == hits));
        let row_bytes = Bytes::from(row::file(&record)?);
        let (row_size, row_digest) = (row_bytes.len() as u64, sha256(&row_bytes));
        let row = self.put_row(&label, row_bytes, row_seen, &ours).await?;
        record.row_file = Some(HitFile { size: row_size, sha256: row_digest, etag: row.e_tag.clone(), path: None });
        let put = self.put_record(record, seen.record.map(|(_, version)| version), &ours).await;
        // The record that is there is another run's, and so has to be the row.
        let other = match &put {
            Ok((record, false)) => Some(record.clone()),
            Ok((_, true)) => None,
            Err(error) if error.kind() == ErrorKind::Conflict => {
                self.read::<RunRecord>(&self.record_path(&label)).await?.map(|(record, _)| record)
            }
            Err(_) => None,
        };
        if let Some(other) = other {
            self.put(&row_path, row::file(&other)?, Some(row)).await?;
        }
        put.map(|(record, _)| record)
    }

    /// Puts the row of a window, whose hits are `ours`, and gives its version.
    async fn put_row(
        &self,
        label: &str,
        row: Bytes,
        mut seen: Option<UpdateVersion>,
        ours: &impl AsyncFn() -> Result<bool>,
    ) -> Result<UpdateVersion> {
        let path = self.row_path(label);
        for _ in 0..LOOKS {
            if let Put::Done(version) = self.put(&path, row.clone(), seen).await? {
                return Ok(version);
            }
            seen = match self.fetch(&path).await? {
                // This one, put by a try whose answer was lost.
                Some((there, version)) if there == row => return Ok(version),
                other => other.map(|(_, version)| version),
            };
            if !ours().await? {
                break;
            }
        }
        Err(self.conflict(label))
    }

    /// Puts the record of a window, whose hits are `ours`, over the one of the version `expected`. Gives the record that is
    /// there, and whether it is this one.
    pub(super) async fn put_record(
        &self,
        record: RunRecord,
        mut expected: Option<UpdateVersion>,
        ours: &impl AsyncFn() -> Result<bool>,
    ) -> Result<(RunRecord, bool)> {
        // The keys over the limit can be thousands, and the windows that are committed beside this one wait for its thread.
        let encoding = move || json(&record).map(|text| (record, text));
        let encoded = tokio::task::spawn_blocking(encoding).await;
        let (record, text) =
            encoded.map_err(|e| Error::new(ErrorKind::Output, "encoding the record failed").caused_by(e))??;
        let label = &record.window.label;
        let path = self.record_path(label);
        let digest = |record: &RunRecord| record.hit_file.as_ref().map(|file| file.sha256.clone());
        for _ in 0..LOOKS {
            if let Put::Done(_) = self.put(&path, text.clone(), expected).await? {
                return Ok((record, true));
            }
            expected = match self.read::<RunRecord>(&path).await? {
                // This one, put by a try whose answer was lost.
                Some((other, _)) if other == record => return Ok((record, true)),
                // Another run's that comes to the same.
                Some((other, _)) if other.says_the_same(&record) => return Ok((other, false)),
                // Another run's, from something else, beside hits that are as good as its own.
                Some((other, _)) if digest(&other).is_some() && digest(&other) == digest(&record) => {
                    return Err(self.conflict(label));
                }
                // Another run's, whose hits these replaced: a record that stands beside other hits than it names would be
                // worse than one that is replaced.
                other if ours().await? => other.map(|(_, version)| version),
                _ => return Err(self.conflict(label)),
            };
        }
        Err(self.conflict(label))
    }

    pub(super) fn conflict(&self, label: &str) -> Error {
        Error::new(
            ErrorKind::Conflict,
            "another run committed this window from other files or another job while this one ran; its hits stay, run again",
        )
        .with("file", self.name(&self.record_path(label)))
    }

    /// The hits of a window as one file; `None` where there is none.
    pub(super) async fn hits(&self, label: &str) -> Result<Option<(Bytes, UpdateVersion)>> {
        match self.delta() {
            None => self.fetch(&self.hits_path(label)).await,
            Some(delta) => match delta.files(label).await.as_slice() {
                [file] => self.fetch(&delta.path(&file.path)).await,
                _ => Ok(None),
            },
        }
    }
}
