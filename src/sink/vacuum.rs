//! Removes what a run that was cut off left behind. Nothing of it is seen by readers, so this is only about space.

use chrono::{DateTime, TimeDelta, Utc};
use futures::TryStreamExt;
use object_store::path::Path;
use object_store::{ObjectMeta, ObjectStoreExt};

use crate::error::Result;
use crate::job::StoreSpec;
use crate::store::{Action, Stores, failed, is_staged};

/// A file that nothing refers to.
#[derive(Debug)]
pub(crate) struct Leftover {
    /// Its full name.
    pub(crate) name: String,
    pub(crate) size: u64,
}

/// What a vacuum found.
#[derive(Debug)]
pub(crate) struct Vacuumed {
    /// What was removed, or would be.
    pub(crate) leftovers: Vec<Leftover>,
    /// Leftovers that may still be in use.
    pub(crate) young: usize,
    /// Hit files without a run record: their windows are not done, and the next run over them replaces these.
    pub(crate) unfinished: Vec<String>,
}

/// Removes the leftovers of `output` that are older than `age`; only looks if `dry`.
///
/// Staged files of a local folder are all that can be left: objects are put whole, in one request, and no upload of parts
/// is ever begun.
pub(crate) async fn vacuum(
    stores: &Stores,
    output: &str,
    spec: &StoreSpec,
    now: DateTime<Utc>,
    age: TimeDelta,
    dry: bool,
) -> Result<Vacuumed> {
    let root = stores.open(output, spec).await?;
    let mut all: Vec<ObjectMeta> = Vec::new();
    for folder in ["hits", "runs"] {
        let folder = Path::from(folder);
        let listed = root.store.list(Some(&folder)).try_collect::<Vec<_>>().await;
        all.extend(listed.map_err(|e| failed(&root, &folder, Action::List, e))?);
    }
    all.sort_by(|a, b| a.location.cmp(&b.location));

    let mut found = Vacuumed { leftovers: Vec::new(), young: 0, unfinished: Vec::new() };
    for meta in &all {
        let name = meta.location.filename().unwrap_or_default();
        if is_staged(name) {
            if now - meta.last_modified < age {
                found.young += 1;
                continue;
            }
            if !dry {
                let removed = root.store.delete(&meta.location).await;
                removed.map_err(|e| failed(&root, &meta.location, Action::Delete, e))?;
            }
            found.leftovers.push(Leftover { name: root.name(&meta.location), size: meta.size });
        } else if name == "hits.parquet" {
            let record = meta.location.as_ref().replacen("hits/", "runs/", 1).replace("/hits.parquet", "/run.json");
            if all.binary_search_by(|other| other.location.as_ref().cmp(&record)).is_err() {
                found.unfinished.push(root.name(&meta.location));
            }
        }
    }
    Ok(found)
}
