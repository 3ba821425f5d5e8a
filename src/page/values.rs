//! What a report says, as values: gathered from the output, and all that the page is made from.

use std::fmt;

use serde::Serialize;

use crate::report::human_count;

/// A number that is shown with a comma for each thousand.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub(crate) struct Count(pub(crate) u64);

impl fmt::Display for Count {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&human_count(self.0))
    }
}

/// The whole report. Text of the data is as [`visible`](crate::report::visible) makes it; the page escapes it.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    pub(super) hunt: Hunt,
    /// The range in words.
    pub(super) range: String,
    /// When the report was made, in words.
    pub(super) made: String,
    /// Rows of the hit table in the range.
    pub(super) hits: Count,
    pub(super) figures: Vec<Figure>,
    /// What a reader should know before the figures.
    pub(super) notices: Vec<String>,
    pub(super) coverage: Coverage,
    /// Hits over time; none where nothing can be drawn.
    pub(super) bars: Option<Bars>,
    pub(super) tops: Vec<Top>,
    pub(super) timelines: Timelines,
    pub(super) table: HitTable,
    pub(super) common: Common,
    pub(super) provenance: Provenance,
}

impl Report {
    /// The rows of the hit table in the range.
    pub(crate) fn hits(&self) -> u64 {
        self.hits.0
    }
}

/// What was hunted, and why: from the job file.
#[derive(Debug, Serialize)]
pub(super) struct Hunt {
    pub(super) name: String,
    pub(super) slug: String,
    pub(super) id: String,
    pub(super) version: String,
    pub(super) severity: String,
    /// Paragraphs.
    pub(super) description: Vec<String>,
    pub(super) tactics: Vec<Named>,
    pub(super) techniques: Vec<Named>,
    pub(super) blind_spots: Vec<String>,
}

/// Something with a page of its own elsewhere.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub(super) struct Named {
    pub(super) text: String,
    pub(super) url: Option<String>,
}

/// One figure of the summary.
#[derive(Debug, Serialize)]
pub(super) struct Figure {
    pub(super) value: String,
    pub(super) what: String,
}

/// How the windows of the range stand.
#[derive(Debug, Serialize)]
pub(super) struct Coverage {
    pub(super) lines: Vec<CalendarLine>,
    /// The numbers above the lines, by place.
    pub(super) ruler: Vec<&'static str>,
    pub(super) legend: Vec<LegendEntry>,
    /// Windows that are not simply done, neighbours of which the same is to say on one line.
    pub(super) remarks: Vec<Remark>,
    /// Remarks that are not among them.
    pub(super) remarks_left: Count,
    /// Lines of the calendar before those that are shown.
    pub(super) lines_left: Count,
}

/// A line of the calendar.
#[derive(Debug, Serialize)]
pub(super) struct CalendarLine {
    pub(super) name: String,
    /// By place; nothing where no window is.
    pub(super) cells: Vec<Option<CalendarCell>>,
}

/// A window of the calendar.
#[derive(Debug, Serialize)]
pub(super) struct CalendarCell {
    /// `done`, `older`, `stale`, `missing`, `failed` or `running`; and `hits` for a window that is done and has some.
    pub(super) class: &'static str,
    pub(super) sign: &'static str,
    /// All that is to say of it.
    pub(super) title: String,
}

#[derive(Debug, Serialize)]
pub(super) struct LegendEntry {
    pub(super) class: &'static str,
    pub(super) sign: &'static str,
    pub(super) what: &'static str,
    pub(super) windows: Count,
}

#[derive(Debug, Serialize)]
pub(super) struct Remark {
    pub(super) class: &'static str,
    pub(super) word: &'static str,
    pub(super) range: String,
    pub(super) reason: String,
}

/// Hits over time.
#[derive(Debug, PartialEq, Serialize)]
pub(super) struct Bars {
    /// What one bar stands for: `window`, `day`, `week`, …
    pub(super) unit: String,
    pub(super) labels: Vec<String>,
    /// Rows that KQL's own answer has, or all hits of a hunt that ranks nothing.
    pub(super) first: Vec<u64>,
    /// The other hits.
    pub(super) others: Option<Vec<u64>>,
    /// The chart in words, for those who cannot see it.
    pub(super) summary: String,
}

