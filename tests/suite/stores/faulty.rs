//! A store that fails as it is told to: for any request, in any of the ways in which stores fail.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::BoxStream;
use futures::{StreamExt, TryStreamExt};
use lakehunt::Stores;
use object_store::path::Path;
use object_store::{
    CopyOptions, Error, GetOptions, GetResult, GetResultPayload, ListResult, MultipartUpload, ObjectMeta, ObjectStore,
    PutMode, PutMultipartOptions, PutOptions, PutPayload, PutResult, Result,
};

/// What is asked of a store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Op {
    Get,
    Put,
    List,
}

/// One request.
#[derive(Debug)]
pub(crate) struct Call<'a> {
    /// Counted from 1, over all requests.
    pub(crate) number: usize,
    pub(crate) op: Op,
    pub(crate) path: &'a str,
}

/// What becomes of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    None,
    /// The connection is reset before an answer.
    Reset,
    /// The server asks for patience.
    Throttle,
    /// The body ends too early, without an error.
    Short,
    /// The body breaks off with an error; a listing does so after its first entry.
    Breaks,
    /// It is done, and the answer is lost.
    LostAnswer,
    /// There is no answer, ever.
    Hangs,
    /// It takes its time.
    Slow(Duration),
    /// The disk is full.
    Full,
    /// It puts without a condition, and knows no other way.
    Unconditional,
}

pub(crate) type Plan = dyn Fn(&Call) -> Fault + Send + Sync;

/// `stores`, each of which fails by `plan`. Requests are counted over all of them.
pub(crate) fn failing(stores: Stores, plan: impl Fn(&Call) -> Fault + Send + Sync + 'static) -> Stores {
    let (plan, count): (Arc<Plan>, _) = (Arc::new(plan), Arc::new(AtomicUsize::new(0)));
    stores.with_hook(move |_, store| {
        Arc::new(Faulty { store, plan: Arc::clone(&plan), count: Arc::clone(&count) }) as Arc<dyn ObjectStore>
    })
}

struct Faulty {
    store: Arc<dyn ObjectStore>,
    plan: Arc<Plan>,
    count: Arc<AtomicUsize>,
}

impl Faulty {
    fn fault(&self, op: Op, path: &str) -> Fault {
        let number = self.count.fetch_add(1, Ordering::SeqCst) + 1;
        (self.plan)(&Call { number, op, path })
    }
}

impl fmt::Debug for Faulty {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Faulty({:?})", self.store)
    }
}

impl fmt::Display for Faulty {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Faulty({})", self.store)
    }
}

fn failed(kind: std::io::ErrorKind) -> Error {
    Error::Generic { store: "faulty", source: Box::new(std::io::Error::from(kind)) }
}

/// What every kind of request has in common: an error, or going on.
async fn before(fault: Fault) -> Result<()> {
    match fault {
        Fault::Reset => Err(failed(std::io::ErrorKind::ConnectionReset)),
        Fault::Full => Err(failed(std::io::ErrorKind::StorageFull)),
        Fault::Throttle => {
            let text = "Server returned non-2xx status code: 503 Service Unavailable: SlowDown";
            Err(Error::Generic { store: "faulty", source: text.into() })
        }
        Fault::Hangs => std::future::pending().await,
        Fault::Slow(time) => {
            tokio::time::sleep(time).await;
            Ok(())
        }
        Fault::None | Fault::Short | Fault::Breaks | Fault::LostAnswer | Fault::Unconditional => Ok(()),
    }
}

#[async_trait]
impl ObjectStore for Faulty {
    async fn put_opts(&self, location: &Path, payload: PutPayload, opts: PutOptions) -> Result<PutResult> {
        let fault = self.fault(Op::Put, location.as_ref());
        before(fault).await?;
        if fault == Fault::Unconditional && opts.mode != PutMode::Overwrite {
            let (operation, implementer) = ("a put on a condition".to_owned(), self.to_string());
            return Err(Error::NotImplemented { operation, implementer });
        }
        let put = self.store.put_opts(location, payload, opts).await?;
        if matches!(fault, Fault::LostAnswer | Fault::Short | Fault::Breaks) {
            return Err(failed(std::io::ErrorKind::TimedOut));
        }
        Ok(put)
    }

    async fn put_multipart_opts(&self, _: &Path, _: PutMultipartOptions) -> Result<Box<dyn MultipartUpload>> {
        panic!("no upload of parts is ever begun; what a crash left of one would have to be cleaned up");
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        let fault = self.fault(Op::Get, location.as_ref());
        before(fault).await?;
        let head = options.head;
        let result = self.store.get_opts(location, options).await?;
        if head || !matches!(fault, Fault::Short | Fault::Breaks) {
            return match fault {
                Fault::LostAnswer => Err(failed(std::io::ErrorKind::TimedOut)),
                _ => Ok(result),
            };
        }
        let (meta, range, attributes) = (result.meta.clone(), result.range.clone(), result.attributes.clone());
        let bytes = result.bytes().await?;
        let mut parts = vec![Ok(bytes.slice(..bytes.len().saturating_sub(1)))];
        if fault == Fault::Breaks {
            parts.push(Err(failed(std::io::ErrorKind::UnexpectedEof)));
        }
        let payload = GetResultPayload::Stream(futures::stream::iter(parts).boxed());
        Ok(GetResult { payload, meta, range, attributes })
    }

    async fn get_ranges(&self, location: &Path, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
        let fault = self.fault(Op::Get, location.as_ref());
        before(fault).await?;
        let mut parts = self.store.get_ranges(location, ranges).await?;
        match (fault, parts.last_mut()) {
            (Fault::Short, Some(last)) => *last = last.slice(..last.len().saturating_sub(1)),
            (Fault::Breaks | Fault::LostAnswer, _) => return Err(failed(std::io::ErrorKind::UnexpectedEof)),
            _ => {}
        }
        Ok(parts)
    }

    fn delete_stream(&self, locations: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        self.store.delete_stream(locations)
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        let fault = self.fault(Op::List, prefix.map_or("", |path| path.as_ref()));
        let store = Arc::clone(&self.store);
        let prefix = prefix.cloned();
        let entries = async move {
            before(fault).await?;
            let entries = store.list(prefix.as_ref());
            Ok::<_, Error>(match fault {
                Fault::Short | Fault::Breaks | Fault::LostAnswer => {
                    let end = futures::stream::once(async { Err(failed(std::io::ErrorKind::UnexpectedEof)) });
                    entries.take(1).chain(end).boxed()
                }
                _ => entries,
            })
        };
        futures::stream::once(entries).try_flatten().boxed()
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        before(self.fault(Op::List, prefix.map_or("", |path| path.as_ref()))).await?;
        self.store.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.store.copy_opts(from, to, options).await
    }
}
