//! Looks at a lake before a job is pointed at it.

mod data;
mod guess;
mod text;

use std::collections::BTreeMap;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use futures::StreamExt;
use serde::Serialize;

use crate::error::{Error, ErrorKind, Result};
use crate::job::Job;
use crate::lake::{self, Columns, FileFacts, Layout, Listing, Resolution, Shapes};
use crate::store::{Root, Stores};
use crate::window::nanos;

pub(crate) use data::{Lag, Nulls};
pub(crate) use text::inspection_text;

/// What a lake holds, as a job sees it.
#[derive(Debug, Serialize)]
pub(crate) struct Inspection {
    /// The root, without secrets.
    pub(crate) source: String,
    pub(crate) layout: String,
    /// Whether the layout was guessed from the folders.
    pub(crate) layout_guessed: bool,
    /// The version that was looked at, of a Delta table.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) delta_version: Option<u64>,
    pub(crate) files: usize,
    pub(crate) bytes: u64,
    pub(crate) rows: u64,
    pub(crate) partitions: usize,
    /// Files that cannot be used, with why.
    pub(crate) unusable: BTreeMap<String, String>,
    /// Files whose times lie outside their partition, by their footers.
    pub(crate) outside_partition: Vec<String>,
    /// The columns that the job reads, as they are stored: name and type, and in how many files.
    pub(crate) schemas: BTreeMap<String, BTreeMap<String, usize>>,
    /// The units of the times, and in how many files.
    pub(crate) time_units: BTreeMap<String, usize>,
    pub(crate) coarsest_time_unit: Option<Resolution>,
    pub(crate) earliest: Option<DateTime<Utc>>,
    pub(crate) latest: Option<DateTime<Utc>>,
    /// Rows that are empty or null, a column.
    pub(crate) nulls: Vec<Nulls>,
    /// Rows that repeat another one in all columns that the job reads.
    pub(crate) duplicate_rows: u64,
    /// How long the time of one column trails that of another.
    pub(crate) lag: Option<Lag>,
}

/// Looks at the lake at `source` with the columns of `job`: at all of it, or at the partitions of a half-open range.
pub(crate) async fn inspect(
    job: &Job,
    stores: &Stores,
    source: &str,
    layout: Option<Layout>,
    range: Option<(DateTime<Utc>, DateTime<Utc>)>,
) -> Result<Inspection> {
    let root = stores.open(source, &job.source().store).await?;
    let guessed = layout.is_none();
    let layout = match layout {
        Some(layout) => layout,
        None => guess::layout(&root).await?,
    };
    let columns = Arc::new(Columns::new(job.source()));
    let partitions = range.map(|(from, to)| layout.partitions(from, to, 0));
    let Listing { root, mut files, version } = lake::list(root, &layout, partitions.as_deref(), &columns, None).await?;
    if let Some((from, to)) = range {
        files.retain(|file| lake::may_hold(file.times, from, to));
    }
    if files.is_empty() {
        return Err(Error::new(ErrorKind::SourceMissing, format!("there is no data file under the layout {layout}"))
            .with("url", &root.display));
    }
    let bytes = files.iter().map(|file| file.meta.size).sum();
    let count = files.len();
    let mut partitions: Vec<_> = files.iter().filter_map(|file| file.partition.clone()).collect();
    partitions.sort();
    partitions.dedup();

    let (facts, unusable) = footers(&root, files, &columns).await;
    let mut inspection = Inspection {
        source: root.display.clone(),
        layout: layout.to_string(),
        layout_guessed: guessed,
        delta_version: version,
        files: count,
        bytes,
        rows: facts.iter().map(|facts| facts.rows()).sum(),
        partitions: partitions.len(),
        unusable,
        outside_partition: Vec::new(),
        schemas: BTreeMap::new(),
        time_units: BTreeMap::new(),
        coarsest_time_unit: facts.iter().filter_map(|facts| facts.shape.resolution).max(),
        earliest: None,
        latest: None,
        nulls: Vec::new(),
        duplicate_rows: 0,
        lag: None,
    };
    for facts in &facts {
        for (column, found) in facts.shape.found.iter().enumerate() {
            let stored = match found {
                Some(index) => {
                    let field = facts.shape.schema.field(*index);
                    format!("{} {}", field.name(), field.data_type())
                }
                None => "absent".to_owned(),
            };
            *inspection.schemas.entry(columns.name(column).to_owned()).or_default().entry(stored).or_default() += 1;
        }
        if let Some(unit) = facts.shape.resolution {
            *inspection.time_units.entry(unit.to_string()).or_default() += 1;
        }
        if let (Some(partition), Some((earliest, latest))) = (&facts.file.partition, facts.times())
            && (earliest < nanos(partition.start) || latest >= nanos(partition.end))
        {
            inspection.outside_partition.push(root.name(&facts.file.meta.location));
        }
    }
    data::fill(&mut inspection, job, &root, &columns, &facts).await?;
    Ok(inspection)
}

async fn footers(
    root: &Root,
    files: Vec<lake::LakeFile>,
    columns: &Columns,
) -> (Vec<Arc<FileFacts>>, BTreeMap<String, String>) {
    let shapes = &Shapes::default();
    let results: Vec<_> = futures::stream::iter(files)
        .map(|file| async move {
            let name = root.name(&file.meta.location);
            // Their other columns are looked at as well.
            (name, FileFacts::read_whole(root, file, columns, shapes).await)
        })
        .buffered(FileFacts::AT_ONCE)
        .collect()
        .await;
    let mut facts = Vec::new();
    let mut unusable = BTreeMap::new();
    for (name, result) in results {
        match result {
            Ok(file) => facts.push(Arc::new(file)),
            Err(error) => {
                unusable.insert(name, error.to_string());
            }
        }
    }
    (facts, unusable)
}
