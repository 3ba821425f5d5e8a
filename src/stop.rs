//! A wish to stop, which a run hears wherever it waits.

use tokio_util::sync::CancellationToken;

/// Asks a run to stop: it lets go of what it evaluates, finishes the commits that are under way, and begins nothing new.
/// Clones share one wish.
#[derive(Debug, Clone, Default)]
pub struct Stop(CancellationToken);

impl Stop {
    /// Asks to stop. It cannot be taken back.
    pub fn stop(&self) {
        self.0.cancel();
    }

    /// Whether somebody asked to stop.
    pub fn is_stopped(&self) -> bool {
        self.0.is_cancelled()
    }

    /// What `work` gives, or `None` if somebody asks to stop first; the work is then dropped.
    pub(crate) async fn or<T>(&self, work: impl Future<Output = T>) -> Option<T> {
        self.0.run_until_cancelled(work).await
    }
}
