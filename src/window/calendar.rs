//! Which windows a range has.

use std::fmt;
use std::str::FromStr;

use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};

use super::{Window, nanos};
use crate::error::{Error, ErrorKind, Result};
use crate::timespan::{DAY_NANOS, Timespan};

/// KQL's `bin` counts from 0001-01-01, which is a Monday: 1970-01-01 lies 719,162 days after it. Only sizes that do not
/// divide a day can tell the difference: a week begins on a Monday.
const KQL_ORIGIN_DAYS: i64 = 719_162;

/// More windows than this are a slip of the keyboard.
const MOST_WINDOWS: i64 = 100_000;

/// How long a window is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum WindowSize {
    /// Windows of this length, aligned to it as KQL's `bin(t, size)` is.
    Every(Timespan),
    /// One window over the whole range.
    All,
}

impl FromStr for WindowSize {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        if text.eq_ignore_ascii_case("all") {
            return Ok(Self::All);
        }
        let size: Timespan = text.parse()?;
        let nanos = size.nanos();
        if nanos < 1_000_000_000 || nanos % 1_000_000_000 != 0 || (DAY_NANOS % nanos != 0 && nanos % DAY_NANOS != 0) {
            return Err(Error::new(
                ErrorKind::Usage,
                format!(
                    "windows of {size} do not divide a day; choose whole seconds that do (15m, 1h, 6h), whole days or `all`"
                ),
            ));
        }
        Ok(Self::Every(size))
    }
}

impl fmt::Display for WindowSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Every(size) => size.fmt(f),
            Self::All => f.write_str("all"),
        }
    }
}

/// A half-open range `[from, to)` in UTC that is not empty.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Span {
    from: DateTime<Utc>,
    to: DateTime<Utc>,
}

impl Span {
    /// The range `[from, to)`.
    ///
    /// # Errors
    /// When `from` is not before `to`.
    pub fn try_new(from: DateTime<Utc>, to: DateTime<Utc>) -> Result<Self> {
        if from >= to {
            return Err(Error::new(
                ErrorKind::Usage,
                format!("--from {} is not before --to {}; the range is half-open [from, to)", show(from), show(to)),
            ));
        }
        Ok(Self { from, to })
    }

    /// Its first instant.
    pub fn from(&self) -> DateTime<Utc> {
        self.from
    }

    /// The first instant after it.
    pub fn to(&self) -> DateTime<Utc> {
        self.to
    }

    /// The smallest range around this one that divides into windows of a size.
    pub(crate) fn around(&self, size: WindowSize) -> Self {
        match size {
            WindowSize::All => *self,
            WindowSize::Every(size) => Self { from: align(self.from, size, false), to: align(self.to, size, true) },
        }
    }

    /// The windows of this range, in order.
    ///
    /// # Errors
    /// When the range does not begin and end at the edge of a window, or has more than 100,000.
    pub fn windows(&self, size: WindowSize) -> Result<Vec<Window>> {
        let size = match size {
            WindowSize::All => {
                let label = format!("all_{}_{}", stamp(self.from), stamp(self.to));
                return Ok(vec![Window { start: self.from, end: self.to, label }]);
            }
            WindowSize::Every(size) => size,
        };
        let aligned = (align(self.from, size, false), align(self.to, size, true));
        if aligned != (self.from, self.to) {
            return Err(Error::new(
                ErrorKind::Usage,
                format!(
                    "the range does not divide into windows of {size}; the aligned range around it is --from {} --to {}",
                    show(aligned.0),
                    show(aligned.1)
                ),
            ));
        }
        // Ranges of centuries have more nanoseconds than 64 bits count.
        let length = i128::from(nanos(self.to)) - i128::from(nanos(self.from));
        let count = i64::try_from(length / i128::from(size.nanos())).unwrap_or(i64::MAX);
        if count > MOST_WINDOWS {
            return Err(Error::new(
                ErrorKind::Usage,
                format!("the range has {count} windows of {size}, more than {MOST_WINDOWS}; choose larger ones"),
            ));
        }
        Ok((0..count)
            .map(|i| {
                let start = DateTime::from_timestamp_nanos(nanos(self.from) + i * size.nanos());
                let end = DateTime::from_timestamp_nanos(nanos(start) + size.nanos());
                let label = if size.nanos() % DAY_NANOS == 0 {
                    start.format("%Y-%m-%d").to_string()
                } else if size.nanos() % 60_000_000_000 == 0 {
                    start.format("%Y-%m-%dT%H%M").to_string()
                } else {
                    start.format("%Y-%m-%dT%H%M%S").to_string()
                };
                Window { start, end, label }
            })
            .collect())
    }
}

