//! Lengths of time, written as KQL writes them: `1m`, `1.5h`, `7d`, `100ms`, `1tick`.

use std::fmt;
use std::str::FromStr;

use crate::error::{Error, ErrorKind};

/// Nanoseconds of a day.
pub(crate) const DAY_NANOS: i64 = 86_400_000_000_000;

/// KQL's units, long to short, with the names that are read. A tick is 100 ns.
const UNITS: [(&str, i64); 8] = [
    ("d", DAY_NANOS),
    ("h", 3_600_000_000_000),
    ("m", 60_000_000_000),
    ("s", 1_000_000_000),
    ("ms", 1_000_000),
    ("us", 1_000),
    ("tick", 100),
    ("ns", 1),
];

/// A length of time in whole nanoseconds, at most 292 years. `Display` gives the shortest exact KQL form.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timespan(i64);

impl Timespan {
    /// A length of `nanos` nanoseconds.
    pub const fn from_nanos(nanos: i64) -> Self {
        Self(nanos)
    }

    /// The length in nanoseconds.
    pub const fn nanos(self) -> i64 {
        self.0
    }
}

impl FromStr for Timespan {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let invalid = |why: &str| {
            Error::new(
                ErrorKind::Usage,
                format!("`{text}` is no time span: {why}; write for example 1m, 90s, 6h or 1d"),
            )
        };
        let trimmed = text.trim();
        let split = trimmed.find(|c: char| !(c.is_ascii_digit() || c == '.')).unwrap_or(trimmed.len());
        let (number, unit) = trimmed.split_at(split);
        let unit = match unit.trim() {
            "microsecond" | "microseconds" => "us",
            "millisecond" | "milliseconds" => "ms",
            "second" | "seconds" => "s",
            "minute" | "minutes" => "m",
            "hour" | "hours" => "h",
            "day" | "days" => "d",
            "ticks" => "tick",
            other => other,
        };
        let Some((_, factor)) = UNITS.iter().find(|(name, _)| *name == unit) else {
            return Err(invalid(if unit.is_empty() { "it has no unit" } else { "the unit is unknown" }));
        };
        let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
        if (whole.is_empty() && fraction.is_empty()) || fraction.contains('.') || fraction.len() > 15 {
            return Err(invalid("it does not begin with a number"));
        }
        let digits = |s: &str| if s.is_empty() { Ok(0_i128) } else { s.parse::<i128>() };
        let whole = digits(whole).map_err(|_| invalid("the number is too large"))?;
        let scale = 10_i128.pow(fraction.len() as u32);
        let fraction = digits(fraction).map_err(|_| invalid("the number is too long"))?;
        let nanos = whole
            .checked_mul(scale)
            .and_then(|n| n.checked_add(fraction))
            .and_then(|n| n.checked_mul(i128::from(*factor)))
            .ok_or_else(|| invalid("it is too long"))?;
        if nanos % scale != 0 {
            return Err(invalid("it is finer than a nanosecond"));
        }
        i64::try_from(nanos / scale).map(Self).map_err(|_| invalid("it is longer than 292 years"))
    }
}

impl fmt::Display for Timespan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0 == 0 {
            return f.write_str("0s");
        }
        for (name, factor) in UNITS {
            if self.0 % factor == 0 {
                return write!(f, "{}{name}", self.0 / factor);
            }
        }
        unreachable!("every number of nanoseconds is a multiple of 1")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_kql_writes() {
        for (text, nanos) in [
            ("1m", 60_000_000_000),
            ("1.5h", 5_400_000_000_000),
            ("2d", 2 * DAY_NANOS),
            ("100ms", 100_000_000),
            ("10 microseconds", 10_000),
            ("1tick", 100),
            ("0s", 0),
            (".5s", 500_000_000),
        ] {
            assert_eq!(text.parse::<Timespan>().unwrap().nanos(), nanos, "{text}");
        }
    }

    #[test]
    fn refuses_the_rest_and_says_why() {
        for text in ["", "m", "1", "1x", "-1m", "1.2.3s", "0.5ns", "300000d", "99999999999999999999d", "1m30s"] {
            let error = text.parse::<Timespan>().unwrap_err();
            assert!(error.to_string().contains("is no time span"), "{text}: {error}");
        }
    }

    #[test]
    fn displays_the_shortest_exact_form() {
        for text in ["1m", "90s", "36h", "7d", "100ms", "1tick", "7ns", "0s"] {
            assert_eq!(text.parse::<Timespan>().unwrap().to_string(), text);
        }
    }
}
