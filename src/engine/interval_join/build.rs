//! Collects the build side.

use std::sync::Arc;

use datafusion::arrow::array::{Array, AsArray, RecordBatch};
use datafusion::arrow::compute::concat_batches;
use datafusion::arrow::datatypes::{DataType, TimestampNanosecondType};
use datafusion::common::utils::memory::{RecordBatchMemoryCounter, get_record_batch_memory_size};
use datafusion::common::{Result, internal_datafusion_err};
use datafusion::execution::SendableRecordBatchStream;
use datafusion::execution::memory_pool::MemoryReservation;
use datafusion::physical_expr::PhysicalExprRef;
use datafusion::physical_expr::expressions::Column;
use datafusion::physical_plan::metrics::{Count, ExecutionPlanMetricsSet, Gauge, MetricBuilder, Time};
use futures::StreamExt;

use super::keys::Keys;
use super::table::{MAKING_A_ROW, Table};

/// What the build side did.
pub(super) struct BuildMetrics {
    time: Time,
    batches: Count,
    rows: Count,
    memory: Gauge,
}

impl BuildMetrics {
    pub(super) fn new(metrics: &ExecutionPlanMetricsSet, partition: usize) -> Self {
        Self {
            time: MetricBuilder::new(metrics).subset_time("build_time", partition),
            batches: MetricBuilder::new(metrics).counter("build_input_batches", partition),
            rows: MetricBuilder::new(metrics).counter("build_input_rows", partition),
            memory: MetricBuilder::new(metrics).gauge("build_mem_used", partition),
        }
    }
}

/// Reads all of `input` into a table. Memory is reserved before it is taken.
pub(super) async fn build(
    mut input: SendableRecordBatchStream,
    on: Vec<PhysicalExprRef>,
    time_column: usize,
    memory: MemoryReservation,
    metrics: BuildMetrics,
) -> Result<Table> {
    let schema = input.schema();
    let mut seen = RecordBatchMemoryCounter::new();
    let mut batches = Vec::new();
    let (mut rows, mut copied) = (0, 0);
    while let Some(batch) = input.next().await.transpose()? {
        if batch.num_rows() == 0 {
            continue;
        }
        memory.try_grow(seen.count_batch(&batch))?;
        metrics.memory.set_max(memory.size());
        metrics.batches.add(1);
        metrics.rows.add(batch.num_rows());
        rows += batch.num_rows();
        copied += copy_size(&batch);
        batches.push(batch);
    }
    drop(input);

    let _timer = metrics.time.timer();
    let batch = match batches.len() {
        1 => batches.remove(0),
        _ => {
            memory.try_grow(copied)?;
            concat_batches(&schema, &batches)?
        }
    };
    drop(batches);
    memory.try_grow(rows * (size_of::<u64>() + MAKING_A_ROW) + computed_keys(&on, &batch))?;
    metrics.memory.set_max(memory.size());
    let keys = Keys::evaluate(&on, &batch)?;
    let times = Arc::clone(batch.column(time_column));
    let times = times
        .as_primitive_opt::<TimestampNanosecondType>()
        .ok_or_else(|| internal_datafusion_err!("IntervalJoinExec: the time is of type {}", times.data_type()))?;
    let columns = get_record_batch_memory_size(&batch) + computed_keys(&on, &batch);
    let mut table = Table::try_new(batch, keys, times, memory)?;
    table.settle(columns)?;
    Ok(table)
}

/// Bytes that a batch takes once more when it is copied into a larger one. The text of views is shared, not copied.
fn copy_size(batch: &RecordBatch) -> usize {
    let size = |column: &dyn Array| match column.data_type() {
        DataType::Utf8View | DataType::BinaryView => column.len() * (size_of::<u128>() + 1),
        _ => column.get_array_memory_size(),
    };
    batch.columns().iter().map(|column| size(column.as_ref())).sum()
}

/// Bytes of the keys that are no columns of the batch: about as many as its columns have.
fn computed_keys(on: &[PhysicalExprRef], batch: &RecordBatch) -> usize {
    let computed = on.iter().filter(|key| !key.is::<Column>()).count();
    if computed == 0 { 0 } else { computed * copy_size(batch) / batch.num_columns().max(1) }
}
