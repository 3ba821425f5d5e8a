//! What there is: the windows of a range, the partitions that they need, the files in them.

use std::collections::{BTreeMap, BTreeSet};

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
    /// Whether any partition exists that can hold a row of its own range.
    pub has_source: bool,
}

/// Windows and the files that were listed for them. No file was opened.
#[derive(Debug)]
pub struct Survey {
    /// The windows, in order. Those that were not asked for have no files here, whatever the lake holds.
    pub windows: Vec<WindowPlan>,
    pub(crate) root: Root,
    pub(crate) files: Vec<LakeFile>,
    /// The version that is read, of a Delta table.
    pub(crate) version: Option<u64>,
    /// The columns that the job reads.
    pub(crate) columns: Columns,
    /// The times of which rows are seen, by the start of their partition; see [`Survey::sight`].
    sight: BTreeMap<DateTime<Utc>, (DateTime<Utc>, DateTime<Utc>)>,
    missing: Vec<Partition>,
}

impl Survey {
    /// Lists the partitions of those `windows` (of `settings`) that are `wanted`, and nothing else of the lake; or reads the
    /// log of a Delta table, whose statistics tell which files a window needs, wherever they lie.
    ///
    /// # Errors
    /// `SourceMissing` when the lake does not exist; `Unreachable` when it cannot be listed.
    pub(crate) async fn new(
        job: &Job,
        settings: &Settings,
        root: Root,
        windows: Vec<Window>,
        wanted: impl Fn(usize) -> bool,
    ) -> Result<Self> {
        let mut columns = Columns::new(job.source());
        if let Some(name) = &settings.time_column {
            columns = columns.with_time_column(name);
        }
        let layout = &settings.layout;
        let reach = job.reach(settings.scope)?;
        let read_range = |window: &Window| window.read_range(reach);
        let looked_at = || windows.iter().enumerate().filter(|(index, _)| wanted(*index)).map(|(_, window)| window);

        let listing = if looked_at().next().is_none() {
            Listing { root, files: Vec::new(), version: None }
        } else {
            let needed = partitions(layout, looked_at().map(read_range), settings.slack);
            lake::list(root, layout, Some(&needed), &columns, settings.source_version).await?
        };
        let Listing { root, files, version } = listing;
        // Whether files are found by folder: else every window looks at all of them, or at what their times say.
        let by_folder = version.is_none() && !layout.is_flat();
        let mut by_partition: BTreeMap<DateTime<Utc>, Vec<usize>> = BTreeMap::new();
        for (index, file) in files.iter().enumerate() {
            by_partition
                .entry(file.partition.as_ref().map_or(DateTime::UNIX_EPOCH, |p| p.start))
                .or_default()
                .push(index);
        }

        let exists = |partition: &Partition| by_partition.contains_key(&partition.start);
        let mut sight = BTreeMap::new();
        let mut missing = Vec::new();
        if by_folder {
            // Of all windows of the range, so that what is seen does not depend on which of them are to do.
            for window in &surrounded(settings.span.windows(settings.window)?, reach) {
                see(&mut sight, settings, window, reach);
            }
            let asked = partitions(layout, looked_at().map(|window| (window.start(), window.end())), 0);
            missing = asked.into_iter().filter(|partition| !exists(partition)).collect();
        }
        let plan = |window: &Window| {
            let (from, to) = read_range(window);
            if !by_folder {
                let holding = |from, to| {
                    let files = files.iter().enumerate();
                    files.filter(move |(_, file)| may_hold(file.times, from, to)).map(|(index, _)| index)
                };
                let has_source = holding(window.start(), to).next().is_some();
                return (has_source, holding(from, to).collect(), Vec::new());
            }
            let files = layout
                .partitions(from, to, settings.slack)
                .iter()
                .filter_map(|partition| by_partition.get(&partition.start))
                .flatten()
                .copied()
                .collect();
            // A neighbour within the slack can hold rows of this window, so it counts as its source.
            let has_source = layout.partitions(window.start(), to, settings.slack).iter().any(exists);
            let own = layout.partitions(window.start(), to, 0);
            (has_source, files, own.into_iter().filter(|partition| !exists(partition)).collect())
        };
        let windows = windows
            .into_iter()
            .enumerate()
            .map(|(index, window)| {
                let (has_source, files, missing) =
                    if wanted(index) { plan(&window) } else { (false, Vec::new(), Vec::new()) };
                WindowPlan { window, files, missing, has_source }
            })
            .collect();
        Ok(Self { windows, root, files, version, columns, sight, missing })
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
        .with("url", &self.root.display)
    }

    /// The times (half-open) of which rows of a file are seen; `None` in a flat lake or a Delta table, where all are.
    ///
    /// A row beside its own partition is seen or not by its time and its partition alone, whichever windows are read
    /// together: by its window, if that one reads the partition; in the stretch before a window's first instant, which
    /// two windows read, only if that stretch's own partitions (and slack) hold it.
    pub(crate) fn sight(&self, file: usize) -> Option<(DateTime<Utc>, DateTime<Utc>)> {
        self.sight.get(&self.files[file].partition.as_ref()?.start).copied()
    }

    /// The files of a window as its record names them.
    pub(crate) fn inputs(&self, plan: &WindowPlan) -> Vec<Input> {
        plan.files.iter().map(|index| Input::from(&self.files[*index].meta)).collect()
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
    settings: &Settings,
    window: &Window,
    reach: Timespan,
) {
    let (from, to) = window.read_range(reach);
    // The stretch before `edge` that the window after it looks back at.
    let stretch = |edge: DateTime<Utc>| {
        let start = edge - (window.start() - from);
        let partitions =
            if start < edge { settings.layout.partitions(start, edge, settings.slack) } else { Vec::new() };
        (start, partitions.into_iter().map(|partition| partition.start).collect::<BTreeSet<_>>())
    };
    let (before, behind) = (stretch(window.start()), stretch(to));
    for partition in settings.layout.partitions(from, to, settings.slack) {
        let first = if before.1.contains(&partition.start) { before.0 } else { window.start() };
        let end = if behind.0 == to || behind.1.contains(&partition.start) { to } else { behind.0.max(first) };
        sight.entry(partition.start).or_insert((first, end)).1 = end;
    }
}
