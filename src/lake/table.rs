//! `raw`: exactly the given files, as the columns that the job declares.

use std::collections::VecDeque;
use std::ops::Range;
use std::sync::Arc;

use async_trait::async_trait;
use datafusion::arrow::datatypes::SchemaRef;
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::Result;
use datafusion::datasource::TableType;
use datafusion::datasource::listing::PartitionedFile;
use datafusion::datasource::physical_plan::FileGroup;
use datafusion::datasource::physical_plan::parquet::ParquetAccessPlan;
use datafusion::logical_expr::Expr;
use datafusion::parquet::arrow::arrow_reader::RowSelection;
use datafusion::physical_plan::ExecutionPlan;

use super::columns::{Columns, TextForm, TextForms};
use super::convert::Notices;
use super::footer::FileFacts;
use super::part::{PartTimes, Selected};
use super::readahead::Read;
use super::scan::{LakeScanExec, Reading};
use crate::store::Root;

/// Rows of one part that are worth a task of their own: smaller row groups are read together.
const ROWS_OF_A_PART: u64 = 1 << 17;

/// Rows that take about as long as to open a row group of a file (half a millisecond): many small files are work for all tasks.
const ROWS_OF_OPENING: u64 = 1 << 13;

/// Rows that are worth a part of their own beside others of their row group, whose dictionaries are then read once more.
const ROWS_OF_A_PIECE: u64 = 1 << 18;

/// The rows of some files, of which some row groups are known to hold nothing of interest.
#[derive(Debug, Clone)]
pub(crate) struct RawTable {
    root: Root,
    columns: Arc<Columns>,
    files: Arc<Vec<Arc<FileFacts>>>,
    /// Half-open, in nanoseconds: row groups without a time in it are not read, nor pages where those are known.
    range: (i64, i64),
    notices: Arc<Notices>,
    /// Its number among the tables of a session, each of which has a store of its own.
    number: usize,
}

/// A row group of a file, both by position, and the rows of it that are read.
pub(super) type Piece = (usize, usize, Selected);

/// What is read one after the other: at least one piece, ordered by file and row group.
pub(super) type Part = Vec<Piece>;

impl RawTable {
    /// The rows of `files`; row groups and pages whose times all lie outside the half-open `range` (nanoseconds) are left out.
    pub(crate) fn new(
        root: Root,
        columns: Arc<Columns>,
        files: Vec<Arc<FileFacts>>,
        range: (i64, i64),
        notices: Arc<Notices>,
    ) -> Self {
        Self { root, columns, files: Arc::new(files), range, notices, number: 0 }
    }

    /// A table of this shape without rows, for checking a job against.
    pub(crate) fn empty(columns: Arc<Columns>) -> Self {
        Self {
            root: Root::nowhere(),
            columns,
            files: Arc::default(),
            range: (0, 0),
            notices: Arc::default(),
            number: 0,
        }
    }

    /// As one of several tables of a session.
    pub(crate) fn numbered(self, number: usize) -> Self {
        Self { number, ..self }
    }

    pub(super) fn number(&self) -> usize {
        self.number
    }

    pub(super) fn root(&self) -> &Root {
        &self.root
    }

    pub(super) fn columns(&self) -> &Arc<Columns> {
        &self.columns
    }

    pub(super) fn files(&self) -> &[Arc<FileFacts>] {
        &self.files
    }

    pub(super) fn notices(&self) -> &Arc<Notices> {
        &self.notices
    }

