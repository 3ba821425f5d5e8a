//! What is to do: each window beside the record of its last run and the files that are there now.

use std::collections::{BTreeMap, BTreeSet};

use futures::StreamExt;

use super::CONCURRENT_WINDOWS;
use super::survey::Survey;
use crate::error::Result;
use crate::job::Job;
use crate::settings::Settings;
use crate::sink::{Input, RunRecord, Seen, Table};
use crate::window::{OnChange, Window};

/// What a window is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum State {
    /// It is done, and stays as it is.
    Done {
        /// The rows of its file.
        hits: u64,
        /// Why it stays although it would come out otherwise, if so.
        kept: Option<Kept>,
    },
    /// It was never done.
    Missing,
    /// It was done, and has to be done again.
    Stale(Stale),
    /// It was never done, and no partition that can hold its rows exists.
    WithoutSource,
}

/// Why a window that is done has to be done again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Stale {
    /// Somebody said so.
    Forced,
    /// The hunt is another one than it was done by: its SQL, its view, a parameter, a version.
    JobChanged,
    /// Its files are not those that it was made from.
    SourceChanged(SourceChange),
    /// Its hits are not those that its record names, or are gone.
    HitsChanged,
}

/// Why a window that is done stays as it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kept {
    /// The hunt is another one by now, and the job says to keep what is done.
    JobChanged,
    /// None of its partitions exists any more.
    SourceGone,
}

/// How the files of a window differ from those that it was made from, by path.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SourceChange {
    /// Files that are new.
    pub added: Vec<String>,
    /// Files that are gone.
    pub gone: Vec<String>,
    /// Files whose size or ETag is another one; or their time of change, where the store knows no ETags.
    pub changed: Vec<String>,
}

impl SourceChange {
    fn between(before: &[Input], now: &[Input]) -> Self {
        let by_path =
            |inputs| -> BTreeMap<&str, &Input> { <[Input]>::iter(inputs).map(|i| (i.path.as_str(), i)).collect() };
        let (earlier, later) = (by_path(before), by_path(now));
        let mut change = Self::default();
        for input in now {
            match earlier.get(input.path.as_str()) {
                None => change.added.push(input.path.clone()),
                Some(before) if !before.is(input) => change.changed.push(input.path.clone()),
                Some(_) => {}
            }
        }
        let gone = before.iter().filter(|input| !later.contains_key(input.path.as_str()));
        change.gone.extend(gone.map(|input| input.path.clone()));
        change
    }

    fn is_empty(&self) -> bool {
        self.added.is_empty() && self.gone.is_empty() && self.changed.is_empty()
    }
}

/// The windows of a run, what each is, and what the lake holds for those that are not simply done.
#[derive(Debug)]
pub struct Plan {
    /// The windows and the files that were listed for them: only for those that have to be compared or done.
    pub survey: Survey,
    /// What each window is, by position.
    pub states: Vec<State>,
    /// What the windows had when they were looked at, by position.
    pub(crate) seen: BTreeMap<usize, Seen>,
}

impl Plan {
    /// Looks at the windows of `settings`: at their records in `table`, if it exists, and at the files of those that the
    /// records do not settle.
    ///
    /// # Errors
    /// `SourceMissing` when the lake does not exist, or no window is done and none has a file; `Unreachable` when source or
    /// output does not answer.
    pub(crate) async fn new(job: &Job, settings: &Settings, table: Option<&Table>) -> Result<Self> {
        let windows = settings.windows()?;
        let root = settings.stores.open(&settings.source, &settings.source_store).await?;
        let seen = match table {
            Some(table) => look(table, &windows).await?,
            None => BTreeMap::new(),
        };
        let fingerprint = fingerprint(job, settings);
        let unsettled: BTreeSet<usize> = windows
            .iter()
            .enumerate()
            .filter(|(index, window)| !settled(seen.get(index), window, settings, &fingerprint))
            .map(|(index, _)| index)
            .collect();
        let survey = Survey::new(job, settings, root, windows, |index| unsettled.contains(&index)).await?;
        let states: Vec<State> = (0..survey.windows.len())
            .map(|index| {
                let record = seen.get(&index).and_then(Seen::done);
                match record {
                    Some(record) if !unsettled.contains(&index) => done(record, &fingerprint),
                    _ => state(&survey, index, seen.get(&index), settings, &fingerprint),
                }
            })
            .collect();
        if !states.is_empty() && states.iter().all(|state| *state == State::WithoutSource) {
            return Err(survey.nothing_found(settings));
        }
        Ok(Self { survey, states, seen })
    }

