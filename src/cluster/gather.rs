//! What workers have counted and met.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::display::DisplayableExecutionPlan;
use datafusion::physical_plan::metrics::Metric;
use datafusion_distributed::{DistributedExec, DistributedMetricsFormat, rewrite_distributed_plan_with_metrics};

use super::scans::Scans;
use crate::engine::engine_error;
use crate::error::{Error, ErrorKind, Result};
use crate::lake::{NOTICE, Notices, READ, TABLE};

/// How long workers may take to tell after the last row.
const PATIENCE: Duration = Duration::from_secs(30);
/// The engine's name for what came over the network.
const TRANSFERRED: &str = "bytes_transferred";

/// What all workers together have counted.
#[derive(Debug, Default)]
pub(super) struct Gathered {
    /// Rows read, each once.
    pub(super) rows: u64,
    /// Bytes that came from one machine to another, as they were sent.
    pub(super) bytes: u64,
}

/// Adds to `notices` what the scans of `plan` have met, where these were sent to workers.
///
/// # Errors
/// When a worker does not tell: something that was met could be missed.
pub(super) async fn gather(plan: &Arc<dyn ExecutionPlan>, scans: &Scans, notices: &Notices) -> Result<Gathered> {
    if !plan.is::<DistributedExec>() {
        return Ok(Gathered::default());
    }
    let told = rewrite_distributed_plan_with_metrics(Arc::clone(plan), DistributedMetricsFormat::PerTask);
    let plan = tokio::time::timeout(PATIENCE, told)
        .await
        .map_err(|_| Error::new(ErrorKind::Engine, "a worker does not tell what it has met"))?
        .map_err(engine_error)?;
    tracing::debug!("measured by workers:\n{}", DisplayableExecutionPlan::with_metrics(plan.as_ref()).indent(false));
    let mut found = Found::default();
    found.visit(plan.as_ref(), notices);
    let rows = found.rows.iter().map(|(table, rows)| scans.once_of(*table, *rows)).sum();
    Ok(Gathered { rows, bytes: found.bytes })
}

#[derive(Default)]
struct Found {
    /// Rows that were read, by table.
    rows: BTreeMap<usize, u64>,
    bytes: u64,
}

impl Found {
    fn visit(&mut self, plan: &dyn ExecutionPlan, notices: &Notices) {
        for metric in plan.metrics().iter().flat_map(|metrics| metrics.iter()) {
            let count = metric.value().as_usize() as u64;
            match metric.value().name() {
                READ => {
                    let table = label(metric, TABLE).and_then(|table| table.parse().ok()).unwrap_or_default();
                    *self.rows.entry(table).or_default() += count;
                }
                NOTICE => label(metric, NOTICE).into_iter().for_each(|line| notices.met_elsewhere(line)),
                TRANSFERRED => self.bytes += count,
                _ => {}
            }
        }
        plan.children().into_iter().for_each(|child| self.visit(child.as_ref(), notices));
    }
}

fn label<'a>(metric: &'a Metric, name: &str) -> Option<&'a str> {
    metric.labels().iter().find(|label| label.name() == name).map(|label| label.value())
}
