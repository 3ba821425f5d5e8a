//! What there is: the windows of a range, the partitions that they need, the files in them.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use chrono::{DateTime, Utc};

use crate::error::{Error, ErrorKind, Result};
use crate::job::Job;
use crate::lake::{self, Columns, LakeFile, Layout, Listing, Partition, may_hold};
use crate::settings::Settings;
use crate::sink::Input;
use crate::store::Root;
use crate::timespan::Timespan;
use crate::window::Window;

/// A window and where its rows can lie.
#[derive(Debug, Clone)]
pub struct WindowPlan {
    /// The window.
    pub window: Window,
    /// The files of its partitions, by position in [`Survey::files`].
    pub(crate) files: Vec<usize>,
    /// Partitions of its own range that do not exist.
    pub missing: Vec<Partition>,
    /// Whether any partition of any table exists that can hold a row of its own range.
    pub has_source: bool,
}

/// Windows and the files that were listed for them, of all tables of a job. No file was opened.
#[derive(Debug)]
pub struct Survey {
    /// The windows, in order. Those that were not asked for have no files here, whatever the lake holds.
    pub windows: Vec<WindowPlan>,
    /// The tables, in the order of the job; the first one is its source.
    pub(crate) tables: Vec<Surveyed>,
    /// Those of one table after those of another.
    pub(crate) files: Vec<LakeFile>,
    missing: Vec<Partition>,
}

/// A table and where its files are.
#[derive(Debug)]
pub(crate) struct Surveyed {
    /// Its name in the hunt's SQL.
    pub(crate) name: String,
    pub(crate) root: Root,
    pub(crate) layout: Layout,
    pub(crate) slack: u32,
    /// The version that is read, of a Delta table.
    pub(crate) version: Option<u64>,
    /// The columns that the job reads.
    pub(crate) columns: Columns,
    /// Its files, by position in [`Survey::files`].
    pub(crate) range: Range<usize>,
    /// The times of which rows are seen, by the start of their partition; see [`Survey::sight`].
    sight: BTreeMap<DateTime<Utc>, (DateTime<Utc>, DateTime<Utc>)>,
    /// Whether the run goes without it.
    absent: bool,
}

impl Survey {
    /// Lists the partitions of those `windows` (of `settings`) that are `wanted`, and nothing else of the lake; or reads the
    /// log of a Delta table, whose statistics tell which files a window needs, wherever they lie.
    ///
    /// # Errors
    /// `SourceMissing` when the lake does not exist; `Unreachable` when it cannot be listed; `Usage` when nobody says where a
    /// further table lies.
    pub(crate) async fn new(
        job: &Job,
        settings: &Settings,
        root: Root,
        windows: Vec<Window>,
        wanted: impl Fn(usize) -> bool,
    ) -> Result<Self> {
        let windows = windows.into_iter().map(|window| WindowPlan {
            window,
            files: Vec::new(),
            missing: Vec::new(),
            has_source: false,
        });
        let (tables, files, missing) = (Vec::new(), Vec::new(), Vec::new());
        let mut survey = Self { windows: windows.collect(), tables, files, missing };
        let reach = job.reach(settings.scope)?;

        let source = job.source();
        let mut columns = Columns::new(source);
        if let Some(name) = &settings.time_column {
            columns = columns.with_time_column(name);
        }
        let place =
            Place { root, layout: settings.layout.clone(), slack: settings.slack, version: settings.source_version };
        survey.add(&source.table, place, columns, settings, reach, &wanted).await?;
        for source in job.sources().skip(1) {
            let columns = Columns::new(source);
            let (layout, slack) = (source.layout.parse()?, source.slack);
            let Some(url) = settings.tables.get(&source.table) else {
                if !source.optional {
                    return Err(Error::new(
                        ErrorKind::Usage,
                        format!("the hunt reads the table {0}; say where it lies with --table {0}=URL", source.table),
                    )
                    .with("job", job.slug()));
                }
                survey.tables.push(Surveyed::absent(&source.table, layout, columns, survey.files.len()));
                continue;
            };
            let root = settings.stores.open(url, &source.store).await?;
            let place = Place { root, layout, slack, version: None };
            survey.add(&source.table, place, columns, settings, reach, &wanted).await?;
        }
        Ok(survey)
    }

