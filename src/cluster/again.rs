//! A worker that is lost takes what it was doing with it; those that are left do it again.

use std::time::Duration;

use crate::error::{ErrorKind, Result};

/// Tries after the first one.
const AGAIN: u32 = 4;

/// Does `work`, and again where that can help.
pub(crate) async fn again<T, F: Future<Output = Result<T>>>(work: impl Fn() -> F) -> Result<T> {
    let mut tries = 0;
    loop {
        match work().await {
            // What a worker or the way to it did wrong is not told apart from what the engine did.
            Err(error) if tries < AGAIN && matches!(error.kind(), ErrorKind::Engine | ErrorKind::Unreachable) => {
                tries += 1;
                tracing::warn!(%error, tries, "the workers did not come to an end; trying again with those that answer");
                tokio::time::sleep(Duration::from_secs(u64::from(tries))).await;
            }
            result => return result,
        }
    }
}
