//! Fetches what a scan will read before it asks, so that a far store's latency is paid once and not for every file.
//!
//! ```text
//! reads of the scan    1  2  3  4  5  6  7  8 …
//!                      └taken┘  └─ ahead ─┘  └ waiting
//! ```
//!
//! The engine reads one row group after another, and waits for each. Which bytes those are is known from the footers. So
//! the next few are fetched at once, up to a number of requests and of bytes; a read that was not foreseen is passed
//! through.

use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use bytes::Bytes;
use datafusion::common::runtime::SpawnedTask;
use futures::stream::BoxStream;
use object_store::path::Path;
use object_store::{
    CopyOptions, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore, PutMultipartOptions,
    PutOptions, PutPayload, PutResult, Result,
};

/// Requests under way at once.
const REQUESTS: usize = 16;

/// Bytes fetched and not yet taken; one read may be larger.
const AHEAD: u64 = 32 << 20;

/// One read of a scan: the ranges of a file that are fetched together.
#[derive(Debug, Clone)]
pub(super) struct Read {
    pub(super) location: Path,
    pub(super) ranges: Vec<Range<u64>>,
}

impl Read {
    fn size(&self) -> u64 {
        self.ranges.iter().map(|range| range.end - range.start).sum()
    }

    /// What tells it from the other reads of a scan.
    fn key(location: &Path, ranges: &[Range<u64>]) -> Option<(Path, u64)> {
        Some((location.clone(), ranges.iter().map(|range| range.start).min()?))
    }
}

/// `store`, from which the scan that makes `reads`, about in this order, is served ahead of time.
pub(super) fn ahead_of(store: Arc<dyn ObjectStore>, reads: Vec<Read>) -> Arc<dyn ObjectStore> {
    Arc::new(Readahead { store, queue: Mutex::new(Queue { waiting: reads.into(), ..Queue::default() }) })
}

#[derive(Debug)]
struct Readahead {
    store: Arc<dyn ObjectStore>,
    queue: Mutex<Queue>,
}

#[derive(Debug, Default)]
struct Queue {
    waiting: VecDeque<Read>,
    ahead: HashMap<(Path, u64), Ahead>,
    bytes: u64,
}

/// A read that was begun before it was asked for. Dropping it ends it.
#[derive(Debug)]
struct Ahead {
    read: Read,
    task: SpawnedTask<Result<Vec<Bytes>>>,
}

impl Readahead {
    /// Takes what was fetched for a read, if it was foreseen, and begins the next ones.
    fn take(&self, location: &Path, ranges: &[Range<u64>]) -> Option<Ahead> {
        let key = Read::key(location, ranges)?;
        // The queue is whole at every point where a holder can panic.
        let mut queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner);
        let mut taken = queue.ahead.remove(&key);
        if let Some(ahead) = &taken {
            queue.bytes -= ahead.read.size();
            if !ranges.iter().all(|range| ahead.read.ranges.contains(range)) {
                taken = None;
            }
        } else if let Some(at) =
            queue.waiting.iter().position(|read| Read::key(&read.location, &read.ranges).as_ref() == Some(&key))
        {
            // Asked for before its turn; it need not be fetched a second time.
            queue.waiting.remove(at);
        }
        while queue.ahead.len() < REQUESTS {
            let Some(next) = queue.waiting.front() else { break };
            if queue.bytes > 0 && queue.bytes + next.size() > AHEAD {
                break;
            }
            let Some(read) = queue.waiting.pop_front() else { break };
            let Some(key) = Read::key(&read.location, &read.ranges) else { continue };
            queue.bytes += read.size();
            let (store, asked) = (Arc::clone(&self.store), read.clone());
            let task = SpawnedTask::spawn(async move { store.get_ranges(&asked.location, &asked.ranges).await });
            queue.ahead.insert(key, Ahead { read, task });
        }
        taken
    }
}

impl fmt::Display for Readahead {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.store.fmt(f)
    }
}

