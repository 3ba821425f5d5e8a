//! The session: memory, threads and how SQL is read.

use std::num::NonZeroUsize;
use std::sync::Arc;

use datafusion::execution::SessionStateBuilder;
use datafusion::execution::disk_manager::{DiskManagerBuilder, DiskManagerMode};
use datafusion::execution::memory_pool::{GreedyMemoryPool, TrackConsumersPool};
use datafusion::execution::runtime_env::{RuntimeEnv, RuntimeEnvBuilder};
use datafusion::physical_optimizer::PhysicalOptimizerRule;
use datafusion::physical_optimizer::optimizer::PhysicalOptimizer;
use datafusion::prelude::{SessionConfig, SessionContext};
use tokio::sync::Notify;

use super::interval_join::IntervalJoinRule;
use super::row_number::RowNumberRule;
use super::self_join::SelfJoinRule;
use crate::error::{Error, ErrorKind, Result};
use crate::functions;
use crate::settings::Settings;

/// What the engine may use.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    /// Threads that evaluate the hunt.
    pub(crate) threads: NonZeroUsize,
    /// Bytes that joins, aggregations and sorts may hold together; what is over it spills or fails.
    pub(crate) memory: usize,
    /// Whether joins by `followed_within` look up the rows in reach instead of comparing all of a key.
    pub(crate) interval_join: bool,
}

impl Limits {
    /// What a run's settings allow.
    pub(crate) fn of(settings: &Settings) -> Self {
        Self { threads: settings.threads, memory: settings.memory_limit, interval_join: settings.interval_join }
    }
}

/// Memory, and disk for what it does not hold. Sessions that run at once share it.
pub(crate) type Memory = Arc<RuntimeEnv>;

/// What `limits` allow.
pub(crate) fn memory(limits: Limits) -> Result<Memory> {
    // Names the consumers that hold most when memory runs out.
    let largest = NonZeroUsize::MIN.saturating_add(2);
    let pool = TrackConsumersPool::new(GreedyMemoryPool::new(limits.memory), largest);
    RuntimeEnvBuilder::new()
        .with_memory_pool(Arc::new(pool))
        .with_disk_manager_builder(DiskManagerBuilder::default().with_mode(DiskManagerMode::OsTmpDirectory))
        .build_arc()
        .map_err(|e| Error::new(ErrorKind::Engine, "the engine cannot be set up").caused_by(e))
}

/// Tells when a hunt has begun to read the last of its rows; it may be at work with them for a while. Not all hunts tell.
#[derive(Debug, Default)]
pub(crate) struct AllRead(Notify);

impl AllRead {
    pub(crate) fn tell(&self) {
        self.0.notify_one();
    }

    /// Until it is told; that may have been before.
    pub(crate) async fn wait(&self) {
        self.0.notified().await;
    }
}

/// A session with all of the memory.
pub(crate) fn context(limits: Limits) -> Result<SessionContext> {
    Ok(session(limits, &memory(limits)?, Arc::default()))
}

/// A session for one hunt.
pub(crate) fn session(limits: Limits, memory: &Memory, all_read: Arc<AllRead>) -> SessionContext {
    finish(builder(limits, memory, all_read))
}

/// What becomes a session for one hunt.
pub(crate) fn builder(limits: Limits, memory: &Memory, all_read: Arc<AllRead>) -> SessionStateBuilder {
    let mut config = SessionConfig::new()
        .with_target_partitions(limits.threads.get())
        .with_extension(all_read)
        .with_information_schema(false)
        // KQL compares names as they are written; so do hunts, and no name needs quotes.
        .set_bool("datafusion.sql_parser.enable_ident_normalization", false)
        .set_str("datafusion.execution.time_zone", "UTC")
        // Groups of hits are of a row or two, so that a first phase of counting only costs; some thousand rows tell.
        .set_usize("datafusion.execution.skip_partial_aggregation_probe_rows_threshold", 4096)
        // The hits of a chunk are some ten megabytes; to sort batches of them and to merge those takes longer.
        .set_usize("datafusion.execution.sort_in_place_threshold_bytes", 64 << 20)
        // Rows are pruned by row group beforehand; a filter inside the decoder costs more than it saves where most
        // rows of a group pass.
        .set_bool("datafusion.execution.parquet.pushdown_filters", false);
    config.options_mut().catalog.create_default_catalog_and_schema = true;
    let mut builder =
        SessionStateBuilder::new().with_config(config).with_runtime_env(Arc::clone(memory)).with_default_features();
    if limits.interval_join {
        builder = builder.with_physical_optimizer_rules(rules());
    }
    builder
}

/// The session, with the functions of hunts.
pub(crate) fn finish(builder: SessionStateBuilder) -> SessionContext {
    let context = SessionContext::new_with_state(builder.build());
    for function in functions::all() {
        context.register_udf(function);
    }
    for function in functions::aggregates() {
        context.register_udaf(function);
    }
    context
}

/// The rules that a worker applies to its part of a plan: operators of ours for those that can be sent to it.
pub(crate) fn worker_rules() -> [Arc<dyn PhysicalOptimizerRule + Send + Sync>; 2] {
    [Arc::new(IntervalJoinRule), Arc::new(RowNumberRule)]
}

/// The engine's own rules, with ours among them.
///
/// They come when joins have their sides, partitions and columns, and nothing moves any more, so that an operator can be
/// replaced as it stands. They come before the hash join would put a dynamic filter of its keys into the scan of its
/// probe side, which nobody would fill then.
pub(super) fn rules() -> Vec<Arc<dyn PhysicalOptimizerRule + Send + Sync>> {
    let mut rules = PhysicalOptimizer::new().rules;
    let place = rules.iter().position(|rule| rule.name() == "EnsureCooperative").unwrap_or(rules.len());
    // The second replaces what the first has put in place.
    let ours: [Arc<dyn PhysicalOptimizerRule + Send + Sync>; 3] =
        [Arc::new(IntervalJoinRule), Arc::new(SelfJoinRule), Arc::new(RowNumberRule)];
    rules.splice(place..place, ours);
    rules
}
