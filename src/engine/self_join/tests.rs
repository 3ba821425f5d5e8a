//! The operator against a join that is right because it is naive, over parts of any shape.

use std::collections::BTreeMap;
use std::sync::Arc;

use datafusion::arrow::array::{
    Array, ArrayRef, AsArray, DictionaryArray, Int64Array, RecordBatch, StringViewArray, TimestampNanosecondArray,
};
use datafusion::arrow::compute::concat;
use datafusion::arrow::datatypes::{DataType, Field, Int32Type, Int64Type, Schema, SchemaRef, TimestampNanosecondType};
use datafusion::common::{JoinSide, ScalarValue};
use datafusion::datasource::memory::MemorySourceConfig;
use datafusion::execution::memory_pool::{GreedyMemoryPool, MemoryPool, UnboundedMemoryPool};
use datafusion::execution::runtime_env::RuntimeEnvBuilder;
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::logical_expr::Operator;
use datafusion::physical_expr::expressions::{BinaryExpr, Column, col, lit};
use datafusion::physical_expr::{Partitioning, PhysicalExprRef};
use datafusion::physical_plan::empty::EmptyExec;
use datafusion::physical_plan::joins::PartitionMode;
use datafusion::physical_plan::joins::utils::{ColumnIndex, JoinFilter};
use datafusion::physical_plan::{ExecutionPlan, collect, execute_stream};
use datafusion::prelude::SessionConfig;
use futures::StreamExt;

use super::count::{Aggregate, CountSpec, Grouping};
use super::exec::IntervalSelfJoinExec;
use super::spec::{Spec, alone};
use super::strings::INLINE;
use super::view::View;
use crate::engine::interval_join::tests::data::{Draw, Event, naive};
use crate::engine::interval_join::{IntervalJoinExec, Join, Sequence};
use crate::lake::{Ahead, PartTimes};

const TIME: usize = 3;

/// As SQL sees it.
fn schema() -> SchemaRef {
    let text = |name| Field::new(name, DataType::Utf8, true);
    let time = DataType::Timestamp(datafusion::arrow::datatypes::TimeUnit::Nanosecond, Some("UTC".into()));
    let fields = [Field::new("id", DataType::Int64, true), text("user"), text("ip"), Field::new("time", time, true)];
    Arc::new(Schema::new(fields.into_iter().chain([text("app")]).collect::<Vec<_>>()))
}

/// The user as scans give it: too long to stand in a view, but for an empty one.
fn stored(user: Option<&str>) -> Option<String> {
    user.map(|user| user.repeat(INLINE as usize + 1))
}

/// As a scan gives it. Dictionaries hold each value twice, and rows have the one or the other; without dictionaries, text
/// comes as views.
fn batch(events: &[Event], dictionaries: bool) -> RecordBatch {
    let text = |texts: Vec<Option<String>>| -> ArrayRef {
        if !dictionaries {
            return Arc::new(texts.iter().map(Option::as_deref).collect::<StringViewArray>());
        }
        let texts: DictionaryArray<Int32Type> = texts.iter().map(Option::as_deref).collect();
        let values = concat(&[texts.values(), texts.values()]).unwrap();
        let other = |(row, key): (usize, Option<i32>)| key.map(|key| key + (row % 2 * texts.values().len()) as i32);
        let keys = texts.keys().iter().enumerate().map(other).collect();
        Arc::new(DictionaryArray::<Int32Type>::try_new(keys, values).unwrap())
    };
    let owned = |text: Option<&str>| text.map(str::to_owned);
    let columns: [(&str, ArrayRef); 5] = [
        ("id", Arc::new(events.iter().map(|e| Some(e.id)).collect::<Int64Array>())),
        ("user", text(events.iter().map(|e| stored(e.user)).collect())),
        ("ip", text(events.iter().map(|e| e.ip.map(|ip| ip.to_string())).collect())),
        ("time", Arc::new(events.iter().map(|e| e.time).collect::<TimestampNanosecondArray>().with_timezone("UTC"))),
        ("app", text(events.iter().map(|e| owned(e.app)).collect())),
    ];
    RecordBatch::try_from_iter_with_nullable(columns.map(|(name, column)| (name, column, true))).unwrap()
}

