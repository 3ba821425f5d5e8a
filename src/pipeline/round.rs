//! Does windows that this run has claimed: in chunks, each evaluated in one pass and committed window by window.

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Instant;

use chrono::{DateTime, Utc};
use futures::StreamExt;
use futures::stream::LocalBoxStream;
use tracing::Instrument;

use super::evaluate::{Evaluated, evaluate};
use super::inputs::Inputs;
use super::plan::Plan;
use super::tally::Tally;
use super::{CONCURRENT_WINDOWS, Observer, SPANS, Work};
use crate::error::{Error, ErrorKind, Result};
use crate::job::Job;
use crate::report::{Left, Outcome};
use crate::settings::Settings;
use crate::sink::{Evaluation, RunRecord, Seen, Table};
use crate::timespan::Timespan;
use crate::window::{Window, chunks, nanos};

/// Rows take about this many times the memory that their decoded pages do, once they stand in a join's table.
const MEMORY_PER_DECODED_BYTE: u64 = 8;

/// Bytes of a row while it is joined with rows of its own table: places in dictionaries, and the time.
const ROW: u64 = 32;

/// How much larger a chunk may be whose rows leave memory again while it is read. What is left of a window is its hits
/// and its common keys; and a chunk is what a run that is killed does again.
const PASSING: u64 = 4;

/// What does the windows of a run.
pub(super) struct Round<'a> {
    pub(super) job: &'a Job,
    pub(super) settings: &'a Settings,
    pub(super) observer: &'a dyn Observer,
    pub(super) table: &'a Table,
    pub(super) plan: &'a Plan,
    pub(super) lookback: Timespan,
    pub(super) fingerprint: String,
    /// The run's.
    pub(super) id: &'a str,
    pub(super) began: DateTime<Utc>,
    /// Whether the hunt lets go of rows while it reads.
    pub(super) passes: bool,
}

/// A window that was evaluated: its position, its hits as a file, its record, and what it had before.
type Prepared = (usize, Vec<u8>, RunRecord, Seen);

/// What kept a chunk from being done.
enum Cut {
    /// The run was asked to stop.
    Stopped,
    /// It could not be evaluated, and nothing of it is committed; or the store went away while its windows were committed.
    Failed(Error),
}

