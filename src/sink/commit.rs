//! Puts a window's hits and record in place, so that the two tell of the same run whatever happens to it.
//!
//! ```text
//!   look      hits' version, record            (before the window is evaluated)
//!   put       hits.parquet   if still as seen
//!   put       run.json       if still as seen, naming the hits that it goes with
//! ```
//!
//! Each put is one atomic step: a reader sees the old file or the new one. Where a run ends between the two, the record is
//! missing, or is of other inputs, or names other hits than are there: in each case the window is not done, the next run
//! does it again, and the same input gives the same bytes.
//!
//! Two runs of one window: who comes second finds that the hits, or the record, are no longer as seen. If the other run
//! wrote the same, there is nothing left to do; else it gives up with a conflict. Whoever put the hits last puts the record
//! last, so that no record stands beside another run's hits.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt, PutMode, PutPayload, UpdateVersion};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::record::{HitFile, RunRecord, VERSION};
use crate::error::{Error, ErrorKind, Result};
use crate::job::StoreSpec;
use crate::store::{Action, Root, Stores, failed, is_absent};

/// Times that a commit looks again at what others put in its way. Each time another run got further, so more than a few
/// means that something else writes here.
const LOOKS: usize = 5;

/// The hit table of one job.
#[derive(Debug, Clone)]
pub(crate) struct Table {
    root: Root,
    slug: String,
    /// Whether it was said that the store cannot put on a condition.
    warned: Arc<AtomicBool>,
}

/// What holds for all windows of a table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct TableFile {
    version: u32,
    /// The size of its windows, or the label of the one that covers a range. Windows of two sizes, or two ranges that
    /// overlap, would hold the same hit twice.
    window_size: String,
}

/// What a window had when a run looked.
#[derive(Debug, Clone, Default)]
pub(crate) struct Seen {
    hits: Option<UpdateVersion>,
    record: Option<(RunRecord, UpdateVersion)>,
    /// Whether the hits that are there are those that the record goes with.
    whole: bool,
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

/// What came of putting something on a condition.
pub(super) enum Put {
    Done(UpdateVersion),
    /// It is no longer as it was seen.
    Changed,
}

impl Table {
    /// Opens the table of job `slug` below `output`; a folder is created where it is missing.
    pub(crate) async fn create(stores: &Stores, output: &str, spec: &StoreSpec, slug: &str) -> Result<Self> {
        Ok(Self { root: stores.create(output, spec).await?, slug: slug.to_owned(), warned: Arc::default() })
    }

