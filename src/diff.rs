//! What reruns changed: the hits of each window as they are, beside those that they replaced.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use chrono::{DateTime, Utc};
use datafusion::arrow::array::{ArrayRef, AsArray, BooleanArray, RecordBatch, StringArray};
use datafusion::arrow::compute::{concat_batches, filter_record_batch};
use datafusion::arrow::datatypes::{DataType, Field, Schema};
use datafusion::arrow::row::{OwnedRow, RowConverter, SortField};
use futures::{StreamExt, TryStreamExt};

use crate::error::{Error, ErrorKind, Result};
use crate::job::Job;
use crate::settings::Settings;
use crate::sink::{Earlier, RunRecord, Table};

/// Windows that are compared at once.
const CONCURRENT_WINDOWS: usize = 16;

/// The column that says what became of a hit: `new`, `gone` or `changed`.
pub(crate) const CHANGE: &str = "change";

/// What the reruns of some windows changed.
pub(crate) struct Difference {
    /// Windows that were compared: those whose hits were replaced.
    pub(crate) windows: u64,
    /// Windows whose hits of before a vacuum has removed.
    pub(crate) forgotten: u64,
    /// Hits that are new, gone, and there before and after with other values.
    pub(crate) counts: [u64; 3],
    /// These hits, with [`CHANGE`] before their own columns; a changed one as it is now.
    pub(crate) rows: Vec<RecordBatch>,
}

/// Compares the windows of `settings` with what they were before their last change, or at the instant `since`.
///
/// A window that was not done at that instant is left out: nothing of it was changed.
pub(crate) async fn diff(job: &Job, settings: &Settings, since: Option<DateTime<Utc>>) -> Result<Difference> {
    let mut difference = Difference { windows: 0, forgotten: 0, counts: [0; 3], rows: Vec::new() };
    let table = Table::open(&settings.stores, &settings.output, &settings.output_store, job.slug()).await?;
    let Some(table) = table else {
        return Err(Error::new(ErrorKind::SourceMissing, "the output does not exist; run the job first")
            .with("url", &settings.output));
    };
    let windows = settings.windows()?;
    table.before_looks().await?;
    let pairs: Vec<Option<Option<[Vec<RecordBatch>; 2]>>> = futures::stream::iter(&windows)
        .map(|window| {
            let table = &table;
            async move {
                let seen = table.look(window.label()).await?;
                match seen.done().and_then(|record| Some((record, before(record, since)?))) {
                    Some((record, earlier)) => table.both_hits(record, earlier).await.map(Some),
                    None => Ok(None),
                }
            }
        })
        .buffered(CONCURRENT_WINDOWS)
        .try_collect()
        .await?;
    for pair in pairs.into_iter().flatten() {
        let Some([now, before]) = pair else {
            difference.forgotten += 1;
            continue;
        };
        difference.windows += 1;
        compare(&now, &before, &mut difference).map_err(|e| {
            Error::new(ErrorKind::Engine, "the hits of before and after cannot be compared").caused_by(e)
        })?;
    }
    Ok(difference)
}

/// The state that a window's hits are compared with.
fn before(record: &RunRecord, since: Option<DateTime<Utc>>) -> Option<&Earlier> {
    match since {
        None => record.earlier.last(),
        Some(since) if record.finished_at <= since => None,
        Some(since) => record.earlier.iter().rfind(|earlier| earlier.finished_at <= since),
    }
}

type ArrowResult<T> = Result<T, datafusion::arrow::error::ArrowError>;

fn compare(now: &[RecordBatch], before: &[RecordBatch], difference: &mut Difference) -> ArrowResult<()> {
    let (now, before) = (whole(now)?, whole(before)?);
    // A job that has other columns by now gave the same hit if its id is the same.
    let comparable = match (&now, &before) {
        (Some(now), Some(before)) => now.schema() == before.schema(),
        _ => true,
    };
    let (now_rows, before_rows) = (Rows::of(now.as_ref(), comparable)?, Rows::of(before.as_ref(), comparable)?);
    let only_before = before_rows.without(&now_rows);
    let only_now = now_rows.without(&before_rows);
    let ids: HashSet<&str> = only_before.iter().map(|row| before_rows.ids[*row].as_str()).collect();
    let (changed, new): (Vec<usize>, Vec<usize>) =
        only_now.into_iter().partition(|row| ids.contains(now_rows.ids[*row].as_str()));
    let replaced: HashSet<&str> = changed.iter().map(|row| now_rows.ids[*row].as_str()).collect();
    let gone: Vec<usize> =
        only_before.into_iter().filter(|row| !replaced.contains(before_rows.ids[*row].as_str())).collect();
    for (place, (batch, rows, change)) in
        [(&now, &new, "new"), (&before, &gone, "gone"), (&now, &changed, "changed")].into_iter().enumerate()
    {
        difference.counts[place] += rows.len() as u64;
        if let (Some(batch), false) = (batch, rows.is_empty()) {
            difference.rows.push(marked(batch, rows, change)?);
        }
    }
    Ok(())
}

