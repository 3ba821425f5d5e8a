//! One Delta table: what its log says, and commits to it.
//!
//! The library (deltalake-core) reads the log, checks what a writer has to honour, puts the next version if nobody else
//! has, and writes checkpoints. It is built without its engine (its feature `datafusion`): that is 80 crates more (594 for
//! 514) and switches on the defaults, the compression codecs, the hash functions and the protobuf forms of ours, so that the
//! engine is built anew and carries them; and what it is for, making rows into files and telling by predicates whether two
//! commits get into each other's way, is not needed: our files are finished, and a partition is what a commit replaces.

use std::collections::BTreeMap;

use bytes::Bytes;
use deltalake_core::DeltaTable;
use deltalake_core::errors::DeltaTableError;
use deltalake_core::kernel::transaction::{CommitBuilder, TransactionError};
use deltalake_core::kernel::{Action, Add, LogicalFileView, MetadataExt, Remove, StructField, StructType};
use deltalake_core::protocol::checkpoints::create_checkpoint;
use deltalake_core::protocol::{DeltaOperation, SaveMode};
use object_store::path::Path;
use object_store::{ObjectStoreExt, PutMode, PutPayload};

use super::stats;
use crate::error::{Error, ErrorKind, Result};
use crate::secrets::redact;
use crate::store::{Action as Request, DELTA_LOG, Root, delta_table, failed, is_delta_table, unreadable_log};

/// A checkpoint is written at every so manieth version, as Spark does: what a reader has to read of the log stays short.
const CHECKPOINT_EVERY: u64 = 10;

/// A Delta table below an output.
#[derive(Debug)]
pub(crate) struct Log {
    root: Root,
    /// Its path below the output's root.
    folder: Path,
    /// The columns that it is partitioned by.
    partitions: &'static [&'static str],
    table: DeltaTable,
    exists: bool,
    /// Whether a checkpoint is due since the last commit.
    due: bool,
    /// The files that make it up, by their values of the partitions.
    files: BTreeMap<Vec<String>, Vec<Active>>,
}

/// A file of a table.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct File {
    /// Below the table's root.
    pub(crate) path: String,
    pub(crate) size: u64,
    /// Whether all of its rows are the table's; another writer may have deleted some by a vector beside it.
    pub(crate) intact: bool,
}

/// A file of a table, and what takes it away.
#[derive(Debug, Clone)]
pub(super) struct Active {
    pub(super) file: File,
    pub(super) remove: Remove,
}

