//! Stores: a folder, S3, ADLS Gen2 or Blob storage, GCS, each under the same few promises.
//!
//! ```text
//! what was typed -> Location -> client of the provider (credentials, endpoint)
//!                -> Retrying (what may pass is tried again, within a time limit)
//!                -> Root (paths relative to what was asked for)
//!                -> Pinned (reads of a source: the object that was listed, or an error)
//!                -> Shared (where several jobs read it: once)
//! ```
//!
//! Every failure that leaves this module names the URL and the action, and none holds a secret.

mod aws;
mod azure;
mod delta;
mod failure;
mod gcp;
mod local;
mod location;
mod pinned;
mod retrying;
mod shared;
mod stores;

pub(crate) use delta::{DELTA_LOG, delta_table, is_delta_table, unreadable_log};
pub(crate) use failure::{Action, failed, find_cause, is_absent};
pub(crate) use local::is_staged;
pub(crate) use location::Location;
pub(crate) use pinned::{Told, pinned};

pub use retrying::Retry;
pub use shared::SharedReads;
pub(crate) use stores::Root;
pub use stores::{StoreHook, Stores};
