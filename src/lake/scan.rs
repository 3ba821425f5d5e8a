//! The scan of `raw` as a node of a plan.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

use datafusion::arrow::datatypes::SchemaRef;
use datafusion::catalog::Session;
use datafusion::common::Result;
use datafusion::common::config::TableParquetOptions;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::datasource::physical_plan::parquet::CachedParquetFileReaderFactory;
use datafusion::datasource::physical_plan::parquet::metadata::CachedParquetMetaData;
use datafusion::datasource::physical_plan::{FileGroup, FileScanConfigBuilder, ParquetSource};
use datafusion::datasource::source::DataSourceExec;
use datafusion::execution::cache::cache_manager::{CachedFileMetadataEntry, FileMetadataCache};
use datafusion::execution::cache::default_cache::DefaultCache;
use datafusion::execution::object_store::ObjectStoreUrl;
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_plan::metrics::MetricsSet;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{
    DisplayAs, DisplayFormatType, ExecutionPlan, ExecutionPlanProperties, PlanProperties, ReplaceChildrenOptions,
};

use futures::TryStreamExt;
use object_store::path::Path;

use super::adapter::LakeAdapterFactory;
use super::columns::TextForms;
use super::part::PartTimes;
use super::readahead;
use super::table::RawTable;

/// Where the store of a table stands in the engine's registry. Files are named relative to its root, so the name says nothing
/// about where that is; two containers of one account cannot be confused, nor can two tables.
fn source_url(number: usize) -> String {
    match number {
        0 => "lake://source/".to_owned(),
        number => format!("lake://source-{number}/"),
    }
}

/// Bytes of the footers of a further table that are kept: all of them, as those of the first.
const FOOTERS: usize = usize::MAX;

/// Some columns of `raw`, read by the engine's Parquet scan.
///
/// It wraps that scan, so that a rule of ours can tell which table a scan reads and ask for another form of it.
#[derive(Debug)]
pub(crate) struct LakeScanExec {
    table: RawTable,
    reading: Reading,
    /// By position in `raw`.
    columns: Vec<usize>,
    forms: TextForms,
    fetch: Option<usize>,
    /// Of each partition, where the scan is by time.
    times: Vec<PartTimes>,
    scan: Arc<dyn ExecutionPlan>,
}

/// What a session has for reading `raw`.
#[derive(Clone)]
pub(super) struct Reading {
    url: ObjectStoreUrl,
    options: TableParquetOptions,
    footers: Arc<FileMetadataCache>,
}

impl Reading {
    pub(super) fn new(table: &RawTable, state: &dyn Session) -> Result<Self> {
        let url = ObjectStoreUrl::parse(source_url(table.number()))?;
        let runtime = state.runtime_env();
        runtime.register_object_store(url.as_ref(), Arc::clone(&table.root().store));
        let footers = match table.number() {
            0 => runtime.cache_manager.get_file_metadata_cache(),
            // They are kept by path, and two tables may have the same.
            _ => Arc::new(DefaultCache::<Path, CachedFileMetadataEntry>::new(FOOTERS)) as Arc<FileMetadataCache>,
        };
        keep_footers(table, footers.as_ref());
        Ok(Self { url, options: state.table_options().parquet.clone(), footers })
    }
}

/// The footers are known; the scan need not fetch them again.
fn keep_footers(table: &RawTable, footers: &FileMetadataCache) {
    for facts in table.files() {
        let metadata = Arc::new(CachedParquetMetaData::new(Arc::clone(&facts.metadata)));
        footers.put(&facts.file.meta.location, CachedFileMetadataEntry::new(facts.file.meta.clone(), metadata));
    }
}

impl Reading {
    /// What a task has that is sent its files.
    fn of_task(table: &RawTable, context: &TaskContext) -> Result<Self> {
        let url = ObjectStoreUrl::parse(source_url(0))?;
        // Only the reader that is given to the scan reads; the engine wants a store for the URL nevertheless.
        context.runtime_env().register_object_store(url.as_ref(), Arc::new(object_store::memory::InMemory::new()));
        let global = context.session_config().options().execution.parquet.clone();
        let footers = Arc::new(DefaultCache::<Path, CachedFileMetadataEntry>::new(FOOTERS)) as Arc<FileMetadataCache>;
        keep_footers(table, footers.as_ref());
        Ok(Self { url, options: TableParquetOptions { global, ..Default::default() }, footers })
    }
}

impl fmt::Debug for Reading {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.url.fmt(f)
    }
}

impl LakeScanExec {
    /// The scan of some row groups, as one partition, on a machine that is sent what to read.
    pub(super) fn of_group(
        table: RawTable,
        context: &TaskContext,
        columns: Vec<usize>,
        fetch: Option<usize>,
        group: FileGroup,
    ) -> Result<Self> {
        let reading = Reading::of_task(&table, context)?;
        let forms = table.columns().plain();
        Self::try_new(table, reading, columns, forms, fetch, vec![group], Vec::new())
    }

    /// The table, the columns by position in it, and how many rows are enough.
    pub(super) fn parts(&self) -> (&RawTable, &[usize], Option<usize>) {
        (&self.table, &self.columns, self.fetch)
    }

    /// Dealt out to some tasks, which take files of each other when they have none left.
    pub(super) fn shared(
        table: RawTable,
        reading: Reading,
        columns: Vec<usize>,
        fetch: Option<usize>,
        tasks: usize,
    ) -> Result<Self> {
        let forms = table.columns().plain();
        let groups = table.shares(&forms, tasks);
        Self::try_new(table, reading, columns, forms, fetch, groups, Vec::new())
    }

