//! Reads that several jobs have in common, made once: what one of them has read of a lake stays for the next.

use std::collections::HashMap;
use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use futures::StreamExt;
use futures::stream::BoxStream;
use object_store::path::Path;
use object_store::{
    CopyOptions, GetOptions, GetRange, GetResult, GetResultPayload, ListResult, MultipartUpload, ObjectMeta,
    ObjectStore, PutMultipartOptions, PutOptions, PutPayload, PutResult, Result,
};
use quick_cache::Weighter;
use quick_cache::sync::Cache;

/// Bytes of far lakes that were read, the most useful ones up to a number of bytes.
#[derive(Clone)]
pub struct SharedReads(Arc<Cache<Read, Bytes, ByBytes>>);

/// One state of an object: its root as it was typed, its path, its ETag.
type State = (String, Path, String);

/// A range of one state of an object.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Read {
    object: Arc<State>,
    range: Range<u64>,
}

#[derive(Clone)]
struct ByBytes;

impl Weighter<Read, Bytes> for ByBytes {
    fn weight(&self, _: &Read, bytes: &Bytes) -> u64 {
        bytes.len() as u64
    }
}

impl SharedReads {
    /// Keeps up to `bytes`.
    pub fn new(bytes: u64) -> Self {
        // A read is a column of a row group, as a rule.
        let reads = usize::try_from(bytes >> 17).unwrap_or(usize::MAX);
        Self(Arc::new(Cache::with_weighter(reads, bytes, ByBytes)))
    }
}

impl fmt::Debug for SharedReads {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SharedReads({} of {} bytes)", self.0.weight(), self.0.capacity())
    }
}

/// `store`, whose reads of `files` (of the root `display`) are kept in `reads`. An object without an ETag could be another one
/// by now and is read anew.
pub(super) fn shared<'a>(
    store: Arc<dyn ObjectStore>,
    reads: SharedReads,
    display: &str,
    files: impl IntoIterator<Item = &'a ObjectMeta>,
) -> Arc<dyn ObjectStore> {
    let object = |meta: &ObjectMeta| {
        let object = (display.to_owned(), meta.location.clone(), meta.e_tag.clone()?);
        Some((meta.location.clone(), (Arc::new(object), meta.clone())))
    };
    Arc::new(Shared { objects: files.into_iter().filter_map(object).collect(), store, reads })
}

#[derive(Debug)]
struct Shared {
    store: Arc<dyn ObjectStore>,
    reads: SharedReads,
    /// What tells each object's state from others, and what it was when it was listed.
    objects: HashMap<Path, (Arc<State>, ObjectMeta)>,
}

impl fmt::Display for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.store.fmt(f)
    }
}

#[async_trait]
impl ObjectStore for Shared {
    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        // Footers are read so; the meaning of the other options is the store's own.
        let Some(((object, meta), range)) = self.objects.get(location).zip(plain_range(&options)) else {
            return self.store.get_opts(location, options).await;
        };
        let read = Read { object: Arc::clone(object), range };
        let (bytes, range) = match self.reads.0.get(&read) {
            Some(bytes) => (bytes, read.range),
            None => {
                let fetched = self.store.get_opts(location, options).await?;
                let range = fetched.range.clone();
                let bytes = fetched.bytes().await?;
                // One that reaches beyond the object's end gives less.
                if range == read.range {
                    self.reads.0.insert(read, bytes.clone());
                }
                (bytes, range)
            }
        };
        let payload = GetResultPayload::Stream(futures::stream::iter([Ok(bytes)]).boxed());
        Ok(GetResult { payload, meta: meta.clone(), range, attributes: Default::default() })
    }

    async fn get_ranges(&self, location: &Path, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
        let Some((object, _)) = self.objects.get(location) else {
            return self.store.get_ranges(location, ranges).await;
        };
        let read = |range: &Range<u64>| Read { object: Arc::clone(object), range: range.clone() };
        let mut kept: Vec<Option<Bytes>> = ranges.iter().map(|range| self.reads.0.get(&read(range))).collect();
        let missing: Vec<Range<u64>> =
            ranges.iter().zip(&kept).filter(|(_, kept)| kept.is_none()).map(|(range, _)| range.clone()).collect();
        if !missing.is_empty() {
            let fetched = self.store.get_ranges(location, &missing).await?;
            for (range, bytes) in missing.iter().zip(&fetched) {
                // What stays keeps nothing else of the request in memory.
                self.reads.0.insert(read(range), Bytes::copy_from_slice(bytes));
            }
            let mut fetched = fetched.into_iter();
            kept.iter_mut().filter(|kept| kept.is_none()).for_each(|kept| *kept = fetched.next());
        }
        Ok(kept.into_iter().flatten().collect())
    }

    async fn put_opts(&self, location: &Path, payload: PutPayload, options: PutOptions) -> Result<PutResult> {
        self.store.put_opts(location, payload, options).await
    }

    async fn put_multipart_opts(
        &self,
        location: &Path,
        options: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        self.store.put_multipart_opts(location, options).await
    }

    fn delete_stream(&self, locations: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        self.store.delete_stream(locations)
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        self.store.list(prefix)
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.store.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.store.copy_opts(from, to, options).await
    }
}

/// The range of a read that asks for nothing else.
fn plain_range(options: &GetOptions) -> Option<Range<u64>> {
    let GetOptions { range: Some(GetRange::Bounded(range)), head: false, version: None, .. } = options else {
        return None;
    };
    let conditions = [&options.if_match, &options.if_none_match];
    let times = [options.if_modified_since, options.if_unmodified_since];
    let plain = conditions.iter().all(|tag| tag.is_none()) && times.iter().all(Option::is_none);
    plain.then(|| range.clone())
}

#[cfg(test)]
mod tests {
    use object_store::ObjectStoreExt;
    use object_store::memory::InMemory;

    use super::*;

    #[tokio::test]
    async fn what_was_read_of_a_state_of_an_object_is_not_read_again() {
        let (memory, path, reads) = (Arc::new(InMemory::new()), Path::from("a"), SharedReads::new(1 << 20));
        memory.put(&path, "0123456789".into()).await.unwrap();
        let listed = memory.head(&path).await.unwrap();
        let open = |meta: &ObjectMeta| shared(Arc::clone(&memory) as _, reads.clone(), "s3://lake", [meta]);
        let first = open(&listed);
        assert_eq!(first.get_ranges(&path, &[0..2, 5..6]).await.unwrap(), ["01", "5"]);
        assert_eq!(first.get_range(&path, 7..9).await.unwrap(), "78");
        // What is kept needs no store; what is not does.
        memory.delete(&path).await.unwrap();
        let second = open(&listed);
        assert_eq!(second.get_ranges(&path, &[5..6, 0..2]).await.unwrap(), ["5", "01"]);
        assert_eq!(second.get_range(&path, 7..9).await.unwrap(), "78");
        second.get_ranges(&path, &[0..2, 0..3]).await.unwrap_err();
        second.head(&path).await.unwrap_err();

        // Another state is another object.
        memory.put(&path, "abcdefghij".into()).await.unwrap();
        let changed = memory.head(&path).await.unwrap();
        assert_eq!(open(&changed).get_ranges(&path, &[0..2, 5..9]).await.unwrap(), ["ab", "fghi"]);
    }
}
