//! Events as a scan gives them, a join of them, and the ways to run it.

use std::sync::Arc;

use datafusion::arrow::array::{
    Array, ArrayRef, DictionaryArray, Int64Array, RecordBatch, StringViewArray, TimestampNanosecondArray,
};
use datafusion::arrow::compute::concat;
use datafusion::arrow::datatypes::{DataType, Field, Int32Type, Schema, SchemaRef};
use datafusion::common::{JoinSide, ScalarValue};
use datafusion::datasource::memory::MemorySourceConfig;
use datafusion::execution::TaskContext;
use datafusion::execution::memory_pool::{GreedyMemoryPool, MemoryPool, UnboundedMemoryPool};
use datafusion::execution::runtime_env::RuntimeEnvBuilder;
use datafusion::logical_expr::Operator;
use datafusion::physical_expr::expressions::{BinaryExpr, Column, col, lit};
use datafusion::physical_expr::{Partitioning, PhysicalExprRef};
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::empty::EmptyExec;
use datafusion::physical_plan::joins::PartitionMode;
use datafusion::physical_plan::joins::utils::{ColumnIndex, JoinFilter};
use datafusion::prelude::SessionConfig;

use crate::engine::interval_join::tests::data::{Draw, Event, naive};
use crate::engine::interval_join::{IntervalJoinExec, Join, Sequence};
use crate::engine::self_join::count::{Aggregate, CountSpec, Grouping};
use crate::engine::self_join::exec::IntervalSelfJoinExec;
use crate::engine::self_join::spec::{Spec, alone};
use crate::engine::self_join::strings::INLINE;
use crate::engine::self_join::view::View;
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
pub(super) fn stored(user: Option<&str>) -> Option<String> {
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
pub(super) struct Way {
    pub(super) parts: usize,
    /// Whether the parts' times are told.
    pub(super) told: bool,
    /// Whether the events stand in order of time.
    pub(super) ordered: bool,
    pub(super) tasks: usize,
    pub(super) batch_size: usize,
    pub(super) by_id: bool,
    /// Rows of a page.
    pub(super) page: usize,
    pub(super) dictionaries: bool,
}

impl Way {
    pub(super) fn draw(draw: &mut Draw) -> Self {
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

    pub(super) fn plan(self, events: &[Event], span: i128, count: Option<CountSpec>) -> IntervalSelfJoinExec {
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
    pub(super) fn times(self, part: &[Event]) -> PartTimes {
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

    pub(super) fn context(self, memory: Option<usize>) -> Arc<TaskContext> {
        let pool: Arc<dyn MemoryPool> = match memory {
            Some(bytes) => Arc::new(GreedyMemoryPool::new(bytes)),
            None => Arc::new(UnboundedMemoryPool::default()),
        };
        let runtime = RuntimeEnvBuilder::new().with_memory_pool(pool).build_arc().unwrap();
        let config = SessionConfig::new().with_batch_size(self.batch_size);
        Arc::new(TaskContext::default().with_session_config(config).with_runtime(runtime))
    }
}

pub(super) fn expected(events: &[Event], span: i128, by_id: bool) -> Vec<(i64, i64)> {
    let side = |is: fn(&Event) -> bool| events.iter().filter(|event| is(event)).cloned().collect::<Vec<_>>();
    let mut pairs = naive(&side(is_first), &side(is_then), span, true);
    pairs.retain(|(first, then)| !by_id || first < then);
    pairs
}

pub(super) fn spans(draw: &mut Draw) -> i128 {
    [0, 1, 3, 3, 20, i128::from(i64::MAX), i128::from(u64::MAX), -1][draw.below(8)]
}

pub(super) const LIMIT: usize = 3;

/// By the first event's app, and the later event's user and time.
pub(super) fn count_spec() -> CountSpec {
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

/// The groupings over the texts of `spec`.
fn prepared(count: CountSpec, spec: &mut Spec) -> CountSpec {
    let mut text = |name: &str| Grouping::Text(spec.coded(&col(name, &schema()).unwrap()).unwrap().unwrap());
    let time = col("time", &alone(&schema(), TIME)).unwrap();
    CountSpec { groupings: [vec![text("app")], vec![text("user"), Grouping::Time(time)]], ..count }
}

pub(super) fn heavy(count: i64) -> Vec<Event> {
    let app = |id: i64| if id % 2 == 0 { "x" } else { "y" };
    (0..count)
        .map(|id| Event { id, user: Some("a"), ip: Some(1), time: Some(1 + id % 10), app: Some(app(id)) })
        .collect()
}

pub(super) const ONE_WAY: Way =
    Way { parts: 2, told: true, ordered: true, tasks: 2, batch_size: 100, by_id: false, page: 500, dictionaries: true };
