//! The hit table of one job: where its objects lie, what holds for all of its windows, and how one object is put.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt, PutMode, PutPayload, UpdateVersion};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::delta::DeltaOutput;
use super::record::VERSION;
use crate::error::{Error, ErrorKind, Result};
use crate::job::{OutputFormat, StoreSpec};
use crate::store::{Action, Root, Stores, failed, is_absent};

/// The hit table of one job.
#[derive(Debug, Clone)]
pub(crate) struct Table {
    root: Root,
    slug: String,
    /// What was noted of it, if something was.
    noted: Option<TableFile>,
    /// Its Delta tables, if it is of that format.
    delta: Option<Arc<DeltaOutput>>,
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
    /// The form of its hits. Two forms would be two tables, of which each lacks what the other has.
    #[serde(default, skip_serializing_if = "OutputFormat::is_parquet")]
    format: OutputFormat,
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
        Self::at(stores.create(output, spec).await?, slug).await
    }

    /// As [`Self::create`], where nothing is created; `None` for a folder that is not there yet.
    pub(crate) async fn open(stores: &Stores, output: &str, spec: &StoreSpec, slug: &str) -> Result<Option<Self>> {
        match stores.open(output, spec).await {
            Ok(root) => Self::at(root, slug).await.map(Some),
            Err(error) if error.kind() == ErrorKind::SourceMissing => Ok(None),
            Err(error) => Err(error),
        }
    }

    async fn at(root: Root, slug: &str) -> Result<Self> {
        let mut table = Self { root, slug: slug.to_owned(), noted: None, delta: None, warned: Arc::default() };
        if let Some((noted, _)) = table.read(&table.table_path()).await? {
            table.remember(noted)?;
        }
        Ok(table)
    }

    fn remember(&mut self, noted: TableFile) -> Result<()> {
        self.delta = match noted.format {
            OutputFormat::Parquet => None,
            OutputFormat::Delta => Some(Arc::new(DeltaOutput::new(&self.root, &self.slug)?)),
        };
        self.noted = Some(noted);
        Ok(())
    }

    /// The folder of the hits of all windows, where they are no Delta table.
    pub(super) fn hits_folder(&self) -> Path {
        Path::from(format!("hits/job={}", self.slug))
    }

    /// The path of a window's hits below the output's root.
    pub(super) fn hits_path(&self, label: &str) -> Path {
        Path::from(format!("{}/window={label}/hits.parquet", self.hits_folder()))
    }

    /// The full name of a window's hits: their file or, of a Delta table, the folder of the window.
    pub(crate) fn hits_name(&self, label: &str) -> String {
        match &self.delta {
            None => self.root.name(&self.hits_path(label)),
            Some(delta) => delta.hits_name(label),
        }
    }

    pub(super) fn record_path(&self, label: &str) -> Path {
        self.path(&format!("window={label}/run.json"))
    }

    pub(super) fn row_path(&self, label: &str) -> Path {
        self.path(&format!("window={label}/run.parquet"))
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

    /// Its Delta tables, if it is of that format.
    pub(super) fn delta(&self) -> Option<&DeltaOutput> {
        self.delta.as_deref()
    }

    /// Whether all windows of a chunk are committed together.
    pub(crate) fn commits_together(&self) -> bool {
        self.delta.is_some()
    }

    /// Refuses windows of another size, or hits of another format, than the table has. Gives whether it has noted them.
    pub(crate) fn check(&self, size: &str, format: OutputFormat) -> Result<bool> {
        let Some(noted) = &self.noted else { return Ok(false) };
        let refused =
            |message| Err(Error::new(ErrorKind::Conflict, message).with("file", self.root.name(&self.table_path())));
        if noted.window_size != size {
            return refused(format!(
                "the output holds windows of {} for this job, not of {size}: a hit would stand in both; choose another --output",
                noted.window_size
            ));
        }
        if noted.format != format {
            return refused(format!(
                "the output holds this job's hits as {}, not as {format}: readers would find a part of them in each; choose \
                 another --output, or --output-format {}",
                noted.format, noted.format
            ));
        }
        Ok(true)
    }

    /// The size of the table's windows (or the label of the one that covers a range), if it has noted one.
    pub(crate) fn window_size(&self) -> Option<&str> {
        self.noted.as_ref().map(|noted| noted.window_size.as_str())
    }

    /// Notes size and format, before the first window is written, in a table that has noted none.
    pub(crate) async fn claim(mut self, size: &str, format: OutputFormat) -> Result<Self> {
        let path = self.table_path();
        let table = TableFile { version: VERSION, window_size: size.to_owned(), format };
        let noted = match self.put(&path, json(&table)?, None).await? {
            Put::Done(_) => table,
            // Somebody else noted theirs meanwhile, or this is our own, whose answer was lost.
            Put::Changed => self.read(&path).await?.map_or(table, |(noted, _)| noted),
        };
        self.remember(noted)?;
        self.check(size, format)?;
        Ok(self)
    }

    /// What the store calls the state of an object; `None` where there is none.
    pub(super) async fn version(&self, path: &Path) -> Result<Option<UpdateVersion>> {
        match self.root.store.head(path).await {
            Ok(meta) => Ok(Some(UpdateVersion { e_tag: meta.e_tag, version: meta.version })),
            Err(e) if is_absent(&e) => Ok(None),
            Err(e) => Err(failed(&self.root, path, Action::Read, e)),
        }
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
