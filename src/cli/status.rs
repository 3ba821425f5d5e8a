//! `lakehunt status`

use super::args::StatusArgs;
use super::{output, run, settings};
use crate::error::Result;
use crate::pipeline;
use crate::report::{status_json, status_text};

pub(super) async fn status(args: StatusArgs) -> Result<()> {
    let job = settings::job(&args.job, &args.settings)?;
    let Some(settings) = settings::resolve(&job, &args.settings, &args.nightly, args.output.as_deref())? else {
        return run::nothing_yet(job.slug(), args.json);
    };
    let status = pipeline::status(&job, &settings).await?;
    run::warn(&status.warnings);
    if args.json { output::json(&status_json(&status)) } else { output::write(status_text(&status).as_bytes()) }
}
