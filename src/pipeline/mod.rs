//! The run: the only module that knows all stages.
//!
//! ```text
//! survey -> what is to do -> footers -> chunks -> evaluate -> commit, window by window -> report
//! ```

mod encoding;
mod evaluate;
mod inputs;
mod survey;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Instant;

use chrono::{DateTime, Utc};
use futures::StreamExt;

pub use survey::{Survey, WindowPlan};

use crate::engine::Bindings;
use crate::error::{Error, ErrorKind, Result};
use crate::job::Job;
use crate::report::{Outcome, RunReport, WindowReport};
use crate::settings::Settings;
use crate::sink::{Input, JobOfRecord, RunRecord, Seen, Table, WindowOfRecord, WindowRows};
use crate::store::Location;
use crate::timespan::Timespan;
use crate::window::{Window, WindowSize, chunks, nanos};
use evaluate::evaluate;
use inputs::Inputs;

/// Rows take about this many times the memory that their decoded pages do, once they stand in a join's table.
const MEMORY_PER_DECODED_BYTE: u64 = 8;

/// Bytes of a row while it is joined with rows of its own table: places in dictionaries, and the time.
const ROW: u64 = 32;

/// How much larger a chunk may be whose rows leave memory again while it is read. What is left of a window is its hits
/// and its common keys; and a chunk is what a run that is killed does again.
const PASSING: u64 = 4;

/// Windows that are looked at, or committed, at once: enough to hide a store's latency.
const CONCURRENT_WINDOWS: usize = 32;

/// Told of what a run does, as it does it.
pub trait Observer: Sync {
    /// The lake was listed.
    fn surveyed(&self, survey: &Survey) {
        let _ = survey;
    }

    /// A window is done with, in whatever way.
    fn window(&self, report: &WindowReport) {
        let _ = report;
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
    let began = Instant::now();
    let survey = Survey::new(job, settings).await?;
    observer.surveyed(&survey);
    refuse_output_in_source(settings)?;
    let table = Table::create(&settings.stores, &settings.output, &settings.output_store, job.slug()).await?;
    let claimed = table.check_size(&size_of_windows(settings, &survey)).await?;

    let run = Run {
        job,
        settings,
        observer,
        table,
        claimed,
        lookback: job.lookback()?,
        fingerprint: job.fingerprint(settings.window, settings.scope, settings.slack, settings.time_column.as_deref()),
        began: (settings.clock)(),
        seen: BTreeMap::new(),
        reports: BTreeMap::new(),
        warnings: survey.warnings(),
        read: (0, 0),
        survey: &survey,
        passes: survey.windows.len() > 1 && crate::explain::passes(job, settings).await?,
    };
    let mut report = run.windows().await?;
    report.elapsed = began.elapsed();
    Ok(report)
}

/// What all windows of a table share: their size. One window over a whole range shares nothing with that over another.
fn size_of_windows(settings: &Settings, survey: &Survey) -> String {
    match (settings.window, survey.windows.first()) {
        (WindowSize::All, Some(plan)) => plan.window.label().to_owned(),
        (size, _) => size.to_string(),
    }
}

/// A flat lake that holds its own output would read its hits as sign-ins.
fn refuse_output_in_source(settings: &Settings) -> Result<()> {
    let (source, output) = (Location::parse(&settings.source)?, Location::parse(&settings.output)?);
    if settings.layout.is_flat() && is_inside(&output, &source) {
        return Err(Error::new(
            ErrorKind::Usage,
            "the output lies inside the source, whose layout is flat: its hits would be read as rows; choose another --output",
        )
        .with("url", &settings.output));
    }
    Ok(())
}

/// Whether `output` lies in `source`, or will once it is made.
fn is_inside(output: &Location, source: &Location) -> bool {
    match (source, output) {
        (Location::Folder(source), Location::Folder(output)) => {
            match (source.canonicalize(), nearest_that_exists(output)) {
                (Ok(source), Some(output)) => output.starts_with(source),
                _ => false,
            }
        }
        // By whole paths: the https forms have the container in it.
        (Location::Remote { url: source, .. }, Location::Remote { url: output, .. }) => {
            let folder = |url: &url::Url| format!("{}/", url.path().trim_end_matches('/'));
            source.authority() == output.authority() && folder(output).starts_with(&folder(source))
        }
        _ => false,
    }
}

/// The folder itself, or the nearest one above it that exists: where a new folder will stand.
fn nearest_that_exists(folder: &std::path::Path) -> Option<std::path::PathBuf> {
    let absolute = std::path::absolute(folder).ok()?;
    absolute.ancestors().find_map(|folder| folder.canonicalize().ok())
}

struct Run<'a> {
    job: &'a Job,
    settings: &'a Settings,
    observer: &'a dyn Observer,
    table: Table,
    /// Whether the table has noted the size of its windows.
    claimed: bool,
    lookback: Timespan,
    fingerprint: String,
    began: DateTime<Utc>,
    /// What the windows had when the run began, by position.
    seen: BTreeMap<usize, Seen>,
    /// By position of the window.
    reports: BTreeMap<usize, WindowReport>,
    warnings: Vec<String>,
    /// Rows and bytes of the chunks that were evaluated.
    read: (u64, u64),
    survey: &'a Survey,
    /// Whether the hunt lets go of rows while it reads.
    passes: bool,
}

