//! Removes what a run that was cut off left behind, and what was replaced long ago. No reader sees any of it in the tables
//! as they are now, so this is about space, and about how far back one can look.

use chrono::{DateTime, TimeDelta, Utc};
use deltalake_core::operations::vacuum::VacuumMode;
use deltalake_core::protocol::checkpoints::cleanup_expired_logs_for;
use futures::TryStreamExt;
use object_store::path::Path;
use object_store::{ObjectMeta, ObjectStoreExt};

use super::delta::{Log, hits_of, runs_of};
use super::read::delta_jobs;
use crate::error::{Error, ErrorKind, Result};
use crate::job::StoreSpec;
use crate::secrets::redact;
use crate::store::{Action, Root, Stores, failed, is_staged};

/// A file that was removed, or would be.
#[derive(Debug)]
pub(crate) struct Leftover {
    /// Its full name.
    pub(crate) name: String,
    pub(crate) size: u64,
}

/// How old a file has to be.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Ages {
    /// What nothing refers to: a run may still be writing what is younger.
    pub(crate) leftovers: TimeDelta,
    /// What was replaced: hits of before a rerun, entries of the history, older versions of Delta tables.
    pub(crate) replaced: TimeDelta,
}

/// What a vacuum found.
#[derive(Debug, Default)]
pub(crate) struct Vacuumed {
    /// What runs that were cut off left.
    pub(crate) leftovers: Vec<Leftover>,
    /// Leftovers that may still be in use.
    pub(crate) young: usize,
    /// What was replaced long ago.
    pub(crate) expired: Vec<Leftover>,
    /// Hit files without a run record: their windows are not done, and the next run over them replaces these.
    pub(crate) unfinished: Vec<String>,
}

/// Removes the leftovers of `output`, and what was replaced, that are older than `ages`; only looks if `dry`.
///
/// Staged files of a local folder are all that a run leaves beside its tables: objects are put whole, in one request, and no
/// upload of parts is ever begun.
pub(crate) async fn vacuum(
    stores: &Stores,
    output: &str,
    spec: &StoreSpec,
    now: DateTime<Utc>,
    ages: Ages,
    dry: bool,
) -> Result<Vacuumed> {
    let root = stores.open(output, spec).await?;
    let mut found = Vacuumed::default();
    let mut all: Vec<ObjectMeta> = Vec::new();
    for folder in ["hits", "runs"] {
        let folder = Path::from(folder);
        let listed = root.store.list(Some(&folder)).try_collect::<Vec<_>>().await;
        all.extend(listed.map_err(|e| failed(&root, &folder, Action::List, e))?);
    }
    all.sort_by(|a, b| a.location.cmp(&b.location));
    for (place, meta) in all.iter().enumerate() {
        let age = now - meta.last_modified;
        match kind(&all, place) {
            Kind::Staged if age < ages.leftovers => found.young += 1,
            Kind::Staged => found.leftovers.push(remove(&root, meta, dry).await?),
            Kind::Replaced if age >= ages.replaced => found.expired.push(remove(&root, meta, dry).await?),
            Kind::Unfinished => found.unfinished.push(root.name(&meta.location)),
            Kind::Replaced | Kind::Kept => {}
        }
    }
    let mut tables = delta_jobs(&root).await?.iter().map(|slug| hits_of(&root, slug)).collect::<Result<Vec<_>>>()?;
    tables.push(runs_of(&root)?);
    for table in tables {
        sweep(table, now, ages.replaced, dry, &mut found).await?;
    }
    Ok(found)
}

enum Kind {
    Staged,
    Replaced,
    Unfinished,
    Kept,
}

/// What one of `all` files is, which are in the order of their names.
fn kind(all: &[ObjectMeta], place: usize) -> Kind {
    let path = all[place].location.as_ref();
    let name = all[place].location.filename().unwrap_or_default();
    let of_a_run = path.starts_with("runs/");
    if is_staged(name) {
        return Kind::Staged;
    }
    if of_a_run && name.starts_with("hits-") && name.ends_with(".parquet") {
        return Kind::Replaced;
    }
    // The last entry of a job stays: it says when something was done at all.
    let folder = path.strip_suffix(name).unwrap_or_default();
    if of_a_run && folder.ends_with("/history/") {
        let last = all.get(place + 1).is_none_or(|next| !next.location.as_ref().starts_with(folder));
        return if last { Kind::Kept } else { Kind::Replaced };
    }
    let record = path.replacen("hits/", "runs/", 1).replace("/hits.parquet", "/run.json");
    let has_record = || all.binary_search_by(|other| other.location.as_ref().cmp(&record)).is_ok();
    if name == "hits.parquet" && !has_record() { Kind::Unfinished } else { Kind::Kept }
}

async fn remove(root: &Root, meta: &ObjectMeta, dry: bool) -> Result<Leftover> {
    if !dry {
        let removed = root.store.delete(&meta.location).await;
        removed.map_err(|e| failed(root, &meta.location, Action::Delete, e))?;
    }
    Ok(Leftover { name: root.name(&meta.location), size: meta.size })
}

/// Removes the data files that no version of a Delta table within `age` has, and the part of its log that only older
/// versions need. Files that a run put and never committed are among them.
async fn sweep(mut table: Log, now: DateTime<Utc>, age: TimeDelta, dry: bool, found: &mut Vacuumed) -> Result<()> {
    table.refresh().await?;
    if !table.exists() {
        return Ok(());
    }
    let root = table.root().clone();
    let sizes = root.store.list(None).map_ok(|meta| (meta.location.to_string(), meta.size));
    let sizes: std::collections::HashMap<String, u64> =
        sizes.try_collect().await.map_err(|e| failed(&root, &Path::default(), Action::List, e))?;
    let refused = |error: deltalake_core::DeltaTableError| {
        Error::new(ErrorKind::Output, "the Delta table cannot be vacuumed")
            .with("url", &root.display)
            .caused_by(redact(&error.to_string()).into_owned())
    };
    // A retention that the user chose is no mistake.
    let vacuum = |dry| {
        let vacuum = table.table().clone().vacuum().with_mode(VacuumMode::Full).with_dry_run(dry);
        vacuum.with_retention_period(age).with_enforce_retention_duration(false)
    };
    // The log remembers removed files for a while after they are gone; those alone are no reason for two more versions.
    let there = |files: Vec<String>| -> Vec<(String, u64)> {
        files.into_iter().filter_map(|path| sizes.get(&path).map(|size| (path, *size))).collect()
    };
    let (mut after, metrics) = vacuum(true).await.map_err(refused)?;
    let mut files = there(metrics.files_deleted);
    if !dry && !files.is_empty() {
        let (vacuumed, metrics) = vacuum(false).await.map_err(refused)?;
        (after, files) = (vacuumed, there(metrics.files_deleted));
    }
    found.expired.extend(files.into_iter().map(|(path, size)| Leftover { name: root.name(&Path::from(path)), size }));
    if let (false, Some(version)) = (dry, after.version()) {
        let before = (now - age).timestamp_millis();
        cleanup_expired_logs_for(version, after.log_store().as_ref(), before, None).await.map_err(refused)?;
    }
    Ok(())
}
