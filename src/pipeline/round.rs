//! Does windows that this run has claimed: in chunks, each evaluated in one pass and committed window by window.

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Instant;

use chrono::{DateTime, Utc};
use futures::StreamExt;
use futures::stream::LocalBoxStream;
use tracing::Instrument;

use super::evaluate::{Evaluated, Means, evaluate};
use super::inputs::Inputs;
use super::plan::Plan;
use super::tally::Tally;
use super::underway::Underway;
use super::{CONCURRENT_WINDOWS, Observer, SPANS, Work};
use crate::engine::{self, AllRead, Limits, Memory};
use crate::error::{Error, ErrorKind, Result};
use crate::job::Job;
use crate::report::{Left, Outcome};
use crate::settings::Settings;
use crate::sink::{Evaluation, HitBytes, RunRecord, Seen, Table};
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
    /// How far before a window its rows are read.
    pub(super) reach: Timespan,
    pub(super) fingerprint: String,
    /// The run's.
    pub(super) id: &'a str,
    pub(super) began: DateTime<Utc>,
}

/// How many windows may be evaluated in one pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Sizing {
    /// Memory holds all rows of all of them.
    All,
    /// As many as memory holds all rows of.
    Holding,
    /// More than that: the hunt lets go of rows while it reads.
    Passing,
}

/// What kept windows from being done.
pub(super) enum Cut {
    /// The run was asked to stop.
    Stopped,
    /// The job does not fit, whichever window it is.
    Misfit(Error),
    /// They could not be evaluated, and nothing of them is committed; or the store went away while windows were committed.
    Failed(Error),
}

/// A chunk that could not be done.
struct Failure {
    chunk: Vec<usize>,
    /// Whether it has shared the memory with another one.
    shared: bool,
    cut: Cut,
}

/// Windows that were evaluated in one pass.
#[derive(Default)]
struct Chunk {
    commits: Vec<Commit>,
    rows_read: u64,
    bytes_read: u64,
    /// What could not be read of the lake's values.
    warnings: Vec<String>,
}

/// A window that is evaluated and waits to be put in place.
struct Commit {
    index: usize,
    hits: HitBytes,
    record: RunRecord,
}

impl Chunk {
    fn into_commits(self, tally: &mut Tally<'_>) -> Vec<Commit> {
        tally.warn(self.warnings);
        tally.rows_read += self.rows_read;
        tally.bytes_read += self.bytes_read;
        self.commits
    }
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
        tally.warn(inputs.warnings(&files));
        let resolution = inputs.extent(&files, (i64::MIN, i64::MAX)).resolution;
        tally.resolution = tally.resolution.max(resolution);

