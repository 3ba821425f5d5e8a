//! How a job stands, for people and for machines.

use std::fmt::Write as _;

use console::Style;
use serde_json::{Value, json};

use super::calendar::calendar;
use super::terminal::plural;
use super::{human_count, terminal};
use crate::pipeline::{Kept, SourceChange, Stale, State, Status, StatusState, WindowStatus};

/// Lines of reasons that are shown.
const MOST_REASONS: usize = 30;

/// The word for what a window is, and why it is so.
pub(super) fn why(state: &State) -> (&'static str, Option<String>) {
    match state {
        State::Done { kept: None, .. } => ("done", None),
        State::Done { kept: Some(Kept::JobChanged), .. } => {
            ("done", Some("kept, though the job has changed since".to_owned()))
        }
        State::Done { kept: Some(Kept::SourceGone), .. } => {
            ("done", Some("kept, though its files are gone".to_owned()))
        }
        State::Missing => ("missing", None),
        State::WithoutSource => ("without_source", Some("no partition that can hold its rows exists".to_owned())),
        State::Stale(Stale::Forced) => ("stale", Some("--force".to_owned())),
        State::Stale(Stale::JobChanged) => ("stale", Some("the job has changed since".to_owned())),
        State::Stale(Stale::HitsChanged) => {
            ("stale", Some("its hits are gone or not those that its record names".to_owned()))
        }
        State::Stale(Stale::SourceChanged(change)) => ("stale", Some(changes(change))),
    }
}

/// `2 files added, 1 changed: date=2024-05-01/late.parquet, …`
fn changes(change: &SourceChange) -> String {
    let counts = [(&change.added, "added"), (&change.changed, "changed"), (&change.gone, "gone")];
    let parts: Vec<String> = counts
        .iter()
        .filter(|(paths, _)| !paths.is_empty())
        .map(|(paths, what)| format!("{} {what}", plural(paths.len() as u64, "file")))
        .collect();
    let first = counts.iter().flat_map(|(paths, _)| paths.iter()).next().map_or("", String::as_str);
    let more = if counts.iter().map(|(paths, _)| paths.len()).sum::<usize>() > 1 { ", …" } else { "" };
    format!("{}: {first}{more}", parts.join(", "))
}

fn describe(window: &WindowStatus) -> (&'static str, Option<String>) {
    match &window.state {
        StatusState::Is(state) => why(state),
        StatusState::Failed(failed) => ("failed", Some(failed.error.clone())),
        StatusState::Claimed { run, host } => ("running", Some(format!("run {run} on {host}"))),
    }
}

/// The sign of a window in the calendar, and its colours.
fn sign(window: &WindowStatus) -> (char, Style) {
    let plain = Style::new();
    match (describe(window).0, window.hits) {
        ("done", Some(hits)) if hits > 0 => ('◆', plain.green().bold()),
        ("done", _) => ('■', plain.green()),
        ("missing", _) => ('□', plain.yellow()),
        ("stale", _) => ('▲', plain.yellow()),
        ("running", _) => ('▶', plain.cyan()),
        ("failed", _) => ('✗', plain.red().bold()),
        _ => ('·', plain.dim()),
    }
}

/// A calendar, the sum, and the windows that are not simply done. Writing to a string cannot fail, hence the ignored
/// results.
pub(crate) fn status_text(status: &Status) -> String {
    let cells: Vec<_> = status
        .windows
        .iter()
        .map(|window| {
            let (sign, style) = sign(window);
            (window.start, window.end, style.apply_to(sign).to_string())
        })
        .collect();
    let mut text = calendar(&cells);
    let legend = [
        ("◆", "done, with hits"),
        ("■", "done"),
        ("□", "missing"),
        ("▲", "stale"),
        ("✗", "failed"),
        ("▶", "running"),
        ("·", "without source"),
    ];
    let legend: Vec<String> = legend.iter().map(|(sign, what)| format!("{sign} {what}")).collect();
    let _ = writeln!(text, "\n{}\n", legend.join("   "));

    let count = |word: &str| status.windows.iter().filter(|window| describe(window).0 == word).count() as u64;
    let hits: u64 = status.windows.iter().filter_map(|window| window.hits).sum();
    let mut parts = vec![format!("{} done", human_count(count("done")))];
    for (word, what) in [
        ("missing", "missing"),
        ("stale", "stale"),
        ("failed", "failed"),
        ("running", "running"),
        ("without_source", "without source"),
    ] {
        if count(word) > 0 {
            parts.push(format!("{} {what}", human_count(count(word))));
        }
    }
    let total = plural(status.windows.len() as u64, "window");
    let _ = writeln!(text, "{}: {total}, {}; {}", status.job, parts.join(", "), plural(hits, "hit"));

    // Neighbours of which the same is to say, on one line.
    let stretches: Vec<&[WindowStatus]> = status
        .windows
        .chunk_by(|a, b| describe(a) == describe(b) && a.end == b.start)
        .filter(|stretch| describe(&stretch[0]) != ("done", None))
        .collect();
    for stretch in stretches.iter().take(MOST_REASONS) {
        let (word, reason) = describe(&stretch[0]);
        let range = match stretch {
            [one] => one.label.clone(),
            [first, .., last] => format!("{} to {} ({})", first.label, last.label, stretch.len()),
            [] => continue,
        };
        let line = format!("  {:<15} {range:<30}  {}", word.replace('_', " "), reason.unwrap_or_default());
        let _ = writeln!(text, "{}", line.trim_end());
    }
    if stretches.len() > MOST_REASONS {
        let _ = writeln!(
            text,
            "  and {} more; --json has all",
            terminal::human_count((stretches.len() - MOST_REASONS) as u64)
        );
    }
    text
}

/// All windows. Keys are a contract; they are added to and never renamed.
pub(crate) fn status_json(status: &Status) -> Value {
    let windows: Vec<Value> = status
        .windows
        .iter()
        .map(|window| {
            let (word, reason) = describe(window);
            json!({
                "window": window.label,
                "start": window.start,
                "end": window.end,
                "status": word,
                "reason": reason,
                "hits": window.hits,
                "finished_at": window.finished_at,
            })
        })
        .collect();
    json!({"job": status.job, "warnings": status.warnings, "windows": windows})
}