    /// Lists a table.
    async fn add(
        &mut self,
        name: &str,
        place: Place,
        columns: Columns,
        settings: &Settings,
        reach: Timespan,
        wanted: impl Fn(usize) -> bool,
    ) -> Result<()> {
        let Place { root, layout, slack, version } = place;
        let is_source = self.tables.is_empty();
        let read_range = |window: &Window| window.read_range(reach);
        let listing = {
            let plans = self.windows.iter().enumerate().filter(|(index, _)| wanted(*index));
            let mut looked_at = plans.map(|(_, plan)| read_range(&plan.window)).peekable();
            if looked_at.peek().is_none() {
                Listing { root, files: Vec::new(), version: None }
            } else {
                let needed = partitions(&layout, looked_at, slack);
                lake::list(root, &layout, Some(&needed), &columns, version).await?
            }
        };
        let Listing { root, files, version } = listing;
        // Whether files are found by folder: else every window looks at all of them, or at what their times say.
        let by_folder = version.is_none() && !layout.is_flat();
        let first = self.files.len();
        let mut by_partition: BTreeMap<DateTime<Utc>, Vec<usize>> = BTreeMap::new();
        for (index, file) in files.iter().enumerate() {
            by_partition
                .entry(file.partition.as_ref().map_or(DateTime::UNIX_EPOCH, |p| p.start))
                .or_default()
                .push(first + index);
        }

        let exists = |partition: &Partition| by_partition.contains_key(&partition.start);
        let mut sight = BTreeMap::new();
        if by_folder {
            // Of all windows of the range, so that what is seen does not depend on which of them are to do.
            for window in &surrounded(settings.span.windows(settings.window)?, reach) {
                see(&mut sight, &layout, slack, window, reach);
            }
            if is_source {
                let plans = self.windows.iter().enumerate().filter(|(index, _)| wanted(*index));
                let asked = partitions(&layout, plans.map(|(_, plan)| (plan.window.start(), plan.window.end())), 0);
                self.missing = asked.into_iter().filter(|partition| !exists(partition)).collect();
            }
        }
        for (index, plan) in self.windows.iter_mut().enumerate() {
            if !wanted(index) {
                continue;
            }
            let (from, to) = read_range(&plan.window);
            let start = plan.window.start();
            let (has_source, missing) = if by_folder {
                let read = layout.partitions(from, to, slack);
                plan.files.extend(read.iter().filter_map(|partition| by_partition.get(&partition.start)).flatten());
                // A neighbour within the slack can hold rows of this window, so it counts as its source.
                let has_source = layout.partitions(start, to, slack).iter().any(exists);
                let own = layout.partitions(start, to, 0);
                (has_source, own.into_iter().filter(|partition| !exists(partition)).collect())
            } else {
                let holding = |from, to| {
                    let files = files.iter().enumerate();
                    files.filter(move |(_, file)| may_hold(file.times, from, to)).map(move |(index, _)| first + index)
                };
                plan.files.extend(holding(from, to));
                (holding(start, to).next().is_some(), Vec::new())
            };
            // Each table is looked at by itself, as by KQL's union: one of them is enough to find something in.
            plan.has_source |= has_source;
            if is_source {
                plan.missing = missing;
            }
        }
        self.files.extend(files);
        let range = first..self.files.len();
        self.tables.push(Surveyed {
            name: name.to_owned(),
            root,
            layout,
            slack,
            version,
            columns,
            range,
            sight,
            absent: false,
        });
        Ok(())
    }

    /// The job's source.
    ///
    /// There is always one: `new` begins with it.
    pub(crate) fn source(&self) -> &Surveyed {
        &self.tables[0]
    }

    /// The roots of the further tables that are read, by name.
    pub(crate) fn further(&self) -> BTreeMap<String, String> {
        let further = self.tables.iter().skip(1).filter(|table| !table.absent);
        further.map(|table| (table.name.clone(), table.root.display.clone())).collect()
    }

    /// The number of the table that a file is of.
    pub(crate) fn table_of(&self, file: usize) -> usize {
        self.tables.iter().position(|table| table.range.contains(&file)).unwrap_or_default()
    }

    /// Nothing was found for any window: what to look at.
    pub(crate) fn nothing_found(&self, settings: &Settings) -> Error {
        Error::new(
            ErrorKind::SourceMissing,
            format!(
                "the lake has no data file for any window from {} to {}; check --source, --layout ({}) and the range",
                settings.span.from().format("%Y-%m-%dT%H:%MZ"),
                settings.span.to().format("%Y-%m-%dT%H:%MZ"),
                settings.layout,
            ),
        )
        .with("url", &self.source().root.display)
    }

