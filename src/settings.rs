//! What a run is asked to do, as values: the only form of flags, environment and job file that the library sees.

use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::time::Duration;

use chrono::{DateTime, Utc};

use crate::error::{Error, ErrorKind, Result};
use crate::job::{Job, OutputFormat, StoreSpec};
use crate::lake::Layout;
use crate::stop::Stop;
use crate::store::Stores;
use crate::window::{Nightly, OnChange, Scope, Shard, Span, Window, WindowSize};

/// Memory for joins, aggregations and sorts unless told otherwise: 2 GiB.
pub const DEFAULT_MEMORY_LIMIT: usize = 2 << 30;

/// How long the claim of a run outlives it unless told otherwise.
pub const DEFAULT_LEASE: Duration = Duration::from_secs(120);

/// What a nightly run keeps of what is done.
#[derive(Debug, Clone, Copy)]
pub struct Upkeep {
    /// Which windows' files may still change.
    pub nightly: Nightly,
    /// The instant that the run is for.
    pub as_of: DateTime<Utc>,
    /// What becomes of windows that another version of the job has done.
    pub on_change: OnChange,
}

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
    /// Where the further tables of the job lie, by name.
    pub tables: BTreeMap<String, String>,
    /// The root of the output: a folder or a URL.
    pub output: String,
    /// How its store is reached.
    pub output_store: StoreSpec,
    /// The form of the hit table and of the runs table.
    pub output_format: OutputFormat,
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
    /// The part of the range that this run does; all of it for `None`.
    pub shard: Option<Shard>,
    /// Begin with the newest windows.
    pub newest_first: bool,
    /// Which windows that are done are left as they are, in a nightly run. With `None` all are compared with their files and
    /// the job, and done again where these differ.
    pub upkeep: Option<Upkeep>,
    /// How long the claim to the windows of this run outlives it; zero for a run that makes and heeds no claims.
    pub lease: Duration,
    /// Wait for windows that another run has claimed, instead of leaving them to it.
    pub wait: bool,
    /// Asks the run to stop.
    pub stop: Stop,
    /// The clock that run records are dated by.
    pub clock: fn() -> DateTime<Utc>,
    /// The machines that evaluate; this process alone for `None`.
    pub workers: Option<crate::cluster::Workers>,
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
            tables: further(job),
            output: output.into(),
            output_store: job.output().store.clone(),
            output_format: job.output().format,
            stores: Stores::from_env(),
            span,
            window: job.window().size.parse()?,
            scope: job.window().scope,
            threads: std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN),
            memory_limit: DEFAULT_MEMORY_LIMIT,
            interval_join: true,
            force: false,
            shard: None,
            newest_first: false,
            upkeep: None,
            lease: DEFAULT_LEASE,
            wait: true,
            stop: Stop::default(),
            clock: Utc::now,
            workers: None,
        })
    }

    /// The windows of the run, in order: those of the range that are its shard's.
    ///
    /// # Errors
    /// When the range does not divide into windows, or one window is to be shared.
    pub fn windows(&self) -> Result<Vec<Window>> {
        let windows = self.span.windows(self.window)?;
        if let (Some(shard), WindowSize::All) = (self.shard, self.window) {
            return Err(Error::new(
                ErrorKind::Usage,
                format!(
                    "one window over everything has no part {shard}; choose windows of a size, or leave out --shard"
                ),
            ));
        }
        let total = windows.len();
        let mine = |position: usize| self.shard.is_none_or(|shard| shard.takes(position, total));
        Ok(windows.into_iter().enumerate().filter(|(position, _)| mine(*position)).map(|(_, window)| window).collect())
    }
}

/// Where the job itself says that its further tables lie.
fn further(job: &Job) -> BTreeMap<String, String> {
    let places = job.sources().skip(1).filter_map(|source| Some((source.table.clone(), source.url.clone()?)));
    places.collect()
}
