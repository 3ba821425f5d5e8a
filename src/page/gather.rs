//! From what an output holds to what a report says. Pure: no store, no clock.

use std::collections::BTreeMap;

use chrono::{DateTime, TimeDelta, Utc};
use datafusion::arrow::array::RecordBatch;

use super::codes::Codes;
use super::columns::Columns;
use super::coverage::{Covered, State, coverage, windows};
use super::read::Material;
use super::rows::Rows;
use super::values::{Count, Figure, Hunt, Report, Top};
use super::{Request, attack, bars, provenance, table, timelines, tops};
use crate::engine::WINDOW_START;
use crate::error::Result;
use crate::job::Job;
use crate::report::{plural, visible};

pub(super) fn gather(job: &Job, material: &Material, request: &Request) -> Result<Report> {
    let codes = Codes::known()?;
    let batches: Vec<RecordBatch> = material.windows.values().flat_map(|found| found.rows.iter().cloned()).collect();
    let rows = Rows::of(&batches)?;
    let columns = Columns::of(job, rows.schema());
    let windows = windows(material, request.from, request.to)?;
    let kql = kql_by_window(&rows);
    let tops = tops::tops(&rows, &columns, &codes)?;
    let common = provenance::common(job, material);
    let longest = job.lookback()?.nanos() / 1_000;
    Ok(Report {
        hunt: hunt(job),
        range: range(&windows, material.window_size.as_deref()),
        made: request.now.format("%Y-%m-%d %H:%M UTC").to_string(),
        hits: Count(rows.len() as u64),
        figures: figures(&rows, &columns, &tops, kql.as_ref(), &windows, common.distinct),
        notices: notices(&columns, &windows),
        coverage: coverage(&windows),
        bars: bars::bars(&windows, kql.as_ref()),
        timelines: timelines::timelines(&rows, &columns, &codes, longest)?,
        table: table::table(job, &rows, &columns, &codes, request)?,
        provenance: provenance::provenance(job, material, &windows, request),
        tops,
        common,
    })
}

fn hunt(job: &Job) -> Hunt {
    let shown = |text: &str| visible(text).into_owned();
    // Lines of a paragraph belong together, as in Markdown.
    let paragraph = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
    let paragraphs = job.description().split("\n\n").map(|text| shown(&paragraph(text)));
    Hunt {
        name: shown(job.name()),
        slug: job.slug().to_owned(),
        id: shown(job.id()),
        version: shown(job.version()),
        severity: job.severity().to_string(),
        description: paragraphs.filter(|text| !text.is_empty()).collect(),
        tactics: job.tactics().iter().map(|text| attack::tactic(&shown(text))).collect(),
        techniques: job.techniques().iter().map(|text| attack::technique(&shown(text))).collect(),
        blind_spots: job.blind_spots().iter().map(|text| shown(&paragraph(text))).collect(),
    }
}

/// The rows of KQL's own answer by the window's first instant, of a hunt that ranks its rows.
fn kql_by_window(rows: &Rows) -> Option<BTreeMap<i64, u64>> {
    let ranks = rows.numbers("kql_rank")?;
    let starts = rows.times(rows.position(WINDOW_START)?);
    let mut counts = BTreeMap::new();
    for (start, rank) in starts.into_iter().zip(ranks) {
        if let (Some(start), Some(1)) = (start, rank) {
            *counts.entry(start).or_default() += 1;
        }
    }
    Some(counts)
}

/// `2024-05-01 to 2024-05-07, 7 days (UTC)`
fn range(windows: &[Covered], size: Option<&str>) -> String {
    let (Some(first), Some(last)) = (windows.first(), windows.last()) else { return "no window".to_owned() };
    let count = windows.len() as u64;
    let midnight = |instant: DateTime<Utc>| instant.time() == chrono::NaiveTime::MIN;
    if windows.iter().all(|window| midnight(window.start) && midnight(window.end)) {
        let day = |instant: DateTime<Utc>| instant.format("%Y-%m-%d").to_string();
        let last_day = day(last.end - TimeDelta::nanoseconds(1));
        let what = match size {
            Some("1d") => plural(count, "day"),
            _ => plural(count, "window"),
        };
        return format!("{} to {last_day}, {what} (UTC)", day(first.start));
    }
    let minute = |instant: DateTime<Utc>| instant.format("%Y-%m-%d %H:%M").to_string();
    let size = size.map_or_else(String::new, |size| format!(" of {size}"));
    format!("{} to {}, {}{size} (UTC)", minute(first.start), minute(last.end), plural(count, "window"))
}

fn figures(
    rows: &Rows,
    columns: &Columns,
    tops: &[Top],
    kql: Option<&BTreeMap<i64, u64>>,
    windows: &[Covered],
    common: Count,
) -> Vec<Figure> {
    let figure = |value: String, what: &str| Figure { value, what: what.to_owned() };
    let mut figures = vec![figure(Count(rows.len() as u64).to_string(), "hits")];
    if let Some(kql) = kql {
        figures.push(figure(Count(kql.values().sum()).to_string(), "in KQL's own answer, one a key"));
    }
    for (entity, top) in columns.entities.iter().zip(tops) {
        let what = if top.distinct.0 == 1 { &entity.one } else { &entity.many };
        // Of an abbreviation the capitals stay.
        let words = if what.starts_with("IP") || what.starts_with("URL") { what.clone() } else { what.to_lowercase() };
        figures.push(figure(top.distinct.to_string(), &words));
    }
    let done = Count(windows.iter().filter(|window| window.state.is_done()).count() as u64);
    figures.push(figure(format!("{done} of {}", Count(windows.len() as u64)), "windows done"));
    if common.0 > 0 {
        figures.push(figure(common.to_string(), "keys too common to be hits"));
    }
    figures
}

fn notices(columns: &Columns, windows: &[Covered]) -> Vec<String> {
    let mut notices = Vec::new();
    if !columns.entities.is_empty() {
        let all: Vec<&str> = columns.entities.iter().map(|entity| entity.many.as_str()).collect();
        notices.push(format!(
            "Contains personal data: {}, with when they signed in or were seen. Handle it as your rules for such data say.",
            all.join(", ")
        ));
    }
    let count = |is: fn(&State) -> bool| windows.iter().filter(|window| is(&window.state)).count() as u64;
    let open = count(|state| matches!(state, State::Missing | State::Failed(_) | State::Running(_)));
    if open > 0 {
        notices.push(format!(
            "{} of {} not done, so there may be more hits than are shown; see Coverage.",
            plural(open, "window"),
            Count(windows.len() as u64)
        ));
    }
    let stale: u64 =
        windows.iter().filter(|window| matches!(window.state, State::Stale(_))).map(|window| window.hits).sum();
    if count(|state| matches!(state, State::Stale(_))) > 0 {
        notices.push(format!(
            "{} stale: {} of the figures below stand in the table, but not in a record that names them.",
            plural(count(|state| matches!(state, State::Stale(_))), "window"),
            plural(stale, "hit")
        ));
    }
    let older = count(|state| *state == State::Older);
    if older > 0 {
        notices.push(format!(
            "{} done by an earlier version of the job or with other settings than the newest one.",
            plural(older, "window")
        ));
    }
    notices
}