    /// Whether both show the same rows.
    pub(super) fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.files, &other.files) && self.range == other.range
    }

    /// The half-open range of its times, in nanoseconds.
    pub(super) fn range(&self) -> (i64, i64) {
        self.range
    }

    /// A file, of which some row groups are read: all of each, or some of its rows. It brings what its footer tells.
    pub(super) fn file(
        facts: &Arc<FileFacts>,
        forms: &[TextForm],
        groups: impl Iterator<Item = (usize, Option<RowSelection>)>,
    ) -> Option<PartitionedFile> {
        let mut plan = ParquetAccessPlan::new_none(facts.row_groups.len());
        for (group, selection) in groups {
            plan.scan(group);
            if let Some(selection) = selection {
                plan.scan_selection(group, selection);
            }
        }
        plan.row_group_index_iter().next()?;
        let file = PartitionedFile::new_from_meta(facts.file.meta.clone());
        let file = file.with_arrow_schema(facts.reading_schema(forms));
        Some(file.with_extension(plan).with_extension(Arc::clone(facts)))
    }

    /// All files in their order, dealt out to some tasks. Neighbours in time stay together, so that each task reads a
    /// stretch of the range.
    pub(super) fn shares(&self, forms: &[TextForm], tasks: usize) -> Vec<FileGroup> {
        let groups = |facts: &FileFacts| {
            facts.selected(self.range).map(|(group, rows)| (group, rows.selection())).collect::<Vec<_>>()
        };
        let files = self.files.iter().filter_map(|facts| Self::file(facts, forms, groups(facts).into_iter()));
        FileGroup::new(files.collect()).split_files(tasks.max(1))
    }

    /// How text comes quickest: as dictionaries where all files have them, or else as it stands in their pages.
    pub(super) fn quickest_forms(&self) -> TextForms {
        let form = |column| match self.files.iter().all(|facts| facts.has_dictionary(column)) {
            true => TextForm::Dictionary,
            false => TextForm::View,
        };
        (0..self.columns.len()).map(form).collect()
    }

    /// All row groups in the order of their earliest times, small ones together. One that is more than its share, among so
    /// many tasks, of the rows that are left with it is split where pages allow it: towards the end parts get smaller, so that
    /// tasks end at about the same time, and a single row group is work for all.
    pub(super) fn parts(&self, tasks: usize) -> Vec<Part> {
        let mut groups: Vec<Piece> = self
            .files
            .iter()
            .enumerate()
            .flat_map(|(file, facts)| facts.selected(self.range).map(move |(group, rows)| (file, group, rows)))
            .collect();
        groups.sort_by_key(|(file, group, rows)| (rows.times, *file, *group));
        let mut left: u64 = groups.iter().map(|(.., rows)| rows.rows()).sum();
        let mut groups = VecDeque::from(groups);
        let mut parts = Vec::new();
        let (mut part, mut rows) = (Vec::new(), 0);
        while let Some((file, group, selected)) = groups.pop_front() {
            let (first, others) = selected.split((left / tasks.max(1) as u64).max(ROWS_OF_A_PIECE), ROWS_OF_A_PIECE);
            if let Some(others) = others {
                groups.push_front((file, group, others));
            }
            left -= first.rows();
            rows += first.rows() + ROWS_OF_OPENING;
            part.push((file, group, first));
            if rows >= ROWS_OF_A_PART {
                parts.push(std::mem::take(&mut part));
                rows = 0;
            }
        }
        if !part.is_empty() {
            parts.push(part);
        }
        for part in &mut parts {
            part.sort_unstable_by_key(|(file, group, _)| (*file, *group));
        }
        parts
    }

    /// The files of a part.
    pub(super) fn files_of(&self, part: &[Piece], forms: &[TextForm]) -> FileGroup {
        let files = part.chunk_by(|a, b| a.0 == b.0).filter_map(|of_file| {
            let (file, ..) = of_file.first()?;
            let groups = of_file.iter().map(|(_, group, rows)| (*group, rows.selection()));
            Self::file(&self.files[*file], forms, groups)
        });
        FileGroup::new(files.collect())
    }

    /// What the footers of a part's files tell of its times.
    pub(super) fn times_of(&self, part: &[Piece]) -> PartTimes {
        let times = part.iter().map(|(.., rows)| rows.times);
        let bounds = times.reduce(|a, b| a.zip(b).map(|(a, b)| (a.0.min(b.0), a.1.max(b.1)))).flatten();
        let mut names: Vec<String> =
            part.iter().map(|(file, ..)| self.root.name(&self.files[*file].file.meta.location)).collect();
        names.dedup();
        let ahead: Vec<_> = part.iter().map(|(.., rows)| (rows.rows(), rows.ahead())).collect();
        let pieces = ahead.iter().map(|(rows, ahead)| (*rows, ahead.as_slice()));
        PartTimes::of(names, bounds, pieces)
    }

    /// What a scan of these columns reads, in the order in which the engine comes to it.
    pub(super) fn reads(groups: &[FileGroup], columns: &[usize]) -> Result<Vec<Read>> {
        let mut reads = Vec::new();
        for file in groups.iter().flat_map(FileGroup::files) {
            if let (Some(facts), Some(plan)) =
                (file.extension::<Arc<FileFacts>>(), file.extension::<ParquetAccessPlan>())
            {
                reads.extend(Self::reads_of(facts, plan.row_group_indexes(), columns)?);
            }
        }
        Ok(reads)
    }

    /// The same of a scan in parts, which are read in about their order.
    pub(super) fn reads_of_parts(&self, parts: &[Part], columns: &[usize]) -> Result<Vec<Read>> {
        let mut reads = Vec::new();
        for (file, group, _) in parts.iter().flatten() {
            reads.extend(Self::reads_of(&self.files[*file], vec![*group], columns)?);
        }
        Ok(reads)
    }

    fn reads_of(facts: &FileFacts, groups: Vec<usize>, columns: &[usize]) -> Result<Vec<Read>> {
        let (shape, footer) = (&facts.shape, facts.footer()?);
        let mut leaves: Vec<usize> = columns
            .iter()
            .filter_map(|column| shape.found[*column])
            .flat_map(|root| shape.kept.leaves_of(root))
            .map(|(leaf, _)| leaf)
            .collect();
        leaves.sort_unstable();
        leaves.dedup();
        let reads = groups.into_iter().map(|group| {
            let range = |leaf: &usize| -> Range<u64> {
                let (start, length) = footer.row_group(group).column(*leaf).byte_range();
                start..start + length
            };
            Read { location: facts.file.meta.location.clone(), ranges: leaves.iter().map(range).collect() }
        });
        Ok(reads.filter(|read| !read.ranges.is_empty()).collect())
    }
}

#[async_trait]
impl TableProvider for RawTable {
    fn schema(&self) -> SchemaRef {
        Arc::clone(self.columns.schema())
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    async fn scan(
        &self,
        state: &dyn Session,
        projection: Option<&Vec<usize>>,
        _filters: &[Expr],
        limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let columns = projection.cloned().unwrap_or_else(|| (0..self.columns.len()).collect());
        let reading = Reading::new(self, state)?;
        let tasks = state.config().target_partitions();
        Ok(Arc::new(LakeScanExec::shared(self.clone(), reading, columns, limit, tasks)?))
    }
}
