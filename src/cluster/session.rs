//! One try of one chunk on the workers that answer.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use datafusion::physical_plan::ExecutionPlan;
use datafusion::prelude::SessionContext;
use url::Url;

use super::channel::Channels;
use super::gather::gather;
use super::scans::Scans;
use super::watch::Watch;
use crate::error::Result;
use crate::lake::Notices;
use crate::sink::WorkersOfRecord;

/// A session whose plans are dealt out to workers.
pub(crate) struct Session {
    pub(crate) context: SessionContext,
    pub(super) channels: Channels,
    pub(super) urls: Vec<Url>,
    /// What this try is called where it is evaluated.
    pub(super) run: String,
}

/// A plan that workers evaluate.
pub(crate) struct Evaluating {
    watch: Watch,
    scans: Scans,
    workers: usize,
}

impl Session {
    /// Has `read` grow while workers evaluate `plan`.
    pub(crate) fn watch(&self, plan: &Arc<dyn ExecutionPlan>, read: &Arc<AtomicU64>) -> Evaluating {
        let scans = Scans::of(plan.as_ref());
        let (channels, urls, run) = (self.channels.clone(), self.urls.clone(), self.run.clone());
        let watch = Watch::begin(channels, urls, run, scans.clone(), Arc::clone(read));
        Evaluating { watch, scans, workers: self.urls.len() }
    }
}

impl Evaluating {
    /// What the workers have counted, now that the last row of `plan` is here; what they have met is in `notices`.
    ///
    /// # Errors
    /// When a worker does not tell.
    pub(crate) async fn end(self, plan: &Arc<dyn ExecutionPlan>, notices: &Notices) -> Result<WorkersOfRecord> {
        let found = gather(plan, &self.scans, notices).await?;
        self.watch.end(found.rows);
        Ok(WorkersOfRecord {
            workers: self.workers as u64,
            tries: 1,
            rows_read: found.rows,
            bytes_exchanged: found.bytes,
        })
    }
}
