//! `lakehunt report`

use std::path::Path;

use chrono::Utc;

use super::args::ReportArgs;
use super::{output, settings};
use crate::error::{Error, ErrorKind, Result};
use crate::job::Job;
use crate::page::{self, Request};
use crate::report::{human_bytes, plural};
use crate::sink::Table;
use crate::window::{Span, parse_instant};

pub(super) async fn report(args: ReportArgs) -> Result<()> {
    let job = Job::find(&args.job)?;
    let from = args.from.as_deref().map(parse_instant).transpose()?;
    let to = args.to.as_deref().map(parse_instant).transpose()?;
    if let (Some(from), Some(to)) = (from, to) {
        Span::try_new(from, to)?;
    }
    let output = settings::output(&job, args.output.as_deref())?;
    let stores = settings::stores(&args.stores, Some(job.run()))?;
    let Some(table) = Table::open(&stores, &output, &job.output().store, job.slug()).await? else {
        return Err(
            Error::new(ErrorKind::SourceMissing, "the output does not exist; run the job first").with("url", output)
        );
    };
    let request = Request { from, to, rows: args.rows, output, now: Utc::now() };
    let report = page::report(&job, &table, &request).await?;
    let html = page::html(&report)?;
    if args.page.as_os_str() == "-" {
        return output::write(html.as_bytes());
    }
    output::replace(&args.page, html.as_bytes(), "the page")?;
    output::write(summary(&args.page, report.hits(), html.len()).as_bytes())
}

fn summary(path: &Path, hits: u64, bytes: usize) -> String {
    format!("{}: {}, {}\n", path.display(), plural(hits, "hit"), human_bytes(bytes as u64))
}
