//! What a run did, as values; and how people and machines are told.

mod calendar;
mod history;
mod json;
mod markdown;
mod prometheus;
mod status;
mod terminal;
mod verdict;
mod visible;

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};

use crate::error::Error;
use crate::lake::Resolution;
use crate::sink::Claim;

pub(crate) use calendar::lay_out;
pub(crate) use history::{history_json, history_text};
pub(crate) use json::{plan_json, report_json};
pub(crate) use markdown::markdown;
pub(crate) use prometheus::metrics_text;
pub(crate) use status::{status_json, status_text};
pub(crate) use terminal::{human_bytes, human_count, plan_text, plural, report_text};
pub(crate) use verdict::{verdict_json, verdict_text};
pub(crate) use visible::visible;

/// What a run did.
#[derive(Debug)]
pub struct RunReport {
    /// The job's slug.
    pub job: String,
    /// The run's id, by which records and history name it.
    pub run: String,
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
    /// Whether somebody asked it to stop, and windows were left for that.
    pub stopped: bool,
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
    /// It had been done before, and stays as it is.
    UpToDate {
        /// The rows of its file.
        hits: u64,
    },
    /// None of its partitions exists; it stays to do.
    WithoutSource,
    /// It is to do, and this run has not done it.
    Left(Left),
    /// It could not be evaluated or committed; what was there before is untouched.
    Failed(Arc<Error>),
}

/// Why a window that is to do was left.
#[derive(Debug, Clone)]
pub enum Left {
    /// The run was asked to stop.
    Stopped,
    /// Another run has claimed it.
    Claimed(Claim),
}

impl RunReport {
    /// The hits of all windows that are done, now or before.
    pub fn hits(&self) -> u64 {
        self.windows
            .iter()
            .map(|window| match window.outcome {
                Outcome::Done { hits, .. } | Outcome::UpToDate { hits } => hits,
                Outcome::WithoutSource | Outcome::Left(_) | Outcome::Failed(_) => 0,
            })
            .sum()
    }

    /// The hits of the windows that this run did.
    pub fn new_hits(&self) -> u64 {
        let hits = |window: &WindowReport| if let Outcome::Done { hits, .. } = window.outcome { hits } else { 0 };
        self.windows.iter().map(hits).sum()
    }

    /// The windows that failed, with why.
    pub fn failures(&self) -> impl Iterator<Item = (&WindowReport, &Error)> {
        self.windows.iter().filter_map(|window| match &window.outcome {
            Outcome::Failed(error) => Some((window, error.as_ref())),
            _ => None,
        })
    }

    /// The windows that are left to do, with why.
    pub fn left(&self) -> impl Iterator<Item = (&WindowReport, &Left)> {
        self.windows.iter().filter_map(|window| match &window.outcome {
            Outcome::Left(left) => Some((window, left)),
            _ => None,
        })
    }

    /// 0 when no window failed, 3 when some did, and the code of the first failure when all did that had a source.
    pub fn exit_code(&self) -> u8 {
        let tried = |outcome: &Outcome| !matches!(outcome, Outcome::WithoutSource | Outcome::Left(_));
        let tried = self.windows.iter().filter(|window| tried(&window.outcome)).count();
        let mut failures = self.failures();
        match (failures.next(), failures.count() + 1) {
            (None, _) => 0,
            (Some((_, error)), failed) if failed == tried => error.kind().exit_code(),
            _ => 3,
        }
    }
}
