//! A local folder as a store that keeps what it was given: durable, atomic, conditional.
//!
//! object_store's own local store neither syncs what it writes nor knows conditional replacement. Reading is left to it.

use std::fmt;
use std::fs::File;
use std::io::Write as _;
use std::ops::Range;
use std::path::{Path as FsPath, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::BoxStream;
use object_store::local::LocalFileSystem;
use object_store::path::Path;
use object_store::{
    CopyOptions, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore, ObjectStoreExt, PutMode,
    PutMultipartOptions, PutOptions, PutPayload, PutResult, Result,
};

/// Held while a file is put in place, so that looking and replacing are one step between processes. The kernel lets go of
/// it when its holder dies. The name is hidden from every reader.
const LOCK: &str = ".lakehunt.lock";

/// What staged files end in; they begin with a dot, so no reader takes them for data.
const STAGED: &str = ".tmp";

/// Whether a file of this name is one that was staged and not put in place.
pub(crate) fn is_staged(name: &str) -> bool {
    name.starts_with('.') && name.ends_with(STAGED)
}

const STORE: &str = "LocalFileSystem";

/// A folder. Its etags are those of [`LocalFileSystem`]: inode, time of change and size.
#[derive(Debug)]
pub(super) struct LocalStore {
    files: LocalFileSystem,
    root: PathBuf,
}

impl LocalStore {
    pub(super) fn new(root: &FsPath) -> Result<Self> {
        Ok(Self { files: LocalFileSystem::new_with_prefix(root)?, root: root.to_owned() })
    }

    /// `None` on a file system that has no locks.
    fn lock(root: &FsPath) -> std::io::Result<Option<File>> {
        let file = File::options().create(true).truncate(false).write(true).open(root.join(LOCK))?;
        match file.lock() {
            Ok(()) => Ok(Some(file)),
            Err(e) if e.kind() == std::io::ErrorKind::Unsupported => Ok(None),
            Err(e) => Err(e),
        }
    }
}

/// A file that is on disk under another name until it is put in its place, and goes if it is not.
struct Staged {
    path: PathBuf,
    placed: bool,
}

impl Staged {
    /// Writes what is meant for `target`, in the folder of that.
    fn write(target: &FsPath, payload: &PutPayload) -> std::io::Result<Self> {
        static COUNT: AtomicU64 = AtomicU64::new(0);
        let folder = folder(target);
        let name = target.file_name().unwrap_or_default().to_string_lossy();
        std::fs::create_dir_all(folder)?;
        // Of this process and this call, so that two writers do not write into one file.
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let path = folder.join(format!(".{name}.{}-{count}{STAGED}", std::process::id()));
        let mut file = File::create(&path)?;
        let staged = Self { path, placed: false };
        payload.iter().try_for_each(|part| file.write_all(part))?;
        file.sync_all()?;
        Ok(staged)
    }

    fn place(mut self, target: &FsPath) -> std::io::Result<()> {
        std::fs::rename(&self.path, target)?;
        self.placed = true;
        Ok(())
    }
}

impl Drop for Staged {
    fn drop(&mut self) {
        if !self.placed {
            // Nobody reads it, and the error that matters is the one that kept it from its place.
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

fn folder(file: &FsPath) -> &FsPath {
    file.parent().unwrap_or(file)
}

/// What was renamed in a folder survives a power cut from here on. Not every platform can open a folder.
fn sync(folder: &FsPath) -> std::io::Result<()> {
    File::open(folder).map_or(Ok(()), |folder| folder.sync_all())
}

/// Does what waits for a disk where that keeps nothing else from going on.
async fn on_disk<T: Send + 'static>(work: impl FnOnce() -> std::io::Result<T> + Send + 'static) -> Result<T> {
    tokio::task::spawn_blocking(work).await.map_err(failed)?.map_err(failed)
}

impl fmt::Display for LocalStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "LocalStore({})", self.root.display())
    }
}

