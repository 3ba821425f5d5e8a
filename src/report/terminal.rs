//! For people: a few lines on a terminal.

use std::fmt::Write as _;

use super::status::why;
use super::{Left, Outcome, RunReport};
use crate::pipeline::{Plan, State};

/// Windows that nothing was done for are shown one by one if there are no more than these.
const FEW: usize = 7;

/// Windows shown one by one; more are summed up.
const MOST_LINES: usize = 40;

/// What a run did. Writing to a string cannot fail, hence the ignored results.
pub(crate) fn report_text(report: &RunReport) -> String {
    let mut text = String::new();
    let (mut done, mut kept, mut without, mut left, mut claimed) = (0_u64, 0_u64, 0_u64, 0_u64, 0_u64);
    let told =
        report.windows.iter().filter(|w| !matches!(w.outcome, Outcome::WithoutSource | Outcome::Left(_))).count();
    for window in &report.windows {
        let line = match &window.outcome {
            Outcome::Done { hits, kql_rows, over_limit, .. } => {
                done += 1;
                let kql = kql_rows.map_or(String::new(), |rows| format!(", {rows} by KQL's innerunique"));
                let over = if *over_limit > 0 {
                    format!("; {} over the limit", plural(*over_limit, "key"))
                } else {
                    String::new()
                };
                (told <= MOST_LINES || *hits > 0).then(|| format!("{}{kql}{over}", plural(*hits, "hit")))
            }
            Outcome::UpToDate { hits } => {
                kept += 1;
                (told <= FEW).then(|| format!("{}, done before", plural(*hits, "hit")))
            }
            Outcome::WithoutSource => {
                without += 1;
                None
            }
            Outcome::Left(Left::Stopped) => {
                left += 1;
                None
            }
            Outcome::Left(Left::Claimed(_)) => {
                claimed += 1;
                None
            }
            Outcome::Failed(error) => Some(format!("failed: {error}")),
        };
        if let Some(line) = line {
            let _ = writeln!(text, "  {:<16} {line}", window.label);
        }
    }
    let failed = report.failures().count() as u64;
    let nothing = done + left + claimed + failed == 0;
    let mut parts = vec![if nothing { "nothing to do".to_owned() } else { format!("{} done", plural(done, "window")) }];
    for (count, what) in [
        (kept, "done before"),
        (without, "without source"),
        (left, "left"),
        (claimed, "left to another run"),
        (failed, "failed"),
    ] {
        if count > 0 {
            parts.push(format!("{count} {what}"));
        }
    }
    let _ = writeln!(text, "{}: {}; {}", report.job, parts.join(", "), plural(report.hits(), "hit"));
    if report.rows_read == 0 && done == 0 {
        let _ = writeln!(text, "read nothing, in {:.2} s", report.elapsed.as_secs_f64());
        return text;
    }
    let unit = report.resolution.map_or(String::new(), |unit| format!(", coarsest time unit {unit}"));
    let _ = writeln!(
        text,
        "read {} rows, {}{unit}, in {:.2} s",
        human_count(report.rows_read),
        human_bytes(report.bytes_read),
        report.elapsed.as_secs_f64()
    );
    text
}

/// What a run would do.
pub(crate) fn plan_text(plan: &Plan) -> String {
    let (survey, todo) = (&plan.survey, plan.todo());
    let mut text = String::new();
    let settled = |state: &State| matches!(state, State::Done { .. });
    let told = plan.states.iter().filter(|state| !settled(state)).count().max(1);
    for (window, state) in survey.windows.iter().zip(&plan.states) {
        if settled(state) && survey.windows.len() > MOST_LINES && told < survey.windows.len() {
            continue;
        }
        let (word, reason) = why(state);
        let reason = reason.map_or(String::new(), |reason| format!(" ({reason})"));
        let (files, bytes) = survey.size(window);
        let what = match files {
            0 => format!("{word}{reason}"),
            files => format!("{word}{reason}: {}, {}", plural(files as u64, "file"), human_bytes(bytes)),
        };
        let _ = writeln!(text, "{:<16} {what}", window.window.label());
    }
    let (files, bytes) = survey.total();
    let _ = writeln!(
        text,
        "{}, {} to do; looked at {}, {}; nothing was read or written",
        plural(survey.windows.len() as u64, "window"),
        human_count(todo.len() as u64),
        plural(files as u64, "file"),
        human_bytes(bytes)
    );
    text
}

/// `3 hits`, `1 hit`
pub(crate) fn plural(count: u64, what: &str) -> String {
    let ending = if count == 1 { "" } else { "s" };
    format!("{} {what}{ending}", human_count(count))
}

/// A number with a comma for each thousand.
pub(crate) fn human_count(count: u64) -> String {
    let digits = count.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A size with a binary unit.
pub(crate) fn human_bytes(bytes: u64) -> String {
    bytesize::ByteSize::b(bytes).display().iec().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_written_for_people() {
        assert_eq!(human_count(0), "0");
        assert_eq!(human_count(1_234_567), "1,234,567");
        assert_eq!(human_bytes(1 << 20), "1.0 MiB");
        assert_eq!(plural(1, "hit"), "1 hit");
        assert_eq!(plural(1000, "hit"), "1,000 hits");
    }
}