/// Whether an event is of the first side: one condition of each kind.
fn is_first(event: &Event) -> bool {
    event.id % 5 != 0 && event.app.is_some_and(|app| app != "z") && event.time.is_some_and(|time| time >= 1)
}

fn is_then(event: &Event) -> bool {
    event.app.is_some_and(|app| !app.is_empty()) && event.time.is_some_and(|time| time < 12)
}

fn binary(left: PhysicalExprRef, op: Operator, right: PhysicalExprRef) -> PhysicalExprRef {
    Arc::new(BinaryExpr::new(left, op, right))
}

fn instant(time: i64) -> PhysicalExprRef {
    lit(ScalarValue::TimestampNanosecond(Some(time), Some("UTC".into())))
}

fn views() -> [View; 2] {
    let schema = schema();
    let column = |name: &str| col(name, &schema).unwrap();
    let columns: Vec<PhysicalExprRef> = schema.fields().iter().map(|field| column(field.name())).collect();
    let fifth = binary(column("id"), Operator::Modulo, lit(5_i64));
    let first = vec![
        binary(fifth, Operator::NotEq, lit(0_i64)),
        binary(column("app"), Operator::NotEq, lit("z")),
        binary(instant(1), Operator::LtEq, column("time")),
    ];
    let then = vec![binary(lit(""), Operator::NotEq, column("app")), binary(column("time"), Operator::Lt, instant(12))];
    [View { columns: columns.clone(), conditions: first }, View { columns, conditions: then }]
}

/// `first.app <> then.app`, and `first.id < then.id` if asked.
fn filter(by_id: bool) -> JoinFilter {
    let fields = [("a", DataType::Utf8), ("x", DataType::Int64), ("b", DataType::Utf8), ("y", DataType::Int64)];
    let schema = Schema::new(fields.map(|(name, data_type)| Field::new(name, data_type, true)).to_vec());
    let column = |index: usize| Arc::new(Column::new(schema.field(index).name(), index)) as PhysicalExprRef;
    let mut condition = binary(column(0), Operator::NotEq, column(2));
    if by_id {
        condition = binary(condition, Operator::And, binary(column(1), Operator::Lt, column(3)));
    }
    JoinFilter::new(condition, JoinFilter::build_column_indices(vec![4, 0], vec![4, 0]), Arc::new(schema))
}

fn spec(span: i128, by_id: bool) -> Spec {
    let empty: Arc<dyn ExecutionPlan> = Arc::new(EmptyExec::new(schema()));
    let key = |name: &str| (col(name, &schema()).unwrap(), col(name, &schema()).unwrap());
    let time = |side| ColumnIndex { index: TIME, side };
    let join = Join {
        on: vec![key("user"), key("ip")],
        sequence: Sequence::try_new(time(JoinSide::Left), time(JoinSide::Right), span).unwrap(),
        filter: Some(filter(by_id)),
        mode: PartitionMode::Partitioned,
        build_side: JoinSide::Right,
        projection: None,
        fetch: None,
    };
    let join = IntervalJoinExec::try_new(Arc::clone(&empty), empty, join).unwrap();
    let [left, right] = views();
    let (spec, scanned) = Spec::try_new(&join, left, right, &schema()).unwrap().unwrap();
    assert_eq!(scanned, [0, 1, 2, 3, 4]);
    assert_eq!(spec.apart.len(), 1);
    assert_eq!(spec.filter.is_some(), by_id);
    spec
}

/// How a join is run.
#[derive(Debug, Clone, Copy)]
struct Way {
    parts: usize,
    /// Whether the parts' times are told.
    told: bool,
    /// Whether the events stand in order of time.
    ordered: bool,
    tasks: usize,
    batch_size: usize,
    by_id: bool,
    /// Rows of a page.
    page: usize,
    dictionaries: bool,
}

