//! `lakehunt vacuum`

use std::fmt::Write as _;

use chrono::{TimeDelta, Utc};
use serde_json::json;

use super::args::VacuumArgs;
use super::{output, settings};
use crate::error::Result;
use crate::report::{human_bytes, human_count};
use crate::sink::{self, Vacuumed};
use crate::timespan::Timespan;

pub(super) async fn vacuum(args: VacuumArgs) -> Result<()> {
    let age: Timespan = args.older_than.parse()?;
    let stores = settings::stores(&args.stores, None)?;
    let spec = settings::output_store(args.job.as_deref());
    let age = TimeDelta::nanoseconds(age.nanos());
    let found = sink::vacuum(&stores, &args.output, &spec, Utc::now(), age, args.dry_run).await?;
    if args.json {
        let names: Vec<&str> = found.leftovers.iter().map(|leftover| leftover.name.as_str()).collect();
        let bytes: u64 = found.leftovers.iter().map(|leftover| leftover.size).sum();
        return output::json(&json!({
            "removed": !args.dry_run,
            "leftovers": names,
            "bytes": bytes,
            "kept_young": found.young,
            "without_record": found.unfinished,
        }));
    }
    output::write(text(&found, args.dry_run).as_bytes())
}

/// Writing to a string cannot fail, hence the ignored results.
fn text(found: &Vacuumed, dry: bool) -> String {
    let mut text = String::new();
    for leftover in &found.leftovers {
        let _ = writeln!(text, "{}  {}", leftover.name, human_bytes(leftover.size));
    }
    let bytes = found.leftovers.iter().map(|leftover| leftover.size).sum();
    let count = human_count(found.leftovers.len() as u64);
    let what = if dry { "leftovers would be removed" } else { "leftovers removed" };
    let _ = writeln!(text, "{count} {what}, {}", human_bytes(bytes));
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
