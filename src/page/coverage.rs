//! How the windows of a range stand, as far as the output tells.

use std::collections::{BTreeMap, HashMap};

use chrono::{DateTime, Utc};
use datafusion::arrow::array::{AsArray, RecordBatch};
use datafusion::arrow::datatypes::TimestampMicrosecondType;

use super::read::Material;
use super::values::{CalendarCell, CalendarLine, Count, Coverage, LegendEntry, Remark};
use crate::engine::WINDOW_START;
use crate::error::Result;
use crate::report::{lay_out, plural};
use crate::sink::{FailedWindow, RunRecord};
use crate::window::{Span, Window, WindowSize};

/// Lines of remarks that a page has.
const MOST_REMARKS: usize = 40;

/// Windows that a page's calendar has.
const MOST_CELLS: usize = 5_000;

/// A window of the range.
#[derive(Debug)]
pub(super) struct Covered {
    pub(super) label: String,
    pub(super) start: DateTime<Utc>,
    pub(super) end: DateTime<Utc>,
    pub(super) hits: u64,
    pub(super) state: State,
}

/// What a window is, as far as the output tells.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum State {
    Done,
    /// By another version of the job than the newest window.
    Older,
    /// Its hits are not those that its record names, or have no record.
    Stale(&'static str),
    /// No run has done it, or nothing was there to be done.
    Missing,
    Failed(String),
    Running(String),
}

impl State {
    fn class(&self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Older => "older",
            Self::Stale(_) => "stale",
            Self::Missing => "missing",
            Self::Failed(_) => "failed",
            Self::Running(_) => "running",
        }
    }

    fn reason(&self) -> String {
        match self {
            Self::Done => String::new(),
            Self::Older => "done by an earlier version of the job or its settings".to_owned(),
            Self::Stale(why) => (*why).to_owned(),
            Self::Missing => "not evaluated, or the lake has nothing for it".to_owned(),
            Self::Failed(error) => error.clone(),
            Self::Running(who) => who.clone(),
        }
    }

    /// Whether its hits are the answer to the hunt.
    pub(super) fn is_done(&self) -> bool {
        matches!(self, Self::Done | Self::Older)
    }
}

/// Class, sign and meaning of what a window can be.
const SIGNS: [(&str, &str, &str); 7] = [
    ("hits", "◆", "done, with hits"),
    ("done", "■", "done"),
    ("older", "◇", "done by an earlier version of the job"),
    ("stale", "▲", "stale"),
    ("failed", "✗", "failed"),
    ("running", "▶", "running"),
    ("missing", "□", "missing"),
];

/// The windows of the range, in order: those that the output has, and those between them that it has not.
///
/// # Errors
/// `Usage` when the range has more windows than any report could show.
pub(super) fn windows(
    material: &Material,
    from: Option<DateTime<Utc>>,
    to: Option<DateTime<Utc>>,
) -> Result<Vec<Covered>> {
    let newest = material.windows.values().filter(|found| found.whole).filter_map(|found| found.record.as_ref());
    let newest = newest.max_by_key(|record| record.finished_at).map(|record| record.job.fingerprint.clone());
    let failures = failures(material);
    let grid = grid(material, from, to)?;
    let by_label: HashMap<&str, &Window> = grid.iter().map(|window| (window.label(), window)).collect();
    let mut windows: BTreeMap<(DateTime<Utc>, String), Covered> = BTreeMap::new();
    for (label, found) in &material.windows {
        let record = found.record.as_ref();
        let known = by_label.get(label.as_str());
        let bounds = record.map(|record| (record.window.start, record.window.end));
        let bounds = bounds.or_else(|| known.map(|window| (window.start(), window.end())));
        // Hits without a record, outside of every window that there should be, know where they belong.
        let Some((start, end)) = bounds.or_else(|| bounds_of(&found.rows)) else { continue };
        let state = match record {
            Some(record) if found.whole => done(record, newest.as_deref()),
            Some(_) => State::Stale("its hits are gone or not those that its record names"),
            None => State::Stale("its hits have no record"),
        };
        let covered = Covered { label: label.clone(), start, end, hits: found.hits(), state };
        windows.insert((start, label.clone()), covered);
    }
    for window in &grid {
        let key = (window.start(), window.label().to_owned());
        windows.entry(key).or_insert_with(|| {
            let failed = failures.get(window.label()).copied().flatten();
            Covered {
                label: window.label().to_owned(),
                start: window.start(),
                end: window.end(),
                hits: 0,
                state: failed.map_or(State::Missing, |failed| State::Failed(failed.error.clone())),
            }
        });
    }
    let mut windows: Vec<Covered> = windows.into_values().collect();
    for covered in windows.iter_mut().filter(|covered| !covered.state.is_done()) {
        let holds = |claim: &&crate::sink::Claim| {
            claim.stretches.iter().any(|(from, to)| *from <= covered.start && covered.end <= *to)
        };
        if let Some(claim) = material.claims.iter().find(holds) {
            covered.state = State::Running(format!("run {} on {}", claim.run, claim.host));
        }
    }
    if from.is_none() {
        // A nightly run looks back further than its lake begins.
        let begin = windows.iter().position(|covered| covered.state != State::Missing).unwrap_or(windows.len());
        windows.drain(..begin);
    }
    if to.is_none() {
        let end = windows.iter().rposition(|covered| covered.state != State::Missing).map_or(0, |last| last + 1);
        windows.truncate(end);
    }
    Ok(windows)
}