fn whole(batches: &[RecordBatch]) -> ArrowResult<Option<RecordBatch>> {
    batches.first().map(|first| concat_batches(&first.schema(), batches)).transpose()
}

/// The rows of one state of a window: their ids, and all of their values.
struct Rows {
    ids: Vec<String>,
    values: Vec<OwnedRow>,
}

impl Rows {
    fn of(batch: Option<&RecordBatch>, with_values: bool) -> ArrowResult<Self> {
        let Some(batch) = batch else { return Ok(Self { ids: Vec::new(), values: Vec::new() }) };
        let ids = batch.column_by_name("hit_id").and_then(|ids| ids.as_string_opt::<i32>());
        let ids: Vec<String> = ids.map_or_else(
            || vec![String::new(); batch.num_rows()],
            |ids| ids.iter().map(|id| id.unwrap_or_default().to_owned()).collect(),
        );
        // Without all values, the id stands for the row.
        let columns: Vec<ArrayRef> = match with_values {
            true => batch.columns().to_vec(),
            false => vec![Arc::new(StringArray::from(ids.clone()))],
        };
        let fields = columns.iter().map(|column| SortField::new(column.data_type().clone())).collect();
        let rows = RowConverter::new(fields)?.convert_columns(&columns)?;
        Ok(Self { ids, values: rows.iter().map(|row| row.owned()).collect() })
    }

    /// The rows that `other` has not, each as often as it is there more often.
    fn without(&self, other: &Self) -> Vec<usize> {
        let mut counts: HashMap<&OwnedRow, usize> = HashMap::new();
        for row in &other.values {
            *counts.entry(row).or_default() += 1;
        }
        let mut rows = Vec::new();
        for (index, row) in self.values.iter().enumerate() {
            match counts.get_mut(row) {
                Some(count) if *count > 0 => *count -= 1,
                _ => rows.push(index),
            }
        }
        rows
    }
}

/// Some rows of a batch, with what became of them as the first column.
fn marked(batch: &RecordBatch, rows: &[usize], change: &str) -> ArrowResult<RecordBatch> {
    let wanted: HashSet<usize> = rows.iter().copied().collect();
    let mask: BooleanArray = (0..batch.num_rows()).map(|row| Some(wanted.contains(&row))).collect();
    let chosen = filter_record_batch(batch, &mask)?;
    let schema = chosen.schema();
    let first = Arc::new(Field::new(CHANGE, DataType::Utf8, false));
    let fields: Vec<_> = std::iter::once(first).chain(schema.fields().iter().cloned()).collect();
    let changes: ArrayRef = Arc::new(StringArray::from(vec![change; chosen.num_rows()]));
    let columns = std::iter::once(changes).chain(chosen.columns().iter().cloned()).collect();
    RecordBatch::try_new(Arc::new(Schema::new(fields)), columns)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn batch(rows: &[(&str, &str)]) -> RecordBatch {
        let (ids, apps): (Vec<&str>, Vec<&str>) = rows.iter().copied().unzip();
        let text = |values: Vec<&str>| -> ArrayRef { Arc::new(StringArray::from(values)) };
        RecordBatch::try_from_iter([("app", text(apps)), ("hit_id", text(ids))]).unwrap()
    }

    #[test]
    fn hits_are_new_gone_or_changed() {
        let mut difference = Difference { windows: 1, forgotten: 0, counts: [0; 3], rows: Vec::new() };
        let before = batch(&[("1", "a"), ("2", "a"), ("3", "a"), ("3", "a")]);
        let now = batch(&[("1", "a"), ("2", "b"), ("3", "a"), ("4", "a")]);
        compare(&[now], &[before], &mut difference).unwrap();
        assert_eq!(difference.counts, [1, 1, 1], "a row that is there once less is gone once");
        let told: Vec<(String, String)> = difference
            .rows
            .iter()
            .map(|rows| {
                let text = |name: &str| rows[name].as_string::<i32>().value(0).to_owned();
                (text(CHANGE), text("hit_id"))
            })
            .collect();
        let expected = [("new", "4"), ("gone", "3"), ("changed", "2")];
        assert_eq!(told, expected.map(|(change, id)| (change.to_owned(), id.to_owned())));
    }

    #[test]
    fn a_window_without_hits_compares_as_well() {
        let mut difference = Difference { windows: 1, forgotten: 0, counts: [0; 3], rows: Vec::new() };
        compare(&[], &[batch(&[("1", "a")])], &mut difference).unwrap();
        compare(&[batch(&[("1", "a"), ("2", "a")])], &[], &mut difference).unwrap();
        assert_eq!(difference.counts, [2, 1, 0]);
    }
}
