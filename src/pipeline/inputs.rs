//! The files that some windows need, with what their footers tell, and which of them cannot be read.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::sync::{Arc, OnceLock};

use futures::StreamExt;

use super::survey::Survey;
use crate::engine::{self, Limits, engine_error};
use crate::error::{Error, ErrorKind, Result};
use crate::lake::{Columns, FileFacts, Layout, Notices, RawTable, Resolution, Shapes};
use crate::settings::Settings;
use crate::store::Root;
use crate::window::nanos;

/// Files by their position in the survey.
pub(super) struct Inputs {
    tables: Vec<Table>,
    facts: BTreeMap<usize, Result<Arc<FileFacts>>>,
}

/// A table of the job.
struct Table {
    name: String,
    root: Root,
    columns: Arc<Columns>,
    layout: Layout,
    slack: u32,
    /// What its files have in common.
    shapes: Shapes,
    /// Its files.
    range: Range<usize>,
}

/// What some files hold for one range of time.
pub(super) struct Extent {
    pub(super) rows: u64,
    /// Compressed bytes of the job's columns.
    pub(super) bytes: u64,
    /// Their size after decoding, as far as footers tell.
    pub(super) decoded_bytes: u64,
    /// Rows of row groups whose footers do not tell their times.
    pub(super) timeless_rows: u64,
    /// The coarsest unit of their times.
    pub(super) resolution: Option<Resolution>,
}

impl Inputs {
    /// Reads the footers of `files`.
    pub(super) async fn read(survey: &Survey, files: impl IntoIterator<Item = usize>) -> Self {
        let tables: Vec<Table> = survey
            .tables
            .iter()
            .map(|table| Table {
                name: table.name.clone(),
                root: table.root.clone(),
                columns: Arc::new(table.columns.clone()),
                layout: table.layout.clone(),
                slack: table.slack,
                shapes: Shapes::default(),
                range: table.range.clone(),
            })
            .collect();
        // Why the store does not answer any more: each further file would wait for it anew.
        let gone: OnceLock<Error> = OnceLock::new();
        let facts = futures::stream::iter(files)
            .map(|index| {
                let (file, table, gone) = (survey.files[index].clone(), &tables[survey.table_of(index)], &gone);
                async move {
                    if let Some(error) = gone.get() {
                        return (index, Err(error.clone()));
                    }
                    let facts = FileFacts::read(&table.root, file, &table.columns, &table.shapes).await;
                    if let Err(error) = &facts {
                        tracing::debug!(%error, "a footer cannot be used");
                        if error.kind() == ErrorKind::Unreachable {
                            let _ = gone.set(error.clone());
                        }
                    }
                    let facts = facts.map(|facts| match survey.sight(index) {
                        Some((from, to)) => facts.confined(nanos(from), nanos(to)),
                        None => facts,
                    });
                    (index, facts.map(Arc::new))
                }
            })
            .buffer_unordered(FileFacts::AT_ONCE)
            .collect()
            .await;
        Self { tables, facts }
    }

    /// The rows of `files` in each table of the job, in their order, with times in the half-open range.
    pub(super) fn raw(&self, files: &[usize], range: (i64, i64), notices: &Arc<Notices>) -> Vec<RawTable> {
        let raw = |(number, table): (usize, &Table)| {
            let (root, columns) = (table.root.clone(), Arc::clone(&table.columns));
            RawTable::new(root, columns, self.facts(&table.own(files)), range, Arc::clone(notices)).numbered(number)
        };
        self.tables.iter().enumerate().map(raw).collect()
    }

    /// The readable ones of `files`.
    fn facts(&self, files: &[usize]) -> Vec<Arc<FileFacts>> {
        files.iter().filter_map(|index| self.facts.get(index)?.as_ref().ok().map(Arc::clone)).collect()
    }

    /// Why a window that needs `files` cannot be evaluated, if so.
    pub(super) fn check(&self, files: &[usize]) -> Result<()> {
        for index in files {
            if let Some(Err(error)) = self.facts.get(index) {
                return Err(error.clone());
            }
        }
        for table in &self.tables {
            let time = table.columns.time();
            let facts = self.facts(&table.own(files));
            if !facts.is_empty() && facts.iter().all(|facts| facts.shape.found[time].is_none()) {
                return Err(Error::new(
                    ErrorKind::SchemaMismatch,
                    format!(
                        "no file has a time column; looked for {}: name it with --time-column or in source.columns",
                        table.columns.names(time).join(", ")
                    ),
                )
                .with("column", table.columns.name(time))
                .with("file", table.root.name(&facts[0].file.meta.location)));
            }
        }
        Ok(())
    }

    /// What `files` hold for times in the half-open range.
    pub(super) fn extent(&self, files: &[usize], range: (i64, i64)) -> Extent {
        let mut extent = Extent { rows: 0, bytes: 0, decoded_bytes: 0, timeless_rows: 0, resolution: None };
        for facts in self.facts(files) {
            let mut read = false;
            for (group, rows) in facts.read_for(range) {
                // Column chunks are fetched whole.
                extent.rows += rows;
                extent.bytes += group.bytes;
                let decoded = u128::from(group.decoded_bytes) * u128::from(rows) / u128::from(group.rows);
                extent.decoded_bytes += decoded as u64;
                extent.timeless_rows += if group.times.is_none() { rows } else { 0 };
                read = true;
            }
            if read {
                extent.resolution = extent.resolution.max(facts.shape.resolution);
            }
        }
        extent
    }

