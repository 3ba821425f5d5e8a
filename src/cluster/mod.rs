//! One plan on many machines: workers that evaluate parts of it, and a run that deals them out.
//!
//! ```text
//!   run:     SQL -> plan -> stages, cut where rows change hands by their hash -> the last stage here -> hits, as ever
//!   worker:  part of a stage -> scan of its row groups, or rows of other workers -> our operators -> rows by hash
//! ```
//!
//! What travels is a plan: expressions, and of the lake its location, files and row groups. Stores are opened by each
//! worker with its own credentials. Only the run writes.

mod access;
mod again;
mod channel;
mod codec;
mod gather;
mod planning;
mod progress;
mod scans;
mod serve;
mod session;
mod watch;
mod workers;

#[cfg(test)]
mod tests;

pub use access::Access;
pub(crate) use again::again;
pub(crate) use planning::stages;
pub(crate) use serve::{Service, serve};
pub use workers::Workers;

/// What two programs have to share to understand each other's plans.
pub(crate) const VERSION: &str = env!("CARGO_PKG_VERSION");
