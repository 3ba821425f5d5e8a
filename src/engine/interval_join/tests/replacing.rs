use std::num::NonZeroUsize;
use std::sync::Arc;

use datafusion::arrow::util::pretty::pretty_format_batches;
use datafusion::datasource::MemTable;
use datafusion::physical_plan::displayable;
use datafusion::prelude::SessionContext;

use super::data::{Draw, batch};
use crate::engine::{Limits, context};
use crate::window::{Span, parse_instant};
use crate::{Job, Settings};

const SEQUENCE: &str = "followed_within(f.time, t.time, INTERVAL '3 nanoseconds')";

/// Two tables, `f` and `t`, of three batches each.
fn session(interval_join: bool, threads: usize, seed: u64) -> SessionContext {
    let threads = NonZeroUsize::new(threads).unwrap();
    let context = context(Limits { threads, memory: 64 << 20, interval_join }).unwrap();
    let mut draw = Draw(seed);
    for name in ["f", "t"] {
        let batches: Vec<_> = [40, 0, 90].map(|rows| batch(&draw.events(rows))).into();
        let table = MemTable::try_new(batches[0].schema(), batches.into_iter().map(|b| vec![b]).collect()).unwrap();
        context.register_table(name, Arc::new(table)).unwrap();
    }
    context
}

async fn plan(context: &SessionContext, sql: &str) -> String {
    let plan = context.sql(sql).await.unwrap().create_physical_plan().await.unwrap();
    displayable(plan.as_ref()).indent(false).to_string()
}

async fn rows(context: &SessionContext, sql: &str) -> Vec<String> {
    let batches = context.sql(sql).await.unwrap().collect().await.unwrap();
    let mut rows: Vec<_> = pretty_format_batches(&batches).unwrap().to_string().lines().map(str::to_owned).collect();
    rows.sort_unstable();
    rows
}

fn taken() -> Vec<String> {
    let other_app = "f.app <> t.app";
    [
        format!("SELECT f.id, t.* FROM f JOIN t ON f.user = t.user AND f.ip = t.ip AND {SEQUENCE} AND {other_app}"),
        format!("SELECT t.app, f.id, t.id FROM t JOIN f ON f.user = t.user AND f.ip = t.ip AND {SEQUENCE}"),
        format!("SELECT count(*) FROM f, t WHERE f.user = t.user AND {SEQUENCE} AND f.id + t.id > 40"),
        format!("SELECT f.id AS a, t.id AS b FROM f JOIN t ON lower(f.user) = lower(t.user) AND {SEQUENCE}"),
        format!("SELECT a.id, b.id FROM f a JOIN f b ON a.ip = b.ip AND {}", SEQUENCE.replace("f.t", "a.t").replace("t.t", "b.t")),
        format!("SELECT f.id AS a, t.id AS b FROM f JOIN t ON f.ip = t.ip AND {SEQUENCE} ORDER BY a, b"),
        format!("SELECT f.ip, count(*) FROM f JOIN t ON f.ip = t.ip AND {SEQUENCE} GROUP BY f.ip"),
        format!("SELECT count(*) FROM f JOIN t ON f.ip = t.ip AND {SEQUENCE} AND followed_within(f.time, t.time, INTERVAL '2 nanoseconds')"),
    ]
    .into()
}

#[tokio::test]
async fn joins_by_followed_within_are_taken_and_give_the_same_rows() {
    for sql in taken() {
        for (threads, seed) in [(1, 1), (4, 2)] {
            let (on, off) = (session(true, threads, seed), session(false, threads, seed));
            let (with, without) = (plan(&on, &sql).await, plan(&off, &sql).await);
            assert!(with.contains("IntervalJoinExec") && !with.contains("HashJoinExec"), "{sql}\n{with}");
            assert!(without.contains("HashJoinExec") && !without.contains("IntervalJoinExec"), "{sql}\n{without}");
            let found = rows(&on, &sql).await;
            assert!(found.len() > 4, "{sql}");
            assert_eq!(found, rows(&off, &sql).await, "{sql}");
        }
    }
}

#[tokio::test]
async fn rows_that_are_cut_off_are_rows_of_the_join() {
    let sql = format!("SELECT count(*) FROM (SELECT f.id FROM f JOIN t ON f.ip = t.ip AND {SEQUENCE} LIMIT 7)");
    let context = session(true, 4, 3);
    assert!(plan(&context, &sql).await.contains("IntervalJoinExec"));
    assert!(rows(&context, &sql).await.iter().any(|line| line.contains("| 7 ")));
}

#[tokio::test]
async fn other_joins_are_left_alone() {
    let context = session(true, 4, 1);
    for sql in [
        "SELECT f.id FROM f JOIN t ON f.ip = t.ip AND f.time < t.time".to_owned(),
        format!("SELECT f.id FROM f LEFT JOIN t ON f.ip = t.ip AND {SEQUENCE}"),
        format!("SELECT f.id FROM f FULL JOIN t ON f.ip = t.ip AND {SEQUENCE}"),
        format!("SELECT f.id FROM f LEFT SEMI JOIN t ON f.ip = t.ip AND {SEQUENCE}"),
        format!("SELECT f.id FROM f JOIN t ON f.ip = t.ip AND ({SEQUENCE} OR f.id > t.id)"),
        format!("SELECT f.id FROM f JOIN t ON f.ip = t.ip AND NOT {SEQUENCE}"),
        "SELECT f.id FROM f JOIN t ON f.ip = t.ip AND followed_within(f.time, f.time, INTERVAL '1 second')".to_owned(),
        "SELECT f.id FROM f JOIN t ON f.ip = t.ip AND followed_within(f.time, t.time, INTERVAL '1 month')".to_owned(),
        "SELECT f.id FROM f JOIN t ON f.ip = t.ip
           AND followed_within(f.time, t.time, arrow_cast(t.id, 'Duration(Nanosecond)'))"
            .to_owned(),
    ] {
        let plan = plan(&context, &sql).await;
        assert!(plan.contains("HashJoinExec") && !plan.contains("IntervalJoinExec"), "{sql}\n{plan}");
    }
}

#[tokio::test]
async fn the_hunt_takes_it() {
    let job = Job::find("signin-success-then-fail").unwrap();
    let span = Span::try_new(parse_instant("2024-05-01").unwrap(), parse_instant("2024-05-02").unwrap()).unwrap();
    let mut settings = Settings::new(&job, "in", "out", span).unwrap();
    let text = crate::explain(&job, &settings).await.unwrap();
    // Its sides are one table.
    assert!(text.contains("IntervalSelfJoinExec: on=") && text.contains("counted_by=[window_start, "), "{text}");
    assert!(!text.contains("HashJoinExec"), "{text}");
    settings.interval_join = false;
    assert!(crate::explain(&job, &settings).await.unwrap().contains("HashJoinExec"));
}

#[test]
fn the_rule_comes_before_dynamic_filters() {
    let rules = crate::engine::session::rules();
    let place = |name: &str| rules.iter().position(|rule| rule.name() == name).unwrap();
    assert!(place("join_selection") < place("IntervalJoin"));
    assert!(place("ProjectionPushdown") < place("IntervalJoin"));
    assert!(place("IntervalJoin") < place("FilterPushdown(Post)"));
    assert_eq!(place("IntervalJoin") + 1, place("IntervalSelfJoin"));
    assert!(place("IntervalSelfJoin") < place("EnsureCooperative"));
}
