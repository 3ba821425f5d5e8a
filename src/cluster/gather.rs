//! What scans on workers have counted and met.

use std::sync::Arc;
use std::time::Duration;

use datafusion::physical_plan::ExecutionPlan;
use datafusion_distributed::{DistributedExec, DistributedMetricsFormat, rewrite_distributed_plan_with_metrics};

use crate::engine::engine_error;
use crate::error::{Error, ErrorKind, Result};
use crate::lake::{NOTICE, Notices, READ};

/// How long workers may take to tell after the last row.
const PATIENCE: Duration = Duration::from_secs(30);

/// Adds to `notices` what the scans of `plan` have met, where these were sent to workers.
///
/// # Errors
/// When a worker does not tell: something that was met could be missed.
pub(crate) async fn gather(plan: &Arc<dyn ExecutionPlan>, notices: &Notices) -> Result<()> {
    if !plan.is::<DistributedExec>() {
        return Ok(());
    }
    let told = rewrite_distributed_plan_with_metrics(Arc::clone(plan), DistributedMetricsFormat::PerTask);
    let plan = tokio::time::timeout(PATIENCE, told)
        .await
        .map_err(|_| Error::new(ErrorKind::Engine, "a worker does not tell what it has met"))?
        .map_err(engine_error)?;
    visit(plan.as_ref(), notices);
    Ok(())
}

fn visit(plan: &dyn ExecutionPlan, notices: &Notices) {
    for metric in plan.metrics().iter().flat_map(|metrics| metrics.iter()) {
        match metric.value().name() {
            READ => notices.read(metric.value().as_usize()),
            NOTICE => metric.labels().iter().filter(|label| label.name() == NOTICE).for_each(|label| {
                notices.met_elsewhere(label.value());
            }),
            _ => {}
        }
    }
    plan.children().into_iter().for_each(|child| visit(child.as_ref(), notices));
}