    /// As [`Self::create`], where nothing is created; `None` for a folder that is not there yet.
    pub(crate) async fn open(stores: &Stores, output: &str, spec: &StoreSpec, slug: &str) -> Result<Option<Self>> {
        match stores.open(output, spec).await {
            Ok(root) => Ok(Some(Self { root, slug: slug.to_owned(), warned: Arc::default() })),
            Err(error) if error.kind() == ErrorKind::SourceMissing => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// The folder of the hits of all windows.
    pub(super) fn hits_folder(&self) -> Path {
        Path::from(format!("hits/job={}", self.slug))
    }

    /// The path of a window's hits below the output's root.
    pub(crate) fn hits_path(&self, label: &str) -> Path {
        Path::from(format!("{}/window={label}/hits.parquet", self.hits_folder()))
    }

    /// The full name of a window's hits.
    pub(crate) fn hits_name(&self, label: &str) -> String {
        self.root.name(&self.hits_path(label))
    }

    fn record_path(&self, label: &str) -> Path {
        self.path(&format!("window={label}/run.json"))
    }

    fn table_path(&self) -> Path {
        self.path("table.json")
    }

    /// What stands beside the hits: `name` in the runs of this job.
    pub(super) fn path(&self, name: &str) -> Path {
        Path::from(format!("runs/job={}/{name}", self.slug))
    }

    /// The full name of a path, for messages.
    pub(super) fn name(&self, path: &Path) -> String {
        self.root.name(path)
    }

    pub(super) fn root(&self) -> &Root {
        &self.root
    }

    pub(super) fn store(&self) -> &dyn ObjectStore {
        self.root.store.as_ref()
    }

    /// Refuses windows of another size than the table has. Gives whether it has noted one.
    pub(crate) async fn check_size(&self, size: &str) -> Result<bool> {
        let path = self.table_path();
        match self.read::<TableFile>(&path).await? {
            Some((table, _)) if table.window_size != size => Err(Error::new(
                ErrorKind::Conflict,
                format!(
                    "the output holds windows of {} for this job, not of {size}: a hit would stand in both; choose another --output",
                    table.window_size
                ),
            )
            .with("file", self.root.name(&path))),
            noted => Ok(noted.is_some()),
        }
    }

    /// The size of the table's windows (or the label of the one that covers a range), if it has noted one.
    pub(crate) async fn window_size(&self) -> Result<Option<String>> {
        Ok(self.read::<TableFile>(&self.table_path()).await?.map(|(table, _)| table.window_size))
    }

    /// Notes the size of the table's windows, before the first of them is written, in a table that has noted none.
    pub(crate) async fn claim(&self, size: &str) -> Result<()> {
        let path = self.table_path();
        let table = TableFile { version: VERSION, window_size: size.to_owned() };
        if let Put::Changed = self.put(&path, json(&table)?, None).await? {
            // Somebody else noted theirs meanwhile.
            self.check_size(size).await?;
        }
        Ok(())
    }

    /// Looks at what a window has. The hits first: a run that commits between the two looks is then noticed by the hits.
    pub(crate) async fn look(&self, label: &str) -> Result<Seen> {
        let path = self.hits_path(label);
        let hits = match self.root.store.head(&path).await {
            Ok(meta) => Some(meta),
            Err(e) if is_absent(&e) => None,
            Err(e) => return Err(failed(&self.root, &path, Action::Read, e)),
        };
        let record = self.read::<RunRecord>(&self.record_path(label)).await?;
        let whole = match (&hits, &record) {
            (Some(hits), Some((record, _))) => match &record.hit_file {
                // Of a version that did not note it.
                None => true,
                Some(file) if file.size != hits.size => false,
                Some(file) if file.etag.is_some() && file.etag == hits.e_tag => true,
                // A table that was copied has other etags and the same bytes.
                Some(file) => self.hits(label).await?.is_some_and(|(bytes, _)| sha256(&bytes) == file.sha256),
            },
            _ => false,
        };
        let hits = hits.map(|meta| UpdateVersion { e_tag: meta.e_tag, version: meta.version });
        Ok(Seen { hits, record, whole })
    }

    /// Puts hits and record of a window in place, in this order, if the window is still as it was `seen`.
    ///
    /// # Errors
    /// `Conflict` when another run committed something else since. When it committed the same, there is nothing left to
    /// do.
    pub(crate) async fn commit(&self, hits: Vec<u8>, mut record: RunRecord, seen: Seen) -> Result<RunRecord> {
        let label = record.window.label.clone();
        let hits = Bytes::from(hits);
        let (size, digest) = (hits.len() as u64, sha256(&hits));
        record.earlier = self.keep_earlier(&seen, &digest).await?;
        let file = |version: &UpdateVersion| HitFile { size, sha256: digest.clone(), etag: version.e_tag.clone() };
        let put = self.put(&self.hits_path(&label), hits.clone(), seen.hits).await?;
        let version = match put {
            Put::Done(version) => version,
            // Another run's, or this one's own whose answer was lost.
            Put::Changed => match self.hits(&label).await? {
                Some((there, version)) if there == hits => version,
                _ => return Err(self.conflict(&label)),
            },
        };
        record.hit_file = Some(file(&version));
        let text = json(&record)?;

        let mut expected = seen.record.map(|(_, version)| version);
        for _ in 0..LOOKS {
            if let Put::Done(_) = self.put(&self.record_path(&label), text.clone(), expected).await? {
                return Ok(record);
            }
            expected = match self.read::<RunRecord>(&self.record_path(&label)).await? {
                // This one, put by a try whose answer was lost; or another run's that comes to the same.
                Some((other, _)) if other == record || other.says_the_same(&record) => return Ok(other),
                // Another run's, from something else, beside hits that are as good as its own.
                Some((other, _)) if other.hit_file.as_ref().is_some_and(|file| file.sha256 == digest) => {
                    return Err(self.conflict(&label));
                }
                // Another run's, whose hits these replaced: a record that stands beside other hits than it names would be
                // worse than one that is replaced.
                other if self.hits(&label).await?.is_some_and(|(there, _)| there == hits) => {
                    other.map(|(_, version)| version)
                }
                _ => return Err(self.conflict(&label)),
            };
        }
        Err(self.conflict(&label))
    }

    fn conflict(&self, label: &str) -> Error {
        Error::new(
            ErrorKind::Conflict,
            "another run committed this window from other files or another job while this one ran; its hits stay, run again",
        )
        .with("file", self.root.name(&self.record_path(label)))
    }

    pub(super) async fn hits(&self, label: &str) -> Result<Option<(Bytes, UpdateVersion)>> {
        self.fetch(&self.hits_path(label)).await
    }

    pub(super) async fn fetch(&self, path: &Path) -> Result<Option<(Bytes, UpdateVersion)>> {
        let unreadable = |e| failed(&self.root, path, Action::Read, e);
        let found = match self.root.store.get(path).await {
            Ok(found) => found,
            Err(e) if is_absent(&e) => return Ok(None),
            Err(e) => return Err(unreadable(e)),
        };
        let version = UpdateVersion { e_tag: found.meta.e_tag.clone(), version: found.meta.version.clone() };
        Ok(Some((found.bytes().await.map_err(unreadable)?, version)))
    }

    pub(super) async fn read<T: serde::de::DeserializeOwned>(&self, path: &Path) -> Result<Option<(T, UpdateVersion)>> {
        let Some((bytes, version)) = self.fetch(path).await? else { return Ok(None) };
        serde_json::from_slice(&bytes).map(|value| Some((value, version))).map_err(|e| {
            Error::new(
                ErrorKind::Output,
                "the record is damaged or of a later version; remove it to have its window evaluated again",
            )
            .with("file", self.root.name(path))
            .caused_by(e)
        })
    }

    /// Puts an object, if what is there is still what was `seen` (nothing, for `None`).
    pub(super) async fn put(&self, path: &Path, bytes: impl Into<Bytes>, seen: Option<UpdateVersion>) -> Result<Put> {
        let payload = PutPayload::from_bytes(bytes.into());
        let mode = match seen.clone() {
            None => PutMode::Create,
            Some(version) => PutMode::Update(version),
        };
        use object_store::Error as Store;
        match self.root.store.put_opts(path, payload.clone(), mode.into()).await {
            Ok(put) => Ok(Put::Done(UpdateVersion { e_tag: put.e_tag, version: put.version })),
            Err(Store::AlreadyExists { .. } | Store::Precondition { .. } | Store::NotModified { .. }) => {
                Ok(Put::Changed)
            }
            // What was seen is gone: some stores say this for a condition on a missing object.
            Err(Store::NotFound { .. }) if seen.is_some() => Ok(Put::Changed),
            Err(Store::NotImplemented { .. } | Store::NotSupported { .. }) => {
                self.put_after_a_look(path, payload, seen).await
            }
            Err(e) => Err(failed(&self.root, path, Action::Write, e)),
        }
    }

    /// For stores without conditions: looks, then puts. Another run can come between the two.
    async fn put_after_a_look(&self, path: &Path, payload: PutPayload, seen: Option<UpdateVersion>) -> Result<Put> {
        if !self.warned.swap(true, Ordering::Relaxed) {
            tracing::warn!(
                url = self.root.display,
                "this store cannot put on a condition; see to it that no two runs write one table at once"
            );
        }
        let now = match self.root.store.head(path).await {
            Ok(meta) => Some(meta.e_tag),
            Err(object_store::Error::NotFound { .. }) => None,
            Err(e) => return Err(failed(&self.root, path, Action::Read, e)),
        };
        if now != seen.map(|version| version.e_tag) {
            return Ok(Put::Changed);
        }
        let put = self.root.store.put(path, payload).await;
        let put = put.map_err(|e| failed(&self.root, path, Action::Write, e))?;
        Ok(Put::Done(UpdateVersion { e_tag: put.e_tag, version: put.version }))
    }
}

pub(super) fn json(value: &impl Serialize) -> Result<Bytes> {
    let mut text = serde_json::to_vec_pretty(value)
        .map_err(|e| Error::new(ErrorKind::Output, "the record cannot be encoded").caused_by(e))?;
    text.push(b'\n');
    Ok(text.into())
}

pub(super) fn sha256(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    Sha256::digest(bytes).iter().fold(String::new(), |mut hex, byte| {
        // Writing to a String cannot fail.
        let _ = write!(hex, "{byte:02x}");
        hex
    })
}
