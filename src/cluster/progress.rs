//! How far workers are: the rows that their scans have read for a run, for those who watch it. What scans have met is told
//! at the end of a run only, with the engine's metrics.

use std::collections::HashMap;
use std::convert::Infallible;
use std::future::{Ready, ready};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::task::{Context, Poll};

use tonic::body::Body;
use tonic::codegen::Service;
use tonic::codegen::http::{HeaderMap, Request, Response};
use tonic::server::NamedService;

/// The header that says which run asks.
pub(super) const RUN: &str = "x-lakehunt-run";
/// The header of the answer.
pub(super) const ROWS: &str = "x-lakehunt-rows";
/// What is asked for.
pub(super) const PATH: &str = "/lakehunt.Progress/Rows";

/// Rows by the run that they were read for. A run is forgotten when a worker has no part of it any more.
#[derive(Clone, Default)]
pub(super) struct Counters(Arc<Mutex<HashMap<String, Weak<AtomicU64>>>>);

impl Counters {
    /// What counts the rows of the run that `headers` name.
    pub(super) fn of(&self, headers: &HeaderMap) -> Arc<AtomicU64> {
        let mut counters = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        counters.retain(|_, rows| rows.strong_count() > 0);
        let Some(run) = run(headers) else { return Arc::default() };
        if let Some(known) = counters.get(run).and_then(Weak::upgrade) {
            return known;
        }
        let rows = Arc::default();
        counters.insert(run.to_owned(), Arc::downgrade(&rows));
        rows
    }

    /// The rows that were read for the run that `headers` name.
    fn rows(&self, headers: &HeaderMap) -> u64 {
        let counters = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let rows = run(headers).and_then(|run| counters.get(run)).and_then(Weak::upgrade);
        rows.map_or(0, |rows| rows.load(Ordering::Relaxed))
    }
}

fn run(headers: &HeaderMap) -> Option<&str> {
    headers.get(RUN)?.to_str().ok()
}

/// Answers how far a run is.
#[derive(Clone)]
pub(super) struct Progress(pub(super) Counters);

impl NamedService for Progress {
    const NAME: &'static str = "lakehunt.Progress";
}

impl Service<Request<Body>> for Progress {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Ready<Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let mut response = Response::new(Body::empty());
        response.headers_mut().insert(ROWS, self.0.rows(request.headers()).into());
        ready(Ok(response))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_run_has_a_count_of_its_own_as_long_as_it_lasts() {
        let headers = |run: &str| HeaderMap::from_iter([(RUN.parse().unwrap(), run.parse().unwrap())]);
        let counters = Counters::default();
        let (a, b) = (counters.of(&headers("a")), counters.of(&headers("b")));
        counters.of(&headers("a")).fetch_add(3, Ordering::Relaxed);
        a.fetch_add(4, Ordering::Relaxed);
        b.fetch_add(1, Ordering::Relaxed);
        assert_eq!([counters.rows(&headers("a")), counters.rows(&headers("b"))], [7, 1]);
        drop(a);
        assert_eq!([counters.rows(&headers("a")), counters.rows(&headers("b"))], [0, 1]);
        assert_eq!(counters.of(&headers("a")).load(Ordering::Relaxed), 0);
        assert_eq!(counters.rows(&HeaderMap::new()), 0);
    }
}
