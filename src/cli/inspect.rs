//! `lakehunt inspect`

use super::args::InspectArgs;
use super::{output, settings};
use crate::error::{Error, ErrorKind, Result};
use crate::inspect::inspection_text;
use crate::job::Job;
use crate::window::{Span, parse_instant};

pub(super) async fn inspect(args: InspectArgs) -> Result<()> {
    let job = Job::find(&args.job)?;
    let layout = args.layout.as_deref().map(str::parse).transpose()?;
    let range = match (&args.from, &args.to) {
        (Some(from), Some(to)) => {
            let span = Span::try_new(parse_instant(from)?, parse_instant(to)?)?;
            Some((span.from(), span.to()))
        }
        _ => None,
    };
    let stores = settings::stores(&args.stores, Some(job.run()))?;
    let lake = crate::inspect::inspect(&job, &stores, &args.source, layout, range).await?;
    if args.json {
        let value = serde_json::to_value(&lake)
            .map_err(|e| Error::new(ErrorKind::Output, "the inspection cannot be encoded").caused_by(e))?;
        output::json(&value)
    } else {
        output::write(inspection_text(&lake).as_bytes())
    }
}
