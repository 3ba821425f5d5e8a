//! Windows as a calendar: a line for each month of days, for each day of hours, for each year of weeks.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use chrono::{DateTime, Datelike, TimeDelta, Timelike, Utc};

/// More signs than this make no line.
const WIDEST: i64 = 96;

/// What a line of the calendar holds.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Line {
    Hour,
    Day,
    Month,
    Year,
    /// One window that is longer than a year, or has no size.
    Own,
}

impl Line {
    fn of(length: TimeDelta) -> Self {
        let seconds = length.num_seconds().max(1);
        match seconds {
            s if s * WIDEST < 86_400 => Self::Hour,
            s if s < 86_400 => Self::Day,
            s if s < 7 * 86_400 => Self::Month,
            s if s < 366 * 86_400 => Self::Year,
            _ => Self::Own,
        }
    }

    fn name(self, start: DateTime<Utc>) -> String {
        let pattern = match self {
            Self::Hour => "%Y-%m-%dT%H",
            Self::Day | Self::Own => "%Y-%m-%d",
            Self::Month => "%Y-%m",
            Self::Year => "%Y",
        };
        start.format(pattern).to_string()
    }

    /// The place of a window in its line.
    fn place(self, start: DateTime<Utc>, length: TimeDelta) -> usize {
        let seconds = match self {
            Self::Hour => i64::from(start.minute() * 60 + start.second()),
            Self::Day => i64::from(start.num_seconds_from_midnight()),
            Self::Month => i64::from(start.day0()) * 86_400,
            Self::Year => i64::from(start.ordinal0()) * 86_400,
            Self::Own => 0,
        };
        // Days stand under their number, however many of them make a window.
        let step = if self == Self::Month { 86_400 } else { length.num_seconds().max(1) };
        usize::try_from(seconds / step).unwrap_or_default()
    }

    /// The numbers above the signs: the place of each, and its text.
    fn ruler(self) -> &'static [(usize, &'static str)] {
        match self {
            Self::Month => &[(0, "1"), (9, "10"), (19, "20"), (29, "30")],
            Self::Hour | Self::Day | Self::Year | Self::Own => &[],
        }
    }
}

/// Where each window stands, in order.
pub(crate) struct Layout {
    /// The numbers above the lines: the place of each, and its text.
    pub(crate) ruler: &'static [(usize, &'static str)],
    /// The name of each line, and its windows: the place of each, and its position among those that were laid out.
    pub(crate) lines: Vec<(String, Vec<(usize, usize)>)>,
}

/// Lays out windows (first instant, first instant after it), in order.
pub(crate) fn lay_out(windows: impl IntoIterator<Item = (DateTime<Utc>, DateTime<Utc>)>) -> Layout {
    let mut windows = windows.into_iter().peekable();
    let Some((start, end)) = windows.peek().copied() else { return Layout { ruler: &[], lines: Vec::new() } };
    let length = end - start;
    let line = Line::of(length);
    let mut lines: BTreeMap<String, Vec<(usize, usize)>> = BTreeMap::new();
    for (position, (start, _)) in windows.enumerate() {
        lines.entry(line.name(start)).or_default().push((line.place(start, length), position));
    }
    Layout { ruler: line.ruler(), lines: lines.into_iter().collect() }
}

/// Windows (first instant, first instant after it, sign), in order, as lines of text.
pub(super) fn calendar(windows: &[(DateTime<Utc>, DateTime<Utc>, String)]) -> String {
    let layout = lay_out(windows.iter().map(|(start, end, _)| (*start, *end)));
    let width = layout.lines.iter().map(|(name, _)| name.len()).max().unwrap_or_default();
    let mut text = String::new();
    // Writing to a string cannot fail, hence the ignored results.
    if !layout.ruler.is_empty() {
        let _ = write!(text, "{:width$}  ", "");
        let mut at = 0;
        for (place, number) in layout.ruler {
            let _ = write!(text, "{:gap$}{number}", "", gap = place - at);
            at = place + number.len();
        }
        text.push('\n');
    }
    for (name, cells) in &layout.lines {
        let _ = write!(text, "{name:width$}  ");
        let mut at = 0;
        for (place, position) in cells {
            let _ = write!(text, "{:gap$}{}", "", windows[*position].2, gap = place.saturating_sub(at));
            at = place.max(&at) + 1;
        }
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::window::{Span, parse_instant};

    fn drawn(from: &str, to: &str, size: &str) -> Vec<String> {
        let span = Span::try_new(parse_instant(from).unwrap(), parse_instant(to).unwrap()).unwrap();
        let windows = span.windows(size.parse().unwrap()).unwrap();
        let cells: Vec<_> = windows.iter().map(|w| (w.start(), w.end(), "#".to_owned())).collect();
        calendar(&cells).lines().map(str::to_owned).collect()
    }

    #[test]
    fn days_stand_under_their_numbers() {
        assert_eq!(
            drawn("2024-02-28", "2024-03-03", "1d"),
            ["         1        10        20        30", "2024-02                             ##", "2024-03  ##"]
        );
    }

    #[test]
    fn lines_fit_a_terminal_whatever_the_size() {
        assert_eq!(drawn("2024-05-01", "2024-05-03", "6h"), ["2024-05-01  ####", "2024-05-02  ####"]);
        assert_eq!(drawn("2024-05-01", "2024-05-02", "15m"), [format!("2024-05-01  {}", "#".repeat(96))]);
        assert_eq!(
            drawn("2024-05-01T10:00:00Z", "2024-05-01T11:00:00Z", "1m"),
            [format!("2024-05-01T10  {}", "#".repeat(60))]
        );
        assert_eq!(drawn("2024-04-29", "2024-05-27", "7d"), [format!("2024  {}####", " ".repeat(17))]);
        assert_eq!(drawn("2020-01-01", "2024-01-01", "all"), ["2020-01-01  #"]);
    }
}
