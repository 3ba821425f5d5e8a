use std::sync::Arc;
use std::time::Duration;

use datafusion::arrow::array::{AsArray, RecordBatch};
use datafusion::arrow::datatypes::{DataType, Field, Int64Type, Schema};
use datafusion::common::{JoinSide, Result};
use datafusion::datasource::memory::MemorySourceConfig;
use datafusion::error::DataFusionError;
use datafusion::execution::TaskContext;
use datafusion::execution::memory_pool::{GreedyMemoryPool, MemoryPool, UnboundedMemoryPool};
use datafusion::execution::runtime_env::RuntimeEnvBuilder;
use datafusion::logical_expr::Operator;
use datafusion::physical_expr::PhysicalExprRef;
use datafusion::physical_expr::expressions::{BinaryExpr, Column, col, lit};
use datafusion::physical_plan::joins::PartitionMode;
use datafusion::physical_plan::joins::utils::{ColumnIndex, JoinFilter};
use datafusion::physical_plan::repartition::RepartitionExec;
use datafusion::physical_plan::{ExecutionPlan, Partitioning, collect, displayable};
use datafusion::prelude::SessionConfig;

use super::super::exec::{IntervalJoinExec, Join};
use super::super::sequence::Sequence;
use super::data::{Draw, Event, batch, naive};

/// How a join is run.
#[derive(Debug, Clone, Copy)]
struct Way {
    mode: PartitionMode,
    build_side: JoinSide,
    /// The side of the first event.
    first: JoinSide,
    partitions: usize,
    other_app: bool,
}

const TIME: usize = 3;
const APP: usize = 4;

fn ways() -> Vec<Way> {
    let mut ways = Vec::new();
    for first in [JoinSide::Left, JoinSide::Right] {
        for other_app in [false, true] {
            for partitions in [1, 5] {
                let way = |mode, build_side| Way { mode, build_side, first, partitions, other_app };
                ways.push(way(PartitionMode::CollectLeft, JoinSide::Left));
                ways.push(way(PartitionMode::Partitioned, JoinSide::Left));
                ways.push(way(PartitionMode::Partitioned, JoinSide::Right));
            }
        }
    }
    ways
}

/// A scan that gives the events in batches of three.
fn scan(events: &[Event], partitions: usize) -> Arc<dyn ExecutionPlan> {
    let mut parts = vec![Vec::new(); partitions];
    for (index, chunk) in events.chunks(3).enumerate() {
        parts[index % partitions].push(batch(chunk));
    }
    MemorySourceConfig::try_new_exec(&parts, batch(&[]).schema(), None).unwrap()
}

fn by_key(input: Arc<dyn ExecutionPlan>, partitions: usize) -> Arc<dyn ExecutionPlan> {
    let keys = keys(&input.schema());
    Arc::new(RepartitionExec::try_new(input, Partitioning::Hash(keys, partitions)).unwrap())
}

fn keys(schema: &Schema) -> Vec<PhysicalExprRef> {
    vec![col("user", schema).unwrap(), col("ip", schema).unwrap()]
}

fn sequence(first: JoinSide, span: i128) -> Sequence {
    let time = |side| ColumnIndex { index: TIME, side };
    Sequence::try_new(time(first), time(first.negate()), span).unwrap()
}

/// `left.app <> right.app`
fn other_app() -> JoinFilter {
    let schema = Schema::new(vec![Field::new("a", DataType::Utf8, true), Field::new("b", DataType::Utf8, true)]);
    let column = |name, index| Arc::new(Column::new(name, index));
    let differs = BinaryExpr::new(column("a", 0), Operator::NotEq, column("b", 1));
    let columns = JoinFilter::build_column_indices(vec![APP], vec![APP]);
    JoinFilter::new(Arc::new(differs), columns, Arc::new(schema))
}

