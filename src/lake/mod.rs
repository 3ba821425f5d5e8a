//! The lake: follows a layout, or a Delta table's log, to the files of a range of time, learns what each file holds, and
//! shows them to the engine as one table, `raw`.

mod adapter;
mod columns;
mod convert;
mod delta;
mod footer;
mod kept;
mod layout;
mod listing;
mod part;
mod readahead;
mod reader;
mod remote;
mod scan;
mod shape;
mod table;
mod told;
mod values;

pub use columns::Resolution;
pub(crate) use columns::{Columns, TEXT};
pub(crate) use convert::Notices;
pub(crate) use delta::may_hold;
pub(crate) use footer::FileFacts;
pub(crate) use layout::WELL_KNOWN;
pub use layout::{Layout, Partition};
pub(crate) use listing::{LakeFile, Listing, list, list_some};
#[cfg(test)]
pub(crate) use part::Ahead;
pub(crate) use part::PartTimes;
pub(crate) use remote::{NOTICE, READ, RemoteScan, RemoteScanExec, TABLE};
pub(crate) use scan::LakeScanExec;
pub(crate) use shape::Shapes;
pub(crate) use table::RawTable;
pub(crate) use told::told;