impl Log {
    /// The table in `folder` of an output. Nothing is reached for yet.
    pub(super) fn new(output: &Root, folder: &Path, partitions: &'static [&'static str]) -> Result<Self> {
        let root = output.folder(folder);
        let table = delta_table(&root)?.build().map_err(|e| unreadable_log(&root, e))?;
        Ok(Self { root, folder: folder.clone(), partitions, table, exists: false, due: false, files: BTreeMap::new() })
    }

    /// The table's own root.
    pub(crate) fn root(&self) -> &Root {
        &self.root
    }

    /// Whether there was such a table when its log was last read.
    pub(crate) fn exists(&self) -> bool {
        self.exists
    }

    /// The library's own table, at the version that was last read.
    pub(crate) fn table(&self) -> &DeltaTable {
        &self.table
    }

    /// A path of the table below the output's root.
    pub(crate) fn below_output(&self, path: &str) -> Path {
        Path::from_iter(self.folder.parts().chain(Path::from(path).parts()))
    }

    /// Reads what is new in the log.
    pub(crate) async fn refresh(&mut self) -> Result<()> {
        if !self.exists && !is_delta_table(&self.root).await? {
            return Ok(());
        }
        let before = self.table.version();
        self.table.update_state().await.map_err(|e| unreadable_log(&self.root, e))?;
        self.exists = true;
        if before != self.table.version() {
            let state = self.table.snapshot().map_err(|e| unreadable_log(&self.root, e))?;
            let log = state.snapshot().try_log_data().map_err(|e| unreadable_log(&self.root, e))?;
            self.files.clear();
            for view in log.iter() {
                let values = view.partition_values_map();
                let value = |name: &&str| values.get(*name).cloned().flatten().unwrap_or_default();
                let key = self.partitions.iter().map(value).collect();
                self.files.entry(key).or_default().push(active(&view));
            }
        }
        Ok(())
    }

    /// The files of a partition.
    pub(super) fn files(&self, partition: &[String]) -> &[Active] {
        self.files.get(partition).map_or(&[], Vec::as_slice)
    }

    /// The files of the partitions that are wanted.
    pub(super) fn partitions(&self, wanted: impl Fn(&[String]) -> bool) -> impl Iterator<Item = &Active> {
        self.files.iter().filter(move |(partition, _)| wanted(partition)).flat_map(|(_, files)| files)
    }

    /// All files, ordered by partition.
    pub(crate) fn all_files(&self) -> impl Iterator<Item = &File> {
        self.files.values().flatten().map(|active| &active.file)
    }

    /// Where its data files are put.
    pub(super) fn place(&self) -> Place {
        Place { root: self.root.clone(), partitions: self.partitions }
    }

    /// Creates the table, unless it is there.
    pub(super) async fn create(&mut self, schema: &StructType, name: &str) -> Result<()> {
        if self.exists {
            return Ok(());
        }
        let created = self
            .table
            .create()
            .with_table_name(name)
            .with_columns(schema.fields().cloned())
            .with_partition_columns(self.partitions.iter().copied())
            .with_configuration([("delta.checkpointInterval", Some(CHECKPOINT_EVERY.to_string()))])
            .with_save_mode(SaveMode::ErrorIfExists)
            .await;
        let failure = created.err();
        self.refresh().await?;
        match failure {
            // If it is there by now, another run was faster, or an answer was lost.
            Some(error) if !self.exists => Err(self.unwritable(error)),
            _ => Ok(()),
        }
    }

    /// What has to be added to a commit so that the table has the columns of `schema`: nothing, if it has.
    ///
    /// # Errors
    /// `Conflict` when a column is of another type in the table.
    pub(super) fn widened(&self, schema: &StructType) -> Result<Option<Action>> {
        let state = self.table.snapshot().map_err(|e| unreadable_log(&self.root, e))?;
        let there = state.schema();
        let mut fields: Vec<StructField> = there.fields().cloned().collect();
        for field in schema.fields() {
            match there.field(field.name()) {
                None => fields.push(field.clone()),
                Some(known) if known.data_type() == field.data_type() => {}
                Some(known) => {
                    return Err(Error::new(
                        ErrorKind::Conflict,
                        format!(
                            "the column is {} in the Delta table and {} by now; give it another name, or choose another --output",
                            known.data_type(),
                            field.data_type()
                        ),
                    )
                    .with("column", field.name())
                    .with("url", &self.root.display));
                }
            }
        }
        if fields.len() == there.fields().len() {
            return Ok(None);
        }
        let schema = StructType::try_new(fields)
            .map_err(|e| Error::new(ErrorKind::Output, "the Delta table cannot have these columns").caused_by(e))?;
        let metadata =
            state.metadata().clone().with_schema(&schema).map_err(|e| unreadable_log(&self.root, e.into()))?;
        Ok(Some(Action::Metadata(metadata)))
    }

    /// Commits as the version after the one that was last read; gives false if that is there already.
    pub(super) async fn commit(&mut self, actions: Vec<Action>, predicate: String) -> Result<bool> {
        let operation = DeltaOperation::Write {
            mode: SaveMode::Overwrite,
            partition_by: Some(self.partitions.iter().map(|name| (*name).to_owned()).collect()),
            predicate: Some(predicate),
        };
        let state = self.table.snapshot().map_err(|e| unreadable_log(&self.root, e))?;
        // No retries: what has changed meanwhile is looked at before another try.
        let commit = CommitBuilder::default().with_actions(actions).with_max_retries(0);
        let committed = commit.build(Some(state), self.table.log_store(), operation).await;
        match committed {
            // Whoever commits such a version writes it; were it killed before, the next one is not far.
            Ok(done) => self.due |= done.version() % CHECKPOINT_EVERY == 0,
            Err(
                DeltaTableError::VersionAlreadyExists(_)
                | DeltaTableError::Transaction { source: TransactionError::MaxCommitAttempts(_) },
            ) => return Ok(false),
            Err(error) => return Err(self.unwritable(error)),
        }
        self.refresh().await?;
        Ok(true)
    }

    /// Writes a checkpoint when one is due. Nothing is lost where that fails; the next one is written in its place.
    pub(super) async fn checkpoint(&mut self) {
        if !std::mem::take(&mut self.due) {
            return;
        }
        if let Err(error) = create_checkpoint(&self.table, None).await {
            let error = redact(&error.to_string()).into_owned();
            tracing::warn!(url = self.root.display, error, "no checkpoint was written; the table is whole without");
        }
    }

    fn unwritable(&self, error: DeltaTableError) -> Error {
        let log = Path::from(DELTA_LOG);
        match error {
            DeltaTableError::ObjectStore {
                source: object_store::Error::NotImplemented { .. } | object_store::Error::NotSupported { .. },
            } => Error::new(
                ErrorKind::Output,
                "this store cannot put on a condition, without which a Delta table is not safe; use --output-format parquet",
            )
            .with("url", &self.root.display),
            DeltaTableError::ObjectStore { source } => failed(&self.root, &log, Request::Write, source),
            error => {
                let what = Error::new(ErrorKind::Output, "the commit to the Delta table failed; run again");
                what.with("url", self.root.name(&log)).caused_by(redact(&error.to_string()).into_owned())
            }
        }
    }
}

