//! Which windows a run without a range looks at, and which of those that are done it compares with their files.
//!
//! ```text
//!        start                     now - late                now - delay    now
//!          |--- those missing ---------|--- and those stale -----|           |
//!          |---- window ----|---- window ----|---- window ----|
//! ```
//!
//! `start` is the later one of a fixed instant and of `now - lookback`. A window counts as a whole: it is complete once its
//! end is not after `now - delay`.

use chrono::{DateTime, TimeDelta, Utc};

use super::calendar::{align, show};
use super::{Span, Window, WindowSize};
use crate::error::{Error, ErrorKind, Result};
use crate::timespan::Timespan;

/// What becomes of windows that are done when the job has changed since.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, clap::ValueEnum, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OnChange {
    /// They are kept, and a warning counts them.
    #[default]
    Warn,
    /// They are evaluated again.
    Rerun,
}

/// When a nightly run takes windows for complete, for late, and for none of its business.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Nightly {
    /// The first instant of the first window.
    pub start: Option<DateTime<Utc>>,
    /// How far back windows are looked at.
    pub lookback: Option<Timespan>,
    /// How long after its end a window's rows arrive as a rule.
    pub delay: Timespan,
    /// How long after its end a window's files may still change.
    pub late: Timespan,
}

impl Default for Nightly {
    fn default() -> Self {
        let hours = |hours: i64| Timespan::from_nanos(hours * 3_600_000_000_000);
        Self { start: None, lookback: Some(hours(30 * 24)), delay: hours(1), late: hours(3 * 24) }
    }
}

impl Nightly {
    /// The range of the windows that are complete at `now`; `None` when there is none yet.
    ///
    /// # Errors
    /// When windows are as long as their range, which is then missing, or `start` is not the edge of a window.
    pub fn span(&self, now: DateTime<Utc>, size: WindowSize) -> Result<Option<Span>> {
        let WindowSize::Every(length) = size else {
            return Err(Error::new(
                ErrorKind::Usage,
                "one window over everything needs a range; give --from and --to, or windows of a size",
            ));
        };
        if let Some(start) = self.start
            && align(start, length, false) != start
        {
            return Err(Error::new(
                ErrorKind::Usage,
                format!(
                    "the first window cannot begin at {}, since windows of {size} begin at {} and {}; change nightly.start or --start",
                    show(start),
                    show(align(start, length, false)),
                    show(align(start, length, true)),
                ),
            ));
        }
        let before = |span: Timespan| now.checked_sub_signed(TimeDelta::nanoseconds(span.nanos())).unwrap_or(now);
        // The window that holds the instant is looked at as a whole.
        let back = self.lookback.map(|lookback| align(before(lookback), length, false));
        let Some(from) = self.start.max(back) else {
            return Err(Error::new(
                ErrorKind::Usage,
                "nothing says where a nightly run begins; give nightly.start or nightly.lookback in the job file, --start or --lookback",
            ));
        };
        let to = align(before(self.delay), length, false);
        if from < to { Span::try_new(from, to).map(Some) } else { Ok(None) }
    }

    /// Whether the files of `window` may still change at `now`.
    pub fn may_change(&self, window: &Window, now: DateTime<Utc>) -> bool {
        now.signed_duration_since(window.end()) <= TimeDelta::nanoseconds(self.late.nanos())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::window::parse_instant;

    fn nightly(start: Option<&str>, lookback: Option<&str>) -> Nightly {
        Nightly {
            start: start.map(|text| parse_instant(text).unwrap()),
            lookback: lookback.map(|text| text.parse().unwrap()),
            delay: "2h".parse().unwrap(),
            late: "3d".parse().unwrap(),
        }
    }

    fn range(nightly: Nightly, now: &str, size: &str) -> Option<(String, String)> {
        let span = nightly.span(parse_instant(now).unwrap(), size.parse().unwrap()).unwrap();
        span.map(|span| (show(span.from()), show(span.to())))
    }

    #[test]
    fn a_window_is_complete_a_delay_after_its_end() {
        let since = nightly(Some("2024-05-01"), None);
        let to = |now: &str, size: &str| range(since, now, size).map(|(_, to)| to);
        assert_eq!(to("2024-05-04T02:00:00Z", "1d").unwrap(), "2024-05-04");
        assert_eq!(to("2024-05-04T01:59:59.999Z", "1d").unwrap(), "2024-05-03");
        assert_eq!(to("2024-05-04T05:30:00Z", "1h").unwrap(), "2024-05-04T03:00:00Z");
        assert_eq!(to("2024-05-01T12:00:00Z", "1d"), None, "the first one is not over");
        assert_eq!(to("2023-01-01", "1d"), None, "the start is yet to come");
    }

    #[test]
    fn the_later_one_of_start_and_lookback_counts() {
        let from = |start, lookback| range(nightly(start, lookback), "2024-05-20T06:00:00Z", "1d").unwrap().0;
        assert_eq!(from(Some("2024-05-01"), None), "2024-05-01");
        assert_eq!(from(None, Some("7d")), "2024-05-13", "the window that holds the instant");
        assert_eq!(from(Some("2024-05-01"), Some("7d")), "2024-05-13");
        assert_eq!(from(Some("2024-05-16"), Some("7d")), "2024-05-16");
    }

    #[test]
    fn what_cannot_be_a_night_is_refused() {
        let now = parse_instant("2024-05-20").unwrap();
        let refused = |nightly: Nightly, size: &str| nightly.span(now, size.parse().unwrap()).unwrap_err().to_string();
        assert!(refused(nightly(Some("2024-05-01"), None), "all").contains("--from and --to"));
        assert!(refused(nightly(None, None), "1d").contains("nightly.lookback"));
        let unaligned = refused(nightly(Some("2024-05-01"), None), "7d");
        assert!(unaligned.contains("2024-04-29 and 2024-05-06"), "{unaligned}");
    }

    #[test]
    fn files_change_until_late_is_over() {
        let windows = nightly(Some("2024-05-01"), None);
        let span = windows.span(parse_instant("2024-05-10").unwrap(), "1d".parse().unwrap()).unwrap().unwrap();
        let window = &span.windows("1d".parse().unwrap()).unwrap()[0];
        assert!(windows.may_change(window, parse_instant("2024-05-05").unwrap()), "both ends belong to it");
        assert!(!windows.may_change(window, parse_instant("2024-05-05T00:00:01Z").unwrap()));
    }
}