impl Round<'_> {
    /// Does the windows `todo`. A window that fails does not keep the others from being done.
    ///
    /// # Errors
    /// When the job does not fit, whichever window it is.
    pub(super) async fn run(&self, todo: Vec<usize>, tally: &mut Tally<'_>) -> Result<()> {
        let files = self.files(&todo);
        let span = tracing::info_span!(target: SPANS, "footers", files = files.len());
        let reading = Inputs::read(&self.plan.survey, files.iter().copied()).instrument(span);
        let Some(mut inputs) = self.settings.stop.or(reading).await else {
            self.leave(todo, tally);
            return Ok(());
        };
        tally.warn(inputs.warnings(&files, &self.settings.layout, self.settings.slack));
        let resolution = inputs.extent(&files, (i64::MIN, i64::MAX)).resolution;
        tally.resolution = tally.resolution.max(resolution);

        let mut queue: VecDeque<Vec<usize>> = self.chunks(&inputs, todo, tally).into();
        let read = self.announce(&inputs, &queue);
        while let Some(chunk) = queue.pop_front() {
            let error = match self.chunk(&inputs, &chunk, &read, tally).await? {
                None => continue,
                Some(Cut::Stopped) => {
                    self.leave(chunk.into_iter().chain(queue.drain(..).flatten()), tally);
                    break;
                }
                Some(Cut::Failed(error)) => error,
            };
            if error.kind() == ErrorKind::Unreachable {
                // A store that is gone is gone for the other windows, too; each would wait for it anew.
                for index in chunk.into_iter().chain(queue.drain(..).flatten()) {
                    if !tally.has(index) {
                        tally.fail(index, error.clone());
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
            let blamed = match of_a_file {
                true => self.settings.stop.or(inputs.verify(self.settings, &files, self.range(&chunk))).await,
                false => Some(Ok(false)),
            };
            let Some(blamed) = blamed else {
                self.leave(chunk.into_iter().chain(queue.drain(..).flatten()), tally);
                break;
            };
            if blamed? {
                for rest in self.chunks(&inputs, chunk, tally).into_iter().rev() {
                    queue.push_front(rest);
                }
            } else if chunk.len() > 1 {
                tracing::debug!(%error, windows = chunk.len(), "trying the windows of a chunk in two halves");
                let (left, right) = chunk.split_at(chunk.len() / 2);
                let halves = if self.settings.newest_first { [left, right] } else { [right, left] };
                halves.into_iter().for_each(|half| queue.push_front(half.to_vec()));
            } else {
                for index in chunk {
                    tally.fail(index, error.clone());
                }
            }
        }
        Ok(())
    }

    /// Tells how much there is to read, and gives what counts the rows as they are read.
    fn announce(&self, inputs: &Inputs, queue: &VecDeque<Vec<usize>>) -> Arc<AtomicU64> {
        let mut work = Work::default();
        for chunk in queue {
            let extent = inputs.extent(&self.files(chunk), self.range(chunk));
            work.windows += chunk.len() as u64;
            work.rows += extent.rows;
            work.bytes += extent.bytes;
        }
        self.observer.begins(&work);
        work.read
    }

    fn leave(&self, windows: impl IntoIterator<Item = usize>, tally: &mut Tally<'_>) {
        for index in windows {
            if !tally.has(index) {
                tally.report(index, Outcome::Left(Left::Stopped), 0, 0);
            }
        }
    }

    /// Fails the windows that cannot be evaluated and groups the others.
    fn chunks(&self, inputs: &Inputs, windows: Vec<usize>, tally: &mut Tally<'_>) -> Vec<Vec<usize>> {
        let survey = &self.plan.survey;
        let mut ready = Vec::new();
        for index in windows {
            match inputs.check(&survey.windows[index].files) {
                Ok(()) => ready.push(index),
                Err(error) => tally.fail(index, error),
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
        let mut chunks = chunks(ready, |index| &survey.windows[*index].window, cost, budget);
        if self.settings.newest_first {
            chunks.reverse();
        }
        chunks
    }

    /// Evaluates and commits the windows of a chunk.
    async fn chunk(
        &self,
        inputs: &Inputs,
        chunk: &[usize],
        read: &Arc<AtomicU64>,
        tally: &mut Tally<'_>,
    ) -> Result<Option<Cut>> {
        let windows: Vec<&Window> = chunk.iter().map(|index| &self.plan.survey.windows[*index].window).collect();
        let files = self.files(chunk);
        let extent = inputs.extent(&files, self.range(chunk));
        let began = Instant::now();
        let span = tracing::info_span!(target: SPANS, "evaluate", windows = chunk.len(), rows = extent.rows, bytes = extent.bytes);
        let evaluation = evaluate(self.job, self.settings, inputs, &windows, &files, read).instrument(span);
        let Evaluated { rows, notices } = match self.settings.stop.or(evaluation).await {
            None => return Ok(Some(Cut::Stopped)),
            Some(Ok(evaluated)) => evaluated,
            // The job does not fit, whichever window it is.
            Some(Err(error)) if error.kind() == ErrorKind::InvalidJob => return Err(error),
            Some(Err(error)) => return Ok(Some(Cut::Failed(error))),
        };
        if let Some(text) = notices.unreadable_time() {
            tally.warn([format!(
                "the time column holds text that is no time, such as `{text}`; such rows match nothing"
            )]);
        }
        let evaluation = Evaluation {
            windows: chunk.len() as u64,
            rows_read: extent.rows,
            bytes_read: extent.bytes,
            seconds: began.elapsed().as_secs_f64(),
        };
        tracing::debug!(windows = chunk.len(), rows = extent.rows, seconds = evaluation.seconds, "evaluated a chunk");
        tally.rows_read += extent.rows;
        tally.bytes_read += extent.bytes;
        let prepared: Vec<Prepared> = chunk
            .iter()
            .zip(rows)
            .map(|(index, rows)| {
                let record = self.record(inputs, *index, &rows, &evaluation);
                (*index, rows.file, record, self.plan.seen.get(index).cloned().unwrap_or_default())
            })
            .collect();
        let mut commits = self.commits(prepared);
        let mut cut = None;
        while let Some((index, committed)) = commits.next().await {
            match committed {
                None => cut = Some(Cut::Stopped),
                Some(Ok(record)) => {
                    let outcome = Outcome::Done {
                        hits: record.hits,
                        kql_rows: record.kql_rows,
                        over_limit: record.over_limit.len() as u64,
                        file: self.table.hits_name(&record.window.label),
                    };
                    tally.report(index, outcome, record.rows_read, record.bytes_read);
                }
                Some(Err(error)) => {
                    if error.kind() == ErrorKind::Unreachable {
                        cut = Some(Cut::Failed(error.clone()));
                    }
                    tally.fail(index, error);
                }
            }
        }
        Ok(cut)
    }

    /// Commits windows that are evaluated: as they come, or in one commit where the table takes them so. `None` for those
    /// that are left, as the run was asked to stop.
    fn commits(&self, prepared: Vec<Prepared>) -> LocalBoxStream<'_, (usize, Option<Result<RunRecord>>)> {
        let stop = &self.settings.stop;
        if self.table.commits_together() {
            let together = async move {
                let (indices, windows): (Vec<usize>, Vec<_>) =
                    prepared.into_iter().map(|(index, hits, record, seen)| (index, (hits, record, seen))).unzip();
                // A commit that has begun is finished: between its steps no window is done.
                let committed: Vec<_> = match stop.is_stopped() {
                    true => indices.iter().map(|_| None).collect(),
                    false => {
                        let span = tracing::info_span!(target: SPANS, "commit", windows = windows.len());
                        let committed = self.table.commit_together(windows).instrument(span).await;
                        committed.into_iter().map(Some).collect()
                    }
                };
                futures::stream::iter(indices.into_iter().zip(committed))
            };
            return futures::stream::once(together).flatten().boxed_local();
        }
        let each = move |(index, hits, record, seen): Prepared| async move {
            if stop.is_stopped() {
                return (index, None);
            }
            let span = tracing::info_span!(target: SPANS, "commit", window = record.window.label, hits = record.hits);
            (index, Some(self.table.commit(hits, record, seen).instrument(span).await))
        };
        futures::stream::iter(prepared).map(each).buffer_unordered(CONCURRENT_WINDOWS).boxed_local()
    }

    /// The files of some windows, each once.
    fn files(&self, windows: &[usize]) -> Vec<usize> {
        let files: BTreeSet<usize> =
            windows.iter().flat_map(|index| &self.plan.survey.windows[*index].files).copied().collect();
        files.into_iter().collect()
    }

    /// The times that the rows of neighbouring windows have, in nanoseconds.
    pub(super) fn range(&self, windows: &[usize]) -> (i64, i64) {
        let window = |index: Option<&usize>| index.map(|index| &self.plan.survey.windows[*index].window);
        let from =
            window(windows.first()).map_or(0, |first| nanos(first.read_range(self.settings.scope, self.lookback).0));
        (from, window(windows.last()).map_or(0, |last| nanos(last.end())))
    }
}