/// The most frequent values of a column.
#[derive(Debug, Serialize)]
pub(super) struct Top {
    pub(super) title: String,
    /// The column's name in the table.
    pub(super) column: String,
    pub(super) entries: Vec<TopEntry>,
    /// Different values in all.
    pub(super) distinct: Count,
    /// Those that are not among the entries.
    pub(super) left: Count,
}

#[derive(Debug, Serialize)]
pub(super) struct TopEntry {
    pub(super) text: String,
    /// What the value means, of a code.
    pub(super) meaning: Option<String>,
    pub(super) hits: Count,
    /// Of the most frequent value's hits, in per cent.
    pub(super) share: u64,
}

/// What happened around each hit, by entity.
#[derive(Debug, Default, Serialize)]
pub(super) struct Timelines {
    /// What an entity is: `user`, `IP address`, …
    pub(super) what: String,
    pub(super) entities: Vec<Entity>,
    /// Entities that are not shown.
    pub(super) entities_left: Count,
}

#[derive(Debug, Serialize)]
pub(super) struct Entity {
    pub(super) name: String,
    pub(super) hits: Count,
    pub(super) shown: Vec<Moment>,
    /// Hits that are not shown.
    pub(super) left: Count,
}

/// One hit on a timeline.
#[derive(Debug, Serialize)]
pub(super) struct Moment {
    /// The day.
    pub(super) day: String,
    /// The other entities of the hit, each with what it is.
    pub(super) with: Vec<(String, String)>,
    pub(super) events: Vec<Event>,
    /// From first to last event, in words.
    pub(super) span: Option<String>,
    /// How rare it is, in words.
    pub(super) rarity: Option<String>,
}

#[derive(Debug, Serialize)]
pub(super) struct Event {
    /// `success`, `failure` or `other`.
    pub(super) class: &'static str,
    /// To the millisecond.
    pub(super) time: String,
    pub(super) what: String,
    pub(super) app: Option<String>,
    pub(super) code: Option<String>,
    pub(super) meaning: Option<String>,
    /// Its place between the instant of the first event (0) and the longest time that a hit can take (100).
    pub(super) place: f64,
}

/// The hits themselves.
#[derive(Debug, Serialize)]
pub(super) struct HitTable {
    pub(super) columns: Vec<Column>,
    pub(super) rows: Vec<Row>,
    /// Hits that are not in the page.
    pub(super) left: Count,
    /// What prints all of them.
    pub(super) command: String,
    /// Whether rows of KQL's own answer are marked.
    pub(super) ranked: bool,
}

#[derive(Debug, Serialize)]
pub(super) struct Column {
    pub(super) name: String,
    /// The name in pieces, between which a line may break.
    pub(super) parts: Vec<String>,
    /// `text`, `time` or `number`.
    pub(super) kind: &'static str,
    /// Whether its texts are sentences.
    pub(super) long: bool,
}

#[derive(Debug, Serialize)]
pub(super) struct Row {
    /// Whether KQL's own answer has it.
    pub(super) kql: bool,
    pub(super) cells: Vec<Cell>,
}

#[derive(Debug, Serialize)]
pub(super) struct Cell {
    pub(super) text: String,
    /// What the value means, of a code.
    pub(super) meaning: Option<String>,
}

/// Keys that were too common to be hits.
#[derive(Debug, Default, Serialize)]
pub(super) struct Common {
    pub(super) columns: Vec<String>,
    pub(super) keys: Vec<CommonKey>,
    /// Different keys in all.
    pub(super) distinct: Count,
    pub(super) left: Count,
}

#[derive(Debug, Serialize)]
pub(super) struct CommonKey {
    pub(super) values: Vec<String>,
    /// Windows in which it was over the limit.
    pub(super) windows: Count,
    /// Its pairs in these.
    pub(super) pairs: Count,
}

/// Where the figures come from.
#[derive(Debug, Serialize)]
pub(super) struct Provenance {
    pub(super) facts: Vec<(String, String)>,
    /// Name, value and description.
    pub(super) parameters: Vec<(String, String, String)>,
    pub(super) windows: Vec<WindowOrigin>,
    /// Windows that are not listed.
    pub(super) windows_left: Count,
    pub(super) warnings: Vec<String>,
}

#[derive(Debug, Serialize)]
pub(super) struct WindowOrigin {
    pub(super) label: String,
    pub(super) hits: Count,
    pub(super) files: Count,
    pub(super) rows_read: Count,
    pub(super) finished: String,
    pub(super) run: String,
    pub(super) digest: String,
}
