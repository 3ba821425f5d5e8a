//! The run: the only module that knows all stages.
//!
//! ```text
//! records -> files -> what is to do (`plan`) -> claim
//!   -> footers -> chunks -> evaluate -> commit, window by window (`round`)
//!   -> release -> entry in the history -> report
//! ```

mod encoding;
mod evaluate;
mod guard;
mod inputs;
mod plan;
mod record;
mod round;
mod status;
mod survey;
mod tally;
mod underway;

use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use tracing::Instrument;

pub use plan::{Kept, Plan, SourceChange, Stale, State};
pub use status::{Status, StatusState, WindowStatus, status};
pub use survey::{Survey, WindowPlan};

use crate::error::Result;
use crate::job::Job;
use crate::report::{Left, Outcome, RunReport, WindowReport};
use crate::settings::Settings;
use crate::sink::{Claim, Claims, DoneWindow, Ending, FailedWindow, RunEntry, Standing, Table, Take};
use crate::window::{Window, WindowSize};
use round::Round;
use tally::Tally;

/// Windows that are looked at, or committed, at once: enough to hide a store's latency.
const CONCURRENT_WINDOWS: usize = 32;

/// How often a run that waits looks whether the other one is through.
const LOOK_AT_CLAIMS: Duration = Duration::from_secs(2);

/// The target of spans, which are for traces: nothing but names and numbers, since they leave this machine.
pub(crate) const SPANS: &str = "lakehunt::spans";

/// What is to read, and how much of it was read so far.
#[derive(Debug, Clone, Default)]
pub struct Work {
    /// Windows.
    pub windows: u64,
    /// Rows of the row groups that they need. A file that is damaged, or a chunk that is tried in halves, is read again.
    pub rows: u64,
    /// Compressed bytes of the columns of those.
    pub bytes: u64,
    /// Rows that were read so far.
    pub read: Arc<AtomicU64>,
}

/// Told of what a run does, as it does it.
pub trait Observer: Sync {
    /// It is known what is to do.
    fn planned(&self, plan: &Plan) {
        let _ = plan;
    }

    /// Windows are claimed, and reading begins.
    fn begins(&self, work: &Work) {
        let _ = work;
    }

    /// A window is done with, in whatever way.
    fn window(&self, report: &WindowReport) {
        let _ = report;
    }

    /// The run waits for another one that has claimed some of its windows.
    fn waits(&self, claim: &Claim, windows: usize) {
        let _ = (claim, windows);
    }
}

/// Watches nothing.
impl Observer for () {}

/// Evaluates `job` for every window of `settings` that is to do, and commits each.
///
/// A window that fails does not keep the others from being committed; see [`RunReport::exit_code`].
///
/// # Errors
/// When nothing could be done at all: the job, the settings, the source or the output as a whole.
pub async fn run(job: &Job, settings: &Settings, observer: &dyn Observer) -> Result<RunReport> {
    let clock = Instant::now();
    let began = (settings.clock)();
    let id = format!("{}-{:08x}", began.format("%Y%m%dT%H%M%S%3fZ"), crate::sink::random() as u32);
    let windows = settings.windows()?;
    let span = tracing::info_span!(
        target: SPANS,
        "run",
        job = job.slug(),
        run = id,
        nightly = settings.upkeep.is_some(),
        windows = windows.len(),
    );
    let claims = Claims::new(&id, began, settings.lease);
    let mut run = Run { job, settings, observer, claims, id, began, table: None };
    let mut tally = Tally::new(observer, windows);
    if let Err(error) = run.rounds(&mut tally).instrument(span).await {
        if !tally.has_done() {
            return Err(error);
        }
        // What is committed is told of, whatever keeps the run from the rest.
        tally.fail_rest(&error);
    }

    let (rows_read, bytes_read, resolution) = (tally.rows_read, tally.bytes_read, tally.resolution);
    let (windows, warnings) = tally.finish();
    let mut report = RunReport {
        job: job.slug().to_owned(),
        run: run.id.clone(),
        windows,
        rows_read,
        bytes_read,
        resolution,
        warnings,
        stopped: false,
        elapsed: clock.elapsed(),
    };
    report.stopped = settings.stop.is_stopped() && report.left().next().is_some();
    run.note(&report).await;
    report.elapsed = clock.elapsed();
    Ok(report)
}

