//! Windows: the half-open UTC intervals that a hunt is evaluated for, one by one.
//!
//! ```text
//!            from                                      to
//!             |---- window ----|---- window ----|--...--|
//!        |----|  lookback: a success that a failure at the window's first instant follows
//! ```
//!
//! This module is pure: no clock, no I/O.

mod calendar;
mod chunk;
mod nightly;
mod shard;

use std::fmt;
use std::str::FromStr;

use chrono::{DateTime, NaiveDate, NaiveTime, TimeDelta, Utc};

pub use calendar::{Span, WindowSize};
pub(crate) use chunk::chunks;
pub use nightly::{Nightly, OnChange};
pub use shard::Shard;

use crate::error::{Error, ErrorKind, Result};
use crate::timespan::{DAY_NANOS, Timespan};

/// Which successes a window sees.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, clap::ValueEnum, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Scope {
    /// Failures of the window, successes from `lookback` before it: a pair across midnight is found, once.
    #[default]
    Overlap,
    /// Both sides inside the window, as the portal's time picker has it: pairs across the edge are lost.
    Strict,
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Overlap => "overlap",
            Self::Strict => "strict",
        })
    }
}

/// A half-open interval `[start, end)` in UTC that the hunt is evaluated for and that is committed as one.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Window {
    start: DateTime<Utc>,
    end: DateTime<Utc>,
    label: String,
}

impl Window {
    /// The first instant.
    pub fn start(&self) -> DateTime<Utc> {
        self.start
    }

    /// The first instant after it.
    pub fn end(&self) -> DateTime<Utc> {
        self.end
    }

    /// Its name in the output: `2024-05-01` for a day, `2024-05-01T0600` for part of one, `all_FROM_TO` for the whole
    /// range. Labels of one size sort as their windows do.
    pub fn label(&self) -> &str {
        &self.label
    }

    /// Its length.
    pub fn length(&self) -> Timespan {
        Timespan::from_nanos(nanos(self.end) - nanos(self.start))
    }

    /// A window as long, so many nanoseconds later; it keeps the label.
    pub(crate) fn moved(&self, by: i64) -> Self {
        let by = TimeDelta::nanoseconds(by);
        Self { start: self.start + by, end: self.end + by, label: self.label.clone() }
    }

    /// The times that its rows have: from `reach` before it to its end.
    pub(crate) fn read_range(&self, reach: Timespan) -> (DateTime<Utc>, DateTime<Utc>) {
        (self.start - TimeDelta::nanoseconds(reach.nanos()), self.end)
    }
}

/// An instant as it is typed: a UTC date (its midnight) or RFC 3339 with an offset.
pub fn parse_instant(text: &str) -> Result<DateTime<Utc>> {
    let instant = NaiveDate::from_str(text)
        .map(|date| date.and_time(NaiveTime::MIN).and_utc())
        .or_else(|_| DateTime::parse_from_rfc3339(text).map(|instant| instant.to_utc()))
        .map_err(|_| {
            Error::new(
                ErrorKind::Usage,
                format!("`{text}` is no instant; write a UTC date (2024-05-01) or RFC 3339 (2024-05-01T06:00:00Z)"),
            )
        })?;
    // Times are compared in nanoseconds, which 64 bits hold from 1677 to 2262; a margin keeps lookbacks inside.
    if instant.timestamp_nanos_opt().is_none_or(|n| n.unsigned_abs() > i64::MAX as u64 - 366 * DAY_NANOS as u64) {
        return Err(Error::new(ErrorKind::Usage, format!("`{text}` is out of range; years 1679 to 2260 can be read")));
    }
    Ok(instant)
}

/// The instant in nanoseconds since 1970. Instants come from [`parse_instant`], so it cannot overflow.
pub(crate) fn nanos(instant: DateTime<Utc>) -> i64 {
    instant.timestamp_nanos_opt().unwrap_or(if instant.timestamp() < 0 { i64::MIN } else { i64::MAX })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn instants_are_dates_or_rfc_3339() {
        assert_eq!(parse_instant("2024-05-01").unwrap().to_rfc3339(), "2024-05-01T00:00:00+00:00");
        assert_eq!(parse_instant("2024-05-01T02:00:00+02:00").unwrap().to_rfc3339(), "2024-05-01T00:00:00+00:00");
        for text in ["yesterday", "2024-13-01", "2024-05-01T06:00", "0001-01-01", "9999-12-31", "2262-01-01"] {
            assert_eq!(parse_instant(text).unwrap_err().kind(), ErrorKind::Usage, "{text}");
        }
    }
}
