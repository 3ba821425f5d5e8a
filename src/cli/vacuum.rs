//! `lakehunt vacuum`

use std::fmt::Write as _;

use chrono::{TimeDelta, Utc};
use serde_json::json;

use super::args::VacuumArgs;
use super::{output, settings};
use crate::error::Result;
use crate::report::{human_bytes, human_count};
use crate::sink::{self, Ages, Leftover, Vacuumed};
use crate::timespan::Timespan;

pub(super) async fn vacuum(args: VacuumArgs) -> Result<()> {
    let age = |text: &str| text.parse::<Timespan>().map(|age| TimeDelta::nanoseconds(age.nanos()));
    let ages = Ages { leftovers: age(&args.older_than)?, replaced: age(&args.retention)? };
    let stores = settings::stores(&args.stores, None)?;
    let spec = settings::output_store(args.job.as_deref());
    let found = sink::vacuum(&stores, &args.output, &spec, Utc::now(), ages, args.dry_run).await?;
    if args.json {
        let names = |files: &[Leftover]| -> Vec<String> { files.iter().map(|file| file.name.clone()).collect() };
        return output::json(&json!({
            "removed": !args.dry_run,
            "leftovers": names(&found.leftovers),
            "bytes": bytes(&found.leftovers),
            "expired": names(&found.expired),
            "expired_bytes": bytes(&found.expired),
            "kept_young": found.young,
            "without_record": found.unfinished,
        }));
    }
    output::write(text(&found, args.dry_run).as_bytes())
}

fn bytes(files: &[Leftover]) -> u64 {
    files.iter().map(|file| file.size).sum()
}

/// Writing to a string cannot fail, hence the ignored results.
fn text(found: &Vacuumed, dry: bool) -> String {
    let mut text = String::new();
    for (files, what) in [(&found.leftovers, "leftovers"), (&found.expired, "replaced files past their retention")] {
        for file in files {
            let _ = writeln!(text, "{}  {}", file.name, human_bytes(file.size));
        }
        let count = human_count(files.len() as u64);
        let done = if dry { "would be removed" } else { "removed" };
        let _ = writeln!(text, "{count} {what} {done}, {}", human_bytes(bytes(files)));
    }
    if found.young > 0 {
        let _ =
            writeln!(text, "{} too young to be sure that no run still writes them", human_count(found.young as u64));
    }
    if !found.unfinished.is_empty() {
        let _ = writeln!(
            text,
            "{} hit files without a run record; their windows are not done, run the job again:",
            human_count(found.unfinished.len() as u64)
        );
        for name in &found.unfinished {
            let _ = writeln!(text, "  {name}");
        }
    }
    text
}