impl<'a> Run<'a> {
    async fn windows(mut self) -> Result<RunReport> {
        let todo = self.what_is_to_do().await?;
        if !todo.is_empty() && !self.claimed {
            self.table.claim(&size_of_windows(self.settings, self.survey)).await?;
        }

        let needed: BTreeSet<usize> =
            todo.iter().flat_map(|index| &self.survey.windows[*index].files).copied().collect();
        let mut inputs = Inputs::read(self.survey, needed.iter().copied()).await;
        let all: Vec<usize> = needed.into_iter().collect();
        self.warnings.extend(inputs.warnings(&all, &self.settings.layout, self.settings.slack));

        let mut queue: VecDeque<Vec<usize>> = self.chunks(&inputs, todo).into();
        while let Some(chunk) = queue.pop_front() {
            let Some(error) = self.chunk(&inputs, &chunk).await? else { continue };
            if error.kind() == ErrorKind::Unreachable {
                // A store that is gone is gone for the other windows, too; each would wait for it anew.
                for index in chunk.into_iter().chain(queue.drain(..).flatten()) {
                    if !self.reports.contains_key(&index) {
                        self.fail(index, error.clone());
                    }
                }
                break;
            }
            // Which window is to blame? Those that need a file that cannot be decoded; else try smaller chunks.
            let files = self.files(&chunk);
            let of_a_file = matches!(
                error.kind(),
                ErrorKind::CorruptFile | ErrorKind::SchemaMismatch | ErrorKind::SourceChanged | ErrorKind::AccessDenied
            );
            if of_a_file && inputs.verify(self.settings, &files, self.range(&chunk)).await? {
                for rest in self.chunks(&inputs, chunk).into_iter().rev() {
                    queue.push_front(rest);
                }
            } else if chunk.len() > 1 {
                tracing::debug!(%error, windows = chunk.len(), "trying the windows of a chunk in two halves");
                let (left, right) = chunk.split_at(chunk.len() / 2);
                queue.push_front(right.to_vec());
                queue.push_front(left.to_vec());
            } else {
                for index in chunk {
                    self.fail(index, error.clone());
                }
            }
        }
        let resolution = inputs.extent(&all, (i64::MIN, i64::MAX)).resolution;
        Ok(RunReport {
            job: self.job.slug().to_owned(),
            windows: self.reports.into_values().collect(),
            rows_read: self.read.0,
            bytes_read: self.read.1,
            resolution,
            warnings: self.warnings,
            elapsed: std::time::Duration::ZERO,
        })
    }

    /// The windows that have a source and are not done by the same job from the same files.
    async fn what_is_to_do(&mut self) -> Result<Vec<usize>> {
        let survey = self.survey;
        let table = &self.table;
        let with_source = survey.windows.iter().enumerate().filter(|(_, plan)| plan.has_source);
        let mut looks = futures::stream::iter(with_source)
            .map(|(index, plan)| async move { (index, table.look(plan.window.label()).await) })
            .buffered(CONCURRENT_WINDOWS);
        let mut seen = BTreeMap::new();
        while let Some((index, look)) = looks.next().await {
            seen.insert(index, look?);
        }
        drop(looks);
        let mut todo = Vec::new();
        for (index, plan) in survey.windows.iter().enumerate() {
            let done = seen.get(&index).and_then(Seen::done);
            let same = |record: &&RunRecord| {
                record.job.fingerprint == self.fingerprint && record.inputs == self.inputs_of(plan)
            };
            if !plan.has_source {
                self.report(index, Outcome::WithoutSource, 0, 0);
            } else if let Some(record) = done.filter(same).filter(|_| !self.settings.force) {
                let hits = record.hits;
                self.report(index, Outcome::UpToDate { hits }, 0, 0);
            } else {
                todo.push(index);
            }
        }
        self.seen = seen;
        Ok(todo)
    }

