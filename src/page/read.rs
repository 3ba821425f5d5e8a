//! Reads what an output holds of a job: records, hits, history and claims. The lake is not looked at.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use datafusion::arrow::array::RecordBatch;
use futures::{StreamExt, TryStreamExt};

use super::rows::within;
use crate::error::Result;
use crate::sink::{Claim, RunEntry, RunRecord, Table, live_claims};

/// Windows that are read at once.
const CONCURRENT_WINDOWS: usize = 32;

/// Runs of the history that are read.
const RUNS: usize = 200;

/// What an output holds of a job in a range.
#[derive(Debug, Default)]
pub(super) struct Material {
    /// The size of its windows, if it has noted one.
    pub(super) window_size: Option<String>,
    /// By label.
    pub(super) windows: BTreeMap<String, Found>,
    /// What the runs did, newest first.
    pub(super) history: Vec<RunEntry>,
    pub(super) claims: Vec<Claim>,
}

/// A window that has hits, a record, or both.
#[derive(Debug)]
pub(super) struct Found {
    pub(super) record: Option<RunRecord>,
    /// Whether the hits are those that the record goes with.
    pub(super) whole: bool,
    /// Its rows in the range.
    pub(super) rows: Vec<RecordBatch>,
}

impl Found {
    pub(super) fn hits(&self) -> u64 {
        self.rows.iter().map(|rows| rows.num_rows() as u64).sum()
    }
}

/// Reads the windows that begin in the half-open range.
pub(super) async fn read(table: &Table, from: Option<DateTime<Utc>>, to: Option<DateTime<Utc>>) -> Result<Material> {
    table.before_looks().await?;
    let labels = table.labels().await?;
    let found = futures::stream::iter(labels)
        .map(|label| async move {
            let found = window(table, &label, from, to).await?;
            Ok(found.map(|found| (label, found)))
        })
        .buffered(CONCURRENT_WINDOWS)
        .try_filter_map(|found| futures::future::ready(Ok(found)));
    Ok(Material {
        windows: found.try_collect().await?,
        window_size: table.window_size().map(str::to_owned),
        history: table.history(RUNS).await?,
        claims: live_claims(table).await?,
    })
}

/// What a window has; none for one outside of the range, and for one that has nothing.
async fn window(
    table: &Table,
    label: &str,
    from: Option<DateTime<Utc>>,
    to: Option<DateTime<Utc>>,
) -> Result<Option<Found>> {
    let seen = table.look(label).await?;
    let whole = seen.done().is_some();
    let record = seen.record().cloned();
    let begins = |record: &RunRecord| {
        from.is_none_or(|from| record.window.start >= from) && to.is_none_or(|to| record.window.start < to)
    };
    if record.as_ref().is_some_and(|record| !begins(record)) {
        return Ok(None);
    }
    let empty = whole && record.as_ref().is_some_and(|record| record.hits == 0);
    let mut rows = Vec::new();
    if !empty {
        for batch in table.rows(label).await?.unwrap_or_default() {
            let inside = within(&batch, from, to)?;
            if inside.num_rows() > 0 {
                rows.push(inside);
            }
        }
    }
    Ok((record.is_some() || !rows.is_empty()).then_some(Found { record, whole, rows }))
}