fn failed(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> object_store::Error {
    object_store::Error::Generic { store: STORE, source: error.into() }
}

#[async_trait]
impl ObjectStore for LocalStore {
    async fn put_opts(&self, location: &Path, payload: PutPayload, opts: PutOptions) -> Result<PutResult> {
        let target = self.files.path_to_filesystem(location)?;
        // What takes time comes before the lock, or after it.
        let (root, to) = (self.root.clone(), target.clone());
        let (staged, lock) = on_disk(move || Ok((Staged::write(&to, &payload)?, Self::lock(&root)?))).await?;
        if lock.is_none() && opts.mode != PutMode::Overwrite {
            return Err(object_store::Error::NotImplemented {
                operation: "a put on a condition, on a file system without locks".into(),
                implementer: self.to_string(),
            });
        }
        let current = match self.files.head(location).await {
            Ok(meta) => meta.e_tag,
            Err(object_store::Error::NotFound { .. }) => None,
            Err(e) => return Err(e),
        };
        let path = location.to_string();
        match opts.mode {
            PutMode::Create if current.is_some() => {
                return Err(object_store::Error::AlreadyExists { path, source: "the file is there".into() });
            }
            PutMode::Update(expected) if current != expected.e_tag => {
                return Err(object_store::Error::Precondition {
                    path,
                    source: "the file is another one by now".into(),
                });
            }
            PutMode::Create | PutMode::Update(_) | PutMode::Overwrite => {}
        }
        // The lock goes along, so that it is held until the file is in place even when nobody waits for this any more.
        let to = target.clone();
        let lock = on_disk(move || staged.place(&to).map(|()| lock)).await?;
        // Still under the lock: after it, this could be the etag of another writer's file.
        let e_tag = self.files.head(location).await?.e_tag;
        drop(lock);
        on_disk(move || sync(folder(&target))).await?;
        Ok(PutResult { e_tag, version: None })
    }

    async fn put_multipart_opts(&self, location: &Path, opts: PutMultipartOptions) -> Result<Box<dyn MultipartUpload>> {
        self.files.put_multipart_opts(location, opts).await
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        self.files.get_opts(location, options).await
    }

    async fn get_ranges(&self, location: &Path, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
        self.files.get_ranges(location, ranges).await
    }

    fn delete_stream(&self, locations: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        self.files.delete_stream(locations)
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        self.files.list(prefix)
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.files.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.files.copy_opts(from, to, options).await
    }
}

#[cfg(test)]
mod tests {
    use object_store::UpdateVersion;

    use super::*;

    fn names(folder: &FsPath) -> Vec<String> {
        let mut names: Vec<String> =
            std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    #[tokio::test]
    async fn a_file_is_created_once_and_replaced_only_by_who_saw_it() {
        let folder = tempfile::tempdir().unwrap();
        let store = LocalStore::new(folder.path()).unwrap();
        let path = Path::from("a/b.json");
        let put = |text: &'static str, mode: PutMode| store.put_opts(&path, PutPayload::from(text), mode.into());
        let update = |e_tag: Option<String>| PutMode::Update(UpdateVersion { e_tag, version: None });

        let first = put("one", PutMode::Create).await.unwrap();
        assert!(matches!(put("two", PutMode::Create).await, Err(object_store::Error::AlreadyExists { .. })));
        let second = put("two", update(first.e_tag.clone())).await.unwrap();
        assert_ne!(first.e_tag, second.e_tag);
        let late = put("three", update(first.e_tag)).await;
        assert!(matches!(late, Err(object_store::Error::Precondition { .. })));
        assert_eq!(store.get(&path).await.unwrap().bytes().await.unwrap(), "two");
        assert_eq!(names(&folder.path().join("a")), ["b.json"], "nothing staged is left");
        assert_eq!(names(folder.path()), [LOCK, "a"]);
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 4)]
    async fn of_many_writers_that_saw_the_same_one_wins() {
        let folder = tempfile::tempdir().unwrap();
        let path = Path::from("run.json");
        for _ in 0..20 {
            let writers: Vec<_> = (0..8)
                .map(|writer| {
                    let store = LocalStore::new(folder.path()).unwrap();
                    let path = path.clone();
                    tokio::spawn(async move {
                        let text = format!("{writer}");
                        store.put_opts(&path, PutPayload::from(text), PutMode::Create.into()).await.is_ok()
                    })
                })
                .collect();
            let mut won = 0;
            for writer in writers {
                won += usize::from(writer.await.unwrap());
            }
            assert_eq!(won, 1);
            std::fs::remove_file(folder.path().join("run.json")).unwrap();
        }
    }
    /// A run record names its hits by the etag that the put gave; another writer's would vouch for the wrong file.
    #[tokio::test(flavor = "multi_thread", worker_threads = 4)]
    async fn a_put_gives_the_etag_of_what_it_wrote() {
        let folder = tempfile::tempdir().unwrap();
        let path = Path::from("hits.parquet");
        for _ in 0..20 {
            let writers: Vec<_> = (1..9_usize)
                .map(|length| {
                    let store = LocalStore::new(folder.path()).unwrap();
                    let path = path.clone();
                    tokio::spawn(async move {
                        let put = store.put_opts(&path, PutPayload::from(vec![0; length]), PutMode::Overwrite.into());
                        (length, put.await.unwrap().e_tag.unwrap())
                    })
                })
                .collect();
            for writer in writers {
                let (length, e_tag) = writer.await.unwrap();
                // Inode, time of change, size.
                assert_eq!(e_tag.rsplit('-').next(), Some(format!("{length:x}").as_str()), "{e_tag}");
            }
        }
    }
}