    fn inputs_of(&self, plan: &WindowPlan) -> Vec<Input> {
        plan.files.iter().map(|index| Input::from(&self.survey.files[*index].meta)).collect()
    }

    /// Fails the windows that cannot be evaluated and groups the others.
    fn chunks(&mut self, inputs: &Inputs, windows: Vec<usize>) -> Vec<Vec<usize>> {
        let survey: &'a Survey = self.survey;
        let mut ready = Vec::new();
        for index in windows {
            match inputs.check(&survey.windows[index].files) {
                Ok(()) => ready.push(index),
                Err(error) => self.fail(index, error),
            }
        }
        let budget = self.settings.memory_limit as u64 / MEMORY_PER_DECODED_BYTE;
        let cost = |index: &usize| {
            let extent = inputs.extent(&survey.windows[*index].files, self.range(&[*index]));
            match self.passes {
                // Rows of unknown times stay until all of them are read.
                true => ROW * (extent.timeless_rows + (extent.rows - extent.timeless_rows) / PASSING),
                false => extent.decoded_bytes,
            }
        };
        chunks(ready, |index| &survey.windows[*index].window, cost, budget)
    }

    /// Evaluates and commits the windows of a chunk. What keeps the chunk from being evaluated is given back as a value, and
    /// nothing of it is committed then; so is a store that is gone while its windows are committed.
    async fn chunk(&mut self, inputs: &Inputs, chunk: &[usize]) -> Result<Option<Error>> {
        let survey = self.survey;
        let windows: Vec<&Window> = chunk.iter().map(|index| &survey.windows[*index].window).collect();
        let files = self.files(chunk);
        tracing::debug!(windows = windows.len(), files = files.len(), "evaluating a chunk");
        let evaluated = match evaluate(self.job, self.settings, inputs, &windows, &files).await {
            Ok(evaluated) => evaluated,
            // The job does not fit, whichever window it is.
            Err(error) if error.kind() == ErrorKind::InvalidJob => return Err(error),
            Err(error) => return Ok(Some(error)),
        };
        if let Some(text) = evaluated.notices.unreadable_time() {
            self.warnings
                .push(format!("the time column holds text that is no time, such as `{text}`; such rows match nothing"));
        }
        let extent = inputs.extent(&files, self.range(chunk));
        self.read.0 += extent.rows;
        self.read.1 += extent.bytes;
        let mut prepared = Vec::with_capacity(chunk.len());
        for (index, rows) in chunk.iter().zip(evaluated.rows) {
            let record = self.record(inputs, *index, &rows);
            prepared.push((*index, rows.file, record, self.seen.remove(index).unwrap_or_default()));
        }
        let table = self.table.clone();
        let mut commits = futures::stream::iter(prepared)
            .map(|(index, hits, record, seen)| {
                let table = &table;
                async move { (index, table.commit(hits, record, seen).await) }
            })
            .buffer_unordered(CONCURRENT_WINDOWS);
        let mut gone = None;
        while let Some((index, committed)) = commits.next().await {
            match committed {
                Ok(record) => {
                    let outcome = Outcome::Done {
                        hits: record.hits,
                        kql_rows: record.kql_rows,
                        over_limit: record.over_limit.len() as u64,
                        file: self.table.hits_name(&record.window.label),
                    };
                    self.report(index, outcome, record.rows_read, record.bytes_read);
                }
                Err(error) => {
                    if error.kind() == ErrorKind::Unreachable {
                        gone = Some(error.clone());
                    }
                    self.fail(index, error);
                }
            }
        }
        Ok(gone)
    }