#[async_trait]
impl ObjectStore for Readahead {
    async fn get_ranges(&self, location: &Path, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
        let Some(ahead) = self.take(location, ranges) else { return self.store.get_ranges(location, ranges).await };
        let fetched = match ahead.task.join().await {
            Ok(fetched) => fetched?,
            // Cut off with the runtime; asking again gives the answer that this deserves.
            Err(_) => return self.store.get_ranges(location, ranges).await,
        };
        let of = |range: &Range<u64>| ahead.read.ranges.iter().position(|planned| planned == range);
        Ok(ranges.iter().filter_map(|range| fetched.get(of(range)?).cloned()).collect())
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        self.store.get_opts(location, options).await
    }

    async fn put_opts(&self, location: &Path, payload: PutPayload, opts: PutOptions) -> Result<PutResult> {
        self.store.put_opts(location, payload, opts).await
    }

    async fn put_multipart_opts(&self, location: &Path, opts: PutMultipartOptions) -> Result<Box<dyn MultipartUpload>> {
        self.store.put_multipart_opts(location, opts).await
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

#[cfg(test)]
mod tests {
    use object_store::memory::InMemory;
    use object_store::{ObjectStoreExt, PutPayload};

    use super::*;

    fn one(range: Range<u64>) -> Vec<Range<u64>> {
        std::iter::once(range).collect()
    }

    /// Forty files of a hundred bytes, all of one number each.
    async fn files() -> (Arc<dyn ObjectStore>, Vec<Read>) {
        let store = InMemory::new();
        let mut reads = Vec::new();
        for number in 0..40_u8 {
            let location = Path::from(format!("{number}.parquet"));
            store.put(&location, PutPayload::from(vec![number; 100])).await.unwrap();
            reads.push(Read { location, ranges: vec![10..20, 50..90] });
        }
        (Arc::new(store), reads)
    }

    #[tokio::test]
    async fn reads_give_the_same_in_any_order_foreseen_or_not() {
        let (store, reads) = files().await;
        let mut order: Vec<usize> = (0..reads.len()).collect();
        order.reverse();
        order.swap(3, 17);
        for order in [(0..reads.len()).collect::<Vec<_>>(), order] {
            let ahead = ahead_of(Arc::clone(&store), reads.clone());
            for index in order {
                let read = &reads[index];
                let parts = ahead.get_ranges(&read.location, &read.ranges).await.unwrap();
                assert_eq!(parts.iter().map(Bytes::len).collect::<Vec<_>>(), [10, 40]);
                assert!(parts.iter().flatten().all(|byte| usize::from(*byte) == index));
                // Another read of the same file, and fewer ranges of a foreseen one.
                let other = ahead.get_ranges(&read.location, &one(0..5)).await.unwrap();
                assert_eq!(other[0].len(), 5);
            }
        }
        let ahead = ahead_of(store, reads.clone());
        ahead.get_ranges(&reads[0].location, &reads[0].ranges).await.unwrap();
        let fewer = ahead.get_ranges(&reads[1].location, &one(10..20)).await.unwrap();
        assert_eq!(fewer, [Bytes::from(vec![1; 10])]);
        let more = ahead.get_ranges(&reads[2].location, &[10..20, 20..30]).await.unwrap();
        assert_eq!(more.len(), 2, "one that was not foreseen is passed through");
    }

    #[tokio::test]
    async fn no_more_is_fetched_ahead_than_allowed() {
        let (store, reads) = files().await;
        let queue = Queue { waiting: reads.into(), ..Queue::default() };
        let ahead = Readahead { store, queue: Mutex::new(queue) };
        assert!(ahead.take(&Path::from("none"), &one(0..1)).is_none());
        let queue = ahead.queue.lock().unwrap();
        assert_eq!((queue.ahead.len(), queue.waiting.len(), queue.bytes), (REQUESTS, 24, 16 * 50));
    }
}
