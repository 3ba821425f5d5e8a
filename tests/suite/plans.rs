//! What the engine makes of the hunt: a lost operator, a lost pruning or another order of joins shows in a diff.

use std::num::NonZeroUsize;
use std::path::Path;

use lakehunt::{Job, Settings, Span, parse_instant};

fn plan(interval_join: bool) -> String {
    let job = Job::load(&Path::new(env!("CARGO_MANIFEST_DIR")).join("jobs/signin-success-then-fail.yaml")).unwrap();
    let span = Span::try_new(parse_instant("2024-05-01").unwrap(), parse_instant("2024-05-02").unwrap()).unwrap();
    let mut settings = Settings::new(&job, ".", ".", span).unwrap();
    settings.threads = NonZeroUsize::new(2).unwrap();
    settings.interval_join = interval_join;
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let text = runtime.block_on(lakehunt::explain(&job, &settings)).unwrap();
    let (_, physical) = text.split_once("-- physical plan\n").unwrap();
    physical.to_owned()
}

/// The names of a plan's operators, indented as they stand: the shape, without what each release words anew.
fn shape(plan: &str) -> String {
    plan.lines().map(|line| line.split([':', ',']).next().unwrap_or_default()).collect::<Vec<_>>().join("\n")
}

#[test]
fn the_shape_of_the_plan() {
    insta::assert_snapshot!("interval_join", shape(&plan(true)));
    insta::assert_snapshot!("hash_join", shape(&plan(false)));
}

#[test]
fn the_join_and_the_scan_of_the_plan() {
    let plan = plan(true);
    let line = |operator: &str| plan.lines().filter(|line| line.trim_start().starts_with(operator)).collect::<Vec<_>>();
    let joins = line("IntervalSelfJoinExec");
    assert_eq!(joins.len(), 1, "{plan}");
    insta::assert_snapshot!("the_join", joins[0].trim());
    let scans = line("LakeScanExec");
    assert_eq!(scans.len(), 1, "one scan feeds both sides: {plan}");
    insta::assert_snapshot!("the_scan", scans[0].trim());
}
