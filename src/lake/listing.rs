//! Lists the data files of partitions, and of nothing else.

use futures::{StreamExt, TryStreamExt};
use object_store::ObjectMeta;
use object_store::path::Path;

use super::columns::Columns;
use super::delta;
use super::layout::{Layout, Partition};
use crate::error::{Error, ErrorKind, Result};
use crate::store::{Action, Root, Told, failed, is_delta_table, pinned};

/// Listings under way at once: enough to hide the latency of a store, few enough not to be throttled.
const CONCURRENT_LISTINGS: usize = 32;

/// A data file of the lake.
#[derive(Debug, Clone)]
pub(crate) struct LakeFile {
    /// Path (relative to the root), size, time of change and ETag.
    pub(crate) meta: ObjectMeta,
    /// The partition whose folder holds it; `None` in a flat lake and in a Delta table.
    pub(crate) partition: Option<Partition>,
    /// The earliest and the latest time in nanoseconds, both inclusive, where a Delta table's log tells.
    pub(crate) times: Option<(i64, i64)>,
}

/// What was listed.
#[derive(Debug)]
pub(crate) struct Listing {
    /// The lake; reading one of the files from it gives what was listed, or an error.
    pub(crate) root: Root,
    /// Ordered by path.
    pub(crate) files: Vec<LakeFile>,
    /// The version, if the lake is a Delta table: the files are then all that this version has.
    pub(crate) version: Option<u64>,
}

/// The data files of `partitions` (in order; all that there are for `None`), ordered by path. A flat lake's
/// files are listed whole, and a Delta table's are those of the version that is asked for.
///
/// Only the folders that the partitions make up are listed. Names that begin with `_` or `.`, empty objects and what
/// does not end in `.parquet` are no data.
pub(crate) async fn list(
    root: Root,
    layout: &Layout,
    partitions: Option<&[Partition]>,
    columns: &Columns,
    version: Option<u64>,
) -> Result<Listing> {
    // At once, since both wait for the store; of a flat lake, which may be large, only if it is needed.
    let (is_delta, listed) = match layout.is_flat() {
        true => (is_delta_table(&root).await?, None),
        false => {
            let (is_delta, listed) = futures::join!(is_delta_table(&root), folders(&root, layout, partitions));
            (is_delta?, Some(listed))
        }
    };
    if is_delta {
        let (version, files) = delta::files(&root, version, columns).await?;
        let root = pinned(root, files.iter().map(|file| &file.meta), Told::ByALog);
        return Ok(Listing { root, files, version: Some(version) });
    }
    if let Some(version) = version {
        return Err(Error::new(
            ErrorKind::Usage,
            format!("the source is no Delta table, so it has no version {version}; leave out --source-version"),
        )
        .with("url", &root.display));
    }
    let mut files = match listed {
        Some(listed) => listed?,
        None => folders(&root, layout, partitions).await?,
    };
    files.sort_by(|a, b| a.meta.location.cmp(&b.meta.location));
    let root = pinned(root, files.iter().map(|file| &file.meta), Told::ByTheStore);
    Ok(Listing { root, files, version: None })
}

/// The data files of the folders that `partitions` make up.
async fn folders(root: &Root, layout: &Layout, partitions: Option<&[Partition]>) -> Result<Vec<LakeFile>> {
    let prefixes = match partitions {
        Some(partitions) if !layout.is_flat() => {
            partitions.chunk_by(|a, b| a.end == b.start).flat_map(|stretch| layout.prefixes(stretch)).collect()
        }
        _ => vec![String::new()],
    };
    futures::stream::iter(prefixes)
        .map(|prefix| list_prefix(root, layout, partitions, prefix))
        .buffer_unordered(CONCURRENT_LISTINGS)
        .try_concat()
        .await
}

async fn list_prefix(
    root: &Root,
    layout: &Layout,
    partitions: Option<&[Partition]>,
    prefix: String,
) -> Result<Vec<LakeFile>> {
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
            Err(object_store::Error::NotFound { .. }) if root.provider.is_none() => break,
            Err(e) => return Err(failed(root, &path, Action::List, e)),
        };
        if !is_data(&meta) {
            continue;
        }
        if layout.is_flat() {
            files.push(LakeFile { meta, partition: None, times: None });
        } else if let Some(partition) = layout.locate(meta.location.as_ref()) {
            // A listed folder can be coarser than what was asked for only in what does not fit the template.
            let asked = |p: &[Partition]| p.binary_search_by(|p| p.start.cmp(&partition.start)).is_ok();
            if partitions.is_none_or(asked) {
                files.push(LakeFile { meta, partition: Some(partition), times: None });
            }
        }
    }
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
        .map_err(|e| failed(root, &Path::default(), Action::List, e))
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
