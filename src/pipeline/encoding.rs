//! Encodes the rows of each window, beside the evaluation that gives them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use datafusion::arrow::array::RecordBatch;
use tokio::task::JoinSet;

use crate::error::{Error, ErrorKind, Result};
use crate::sink::{HitSchema, WindowRows, WindowWriter};

/// Encodes rows that come window by window.
pub(super) struct Encoding {
    schema: Arc<HitSchema>,
    /// What each window is called.
    labels: Vec<String>,
    /// Windows that are encoded or wait for it: one more than threads, so that none is idle while the next rows come.
    tasks: usize,
    /// Windows that rows have come for.
    begun: BTreeSet<usize>,
    /// The one that they come for.
    current: Option<(usize, Vec<RecordBatch>)>,
    running: JoinSet<Result<(usize, WindowRows)>>,
    done: BTreeMap<usize, WindowRows>,
}

impl Encoding {
    pub(super) fn new(schema: Arc<HitSchema>, labels: Vec<String>, threads: usize) -> Self {
        let (begun, current, running, done) = (BTreeSet::new(), None, JoinSet::new(), BTreeMap::new());
        Self { schema, labels, tasks: threads + 1, begun, current, running, done }
    }

    /// Adds rows of a window; all of a window's come before those of another.
    pub(super) async fn add(&mut self, window: usize, rows: RecordBatch) -> Result<()> {
        match &mut self.current {
            Some((current, batches)) if *current == window => batches.push(rows),
            _ => {
                if !self.begun.insert(window) {
                    let what = "rows of a window came after those of another one";
                    return Err(Error::new(ErrorKind::Engine, what).with("window", &self.labels[window]));
                }
                if let Some((current, batches)) = self.current.replace((window, vec![rows])) {
                    self.start(current, batches).await?;
                }
            }
        }
        Ok(())
    }

    /// What each window has, in the order of the windows.
    pub(super) async fn finish(mut self) -> Result<Vec<WindowRows>> {
        if let Some((current, batches)) = self.current.take() {
            self.start(current, batches).await?;
        }
        while !self.running.is_empty() {
            self.wait().await?;
        }
        for (window, label) in self.labels.iter().enumerate() {
            if !self.done.contains_key(&window) {
                self.done.insert(window, encode(&self.schema, label, &[])?);
            }
        }
        Ok(self.done.into_values().collect())
    }

    async fn start(&mut self, window: usize, batches: Vec<RecordBatch>) -> Result<()> {
        if self.running.len() >= self.tasks {
            self.wait().await?;
        }
        let (schema, label) = (Arc::clone(&self.schema), self.labels[window].clone());
        self.running.spawn_blocking(move || Ok((window, encode(&schema, &label, &batches)?)));
        Ok(())
    }

    async fn wait(&mut self) -> Result<()> {
        let Some(ended) = self.running.join_next().await else { return Ok(()) };
        let (window, rows) =
            ended.map_err(|e| Error::new(ErrorKind::Output, "encoding the hits failed").caused_by(e))??;
        self.done.insert(window, rows);
        Ok(())
    }
}

fn encode(schema: &HitSchema, label: &str, batches: &[RecordBatch]) -> Result<WindowRows> {
    let encode = || {
        let mut writer = WindowWriter::new(schema)?;
        batches.iter().try_for_each(|batch| writer.write(batch))?;
        writer.finish()
    };
    encode().map_err(|e| e.with("window", label))
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use datafusion::arrow::array::{ArrayRef, StringArray, TimestampMicrosecondArray};

    use super::*;
    use crate::job::Job;

    /// Two windows with rows of one between those of the other lose rows if nobody minds.
    #[tokio::test]
    async fn rows_of_a_window_after_those_of_another_one_are_refused() {
        let job = Path::new(env!("CARGO_MANIFEST_DIR")).join("jobs/signin-success-then-fail.yaml");
        let job = Job::load(&job).unwrap();
        let text = || Arc::new(StringArray::from(vec!["a"])) as ArrayRef;
        let keys = job.output().key.iter().map(|name| (name.as_str(), text()));
        let start = Arc::new(TimestampMicrosecondArray::from(vec![0]).with_timezone("UTC")) as ArrayRef;
        let rows = RecordBatch::try_from_iter(
            keys.filter(|(name, _)| *name != "window_start").chain([("window_start", start)]),
        );
        let rows = rows.unwrap();
        let schema = Arc::new(HitSchema::new(&job, rows.schema_ref()).unwrap());
        let labels = || ["first", "second", "third"].map(str::to_owned).to_vec();
        let encoding = || Encoding::new(Arc::clone(&schema), labels(), 1);

        let mut good = encoding();
        for window in [0, 0, 2] {
            good.add(window, rows.clone()).await.unwrap();
        }
        let hits: Vec<u64> = good.finish().await.unwrap().iter().map(|window| window.hits).collect();
        assert_eq!(hits, [2, 0, 1]);

        let mut bad = encoding();
        bad.add(0, rows.clone()).await.unwrap();
        bad.add(2, rows.clone()).await.unwrap();
        let error = bad.add(0, rows.clone()).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Engine);
        assert!(error.to_string().contains("first"), "{error}");

        // What cannot be encoded is told of its own window, whichever one rows come for by then.
        let mut wrong = encoding();
        let columns = rows.schema_ref().fields().iter().map(|field| (field.name().clone(), Arc::clone(rows.column(0))));
        let texts = RecordBatch::try_from_iter(columns.collect::<Vec<_>>()).unwrap();
        wrong.add(1, texts).await.unwrap();
        let mut ended = wrong.add(0, rows.clone()).await;
        if ended.is_ok() {
            ended = wrong.add(2, rows).await;
        }
        let error = match ended {
            Ok(()) => wrong.finish().await.map(|_| ()).unwrap_err(),
            Err(error) => error,
        };
        assert!(error.to_string().contains("second"), "{error}");
    }
}
