//! Asks workers how far they are, as long as a run goes on.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::task::JoinHandle;
use url::Url;

use super::channel::Channels;
use super::scans::Scans;

const EVERY: Duration = Duration::from_secs(1);

/// Adds to the rows that a run has read what its workers have, once a second.
#[derive(Debug)]
pub(super) struct Watch {
    told: Arc<Told>,
    asking: JoinHandle<()>,
}

#[derive(Debug)]
struct Told {
    /// The rows of the run, to which others may add as well.
    read: Arc<AtomicU64>,
    /// What was added for the workers; `None` when nothing is added any more.
    added: Mutex<Option<u64>>,
}

impl Told {
    /// Has so many rows count.
    fn are(&self, rows: u64, last: bool) {
        let mut added = self.added.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(before) = *added else { return };
        match rows.checked_sub(before) {
            Some(more) => self.read.fetch_add(more, Ordering::Relaxed),
            None => self.read.fetch_sub(before - rows, Ordering::Relaxed),
        };
        *added = (!last).then_some(rows);
    }
}

impl Watch {
    /// Watches the `run` of a plan with `scans` on the workers at `urls`.
    pub(super) fn begin(channels: Channels, urls: Vec<Url>, run: String, scans: Scans, read: Arc<AtomicU64>) -> Self {
        let told = Arc::new(Told { read, added: Mutex::new(Some(0)) });
        let asking = tokio::spawn({
            let told = Arc::clone(&told);
            async move {
                // A worker that has done its part forgets what it was.
                let mut rows = vec![0; urls.len()];
                loop {
                    tokio::time::sleep(EVERY).await;
                    for (rows, url) in rows.iter_mut().zip(&urls) {
                        *rows = channels.rows(url, &run).await.unwrap_or_default().max(*rows);
                    }
                    told.are(scans.once(rows.iter().sum()), false);
                }
            }
        });
        Self { told, asking }
    }

    /// So many rows were read by all of them.
    pub(super) fn end(self, rows: u64) {
        self.told.are(rows, true);
    }
}

impl Drop for Watch {
    /// What a try that failed has read does not count, unless it has ended well.
    fn drop(&mut self) {
        self.asking.abort();
        self.told.are(0, true);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_added_is_put_right_at_the_end() {
        let read = Arc::new(AtomicU64::new(5));
        let told = Told { read: Arc::clone(&read), added: Mutex::new(Some(0)) };
        let mut seen = Vec::new();
        for (rows, last) in [(10, false), (30, false), (25, true), (0, true), (90, false)] {
            told.are(rows, last);
            seen.push(read.load(Ordering::Relaxed));
        }
        assert_eq!(seen, [15, 35, 30, 30, 30]);
    }
}