fn plan(first: &[Event], then: &[Event], span: i128, way: Way) -> IntervalJoinExec {
    let (left, right) = if way.first == JoinSide::Left { (first, then) } else { (then, first) };
    let (left, right) = match way.mode {
        PartitionMode::CollectLeft => (scan(left, 1), scan(right, way.partitions)),
        _ => (by_key(scan(left, 2), way.partitions), by_key(scan(right, 2), way.partitions)),
    };
    let on = keys(&left.schema()).into_iter().zip(keys(&right.schema())).collect();
    let join = Join {
        on,
        sequence: sequence(way.first, span),
        filter: way.other_app.then(other_app),
        mode: way.mode,
        build_side: way.build_side,
        projection: Some(vec![5, 0]),
        fetch: None,
    };
    IntervalJoinExec::try_new(left, right, join).unwrap()
}

fn context(batch_size: usize, memory: Option<usize>) -> Arc<TaskContext> {
    let pool: Arc<dyn MemoryPool> = match memory {
        Some(bytes) => Arc::new(GreedyMemoryPool::new(bytes)),
        None => Arc::new(UnboundedMemoryPool::default()),
    };
    let runtime = RuntimeEnvBuilder::new().with_memory_pool(pool).build_arc().unwrap();
    let config = SessionConfig::new().with_batch_size(batch_size);
    Arc::new(TaskContext::default().with_session_config(config).with_runtime(runtime))
}

async fn pairs(plan: IntervalJoinExec, way: Way, batch_size: usize) -> Vec<(i64, i64)> {
    let batches: Vec<RecordBatch> = collect(Arc::new(plan), context(batch_size, None)).await.unwrap();
    let mut pairs = Vec::new();
    if way.mode == PartitionMode::CollectLeft && way.partitions == 1 {
        let probe: Vec<i64> =
            batches.iter().flat_map(|batch| batch.column(0).as_primitive::<Int64Type>().values().to_vec()).collect();
        assert!(probe.is_sorted(), "the order of the probe side is kept");
    }
    for batch in batches {
        assert!((1..=batch_size).contains(&batch.num_rows()));
        let ids = |column| batch.column(column).as_primitive::<Int64Type>().values();
        let (right, left) = (ids(0), ids(1));
        let (first, then) = if way.first == JoinSide::Left { (left, right) } else { (right, left) };
        pairs.extend(first.iter().copied().zip(then.iter().copied()));
    }
    pairs.sort_unstable();
    pairs
}

#[tokio::test]
async fn the_rows_are_those_of_the_naive_join() {
    for seed in 0..12 {
        let mut draw = Draw(seed);
        let (left, right) = (draw.below(60), draw.below(60));
        let (first, then) = (draw.events(left), draw.events(right));
        let span = [0, 1, 3, 5, 20, i128::from(u64::MAX), -2][seed as usize % 7];
        for way in ways() {
            let expected = naive(&first, &then, span, way.other_app);
            for batch_size in [1, 2, 8192] {
                let found = pairs(plan(&first, &then, span, way), way, batch_size).await;
                assert_eq!(found, expected, "seed {seed}, span {span}, batches of {batch_size}, {way:?}");
            }
        }
    }
}

fn heavy(count: usize) -> Vec<Event> {
    let event = |id| Event { id, user: Some("a"), ip: Some(1), time: Some(0), app: Some("x") };
    (0..count as i64).map(event).collect()
}

fn later(events: &[Event]) -> Vec<Event> {
    events.iter().map(|event| Event { time: Some(1), ..event.clone() }).collect()
}

#[tokio::test]
async fn too_little_memory_is_an_error_that_names_the_operator() {
    let first = heavy(500);
    for way in ways() {
        let plan = Arc::new(plan(&first, &later(&first), 1, way));
        let error = collect(plan, context(8192, Some(4096))).await.unwrap_err();
        assert!(matches!(error.find_root(), DataFusionError::ResourcesExhausted(_)), "{error} {way:?}");
        assert!(error.to_string().contains("IntervalJoinExec"), "{error}");
    }
}

