//! A scan of `raw` as another machine is told of it: where the lake is, which files, which row groups; no credentials. That
//! machine opens the store with its own, and reads the footers anew.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use chrono::{DateTime, Utc};
use datafusion::arrow::datatypes::SchemaRef;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::common::{DataFusionError, Result, exec_err};
use datafusion::datasource::physical_plan::FileGroup;
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_expr::{EquivalenceProperties, Partitioning, PhysicalExpr};
use datafusion::physical_plan::execution_plan::{Boundedness, EmissionType};
use datafusion::physical_plan::metrics::{ExecutionPlanMetricsSet, Label, MetricBuilder, MetricsSet};
use datafusion::physical_plan::stream::{EmptyRecordBatchStream, RecordBatchStreamAdapter};
use datafusion::physical_plan::{DisplayAs, DisplayFormatType, ExecutionPlan, PlanProperties, ReplaceChildrenOptions};
use futures::{StreamExt, TryStreamExt};
use object_store::ObjectMeta;
use object_store::path::Path;
use serde::{Deserialize, Serialize};

use super::columns::Columns;
use super::convert::Notices;
use super::footer::FileFacts;
use super::listing::LakeFile;
use super::scan::LakeScanExec;
use super::shape::Shapes;
use super::table::RawTable;
use super::told::tell;
use crate::error::Error;
use crate::job::StoreSpec;
use crate::store::{Location, Stores, Told, pinned};

/// The metric that counts the rows read.
pub(crate) const READ: &str = "lake_rows";
/// The label of that which says of which table.
pub(crate) const TABLE: &str = "lake_table";
/// The metric whose label of this name is what a scan met.
pub(crate) const NOTICE: &str = "lake_notice";

/// What one task reads.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct RemoteScan {
    /// The number of its table among those of the session.
    table: usize,
    location: String,
    store: StoreSpec,
    columns: Columns,
    /// By position in `raw`.
    projection: Vec<usize>,
    /// Half-open, in nanoseconds.
    range: (i64, i64),
    fetch: Option<usize>,
    files: Vec<RemoteFile>,
    /// Of each partition: files by position in `files`, with the row groups that are read of them.
    partitions: Vec<Vec<(usize, Vec<usize>)>>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct RemoteFile {
    path: String,
    size: u64,
    e_tag: Option<String>,
    modified: DateTime<Utc>,
    sight: Option<(i64, i64)>,
}

impl RemoteScan {
    /// What `scan` reads, dealt out to some tasks of some partitions each. Neighbours in time stay together.
    pub(crate) fn of_tasks(scan: &LakeScanExec, tasks: usize, partitions: usize) -> Result<Vec<Self>> {
        let (table, projection, fetch) = scan.wanted();
        let root = table.root();
        let location = match Location::parse(&root.display) {
            // Another process stands in another folder.
            Ok(Location::Folder(folder)) => std::path::absolute(folder)?.display().to_string(),
            _ => root.display.clone(),
        };
        // For one task none is split: a row group is what a task is sent.
        let parts = table.parts(1);
        let slots = tasks * partitions;
        let mut wanted: Vec<BTreeMap<usize, BTreeSet<usize>>> = vec![BTreeMap::new(); slots];
        for (place, part) in parts.iter().enumerate() {
            let slot = &mut wanted[place * slots / parts.len()];
            for (file, group, _) in part {
                slot.entry(*file).or_default().insert(*group);
            }
        }
        let of_task = |slots: &[BTreeMap<usize, BTreeSet<usize>>]| {
            let mut files = Vec::new();
            let mut place = HashMap::new();
            let partitions = slots.iter().map(|slot| {
                let file = |(index, groups): (&usize, &BTreeSet<usize>)| {
                    let at = *place.entry(*index).or_insert_with(|| {
                        files.push(RemoteFile::of(&table.files()[*index]));
                        files.len() - 1
                    });
                    (at, groups.iter().copied().collect())
                };
                slot.iter().map(file).collect()
            });
            let partitions = partitions.collect();
            Self {
                table: table.number(),
                location: location.clone(),
                store: root.spec.clone(),
                columns: table.columns().as_ref().clone(),
                projection: projection.to_vec(),
                range: table.range(),
                fetch,
                files,
                partitions,
            }
        };
        Ok(wanted.chunks(partitions).map(of_task).collect())
    }

