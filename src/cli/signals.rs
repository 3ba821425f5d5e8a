//! What a signal does: a run is asked to stop and comes to a clean end; a second signal, and any other command, ends at once.

use std::pin::pin;
use std::process::ExitCode;

use super::fail;
use crate::error::Result;
use crate::stop::Stop;

/// Exit codes of a process that a signal ended, as shells have them.
const INTERRUPTED: u8 = 130;
const TERMINATED: u8 = 143;

/// What a command came to.
pub(super) struct Ended {
    pub(super) code: u8,
    /// Whether it was cut short by the wish to stop.
    pub(super) stopped: bool,
}

impl From<u8> for Ended {
    fn from(code: u8) -> Self {
        Self { code, stopped: false }
    }
}

/// What a signal is to a command.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Signalled {
    /// It is asked to stop; a second signal ends it.
    Stops,
    /// It is cut off.
    Ends,
    /// It serves others, and that is how it ends.
    Served,
}

/// Does `work`, and as a signal has it.
pub(super) async fn heeding<F>(signalled: Signalled, work: impl FnOnce(Stop) -> F) -> ExitCode
where
    F: Future<Output = Result<Ended>>,
{
    let stop = Stop::default();
    let mut work = pin!(work(stop.clone()));
    let mut signals = Signals::new();
    let mut first = None;
    loop {
        tokio::select! {
            result = &mut work => {
                return match (result, first) {
                    (Ok(ended), Some(code)) if ended.stopped => ExitCode::from(code),
                    (Ok(ended), _) => ExitCode::from(ended.code),
                    (Err(error), _) => fail(&error),
                };
            }
            code = signals.next() => {
                if signalled == Signalled::Served {
                    tracing::info!("ended by a signal; runs go on with the workers that are left");
                    return ExitCode::SUCCESS;
                }
                if first.is_some() || signalled == Signalled::Ends {
                    tracing::error!("ended by a signal; windows that are committed stay, no window is half written");
                    return ExitCode::from(code);
                }
                tracing::warn!("stopping: what is being committed is finished; another signal ends it at once");
                first = Some(code);
                stop.stop();
            }
        }
    }
}

/// Signals that ask a process to end, as the exit codes that they stand for.
#[cfg(unix)]
struct Signals(Option<(tokio::signal::unix::Signal, tokio::signal::unix::Signal)>);

#[cfg(unix)]
impl Signals {
    fn new() -> Self {
        use tokio::signal::unix::{SignalKind, signal};
        // Without handlers the signal ends the process by itself.
        Self(signal(SignalKind::interrupt()).ok().zip(signal(SignalKind::terminate()).ok()))
    }

    async fn next(&mut self) -> u8 {
        match &mut self.0 {
            Some((interrupt, terminate)) => tokio::select! {
                _ = interrupt.recv() => INTERRUPTED,
                _ = terminate.recv() => TERMINATED,
            },
            None => std::future::pending().await,
        }
    }
}

#[cfg(not(unix))]
struct Signals;

#[cfg(not(unix))]
impl Signals {
    fn new() -> Self {
        Self
    }

    async fn next(&mut self) -> u8 {
        match tokio::signal::ctrl_c().await {
            Ok(()) => INTERRUPTED,
            Err(_) => std::future::pending().await,
        }
    }
}
