//! Tries again what may pass: the second line behind the clients' own retries.
//!
//! The HTTP clients back off by themselves on 429, 503, other 5xx and broken connections. What they do not see is here:
//! failures of any other store (a network mount, say), bodies that break off or come short, requests that never end. A
//! refusal (403, 404, a condition that does not hold) is final at once.

use std::fmt;
use std::future::Future;
use std::ops::Range;
use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use backon::{ExponentialBuilder, Retryable};
use bytes::Bytes;
use futures::stream::BoxStream;
use futures::{StreamExt, TryStreamExt};
use object_store::path::Path;
use object_store::{
    BackoffConfig, CopyOptions, GetOptions, GetResult, GetResultPayload, ListResult, MultipartUpload, ObjectMeta,
    ObjectStore, PutMultipartOptions, PutOptions, PutPayload, PutResult, Result, RetryConfig,
};

use super::failure::is_transient;
use crate::secrets::redact;

/// How often, and for how long, a request that failed is tried again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Retry {
    /// Tries after the first one.
    pub retries: usize,
    /// Time that a request has with all its tries.
    pub limit: Duration,
}

impl Default for Retry {
    /// Ten more tries within two minutes.
    fn default() -> Self {
        Self { retries: 10, limit: Duration::from_secs(120) }
    }
}

/// Waits between tries: this, then twice that, up to the longest; each with jitter.
const FIRST_WAIT: Duration = Duration::from_millis(100);
const LONGEST_WAIT: Duration = Duration::from_secs(10);

impl Retry {
    /// Whether there is time for another try, which may take as long as a client is given.
    fn has_time(self, began: Instant) -> bool {
        began.elapsed() < self.limit - self.limit / 4
    }

    /// How long an answer is waited for: one that hangs must leave time for another try.
    fn patience(self) -> Duration {
        self.limit / 2
    }

    /// The same for a client of object_store, which gives up earlier: it knows why.
    pub(super) fn client(self) -> RetryConfig {
        RetryConfig {
            backoff: BackoffConfig { init_backoff: FIRST_WAIT, max_backoff: LONGEST_WAIT, base: 2.0 },
            max_retries: self.retries,
            retry_timeout: self.limit / 4,
        }
    }
}

/// A store whose requests are tried again.
#[derive(Debug)]
pub(super) struct Retrying {
    inner: Arc<dyn ObjectStore>,
    retry: Retry,
}

impl Retrying {
    pub(super) fn new(inner: Arc<dyn ObjectStore>, retry: Retry) -> Self {
        Self { inner, retry }
    }

    /// Runs `attempt` until it succeeds, fails for good, or the limit is reached.
    async fn retried<T, F>(&self, what: &str, path: &Path, attempt: impl Fn() -> F) -> Result<T>
    where
        F: Future<Output = Result<T>>,
    {
        let began = Instant::now();
        let patience = self.retry.patience();
        let bounded = || async {
            match tokio::time::timeout(patience, attempt()).await {
                Ok(result) => result,
                Err(_) => Err(broken(format!("no answer within {patience:?}"))),
            }
        };
        let waits = ExponentialBuilder::default()
            .with_min_delay(FIRST_WAIT)
            .with_max_delay(LONGEST_WAIT)
            .with_max_times(self.retry.retries)
            .with_jitter();
        bounded
            .retry(waits)
            .when(|error| is_transient(error) && self.retry.has_time(began))
            .notify(|error, wait| {
                tracing::info!(%path, what, wait_ms = wait.as_millis(), error = %redact(&error.to_string()), "trying again");
            })
            .await
    }
}

impl fmt::Display for Retrying {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.inner.fmt(f)
    }
}

fn broken(what: String) -> object_store::Error {
    object_store::Error::Generic { store: "lakehunt", source: what.into() }
}

/// The bytes of a result, all of them.
async fn whole(result: GetResult) -> Result<(Bytes, ObjectMeta, Range<u64>, object_store::Attributes)> {
    let (meta, range, attributes) = (result.meta.clone(), result.range.clone(), result.attributes.clone());
    let bytes = result.bytes().await?;
    check_length(&bytes, &range)?;
    Ok((bytes, meta, range, attributes))
}

fn check_length(bytes: &Bytes, range: &Range<u64>) -> Result<()> {
    let expected = range.end.saturating_sub(range.start);
    if bytes.len() as u64 == expected {
        return Ok(());
    }
    Err(broken(format!("the body is short: {} bytes of {expected}", bytes.len())))
}

