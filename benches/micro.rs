//! The functions and operators by themselves, through the engine. Run by hand:
//!
//! ```sh
//! cargo bench --bench micro                 # all
//! cargo bench --bench micro -- hunt         # those of a name
//! ```
//!
//! Numbers are of this machine and this minute; compare those of one run.
#![allow(clippy::unwrap_used, missing_docs)]

use std::path::Path;
use std::sync::{Arc, LazyLock};

use datafusion::arrow::array::{ArrayRef, Int64Array, RecordBatch, StringArray, TimestampNanosecondArray};
use datafusion::prelude::{SessionConfig, SessionContext};
use divan::Bencher;
use lakehunt::{Job, Layout, Settings, Span, TenantSpec, parse_instant};
use tempfile::TempDir;
use tokio::runtime::Runtime;

const ROWS: i64 = 1_000_000;

fn main() {
    divan::main();
}

static RUNTIME: LazyLock<Runtime> = LazyLock::new(|| Runtime::new().unwrap());

/// A million events in memory: two times within minutes of each other, a text in some cases, one of 5,000 keys.
static EVENTS: LazyLock<SessionContext> = LazyLock::new(|| {
    let context = SessionContext::new_with_config(SessionConfig::new().with_target_partitions(1));
    lakehunt::functions().into_iter().for_each(|function| context.register_udf(function));
    lakehunt::aggregate_functions().into_iter().for_each(|function| context.register_udaf(function));
    let times = |step: i64| (0..ROWS).map(|row| row * step % 7_200_000_000_000).collect::<Vec<_>>();
    let texts = ["Other", "oTHER", "Other ", "Invalid username or password.", ""];
    let columns: [(&str, ArrayRef); 5] = [
        ("first_time", Arc::new(TimestampNanosecondArray::from(times(6_007_000)))),
        ("then_time", Arc::new(TimestampNanosecondArray::from(times(6_013_000)))),
        ("description", Arc::new((0..ROWS as usize).map(|row| Some(texts[row % 5])).collect::<StringArray>())),
        ("key", Arc::new((0..ROWS).map(|row| row * row % 5_003).collect::<Int64Array>())),
        ("number", Arc::new((0..ROWS).collect::<Int64Array>())),
    ];
    context.register_batch("events", RecordBatch::try_from_iter(columns).unwrap()).unwrap();
    context
});

fn query(bencher: Bencher<'_, '_>, sql: &str) {
    let context = &*EVENTS;
    bencher
        .counter(divan::counter::ItemsCount::new(ROWS as usize))
        .bench(|| RUNTIME.block_on(async { context.sql(sql).await.unwrap().collect().await.unwrap() }));
}

#[divan::bench]
fn followed_within(bencher: Bencher<'_, '_>) {
    query(bencher, "SELECT count(*) FROM events WHERE followed_within(first_time, then_time, INTERVAL '1 minute')");
}

#[divan::bench]
fn equals_ignore_case(bencher: Bencher<'_, '_>) {
    query(bencher, "SELECT count(*) FROM events WHERE NOT equals_ignore_case(description, 'Other')");
}

/// What `equals_ignore_case` is instead of.
#[divan::bench]
fn lower_equals(bencher: Bencher<'_, '_>) {
    query(bencher, "SELECT count(*) FROM events WHERE lower(description) <> 'other'");
}

#[divan::bench]
fn all_or_one(bencher: Bencher<'_, '_>) {
    query(bencher, "SELECT key, count(*), all_or_one(number, 5) FROM events GROUP BY key");
}

/// What `all_or_one` is instead of.
#[divan::bench]
fn array_agg(bencher: Bencher<'_, '_>) {
    query(bencher, "SELECT key, count(*), array_agg(number) FROM events GROUP BY key");
}

/// A day of 200,000 rows, a twentieth of them by one account: the whole run, with our operators and without.
#[divan::bench(args = [true, false], sample_count = 10)]
fn hunt(bencher: Bencher<'_, '_>, operators: bool) {
    let dir = TempDir::new().unwrap();
    let (lake, out) = (dir.path().join("lake"), dir.path().join("out"));
    let spec = TenantSpec {
        days: 1,
        rows_per_day: 200_000,
        service_accounts: 1,
        service_share: 0.05,
        ..TenantSpec::default()
    };
    let layout: Layout = "date={yyyy-MM-dd}".parse().unwrap();
    let folder = |instant| layout.partition_of(instant).map(|partition| partition.path).unwrap_or_default();
    lakehunt::generate(&spec, &lake, &folder, &mut |_| {}).unwrap();
    let job = Job::load(&Path::new(env!("CARGO_MANIFEST_DIR")).join("jobs/signin-success-then-fail.yaml")).unwrap();
    let span = Span::try_new(parse_instant("2024-05-01").unwrap(), parse_instant("2024-05-02").unwrap()).unwrap();
    let mut settings = Settings::new(&job, lake.display().to_string(), out.display().to_string(), span).unwrap();
    settings.force = true;
    settings.interval_join = operators;
    bencher.counter(divan::counter::ItemsCount::new(spec.rows_per_day)).bench(|| {
        let report = RUNTIME.block_on(lakehunt::run(&job, &settings, &())).unwrap();
        assert_eq!(report.exit_code(), 0);
        report
    });
}
