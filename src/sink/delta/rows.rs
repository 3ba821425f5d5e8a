//! The runs table: a row for each window of every job, by job and month.
//!
//! The rows of a month stand in one file, which a commit reads, changes and replaces: a table of one tiny file a window
//! would take a reader a request for each.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use bytes::Bytes;
use datafusion::arrow::array::{ArrayRef, AsArray, BooleanArray, RecordBatch, new_null_array};
use datafusion::arrow::compute::{concat_batches, filter_record_batch, sort_to_indices, take_record_batch};
use datafusion::arrow::datatypes::{FieldRef, Schema};
use deltalake_core::kernel::Action;
use object_store::ObjectStoreExt;
use object_store::path::Path;

use super::commit::{Pending, TRIES, busy, pause, predicate};
use super::log::Log;
use super::{DeltaOutput, File, schema};
use crate::error::Result;
use crate::sink::hits::{encode, encoding_error};
use crate::sink::read::decode;
use crate::sink::row;
use crate::sink::table::{Table, sha256};
use crate::store::{Action as Request, failed};

/// The columns of a row that are the table's partitions, or follow from them, and stand in no file.
const PARTITION: &str = "job";

/// Commits the rows of the windows whose hits are committed.
pub(super) async fn commit(table: &Table, delta: &DeltaOutput, pending: &mut [Pending]) -> Result<()> {
    for attempt in 0..TRIES {
        pause(attempt).await;
        let mut runs = delta.runs.lock().await;
        runs.refresh().await?;
        // After the rows were read: whoever replaces the hits from here on also finds other rows than it read.
        table.refresh().await?;
        let mut months: BTreeMap<String, Vec<&Pending>> = BTreeMap::new();
        for window in pending.iter_mut().filter(|window| window.failure.is_none()) {
            let now: Vec<File> = delta.files(window.label()).await;
            if !window.is_ours(&now) {
                window.failure = Some(table.conflict(window.label()));
            }
        }
        for window in pending.iter().filter(|window| window.failure.is_none()) {
            months.entry(window.record.window.start.format("%Y-%m").to_string()).or_default().push(window);
        }
        let Some(first) = months.values().flatten().next() else { return Ok(()) };
        let columns = without_job(row::rows([&first.record])?)?;
        let columns = schema::table_of(columns.schema_ref(), &["job", "month"])?;
        runs.create(&columns, "runs").await?;
        let (mut actions, mut adds) = (Vec::new(), Vec::new());
        for (month, windows) in &months {
            let partition = [delta.slug.clone(), month.clone()];
            let mut batches = vec![without_job(row::rows(windows.iter().map(|window| &window.record))?)?];
            let labels: HashSet<&str> = windows.iter().map(|window| window.label()).collect();
            for active in runs.files(&partition) {
                batches.extend(others(&runs, &active.file, &labels).await?);
                actions.push(Action::Remove(active.remove.clone()));
            }
            let bytes = Bytes::from(encode(&sorted(&batches)?)?);
            adds.push(runs.place().put(&partition, &sha256(&bytes), bytes).await?);
        }
        actions.extend(adds.iter().cloned().map(Action::Add));
        actions.extend(runs.widened(&columns)?);
        let months: Vec<String> = months.into_keys().collect();
        let predicate = format!("job = '{}' AND {}", delta.slug, predicate("month", &months));
        match runs.commit(actions, predicate).await {
            Ok(true) => return Ok(()),
            Ok(false) => runs.place().forget(&adds).await,
            Err(error) => return Err(error),
        }
    }
    Err(busy())
}

fn without_job(rows: RecordBatch) -> Result<RecordBatch> {
    let kept: Vec<usize> =
        (0..rows.num_columns()).filter(|index| rows.schema_ref().field(*index).name() != PARTITION).collect();
    rows.project(&kept).map_err(encoding_error)
}

/// The rows of a file that are of none of the windows.
async fn others(runs: &Log, file: &File, labels: &HashSet<&str>) -> Result<Vec<RecordBatch>> {
    let path = Path::from(file.path.as_str());
    let unreadable = |e| failed(runs.root(), &path, Request::Read, e);
    let bytes = runs.root().store.get(&path).await.map_err(unreadable)?.bytes().await.map_err(unreadable)?;
    let mut rows = Vec::new();
    for batch in decode(bytes, &runs.root().name(&path))? {
        let label = batch.column_by_name("window_label").and_then(|labels| labels.as_string_opt::<i32>());
        let Some(label) = label else { continue };
        let keep: BooleanArray = label.iter().map(|label| Some(!label.is_some_and(|l| labels.contains(l)))).collect();
        rows.push(filter_record_batch(&batch, &keep).map_err(encoding_error)?);
    }
    Ok(rows)
}

/// All rows as one batch, in order of their windows. Rows that another version wrote keep the columns that only it knows.
fn sorted(batches: &[RecordBatch]) -> Result<RecordBatch> {
    let mut fields: Vec<FieldRef> = Vec::new();
    for field in batches.iter().flat_map(|batch| batch.schema_ref().fields()) {
        if !fields.iter().any(|known| known.name() == field.name()) {
            fields.push(Arc::new(field.as_ref().clone().with_nullable(true)));
        }
    }
    let schema = Arc::new(Schema::new(fields));
    let fitted = batches
        .iter()
        .map(|batch| {
            let column = |field: &FieldRef| -> ArrayRef {
                let column = batch.column_by_name(field.name()).cloned();
                column.unwrap_or_else(|| new_null_array(field.data_type(), batch.num_rows()))
            };
            RecordBatch::try_new(Arc::clone(&schema), schema.fields().iter().map(column).collect())
        })
        .collect::<Result<Vec<_>, _>>()
        .map_err(encoding_error)?;
    let all = concat_batches(&schema, &fitted).map_err(encoding_error)?;
    let Some(starts) = all.column_by_name("window_start") else { return Ok(all) };
    let order = sort_to_indices(starts, None, None).map_err(encoding_error)?;
    take_record_batch(&all, &order).map_err(encoding_error)
}