    /// The times (half-open) of which rows of a file are seen; `None` in a flat lake or a Delta table, where all are.
    ///
    /// A row beside its own partition is seen or not by its time and its partition alone, whichever windows are read
    /// together: by its window, if that one reads the partition; in the stretch before a window's first instant, which
    /// two windows read, only if that stretch's own partitions (and slack) hold it.
    pub(crate) fn sight(&self, file: usize) -> Option<(DateTime<Utc>, DateTime<Utc>)> {
        let table = &self.tables[self.table_of(file)];
        table.sight.get(&self.files[file].partition.as_ref()?.start).copied()
    }

    /// The files of a window as its record names them: those of a further table with its name before them.
    pub(crate) fn inputs(&self, plan: &WindowPlan) -> Vec<Input> {
        let input = |index: &usize| {
            let mut input = Input::from(&self.files[*index].meta);
            let table = self.table_of(*index);
            if table > 0 {
                input.path = format!("{}: {}", self.tables[table].name, input.path);
            }
            input
        };
        plan.files.iter().map(input).collect()
    }

    /// The number and the total size of a window's files.
    pub fn size(&self, plan: &WindowPlan) -> (usize, u64) {
        (plan.files.len(), plan.files.iter().map(|index| self.files[*index].meta.size).sum())
    }

    /// The number and the total size of all files that were listed.
    pub fn total(&self) -> (usize, u64) {
        (self.files.len(), self.files.iter().map(|file| file.meta.size).sum())
    }

    /// A line for each stretch of partitions that do not exist.
    pub fn warnings(&self) -> Vec<String> {
        let mut lines = Vec::new();
        let mut rest = self.missing.as_slice();
        while let Some(first) = rest.first() {
            let count = 1 + rest.windows(2).take_while(|pair| pair[0].end == pair[1].start).count();
            let last = &rest[count - 1];
            lines.push(match count {
                1 => format!("partition {} does not exist", first.path),
                _ => format!("partitions {} to {} do not exist ({count})", first.path, last.path),
            });
            rest = &rest[count..];
        }
        lines
    }
}

/// Where a table lies.
struct Place {
    root: Root,
    layout: Layout,
    slack: u32,
    version: Option<u64>,
}

impl Surveyed {
    /// A table that a run goes without.
    fn absent(name: &str, layout: Layout, columns: Columns, at: usize) -> Self {
        let (root, sight) = (Root::nowhere(), BTreeMap::new());
        Self {
            name: name.to_owned(),
            root,
            layout,
            slack: 0,
            version: None,
            columns,
            range: at..at,
            sight,
            absent: true,
        }
    }
}

/// The partitions of some ranges, each once, in order.
fn partitions(
    layout: &Layout,
    ranges: impl Iterator<Item = (DateTime<Utc>, DateTime<Utc>)>,
    slack: u32,
) -> Vec<Partition> {
    let all: BTreeSet<Partition> = ranges.flat_map(|(from, to)| layout.partitions(from, to, slack)).collect();
    all.into_iter().collect()
}

/// `windows` with those around them that read the same partitions, where rows are read from further back than a window is
/// long: what is seen of a partition is decided by all windows that read it, not by those of the range.
fn surrounded(windows: Vec<Window>, reach: Timespan) -> Vec<Window> {
    let (Some(first), Some(last)) = (windows.first(), windows.last()) else { return windows };
    let length = first.length().nanos();
    if reach.nanos() <= length || length != last.length().nanos() {
        return windows;
    }
    let count = reach.nanos() / length + 1;
    let before = (1..=count).rev().map(|by| first.moved(-by * length));
    let after = (1..=count).map(|by| last.moved(by * length));
    let (before, after): (Vec<_>, Vec<_>) = (before.collect(), after.collect());
    before.into_iter().chain(windows).chain(after).collect()
}

/// Adds what `window`, which follows those before it, sees of its partitions.
fn see(
    sight: &mut BTreeMap<DateTime<Utc>, (DateTime<Utc>, DateTime<Utc>)>,
    layout: &Layout,
    slack: u32,
    window: &Window,
    reach: Timespan,
) {
    let (from, to) = window.read_range(reach);
    // The stretch before `edge` that the window after it looks back at.
    let stretch = |edge: DateTime<Utc>| {
        let start = edge - (window.start() - from);
        let partitions = if start < edge { layout.partitions(start, edge, slack) } else { Vec::new() };
        (start, partitions.into_iter().map(|partition| partition.start).collect::<BTreeSet<_>>())
    };
    let (before, behind) = (stretch(window.start()), stretch(to));
    for partition in layout.partitions(from, to, slack) {
        let first = if before.1.contains(&partition.start) { before.0 } else { window.start() };
        let end = if behind.0 == to || behind.1.contains(&partition.start) { to } else { behind.0.max(first) };
        sight.entry(partition.start).or_insert((first, end)).1 = end;
    }
}
