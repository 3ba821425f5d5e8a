//! One entry for each run that did something: `runs/job=<slug>/history/<run>.json`. Entries are never changed.

use chrono::{DateTime, Utc};
use futures::{StreamExt, TryStreamExt};
use object_store::path::Path;
use serde::{Deserialize, Serialize};

use super::table::{Table, json};
use crate::error::Result;
use crate::store::{Action, failed};

/// Entries fetched at once.
const CONCURRENT_ENTRIES: usize = 32;

/// How a run ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Ending {
    /// It came to its end, whatever became of its windows.
    Ended,
    /// A signal stopped it; what it had not begun is left.
    Stopped,
    /// Its claim expired: it was killed, or its machine went away. Which windows it did, their records tell.
    Died,
}

/// What one run did.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RunEntry {
    /// The version of this entry's form.
    pub version: u32,
    /// Its id, which begins with the time of its start.
    pub run: String,
    /// The machine that it ran on.
    pub host: String,
    /// Whether it was a nightly run, without a range.
    #[serde(default)]
    pub nightly: bool,
    /// Its part of the range, such as `2/4`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shard: Option<String>,
    /// When it began.
    pub started_at: DateTime<Utc>,
    /// When it was over.
    pub finished_at: DateTime<Utc>,
    /// How it ended.
    pub ending: Ending,
    /// The first instant of the windows that it looked at.
    pub from: DateTime<Utc>,
    /// The first instant after them.
    pub to: DateTime<Utc>,
    /// The windows that it did, with their hits.
    #[serde(default)]
    pub done: Vec<DoneWindow>,
    /// The windows that failed, with why.
    #[serde(default)]
    pub failed: Vec<FailedWindow>,
    /// Windows that were done before.
    #[serde(default)]
    pub up_to_date: u64,
    /// Windows that it left, as it was stopped or another run had claimed them.
    #[serde(default)]
    pub left: u64,
    /// Rows of the row groups that it read.
    #[serde(default)]
    pub rows_read: u64,
    /// Compressed bytes of the columns of those.
    #[serde(default)]
    pub bytes_read: u64,
}

/// A window that a run did.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct DoneWindow {
    pub window: String,
    pub hits: u64,
}

/// A window that failed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct FailedWindow {
    pub window: String,
    pub kind: String,
    pub error: String,
}

impl Table {
    fn history_path(&self) -> Path {
        self.path("history")
    }

    /// Adds an entry; one that is there already stays.
    pub(crate) async fn note(&self, entry: &RunEntry) -> Result<()> {
        let path = self.history_path().join(format!("{}.json", entry.run));
        self.put(&path, json(entry)?, None).await.map(|_| ())
    }

    /// The newest `count` entries, newest first.
    pub(crate) async fn history(&self, count: usize) -> Result<Vec<RunEntry>> {
        let folder = self.history_path();
        let listed = self.store().list(Some(&folder)).map_ok(|meta| meta.location).try_collect::<Vec<_>>().await;
        let mut paths = match listed {
            Ok(paths) => paths,
            Err(e) if crate::store::is_absent(&e) => Vec::new(),
            Err(e) => return Err(failed(self.root(), &folder, Action::List, e)),
        };
        paths.retain(|path| path.as_ref().ends_with(".json"));
        // Names begin with the time of the start.
        paths.sort_unstable_by(|a, b| b.cmp(a));
        paths.truncate(count);
        let entries = futures::stream::iter(paths)
            .map(|path| async move { Ok(self.read::<RunEntry>(&path).await?.map(|(entry, _)| entry)) })
            .buffered(CONCURRENT_ENTRIES)
            .try_filter_map(|entry| futures::future::ready(Ok(entry)));
        entries.try_collect().await
    }
}
