//! Hits that a later run replaced: kept beside the window's record, so that one can tell what a rerun changed.
//!
//! `runs/job=<slug>/window=<label>/hits-<16 hex digits of their SHA-256>.parquet`. They are put before the hits that
//! replace them; where a run ends between the two, the copy is of the hits that are still there. Of a Delta table they are
//! put there as well: its own older versions last only as long as other writers' vacuums let them.

use datafusion::arrow::array::RecordBatch;
use object_store::path::Path;

use super::commit::Seen;
use super::read::decode;
use super::record::{Earlier, RunRecord};
use super::table::{Table, sha256};
use crate::error::{Error, ErrorKind, Result};

/// States of a window that its record remembers; the oldest ones are forgotten first.
const MOST_EARLIER: usize = 20;

impl Table {
    fn earlier_path(&self, label: &str, digest: &str) -> Path {
        let short = digest.get(..16).unwrap_or(digest);
        self.path(&format!("window={label}")).join(format!("hits-{short}.parquet"))
    }

    /// What the next record of a window remembers: what the last one did and, if the hits become others, a copy of those
    /// that are there.
    pub(super) async fn keep_earlier(&self, seen: &Seen, digest: &str) -> Result<Vec<Earlier>> {
        let Some(record) = seen.record() else { return Ok(Vec::new()) };
        let mut earlier = record.earlier.clone();
        let replaced = record.hit_file.as_ref().filter(|file| seen.done().is_some() && file.sha256 != digest);
        if let Some(file) = replaced {
            let label = &record.window.label;
            // A window without hits has no file in a Delta table, and needs no copy.
            let mut kept = record.hits == 0;
            // Gone or changed since it was looked at: the put of the hits will notice.
            if let Some((bytes, _)) = self.hits(label).await?
                && sha256(&bytes) == file.sha256
            {
                self.put(&self.earlier_path(label, &file.sha256), bytes, None).await?;
                kept = true;
            }
            if kept {
                earlier.push(Earlier {
                    hits: record.hits,
                    sha256: file.sha256.clone(),
                    fingerprint: record.job.fingerprint.clone(),
                    finished_at: record.finished_at,
                });
                let surplus = earlier.len().saturating_sub(MOST_EARLIER);
                earlier.drain(..surplus);
            }
        }
        Ok(earlier)
    }

    /// The hits of a window as they are, and as `earlier` has them; `None` if a vacuum has removed those.
    pub(crate) async fn both_hits(
        &self,
        record: &RunRecord,
        earlier: &Earlier,
    ) -> Result<Option<[Vec<RecordBatch>; 2]>> {
        let label = &record.window.label;
        let now = match self.hits(label).await? {
            Some((bytes, _)) => decode(bytes, &self.hits_name(label))?,
            None if record.hits == 0 => Vec::new(),
            None => {
                return Err(Error::new(ErrorKind::SourceMissing, "the hits are no longer there")
                    .with("file", self.hits_name(label)));
            }
        };
        let path = self.earlier_path(label, &earlier.sha256);
        let before = match self.fetch(&path).await? {
            Some((bytes, _)) => decode(bytes, &self.name(&path))?,
            None if earlier.hits == 0 => Vec::new(),
            None => return Ok(None),
        };
        Ok(Some([now, before]))
    }
}