/// Where data files of a table are put.
#[derive(Debug, Clone)]
pub(super) struct Place {
    root: Root,
    partitions: &'static [&'static str],
}

impl Place {
    /// Puts a data file, which is no part of the table before it is committed.
    ///
    /// Its name begins with its content's digest, so that the log tells whether two files are the same, and is used once:
    /// a vacuum may be about to remove a file of that content which was part of the table before.
    pub(super) async fn put(&self, partition: &[String], digest: &str, bytes: Bytes) -> Result<Add> {
        let mut path: String =
            self.partitions.iter().zip(partition).map(|(name, value)| format!("{name}={value}/")).collect();
        path.push_str(&format!("{}-{:016x}.parquet", short(digest), crate::sink::random()));
        let stats = stats::of(&bytes)?;
        let size = bytes.len();
        let place = Path::from(path.as_str());
        let put = self.root.store.put_opts(&place, PutPayload::from_bytes(bytes), PutMode::Overwrite.into()).await;
        put.map_err(|e| failed(&self.root, &place, Request::Write, e))?;
        let values = self.partitions.iter().zip(partition);
        Ok(Add {
            path,
            partition_values: values.map(|(name, value)| ((*name).to_owned(), Some(value.clone()))).collect(),
            size: i64::try_from(size).unwrap_or(i64::MAX),
            modification_time: chrono::Utc::now().timestamp_millis(),
            data_change: true,
            stats: Some(stats),
            tags: None,
            deletion_vector: None,
            base_row_id: None,
            default_row_commit_version: None,
            clustering_provider: None,
        })
    }

    /// Removes data files that were put and not committed. One that stays is no part of the table, and vacuum's.
    pub(super) async fn forget(&self, adds: &[Add]) {
        for add in adds {
            let _ = self.root.store.delete(&Path::from(add.path.as_str())).await;
        }
    }
}

fn active(view: &LogicalFileView) -> Active {
    let size = u64::try_from(view.size()).unwrap_or_default();
    let intact = view.deletion_vector_descriptor().is_none();
    Active { file: File { path: view.path().into_owned(), size, intact }, remove: view.remove_action(true) }
}

/// As much of a digest as a name has.
fn short(digest: &str) -> &str {
    digest.get(..32).unwrap_or(digest)
}

impl File {
    /// Whether it has the content of this digest, as far as its name tells.
    pub(super) fn has(&self, digest: &str) -> bool {
        let name = self.path.rsplit('/').next().unwrap_or_default();
        self.intact && name.split_once('-').is_some_and(|(of, _)| of == short(digest))
    }
}

impl From<&Add> for File {
    fn from(add: &Add) -> Self {
        Self { path: add.path.clone(), size: u64::try_from(add.size).unwrap_or_default(), intact: true }
    }
}
