//! The output: hits as Parquet, one object a window, and a record of each window's run.
//!
//! ```text
//! OUT/hits/job=<slug>/window=<label>/hits.parquet     what was found
//! OUT/runs/job=<slug>/window=<label>/run.json         how, and from what
//! OUT/runs/job=<slug>/table.json                      the size of the windows that this table has
//! ```
//!
//! The hits are put first, then the record, which names them: a window without a record, or beside other hits than its
//! record names, is not done, whatever else is there.

mod commit;
mod hits;
mod read;
mod record;
mod vacuum;

pub(crate) use commit::{Seen, Table};
pub(crate) use hits::{HitSchema, WindowRows, WindowWriter, stretches};
pub(crate) use read::HitReader;
pub(crate) use record::VERSION;
pub use record::{HitFile, Input, JobOfRecord, Key, RunRecord, WindowOfRecord};
pub(crate) use vacuum::{Vacuumed, vacuum};
