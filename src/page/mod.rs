//! The report of a job: one page that shows what was hunted, what of it is done and what was found.
//!
//! ```text
//! output (records, hits, history) -> read -> Material ─┐
//! job file ────────────────────────────────────────────┴─> gather -> Report -> render -> HTML
//! ```
//!
//! `gather` and `render` are pure. The lake is not looked at: what a report says, the output says.

mod attack;
mod bars;
mod codes;
mod columns;
mod coverage;
mod gather;
mod provenance;
mod read;
mod render;
mod rows;
mod table;
#[cfg(test)]
mod tests;
mod timelines;
mod tops;
mod values;

use chrono::{DateTime, Utc};

use crate::error::Result;
use crate::job::Job;
use crate::sink::Table;

pub(crate) use render::html;
pub(crate) use values::Report;

/// Hits that a page holds unless told otherwise; figures and charts count all of them.
pub(crate) const DEFAULT_ROWS: usize = 2_000;

/// What a report is to be of.
#[derive(Debug, Clone)]
pub(crate) struct Request {
    /// Windows that begin at or after this instant; all of them for `None`.
    pub(crate) from: Option<DateTime<Utc>>,
    /// Windows that begin before this instant.
    pub(crate) to: Option<DateTime<Utc>>,
    /// The hits that its table may hold.
    pub(crate) rows: usize,
    /// The root of the output, as it was typed.
    pub(crate) output: String,
    /// When it is made.
    pub(crate) now: DateTime<Utc>,
}

/// Reads what `table` holds of a job and makes its report.
///
/// # Errors
/// When the output cannot be read, or the range has too many windows.
pub(crate) async fn report(job: &Job, table: &Table, request: &Request) -> Result<Report> {
    let material = read::read(table, request.from, request.to).await?;
    gather::gather(job, &material, request)
}
