//! How a lake's folders follow from time.
//!
//! ```text
//! year={yyyy}/month={MM}/day={dd}/hour={HH}     template
//! year=2024/month=05/day=01/hour=13             partition [13:00, 14:00)
//! ```
//!
//! A template is enumerated: the folders of a range of time follow from it, so that nothing else of a lake is listed.
//! Its keys are no columns; a folder named `timestamp=…` cannot shadow a column of that name.

mod template;

use std::fmt;
use std::str::FromStr;

use chrono::{DateTime, Datelike, Months, NaiveDate, TimeDelta, Timelike, Utc};

use crate::error::{Error, ErrorKind, Result};
use template::{Folder, Piece, Unit, expand, pieces, read_numbers};

/// The folders of one stretch of time.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Partition {
    /// The first instant, UTC.
    pub start: DateTime<Utc>,
    /// The first instant after it.
    pub end: DateTime<Utc>,
    /// The path of its folder below the root.
    pub path: String,
}

/// A template of folders, or none (`flat`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Layout {
    folders: Vec<Folder>,
    text: String,
}

impl FromStr for Layout {
    type Err = Error;

    /// Reads a template: folders with `{…}` around date patterns (`yyyy`, `MM`, `dd`, `HH`, `mm`; a single letter for
    /// numbers without leading zero), bare patterns (`yyyy/MM/dd`), or well-known keys alone (`year=/month=/day=`).
    fn from_str(text: &str) -> Result<Self> {
        let invalid = |why: String| {
            Error::new(
                ErrorKind::Usage,
                format!(
                    "the layout `{text}` is not valid: {why}; write for example date={{yyyy-MM-dd}}, \
                     year={{yyyy}}/month={{MM}}/day={{dd}}, yyyy/MM/dd or flat"
                ),
            )
        };
        let trimmed = text.trim().trim_matches('/');
        if trimmed == "flat" {
            return Ok(Self { folders: Vec::new(), text: "flat".to_owned() });
        }
        let mut folders = Vec::new();
        let mut grain = None;
        for segment in trimmed.split('/') {
            if segment.is_empty() || segment == "." || segment == ".." {
                return Err(invalid(format!("the folder `{segment}` has no name")));
            }
            let pieces = pieces(&expand(segment, grain)).map_err(invalid)?;
            for piece in &pieces {
                if let Piece::Number(unit, _) = piece {
                    let follows = match grain {
                        None => *unit == Unit::Year,
                        Some(coarser) => *unit as u8 == coarser as u8 + 1,
                    };
                    if !follows {
                        return Err(invalid("its units must go from year to minute and leave none out".to_owned()));
                    }
                    grain = Some(*unit);
                }
            }
            folders.push(Folder { pieces, grain });
        }
        if grain.is_none() {
            return Err(invalid("it holds no date pattern".to_owned()));
        }
        Ok(Self { folders, text: trimmed.to_owned() })
    }
}

impl fmt::Display for Layout {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl Layout {
    /// Whether the lake has no folders of time: every window then reads every file.
    pub fn is_flat(&self) -> bool {
        self.folders.is_empty()
    }

    /// The partition that holds `instant`, or `None` for a flat lake.
    pub fn partition_of(&self, instant: DateTime<Utc>) -> Option<Partition> {
        let grain = self.grain()?;
        let start = floor(instant, grain);
        Some(Partition { start, end: next(start, grain), path: self.path(start, self.folders.len()) })
    }

    /// The partitions that hold `[from, to)`, and `slack` more on either side, in order.
    pub fn partitions(&self, from: DateTime<Utc>, to: DateTime<Utc>, slack: u32) -> Vec<Partition> {
        let Some(grain) = self.grain() else { return Vec::new() };
        let mut start = floor(from, grain);
        let mut end = floor(to - TimeDelta::nanoseconds(1), grain);
        for _ in 0..slack {
            start = floor(start - TimeDelta::nanoseconds(1), grain);
            end = next(end, grain);
        }
        let mut partitions = Vec::new();
        while start <= end {
            let after = next(start, grain);
            partitions.push(Partition { start, end: after, path: self.path(start, self.folders.len()) });
            start = after;
        }
        partitions
    }

