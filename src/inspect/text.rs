//! An inspection for people.

use std::fmt::Write as _;

use super::Inspection;
use crate::report::{human_bytes, human_count};

/// Files named one by one; more are counted.
const MOST_FILES: usize = 5;

/// The lines of `lakehunt inspect`. Writing to a string cannot fail, hence the ignored results.
pub(crate) fn inspection_text(lake: &Inspection) -> String {
    let mut text = String::new();
    let mut line = |key: &str, value: String| {
        let _ = writeln!(text, "{key:<16} {value}");
    };
    line("source", lake.source.clone());
    match lake.delta_version {
        Some(version) => line("layout", format!("a Delta table, version {version}")),
        None => line("layout", format!("{}{}", lake.layout, if lake.layout_guessed { " (guessed)" } else { "" })),
    }
    line(
        "files",
        format!(
            "{} in {} partitions, {}",
            human_count(lake.files as u64),
            human_count(lake.partitions as u64),
            human_bytes(lake.bytes)
        ),
    );
    line("rows", human_count(lake.rows));
    if let (Some(earliest), Some(latest)) = (lake.earliest, lake.latest) {
        let show =
            |instant: chrono::DateTime<chrono::Utc>| instant.to_rfc3339_opts(chrono::SecondsFormat::AutoSi, true);
        line("times", format!("{} to {}", show(earliest), show(latest)));
    }
    let units: Vec<_> =
        lake.time_units.iter().map(|(unit, files)| format!("{unit} in {}", files_text(*files))).collect();
    line("time unit", units.join(", "));
    line("duplicate rows", human_count(lake.duplicate_rows));
    if let Some(lag) = &lake.lag {
        line(
            "lag",
            format!(
                "{} trails {} by {:.1} s (median), {:.1} s (99 %), {:.1} s (most)",
                lag.later, lag.earlier, lag.median_seconds, lag.p99_seconds, lag.max_seconds
            ),
        );
    }
    line("columns", String::new());
    for nulls in &lake.nulls {
        let stored: Vec<_> = lake
            .schemas
            .get(&nulls.column)
            .into_iter()
            .flatten()
            .map(|(stored, files)| match *files == lake.files {
                true => stored.clone(),
                false => format!("{stored} in {}", files_text(*files)),
            })
            .collect();
        let share = |count: u64| 100.0 * count as f64 / lake.rows.max(1) as f64;
        line(
            &format!("  {}", nulls.column),
            format!("{:>5.1} % null, {:>5.1} % empty   {}", share(nulls.null), share(nulls.empty), stored.join(", ")),
        );
    }
    for (heading, files) in [
        ("cannot be used", lake.unusable.values().cloned().collect::<Vec<_>>()),
        ("times outside their partition (give the job a slack)", lake.outside_partition.clone()),
    ] {
        if !files.is_empty() {
            let _ = writeln!(text, "{} {heading}:", files_text(files.len()));
            for file in files.iter().take(MOST_FILES) {
                let _ = writeln!(text, "  {file}");
            }
            if files.len() > MOST_FILES {
                let _ = writeln!(text, "  and {} more", files.len() - MOST_FILES);
            }
        }
    }
    text
}

fn files_text(count: usize) -> String {
    if count == 1 { "1 file".to_owned() } else { format!("{} files", human_count(count as u64)) }
}
