//! Commits the windows of a chunk to the Delta tables, all of them at once.
//!
//! ```text
//!   put      a data file for each window that has hits     (no part of the table yet)
//!   commit   to the hits: what each window had goes, its new file comes; if it still has what the run saw
//!   commit   to the runs: a row for each window; if its hits are still those
//!   put      run.json for each window, if still as seen
//! ```
//!
//! A commit is the next version of a log, put if nobody else has put it. So a run looks at the newest version, decides for
//! each window by itself, and begins anew where another run was faster: runs of other windows both commit, and of two
//! runs of one window the second finds other files than it had seen. Where it finds the same content there is nothing
//! left to do, as after a commit of its own whose answer was lost.
//!
//! Killed between any two of these, a run leaves windows whose record is missing or names other hits than are there, and
//! data files that no version names, which `vacuum` removes.

use std::time::Duration;

use bytes::Bytes;
use datafusion::parquet::arrow::arrow_reader::ArrowReaderMetadata;
use deltalake_core::kernel::{Action, Add};
use futures::{StreamExt, stream};

use super::{DeltaOutput, File, WINDOW, rows, schema};
use crate::error::{Error, ErrorKind, Result};
use crate::sink::commit::Seen;
use crate::sink::hits::HitBytes;
use crate::sink::record::{HitFile, RunRecord};
use crate::sink::table::Table;

/// Requests for the windows of a chunk that are made at once.
const CONCURRENT_WINDOWS: usize = 32;

/// Times that a commit begins anew because another run was faster.
pub(super) const TRIES: u32 = 30;

/// A window on its way into the tables.
pub(super) struct Pending {
    /// Names no file before the hits are committed.
    pub(super) record: RunRecord,
    hits: Bytes,
    digest: String,
    seen: Seen,
    /// Whether its file has to be put anew although the log names one of this content: the object is gone or damaged.
    renew: bool,
    /// Its new file, if it has hits and no file of this content yet.
    added: Option<Add>,
    /// The file that its hits are in, once they are committed; `None` if it has none.
    pub(super) place: Option<File>,
    /// What kept it from being committed.
    pub(super) failure: Option<Error>,
}

/// What is to do for a window whose files are these now.
enum Step {
    Nothing(Option<File>),
    Replace,
    Conflict,
}

impl Pending {
    pub(super) fn label(&self) -> &str {
        &self.record.window.label
    }

    fn step(&self, now: &[File]) -> Step {
        let same = match now {
            [] => self.record.hits == 0,
            [file] => self.record.hits > 0 && file.has(&self.digest),
            _ => false,
        };
        let as_seen = now == self.seen.files;
        match same {
            true if !(self.renew && as_seen) => Step::Nothing(now.first().cloned()),
            _ if as_seen => Step::Replace,
            _ => Step::Conflict,
        }
    }

    /// Whether the window's hits are still those that were committed for it.
    pub(super) fn is_ours(&self, now: &[File]) -> bool {
        match (now, &self.place) {
            ([], None) => true,
            ([now], Some(place)) => now.path == place.path,
            _ => false,
        }
    }
}

impl Table {
    /// Puts hits, rows and records of some windows in place, in this order; each window that is still as it was seen.
    ///
    /// Gives what became of each. A window that conflicts keeps no other from being committed.
    pub(crate) async fn commit_together(&self, windows: Vec<(HitBytes, RunRecord, Seen)>) -> Vec<Result<RunRecord>> {
        let mut pending: Vec<Pending> = windows
            .into_iter()
            .map(|(hits, record, seen)| {
                let (HitBytes { bytes: hits, sha256: digest }, renew) = (hits, false);
                Pending { record, hits, digest, seen, renew, added: None, place: None, failure: None }
            })
            .collect();
        let Some(delta) = self.delta() else {
            let wrong = || Error::new(ErrorKind::Output, "the output is no Delta table");
            return pending.iter().map(|_| Err(wrong())).collect();
        };
        let done = async {
            self.stage(delta, &mut pending).await;
            self.commit_hits(delta, &mut pending).await?;
            self.name_files(delta, &mut pending).await;
            rows::commit(self, delta, &mut pending).await
        };
        if let Err(error) = done.await {
            for window in pending.iter_mut().filter(|window| window.failure.is_none()) {
                window.failure = Some(error.clone());
            }
        }
        let records = stream::iter(pending)
            .map(|window| async move {
                match window.failure {
                    Some(error) => (Err(error), None),
                    None => self.commit_record(delta, window).await,
                }
            })
            .buffered(CONCURRENT_WINDOWS);
        let (records, others): (Vec<_>, Vec<_>) = records.unzip().await;
        let others: Vec<_> = others.into_iter().flatten().collect();
        if let Err(error) = rows::mend(delta, &others).await {
            tracing::warn!(%error, "rows of the runs table are not of the records beside them; run again with --force");
        }
        // Last: a run that is killed here has nothing left to do.
        delta.checkpoint().await;
        records
    }

    /// Keeps what the windows had, and puts their new files.
    async fn stage(&self, delta: &DeltaOutput, pending: &mut [Pending]) {
        let mut staged = stream::iter(pending.iter_mut())
            .map(|window| async move {
                let staged = async {
                    window.record.earlier = self.keep_earlier(&window.seen, &window.digest).await?;
                    if let Step::Nothing(Some(file)) = window.step(&window.seen.files) {
                        let there = self.fetch(&delta.path(&file.path)).await?;
                        window.renew = there.is_none_or(|(bytes, _)| bytes != window.hits);
                    }
                    if matches!(window.step(&window.seen.files), Step::Replace) && window.record.hits > 0 {
                        let partition = [window.label().to_owned()];
                        let put = delta.put_hits(&partition, &window.digest, window.hits.clone());
                        window.added = Some(put.await?);
                    }
                    Ok::<_, Error>(())
                };
                let failure = staged.await.err();
                window.failure = failure;
            })
            .buffer_unordered(CONCURRENT_WINDOWS);
        while staged.next().await.is_some() {}
    }

