//! Reads of a source see the objects that were listed, or fail: a file that was replaced or removed since is named.

use std::collections::HashMap;
use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use chrono::{DateTime, Utc};
use futures::stream::BoxStream;
use object_store::path::Path;
use object_store::{
    CopyOptions, GetOptions, GetResult, ListResult, MultipartUpload, OBJECT_STORE_COALESCE_DEFAULT, ObjectMeta,
    ObjectStore, PutMultipartOptions, PutOptions, PutPayload, PutResult, Result, coalesce_ranges,
};

use super::failure::{Action, failed};
use super::shared::shared;
use super::stores::Root;
use crate::error::{Error, ErrorKind};

/// Where the description of an object comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Told {
    /// The store itself, which listed it.
    ByTheStore,
    /// A table's log. Its objects are never changed, and when they were written is the writer's own word.
    ByALog,
}

/// `root`, whose reads of `files` give the objects that these describe, or an error of this crate that names the file.
pub(crate) fn pinned<'a>(root: Root, files: impl IntoIterator<Item = &'a ObjectMeta>, told: Told) -> Root {
    let metas: Vec<&ObjectMeta> = files.into_iter().collect();
    let files = metas.iter().map(|meta| (meta.location.clone(), Pin::of(&root, meta, told))).collect();
    let store: Arc<dyn ObjectStore> = Arc::new(Pinned { root: root.clone(), files });
    let store = match &root.reads {
        Some(reads) => shared(store, reads.clone(), &root.display, metas),
        None => store,
    };
    Root { store, ..root }
}

/// What an object was when it was listed.
#[derive(Debug, Clone)]
struct Pin {
    size: u64,
    e_tag: Option<String>,
    /// What stands in for the etag where there is none.
    modified: Option<DateTime<Utc>>,
}

impl Pin {
    fn of(root: &Root, meta: &ObjectMeta, told: Told) -> Self {
        // Listings of Blob storage give etags without the quotes that a condition needs; a weak one never matches.
        let e_tag = meta.e_tag.clone().filter(|tag| !tag.starts_with("W/"));
        let e_tag = match root.provider {
            Some(_) => e_tag.map(|tag| if tag.starts_with('"') { tag } else { format!("\"{tag}\"") }),
            None => e_tag,
        };
        let modified = (told == Told::ByTheStore).then_some(meta.last_modified);
        Self { size: meta.size, e_tag, modified }
    }

    fn apply(&self, mut options: GetOptions) -> GetOptions {
        match &self.e_tag {
            Some(tag) => options.if_match = Some(tag.clone()),
            None => options.if_unmodified_since = self.modified,
        }
        options
    }
}

#[derive(Debug)]
struct Pinned {
    root: Root,
    files: HashMap<Path, Pin>,
}

impl Pinned {
    fn inner(&self) -> &dyn ObjectStore {
        self.root.store.as_ref()
    }

    /// The store's error with the file's name; the engine hands it through unread.
    fn named(&self, location: &Path, error: object_store::Error) -> object_store::Error {
        let error = failed(&self.root, location, Action::Read, error);
        object_store::Error::Generic { store: "lakehunt", source: Box::new(error) }
    }

    async fn get(&self, location: &Path, pin: &Pin, options: GetOptions) -> Result<GetResult> {
        let result = self.inner().get_opts(location, pin.apply(options)).await;
        let result = result.map_err(|e| self.named(location, e))?;
        if result.meta.size != pin.size {
            let changed =
                Error::new(ErrorKind::SourceChanged, "the file has another size than when it was listed; run again")
                    .with("url", self.root.name(location));
            return Err(object_store::Error::Generic { store: "lakehunt", source: Box::new(changed) });
        }
        Ok(result)
    }
}

impl fmt::Display for Pinned {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.root.store.fmt(f)
    }
}

#[async_trait]
impl ObjectStore for Pinned {
    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        match self.files.get(location) {
            Some(pin) => self.get(location, pin, options).await,
            None => self.inner().get_opts(location, options).await.map_err(|e| self.named(location, e)),
        }
    }

    async fn get_ranges(&self, location: &Path, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
        let Some(pin) = self.files.get(location) else {
            return self.inner().get_ranges(location, ranges).await.map_err(|e| self.named(location, e));
        };
        if self.root.provider.is_none() {
            // A local store reads all ranges at once, without conditions; so the look at the file comes after.
            let parts = self.inner().get_ranges(location, ranges).await;
            self.get(location, pin, GetOptions::new().with_head(true)).await?;
            return parts.map_err(|e| self.named(location, e));
        }
        coalesce_ranges(
            ranges,
            |range| async move {
                let options = GetOptions::new().with_range(Some(range));
                self.get(location, pin, options).await?.bytes().await.map_err(|e| self.named(location, e))
            },
            OBJECT_STORE_COALESCE_DEFAULT,
        )
        .await
    }

    async fn put_opts(&self, location: &Path, payload: PutPayload, opts: PutOptions) -> Result<PutResult> {
        self.inner().put_opts(location, payload, opts).await
    }

    async fn put_multipart_opts(&self, location: &Path, opts: PutMultipartOptions) -> Result<Box<dyn MultipartUpload>> {
        self.inner().put_multipart_opts(location, opts).await
    }

    fn delete_stream(&self, locations: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        self.inner().delete_stream(locations)
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        self.inner().list(prefix)
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.inner().list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.inner().copy_opts(from, to, options).await
    }
}

#[cfg(test)]
mod tests {
    use object_store::ObjectStoreExt;

    use super::*;
    use crate::store::failure::ours;
    use crate::store::stores::Stores;

    #[tokio::test]
    async fn a_file_that_changed_or_vanished_after_its_listing_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("a.parquet");
        let url = folder.path().display().to_string();
        let path = Path::from("a.parquet");
        std::fs::write(&file, "0123456789").unwrap();
        let root = Stores::new([]).open(&url, &Default::default()).await.unwrap();
        let listed = root.store.head(&path).await.unwrap();
        let reads = pinned(root, [&listed], Told::ByTheStore).store;
        assert_eq!(reads.get_range(&path, 2..4).await.unwrap(), "23");
        assert_eq!(reads.get_ranges(&path, &[0..1, 9..10]).await.unwrap(), ["0", "9"]);

        let changes: [&dyn Fn(); 3] =
            [&|| std::fs::write(&file, "9876543210").unwrap(), &|| std::fs::write(&file, "0").unwrap(), &|| {
                std::fs::remove_file(&file).unwrap()
            }];
        for change in changes {
            // The etag has microseconds.
            std::thread::sleep(std::time::Duration::from_millis(2));
            change();
            for error in [
                reads.get_range(&path, 0..1).await.unwrap_err(),
                reads.get_ranges(&path, &[0..1, 0..1]).await.unwrap_err(),
            ] {
                let error = ours(&error).unwrap();
                assert_eq!(error.kind(), ErrorKind::SourceChanged, "{error}");
                assert!(error.context("url").unwrap().ends_with("/a.parquet"), "{error}");
            }
        }
    }
}
