//! Fetches what a scan will read before it asks, so that a far store's latency is paid once and not for every file.
//!
//! ```text
//! reads of the scan    1  2  3  4  5  6  7  8 …
//!                         ↑  └─ ahead ─┘
//!                       asked
//! ```
//!
//! The engine reads one row group after another, and waits for each. Which bytes those are is known from the footers. So
//! whenever it asks for one, those that follow it are fetched as well, up to a number of requests and of bytes. That holds
//! for each place at which the scan's threads are, in whatever way they share the files. A read that was not foreseen is
//! passed through.

use std::collections::HashMap;
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

/// Reads that are fetched after the one that was asked for.
const REACH: usize = 128;

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
    Arc::new(Readahead::new(store, reads))
}

#[derive(Debug)]
struct Readahead {
    store: Arc<dyn ObjectStore>,
    reads: Vec<Read>,
    places: HashMap<(Path, u64), usize>,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    /// For each read, by its place.
    reads: Vec<Progress>,
    /// Of the reads that are fetched and not taken.
    bytes: u64,
}

/// How far a read has come.
#[derive(Debug)]
enum Progress {
    Waiting,
    /// It was begun before it was asked for. Dropping it ends it.
    Ahead(SpawnedTask<Result<Vec<Bytes>>>),
    Taken,
}

impl Readahead {
    fn new(store: Arc<dyn ObjectStore>, reads: Vec<Read>) -> Self {
        let keys = reads.iter().enumerate();
        let places = keys.filter_map(|(place, read)| Some((Read::key(&read.location, &read.ranges)?, place))).collect();
        let state = State { reads: reads.iter().map(|_| Progress::Waiting).collect(), bytes: 0 };
        Self { store, reads, places, state: Mutex::new(state) }
    }

    /// Takes what was fetched for a read, if it was foreseen, and begins those that follow it.
    fn take(&self, location: &Path, ranges: &[Range<u64>]) -> Option<(&Read, SpawnedTask<Result<Vec<Bytes>>>)> {
        let place = *self.places.get(&Read::key(location, ranges)?)?;
        let read = &self.reads[place];
        // The state is whole at every point where a holder can panic.
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let taken = match std::mem::replace(&mut state.reads[place], Progress::Taken) {
            Progress::Ahead(task) => {
                state.bytes -= read.size();
                ranges.iter().all(|range| read.ranges.contains(range)).then_some((read, task))
            }
            Progress::Waiting | Progress::Taken => None,
        };
        for (place, next) in self.reads.iter().enumerate().skip(place + 1).take(REACH) {
            if !matches!(state.reads[place], Progress::Waiting) {
                continue;
            }
            if state.bytes > 0 && state.bytes + next.size() > AHEAD {
                break;
            }
            state.bytes += next.size();
            let (store, next) = (Arc::clone(&self.store), next.clone());
            let task = SpawnedTask::spawn(async move { store.get_ranges(&next.location, &next.ranges).await });
            state.reads[place] = Progress::Ahead(task);
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
        let Some((read, task)) = self.take(location, ranges) else {
            return self.store.get_ranges(location, ranges).await;
        };
        let fetched = match task.join().await {
            Ok(fetched) => fetched?,
            // Cut off with the runtime; asking again gives the answer that this deserves.
            Err(_) => return self.store.get_ranges(location, ranges).await,
        };
        let of = |range: &Range<u64>| read.ranges.iter().position(|planned| planned == range);
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
        let (store, mut reads) = files().await;
        let ahead = |readahead: &Readahead| {
            let state = readahead.state.lock().unwrap();
            (state.reads.iter().filter(|read| matches!(read, Progress::Ahead(_))).count(), state.bytes)
        };
        let all = Readahead::new(Arc::clone(&store), reads.clone());
        assert!(all.take(&Path::from("none"), &one(0..1)).is_none());
        assert_eq!(ahead(&all), (0, 0), "what is not foreseen begins nothing");
        assert!(all.take(&reads[5].location, &reads[5].ranges).is_none(), "the first one is asked for too early");
        assert_eq!(ahead(&all), (34, 34 * 50));
        assert!(all.take(&reads[6].location, &reads[6].ranges).is_some());
        assert_eq!(ahead(&all), (33, 33 * 50));
        // Another thread of the scan, elsewhere.
        all.take(&reads[0].location, &reads[0].ranges);
        assert_eq!(ahead(&all), (37, 37 * 50));

        reads[2].ranges = std::iter::once(0..AHEAD).collect();
        let large = Readahead::new(store, reads.clone());
        large.take(&reads[0].location, &reads[0].ranges);
        assert_eq!(ahead(&large), (1, 50), "a large one waits until it is the next one");
        large.take(&reads[1].location, &reads[1].ranges);
        assert_eq!(ahead(&large), (1, AHEAD));
    }
}
