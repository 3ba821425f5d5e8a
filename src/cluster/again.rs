//! A worker that is lost takes what it was doing with it; those that are left do it again.

use std::time::Duration;

use crate::error::{ErrorKind, Result};

/// Tries after the first one.
const AGAIN: u32 = 4;
/// Between the first try and the second; each pause is longer than the one before by this.
const PAUSE: Duration = Duration::from_secs(1);

/// Does `work`, and again where that can help; it is told which try it is, from one on.
pub(crate) async fn again<T, F: Future<Output = Result<T>>>(work: impl Fn(u32) -> F) -> Result<T> {
    again_after(PAUSE, work).await
}

async fn again_after<T, F: Future<Output = Result<T>>>(pause: Duration, work: impl Fn(u32) -> F) -> Result<T> {
    let mut tries = 1;
    loop {
        match work(tries).await {
            // What a worker or the way to it did wrong is not told apart from what the engine did.
            Err(error) if tries <= AGAIN && matches!(error.kind(), ErrorKind::Engine | ErrorKind::Unreachable) => {
                tracing::warn!(%error, tries, "the workers did not come to an end; trying again with those that answer");
                tokio::time::sleep(pause * tries).await;
                tries += 1;
            }
            result => return result,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;
    use crate::error::Error;

    #[tokio::test]
    async fn only_what_may_come_to_an_end_is_tried_again() {
        for (kind, tried) in [
            (ErrorKind::Engine, 5),
            (ErrorKind::Unreachable, 5),
            (ErrorKind::CorruptFile, 1),
            (ErrorKind::ResourcesExhausted, 1),
            (ErrorKind::AccessDenied, 1),
        ] {
            let tries = AtomicU32::new(0);
            let work = |_| {
                tries.fetch_add(1, Ordering::Relaxed);
                async { Err::<(), _>(Error::new(kind, "lost")) }
            };
            assert_eq!(again_after(Duration::ZERO, work).await.unwrap_err().kind(), kind);
            assert_eq!(tries.load(Ordering::Relaxed), tried, "{kind}");
        }
        let third = again_after(Duration::ZERO, |tries| async move {
            if tries < 3 { Err(Error::new(ErrorKind::Engine, "lost")) } else { Ok(tries) }
        });
        assert_eq!(third.await.unwrap(), 3);
    }
}
