//! What a run did, as values; and how people and machines are told.

mod json;
mod terminal;

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};

use crate::error::Error;
use crate::lake::Resolution;

pub(crate) use json::{plan_json, report_json};
pub(crate) use terminal::{human_bytes, human_count, plan_text, report_text};

/// What a run did.
#[derive(Debug)]
pub struct RunReport {
    /// The job's slug.
    pub job: String,
    /// The windows, in order.
    pub windows: Vec<WindowReport>,
    /// Rows of the row groups that were read, each once.
    pub rows_read: u64,
    /// Compressed bytes of the columns that were read, each once.
    pub bytes_read: u64,
    /// The coarsest unit in which the files that were read hold their times; pairs inside one unit are lost.
    pub resolution: Option<Resolution>,
    /// What a reader of the hits should know.
    pub warnings: Vec<String>,
    /// How long it took.
    pub elapsed: Duration,
}

/// What became of one window.
#[derive(Debug)]
pub struct WindowReport {
    /// Its name in the output.
    pub label: String,
    /// Its first instant.
    pub start: DateTime<Utc>,
    /// The first instant after it.
    pub end: DateTime<Utc>,
    /// Rows of the row groups that it needs; neighbours share those at their edge.
    pub rows_read: u64,
    /// Compressed bytes of the columns of those.
    pub bytes_read: u64,
    /// What became of it.
    pub outcome: Outcome,
}

/// What became of a window.
#[derive(Debug)]
pub enum Outcome {
    /// It was evaluated and committed.
    Done {
        /// The rows of its file.
        hits: u64,
        /// The rows that KQL's own (innerunique) answer has.
        kql_rows: Option<u64>,
        /// The keys over the limit of the distribution.
        over_limit: u64,
        /// The full name of its file.
        file: String,
    },
    /// It had been done before, by the same job over the same files.
    UpToDate {
        /// The rows of its file.
        hits: u64,
    },
    /// None of its partitions exists; it stays to do.
    WithoutSource,
    /// It could not be evaluated or committed; what was there before is untouched.
    Failed(Arc<Error>),
}

impl RunReport {
    /// The hits of all windows that are done, now or before.
    pub fn hits(&self) -> u64 {
        self.windows
            .iter()
            .map(|window| match window.outcome {
                Outcome::Done { hits, .. } | Outcome::UpToDate { hits } => hits,
                Outcome::WithoutSource | Outcome::Failed(_) => 0,
            })
            .sum()
    }

    /// The windows that failed, with why.
    pub fn failures(&self) -> impl Iterator<Item = (&WindowReport, &Error)> {
        self.windows.iter().filter_map(|window| match &window.outcome {
            Outcome::Failed(error) => Some((window, error.as_ref())),
            _ => None,
        })
    }

    /// 0 when no window failed, 3 when some did, and the code of the first failure when all did that had a source.
    pub fn exit_code(&self) -> u8 {
        let tried = self.windows.iter().filter(|window| !matches!(window.outcome, Outcome::WithoutSource)).count();
        let mut failures = self.failures();
        match (failures.next(), failures.count() + 1) {
            (None, _) => 0,
            (Some((_, error)), failed) if failed == tried => error.kind().exit_code(),
            _ => 3,
        }
    }
}