    async fn commit_hits(&self, delta: &DeltaOutput, pending: &mut [Pending]) -> Result<()> {
        let Some(first) = pending.iter().find(|window| window.failure.is_none()) else { return Ok(()) };
        let columns = ArrowReaderMetadata::load(&first.hits, Default::default())
            .map_err(|e| Error::new(ErrorKind::Output, "the hits cannot be read back").caused_by(e))?;
        let columns = schema::table_of(columns.schema(), &[WINDOW])?;
        for attempt in 0..TRIES {
            pause(attempt).await;
            let mut hits = delta.hits.lock().await;
            hits.refresh().await?;
            hits.create(&columns, &format!("hits of {}", delta.slug)).await?;
            let mut actions = Vec::new();
            let mut labels = Vec::new();
            for window in pending.iter_mut().filter(|window| window.failure.is_none()) {
                let there = hits.files(&[window.label().to_owned()]);
                let now: Vec<File> = there.iter().map(|active| active.file.clone()).collect();
                match window.step(&now) {
                    Step::Nothing(place) => window.place = place,
                    Step::Conflict => window.failure = Some(self.conflict(window.label())),
                    Step::Replace => {
                        actions.extend(there.iter().map(|active| Action::Remove(active.remove.clone())));
                        actions.extend(window.added.clone().map(Action::Add));
                        window.place = window.added.as_ref().map(File::from);
                        labels.push(window.label().to_owned());
                    }
                }
            }
            if actions.is_empty() {
                return Ok(());
            }
            actions.extend(hits.widened(&columns)?);
            if hits.commit(actions, predicate(WINDOW, &labels)).await? {
                return Ok(());
            }
        }
        Err(busy())
    }

    /// Names the files of the windows in their records.
    async fn name_files(&self, delta: &DeltaOutput, pending: &mut [Pending]) {
        let mut named = stream::iter(pending.iter_mut().filter(|window| window.failure.is_none()))
            .map(|window| async move {
                let path = window.place.as_ref().map(|file| file.path.clone());
                let etag = match &path {
                    None => Ok(None),
                    Some(path) => self.version(&delta.path(path)).await,
                };
                match etag {
                    Ok(version) => {
                        window.record.hit_file = Some(HitFile {
                            size: window.hits.len() as u64,
                            sha256: window.digest.clone(),
                            etag: version.and_then(|version| version.e_tag),
                            path,
                        });
                    }
                    Err(error) => window.failure = Some(error),
                }
            })
            .buffer_unordered(CONCURRENT_WINDOWS);
        while named.next().await.is_some() {}
    }

    /// Puts the record of a window, and gives beside it the one that another run put instead, if so.
    async fn commit_record(&self, delta: &DeltaOutput, window: Pending) -> (Result<RunRecord>, Option<Other>) {
        let expected = window.seen.record.as_ref().map(|(_, version)| version.clone());
        let ours = async || {
            self.refresh().await?;
            Ok(window.is_ours(&delta.files(window.label()).await))
        };
        let run = window.record.run.clone();
        let put = self.put_record(window.record.clone(), expected, &ours).await;
        let record = match &put {
            Ok((_, true)) => None,
            Ok((record, false)) => Some(record.clone()),
            Err(error) if error.kind() == ErrorKind::Conflict => {
                let there = self.read::<RunRecord>(&self.record_path(window.label())).await;
                there.ok().flatten().map(|(record, _)| record)
            }
            Err(_) => None,
        };
        (put.map(|(record, _)| record), record.map(|record| Other { run, record }))
    }
}

/// The record of another run, beside which the row of `run` stands.
pub(super) struct Other {
    pub(super) run: Option<String>,
    pub(super) record: RunRecord,
}

impl DeltaOutput {
    async fn put_hits(&self, partition: &[String], digest: &str, bytes: Bytes) -> Result<Add> {
        // Not under the lock: the windows of a chunk are put at once.
        let place = self.hits.lock().await.place();
        place.put(partition, digest, bytes).await
    }

    async fn checkpoint(&self) {
        self.hits.lock().await.checkpoint().await;
        self.runs.lock().await.checkpoint().await;
    }
}

/// Waits before another try, a little longer each time and not as long as another run does.
pub(super) async fn pause(attempt: u32) {
    if attempt > 0 {
        let longest = 50 * u64::from(attempt.min(20));
        tokio::time::sleep(Duration::from_millis(crate::sink::random() % longest)).await;
    }
}

pub(super) fn busy() -> Error {
    Error::new(ErrorKind::Conflict, format!("other runs were faster {TRIES} times in a row; run again"))
}

/// What a commit replaces, for those who read the log's history: of many values only the first and the last.
pub(super) fn predicate(column: &str, values: &[String]) -> String {
    match values {
        [one] => format!("{column} = '{one}'"),
        [first, .., last] if values.len() > 100 => format!("{column} >= '{first}' AND {column} <= '{last}'"),
        values => {
            let quoted: Vec<String> = values.iter().map(|value| format!("'{value}'")).collect();
            format!("{column} IN ({})", quoted.join(", "))
        }
    }
}
