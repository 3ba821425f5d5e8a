//! The operator against a join that is right because it is naive, over parts of any shape.

mod data;

use std::collections::BTreeMap;
use std::sync::Arc;

use datafusion::arrow::array::{Array, AsArray, RecordBatch};
use datafusion::arrow::datatypes::{Int64Type, TimestampNanosecondType};
use datafusion::execution::SendableRecordBatchStream;
use datafusion::physical_expr::expressions::Column;
use datafusion::physical_expr::{Partitioning, PhysicalExprRef};
use datafusion::physical_plan::{ExecutionPlan, collect, execute_stream};
use futures::StreamExt;

use crate::engine::interval_join::tests::data::{Draw, Event};
use crate::lake::{Ahead, PartTimes};
use data::{LIMIT, ONE_WAY, Way, count_spec, expected, heavy, spans, stored};

/// The first event's app, and the later event's user and time.
type Key<'a> = (Option<&'a str>, Option<&'a str>, Option<i64>);

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