    /// The windows that are to do, by position.
    pub(crate) fn todo(&self) -> Vec<usize> {
        let todo = |state: &State| matches!(state, State::Missing | State::Stale(_));
        self.states.iter().enumerate().filter(|(_, state)| todo(state)).map(|(index, _)| index).collect()
    }

    /// What a reader of the hits should know of windows that stay as they are.
    pub(crate) fn warnings(&self) -> Vec<String> {
        let mut lines = self.survey.warnings();
        let of = |kept: Kept| {
            let with_states = self.survey.windows.iter().zip(&self.states);
            with_states
                .filter(move |(_, state)| matches!(state, State::Done { kept: Some(why), .. } if *why == kept))
                .map(|(plan, _)| plan.window.label())
                .collect::<Vec<_>>()
        };
        for (kept, what) in [
            (
                Kept::JobChanged,
                "done by the job as it was before it changed, and kept; --on-change rerun does them again",
            ),
            (Kept::SourceGone, "done from files that are gone, and kept"),
        ] {
            let labels = of(kept);
            match labels.as_slice() {
                [] => {}
                [one] => lines.push(format!("window {one} was {what}")),
                [first, .., last] => lines.push(format!("{} windows ({first} to {last}) were {what}", labels.len())),
            }
        }
        lines
    }
}

/// What decides the rows of a run's windows beside the data.
pub(super) fn fingerprint(job: &Job, settings: &Settings) -> String {
    job.fingerprint(settings.window, settings.scope, settings.slack, settings.time_column.as_deref())
}

async fn look(table: &Table, windows: &[Window]) -> Result<BTreeMap<usize, Seen>> {
    table.before_looks().await?;
    let mut looks = futures::stream::iter(windows.iter().enumerate())
        .map(|(index, window)| async move { (index, table.look(window.label()).await) })
        .buffered(CONCURRENT_WINDOWS);
    let mut seen = BTreeMap::new();
    while let Some((index, look)) = looks.next().await {
        seen.insert(index, look?);
    }
    Ok(seen)
}

/// Whether the record of a window says all there is to say, so that its files need not be listed.
fn settled(seen: Option<&Seen>, window: &Window, settings: &Settings, fingerprint: &str) -> bool {
    let (Some(record), Some(upkeep)) = (seen.and_then(Seen::done), &settings.upkeep) else { return false };
    let same_job = record.job.fingerprint == fingerprint || upkeep.on_change == OnChange::Warn;
    !settings.force && same_job && !upkeep.nightly.may_change(window, upkeep.as_of)
}

fn done(record: &RunRecord, fingerprint: &str) -> State {
    let kept = (record.job.fingerprint != fingerprint).then_some(Kept::JobChanged);
    State::Done { hits: record.hits, kept }
}

/// What a window is whose files were listed.
fn state(survey: &Survey, index: usize, seen: Option<&Seen>, settings: &Settings, fingerprint: &str) -> State {
    let plan = &survey.windows[index];
    let Some(record) = seen.and_then(Seen::done) else {
        return match (plan.has_source, seen.and_then(Seen::record)) {
            (false, _) => State::WithoutSource,
            (true, Some(_)) => State::Stale(Stale::HitsChanged),
            (true, None) => State::Missing,
        };
    };
    if !plan.has_source {
        return State::Done { hits: record.hits, kept: Some(Kept::SourceGone) };
    }
    if settings.force {
        return State::Stale(Stale::Forced);
    }
    let keeps = settings.upkeep.is_some_and(|upkeep| upkeep.on_change == OnChange::Warn);
    if record.job.fingerprint != fingerprint && !keeps {
        return State::Stale(Stale::JobChanged);
    }
    let compared = settings.upkeep.is_none_or(|upkeep| upkeep.nightly.may_change(&plan.window, upkeep.as_of));
    let change =
        if compared { SourceChange::between(&record.inputs, &survey.inputs(plan)) } else { SourceChange::default() };
    if change.is_empty() { done(record, fingerprint) } else { State::Stale(Stale::SourceChanged(change)) }
}