    /// The scan of other columns of the same table in parts by time, one a partition, for so many tasks; text as it comes
    /// quickest: as dictionaries or as views.
    pub(crate) fn by_time(&self, columns: Vec<usize>, tasks: usize) -> Result<Self> {
        let forms = self.table.quickest_forms();
        let parts = self.table.parts(&forms, tasks);
        let (groups, times) = parts.into_iter().map(|part| (part.files, part.times)).unzip();
        let (table, reading) = (self.table.clone(), self.reading.clone());
        Self::try_new(table, reading, columns, forms, None, groups, times)
    }

    fn try_new(
        table: RawTable,
        reading: Reading,
        columns: Vec<usize>,
        forms: TextForms,
        fetch: Option<usize>,
        groups: Vec<FileGroup>,
        times: Vec<PartTimes>,
    ) -> Result<Self> {
        let root = table.root();
        let store = match root.near {
            true => Arc::clone(&root.store),
            false => readahead::ahead_of(Arc::clone(&root.store), table.reads(&groups, &columns)),
        };
        let readers = CachedParquetFileReaderFactory::new(store, Arc::clone(&reading.footers));
        let source = ParquetSource::new(table.columns().schema_in(&forms))
            .with_table_parquet_options(reading.options.clone())
            .with_parquet_file_reader_factory(Arc::new(readers))
            // Row groups were chosen by their times. Where pages lie is known of near stores; of others it is one more request a file.
            .with_enable_page_index(false);
        let adapter =
            LakeAdapterFactory::new(Arc::clone(table.columns()), Arc::clone(&forms), Arc::clone(table.notices()));
        let config = FileScanConfigBuilder::new(reading.url.clone(), Arc::new(source))
            .with_file_groups(groups)
            // A part is read by the task that asks for it; its times belong to it.
            .with_preserve_order(!times.is_empty())
            .with_projection_indices(Some(columns.clone()))?
            .with_limit(fetch)
            .with_expr_adapter(Some(Arc::new(adapter)))
            .build();
        let scan = DataSourceExec::from_data_source(config);
        Ok(Self { table, reading, columns, forms, fetch, times, scan })
    }

    /// Whether both read the same rows.
    pub(crate) fn reads_same(&self, other: &Self) -> bool {
        self.fetch.is_none() && other.fetch.is_none() && self.table.is(&other.table)
    }

    /// The number of its table among those of the session.
    pub(crate) fn table_number(&self) -> usize {
        self.table.number()
    }

    /// Its columns, by position in `raw`.
    pub(crate) fn columns(&self) -> &[usize] {
        &self.columns
    }

    /// The schema of all of `raw`, as SQL sees it.
    pub(crate) fn table_schema(&self) -> &SchemaRef {
        self.table.columns().schema()
    }

    /// The column of time of the table.
    pub(crate) fn time(&self) -> usize {
        self.table.columns().time()
    }

    /// The times of each part.
    pub(crate) fn times(&self) -> &[PartTimes] {
        &self.times
    }
}

impl DisplayAs for LakeScanExec {
    fn fmt_as(&self, t: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let tree = matches!(t, DisplayFormatType::TreeRender);
        let schema = self.scan.schema();
        let columns: Vec<_> = schema.fields().iter().map(|field| field.name().as_str()).collect();
        let partitions = self.scan.output_partitioning().partition_count();
        if !tree {
            write!(f, "LakeScanExec: ")?;
        }
        let between = if tree { "\n" } else { ", " };
        write!(f, "files={}{between}partitions={partitions}", self.table.files().len())?;
        let fields = schema.fields().iter().zip(&self.columns);
        let texts = fields.filter(|(field, column)| *field.data_type() == self.forms[**column].data_type());
        let forms: BTreeSet<_> = texts.map(|(_, column)| format!("{:?}", self.forms[*column])).collect();
        if !forms.is_empty() {
            write!(f, "{between}text={}", forms.into_iter().collect::<Vec<_>>().join("+"))?;
        }
        write!(f, "{between}columns=[{}]", columns.join(", "))?;
        if let Some(fetch) = self.fetch {
            write!(f, "{between}fetch={fetch}")?;
        }
        if tree { writeln!(f) } else { Ok(()) }
    }
}

impl ExecutionPlan for LakeScanExec {
    fn name(&self) -> &'static str {
        "LakeScanExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        self.scan.properties()
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        Vec::new()
    }

    fn replace_children(
        self: Arc<Self>,
        _: Vec<Arc<dyn ExecutionPlan>>,
        _: ReplaceChildrenOptions,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        Ok(self)
    }

    fn with_new_children(self: Arc<Self>, _: Vec<Arc<dyn ExecutionPlan>>) -> Result<Arc<dyn ExecutionPlan>> {
        Ok(self)
    }

    fn apply_expressions(
        &self,
        f: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        self.scan.apply_expressions(f)
    }

    fn execute(&self, partition: usize, context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        let notices = Arc::clone(self.table.notices());
        let rows = self.scan.execute(partition, context)?;
        let schema = rows.schema();
        let counted = rows.inspect_ok(move |batch| notices.read(batch.num_rows()));
        Ok(Box::pin(RecordBatchStreamAdapter::new(schema, counted)))
    }

    fn metrics(&self) -> Option<MetricsSet> {
        self.scan.metrics()
    }

    fn fetch(&self) -> Option<usize> {
        self.fetch
    }
}
