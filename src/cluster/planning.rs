//! How a plan becomes stages: the scans of a lake are dealt out, and workers put our operators in place.

use std::sync::Arc;

use datafusion::common::Result;
use datafusion::physical_plan::ExecutionPlan;
use datafusion_distributed::{
    DesiredTaskCountEvent, DesiredTaskCountEventResponse, DistributedExec, DistributedLeafExec, ScaleUpLeafNodeEvent,
    ScaleUpLeafNodeEventResponse, WorkerPlanRewriteEvent, WorkerPlanRewriteEventResponse, display_plan_ascii,
};

use crate::engine;
use crate::lake::{LakeScanExec, RemoteScan, RemoteScanExec};
use crate::store::Stores;

/// Every worker takes part in every scan.
pub(super) fn tasks(
    workers: usize,
) -> impl for<'a> Fn(DesiredTaskCountEvent<'a>) -> Option<Result<DesiredTaskCountEventResponse>> + Send + Sync + 'static
{
    move |event| {
        let scan = event.plan.downcast_ref::<LakeScanExec>();
        scan.map(|_| Ok(DesiredTaskCountEventResponse::desired(workers)))
    }
}

/// A scan for each task; one that stays here opens `stores`.
pub(super) fn shares(
    stores: Stores,
) -> impl for<'a> Fn(ScaleUpLeafNodeEvent<'a>) -> Option<Result<ScaleUpLeafNodeEventResponse>> + Send + Sync + 'static {
    move |event| event.plan.downcast_ref::<LakeScanExec>().map(|scan| deal_out(scan, event, &stores))
}

fn deal_out(
    scan: &LakeScanExec,
    event: ScaleUpLeafNodeEvent<'_>,
    stores: &Stores,
) -> Result<ScaleUpLeafNodeEventResponse> {
    let scans = RemoteScan::of_tasks(scan, event.task_count, event.session_config.target_partitions())?;
    let scans = scans
        .into_iter()
        .map(|scan| Ok(Arc::new(RemoteScanExec::try_new(scan, stores.clone(), Arc::default())?) as Arc<_>));
    let scans: Vec<Arc<dyn ExecutionPlan>> = scans.collect::<Result<_>>()?;
    let leaf = DistributedLeafExec::try_new(Arc::clone(event.plan), scans)?;
    Ok(ScaleUpLeafNodeEventResponse::new(Arc::new(leaf)))
}

/// Our operators for those of the engine that were sent.
pub(super) fn ours(event: WorkerPlanRewriteEvent<'_>) -> Result<WorkerPlanRewriteEventResponse> {
    let mut plan = event.plan;
    for rule in engine::worker_rules() {
        plan = rule.optimize(plan, event.session_config.options())?;
    }
    Ok(WorkerPlanRewriteEventResponse::new(plan))
}

/// The stages of a plan as text, if it has any.
pub(crate) fn stages(plan: &dyn ExecutionPlan) -> Option<String> {
    plan.is::<DistributedExec>().then(|| display_plan_ascii(plan, false))
}