struct Run<'a> {
    job: &'a Job,
    settings: &'a Settings,
    observer: &'a dyn Observer,
    claims: Claims,
    id: String,
    began: DateTime<Utc>,
    /// The table, once it is there.
    table: Option<Table>,
}

impl Run<'_> {
    /// Does what is to do, again and again until nothing is left that another run may have left.
    async fn rounds(&mut self, tally: &mut Tally<'_>) -> Result<()> {
        let settings = self.settings;
        let size = size_of_windows(settings)?;
        self.table = Table::open(&settings.stores, &settings.output, &settings.output_store, self.job.slug()).await?;
        let mut noted = match &self.table {
            Some(table) => table.check(&size, settings.output_format)?,
            None => false,
        };
        loop {
            let standing = match &self.table {
                Some(table) => self.claims.read(table).await?,
                None => Standing::default(),
            };
            let planning = Plan::new(self.job, settings, self.table.as_ref());
            let planning = planning.instrument(tracing::info_span!(target: SPANS, "plan"));
            let Some(plan) = settings.stop.or(planning).await else {
                tally.leave_rest();
                return Ok(());
            };
            let plan = plan?;
            self.observer.planned(&plan);
            guard::refuse_output_in_source(self.job, settings)?;
            tally.warn(plan.warnings());
            let todo = settle(&plan, tally);
            if todo.is_empty() {
                return Ok(());
            }
            let mut table = match self.table.take() {
                Some(table) => table,
                None => {
                    Table::create(&settings.stores, &settings.output, &settings.output_store, self.job.slug()).await?
                }
            };
            if !noted {
                table = table.claim(&size, settings.output_format).await?;
                noted = true;
            }
            let table = self.table.insert(table).clone();
            let Some(claimed) = self.round(&table, &plan, todo, standing, tally).await? else { continue };
            if claimed.is_empty() {
                return Ok(());
            }
            if !settings.wait || !self.wait(&table, &claimed).await? {
                for (index, claim) in claimed {
                    tally.report(index, Outcome::Left(Left::Claimed(claim)), 0, 0);
                }
                return Ok(());
            }
        }
    }

    /// Claims the windows `todo` and does those that no other run has claimed; gives those, with the claims. `None` when the
    /// windows may be others by now and have to be looked at again.
    async fn round(
        &self,
        table: &Table,
        plan: &Plan,
        todo: Vec<usize>,
        standing: Standing,
        tally: &mut Tally<'_>,
    ) -> Result<Option<Vec<(usize, Claim)>>> {
        let windows: Vec<&Window> = todo.iter().map(|index| &plan.survey.windows[*index].window).collect();
        let taken = match self.claims.take(table, standing, &windows).await? {
            Take::LookAgain => return Ok(None),
            Take::Taken(taken) => *taken,
        };
        for claim in &taken.dead {
            self.note_dead(table, claim).await;
        }
        let (mut mine, mut claimed) = (Vec::new(), Vec::new());
        for (index, other) in todo.into_iter().zip(taken.others) {
            match other {
                None => mine.push(index),
                Some(claim) => claimed.push((index, claim)),
            }
        }
        if !mine.is_empty() {
            let done = self.claimed(table, plan, mine, tally).await;
            if let Some(held) = taken.held {
                held.release().await;
            }
            done?;
        }
        Ok(Some(claimed))
    }

    async fn claimed(&self, table: &Table, plan: &Plan, mine: Vec<usize>, tally: &mut Tally<'_>) -> Result<()> {
        let (job, settings) = (self.job, self.settings);
        let round = Round {
            job,
            settings,
            observer: self.observer,
            table,
            plan,
            reach: job.reach(settings.scope)?,
            fingerprint: plan::fingerprint(job, settings),
            id: &self.id,
            began: self.began,
        };
        round.run(mine, tally).await
    }

    /// Waits until no other run claims these windows any more; gives false if it was asked to stop before.
    async fn wait(&self, table: &Table, claimed: &[(usize, Claim)]) -> Result<bool> {
        let Some((_, first)) = claimed.first() else { return Ok(true) };
        self.observer.waits(first, claimed.len());
        let runs: Vec<&str> = claimed.iter().map(|(_, claim)| claim.run.as_str()).collect();
        loop {
            let pause = LOOK_AT_CLAIMS.min(self.settings.lease / 2);
            if self.settings.stop.or(tokio::time::sleep(pause)).await.is_none() {
                return Ok(false);
            }
            let standing = self.claims.read(table).await?;
            if !standing.live(Utc::now()).any(|claim| runs.contains(&claim.run.as_str())) {
                return Ok(true);
            }
        }
    }

    /// Adds this run to the history, if it did something.
    async fn note(&self, report: &RunReport) {
        let mut entry = self.entry(Ending::Ended, self.began, (self.settings.clock)());
        for window in &report.windows {
            let label = window.label.clone();
            match &window.outcome {
                Outcome::Done { hits, .. } => entry.done.push(DoneWindow { window: label, hits: *hits }),
                Outcome::Failed(error) => entry.failed.push(FailedWindow {
                    window: label,
                    kind: error.kind().to_string(),
                    error: error.to_string(),
                }),
                Outcome::UpToDate { .. } => entry.up_to_date += 1,
                Outcome::Left(_) => entry.left += 1,
                Outcome::WithoutSource => {}
            }
        }
        if report.stopped {
            entry.ending = Ending::Stopped;
        }
        (entry.rows_read, entry.bytes_read) = (report.rows_read, report.bytes_read);
        if entry.done.is_empty() && entry.failed.is_empty() && !report.stopped {
            return;
        }
        if let Some(table) = &self.table {
            add(table, &entry).await;
        }
    }

    /// Adds a run that died to the history.
    async fn note_dead(&self, table: &Table, claim: &Claim) {
        tracing::info!(run = claim.run, host = claim.host, "a run died; its claim has expired");
        let mut entry = self.entry(Ending::Died, claim.started_at, claim.expires_at);
        entry.run.clone_from(&claim.run);
        entry.host.clone_from(&claim.host);
        (entry.nightly, entry.shard) = (false, None);
        if let (Some((from, _)), Some((_, to))) = (claim.stretches.first(), claim.stretches.last()) {
            (entry.from, entry.to) = (*from, *to);
        }
        add(table, &entry).await;
    }

    fn entry(&self, ending: Ending, started_at: DateTime<Utc>, finished_at: DateTime<Utc>) -> RunEntry {
        RunEntry {
            version: crate::sink::VERSION,
            run: self.id.clone(),
            host: crate::sink::host(),
            nightly: self.settings.upkeep.is_some(),
            shard: self.settings.shard.map(|shard| shard.to_string()),
            started_at,
            finished_at,
            ending,
            from: self.settings.span.from(),
            to: self.settings.span.to(),
            done: Vec::new(),
            failed: Vec::new(),
            up_to_date: 0,
            left: 0,
            rows_read: 0,
            bytes_read: 0,
        }
    }
}

/// Adds an entry to the history. What was done is done; that it cannot be told there is no reason to call it failed.
async fn add(table: &Table, entry: &RunEntry) {
    if let Err(error) = table.note(entry).await {
        tracing::warn!(run = entry.run, %error, "a run is missing in the history");
    }
}

/// Reports the windows that are not to do, and gives the others. What became of a window in an earlier round stays.
fn settle(plan: &Plan, tally: &mut Tally<'_>) -> Vec<usize> {
    for (index, state) in plan.states.iter().enumerate() {
        let outcome = match state {
            State::Done { hits, .. } => Outcome::UpToDate { hits: *hits },
            State::WithoutSource => Outcome::WithoutSource,
            State::Missing | State::Stale(_) => continue,
        };
        if !tally.has(index) {
            tally.report(index, outcome, 0, 0);
        }
    }
    plan.todo().into_iter().filter(|index| !tally.has(*index)).collect()
}

/// What all windows of a table share: their size. One window over a whole range shares nothing with that over another.
pub(crate) fn size_of_windows(settings: &Settings) -> Result<String> {
    Ok(match (settings.window, settings.windows()?.first()) {
        (WindowSize::All, Some(window)) => window.label().to_owned(),
        (size, _) => size.to_string(),
    })
}
