//! `lakehunt history`

use super::args::HistoryArgs;
use super::{output, settings};
use crate::error::{Error, ErrorKind, Result};
use crate::job::Job;
use crate::report::{history_json, history_text};
use crate::sink::Table;

pub(super) async fn history(args: HistoryArgs) -> Result<()> {
    let job = Job::find(&args.job)?;
    let output = settings::output(&job, args.output.as_deref())?;
    let stores = settings::stores(&args.stores, Some(job.run()))?;
    let Some(table) = Table::open(&stores, &output, &job.output().store, job.slug()).await? else {
        return Err(
            Error::new(ErrorKind::SourceMissing, "the output does not exist; run the job first").with("url", output)
        );
    };
    let entries = table.history(args.limit).await?;
    if args.json {
        output::json(&history_json(job.slug(), &entries))
    } else {
        output::write(history_text(&entries).as_bytes())
    }
}