/// The window that rows say they belong to.
fn bounds_of(rows: &[RecordBatch]) -> Option<(DateTime<Utc>, DateTime<Utc>)> {
    let times = |name: &'static str| {
        let columns = rows.iter().filter_map(move |rows| rows.column_by_name(name));
        let times = columns.filter_map(|times| times.as_primitive_opt::<TimestampMicrosecondType>());
        times.flat_map(|times| times.iter().flatten()).filter_map(DateTime::from_timestamp_micros)
    };
    let start = times(WINDOW_START).min()?;
    Some((start, times("window_end").max().unwrap_or(start)))
}

fn done(record: &RunRecord, newest: Option<&str>) -> State {
    if newest.is_some_and(|newest| newest != record.job.fingerprint) { State::Older } else { State::Done }
}

/// What the newest run that names a window says of it: why it failed, if it did.
fn failures(material: &Material) -> HashMap<&str, Option<&FailedWindow>> {
    let mut last = HashMap::new();
    for entry in &material.history {
        for failed in &entry.failed {
            last.entry(failed.window.as_str()).or_insert(Some(failed));
        }
        for done in &entry.done {
            last.entry(done.window.as_str()).or_insert(None);
        }
    }
    last
}

/// The windows that there should be: of the range, or else of all that runs looked at.
fn grid(material: &Material, from: Option<DateTime<Utc>>, to: Option<DateTime<Utc>>) -> Result<Vec<Window>> {
    let Some(Ok(size @ WindowSize::Every(_))) = material.window_size.as_deref().map(str::parse) else {
        // One window over everything has no neighbours.
        return Ok(Vec::new());
    };
    let records = || material.windows.values().filter_map(|found| found.record.as_ref()).map(|record| &record.window);
    let first = from.or_else(|| {
        let starts = records().map(|window| window.start);
        starts.chain(material.history.iter().map(|entry| entry.from)).min()
    });
    let last = to.or_else(|| {
        let ends = records().map(|window| window.end);
        ends.chain(material.history.iter().map(|entry| entry.to)).max()
    });
    // A range that ends before anything begins has no windows.
    let span = first.zip(last).and_then(|(first, last)| Span::try_new(first, last).ok());
    let Some(span) = span else { return Ok(Vec::new()) };
    let windows = span.around(size).windows(size)?;
    let inside =
        |window: &Window| from.is_none_or(|from| window.start() >= from) && to.is_none_or(|to| window.start() < to);
    Ok(windows.into_iter().filter(inside).collect())
}

/// The calendar and what is to say of its windows.
pub(super) fn coverage(windows: &[Covered]) -> Coverage {
    let layout = lay_out(windows.iter().map(|covered| (covered.start, covered.end)));
    // The newest lines, as far as a page can hold them.
    let mut cells = 0;
    let fits = |(_, places): &&(String, Vec<(usize, usize)>)| {
        cells += places.len();
        cells <= MOST_CELLS
    };
    let left = layout.lines.len() - layout.lines.iter().rev().take_while(fits).count();
    let lines: Vec<CalendarLine> = layout
        .lines
        .into_iter()
        .skip(left)
        .map(|(name, places)| {
            let width = places.iter().map(|(place, _)| place + 1).max().unwrap_or_default();
            let mut cells: Vec<Option<CalendarCell>> = (0..width).map(|_| None).collect();
            for (place, position) in places {
                cells[place] = windows.get(position).map(cell);
            }
            CalendarLine { name, cells }
        })
        .collect();
    let width = lines.iter().map(|line| line.cells.len()).max().unwrap_or_default();
    let number = |place| layout.ruler.iter().find(|(at, _)| *at == place).map_or("", |(_, number)| *number);
    let ruler = if layout.ruler.is_empty() { Vec::new() } else { (0..width).map(number).collect() };
    let of = |class: &str| windows.iter().filter(|covered| sign(covered).0 == class).count() as u64;
    let legend = SIGNS
        .into_iter()
        .map(|(class, sign, what)| LegendEntry { class, sign, what, windows: Count(of(class)) })
        .filter(|entry| entry.windows.0 > 0)
        .collect();
    let stretches: Vec<&[Covered]> = windows
        .chunk_by(|a, b| a.state == b.state && a.end == b.start)
        .filter(|stretch| stretch[0].state != State::Done)
        .collect();
    let remarks = stretches.iter().take(MOST_REMARKS).map(|stretch| remark(stretch)).collect();
    let remarks_left = Count(stretches.len().saturating_sub(MOST_REMARKS) as u64);
    Coverage { lines, ruler, legend, remarks, remarks_left, lines_left: Count(left as u64) }
}

fn remark(stretch: &[Covered]) -> Remark {
    let (first, last) = (&stretch[0], &stretch[stretch.len() - 1]);
    let range = if stretch.len() == 1 {
        first.label.clone()
    } else {
        format!("{} to {} ({})", first.label, last.label, plural(stretch.len() as u64, "window"))
    };
    let class = first.state.class();
    let word = SIGNS.iter().find(|(sign, _, _)| *sign == class).map_or(class, |(_, _, what)| *what);
    Remark { class, word, range, reason: first.state.reason() }
}

fn sign(covered: &Covered) -> (&'static str, &'static str) {
    let class = match covered.state {
        State::Done if covered.hits > 0 => "hits",
        ref state => state.class(),
    };
    SIGNS.iter().find(|(known, _, _)| *known == class).map_or((class, "?"), |(class, sign, _)| (class, sign))
}

fn cell(covered: &Covered) -> CalendarCell {
    let (class, sign) = sign(covered);
    let hits = plural(covered.hits, "hit");
    let title = match &covered.state {
        State::Done => format!("{}: done, {hits}", covered.label),
        State::Older | State::Stale(_) => format!("{}: {}, {hits}", covered.label, covered.state.reason()),
        state => format!("{}: {}, {}", covered.label, state.class(), state.reason()),
    };
    CalendarCell { class, sign, title }
}