#[tokio::test]
async fn memory_is_given_back() {
    let first = heavy(50);
    for way in ways() {
        let context = context(8192, None);
        let plan = Arc::new(plan(&first, &later(&first), 1, Way { other_app: false, ..way }));
        let rows: usize = collect(plan, Arc::clone(&context)).await.unwrap().iter().map(RecordBatch::num_rows).sum();
        assert_eq!(rows, 2500);
        assert_eq!(context.memory_pool().reserved(), 0);
    }
}

#[tokio::test]
async fn a_join_without_output_can_be_cancelled() {
    let first = heavy(3000);
    let way = ways().into_iter().find(|way| way.other_app).unwrap();
    let joined = collect(Arc::new(plan(&first, &later(&first), 1, way)), context(64, None));
    assert!(tokio::time::timeout(Duration::from_millis(20), joined).await.is_err());
}

#[tokio::test]
async fn only_rows_in_reach_are_candidates() {
    let mut first = heavy(100);
    for (event, time) in first.iter_mut().zip(0..) {
        event.time = Some(time);
    }
    for way in ways() {
        let plan = Arc::new(plan(&first, &first, 1, way));
        let rows = collect(Arc::clone(&plan) as _, context(8192, None)).await.unwrap();
        let rows: usize = rows.iter().map(RecordBatch::num_rows).sum();
        let metrics = plan.metrics().unwrap();
        let metric = |name| metrics.sum_by_name(name).unwrap().as_usize();
        assert_eq!(metric("candidate_pairs"), 99);
        assert_eq!(metric("build_input_rows"), 100);
        assert_eq!(metric("input_rows"), 100);
        assert!(metric("build_mem_used") > 0);
        assert_eq!(metrics.output_rows(), Some(rows));
        assert_eq!(rows, if way.other_app { 0 } else { 99 });
    }
}

#[tokio::test]
async fn without_columns_rows_are_counted_and_fetch_ends_them() {
    let first = heavy(10);
    let way = ways()[0];
    let [left, right] = [&first, &later(&first)].map(|events| scan(events, 1));
    let on = keys(&left.schema()).into_iter().zip(keys(&right.schema())).collect();
    let join = Join {
        on,
        sequence: sequence(JoinSide::Left, 1),
        filter: None,
        mode: way.mode,
        build_side: way.build_side,
        projection: Some(vec![]),
        fetch: Some(42),
    };
    let exec = Arc::new(IntervalJoinExec::try_new(left, right, join).unwrap());
    let rows: Vec<_> = collect(exec, context(20, None)).await.unwrap().iter().map(RecordBatch::num_rows).collect();
    // What a batch of three rows leaves over is not kept for the next.
    assert_eq!(rows, [20, 10, 12]);
}

#[test]
fn the_plan_says_what_it_does() -> Result<()> {
    let way = Way {
        mode: PartitionMode::CollectLeft,
        build_side: JoinSide::Left,
        first: JoinSide::Right,
        partitions: 1,
        other_app: true,
    };
    let plan = plan(&[], &[], 60_000_000_000, way);
    assert_eq!(
        displayable(&plan).one_line().to_string().trim_end(),
        "IntervalJoinExec: mode=CollectLeft, build=left, on=[(user@1, user@1), (ip@2, ip@2)], \
         followed_within=[time@3, time@3, 1m], filter=a@0 != b@1, projection=[id@5, id@0]"
    );
    let on = vec![(lit(1), lit(1))];
    let right = Join {
        on,
        sequence: sequence(JoinSide::Left, 1),
        filter: None,
        mode: PartitionMode::CollectLeft,
        build_side: JoinSide::Right,
        projection: None,
        fetch: None,
    };
    assert!(IntervalJoinExec::try_new(scan(&[], 1), scan(&[], 1), right).is_err());
    Ok(())
}