impl Way {
    fn draw(draw: &mut Draw) -> Self {
        Self {
            parts: 1 + draw.below(6),
            told: draw.below(3) > 0,
            ordered: draw.below(2) == 0,
            tasks: 1 + draw.below(3),
            batch_size: [1, 2, 8192][draw.below(3)],
            by_id: draw.below(3) == 0,
            page: [1, 4, 1_000][draw.below(3)],
            dictionaries: draw.below(2) == 0,
        }
    }

    fn plan(self, events: &[Event], span: i128, count: Option<CountSpec>) -> IntervalSelfJoinExec {
        let mut events = events.to_vec();
        if self.ordered {
            events.sort_by_key(|event| event.time);
        }
        let size = events.len().div_ceil(self.parts).max(1);
        let parts: Vec<&[Event]> = events.chunks(size).collect();
        let times = parts.iter().map(|part| self.times(part)).collect();
        let batches: Vec<Vec<RecordBatch>> =
            parts.iter().map(|part| part.chunks(3).map(|events| batch(events, self.dictionaries)).collect()).collect();
        let scan = MemorySourceConfig::try_new_exec(&batches, batch(&[], self.dictionaries).schema(), None).unwrap();
        let mut spec = spec(span, self.by_id);
        let count = count.map(|count| prepared(count, &mut spec));
        let tasks = Partitioning::UnknownPartitioning(self.tasks);
        IntervalSelfJoinExec::new(scan, times, Arc::new(spec), count.map(Arc::new), tasks)
    }

    /// What is told of a part: nothing, its bounds, or what is ahead of some of its rows, too.
    fn times(self, part: &[Event]) -> PartTimes {
        if !self.told {
            return PartTimes::default();
        }
        let bounds = |events: &[Event]| {
            let times = || events.iter().filter_map(|event| event.time);
            times().min().zip(times().max())
        };
        let ahead = (0..part.len()).step_by(self.page).map(|row| {
            let from = bounds(&part[row..]).map_or(i64::MAX, |(from, _)| from);
            Ahead { row: row as u64, from }
        });
        PartTimes { bounds: bounds(part), ahead: ahead.collect(), files: Vec::new() }
    }

    fn context(self, memory: Option<usize>) -> Arc<TaskContext> {
        let pool: Arc<dyn MemoryPool> = match memory {
            Some(bytes) => Arc::new(GreedyMemoryPool::new(bytes)),
            None => Arc::new(UnboundedMemoryPool::default()),
        };
        let runtime = RuntimeEnvBuilder::new().with_memory_pool(pool).build_arc().unwrap();
        let config = SessionConfig::new().with_batch_size(self.batch_size);
        Arc::new(TaskContext::default().with_session_config(config).with_runtime(runtime))
    }
}

fn expected(events: &[Event], span: i128, by_id: bool) -> Vec<(i64, i64)> {
    let side = |is: fn(&Event) -> bool| events.iter().filter(|event| is(event)).cloned().collect::<Vec<_>>();
    let mut pairs = naive(&side(is_first), &side(is_then), span, true);
    pairs.retain(|(first, then)| !by_id || first < then);
    pairs
}