impl WindowSize {
    /// The range of the window that holds `last`; where one window is over everything, the days from `first` to `last`.
    pub(crate) fn around(self, first: DateTime<Utc>, last: DateTime<Utc>) -> Result<Span> {
        let (first, length) = match self {
            Self::Every(length) => (last, length),
            Self::All => (first, Timespan::from_nanos(DAY_NANOS)),
        };
        let start = align(first, length, false);
        let end = align(last, length, false) + TimeDelta::nanoseconds(length.nanos());
        Span::try_new(start, end)
    }
}

/// `instant` moved down (or up) to the edge of a window of `size`.
pub(super) fn align(instant: DateTime<Utc>, size: Timespan, up: bool) -> DateTime<Utc> {
    let origin = -i128::from(KQL_ORIGIN_DAYS) * i128::from(DAY_NANOS);
    let size = i128::from(size.nanos());
    let offset = i128::from(nanos(instant)) - origin;
    let edge = if up { (offset + size - 1).div_euclid(size) } else { offset.div_euclid(size) } * size + origin;
    DateTime::from_timestamp_nanos(i64::try_from(edge).unwrap_or(i64::MAX))
}

/// An instant for a message, as short as it is exact.
pub(super) fn show(instant: DateTime<Utc>) -> String {
    if nanos(instant).rem_euclid(DAY_NANOS) == 0 {
        instant.format("%Y-%m-%d").to_string()
    } else {
        instant.to_rfc3339_opts(SecondsFormat::AutoSi, true)
    }
}

/// An instant for a label: no character that a path or a shell minds.
fn stamp(instant: DateTime<Utc>) -> String {
    show(instant).replace(':', "")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::window::parse_instant;

    fn span(from: &str, to: &str) -> Span {
        Span::try_new(parse_instant(from).unwrap(), parse_instant(to).unwrap()).unwrap()
    }

    fn labels(from: &str, to: &str, size: &str) -> Vec<String> {
        let windows = span(from, to).windows(size.parse().unwrap()).unwrap();
        windows.iter().map(|w| w.label().to_owned()).collect()
    }

    #[test]
    fn windows_tile_the_range() {
        assert_eq!(labels("2024-02-28", "2024-03-01", "1d"), ["2024-02-28", "2024-02-29"]);
        assert_eq!(labels("2024-05-01", "2024-05-02", "12h"), ["2024-05-01T0000", "2024-05-01T1200"]);
        assert_eq!(labels("2024-05-06", "2024-05-20", "7d"), ["2024-05-06", "2024-05-13"], "weeks begin on Monday");
        assert_eq!(labels("2024-05-01", "2024-05-02T06:00:00Z", "all"), ["all_2024-05-01_2024-05-02T060000Z"]);
        let windows = span("2024-05-01", "2024-05-08").windows("1h".parse().unwrap()).unwrap();
        assert_eq!(windows.len(), 7 * 24);
        assert!(windows.windows(2).all(|pair| pair[0].end() == pair[1].start()));
    }

    #[test]
    fn what_does_not_divide_is_refused_with_the_range_that_does() {
        let error = span("2024-05-01T01:00:00Z", "2024-05-03").windows("1d".parse().unwrap()).unwrap_err();
        assert!(error.to_string().contains("--from 2024-05-01 --to 2024-05-03"), "{error}");
        let error = span("2024-05-01", "2024-05-08").windows("7d".parse().unwrap()).unwrap_err();
        assert!(error.to_string().contains("--from 2024-04-29 --to 2024-05-13"), "{error}");
        for size in ["7h", "25h", "0s", "100ms", "36h"] {
            assert!(size.parse::<WindowSize>().unwrap_err().to_string().contains("do not divide"), "{size}");
        }
        for (from, size) in [("1990-01-01", "1s"), ("1700-01-01", "1d"), ("1700-01-01", "1s")] {
            let error = span(from, "2200-01-01").windows(size.parse().unwrap()).unwrap_err();
            assert!(error.to_string().contains("choose larger"), "{error}");
        }
    }

    #[test]
    fn an_empty_range_is_refused() {
        let day = parse_instant("2024-05-01").unwrap();
        assert!(Span::try_new(day, day).unwrap_err().to_string().contains("is not before"));
    }
}