    /// What a reader of the hits should know of `files`: columns that are nowhere, files without a time or with another
    /// one, rows that no window looks for where they are.
    pub(super) fn warnings(&self, files: &[usize]) -> Vec<String> {
        let mut lines = Vec::new();
        for (number, table) in self.tables.iter().enumerate() {
            let own = table.warnings(&self.facts(&table.own(files)));
            // The name is of use where there are several.
            lines.extend(own.into_iter().map(|line| match number {
                0 => line,
                _ => format!("{}: {line}", table.name),
            }));
        }
        lines
    }

    /// The names of the columns that hold the source's time, as its files have them.
    pub(super) fn time_columns(&self, files: &[usize]) -> Vec<String> {
        self.tables.first().map(|table| table.time_columns(&self.facts(&table.own(files)))).unwrap_or_default()
    }

    /// Decodes the rows of each of `files` that can lie in the range, and remembers those that cannot be decoded.
    /// Gives whether there is one.
    pub(super) async fn verify(&mut self, settings: &Settings, files: &[usize], range: (i64, i64)) -> Result<bool> {
        let mut found = false;
        for index in files {
            let Some(Ok(facts)) = self.facts.get(index) else { continue };
            let Some(table) = self.tables.iter().find(|table| table.range.contains(index)) else { continue };
            let name = table.root.name(&facts.file.meta.location);
            if let Err(error) = table.decode(settings, Arc::clone(facts), range).await {
                tracing::debug!(file = name, %error, "a file cannot be decoded");
                self.facts.insert(*index, Err(error.with("file", name)));
                found = true;
            }
        }
        Ok(found)
    }
}

impl Table {
    async fn decode(&self, settings: &Settings, facts: Arc<FileFacts>, range: (i64, i64)) -> Result<()> {
        let context = engine::context(Limits::of(settings))?;
        let notices = Arc::new(Notices::default());
        let raw = RawTable::new(self.root.clone(), Arc::clone(&self.columns), vec![facts], range, notices);
        let rows = context.read_table(Arc::new(raw)).map_err(engine_error)?;
        let mut stream = rows.execute_stream().await.map_err(engine_error)?;
        while let Some(batch) = stream.next().await {
            batch.map_err(engine_error)?;
        }
        Ok(())
    }

    /// Those of `files` that are its own.
    fn own(&self, files: &[usize]) -> Vec<usize> {
        files.iter().copied().filter(|file| self.range.contains(file)).collect()
    }

    fn warnings(&self, facts: &[Arc<FileFacts>]) -> Vec<String> {
        let name = |facts: &FileFacts| self.root.name(&facts.file.meta.location);
        let mut lines = Vec::new();
        for column in (0..self.columns.len()).filter(|column| *column != self.columns.time()) {
            if !self.columns.spec(column).optional
                && !facts.is_empty()
                && facts.iter().all(|facts| facts.shape.found[column].is_none())
            {
                lines.push(format!(
                    "no file has the column {}; it is read as empty (looked for {})",
                    self.columns.name(column),
                    self.columns.names(column).join(", ")
                ));
            }
        }
        let timeless = facts.iter().filter(|facts| facts.time_column(&self.columns).is_none() && facts.rows() > 0);
        lines.extend(some_files(timeless.map(|facts| name(facts)), "no time column; their rows match nothing"));

        let times = self.time_columns(facts);
        if times.len() > 1 {
            lines.push(format!(
                "the time is not of one column in all files ({}), and the hits differ with it; choose one with --time-column",
                times.join(", ")
            ));
        }
        let astray = facts.iter().filter(|facts| {
            let (Some(partition), Some((earliest, latest))) = (&facts.file.partition, facts.times()) else {
                return false;
            };
            let seen = self.layout.partitions(partition.start, partition.end, self.slack);
            let (Some(first), Some(last)) = (seen.first(), seen.last()) else { return false };
            earliest < nanos(first.start) || latest >= nanos(last.end)
        });
        let what = format!(
            "times outside their partition; with slack {} the windows of those times do not see them, give more with --slack",
            self.slack
        );
        lines.extend(some_files(astray.map(|facts| name(facts)), &what));
        lines
    }

    fn time_columns(&self, facts: &[Arc<FileFacts>]) -> Vec<String> {
        let names: BTreeSet<&str> = facts.iter().filter_map(|facts| facts.time_column(&self.columns)).collect();
        names.into_iter().map(str::to_owned).collect()
    }
}

/// A line that counts files and names the first of them.
fn some_files(files: impl Iterator<Item = String>, have: &str) -> Option<String> {
    const NAMED: usize = 3;
    let files: Vec<String> = files.collect();
    let named = files.iter().take(NAMED).map(String::as_str).collect::<Vec<_>>().join(", ");
    match files.len() {
        0 => None,
        1 => Some(format!("1 file has {have}: {named}")),
        count if count <= NAMED => Some(format!("{count} files have {have}: {named}")),
        count => Some(format!("{count} files have {have}: {named} and {} more", count - NAMED)),
    }
}
