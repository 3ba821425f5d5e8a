//! A synthetic Microsoft Entra tenant whose attacks are known, written to disk as a Parquet lake.
//!
//! ```text
//! TenantSpec -> Tenant (people, addresses, apps)        tenant.rs
//!            -> per day: planted attacks and decoys     attacks.rs
//!            -> per minute: rows in time order          traffic.rs
//!            -> per partition: Parquet files            writer.rs, encode.rs, values.rs
//! ```
//!
//! The same [`TenantSpec`] gives the same bytes on every machine, and a day depends on nothing but the spec and its own
//! index. All rows of a session, and both sides of every attack, lie inside one UTC day.

mod attacks;
mod draw;
mod encode;
mod names;
mod spec;
mod tenant;
mod traffic;
mod values;
mod writer;

use std::error::Error;
use std::fmt;
use std::path::{Path, PathBuf};

use chrono::{DateTime, Utc};

pub use spec::{TenantSpec, TimeUnit};

/// An attack that the lake holds: exactly one row of the hunt's answer for the UTC day it lies in.
///
/// ```text
///            success_time         failed_time
/// ───────────────┼────────────────────┼──────────▶
///           success_app          failed_app, result_type
///                 ◀───── at most 1m ──▶
/// ```
///
/// Times are those of the files, cut to the lake's [`TimeUnit`]. Nothing but planted attacks produces pairs of
/// `(success_app, result_type)`; other success apps may give hits of their own, as in a real tenant.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct PlantedHit {
    /// Earliest success that belongs to a pair.
    pub success_time: DateTime<Utc>,
    /// Earliest failure that belongs to a pair.
    pub failed_time: DateTime<Utc>,
    /// `UserPrincipalName` of both sides.
    pub user: String,
    /// `IPAddress` of both sides; no other user has it on that day.
    pub ip: String,
    /// `AppDisplayName` of the successes.
    pub success_app: String,
    /// `AppDisplayName` of the failures.
    pub failed_app: String,
    /// `ResultType` of the failures.
    pub result_type: String,
    /// `ResultDescription` of the failures.
    pub result_description: String,
    /// All pairs of `(success_app, result_type)` in that UTC day, 1 to 5: the hunt's `distribution_count`. Two attacks
    /// of a day may share the key; both then carry the sum.
    pub pairs: u64,
}

/// What [`generate`] wrote.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Generated {
    /// Rows in all files: `rows_per_day * days`, planted ones included.
    pub rows: u64,
    /// Parquet files.
    pub files: u64,
    /// Bytes of these files.
    pub bytes: u64,
    /// The hits to be found, in order of time.
    pub planted: Vec<PlantedHit>,
}

/// Why a lake could not be generated.
#[derive(Debug)]
#[non_exhaustive]
pub enum GenerateError {
    /// A field of the [`TenantSpec`] makes no sense, alone or beside the others. Nothing was written.
    Spec {
        /// The field's name.
        field: &'static str,
        /// What it must be.
        problem: String,
    },
    /// A file or folder could not be written. No half file is left under a `.parquet` name.
    File {
        /// The file or folder.
        path: PathBuf,
        /// What the system or the Parquet writer said.
        source: Box<dyn Error + Send + Sync>,
    },
}

impl fmt::Display for GenerateError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Spec { field, problem } => write!(f, "{field} {problem}"),
            Self::File { path, .. } => write!(f, "cannot write {}", path.display()),
        }
    }
}

impl Error for GenerateError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Spec { .. } => None,
            Self::File { source, .. } => Some(source.as_ref()),
        }
    }
}

/// Writes the tenant's sign-ins as Parquet files below `root`.
///
/// A row lands in the folder that `partition_dir` gives for its own `TimeGenerated`, relative to `root`. The function is
/// asked once a minute, with the minute's start, so folders may be as fine as a minute. Files are called
/// `part-0.parquet`, `part-1.parquet` and so on; a folder that holds several days gets files of its own for each day.
/// A file appears under its name only when it is complete, and replaces an older one of that name; files of an earlier
/// run that this run does not name stay, so give an empty `root`.
///
/// `progress` is told the number of rows generated so far, after every minute of the tenant's time that has any.
///
/// Memory does not depend on the number of days. It holds 24 bytes a row for what is not written yet: at most a row
/// group per open file, or the whole partition of a day where rows are shuffled; besides one row group in its encoded
/// form and the tenant's strings, less than 100 bytes a user.
pub fn generate(
    spec: &TenantSpec,
    root: &Path,
    partition_dir: &dyn Fn(DateTime<Utc>) -> String,
    progress: &mut dyn FnMut(u64),
) -> Result<Generated, GenerateError> {
    spec.validate()?;
    let tenant = tenant::Tenant::new(spec);
    let mut lake = writer::LakeWriter::new(spec, &tenant, root)?;
    let mut generated = Generated::default();
    let mut rows = Vec::new();
    for index in 0..spec.days {
        let plan = attacks::Plan::new(spec, &tenant, index);
        let mut traffic = traffic::Traffic::new(spec, &tenant, index, plan.rows);
        lake.start_day(index, plan.ips);
        for minute in 0..traffic::MINUTES {
            rows.clear();
            traffic.minute(minute, &mut rows);
            if rows.is_empty() {
                continue;
            }
            lake.write(&partition_dir(spec.instant(index, minute)), &rows)?;
            generated.rows += rows.len() as u64;
            progress(generated.rows);
        }
        lake.finish_day()?;
        generated.planted.extend(plan.planted);
    }
    generated.files = lake.files();
    generated.bytes = lake.bytes();
    Ok(generated)
}

#[cfg(test)]
mod tests;
