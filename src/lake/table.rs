//! `raw`: exactly the given files, as the columns that the job declares.

use std::collections::HashMap;
use std::sync::Arc;

use async_trait::async_trait;
use datafusion::arrow::datatypes::SchemaRef;
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::Result;
use datafusion::datasource::TableType;
use datafusion::datasource::listing::PartitionedFile;
use datafusion::datasource::physical_plan::parquet::metadata::CachedParquetMetaData;
use datafusion::datasource::physical_plan::parquet::{CachedParquetFileReaderFactory, ParquetAccessPlan};
use datafusion::datasource::physical_plan::{FileGroup, FileScanConfigBuilder, ParquetSource};
use datafusion::datasource::source::DataSourceExec;
use datafusion::execution::cache::cache_manager::CachedFileMetadataEntry;
use datafusion::execution::object_store::ObjectStoreUrl;
use datafusion::logical_expr::Expr;
use datafusion::physical_plan::ExecutionPlan;

use super::adapter::LakeAdapterFactory;
use super::columns::Columns;
use super::convert::Notices;
use super::footer::FileFacts;
use super::readahead::{self, Read};
use crate::store::Root;

/// Where the source's store stands in the engine's registry. A session reads one source, and files are named relative
/// to its root, so the name says nothing about where that is; two containers of one account cannot be confused.
const SOURCE_URL: &str = "lake://source/";

/// The rows of some files, of which some row groups are known to hold nothing of interest.
#[derive(Debug)]
pub(crate) struct RawTable {
    root: Root,
    columns: Arc<Columns>,
    files: Vec<Arc<FileFacts>>,
    /// Half-open, in nanoseconds: row groups without a time in it are not read.
    range: (i64, i64),
    notices: Arc<Notices>,
}

impl RawTable {
    /// The rows of `files`; row groups whose times all lie outside the half-open `range` (nanoseconds) are left out.
    pub(crate) fn new(
        root: Root,
        columns: Arc<Columns>,
        files: Vec<Arc<FileFacts>>,
        range: (i64, i64),
        notices: Arc<Notices>,
    ) -> Self {
        Self { root, columns, files, range, notices }
    }

    /// A table of this shape without rows, for checking a job against.
    pub(crate) fn empty(columns: Arc<Columns>) -> Self {
        Self { root: Root::nowhere(), columns, files: Vec::new(), range: (0, 0), notices: Arc::default() }
    }

    fn partitioned_file(&self, facts: &FileFacts) -> Option<PartitionedFile> {
        let mut plan = ParquetAccessPlan::new_none(facts.row_groups.len());
        for (index, group) in facts.row_groups.iter().enumerate() {
            if group.rows > 0 && group.may_hold(self.range.0, self.range.1) {
                plan.scan(index);
            }
        }
        plan.row_group_index_iter().next()?;
        let file = PartitionedFile::new_from_meta(facts.file.meta.clone());
        Some(file.with_arrow_schema(Arc::clone(&facts.reading_schema)).with_extension(plan))
    }

    /// What a scan of these columns reads, in the order in which the engine comes to it.
    fn reads(&self, groups: &[FileGroup], projection: Option<&Vec<usize>>) -> Vec<Read> {
        let all: Vec<usize> = (0..self.columns.len()).collect();
        let columns = projection.unwrap_or(&all);
        let facts: HashMap<_, _> = self.files.iter().map(|facts| (&facts.file.meta.location, facts)).collect();
        let files = groups.iter().flat_map(FileGroup::files);
        let files = files.filter_map(|file| facts.get(&file.object_meta.location));
        files.flat_map(|facts| self.reads_of(facts, columns)).collect()
    }

    fn reads_of(&self, facts: &FileFacts, columns: &[usize]) -> Vec<Read> {
        let mut leaves: Vec<usize> =
            columns.iter().filter_map(|column| facts.found[*column]).flat_map(|root| facts.leaves_of(root)).collect();
        leaves.sort_unstable();
        leaves.dedup();
        let groups = facts.metadata.row_groups().iter().zip(&facts.row_groups);
        groups
            .filter(|(_, group)| group.rows > 0 && group.may_hold(self.range.0, self.range.1))
            .map(|(metadata, _)| {
                let range = |leaf: &usize| {
                    let (start, length) = metadata.column(*leaf).byte_range();
                    start..start + length
                };
                Read { location: facts.file.meta.location.clone(), ranges: leaves.iter().map(range).collect() }
            })
            .filter(|read| !read.ranges.is_empty())
            .collect()
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
        let url = ObjectStoreUrl::parse(SOURCE_URL)?;
        let runtime = state.runtime_env();
        runtime.register_object_store(url.as_ref(), Arc::clone(&self.root.store));

        // Neighbours in time stay together, so that each partition reads a stretch of the range.
        let files: Vec<_> = self.files.iter().filter_map(|facts| self.partitioned_file(facts)).collect();
        let groups = FileGroup::new(files).split_files(state.config().target_partitions().max(1));

        // The footers are known; the scan need not fetch them again.
        let cache = runtime.cache_manager.get_file_metadata_cache();
        for facts in &self.files {
            let metadata = Arc::new(CachedParquetMetaData::new(Arc::clone(&facts.metadata)));
            let entry = CachedFileMetadataEntry::new(facts.file.meta.clone(), metadata);
            cache.put(&facts.file.meta.location, entry);
        }
        let store = match self.root.near {
            true => Arc::clone(&self.root.store),
            false => readahead::ahead_of(Arc::clone(&self.root.store), self.reads(&groups, projection)),
        };
        let readers = CachedParquetFileReaderFactory::new(store, cache);
        let source = ParquetSource::new(Arc::clone(self.columns.schema()))
            .with_table_parquet_options(state.table_options().parquet.clone())
            .with_parquet_file_reader_factory(Arc::new(readers))
            // Row groups were chosen above; the index of pages is one more request a file.
            .with_enable_page_index(false);
        let adapter = LakeAdapterFactory::new(Arc::clone(&self.columns), Arc::clone(&self.notices));
        let config = FileScanConfigBuilder::new(url, Arc::new(source))
            .with_file_groups(groups)
            .with_projection_indices(projection.cloned())?
            .with_limit(limit)
            .with_expr_adapter(Some(Arc::new(adapter)))
            .build();
        Ok(DataSourceExec::from_data_source(config))
    }
}