fn spans(draw: &mut Draw) -> i128 {
    [0, 1, 3, 3, 20, i128::from(i64::MAX), i128::from(u64::MAX), -1][draw.below(8)]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_pairs_are_those_of_the_naive_join() {
    let mut found = 0;
    for seed in 0..300 {
        let mut draw = Draw(seed);
        let count = draw.below(400);
        let (events, span, way) = (draw.events(count), spans(&mut draw), Way::draw(&mut draw));
        let plan: Arc<dyn ExecutionPlan> = Arc::new(way.plan(&events, span, None));
        let mut pairs = Vec::new();
        for batch in collect(plan, way.context(None)).await.unwrap() {
            assert!(batch.num_rows() <= way.batch_size.max(1), "{way:?}");
            let id = |column: usize| batch.column(column).as_primitive::<Int64Type>().values().to_vec();
            pairs.extend(id(0).into_iter().zip(id(5)));
        }
        pairs.sort_unstable();
        assert_eq!(pairs, expected(&events, span, way.by_id), "seed {seed}, span {span}, {way:?}");
        found += pairs.len();
    }
    assert!(found > 5_000, "{found} pairs are too few to tell");
}

const LIMIT: usize = 3;

/// By the first event's app, and the later event's user and time.
fn count_spec() -> CountSpec {
    let schema = schema();
    let output = |index: usize, name: &str| Arc::new(Column::new(name, index)) as PhysicalExprRef;
    let item = Arc::new(Field::new_list_field(DataType::Int64, true));
    let mut fields: Vec<Field> = [4, 1, TIME].map(|column| schema.field(column).clone()).to_vec();
    fields.push(Field::new("count", DataType::Int64, false));
    fields.push(Field::new("values", DataType::List(Arc::clone(&item)), true));
    fields.push(Field::new("over", DataType::Boolean, true));
    CountSpec {
        groupings: [Vec::new(), Vec::new()],
        groups: vec![output(4, "app"), output(6, "user"), output(8, "time")],
        aggregates: vec![Aggregate::Count, Aggregate::AllOrOne { value: output(5, "id"), item, limit: LIMIT }],
        schema: Arc::new(Schema::new(fields)),
        names: Vec::new(),
    }
}

/// The first event's app, and the later event's user and time.
type Key<'a> = (Option<&'a str>, Option<&'a str>, Option<i64>);

/// The groupings over the texts of `spec`.
fn prepared(count: CountSpec, spec: &mut Spec) -> CountSpec {
    let mut text = |name: &str| Grouping::Text(spec.coded(&col(name, &schema()).unwrap()).unwrap().unwrap());
    let time = col("time", &alone(&schema(), TIME)).unwrap();
    CountSpec { groupings: [vec![text("app")], vec![text("user"), Grouping::Time(time)]], ..count }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_counts_are_those_of_the_pairs() {
    let (mut rare, mut common) = (0, 0);
    for seed in 1_000..1_300 {
        let mut draw = Draw(seed);
        let count = draw.below(500);
        let (events, span, way) = (draw.events(count), spans(&mut draw), Way::draw(&mut draw));
        let event = |id: i64| events.iter().find(|event| event.id == id).unwrap();
        let users: BTreeMap<i64, Option<String>> = events.iter().map(|event| (event.id, stored(event.user))).collect();
        let mut groups: BTreeMap<Key<'_>, Vec<i64>> = BTreeMap::new();
        for (first, then) in expected(&events, span, way.by_id) {
            let key = (event(first).app, users[&then].as_deref(), event(then).time);
            groups.entry(key).or_default().push(then);
        }

        let plan: Arc<dyn ExecutionPlan> = Arc::new(way.plan(&events, span, Some(count_spec())));
        let mut counts: BTreeMap<_, (i64, Vec<i64>, bool)> = BTreeMap::new();
        let batches = collect(plan, way.context(None)).await.unwrap();
        for batch in &batches {
            let text = |column: usize, row: usize| {
                let column = batch.column(column).as_string::<i32>();
                column.is_valid(row).then(|| column.value(row))
            };
            for row in 0..batch.num_rows() {
                let time = batch.column(2).as_primitive::<TimestampNanosecondType>();
                let key = (text(0, row), text(1, row), time.is_valid(row).then(|| time.value(row)));
                let (count, values, over) = counts.entry(key).or_default();
                *count += batch.column(3).as_primitive::<Int64Type>().value(row);
                let list = batch.column(4).as_list::<i32>().value(row);
                values.extend(list.as_primitive::<Int64Type>().values());
                *over |= batch.column(5).as_boolean().value(row);
            }
        }
        assert_eq!(
            counts.iter().map(|(key, (count, ..))| (*key, *count)).collect::<Vec<_>>(),
            groups.iter().map(|(key, pairs)| (*key, pairs.len() as i64)).collect::<Vec<_>>(),
            "seed {seed}, span {span}, {way:?}"
        );
        for (key, (_, mut values, over)) in counts {
            let mut pairs = groups.remove(&key).unwrap();
            if pairs.len() > LIMIT {
                // Some task is over, or all of them have more than the limit together.
                assert!(over || values.len() > LIMIT, "seed {seed}, {way:?}");
                assert!(values.iter().all(|value| pairs.contains(value)) && !values.is_empty());
                common += 1;
            } else {
                pairs.sort_unstable();
                values.sort_unstable();
                assert_eq!((values, over), (pairs, false), "seed {seed}, {way:?}");
                rare += 1;
            }
        }
    }
    assert!(rare > 500 && common > 300, "{rare} rare and {common} common groups are too few to tell");
}

/// A pair a slice, and batches of two: what slices leave is given as well.
#[tokio::test]
async fn pairs_of_many_small_slices_are_all_given() {
    let event = |id, time, app| Event { id, user: Some("a"), ip: Some(1), time: Some(time), app: Some(app) };
    let pairs = [(1, 2), (3, 4), (6, 7)];
    let events: Vec<Event> =
        pairs.iter().zip([1, 5, 9]).flat_map(|((a, b), at)| [event(*a, at, "x"), event(*b, at + 1, "y")]).collect();
    let way = Way { parts: 3, tasks: 1, batch_size: 2, ..ONE_WAY };
    let plan: Arc<dyn ExecutionPlan> = Arc::new(way.plan(&events, 1, None));
    let batches = collect(Arc::clone(&plan), way.context(None)).await.unwrap();
    assert!(plan.metrics().unwrap().sum_by_name("slices").unwrap().as_usize() >= 3);
    let first = batches.iter().flat_map(|batch| batch.column(0).as_primitive::<Int64Type>().values().to_vec());
    assert_eq!(first.collect::<Vec<_>>(), pairs.map(|(first, _)| first));
}

/// Many events of one key in a few instants.
fn heavy(count: i64) -> Vec<Event> {
    let app = |id: i64| if id % 2 == 0 { "x" } else { "y" };
    (0..count)
        .map(|id| Event { id, user: Some("a"), ip: Some(1), time: Some(1 + id % 10), app: Some(app(id)) })
        .collect()
}

const ONE_WAY: Way =
    Way { parts: 2, told: true, ordered: true, tasks: 2, batch_size: 100, by_id: false, page: 500, dictionaries: true };

#[tokio::test]
async fn too_little_memory_is_an_error_that_names_the_operator() {
    let plan: Arc<dyn ExecutionPlan> = Arc::new(ONE_WAY.plan(&heavy(3_000), 10, None));
    let context = ONE_WAY.context(Some(20_000));
    let error = collect(plan, Arc::clone(&context)).await.unwrap_err();
    assert!(matches!(error.find_root(), datafusion::error::DataFusionError::ResourcesExhausted(_)), "{error}");
    assert!(error.to_string().contains("IntervalSelfJoinExec"), "{error}");
}

#[tokio::test]
async fn all_memory_is_given_back() {
    for count in [None, Some(count_spec())] {
        let plan: Arc<dyn ExecutionPlan> = Arc::new(ONE_WAY.plan(&heavy(3_000), 10, count));
        let context = ONE_WAY.context(Some(64 << 20));
        let rows: usize =
            collect(Arc::clone(&plan), Arc::clone(&context)).await.unwrap().iter().map(RecordBatch::num_rows).sum();
        assert!(rows > 0);
        let metrics = plan.metrics().unwrap();
        let sum = |name: &str| metrics.sum_by_name(name).unwrap().as_usize();
        assert_eq!((sum("parts"), sum("build_rows")), (2, 3_000));
        // A first event is asked for in each slice that it may have later events in.
        assert!((2_400..=2 * 2_400).contains(&sum("probe_rows")), "{}", sum("probe_rows"));
        assert!(sum("pairs") > 100_000 && sum("slices") > 0);
        drop(plan);
        assert_eq!(context.memory_pool().reserved(), 0);
    }
}

#[tokio::test]
async fn dropping_the_stream_stops_the_work() {
    // Some two hundred million pairs, of which the first are asked for.
    let plan: Arc<dyn ExecutionPlan> = Arc::new(ONE_WAY.plan(&heavy(40_000), 10, None));
    let context = ONE_WAY.context(None);
    let mut stream = execute_stream(plan, Arc::clone(&context)).unwrap();
    assert_eq!(stream.next().await.unwrap().unwrap().num_rows(), 100);
    drop(stream);
    for _ in 0..1_000 {
        if context.memory_pool().reserved() == 0 {
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    panic!("{} bytes are held still", context.memory_pool().reserved());
}

/// The groups of a partition, by hash of the first event's app.
async fn groups(mut stream: SendableRecordBatchStream) -> BTreeMap<String, i64> {
    let mut groups = BTreeMap::new();
    while let Some(batch) = stream.next().await.transpose().unwrap() {
        let (apps, counts) = (batch.column(0).as_string::<i32>(), batch.column(3).as_primitive::<Int64Type>());
        for (app, count) in apps.iter().zip(counts.values()) {
            *groups.entry(app.unwrap_or_default().to_owned()).or_default() += count;
        }
    }
    groups
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn groups_come_out_by_their_hash_whoever_listens_no_more() {
    let by = vec![Arc::new(Column::new("app", 0)) as PhysicalExprRef];
    let way = Way { parts: 6, tasks: 3, page: 10, ..ONE_WAY };
    let plan = || {
        let plan = way.plan(&heavy(600), 10, Some(count_spec()));
        Arc::new(plan.partitioned(&Partitioning::Hash(by.clone(), 3)).unwrap())
    };
    let mut naive: BTreeMap<String, i64> = BTreeMap::new();
    for (first, _) in expected(&heavy(600), 10, false) {
        *naive.entry(if first % 2 == 0 { "x" } else { "y" }.to_owned()).or_default() += 1;
    }
    let mut all = Vec::new();
    let (whole, context) = (plan(), way.context(None));
    // One after the other: no partition has to be emptied for the next one.
    let streams: Vec<_> = (0..3).map(|p| whole.execute(p, Arc::clone(&context)).unwrap()).collect();
    let mut reserved = Vec::new();
    for stream in streams {
        all.push(groups(stream).await);
        reserved.push(context.memory_pool().reserved());
    }
    for (taken, bytes) in reserved.iter().enumerate() {
        let wait = all[taken + 1..].iter().any(|groups| !groups.is_empty());
        assert_eq!(*bytes > reserved[2], wait, "groups that wait are counted: {reserved:?}");
    }
    let total: usize = all.iter().map(BTreeMap::len).sum();
    assert_eq!((total, all.iter().flatten().map(|(app, count)| (app.clone(), *count)).collect()), (2, naive));
    for (keep, expected) in all.iter().enumerate() {
        let (some, context) = (plan(), way.context(None));
        let streams: Vec<_> = (0..3).map(|p| some.execute(p, Arc::clone(&context)).unwrap()).collect();
        let kept = streams.into_iter().nth(keep).unwrap();
        assert_eq!(groups(kept).await, *expected, "of {keep} alone");
    }
}

#[tokio::test]
async fn a_row_before_what_was_told_is_an_error() {
    let events = heavy(200);
    let plan = ONE_WAY.plan(&events, 10, None);
    let late = PartTimes {
        bounds: Some((1, 10)),
        ahead: vec![Ahead { row: 0, from: 1 }, Ahead { row: 50, from: 9 }],
        files: vec!["a.parquet".to_owned()],
    };
    let plan = plan.told(vec![late.clone(), late]);
    let error = collect(Arc::new(plan), ONE_WAY.context(None)).await.unwrap_err();
    assert!(error.to_string().contains("a.parquet"), "{error}");
}
