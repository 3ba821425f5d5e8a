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
use deltalake_core::kernel::{Action, StructType};
use object_store::ObjectStoreExt;
use object_store::path::Path;

use super::commit::{Other, Pending, TRIES, busy, pause, predicate};
use super::log::Log;
use super::{DeltaOutput, File, schema};
use crate::error::Result;
use crate::sink::hits::{encode, encoding_error};
use crate::sink::read::decode;
use crate::sink::record::RunRecord;
use crate::sink::row;
use crate::sink::table::{Table, sha256};
use crate::store::{Action as Request, failed};

/// The columns of a row that are the table's partitions, or follow from them, and stand in no file.
const PARTITION: &str = "job";

/// Commits the rows of the windows whose hits are committed.
pub(super) async fn commit(table: &Table, delta: &DeltaOutput, pending: &mut [Pending]) -> Result<()> {
    let Some(first) = pending.iter().find(|window| window.failure.is_none()) else { return Ok(()) };
    let columns = without_job(row::rows([&first.record])?)?;
    let columns = schema::table_of(columns.schema_ref(), &["job", "month"])?;
    for attempt in 0..TRIES {
        pause(attempt).await;
        let mut runs = delta.runs.lock().await;
        runs.refresh().await?;
        runs.create(&columns, "runs").await?;
        // After the rows were read: whoever replaces the hits from here on also finds other rows than it read.
        table.refresh().await?;
        for window in pending.iter_mut().filter(|window| window.failure.is_none()) {
            let now: Vec<File> = delta.files(window.label()).await;
            if !window.is_ours(&now) {
                window.failure = Some(table.conflict(window.label()));
            }
        }
        let records: Vec<&RunRecord> =
            pending.iter().filter(|window| window.failure.is_none()).map(|window| &window.record).collect();
        if records.is_empty() || put(&mut runs, &delta.slug, &columns, &records).await? {
            return Ok(());
        }
    }
    Err(busy())
}

/// Puts the rows of records that other runs put, in the place of those that the runs which came too late for theirs did.
///
/// Two runs can find the same hits from something else; whose row is there last and whose record is first is chance.
pub(super) async fn mend(delta: &DeltaOutput, others: &[Other]) -> Result<()> {
    for attempt in 0..TRIES {
        let Some(first) = others.first() else { return Ok(()) };
        let columns = without_job(row::rows([&first.record])?)?;
        let columns = schema::table_of(columns.schema_ref(), &["job", "month"])?;
        pause(attempt).await;
        let mut runs = delta.runs.lock().await;
        runs.refresh().await?;
        let there = runs_of_windows(&runs, &delta.slug).await?;
        // A row that is of neither run is of one that came later, and right.
        let ours = others.iter().filter(|other| there.get(&other.record.window.label) == Some(&other.run));
        let records: Vec<&RunRecord> = ours.map(|other| &other.record).collect();
        if records.is_empty() || put(&mut runs, &delta.slug, &columns, &records).await? {
            return Ok(());
        }
    }
    Err(busy())
}

/// The runs that the rows of a job's windows are of, by the labels of the windows.
pub(super) async fn runs_of_windows(runs: &Log, slug: &str) -> Result<BTreeMap<String, Option<String>>> {
    let mut found = BTreeMap::new();
    for active in runs.partitions(|partition| partition.first().is_some_and(|job| job == slug)) {
        for batch in read(runs, &active.file).await? {
            let text = |name: &str| batch.column_by_name(name).and_then(|column| column.as_string_opt::<i32>());
            let (Some(labels), Some(of)) = (text("window_label"), text("run")) else { continue };
            let rows = labels.iter().zip(of.iter());
            found.extend(rows.filter_map(|(label, run)| Some((label?.to_owned(), run.map(str::to_owned)))));
        }
    }
    Ok(found)
}

fn month(record: &RunRecord) -> String {
    record.window.start.format("%Y-%m").to_string()
}

/// Replaces the rows of the windows of `records`; gives false if another run committed since the log was read.
async fn put(runs: &mut Log, slug: &str, columns: &StructType, records: &[&RunRecord]) -> Result<bool> {
    let mut months: BTreeMap<String, Vec<&RunRecord>> = BTreeMap::new();
    for record in records {
        months.entry(month(record)).or_default().push(record);
    }
    let (mut actions, mut adds) = (Vec::new(), Vec::new());
    for (month, records) in &months {
        let partition = [slug.to_owned(), month.clone()];
        let mut batches = vec![without_job(row::rows(records.iter().copied())?)?];
        let labels: HashSet<&str> = records.iter().map(|record| record.window.label.as_str()).collect();
        for active in runs.files(&partition) {
            batches.extend(others(runs, &active.file, &labels).await?);
            actions.push(Action::Remove(active.remove.clone()));
        }
        let bytes = Bytes::from(encode(&sorted(&batches)?)?);
        adds.push(runs.place().put(&partition, &sha256(&bytes), bytes).await?);
    }
    actions.extend(adds.iter().cloned().map(Action::Add));
    actions.extend(runs.widened(columns)?);
    let months: Vec<String> = months.into_keys().collect();
    let predicate = format!("job = '{slug}' AND {}", predicate("month", &months));
    let committed = runs.commit(actions, predicate).await?;
    if !committed {
        runs.place().forget(&adds).await;
    }
    Ok(committed)
}

fn without_job(rows: RecordBatch) -> Result<RecordBatch> {
    let kept: Vec<usize> =
        (0..rows.num_columns()).filter(|index| rows.schema_ref().field(*index).name() != PARTITION).collect();
    rows.project(&kept).map_err(encoding_error)
}

async fn read(runs: &Log, file: &File) -> Result<Vec<RecordBatch>> {
    let path = Path::from(file.path.as_str());
    let unreadable = |e| failed(runs.root(), &path, Request::Read, e);
    let bytes = runs.root().store.get(&path).await.map_err(unreadable)?.bytes().await.map_err(unreadable)?;
    decode(bytes, &runs.root().name(&path))
}

/// The rows of a file that are of none of the windows.
async fn others(runs: &Log, file: &File, labels: &HashSet<&str>) -> Result<Vec<RecordBatch>> {
    let mut rows = Vec::new();
    for batch in read(runs, file).await? {
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
