//! The lake: opens a store, follows a layout to the files of a range of time, learns what each file holds, and shows
//! them to the engine as one table, `raw`.

mod adapter;
mod columns;
mod convert;
mod footer;
mod layout;
mod listing;
mod store;
mod table;

pub use columns::Resolution;
pub(crate) use columns::{Columns, TEXT};
pub(crate) use convert::Notices;
pub(crate) use footer::FileFacts;
pub(crate) use layout::WELL_KNOWN;
pub use layout::{Layout, Partition};
pub(crate) use listing::{LakeFile, list, list_all, list_some};
pub(crate) use store::{Root, create, local_path, open};
pub(crate) use table::RawTable;
