//! What a file's footer tells before any of its data is read: schema, rows, and the times of each row group.

use std::collections::BTreeSet;
use std::sync::Arc;

use datafusion::arrow::datatypes::{Schema, SchemaRef};
use datafusion::datasource::physical_plan::parquet::metadata::DFParquetMetadata;
use datafusion::parquet::arrow::parquet_to_arrow_schema;
use datafusion::parquet::basic::Type as PhysicalType;
use datafusion::parquet::file::metadata::{PageIndexPolicy, ParquetMetaData, RowGroupMetaData};
use datafusion::parquet::file::statistics::Statistics;

use super::columns::{Columns, Resolution, TEXT, TextForm, is_noted_text};
use super::listing::LakeFile;
use super::narrow::narrowed;
use super::part::{Selected, Stretch, pages};
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
    /// Of the columns of the job alone, as a rule; so are both schemas.
    pub(crate) metadata: Arc<ParquetMetaData>,
    /// As the file has it.
    pub(crate) schema: SchemaRef,
    /// What to ask the Parquet reader for.
    pub(crate) reading_schema: SchemaRef,
    /// Where each column of `raw` is found, by position in `schema`.
    pub(crate) found: Vec<Option<usize>>,
    /// The resolution of its times; `None` when it has no time column.
    pub(crate) resolution: Option<Resolution>,
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
    /// Reads the footer of `file`; what the job reads of it is kept for the scan.
    ///
    /// # Errors
    /// When the footer cannot be read (`CorruptFile`, or what the store says when that is to blame), or when a column
    /// cannot be of the job's type (`SchemaMismatch`).
    pub(crate) async fn read(root: &Root, file: LakeFile, columns: &Columns) -> Result<Self> {
        let name = root.name(&file.meta.location);
        Self::read_whole(root, file, columns).await?.narrowed().map_err(|e| e.with("file", name))
    }

    /// Reads the footer of `file`, and keeps it with the columns that are not the job's.
    ///
    /// # Errors
    /// Those of `read`.
    pub(crate) async fn read_whole(root: &Root, file: LakeFile, columns: &Columns) -> Result<Self> {
        let name = root.name(&file.meta.location);
        let metadata = DFParquetMetadata::new(root.store.as_ref(), &file.meta)
            .with_metadata_size_hint(Some(FOOTER_HINT))
            // One more request a file, where it does not lie in what is read anyway.
            .with_page_index_policy(Some(if root.near { PageIndexPolicy::Optional } else { PageIndexPolicy::Skip }))
            .fetch_metadata()
            .await
            .map_err(|e| footer_error(e, &name))?;
        Self::from_metadata(file, metadata, columns).map_err(|e| e.with("file", &name))
    }

    fn from_metadata(file: LakeFile, metadata: Arc<ParquetMetaData>, columns: &Columns) -> Result<Self> {
        let descriptor = metadata.file_metadata().schema_descr();
        let schema = parquet_to_arrow_schema(descriptor, metadata.file_metadata().key_value_metadata())
            .map_err(|e| Error::new(ErrorKind::CorruptFile, "the file's schema cannot be read").caused_by(e))?;
        let reading_schema = columns.reading_schema(&schema)?;

        let mut found = Vec::with_capacity(columns.len());
        for column in 0..columns.len() {
            let index = columns.find(column, &schema)?;
            if let Some(index) = index {
                columns
                    .conversion(column, reading_schema.field(index).data_type(), TextForm::Plain)
                    .map_err(|e| e.with("stored as", schema.field(index).name()))?;
            }
            found.push(index);
        }
        let time = found[columns.time()];
        let resolution = time.map(|index| columns.resolution(schema.field(index).data_type()));

        let leaves: Vec<usize> = found.iter().flatten().flat_map(|root| leaves_of(&metadata, *root)).collect();
        let time_leaf = time.and_then(|root| leaves_of(&metadata, root).next());
        let row_groups: Vec<RowGroupFacts> = metadata
            .row_groups()
            .iter()
            .map(|group| RowGroupFacts {
                rows: u64::try_from(group.num_rows()).unwrap_or_default(),
                bytes: leaves.iter().map(|leaf| size(group.column(*leaf).compressed_size())).sum(),
                decoded_bytes: leaves.iter().map(|leaf| size(group.column(*leaf).uncompressed_size())).sum(),
                times: time_leaf.zip(resolution).and_then(|(leaf, resolution)| times(group, leaf, resolution)),
            })
            .collect();
        let pages = |group| pages(&metadata, group, time_leaf?, resolution?.nanos());
        let whole = |facts: &RowGroupFacts| Stretch { row: 0, times: facts.times.or(Some((i64::MIN, i64::MAX))) };
        let stretches = row_groups.iter().enumerate();
        let stretches = stretches.map(|(group, facts)| match facts.times {
            Some(_) => pages(group).unwrap_or_else(|| vec![whole(facts)]),
            None => vec![whole(facts)],
        });
        let stretches = stretches.collect();
        // Nobody asks again what is in the pages, which is much in a wide file. Where they lie is asked by who reads some of them.
        let metadata = Arc::unwrap_or_clone(metadata).into_builder();
        let metadata = Arc::new(metadata.set_column_index(None).build());
        Ok(Self { file, metadata, schema: Arc::new(schema), reading_schema, found, resolution, row_groups, stretches })
    }

    /// The same of a file without the columns that the job does not read. Of a file that has none of the job's, all stay.
    fn narrowed(self) -> Result<Self> {
        let roots: Vec<usize> = self.found.iter().flatten().copied().collect::<BTreeSet<_>>().into_iter().collect();
        if roots.is_empty() || roots.len() == self.schema.fields().len() {
            return Ok(self);
        }
        let corrupt = |what: &str| Error::new(ErrorKind::CorruptFile, what);
        let metadata = narrowed(&self.metadata, &roots)
            .map_err(|e| corrupt("the file's footer contradicts itself; write it again").caused_by(e))?;
        let of = |schema: &Schema| {
            schema.project(&roots).map_err(|e| corrupt("the file's schema cannot be read").caused_by(e))
        };
        Ok(Self {
            metadata: Arc::new(metadata),
            schema: Arc::new(of(&self.schema)?),
            reading_schema: Arc::new(of(&self.reading_schema)?),
            found: self.found.iter().map(|found| roots.binary_search(found.as_ref()?).ok()).collect(),
            ..self
        })
    }

    /// The name of its time column, as it has it.
    pub(crate) fn time_column(&self, columns: &Columns) -> Option<&str> {
        self.found[columns.time()].map(|index| self.schema.field(index).name().as_str())
    }

    /// Hides rows whose time lies outside the half-open range `[from, to)` (nanoseconds): they have no time. Costs
    /// nothing where the footer tells that there are none.
    pub(crate) fn confined(mut self, from: i64, to: i64) -> Self {
        if !self.times().is_some_and(|(earliest, latest)| from <= earliest && latest < to) {
            let mut metadata = self.reading_schema.metadata().clone();
            metadata.insert(SIGHT.to_owned(), format!("{from} {to}"));
            self.reading_schema = Arc::new(self.reading_schema.as_ref().clone().with_metadata(metadata));
        }
        self
    }

    /// What to ask the Parquet reader for when text is wanted in these forms, by column of the job. Bytes that are not
    /// noted to be text are looked at as text first; the reader would take them as they are.
    pub(crate) fn reading_schema_in(&self, forms: &[TextForm]) -> SchemaRef {
        let mut fields = self.reading_schema.fields().to_vec();
        for (root, form) in self.found.iter().zip(forms) {
            if let Some(root) = root
                && self.is_text(*root)
            {
                fields[*root] = Arc::new(fields[*root].as_ref().clone().with_data_type(form.data_type()));
            }
        }
        Arc::new(Schema::new_with_metadata(fields, self.reading_schema.metadata().clone()))
    }

    /// Whether a column of the job comes as dictionaries from the reader, if it comes at all. A column chunk without a
    /// dictionary page would be given one by the reader for each batch, which costs more than it saves.
    pub(super) fn has_dictionary(&self, column: usize) -> bool {
        let encoded =
            |leaf| self.metadata.row_groups().iter().all(|group| group.column(leaf).dictionary_page_offset().is_some());
        self.found[column].is_none_or(|root| self.is_text(root) && self.leaves_of(root).all(encoded))
    }

    /// Whether a column of the file's schema is text, and the file says so.
    fn is_text(&self, root: usize) -> bool {
        self.reading_schema.field(root).data_type() == &TEXT && is_noted_text(self.schema.field(root).data_type())
    }

    /// The leaf columns that make up a column of the file's schema.
    pub(super) fn leaves_of(&self, root: usize) -> impl Iterator<Item = usize> {
        leaves_of(&self.metadata, root)
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

/// The leaf columns under a root column: roots are counted, leaves are stored.
fn leaves_of(metadata: &ParquetMetaData, root: usize) -> impl Iterator<Item = usize> {
    let descriptor = metadata.file_metadata().schema_descr();
    (0..descriptor.num_columns()).filter(move |leaf| descriptor.get_column_root_idx(*leaf) == root)
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
