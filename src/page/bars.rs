//! Hits over time: the figures, and the chart.

use std::collections::BTreeMap;

use charts_rs::{BarChart, Color, LegendCategory, Series};
use chrono::{DateTime, Datelike, TimeDelta, Utc};

use super::coverage::Covered;
use super::values::{Bars, Count};
use crate::error::{Error, ErrorKind, Result};
use crate::report::plural;

/// Bars that can be told from one another.
const MOST_BARS: usize = 62;

/// What a bar can stand for, the shortest first.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Unit {
    Window,
    Hour,
    Day,
    Week,
    Month,
    Year,
}

impl Unit {
    const LONGER: [Self; 5] = [Self::Hour, Self::Day, Self::Week, Self::Month, Self::Year];

    fn word(self, length: TimeDelta) -> &'static str {
        match self {
            Self::Window if length == TimeDelta::days(1) => "day",
            Self::Window if length == TimeDelta::hours(1) => "hour",
            Self::Window => "window",
            Self::Hour => "hour",
            Self::Day => "day",
            Self::Week => "week",
            Self::Month => "month",
            Self::Year => "year",
        }
    }

    /// The name of the bar that a window belongs to; names sort as their bars do.
    fn bar(self, window: &Covered) -> String {
        let start: DateTime<Utc> = window.start;
        match self {
            Self::Window => window.label.clone(),
            Self::Hour => start.format("%Y-%m-%d %H:00").to_string(),
            Self::Day => start.format("%Y-%m-%d").to_string(),
            Self::Week => {
                let monday = start - TimeDelta::days(i64::from(start.weekday().num_days_from_monday()));
                monday.format("%Y-%m-%d").to_string()
            }
            Self::Month => start.format("%Y-%m").to_string(),
            Self::Year => start.format("%Y").to_string(),
        }
    }
}

/// Hits over time, from the hits of each window and how many of them KQL's own answer has.
pub(super) fn bars(windows: &[Covered], kql: Option<&BTreeMap<i64, u64>>) -> Option<Bars> {
    let first = windows.first()?;
    let length = first.end - first.start;
    let count = |unit: Unit| {
        let mut names: Vec<String> = windows.iter().map(|window| unit.bar(window)).collect();
        names.dedup();
        names.len()
    };
    let unit = if windows.len() <= MOST_BARS {
        Unit::Window
    } else {
        Unit::LONGER.into_iter().find(|unit| count(*unit) <= MOST_BARS).unwrap_or(Unit::Year)
    };
    let mut bars: BTreeMap<String, (u64, u64)> = BTreeMap::new();
    for window in windows {
        let bar = bars.entry(unit.bar(window)).or_default();
        bar.0 += window.hits;
        bar.1 += kql.and_then(|kql| kql.get(&window.start.timestamp_micros())).copied().unwrap_or_default();
    }
    let word = unit.word(length);
    let most = bars.iter().max_by_key(|(name, (hits, _))| (*hits, std::cmp::Reverse((*name).clone())))?;
    let total: u64 = bars.values().map(|(hits, _)| hits).sum();
    let with_hits = bars.values().filter(|(hits, _)| *hits > 0).count() as u64;
    let summary = if total == 0 {
        format!("No hits in any of {}.", plural(bars.len() as u64, word))
    } else {
        format!(
            "{} in {} of {}; most in {}: {}.",
            plural(total, "hit"),
            Count(with_hits),
            plural(bars.len() as u64, word),
            most.0,
            Count(most.1.0)
        )
    };
    Some(Bars {
        unit: word.to_owned(),
        labels: bars.keys().cloned().collect(),
        first: bars.values().map(|(hits, rows)| if kql.is_some() { *rows } else { *hits }).collect(),
        others: kql.map(|_| bars.values().map(|(hits, rows)| hits.saturating_sub(*rows)).collect()),
        summary,
    })
}

/// Colours of the chart in light; the style sheet has others for the dark by these very values.
const FIRST: (u8, u8, u8) = (0x1D, 0x5F, 0xB8);
const OTHERS: (u8, u8, u8) = (0x9D, 0xC3, 0xEE);
const TEXT: (u8, u8, u8) = (0x5B, 0x65, 0x74);
const LINES: (u8, u8, u8) = (0xDC, 0xE1, 0xE8);

/// The chart as SVG without styles or scripts, of this size.
pub(super) fn svg(bars: &Bars, width: u16, height: u16) -> Result<String> {
    // Counts are exact in an f32 up to 16 million, and a pixel more or less beyond.
    let data = |values: &[u64]| values.iter().map(|value| *value as f32).collect::<Vec<f32>>();
    let series = |name: &str, values: &[u64]| {
        let mut series = Series::new(name.to_owned(), data(values));
        series.stack = Some("hits".to_owned());
        series
    };
    let mut list = vec![series(if bars.others.is_some() { "KQL's own answer" } else { "Hits" }, &bars.first)];
    if let Some(others) = &bars.others {
        list.push(series("further hits", others));
    }
    let legend = list.len() > 1;
    let mut chart = BarChart::new(list, bars.labels.clone());
    chart.width = f32::from(width);
    chart.height = f32::from(height);
    chart.compact = true;
    chart.background_color = Color::transparent();
    chart.series.colors = vec![FIRST.into(), OTHERS.into()];
    chart.legend.show = Some(legend);
    chart.legend.category = LegendCategory::RoundRect;
    chart.legend.font.color = TEXT.into();
    chart.x_axis.font.color = TEXT.into();
    chart.x_axis.stroke_color = LINES.into();
    chart.grid.stroke_color = LINES.into();
    chart.radius = Some(2.0);
    let most = bars.first.iter().enumerate().map(|(bar, first)| first + bars.others.as_ref().map_or(0, |o| o[bar]));
    let most = most.max().unwrap_or_default();
    for axis in &mut chart.y_axis_configs {
        axis.font.color = TEXT.into();
        axis.formatter = Some("{t}".to_owned());
        // Hits are whole: no half ones on the axis.
        if most < 5 {
            axis.min = Some(0.0);
            axis.max = Some(most.max(1) as f32);
            axis.split_number = usize::try_from(most.max(1)).unwrap_or(1);
        }
    }
    chart.svg().map_err(|e| Error::new(ErrorKind::Engine, "the chart cannot be drawn").caused_by(e))
}
