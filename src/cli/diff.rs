//! `lakehunt diff`

use super::args::{DiffArgs, HitsFormat, NightlyArgs};
use super::{hits, output, run, settings};
use crate::diff::diff as difference;
use crate::error::Result;
use crate::report::human_count;
use crate::window::parse_instant;

pub(super) async fn diff(args: DiffArgs) -> Result<()> {
    let mut args = args;
    let job = settings::job(&args.job, &args.settings)?;
    // Only the output is looked at; where the lake is does not matter.
    args.settings.source.get_or_insert_with(|| ".".to_owned());
    let nightly = NightlyArgs::default();
    let Some(settings) = settings::resolve(&job, &args.settings, &nightly, args.output.as_deref())? else {
        return run::nothing_yet(job.slug(), matches!(args.format, HitsFormat::Jsonl));
    };
    let since = args.since.as_deref().map(parse_instant).transpose()?;
    let found = difference(&job, &settings, since).await?;
    if found.forgotten > 0 {
        tracing::warn!(
            "{} windows are left out: vacuum has removed what their hits were before",
            human_count(found.forgotten)
        );
    }
    let rows = found.rows.iter().map(|rows| hits::select(rows, &[], args.format)).collect::<Result<Vec<_>>>()?;
    output::write(&hits::encode(&rows, args.format)?)?;
    if matches!(args.format, HitsFormat::Table) {
        let [new, gone, changed] = found.counts.map(human_count);
        output::write(
            format!(
                "{}: {new} new, {gone} gone, {changed} changed, in {} windows whose hits were replaced\n",
                job.slug(),
                human_count(found.windows)
            )
            .as_bytes(),
        )?;
    }
    Ok(())
}