    async fn open(
        &self,
        partition: usize,
        stores: &Stores,
        context: &Arc<TaskContext>,
        notices: Arc<Notices>,
        schema: SchemaRef,
    ) -> Result<SendableRecordBatchStream> {
        let external = |e: Error| DataFusionError::External(Box::new(e));
        let wanted = &self.partitions[partition];
        if wanted.is_empty() {
            return Ok(Box::pin(EmptyRecordBatchStream::new(schema)));
        }
        let metas = self.files.iter().map(RemoteFile::meta).collect::<Result<Vec<_>>>()?;
        // A listing tells what an object is; a table's log does not, as a rule.
        let told = if metas.iter().all(|meta| meta.e_tag.is_some()) { Told::ByTheStore } else { Told::ByALog };
        let root = stores.open(&self.location, &self.store).await.map_err(external)?;
        let root = pinned(root, &metas, told);
        let mut facts = Vec::with_capacity(wanted.len());
        let mut files = Vec::with_capacity(wanted.len());
        let (forms, shapes) = (self.columns.plain(), Shapes::default());
        for (index, groups) in wanted {
            let (Some(meta), Some(file)) = (metas.get(*index), self.files.get(*index)) else {
                return exec_err!("the plan names a file that it does not describe");
            };
            let file_of_lake = LakeFile { meta: meta.clone(), partition: None, times: None };
            let mut fact = FileFacts::read(&root, file_of_lake, &self.columns, &shapes).await.map_err(external)?;
            if let Some((from, to)) = file.sight {
                fact = fact.confined(from, to);
            }
            if groups.iter().any(|group| *group >= fact.row_groups.len()) {
                return exec_err!("the file {} has fewer row groups than when it was planned", file.path);
            }
            let fact = Arc::new(fact);
            files.extend(RawTable::file(&fact, &forms, groups.iter().map(|group| (*group, None))));
            facts.push(fact);
        }
        let table = RawTable::new(root, Arc::new(self.columns.clone()), facts, self.range, notices);
        let scan = LakeScanExec::of_group(table, context, self.projection.clone(), self.fetch, FileGroup::new(files))?;
        scan.execute(0, Arc::clone(context))
    }
}

impl RemoteFile {
    fn of(facts: &FileFacts) -> Self {
        let meta = &facts.file.meta;
        Self {
            path: meta.location.to_string(),
            size: meta.size,
            e_tag: meta.e_tag.clone(),
            modified: meta.last_modified,
            sight: facts.sight(),
        }
    }

    fn meta(&self) -> Result<ObjectMeta> {
        Ok(ObjectMeta {
            location: Path::parse(&self.path).map_err(|e| DataFusionError::External(Box::new(e)))?,
            last_modified: self.modified,
            size: self.size,
            e_tag: self.e_tag.clone(),
            version: None,
        })
    }
}

/// The scan of one task.
#[derive(Debug)]
pub(crate) struct RemoteScanExec {
    scan: Arc<RemoteScan>,
    /// How this process opens stores, if it comes to execute the scan.
    stores: Stores,
    /// What grows while it reads, for those who watch.
    read: Arc<AtomicU64>,
    properties: Arc<PlanProperties>,
    metrics: ExecutionPlanMetricsSet,
}

impl RemoteScanExec {
    pub(crate) fn try_new(scan: RemoteScan, stores: Stores, read: Arc<AtomicU64>) -> Result<Self> {
        let schema = Arc::new(scan.columns.schema().project(&scan.projection)?);
        let properties = PlanProperties::new(
            EquivalenceProperties::new(schema),
            Partitioning::UnknownPartitioning(scan.partitions.len()),
            EmissionType::Incremental,
            Boundedness::Bounded,
        );
        let metrics = ExecutionPlanMetricsSet::new();
        Ok(Self { scan: Arc::new(scan), stores, read, properties: Arc::new(properties), metrics })
    }

    pub(crate) fn scan(&self) -> &RemoteScan {
        &self.scan
    }
}

impl DisplayAs for RemoteScanExec {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RemoteScanExec: files={}, partitions={}", self.scan.files.len(), self.scan.partitions.len())
    }
}

impl ExecutionPlan for RemoteScanExec {
    fn name(&self) -> &'static str {
        "RemoteScanExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
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
        _: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        Ok(TreeNodeRecursion::Continue)
    }

    fn execute(&self, partition: usize, context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        let stores = self.stores.clone();
        let (scan, schema, metrics) = (Arc::clone(&self.scan), self.schema(), self.metrics.clone());
        let table = scan.table.to_string();
        let (read, watched) = (Arc::new(AtomicU64::new(0)), Arc::clone(&self.read));
        let notices = Arc::new(Notices::counting(Arc::clone(&read)));
        let met = Arc::clone(&notices);
        let opened = {
            let schema = Arc::clone(&schema);
            async move { scan.open(partition, &stores, &context, notices, schema).await }
        };
        let told = futures::stream::once(async move {
            let rows = usize::try_from(read.load(Ordering::Relaxed)).unwrap_or(usize::MAX);
            MetricBuilder::new(&metrics).with_label(Label::new(TABLE, table)).counter(READ, partition).add(rows);
            for line in met.warnings() {
                MetricBuilder::new(&metrics).with_label(Label::new(NOTICE, line)).counter(NOTICE, partition).add(1);
            }
        });
        let rows = futures::stream::once(opened).try_flatten().map_err(tell).inspect_ok(move |batch| {
            watched.fetch_add(batch.num_rows() as u64, Ordering::Relaxed);
        });
        let rows = rows.chain(told.filter_map(|()| std::future::ready(None)));
        Ok(Box::pin(RecordBatchStreamAdapter::new(schema, rows)))
    }

    fn metrics(&self) -> Option<MetricsSet> {
        Some(self.metrics.clone_inner())
    }
}
