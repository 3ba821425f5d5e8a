//! The record of a window's run. What is written here is read by later versions: fields are only ever added, each with
//! a default, and `version` is raised when the meaning of one changes.

use std::collections::BTreeMap;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

/// The version of the record's form.
pub(crate) const VERSION: u32 = 1;

/// How one window was evaluated, and from what.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RunRecord {
    /// The version of this record's form.
    pub version: u32,
    /// The job.
    pub job: JobOfRecord,
    /// The window.
    pub window: WindowOfRecord,
    /// The values of all parameters, as text.
    pub parameters: BTreeMap<String, String>,
    /// The lists that the hunt read beside the lake.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub lists: BTreeMap<String, ListOfRecord>,
    /// The root of the lake, without secrets.
    pub source: String,
    /// The roots of the further tables that the hunt read, by name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub tables: BTreeMap<String, String>,
    /// The template of its folders.
    pub layout: String,
    /// The version that was read, of a source that is a Delta table.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source_version: Option<u64>,
    /// The files that the window's rows can lie in, by path.
    pub inputs: Vec<Input>,
    /// Rows of the row groups that were read for this window.
    pub rows_read: u64,
    /// Compressed bytes of the columns of those row groups.
    pub bytes_read: u64,
    /// The columns of the files that the time was read from; one, unless files differ.
    #[serde(default)]
    pub time_columns: Vec<String>,
    /// The coarsest unit in which the files hold their times; pairs inside one unit are lost.
    pub time_unit: Option<String>,
    /// Rows of the window that were left out, since the lake holds them more than once; `None` where they stay.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub duplicates_dropped: Option<u64>,
    /// Rows of the window's hit file.
    pub hits: u64,
    /// The window's hit file. A window whose file is another one is not done.
    #[serde(default)]
    pub hit_file: Option<HitFile>,
    /// The window's row of the runs table, as a file of its own; of a Delta table the row names the run. A window whose
    /// row is another one is not done: two runs that were killed one after the other can leave that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub row_file: Option<HitFile>,
    /// Rows of KQL's own (innerunique) answer.
    pub kql_rows: Option<u64>,
    /// Keys whose distribution is over the limit, with their pairs.
    pub over_limit: Vec<Key>,
    /// What the run warned of.
    pub warnings: Vec<String>,
    /// The run that did it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run: Option<String>,
    /// The pass over the rows that this window was evaluated in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub evaluation: Option<Evaluation>,
    /// States of the window that reruns replaced by other hits, oldest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub earlier: Vec<Earlier>,
    /// When the run of this window began.
    pub started_at: DateTime<Utc>,
    /// When its hits were ready to be written.
    pub finished_at: DateTime<Utc>,
    /// Versions of the programs that decided the rows.
    pub versions: BTreeMap<String, String>,
}

impl RunRecord {
    /// Whether both tell of the same hits from the same files: only when and by which run differs.
    pub(crate) fn says_the_same(&self, other: &Self) -> bool {
        let digest = |record: &Self| record.hit_file.as_ref().map(|file| file.sha256.clone());
        let same_inputs = self.inputs.len() == other.inputs.len()
            && self.inputs.iter().zip(&other.inputs).all(|(this, that)| this.is(that));
        self.job.fingerprint == other.job.fingerprint && same_inputs && digest(self) == digest(other)
    }
}

/// A list as a hunt read it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ListOfRecord {
    /// The file; `None` for a list that is empty because none was given.
    pub file: Option<String>,
    /// Of its content, as 64 hex digits.
    pub sha256: String,
    /// Its rows.
    pub rows: u64,
}

/// One pass over the rows of neighbouring windows.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Evaluation {
    /// Windows that were evaluated together.
    pub windows: u64,
    /// Rows that were read for all of them.
    pub rows_read: u64,
    /// Compressed bytes of the columns of those.
    pub bytes_read: u64,
    /// How long it took, without putting the results in place.
    pub seconds: f64,
    /// The machines that did it; `None` where the run did it itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub workers: Option<WorkersOfRecord>,
}

