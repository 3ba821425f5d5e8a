//! Chunks that are being evaluated. The next one begins when the one before it has read its rows, so that no thread waits
//! for the others to read the last of them, to count and to encode.

use std::pin::Pin;
use std::sync::Arc;

use futures::future::{FutureExt, LocalBoxFuture, MaybeDone, maybe_done, select};

use super::round::Cut;
use crate::engine::AllRead;
use crate::error::{Error, ErrorKind};

/// An evaluation that has begun; it goes on while it is waited for.
pub(super) struct Underway<'a, T> {
    /// The windows, by position in the survey.
    pub(super) chunk: Vec<usize>,
    /// Whether another one has had a share of the memory.
    pub(super) shared: bool,
    all_read: Arc<AllRead>,
    evaluation: MaybeDone<LocalBoxFuture<'a, Result<T, Cut>>>,
}

impl<'a, T> Underway<'a, T> {
    pub(super) fn new<F>(chunk: Vec<usize>, evaluate: impl FnOnce(Vec<usize>, Arc<AllRead>) -> F) -> Self
    where
        F: Future<Output = Result<T, Cut>> + 'a,
    {
        let all_read = Arc::<AllRead>::default();
        let evaluation = maybe_done(evaluate(chunk.clone(), Arc::clone(&all_read)).boxed_local());
        Self { chunk, shared: false, all_read, evaluation }
    }

    /// Waits for its end; what `next` gives once all rows are read goes on beside it, and is the second that is returned.
    pub(super) async fn finish(&mut self, next: impl FnOnce() -> Option<Self>) -> (Result<T, Cut>, Option<Self>) {
        let mut ahead = None;
        tokio::select! {
            biased;
            () = &mut self.evaluation => {}
            () = self.all_read.wait() => ahead = next(),
        }
        if let Some(ahead) = &mut ahead {
            (self.shared, ahead.shared) = (true, true);
            // Should it end first, it keeps its result.
            select(&mut self.evaluation, &mut ahead.evaluation).await;
        }
        (&mut self.evaluation).await;
        let ended = Pin::new(&mut self.evaluation).take_output();
        let lost = || Err(Cut::Failed(Error::new(ErrorKind::Engine, "an evaluation was waited for twice")));
        (ended.unwrap_or_else(lost), ahead)
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use super::*;

    type Log = RefCell<Vec<&'static str>>;

    fn said(log: &Log, what: &'static str) {
        log.borrow_mut().push(what);
    }

    #[tokio::test]
    async fn the_next_begins_when_all_is_read_and_keeps_its_result() {
        let log = Log::default();
        let mut first = Underway::new(vec![1], async |chunk, all_read: Arc<AllRead>| {
            all_read.tell();
            tokio::task::yield_now().await;
            tokio::task::yield_now().await;
            said(&log, "first ends");
            Ok(chunk[0])
        });
        let next = || {
            said(&log, "next begins");
            Some(Underway::new(vec![2], async |chunk: Vec<usize>, _| {
                said(&log, "next ends");
                Ok(chunk[0])
            }))
        };
        let (ended, ahead) = first.finish(next).await;
        assert_eq!(ended.ok(), Some(1));
        assert_eq!(*log.borrow(), ["next begins", "next ends", "first ends"]);
        let mut ahead = ahead.unwrap();
        assert!(first.shared && ahead.shared);
        let (ended, none) = ahead.finish(|| None).await;
        assert_eq!(ended.ok(), Some(2));
        assert!(none.is_none());
    }

    #[tokio::test]
    async fn nothing_begins_before_all_is_read() {
        let mut only = Underway::new(vec![1], async |_, _| {
            tokio::task::yield_now().await;
            Ok(())
        });
        let (ended, ahead) = only.finish(|| panic!("it was not told to")).await;
        assert!(ended.is_ok() && ahead.is_none() && !only.shared);
    }
}
