//! Scans of a lake on their way to a worker. All other operators of a stage are the engine's own.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use datafusion::common::{DataFusionError, Result, internal_err};
use datafusion::execution::TaskContext;
use datafusion::physical_plan::ExecutionPlan;
use datafusion_proto::physical_plan::{PhysicalExtensionCodec, PhysicalProtoConverterExtension};

use crate::lake::RemoteScanExec;
use crate::store::Stores;

/// Writes and reads scans.
#[derive(Debug)]
pub(super) struct ScanCodec {
    /// What scans that are read open stores with.
    pub(super) stores: Stores,
    /// What counts their rows, for those who watch.
    pub(super) read: Arc<AtomicU64>,
}

impl PhysicalExtensionCodec for ScanCodec {
    fn try_decode(
        &self,
        buf: &[u8],
        _: &[Arc<dyn ExecutionPlan>],
        _: &TaskContext,
        _: &dyn PhysicalProtoConverterExtension,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let scan = serde_json::from_slice(buf).map_err(|e| DataFusionError::External(Box::new(e)))?;
        Ok(Arc::new(RemoteScanExec::try_new(scan, self.stores.clone(), Arc::clone(&self.read))?))
    }

    fn try_encode(
        &self,
        node: Arc<dyn ExecutionPlan>,
        buf: &mut Vec<u8>,
        _: &dyn PhysicalProtoConverterExtension,
    ) -> Result<()> {
        let Some(scan) = node.downcast_ref::<RemoteScanExec>() else {
            return internal_err!("{} cannot be sent to a worker", node.name());
        };
        serde_json::to_writer(buf, scan.scan()).map_err(|e| DataFusionError::External(Box::new(e)))
    }
}