#[async_trait]
impl ObjectStore for Retrying {
    /// A conditional put that is tried again can fail on what its own first try wrote; whoever puts on a condition looks
    /// at what is there before giving up.
    async fn put_opts(&self, location: &Path, payload: PutPayload, opts: PutOptions) -> Result<PutResult> {
        self.retried("put", location, || self.inner.put_opts(location, payload.clone(), opts.clone())).await
    }

    async fn put_multipart_opts(&self, location: &Path, opts: PutMultipartOptions) -> Result<Box<dyn MultipartUpload>> {
        self.inner.put_multipart_opts(location, opts).await
    }

    /// Fetches the whole range before it answers: a body that breaks off is a request that failed.
    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        let head = options.head;
        self.retried("get", location, || {
            let options = options.clone();
            async move {
                let result = self.inner.get_opts(location, options).await?;
                if head {
                    return Ok(result);
                }
                let (bytes, meta, range, attributes) = whole(result).await?;
                let payload = GetResultPayload::Stream(futures::stream::once(async { Ok(bytes) }).boxed());
                Ok(GetResult { payload, meta, range, attributes })
            }
        })
        .await
    }

    async fn get_ranges(&self, location: &Path, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
        self.retried("get", location, || async {
            let parts = self.inner.get_ranges(location, ranges).await?;
            if parts.len() != ranges.len() {
                return Err(broken(format!("{} parts of {}", parts.len(), ranges.len())));
            }
            parts.iter().zip(ranges).try_for_each(|(part, range)| check_length(part, range))?;
            Ok(parts)
        })
        .await
    }

    fn delete_stream(&self, locations: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        let this = Self::new(Arc::clone(&self.inner), self.retry);
        let this = Arc::new(this);
        locations
            .and_then(move |location| {
                let this = Arc::clone(&this);
                async move {
                    this.retried("delete", &location, || async {
                        let one = futures::stream::once(futures::future::ready(Ok(location.clone()))).boxed();
                        match this.inner.delete_stream(one).try_collect::<Vec<_>>().await {
                            // It is gone, by an earlier try or by somebody else.
                            Ok(_) | Err(object_store::Error::NotFound { .. }) => Ok(location.clone()),
                            Err(e) => Err(e),
                        }
                    })
                    .await
                }
            })
            .boxed()
    }

    /// A listing that breaks is begun again; what it gave before is not given twice. The store's own order is kept.
    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        let state = Listing {
            inner: Arc::clone(&self.inner),
            prefix: prefix.cloned(),
            retry: self.retry,
            began: Instant::now(),
            tries: 0,
            seen: std::collections::HashSet::new(),
            stream: None,
        };
        futures::stream::try_unfold(state, |mut state| async move { Ok(state.next().await?.map(|meta| (meta, state))) })
            .boxed()
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        let path = prefix.cloned().unwrap_or_default();
        self.retried("list", &path, || self.inner.list_with_delimiter(prefix)).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.retried("copy", from, || self.inner.copy_opts(from, to, options.clone())).await
    }
}

/// A listing under way.
struct Listing {
    inner: Arc<dyn ObjectStore>,
    prefix: Option<Path>,
    retry: Retry,
    began: Instant,
    tries: usize,
    seen: std::collections::HashSet<Path>,
    stream: Option<BoxStream<'static, Result<ObjectMeta>>>,
}

impl Listing {
    async fn next(&mut self) -> Result<Option<ObjectMeta>> {
        loop {
            let stream = self.stream.get_or_insert_with(|| self.inner.list(self.prefix.as_ref()));
            let entry = match tokio::time::timeout(self.retry.patience(), stream.try_next()).await {
                Ok(entry) => entry,
                Err(_) => Err(broken("the listing does not go on".to_owned())),
            };
            match entry {
                Ok(Some(meta)) => {
                    if self.seen.insert(meta.location.clone()) {
                        // It goes on; what fails next is another failure.
                        (self.began, self.tries) = (Instant::now(), 0);
                        return Ok(Some(meta));
                    }
                }
                Ok(None) => return Ok(None),
                Err(error) => {
                    let again =
                        is_transient(&error) && self.tries < self.retry.retries && self.retry.has_time(self.began);
                    if !again {
                        return Err(error);
                    }
                    let wait = FIRST_WAIT.saturating_mul(1 << self.tries.min(10)).min(LONGEST_WAIT);
                    self.tries += 1;
                    self.stream = None;
                    tracing::info!(what = "list", wait_ms = wait.as_millis(), error = %redact(&error.to_string()), "trying again");
                    tokio::time::sleep(wait).await;
                }
            }
        }
    }
}
