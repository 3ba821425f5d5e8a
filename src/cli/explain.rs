//! `lakehunt explain`

use super::args::ExplainArgs;
use super::{output, settings};
use crate::error::Result;

/// The range that is shown when none is given: any will do.
const FROM: &str = "2024-01-01";
const TO: &str = "2024-01-02";

pub(super) async fn explain(mut args: ExplainArgs) -> Result<()> {
    let job = settings::job(&args.job, &args.settings)?;
    if args.settings.from.is_none() && args.settings.to.is_none() {
        args.settings.from = Some(FROM.to_owned());
        args.settings.to = Some(TO.to_owned());
    }
    // Neither source nor output is touched.
    let mut settings = settings::resolve_with(&job, &args.settings, ".", ".")?;
    settings.workers = super::worker::workers(&args.workers)?;
    output::write(crate::explain::explain(&job, &settings).await?.as_bytes())
}
