//! The output: hits as Parquet, one object a window, or as a Delta table; and a record of each window's run.
//!
//! ```text
//! OUT/hits/job=<slug>/window=<label>/hits.parquet     what was found
//! OUT/runs/job=<slug>/window=<label>/run.json         how, and from what
//! OUT/runs/job=<slug>/window=<label>/run.parquet      the same as one flat row: all of them are the runs table
//! OUT/runs/job=<slug>/window=<label>/hits-….parquet   hits that a rerun replaced by others
//! OUT/runs/job=<slug>/table.json                      the size of the windows that this table has, and its format
//! OUT/runs/job=<slug>/claims.json                     which run is at work on which windows
//! OUT/runs/job=<slug>/history/<run>.json              what each run did
//! ```
//!
//! As Delta, the hits and the runs table are in `OUT/delta`; all else stays where it is.
//!
//! The hits are put first, then the record, which names them: a window without a record, or beside other hits than its
//! record names, is not done, whatever else is there.

mod claims;
mod commit;
mod delta;
mod earlier;
mod history;
mod hits;
mod overview;
mod read;
mod record;
mod row;
mod table;
mod vacuum;

pub use claims::Claim;
pub(crate) use claims::{Claims, Standing, Take, host, live_claims};
pub(crate) use commit::Seen;
pub use history::{DoneWindow, Ending, FailedWindow, RunEntry};
pub(crate) use hits::{HitBytes, HitSchema, WindowRows, WindowWriter, stretches};
pub(crate) use read::HitReader;
pub(crate) use record::VERSION;
pub use record::{
    Earlier, Evaluation, HitFile, Input, JobOfRecord, Key, ListOfRecord, RunRecord, WindowOfRecord, WorkersOfRecord,
};
pub(crate) use table::Table;
pub(crate) use vacuum::{Ages, Leftover, Vacuumed, vacuum};

/// A number that differs from run to run.
pub(crate) fn random() -> u64 {
    use std::hash::{BuildHasher, Hasher};
    std::hash::RandomState::new().build_hasher().finish()
}
