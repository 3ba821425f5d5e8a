//! The scan of `raw` as a node of a plan.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use datafusion::arrow::datatypes::SchemaRef;
use datafusion::catalog::Session;
use datafusion::common::Result;
use datafusion::common::config::TableParquetOptions;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::datasource::physical_plan::{
    FileGroup, FileScanConfigBuilder, ParquetFileReaderFactory, ParquetSource,
};
use datafusion::datasource::source::DataSourceExec;
use datafusion::execution::object_store::ObjectStoreUrl;
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_plan::metrics::{
    ExecutionPlanMetricsSet, MetricBuilder, MetricCategory, MetricType, MetricsSet,
};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{DisplayAs, DisplayFormatType, ExecutionPlan, PlanProperties, ReplaceChildrenOptions};
use futures::TryStreamExt;
use object_store::ObjectStore;

use super::adapter::LakeAdapterFactory;
use super::columns::TextForms;
use super::part::PartTimes;
use super::readahead::{self, Read};
use super::reader::Readers;
use super::table::{Part, RawTable};

/// Where the store of a table stands in the engine's registry. Files are named relative to its root, so the name says nothing
/// about where that is; two containers of one account cannot be confused, nor can two tables.
fn source_url(number: usize) -> String {
    match number {
        0 => "lake://source/".to_owned(),
        number => format!("lake://source-{number}/"),
    }
}

/// Some columns of `raw`, read by the engine's Parquet scan.
///
/// It wraps that scan, so that a rule of ours can tell which table a scan reads and ask for another form of it.
#[derive(Debug)]
pub(crate) struct LakeScanExec {
    wanted: Wanted,
    /// By partition, where the scan is by time.
    parts: Vec<Part>,
    times: Arc<[PartTimes]>,
    readers: Arc<Readers>,
    /// Of all partitions. Of a scan by time it has no files: each part is described to the engine when it is read.
    scan: Arc<DataSourceExec>,
    measured: Arc<Measured>,
}

/// What is scanned.
#[derive(Debug)]
struct Wanted {
    table: RawTable,
    reading: Reading,
    /// By position in `raw`.
    columns: Vec<usize>,
    forms: TextForms,
    fetch: Option<usize>,
}

/// What a session has for reading `raw`.
#[derive(Clone)]
pub(super) struct Reading {
    url: ObjectStoreUrl,
    options: TableParquetOptions,
}

/// What scans have measured.
#[derive(Debug, Default)]
struct Measured {
    /// Of what is read.
    reads: ExecutionPlanMetricsSet,
    /// Of all parts that have been read, by name: the engine counts some twenty things of each file, and keeps them with its scan.
    parts: Mutex<MetricsSet>,
}

/// A part's scan, which leaves what it has measured when it is dropped.
struct Measuring {
    scan: Arc<DataSourceExec>,
    measured: Arc<Measured>,
}

impl Drop for Measuring {
    fn drop(&mut self) {
        // A set is whole at every point where a holder can panic.
        let mut parts = self.measured.parts.lock().unwrap_or_else(PoisonError::into_inner);
        self.scan.metrics().iter().flat_map(MetricsSet::iter).for_each(|metric| parts.push(Arc::clone(metric)));
        *parts = parts.aggregate_by_name();
    }
}

impl Reading {
    pub(super) fn new(table: &RawTable, state: &dyn Session) -> Result<Self> {
        let url = ObjectStoreUrl::parse(source_url(table.number()))?;
        state.runtime_env().register_object_store(url.as_ref(), Arc::clone(&table.root().store));
        Ok(Self { url, options: state.table_options().parquet.clone() })
    }

    /// What a task has that is sent its files.
    fn of_task(context: &TaskContext) -> Result<Self> {
        let url = ObjectStoreUrl::parse(source_url(0))?;
        // Only the reader that is given to the scan reads; the engine wants a store for the URL nevertheless.
        context.runtime_env().register_object_store(url.as_ref(), Arc::new(object_store::memory::InMemory::new()));
        let global = context.session_config().options().execution.parquet.clone();
        Ok(Self { url, options: TableParquetOptions { global, ..Default::default() } })
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
        let (reading, forms) = (Reading::of_task(context)?, table.columns().plain());
        Wanted { table, reading, columns, forms, fetch }.in_groups(vec![group])
    }

    /// The table, the columns by position in it, and how many rows are enough.
    pub(super) fn wanted(&self) -> (&RawTable, &[usize], Option<usize>) {
        (&self.wanted.table, &self.wanted.columns, self.wanted.fetch)
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
        Wanted { table, reading, columns, forms, fetch }.in_groups(groups)
    }

    /// The scan of other columns of the same table in parts by time, one a partition, for so many tasks; text as it comes
    /// quickest: as dictionaries or as views.
    pub(crate) fn by_time(&self, columns: Vec<usize>, tasks: usize) -> Result<Self> {
        let Wanted { table, reading, .. } = &self.wanted;
        let (table, reading, forms) = (table.clone(), reading.clone(), table.quickest_forms());
        let parts = table.parts(tasks);
        Wanted { table, reading, columns, forms, fetch: None }.in_parts(parts)
    }

    /// Whether both read the same rows.
    pub(crate) fn reads_same(&self, other: &Self) -> bool {
        self.wanted.fetch.is_none() && other.wanted.fetch.is_none() && self.wanted.table.is(&other.wanted.table)
    }

    /// The number of its table among those of the session.
    pub(crate) fn table_number(&self) -> usize {
        self.wanted.table.number()
    }

    /// Its columns, by position in `raw`.
    pub(crate) fn columns(&self) -> &[usize] {
        &self.wanted.columns
    }

