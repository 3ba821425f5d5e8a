//! What a file's footer tells before any of its data is read: schema, rows, and the times of each row group.

use std::collections::BTreeSet;
use std::sync::Arc;

use datafusion::arrow::datatypes::{Schema, SchemaRef};
use datafusion::datasource::physical_plan::parquet::metadata::DFParquetMetadata;
use datafusion::parquet::arrow::parquet_to_arrow_schema;
use datafusion::parquet::basic::Type as PhysicalType;
use datafusion::parquet::errors::Result as ParquetResult;
use datafusion::parquet::file::metadata::{PageIndexPolicy, ParquetMetaData, RowGroupMetaData};
use datafusion::parquet::file::statistics::Statistics;

use super::columns::{Columns, Resolution, TextForm};
use super::kept::Footer;
use super::listing::LakeFile;
use super::part::{Selected, Stretch, pages};
use super::shape::{Shape, Shapes};
use crate::error::{Error, ErrorKind, Result};
use crate::store::{Root, find_cause};

/// Footers are small; one request for the last bytes usually brings the whole of one.
const FOOTER_HINT: usize = 64 * 1024;

/// The key under which the schema to read a file by says which of its times are seen, for the file's adapter: the only
/// thing of a file that the engine hands to it.
const SIGHT: &str = "lakehunt.sight";

/// The times that are seen of a file that is read by `schema`, if not all are.
pub(super) fn sight(schema: &Schema) -> Option<(i64, i64)> {
    let (from, to) = schema.metadata().get(SIGHT)?.split_once(' ')?;
    Some((from.parse().ok()?, to.parse().ok()?))
}

/// A file and what its footer tells.
#[derive(Debug, Clone)]
pub(crate) struct FileFacts {
    pub(crate) file: LakeFile,
    /// Its columns.
    pub(crate) shape: Arc<Shape>,
    /// Of the columns that are kept.
    footer: Footer,
    /// Outside of these times, half-open and in nanoseconds, its rows have none.
    sight: Option<(i64, i64)>,
    /// By column of the job, whether all row groups have a dictionary of its values.
    dictionaries: Vec<bool>,
    pub(crate) row_groups: Vec<RowGroupFacts>,
    /// By row group, what is known of its rows.
    pub(crate) stretches: Vec<Vec<Stretch>>,
}

/// A row group as far as its footer tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct RowGroupFacts {
    pub(crate) rows: u64,
    /// Compressed and decoded sizes of the columns that the job reads.
    pub(crate) bytes: u64,
    pub(crate) decoded_bytes: u64,
    /// The earliest and the latest time, in nanoseconds, both inclusive; `None` when the footer does not tell.
    pub(crate) times: Option<(i64, i64)>,
}

impl FileFacts {
    /// How many footers are fetched at once: enough to hide the latency of a store.
    pub(crate) const AT_ONCE: usize = 128;

    /// Reads the footer of `file`; what the job reads of it is kept for the scan.
    ///
    /// # Errors
    /// When the footer cannot be read (`CorruptFile`, or what the store says when that is to blame), or when a column
    /// cannot be of the job's type (`SchemaMismatch`).
    pub(crate) async fn read(root: &Root, file: LakeFile, columns: &Columns, shapes: &Shapes) -> Result<Self> {
        Self::fetch(root, file, columns, shapes, false).await
    }

    /// Reads the footer of `file`, and keeps it with the columns that are not the job's.
    ///
    /// # Errors
    /// Those of `read`.
    pub(crate) async fn read_whole(root: &Root, file: LakeFile, columns: &Columns, shapes: &Shapes) -> Result<Self> {
        Self::fetch(root, file, columns, shapes, true).await
    }

    async fn fetch(root: &Root, file: LakeFile, columns: &Columns, shapes: &Shapes, all: bool) -> Result<Self> {
        let name = root.name(&file.meta.location);
        let metadata = DFParquetMetadata::new(root.store.as_ref(), &file.meta)
            .with_metadata_size_hint(Some(FOOTER_HINT))
            // One more request a file, where it does not lie in what is read anyway.
            .with_page_index_policy(Some(if root.near { PageIndexPolicy::Optional } else { PageIndexPolicy::Skip }))
            .fetch_metadata()
            .await
            .map_err(|e| footer_error(e, &name))?;
        Self::from_metadata(file, &metadata, columns, shapes, all).map_err(|e| e.with("file", &name))
    }

