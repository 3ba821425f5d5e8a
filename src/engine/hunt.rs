//! A hunt as a plan: view and SQL over `raw`, checked, ordered, ready to run or to be shown.

use std::sync::Arc;

use datafusion::arrow::datatypes::SchemaRef;
use datafusion::catalog::TableProvider;
use datafusion::common::TableReference;
use datafusion::datasource::MemTable;
use datafusion::error::DataFusionError;
use datafusion::execution::SendableRecordBatchStream;
use datafusion::physical_plan::display::DisplayableExecutionPlan;
use datafusion::physical_plan::joins::NestedLoopJoinExec;
use datafusion::physical_plan::{ExecutionPlan, displayable, execute_stream};
use datafusion::prelude::{DataFrame, SessionContext};

use super::bind::Bindings;
use super::contract::{self, WINDOW_START};
use super::duplicates;
use super::ordered::Ordered;
use super::self_join;
use crate::cluster;
use crate::error::{Error, ErrorKind, Result};
use crate::job::Job;
use crate::lake::{RawTable, told};
use crate::store::find_cause;

/// The name of a lake's own rows in a view.
const RAW: &str = "raw";

/// A hunt with its parameters bound, over the rows of one table.
pub(crate) struct Hunt {
    context: SessionContext,
    rows: Ordered,
    schema: SchemaRef,
}

impl Hunt {
    /// Plans `job` over the rows of its tables, in their order.
    ///
    /// # Errors
    /// `InvalidJob` when the SQL does not fit: an unknown column or function, a type, or the contract of its columns.
    pub(crate) async fn plan(
        context: SessionContext,
        job: &Job,
        bindings: &Bindings,
        tables: Vec<RawTable>,
    ) -> Result<Self> {
        let register = |name: TableReference, provider: Arc<dyn TableProvider>| {
            context.register_table(name, provider).map_err(engine_error)
        };
        for (name, list) in job.lists() {
            let rows =
                MemTable::try_new(list.rows().schema(), vec![vec![list.rows().clone()]]).map_err(engine_error)?;
            register(TableReference::bare(name.as_str()), Arc::new(rows))?;
        }
        for ((source, view), raw) in job.tables().zip(tables) {
            let table = TableReference::bare(source.table.as_str());
            let rows = duplicates::without(&context, source, bindings, raw).map_err(engine_error)?;
            match view {
                None => {
                    register(table, rows)?;
                }
                Some(view) => {
                    // Each view has a `raw` of its own.
                    register(TableReference::bare(RAW), rows)?;
                    let state = context.state();
                    let plan = bindings.plan(&state, view).await.map_err(|e| sql_error(e, view.path()))?;
                    context.deregister_table(RAW).map_err(engine_error)?;
                    register(table, DataFrame::new(state, plan).into_view())?;
                }
            }
        }
        let state = context.state();
        let sql = job.hunt_sql();
        let plan = bindings.plan(&state, sql).await.map_err(|e| sql_error(e, sql.path()))?;
        let schema: SchemaRef = Arc::new(plan.schema().as_arrow().clone());
        contract::check(job, &schema)?;

        // Window by window.
        let first = std::iter::once(WINDOW_START).chain(job.output().sort.iter().map(String::as_str));
        let rows = Ordered::by(plan, first).map_err(engine_error)?;
        Ok(Self { context, rows, schema })
    }

    /// The columns of the hunt's SELECT.
    pub(crate) fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    /// The rows, ordered by window, and what gives them.
    pub(crate) async fn run(&self) -> Result<(SendableRecordBatchStream, Running)> {
        let sorted = self.physical().await?;
        let shown = self.rows.shown(&self.context.state(), Arc::clone(&sorted)).map_err(engine_error)?;
        let running = Running { sorted, shown: Arc::clone(&shown) };
        Ok((execute_stream(shown, self.context.task_ctx()).map_err(engine_error)?, running))
    }

    /// Whether the rows that are read leave memory again while more are read, however long the range is.
    pub(crate) async fn passes(&self) -> Result<bool> {
        Ok(self_join::passes(&self.physical().await?))
    }

    /// The logical plan after optimization, as text.
    pub(crate) fn logical_text(&self) -> Result<String> {
        let plan = self.rows.whole().and_then(|plan| self.context.state().optimize(&plan)).map_err(engine_error)?;
        Ok(plan.display_indent().to_string())
    }

    /// The physical plan as text.
    pub(crate) async fn physical_text(&self) -> Result<String> {
        let sorted = self.physical().await?;
        if let Some(stages) = cluster::stages(sorted.as_ref()) {
            return Ok(stages);
        }
        let shown = self.rows.shown(&self.context.state(), sorted).map_err(engine_error)?;
        Ok(displayable(shown.as_ref()).indent(false).to_string())
    }

    /// The rows in order, before the SELECT's expressions.
    async fn physical(&self) -> Result<Arc<dyn ExecutionPlan>> {
        let plan = self.context.state().create_physical_plan(&self.rows.plan).await.map_err(engine_error)?;
        refuse_nested_loops(plan.as_ref())?;
        Ok(plan)
    }
}

/// A plan that runs or has run.
pub(crate) struct Running {
    sorted: Arc<dyn ExecutionPlan>,
    shown: Arc<dyn ExecutionPlan>,
}

impl Running {
    /// All of the plan but the SELECT's expressions.
    pub(crate) fn plan(&self) -> &Arc<dyn ExecutionPlan> {
        &self.sorted
    }

    /// The plan as text, with what each operator has measured.
    pub(crate) fn text(&self) -> String {
        DisplayableExecutionPlan::with_metrics(self.shown.as_ref()).indent(false).to_string()
    }
}

/// A nested-loop join compares all rows with all rows, and under a memory limit the engine's is wrong (it panics or
/// loses rows).
fn refuse_nested_loops(plan: &dyn ExecutionPlan) -> Result<()> {
    if plan.is::<NestedLoopJoinExec>() {
        return Err(Error::new(
            ErrorKind::InvalidJob,
            "the hunt joins without an equality between both sides; add one, such as the same user",
        ));
    }
    plan.children().into_iter().try_for_each(|child| refuse_nested_loops(child.as_ref()))
}

fn sql_error(error: DataFusionError, file: &std::path::Path) -> Error {
    Error::new(ErrorKind::InvalidJob, "the SQL does not fit the source")
        .with("file", file.display())
        .caused_by(error.strip_backtrace())
}

/// An error of the engine with the kind that it means.
pub(crate) fn engine_error(error: DataFusionError) -> Error {
    use datafusion::arrow::error::ArrowError;
    // What the lake says of itself is the story; the engine only passed it on.
    if let Some(ours) = find_cause::<Error>(&error) {
        return ours.clone();
    }
    if let Some(theirs) = told(&error) {
        return theirs;
    }
    let (kind, message) = match error.find_root() {
        DataFusionError::ResourcesExhausted(_) => (
            ErrorKind::ResourcesExhausted,
            "the hunt needs more memory than it may use; raise --memory-limit or choose smaller windows",
        ),
        DataFusionError::ParquetError(_) | DataFusionError::ArrowError(..) => {
            (ErrorKind::CorruptFile, "data of the lake cannot be decoded")
        }
        DataFusionError::External(e) if e.downcast_ref::<ArrowError>().is_some() => {
            (ErrorKind::CorruptFile, "data of the lake cannot be decoded")
        }
        DataFusionError::ObjectStore(_) => (ErrorKind::Unreachable, "the source cannot be read"),
        _ => (ErrorKind::Engine, "the engine failed"),
    };
    Error::new(kind, message).caused_by(error)
}