    /// The schema of all of `raw`, as SQL sees it.
    pub(crate) fn table_schema(&self) -> &SchemaRef {
        self.wanted.table.columns().schema()
    }

    /// The column of time of the table.
    pub(crate) fn time(&self) -> usize {
        self.wanted.table.columns().time()
    }

    /// The times of each part.
    pub(crate) fn times(&self) -> &Arc<[PartTimes]> {
        &self.times
    }
}

impl Wanted {
    fn in_groups(self, groups: Vec<FileGroup>) -> Result<LakeScanExec> {
        let store = self.store(|| RawTable::reads(&groups, &self.columns))?;
        self.in_partitions(store, groups, Vec::new())
    }

    fn in_parts(self, parts: Vec<Part>) -> Result<LakeScanExec> {
        let store = self.store(|| self.table.reads_of_parts(&parts, &self.columns))?;
        let groups = parts.iter().map(|_| FileGroup::default()).collect();
        self.in_partitions(store, groups, parts)
    }

    /// The table's store; a far one, from which the scan is served ahead of time.
    fn store(&self, reads: impl FnOnce() -> Result<Vec<Read>>) -> Result<Arc<dyn ObjectStore>> {
        let root = self.table.root();
        let store = Arc::clone(&root.store);
        if root.near { Ok(store) } else { Ok(readahead::ahead_of(store, reads()?)) }
    }

    fn in_partitions(
        self,
        store: Arc<dyn ObjectStore>,
        groups: Vec<FileGroup>,
        parts: Vec<Part>,
    ) -> Result<LakeScanExec> {
        let measured = Arc::new(Measured::default());
        let scanned = MetricBuilder::new(&measured.reads)
            .with_type(MetricType::Summary)
            .with_category(MetricCategory::Bytes)
            .global_counter("bytes_scanned");
        let readers = Arc::new(Readers::new(store, scanned));
        let scan = self.scan(&readers, groups)?;
        let times = parts.iter().map(|part| self.table.times_of(part)).collect();
        Ok(LakeScanExec { wanted: self, parts, times, readers, scan, measured })
    }

    /// The engine's scan of some files.
    fn scan(&self, readers: &Arc<Readers>, groups: Vec<FileGroup>) -> Result<Arc<DataSourceExec>> {
        let source = ParquetSource::new(self.table.columns().schema_in(&self.forms))
            .with_table_parquet_options(self.reading.options.clone())
            .with_parquet_file_reader_factory(Arc::clone(readers) as Arc<dyn ParquetFileReaderFactory>)
            // Row groups were chosen by their times. Where pages lie is known of near stores; of others it is one more request a file.
            .with_enable_page_index(false);
        let (columns, notices) = (Arc::clone(self.table.columns()), Arc::clone(self.table.notices()));
        let adapter = LakeAdapterFactory::new(columns, Arc::clone(&self.forms), notices);
        let config = FileScanConfigBuilder::new(self.reading.url.clone(), Arc::new(source))
            .with_file_groups(groups)
            .with_projection_indices(Some(self.columns.clone()))?
            .with_limit(self.fetch)
            .with_expr_adapter(Some(Arc::new(adapter)))
            .build();
        Ok(DataSourceExec::from_data_source(config))
    }
}

impl DisplayAs for LakeScanExec {
    fn fmt_as(&self, t: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let tree = matches!(t, DisplayFormatType::TreeRender);
        let schema = self.scan.schema();
        let columns: Vec<_> = schema.fields().iter().map(|field| field.name().as_str()).collect();
        let partitions = self.properties().output_partitioning().partition_count();
        if !tree {
            write!(f, "LakeScanExec: ")?;
        }
        let between = if tree { "\n" } else { ", " };
        write!(f, "files={}{between}partitions={partitions}", self.wanted.table.files().len())?;
        let fields = schema.fields().iter().zip(&self.wanted.columns);
        let texts = fields.filter(|(field, column)| *field.data_type() == self.wanted.forms[**column].data_type());
        let forms: BTreeSet<_> = texts.map(|(_, column)| format!("{:?}", self.wanted.forms[*column])).collect();
        if !forms.is_empty() {
            write!(f, "{between}text={}", forms.into_iter().collect::<Vec<_>>().join("+"))?;
        }
        write!(f, "{between}columns=[{}]", columns.join(", "))?;
        if let Some(fetch) = self.wanted.fetch {
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
        let notices = Arc::clone(self.wanted.table.notices());
        let Some(part) = self.parts.get(partition) else {
            let rows = self.scan.execute(partition, context)?;
            let counted = rows.inspect_ok(move |batch| notices.read(batch.num_rows()));
            return Ok(Box::pin(RecordBatchStreamAdapter::new(self.schema(), counted)));
        };
        let files = self.wanted.table.files_of(part, &self.wanted.forms);
        let scan = self.wanted.scan(&self.readers, vec![files])?;
        let rows = scan.execute(0, context)?;
        let measuring = Measuring { scan, measured: Arc::clone(&self.measured) };
        let counted = rows.inspect_ok(move |batch| {
            let _ = &measuring;
            notices.read(batch.num_rows());
        });
        Ok(Box::pin(RecordBatchStreamAdapter::new(self.schema(), counted)))
    }

    fn metrics(&self) -> Option<MetricsSet> {
        let mut all = self.measured.reads.clone_inner();
        let of_scan = self.scan.metrics().unwrap_or_default();
        let of_parts = self.measured.parts.lock().unwrap_or_else(PoisonError::into_inner);
        of_scan.iter().chain(of_parts.iter()).for_each(|metric| all.push(Arc::clone(metric)));
        Some(all)
    }

    fn fetch(&self) -> Option<usize> {
        self.wanted.fetch
    }
}