    fn from_metadata(
        file: LakeFile,
        metadata: &ParquetMetaData,
        columns: &Columns,
        shapes: &Shapes,
        all: bool,
    ) -> Result<Self> {
        let corrupt = |what: &str| Error::new(ErrorKind::CorruptFile, what);
        let descriptor = metadata.file_metadata().schema_descr();
        let schema = parquet_to_arrow_schema(descriptor, metadata.file_metadata().key_value_metadata())
            .map_err(|e| corrupt("the file's schema cannot be read").caused_by(e))?;
        let shape = shapes.of((descriptor.root_schema_ptr(), schema.fields), columns, all)?;

        // By position in the file.
        let leaves_of = |root: &Option<usize>| {
            root.iter().flat_map(|root| shape.kept.leaves_of(*root)).map(|(_, leaf)| leaf).collect()
        };
        let of_columns: Vec<Vec<usize>> = shape.found.iter().map(leaves_of).collect();
        let leaves: BTreeSet<usize> = of_columns.iter().flatten().copied().collect();
        let time_leaf = of_columns[columns.time()].first().copied();
        let row_groups: Vec<RowGroupFacts> = metadata
            .row_groups()
            .iter()
            .map(|group| RowGroupFacts {
                rows: u64::try_from(group.num_rows()).unwrap_or_default(),
                bytes: leaves.iter().map(|leaf| size(group.column(*leaf).compressed_size())).sum(),
                decoded_bytes: leaves.iter().map(|leaf| size(group.column(*leaf).uncompressed_size())).sum(),
                times: time_leaf.zip(shape.resolution).and_then(|(leaf, resolution)| times(group, leaf, resolution)),
            })
            .collect();
        let pages = |group| pages(metadata, group, time_leaf?, shape.resolution?.nanos());
        let whole = |facts: &RowGroupFacts| Stretch { row: 0, times: facts.times.or(Some((i64::MIN, i64::MAX))) };
        let stretches = row_groups.iter().enumerate();
        let stretches = stretches.map(|(group, facts)| match facts.times {
            Some(_) => pages(group).unwrap_or_else(|| vec![whole(facts)]),
            None => vec![whole(facts)],
        });
        let stretches = stretches.collect();
        let encoded = |leaf: &usize| {
            metadata.row_groups().iter().all(|group| group.column(*leaf).dictionary_page_offset().is_some())
        };
        let dictionaries = of_columns.iter().map(|leaves| leaves.iter().all(encoded)).collect();
        let footer = Footer::new(metadata, &shape.kept)
            .map_err(|e| corrupt("the file's footer contradicts itself; write it again").caused_by(e))?;
        Ok(Self { file, shape, footer, sight: None, dictionaries, row_groups, stretches })
    }

    /// Its footer, of the columns that are kept.
    pub(super) fn footer(&self) -> ParquetResult<ParquetMetaData> {
        self.footer.read(&self.shape.kept)
    }

    /// The name of its time column, as it has it.
    pub(crate) fn time_column(&self, columns: &Columns) -> Option<&str> {
        self.shape.found[columns.time()].map(|index| self.shape.schema.field(index).name().as_str())
    }

    /// Hides rows whose time lies outside the half-open range `[from, to)` (nanoseconds): they have no time. Costs
    /// nothing where the footer tells that there are none.
    pub(crate) fn confined(mut self, from: i64, to: i64) -> Self {
        if !self.times().is_some_and(|(earliest, latest)| from <= earliest && latest < to) {
            self.sight = Some((from, to));
        }
        self
    }

    /// The times that are seen of it, half-open and in nanoseconds, if not all are.
    pub(super) fn sight(&self) -> Option<(i64, i64)> {
        self.sight
    }

    /// What to ask the Parquet reader for when text is wanted in these forms, by column of the job; see [`Shape::reading_schema`].
    pub(super) fn reading_schema(&self, forms: &[TextForm]) -> SchemaRef {
        let schema = self.shape.reading_schema(forms);
        let sight = self.sight.iter().map(|(from, to)| (SIGHT.to_owned(), format!("{from} {to}")));
        Arc::new(schema.with_metadata(sight.collect()))
    }

    /// Whether a column of the job comes as dictionaries from the reader, if it comes at all. A column chunk without a
    /// dictionary page would be given one by the reader for each batch, which costs more than it saves.
    pub(super) fn has_dictionary(&self, column: usize) -> bool {
        self.shape.found[column].is_none_or(|root| self.shape.is_text(root) && self.dictionaries[column])
    }

    /// The row groups that are read for times in a half-open range, and which of their rows.
    pub(super) fn selected(&self, range: (i64, i64)) -> impl Iterator<Item = (usize, Selected)> {
        let groups = self.row_groups.iter().zip(&self.stretches).enumerate();
        groups.filter_map(move |(group, (facts, stretches))| {
            Some((group, Selected::of(facts.rows, facts.times, stretches, range)?))
        })
    }

    /// The row groups that are read for times in a half-open range, and how many of their rows.
    pub(crate) fn read_for(&self, range: (i64, i64)) -> impl Iterator<Item = (&RowGroupFacts, u64)> {
        self.selected(range).map(|(group, selected)| (&self.row_groups[group], selected.rows()))
    }

    pub(crate) fn rows(&self) -> u64 {
        self.row_groups.iter().map(|group| group.rows).sum()
    }

    /// The earliest and the latest time of the file, where every row group tells.
    pub(crate) fn times(&self) -> Option<(i64, i64)> {
        let mut groups = self.row_groups.iter().filter(|group| group.rows > 0);
        let first = groups.next()?.times?;
        groups.try_fold(first, |(low, high), group| {
            let (earliest, latest) = group.times?;
            Some((low.min(earliest), high.max(latest)))
        })
    }
}

fn size(bytes: i64) -> u64 {
    u64::try_from(bytes).unwrap_or_default()
}

/// The least and the greatest time of a row group in nanoseconds. INT96 and text have no order that statistics keep.
fn times(group: &RowGroupMetaData, leaf: usize, resolution: Resolution) -> Option<(i64, i64)> {
    let column = group.column(leaf);
    if column.column_type() != PhysicalType::INT64 || resolution == Resolution::Text {
        return None;
    }
    match column.statistics()? {
        Statistics::Int64(statistics) => {
            let nanos = |n: &i64| n.saturating_mul(resolution.nanos());
            let (min, max) = (nanos(statistics.min_opt()?), nanos(statistics.max_opt()?));
            // A writer that got them wrong must not lose rows.
            (min <= max).then_some((min, max))
        }
        _ => None,
    }
}

fn footer_error(error: datafusion::error::DataFusionError, file: &str) -> Error {
    // A store that fails says so itself, and names the file.
    if let Some(ours) = find_cause::<Error>(&error) {
        return ours.clone();
    }
    Error::new(ErrorKind::CorruptFile, "the file is no whole Parquet file; write it again or move it away")
        .with("file", file)
        .caused_by(error)
}