    /// The fewest folders that together hold the partitions from the first to the last of `partitions` and no other:
    /// a whole day of hourly partitions is one folder.
    pub(crate) fn prefixes(&self, partitions: &[Partition]) -> Vec<String> {
        let (Some(first), Some(last)) = (partitions.first(), partitions.last()) else { return Vec::new() };
        let mut prefixes = Vec::new();
        let mut at = first.start;
        while at < last.end {
            // The coarsest folder that begins here and does not reach beyond the end.
            let fitting = self.folders.iter().enumerate().find_map(|(depth, folder)| {
                let grain = folder.grain?;
                let whole = floor(at, grain) == at && next(at, grain) <= last.end;
                whole.then(|| (depth + 1, next(at, grain)))
            });
            let Some((depth, after)) = fitting else { break };
            prefixes.push(self.path(at, depth));
            at = after;
        }
        prefixes
    }

    /// The partition whose folder holds the file at `path` (relative to the root), if its folders fit the template.
    pub fn locate(&self, path: &str) -> Option<Partition> {
        let mut folders = path.split('/');
        let mut numbers = [1970, 1, 1, 0, 0];
        for folder in &self.folders {
            read_numbers(folder, folders.next()?, &mut numbers)?;
        }
        // Something has to be left for the file's own name.
        folders.next()?;
        let [year, month, day, hour, minute] = numbers;
        let start = NaiveDate::from_ymd_opt(i32::try_from(year).ok()?, month, day)?.and_hms_opt(hour, minute, 0)?;
        self.partition_of(start.and_utc())
    }

    fn grain(&self) -> Option<Unit> {
        self.folders.last().and_then(|folder| folder.grain)
    }