/// What the workers of one pass have counted, all of them together.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WorkersOfRecord {
    /// How many took part.
    pub workers: u64,
    /// Tries that it took; more than one where a worker was lost.
    pub tries: u64,
    /// Rows that they have read.
    pub rows_read: u64,
    /// Bytes that they have sent to each other and to the run.
    pub bytes_exchanged: u64,
}

/// Hits of a window that a rerun replaced; they stand beside its record.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Earlier {
    /// Their number.
    pub hits: u64,
    /// Of their file's content, as 64 hex digits.
    pub sha256: String,
    /// Of the job that found them.
    pub fingerprint: String,
    /// When they were ready to be written.
    pub finished_at: DateTime<Utc>,
}

/// A file of a window, as it was put.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HitFile {
    /// Bytes.
    pub size: u64,
    /// Of its content, as 64 hex digits.
    pub sha256: String,
    /// What the store calls this state of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub etag: Option<String>,
    /// Of a Delta table: its path there. `None` for a window without hits, which has no file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
}

/// The job of a record.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct JobOfRecord {
    pub slug: String,
    pub id: String,
    pub version: String,
    /// Over all that decides the rows beside the data.
    pub fingerprint: String,
}

/// The window of a record: half-open, UTC.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct WindowOfRecord {
    pub label: String,
    pub start: DateTime<Utc>,
    pub end: DateTime<Utc>,
    pub size: String,
    pub scope: String,
}

/// A file that a window was read from, as it was listed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct Input {
    /// Relative to the root of the lake.
    pub path: String,
    pub size: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub etag: Option<String>,
    pub modified: DateTime<Utc>,
}

impl Input {
    /// Whether both are the same object: by path, size and ETag; by the time of change where one has no ETag.
    pub(crate) fn is(&self, other: &Self) -> bool {
        let same = match (&self.etag, &other.etag) {
            (Some(this), Some(that)) => this == that,
            _ => self.modified == other.modified,
        };
        same && self.path == other.path && self.size == other.size
    }
}

impl From<&object_store::ObjectMeta> for Input {
    fn from(meta: &object_store::ObjectMeta) -> Self {
        Self {
            path: meta.location.to_string(),
            size: meta.size,
            etag: meta.e_tag.clone(),
            modified: meta.last_modified,
        }
    }
}

/// A key of the distribution that is over the limit. A window can have thousands, which share the names of their columns.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Key {
    /// Column and value of each part of the key, in order of the columns' names.
    #[serde(flatten, with = "values")]
    pub values: Vec<(Arc<str>, String)>,
    /// The pairs of the key.
    #[serde(default)]
    pub pairs: Option<i64>,
}

impl Key {
    /// The value of a column.
    pub(crate) fn value(&self, column: &str) -> Option<&str> {
        self.values.iter().find(|(name, _)| **name == *column).map(|(_, value)| value.as_str())
    }
}

/// The parts of a key as a map.
mod values {
    use std::collections::BTreeMap;
    use std::sync::Arc;

    use serde::{Deserialize, Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(values: &[(Arc<str>, String)], serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(values.iter().map(|(name, value)| (&**name, value)))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<(Arc<str>, String)>, D::Error> {
        let values = BTreeMap::<String, String>::deserialize(deserializer)?;
        Ok(values.into_iter().map(|(name, value)| (name.into(), value)).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_written_flat() {
        let text = r#"{"ResultType":"50126","SuccessAppDisplayName":"A","pairs":7}"#;
        let key: Key = serde_json::from_str(text).unwrap();
        assert_eq!((key.value("ResultType"), key.value("Other"), key.pairs), (Some("50126"), None, Some(7)));
        assert_eq!(serde_json::to_string(&key).unwrap(), text);
        let other: Key = serde_json::from_str(r#"{"SuccessAppDisplayName":"A","ResultType":"50126"}"#).unwrap();
        assert_eq!((other.values, other.pairs), (key.values, None));
    }
}
