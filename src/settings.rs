//! What a run is asked to do, as values: the only form of flags, environment and job file that the library sees.

use std::num::NonZeroUsize;

use chrono::{DateTime, Utc};

use crate::error::Result;
use crate::job::{Job, StoreSpec};
use crate::lake::Layout;
use crate::store::Stores;
use crate::window::{Scope, Span, WindowSize};

/// Memory for joins, aggregations and sorts unless told otherwise: 2 GiB.
pub const DEFAULT_MEMORY_LIMIT: usize = 2 << 30;

/// The settings of one run.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The root of the lake: a folder or a URL.
    pub source: String,
    /// How its store is reached.
    pub source_store: StoreSpec,
    /// The version to read, of a lake that is a Delta table; the newest one for `None`.
    pub source_version: Option<u64>,
    /// How its folders follow from time.
    pub layout: Layout,
    /// Partitions read before and after those of a window.
    pub slack: u32,
    /// The column to read the time from, instead of the job's names for it.
    pub time_column: Option<String>,
    /// The root of the output: a folder or a URL.
    pub output: String,
    /// How its store is reached.
    pub output_store: StoreSpec,
    /// How stores are opened.
    pub stores: Stores,
    /// The range of time.
    pub span: Span,
    /// The length of its windows.
    pub window: WindowSize,
    /// What a window sees of the time before it.
    pub scope: Scope,
    /// Threads that evaluate.
    pub threads: NonZeroUsize,
    /// Bytes that the engine's joins, aggregations and sorts may hold together.
    pub memory_limit: usize,
    /// Evaluate joins by `followed_within` with the interval join. The hash join of the engine, which it stands for,
    /// gives the same rows and takes long where a user signs in often from one address.
    pub interval_join: bool,
    /// Evaluate windows again that are done already.
    pub force: bool,
    /// The clock that run records are dated by.
    pub clock: fn() -> DateTime<Utc>,
}

impl Settings {
    /// The settings that `job` has by itself, for a source, an output and a range.
    ///
    /// # Errors
    /// When the job's layout or window size cannot be read.
    pub fn new(job: &Job, source: impl Into<String>, output: impl Into<String>, span: Span) -> Result<Self> {
        Ok(Self {
            source: source.into(),
            source_store: job.source().store.clone(),
            source_version: None,
            layout: job.source().layout.parse()?,
            slack: job.source().slack,
            time_column: None,
            output: output.into(),
            output_store: job.output().store.clone(),
            stores: Stores::from_env(),
            span,
            window: job.window().size.parse()?,
            scope: job.window().scope,
            threads: std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN),
            memory_limit: DEFAULT_MEMORY_LIMIT,
            interval_join: true,
            force: false,
            clock: Utc::now,
        })
    }
}
