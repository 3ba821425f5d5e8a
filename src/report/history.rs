//! What the runs of a job did, newest first.

use std::fmt::Write as _;

use chrono::SecondsFormat;
use serde_json::{Value, json};

use super::human_count;
use crate::sink::{Ending, RunEntry};

/// A line for each run. Writing to a string cannot fail, hence the ignored results.
pub(crate) fn history_text(entries: &[RunEntry]) -> String {
    if entries.is_empty() {
        return "no run has done anything yet\n".to_owned();
    }
    let rows: Vec<[String; 7]> = entries
        .iter()
        .map(|entry| {
            let seconds = (entry.finished_at - entry.started_at).num_milliseconds() as f64 / 1000.0;
            let kind = match (&entry.shard, entry.nightly) {
                (Some(shard), _) => format!("shard {shard}"),
                (None, true) => "nightly".to_owned(),
                (None, false) => "range".to_owned(),
            };
            let (ending, kind) = match entry.ending {
                Ending::Ended if !entry.failed.is_empty() => ("some failed", kind),
                Ending::Ended => ("ended", kind),
                Ending::Stopped => ("stopped", kind),
                // Its claim does not tell.
                Ending::Died => ("died", String::new()),
            };
            let hits = entry.done.iter().map(|done| done.hits).sum();
            [
                entry.started_at.to_rfc3339_opts(SecondsFormat::Secs, true),
                format!("{seconds:.1} s"),
                kind,
                ending.to_owned(),
                windows(entry),
                format!("{} hits", human_count(hits)),
                format!("{} on {}", entry.run, entry.host),
            ]
        })
        .collect();
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or_default();
    let widths: [usize; 7] = std::array::from_fn(width);
    let mut text = String::new();
    for row in &rows {
        let cells: Vec<String> = row.iter().zip(widths).map(|(cell, width)| format!("{cell:<width$}")).collect();
        let _ = writeln!(text, "{}", cells.join("  ").trim_end());
    }
    text
}

/// `3 done, 1 failed, 2 left`
fn windows(entry: &RunEntry) -> String {
    let counts = [(entry.done.len() as u64, "done"), (entry.failed.len() as u64, "failed"), (entry.left, "left")];
    let parts =
        counts.iter().filter(|(count, _)| *count > 0).map(|(count, what)| format!("{} {what}", human_count(*count)));
    parts.collect::<Vec<_>>().join(", ")
}

/// All of each entry.
pub(crate) fn history_json(job: &str, entries: &[RunEntry]) -> Value {
    json!({"job": job, "runs": entries})
}