        let sizing = self.sizing(&inputs, &files, &todo).await?;
        let mut queue: VecDeque<Vec<usize>> = self.chunks(&inputs, sizing, todo, tally).into();
        let read = self.announce(&inputs, &queue);
        let memory = engine::memory(Limits::of(self.settings))?;
        // Whether a chunk may begin while another one is not done.
        let mut overlap = sizing == Sizing::Passing;
        while let Err(Failure { chunk, shared, cut }) =
            self.work(&inputs, &mut queue, &read, &memory, overlap, tally).await
        {
            let error = match cut {
                Cut::Misfit(error) => return Err(error),
                Cut::Stopped => {
                    self.leave(chunk.into_iter().chain(queue.drain(..).flatten()), tally);
                    break;
                }
                Cut::Failed(error) => error,
            };
            if shared && error.kind() == ErrorKind::ResourcesExhausted {
                // One at a time has all of the memory.
                overlap = false;
                queue.push_front(chunk);
                continue;
            }
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
                for rest in self.chunks(&inputs, sizing, chunk, tally).into_iter().rev() {
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

    /// Evaluates and commits the chunks of a queue. What is left in it when one fails is still to be done.
    async fn work(
        &self,
        inputs: &Inputs,
        queue: &mut VecDeque<Vec<usize>>,
        read: &Arc<AtomicU64>,
        memory: &Memory,
        overlap: bool,
        tally: &mut Tally<'_>,
    ) -> Result<(), Failure> {
        let begin =
            |chunk| Underway::new(chunk, move |chunk, all_read| self.evaluate(inputs, chunk, read, memory, all_read));
        let mut ready = Vec::new();
        let mut ahead = None;
        loop {
            let mut current = ahead.take().or_else(|| queue.pop_front().map(begin));
            if current.is_none() && ready.is_empty() {
                return Ok(());
            }
            let commits = self.commit(std::mem::take(&mut ready), tally);
            let evaluation = async {
                match &mut current {
                    Some(current) => current.finish(|| if overlap { queue.pop_front().map(begin) } else { None }).await,
                    None => (Ok(Chunk::default()), None),
                }
            };
            // Putting waits for a store and evaluating for none, so a chunk is committed beside the next one's evaluation.
            let (committed, (evaluated, next)) = futures::join!(commits, evaluation);
            match committed.and(evaluated) {
                Ok(evaluated) => ready = evaluated.into_commits(tally),
                Err(cut) => {
                    if let Some(next) = next {
                        queue.push_front(next.chunk);
                    }
                    let (chunk, shared) = current.map(|current| (current.chunk, current.shared)).unwrap_or_default();
                    return Err(Failure { chunk, shared, cut });
                }
            }
            ahead = next;
        }
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

    /// Decoded bytes of rows that memory holds while they are joined.
    fn budget(&self) -> u64 {
        self.settings.memory_limit as u64 / MEMORY_PER_DECODED_BYTE
    }

    async fn sizing(&self, inputs: &Inputs, files: &[usize], windows: &[usize]) -> Result<Sizing> {
        if windows.len() < 2 || inputs.extent(files, (i64::MIN, i64::MAX)).decoded_bytes <= self.budget() {
            return Ok(Sizing::All);
        }
        // To ask is to plan the hunt once more, which a short run would notice.
        Ok(match crate::explain::passes(self.job, self.settings).await? {
            true => Sizing::Passing,
            false => Sizing::Holding,
        })
    }

    /// Fails the windows that cannot be evaluated and groups the others.
    fn chunks(&self, inputs: &Inputs, sizing: Sizing, windows: Vec<usize>, tally: &mut Tally<'_>) -> Vec<Vec<usize>> {
        let survey = &self.plan.survey;
        let mut ready = Vec::new();
        for index in windows {
            match inputs.check(&survey.windows[index].files) {
                Ok(()) => ready.push(index),
                Err(error) => tally.fail(index, error),
            }
        }
        let budget = if sizing == Sizing::All { u64::MAX } else { self.budget() };
        let of = |index: &usize, range| {
            let extent = inputs.extent(&survey.windows[*index].files, range);
            match sizing {
                // Rows of unknown times stay until all of them are read.
                Sizing::Passing => ROW * (extent.timeless_rows + (extent.rows - extent.timeless_rows) / PASSING),
                Sizing::All | Sizing::Holding => extent.decoded_bytes,
            }
        };
        let cost = |index: &usize| of(index, self.range(&[*index]));
        // Windows that look far back share what they see there.
        let adds = |index: &usize| {
            let window = &survey.windows[*index].window;
            match self.reach > window.length() {
                true => of(index, (nanos(window.start()), nanos(window.end()))),
                false => cost(index),
            }
        };
        let mut chunks = chunks(ready, |index| &survey.windows[*index].window, cost, adds, budget);
        if self.settings.newest_first {
            chunks.reverse();
        }
        chunks
    }

    /// Evaluates the windows of a chunk.
    async fn evaluate(
        &self,
        inputs: &Inputs,
        chunk: Vec<usize>,
        read: &Arc<AtomicU64>,
        memory: &Memory,
        all_read: Arc<AllRead>,
    ) -> Result<Chunk, Cut> {
        let windows: Vec<&Window> = chunk.iter().map(|index| &self.plan.survey.windows[*index].window).collect();
        let files = self.files(&chunk);
        let extent = inputs.extent(&files, self.range(&chunk));
        let began = Instant::now();
        let span = tracing::info_span!(target: SPANS, "evaluate", windows = chunk.len(), rows = extent.rows, bytes = extent.bytes);
        let means = Means { memory, all_read: &all_read };
        let evaluation = evaluate(self.job, self.settings, means, inputs, &windows, &files, read).instrument(span);
        let Evaluated { rows, notices, dropped, workers } = match self.settings.stop.or(evaluation).await {
            None => return Err(Cut::Stopped),
            Some(Ok(evaluated)) => evaluated,
            Some(Err(error)) if error.kind() == ErrorKind::InvalidJob => return Err(Cut::Misfit(error)),
            Some(Err(error)) => return Err(Cut::Failed(error)),
        };
        let evaluation = Evaluation {
            windows: chunk.len() as u64,
            rows_read: extent.rows,
            bytes_read: extent.bytes,
            seconds: began.elapsed().as_secs_f64(),
            workers,
        };
        tracing::debug!(windows = chunk.len(), rows = extent.rows, seconds = evaluation.seconds, "evaluated a chunk");
        let dropped = |index: usize| {
            let start = nanos(self.plan.survey.windows[index].window.start());
            dropped.as_ref().map(|dropped| dropped.get(&start).copied().unwrap_or_default())
        };
        let commits = chunk.iter().zip(rows).map(|(index, mut rows)| Commit {
            index: *index,
            record: self.record(inputs, *index, &mut rows, &evaluation, dropped(*index)),
            hits: rows.file,
        });
        Ok(Chunk {
            commits: commits.collect(),
            rows_read: extent.rows,
            bytes_read: extent.bytes,
            warnings: notices.warnings(),
        })
    }

    /// Commits windows that are evaluated.
    async fn commit(&self, commits: Vec<Commit>, tally: &mut Tally<'_>) -> Result<(), Cut> {
        let mut commits = self.commits(commits);
        let mut cut = Ok(());
        while let Some((index, committed)) = commits.next().await {
            match committed {
                None => {
                    self.leave([index], tally);
                    cut = Err(Cut::Stopped);
                }
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
                        cut = Err(Cut::Failed(error.clone()));
                    }
                    tally.fail(index, error);
                }
            }
        }
        cut
    }

    /// Commits windows that are evaluated: as they come, or in one commit where the table takes them so. `None` for those
    /// that are left, as the run was asked to stop.
    fn commits(&self, commits: Vec<Commit>) -> LocalBoxStream<'_, (usize, Option<Result<RunRecord>>)> {
        let stop = &self.settings.stop;
        if self.table.commits_together() {
            let together = async move {
                let window = |commit: Commit| (commit.index, (commit.hits, commit.record, self.seen(commit.index)));
                let (indices, windows): (Vec<usize>, Vec<_>) = commits.into_iter().map(window).unzip();
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
        let each = move |Commit { index, hits, record }: Commit| async move {
            if stop.is_stopped() {
                return (index, None);
            }
            let seen = self.seen(index);
            let span = tracing::info_span!(target: SPANS, "commit", window = record.window.label, hits = record.hits);
            (index, Some(self.table.commit(hits, record, seen).instrument(span).await))
        };
        futures::stream::iter(commits).map(each).buffer_unordered(CONCURRENT_WINDOWS).boxed_local()
    }

    /// What a window had when this run looked.
    fn seen(&self, index: usize) -> Seen {
        self.plan.seen.get(&index).cloned().unwrap_or_default()
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
        let from = window(windows.first()).map_or(0, |first| nanos(first.read_range(self.reach).0));
        (from, window(windows.last()).map_or(0, |last| nanos(last.end())))
    }
}
