//! Lists the data files of partitions, and of nothing else.

use futures::{StreamExt, TryStreamExt};
use object_store::ObjectMeta;
use object_store::path::Path;

use super::layout::{Layout, Partition};
use super::store::Root;
use crate::error::{Error, ErrorKind, Result};

/// Listings under way at once: enough to hide the latency of a store, few enough not to be throttled.
const CONCURRENT_LISTINGS: usize = 16;

/// A data file of the lake.
#[derive(Debug, Clone)]
pub(crate) struct LakeFile {
    /// Path (relative to the root), size, time of change and ETag.
    pub(crate) meta: ObjectMeta,
    /// The partition whose folder holds it; `None` in a flat lake.
    pub(crate) partition: Option<Partition>,
}

/// The data files of `partitions` (which follow one another), ordered by path. A flat lake's files are listed whole.
///
/// Only the folders that the partitions make up are listed. Names that begin with `_` or `.`, empty objects and what
/// does not end in `.parquet` are no data.
pub(crate) async fn list(root: &Root, layout: &Layout, partitions: &[Partition]) -> Result<Vec<LakeFile>> {
    let prefixes = if layout.is_flat() { vec![String::new()] } else { layout.prefixes(partitions) };
    let mut files: Vec<LakeFile> = futures::stream::iter(prefixes)
        .map(|prefix| list_prefix(root, layout, partitions, prefix))
        .buffer_unordered(CONCURRENT_LISTINGS)
        .try_concat()
        .await?;
    files.sort_by(|a, b| a.meta.location.cmp(&b.meta.location));
    Ok(files)
}

async fn list_prefix(root: &Root, layout: &Layout, partitions: &[Partition], prefix: String) -> Result<Vec<LakeFile>> {
    let path = Path::parse(&prefix).map_err(|e| {
        Error::new(ErrorKind::Usage, "the layout gives a folder that no store can hold")
            .with("folder", &prefix)
            .caused_by(e)
    })?;
    let mut listing = root.store.list(Some(&path));
    let mut files = Vec::new();
    while let Some(entry) = listing.next().await {
        let meta = match entry {
            Ok(meta) => meta,
            // A folder that does not exist holds nothing; the caller tells which partitions are missing.
            Err(object_store::Error::NotFound { .. }) => break,
            Err(e) => {
                return Err(Error::new(ErrorKind::Unreachable, "the folder cannot be listed")
                    .with("url", root.name(&path))
                    .caused_by(e));
            }
        };
        if !is_data(&meta) {
            continue;
        }
        if layout.is_flat() {
            files.push(LakeFile { meta, partition: None });
        } else if let Some(partition) = layout.locate(meta.location.as_ref()) {
            // A listed folder can be coarser than what was asked for only in what does not fit the template.
            if partitions.binary_search_by(|p| p.start.cmp(&partition.start)).is_ok() {
                files.push(LakeFile { meta, partition: Some(partition) });
            }
        }
    }
    Ok(files)
}

/// All data files of the lake whose folders fit the layout, ordered by path.
pub(crate) async fn list_all(root: &Root, layout: &Layout) -> Result<Vec<LakeFile>> {
    let mut files: Vec<LakeFile> = list_some(root, usize::MAX)
        .await?
        .into_iter()
        .map(|meta| LakeFile { partition: layout.locate(meta.location.as_ref()), meta })
        .filter(|file| layout.is_flat() || file.partition.is_some())
        .collect();
    files.sort_by(|a, b| a.meta.location.cmp(&b.meta.location));
    Ok(files)
}

/// At most `count` data files from anywhere below the root, for a first look at a lake.
pub(crate) async fn list_some(root: &Root, count: usize) -> Result<Vec<ObjectMeta>> {
    root.store
        .list(None)
        .try_filter(|meta| futures::future::ready(is_data(meta)))
        .take(count)
        .try_collect()
        .await
        .map_err(|e| {
            Error::new(ErrorKind::Unreachable, "the lake cannot be listed").with("url", &root.display).caused_by(e)
        })
}

fn is_data(meta: &ObjectMeta) -> bool {
    let path = meta.location.as_ref();
    let (folders, name) = path.rsplit_once('/').unwrap_or(("", path));
    let hidden = |part: &str| part.starts_with('.') || (part.starts_with('_') && !part.contains('='));
    let lower = name.to_ascii_lowercase();
    meta.size > 0
        && (lower.ends_with(".parquet") || lower.ends_with(".parq"))
        && !hidden(name)
        && !folders.split('/').any(hidden)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_parquet_files_with_content_are_data() {
        let meta = |path: &str, size| ObjectMeta {
            location: Path::parse(path).unwrap(),
            last_modified: chrono::DateTime::UNIX_EPOCH,
            size,
            e_tag: None,
            version: None,
        };
        for path in ["a.parquet", "date=2024-05-01/part-0.snappy.parquet", "_year=2024/a.PARQUET", "x/a.parq"] {
            assert!(is_data(&meta(path, 1)), "{path}");
        }
        for path in
            ["_delta_log/a.checkpoint.parquet", ".tmp/a.parquet", "_SUCCESS", "a.csv", "x/_a.parquet", "a.parquet.tmp"]
        {
            assert!(!is_data(&meta(path, 1)), "{path}");
        }
        assert!(!is_data(&meta("a.parquet", 0)), "an empty object is a folder's marker");
    }
}