    /// The record of a window that was evaluated.
    fn record(&self, inputs: &Inputs, index: usize, rows: &WindowRows) -> RunRecord {
        let plan = &self.survey.windows[index];
        let extent = inputs.extent(&plan.files, self.range(&[index]));
        let window = &plan.window;
        let bindings = Bindings::new(self.job, window, window, self.settings.scope, self.lookback);
        RunRecord {
            version: crate::sink::VERSION,
            job: JobOfRecord {
                slug: self.job.slug().to_owned(),
                id: self.job.id().to_owned(),
                version: self.job.version().to_owned(),
                fingerprint: self.fingerprint.clone(),
            },
            window: WindowOfRecord {
                label: window.label().to_owned(),
                start: window.start(),
                end: window.end(),
                size: self.settings.window.to_string(),
                scope: self.settings.scope.to_string(),
            },
            parameters: bindings.shown().map(|(name, value)| (name.to_owned(), value.to_owned())).collect(),
            source: inputs.root().display.clone(),
            layout: self.settings.layout.to_string(),
            source_version: self.survey.version,
            inputs: self.inputs_of(plan),
            rows_read: extent.rows,
            bytes_read: extent.bytes,
            time_columns: inputs.time_columns(&plan.files),
            time_unit: extent.resolution.map(|unit| unit.to_string()),
            hits: rows.hits,
            // Known once the file is put.
            hit_file: None,
            kql_rows: rows.kql_rows,
            over_limit: rows.over_limit.clone(),
            warnings: plan.missing.iter().map(|p| format!("partition {} does not exist", p.path)).collect(),
            started_at: self.began,
            finished_at: (self.settings.clock)(),
            versions: versions(),
        }
    }

    fn fail(&mut self, index: usize, error: Error) {
        self.report(index, Outcome::Failed(Arc::new(error)), 0, 0);
    }

    fn report(&mut self, index: usize, outcome: Outcome, rows_read: u64, bytes_read: u64) {
        let window = &self.survey.windows[index].window;
        let report = WindowReport {
            label: window.label().to_owned(),
            start: window.start(),
            end: window.end(),
            rows_read,
            bytes_read,
            outcome,
        };
        self.observer.window(&report);
        self.reports.insert(index, report);
    }

    /// The files of some windows, each once.
    fn files(&self, windows: &[usize]) -> Vec<usize> {
        let files: BTreeSet<usize> =
            windows.iter().flat_map(|index| &self.survey.windows[*index].files).copied().collect();
        files.into_iter().collect()
    }

    /// The times that the rows of neighbouring windows have, in nanoseconds.
    fn range(&self, windows: &[usize]) -> (i64, i64) {
        let window = |index: Option<&usize>| index.map(|index| &self.survey.windows[*index].window);
        let from =
            window(windows.first()).map_or(0, |first| nanos(first.read_range(self.settings.scope, self.lookback).0));
        (from, window(windows.last()).map_or(0, |last| nanos(last.end())))
    }
}

/// The programs that decide the rows.
fn versions() -> BTreeMap<String, String> {
    [("lakehunt", env!("CARGO_PKG_VERSION")), ("datafusion", datafusion::DATAFUSION_VERSION)]
        .into_iter()
        .map(|(name, version)| (name.to_owned(), version.to_owned()))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_output_inside_its_source_is_known_wherever_they_are() {
        let folder = tempfile::tempdir().unwrap();
        let local = |path: &str| folder.path().join(path).display().to_string();
        std::fs::create_dir(folder.path().join("lake")).unwrap();
        for (source, output, inside) in [
            (local("lake"), local("lake/not/there/yet"), true),
            (local("lake"), local("lake2"), false),
            (local("lake"), local("lake/../hunts"), false),
            ("s3://b/lake".to_owned(), "s3://b/lake/hunts".to_owned(), true),
            ("s3://b".to_owned(), "s3://b/hunts".to_owned(), true),
            ("s3://b/lake".to_owned(), "s3://b/lake2".to_owned(), false),
            ("s3://b/lake".to_owned(), "s3://c/lake/hunts".to_owned(), false),
            ("abfss://a@x.dfs.core.windows.net/l".to_owned(), "abfss://b@x.dfs.core.windows.net/l/h".to_owned(), false),
            ("https://x.blob.core.windows.net/a".to_owned(), "https://x.blob.core.windows.net/b/h".to_owned(), false),
            ("https://x.blob.core.windows.net/a".to_owned(), "https://x.blob.core.windows.net/a/h".to_owned(), true),
            (local("lake"), "s3://b/lake".to_owned(), false),
        ] {
            let parse = |text: &str| Location::parse(text).unwrap();
            assert_eq!(is_inside(&parse(&output), &parse(&source)), inside, "{output} in {source}");
        }
    }
}
