//! How a job stands: each window with what it is, and why.

use std::collections::HashMap;

use chrono::{DateTime, Utc};

use super::plan::{Plan, State};
use crate::error::Result;
use crate::job::Job;
use crate::settings::Settings;
use crate::sink::{FailedWindow, Seen, Table, live_claims};

/// Entries of the history that are looked through for why a window is not done.
const ENTRIES: usize = 50;

/// How a job stands.
#[derive(Debug)]
pub struct Status {
    /// The job's slug.
    pub job: String,
    /// The windows, in order.
    pub windows: Vec<WindowStatus>,
    /// What a reader of the hits should know.
    pub warnings: Vec<String>,
}

/// How one window stands.
#[derive(Debug)]
pub struct WindowStatus {
    /// Its name in the output.
    pub label: String,
    /// Its first instant.
    pub start: DateTime<Utc>,
    /// The first instant after it.
    pub end: DateTime<Utc>,
    /// The rows of its file, if it has one that a record names.
    pub hits: Option<u64>,
    /// When its hits were found.
    pub finished_at: Option<DateTime<Utc>>,
    /// What it is.
    pub state: StatusState,
}

/// What a window is, for those who look on.
#[derive(Debug)]
pub enum StatusState {
    /// As a run would find it.
    Is(State),
    /// It is to do, and the last run that tried failed.
    Failed(FailedWindow),
    /// It is to do, and a run has claimed it.
    Claimed {
        /// The run.
        run: String,
        /// The machine that it runs on.
        host: String,
    },
}

/// Looks at the windows of `settings`. Nothing is read of the lake but the names of files, and nothing is written.
///
/// # Errors
/// As [`run`](super::run), when nothing can be told at all.
pub async fn status(job: &Job, settings: &Settings) -> Result<Status> {
    let table = Table::open(&settings.stores, &settings.output, &settings.output_store, job.slug()).await?;
    let plan = Plan::new(job, settings, table.as_ref()).await?;
    let (claims, history) = match &table {
        Some(table) => (live_claims(table).await?, table.history(ENTRIES).await?),
        None => (Vec::new(), Vec::new()),
    };
    // What the newest entry that names a window says of it.
    let mut last: HashMap<&str, Option<&FailedWindow>> = HashMap::new();
    for entry in &history {
        for failed in &entry.failed {
            last.entry(&failed.window).or_insert(Some(failed));
        }
        for done in &entry.done {
            last.entry(&done.window).or_insert(None);
        }
    }
    let todo = plan.todo();
    let windows = plan.survey.windows.iter().enumerate().map(|(index, window)| {
        let window = &window.window;
        let record = plan.seen.get(&index).and_then(Seen::done);
        let to_do = todo.binary_search(&index).is_ok();
        let claim = claims.iter().find(|claim| to_do && claim.holds(window));
        let failed = last.get(window.label()).copied().flatten().filter(|_| to_do);
        let state = match (claim, failed) {
            (Some(claim), _) => StatusState::Claimed { run: claim.run.clone(), host: claim.host.clone() },
            (None, Some(failed)) => StatusState::Failed(failed.clone()),
            (None, None) => StatusState::Is(plan.states[index].clone()),
        };
        WindowStatus {
            label: window.label().to_owned(),
            start: window.start(),
            end: window.end(),
            hits: record.map(|record| record.hits),
            finished_at: record.map(|record| record.finished_at),
            state,
        }
    });
    Ok(Status { job: job.slug().to_owned(), windows: windows.collect(), warnings: plan.warnings() })
}