    /// The first `depth` folders of the partition that begins at `start`.
    fn path(&self, start: DateTime<Utc>, depth: usize) -> String {
        let mut path = String::new();
        for folder in &self.folders[..depth] {
            if !path.is_empty() {
                path.push('/');
            }
            for piece in &folder.pieces {
                match piece {
                    Piece::Text(text) => path.push_str(text),
                    Piece::Number(unit, width) => {
                        let number = match unit {
                            Unit::Year => start.year().unsigned_abs(),
                            Unit::Month => start.month(),
                            Unit::Day => start.day(),
                            Unit::Hour => start.hour(),
                            Unit::Minute => start.minute(),
                        };
                        path.push_str(&format!("{number:0width$}"));
                    }
                }
            }
        }
        path
    }
}

fn floor(instant: DateTime<Utc>, unit: Unit) -> DateTime<Utc> {
    let day = instant.date_naive();
    let (date, hour, minute) = match unit {
        Unit::Year => (day.with_day(1).and_then(|d| d.with_month(1)), 0, 0),
        Unit::Month => (day.with_day(1), 0, 0),
        Unit::Day => (Some(day), 0, 0),
        Unit::Hour => (Some(day), instant.hour(), 0),
        Unit::Minute => (Some(day), instant.hour(), instant.minute()),
    };
    date.and_then(|date| date.and_hms_opt(hour, minute, 0)).map_or(instant, |start| start.and_utc())
}

fn next(start: DateTime<Utc>, unit: Unit) -> DateTime<Utc> {
    match unit {
        Unit::Year => start.checked_add_months(Months::new(12)).unwrap_or(start + TimeDelta::days(366)),
        Unit::Month => start.checked_add_months(Months::new(1)).unwrap_or(start + TimeDelta::days(31)),
        Unit::Day => start + TimeDelta::days(1),
        Unit::Hour => start + TimeDelta::hours(1),
        Unit::Minute => start + TimeDelta::minutes(1),
    }
}

/// Templates that lakes are found to have, for guessing one from its folders; the deeper ones of a kind first.
pub(crate) const WELL_KNOWN: [&str; 22] = [
    "y=/m=/d=/h=/m=",
    "y=/m=/d=/h=",
    "y=/m=/d=",
    "year=/month=/day=/hour=/minute=",
    "year=/month=/day=/hour=",
    "year=/month=/day=",
    "year={yyyy}/month={M}/day={d}/hour={H}",
    "year={yyyy}/month={M}/day={d}",
    "date={yyyy-MM-dd}/hour={HH}",
    "date={yyyy-MM-dd}/hour={H}",
    "date={yyyy-MM-dd}",
    "dt={yyyy-MM-dd}",
    "date={yyyyMMdd}",
    "eventDay={yyyyMMdd}",
    "timestamp={yyyy-MM-ddTHH}",
    "timestamp={yyyy-MM-dd}",
    "yyyy/MM/dd/HH/mm",
    "yyyy/MM/dd/HH",
    "yyyy/MM/dd",
    "yyyy-MM-dd",
    "year=/month=",
    "yyyy/MM",
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::window::parse_instant;

    fn layout(text: &str) -> Layout {
        text.parse().unwrap()
    }

    fn paths(text: &str, from: &str, to: &str, slack: u32) -> Vec<String> {
        let (from, to) = (parse_instant(from).unwrap(), parse_instant(to).unwrap());
        layout(text).partitions(from, to, slack).into_iter().map(|p| p.path).collect()
    }

    #[test]
    fn folders_follow_from_time() {
        for (text, path) in [
            ("date={yyyy-MM-dd}", "date=2024-05-01"),
            ("year=/month=/day=", "year=2024/month=05/day=01"),
            ("year=/month=/day=/hour=", "year=2024/month=05/day=01/hour=13"),
            ("year={yyyy}/month={M}/day={d}", "year=2024/month=5/day=1"),
            ("y=/m=/d=/h=/m=", "y=2024/m=05/d=01/h=13/m=07"),
            ("yyyy/MM/dd", "2024/05/01"),
            ("eventDay={yyyyMMdd}", "eventDay=20240501"),
            ("eventDay=", "eventDay=20240501"),
            ("timestamp={yyyy-MM-ddTHH}", "timestamp=2024-05-01T13"),
            ("jobId=7/timestamp=", "jobId=7/timestamp=2024-05-01T13"),
            ("yyyy/MM", "2024/05"),
        ] {
            let partition = layout(text).partition_of(parse_instant("2024-05-01T13:07:59Z").unwrap()).unwrap();
            assert_eq!(partition.path, path, "{text}");
            assert_eq!(layout(text).locate(&format!("{path}/x/part-0.parquet")).as_ref(), Some(&partition), "{text}");
            assert_eq!(layout(text).locate(path), None, "{text}: the folder itself is no file");
        }
    }

    #[test]
    fn a_range_has_the_partitions_that_it_touches_and_the_slack() {
        let day = "date={yyyy-MM-dd}";
        assert_eq!(paths(day, "2024-02-29", "2024-03-01", 0), ["date=2024-02-29"]);
        assert_eq!(paths(day, "2024-02-28T23:59:00Z", "2024-03-01", 0), ["date=2024-02-28", "date=2024-02-29"]);
        assert_eq!(
            paths(day, "2024-02-29", "2024-03-01", 1),
            ["date=2024-02-28", "date=2024-02-29", "date=2024-03-01"]
        );
        assert_eq!(paths("yyyy/MM", "2023-12-31", "2024-02-01", 1), ["2023/11", "2023/12", "2024/01", "2024/02"]);
        assert!(paths("flat", "2024-02-29", "2024-03-01", 3).is_empty());
    }

    #[test]
    fn whole_folders_are_listed_whole_and_nothing_beside_them() {
        let hours = layout("year=/month=/day=/hour=");
        let of = |from: &str, to: &str| {
            hours.prefixes(&hours.partitions(parse_instant(from).unwrap(), parse_instant(to).unwrap(), 0))
        };
        assert_eq!(
            of("2024-04-29T22:00:00Z", "2024-06-01T01:00:00Z"),
            [
                "year=2024/month=04/day=29/hour=22",
                "year=2024/month=04/day=29/hour=23",
                "year=2024/month=04/day=30",
                "year=2024/month=05",
                "year=2024/month=06/day=01/hour=00",
            ]
        );
        assert_eq!(of("2024-01-01", "2025-01-01"), ["year=2024"]);
        assert_eq!(of("2024-05-01", "2024-05-02"), ["year=2024/month=05/day=01"]);
    }

    #[test]
    fn foreign_folders_are_not_partitions() {
        let day = layout("year=/month=/day=");
        for path in [
            "year=2024/month=05/day=32/a.parquet",
            "year=2024/month=05/a.parquet",
            "year=2024/month=05/day=x/a.parquet",
            "year=2024/month=05/day=011/a.parquet",
            "2024/05/01/a.parquet",
        ] {
            assert_eq!(day.locate(path), None, "{path}");
        }
    }

    #[test]
    fn impossible_templates_are_refused() {
        for text in [
            "",
            "date=",
            "{MM}/{yyyy}",
            "year={yyyy}/day={dd}",
            "date={yyyy-MM-dd",
            "a/b",
            "x={yy}",
            "../yyyy",
            "{yyyyMd}",
            "foo=",
        ] {
            if text == "date=" {
                layout(text);
                continue;
            }
            let error = text.parse::<Layout>().unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Usage, "{text}");
        }
    }

    #[test]
    fn well_known_templates_are_valid() {
        for text in WELL_KNOWN {
            assert!(!layout(text).is_flat(), "{text}");
        }
    }
}
