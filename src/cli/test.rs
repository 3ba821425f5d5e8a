//! `lakehunt test`

use serde_json::json;

use super::args::TestArgs;
use super::{output, validate};
use crate::error::{Error, ErrorKind, Result};
use crate::hunt_test;
use crate::job::Job;
use crate::report::{human_count, verdict_json, verdict_text};

pub(super) async fn test(args: TestArgs) -> Result<()> {
    let mut shown = Vec::new();
    let (mut run, mut failed) = (0, 0);
    for name in validate::named_or_all(args.jobs)? {
        let job = Job::find(&name)?;
        let cases = job.cases()?;
        let chosen = cases.iter().filter(|case| args.filter.as_ref().is_none_or(|text| case.name.contains(text)));
        let chosen: Vec<_> = chosen.collect();
        if !args.json {
            let none = if cases.is_empty() { ": no tests" } else { "" };
            if cases.is_empty() || !chosen.is_empty() {
                output::write(format!("{}{none}\n", job.slug()).as_bytes())?;
            }
        }
        for case in chosen {
            let verdict = hunt_test::test(&job, case).await;
            run += 1;
            failed += u64::from(!verdict.as_ref().is_ok_and(hunt_test::Verdict::has_passed));
            if args.json {
                let mut verdict = verdict_json(&case.name, &verdict);
                verdict["job"] = json!(job.slug());
                shown.push(verdict);
            } else {
                output::write(verdict_text(&case.name, &verdict).as_bytes())?;
            }
        }
    }
    if args.json {
        output::json(&json!({ "tests": run, "failed": failed, "verdicts": shown }))?;
    } else {
        output::write(format!("{} tests, {} failed\n", human_count(run), human_count(failed)).as_bytes())?;
    }
    match (run, failed) {
        (0, _) if args.filter.is_some() => {
            Err(Error::new(ErrorKind::Usage, "no test has a name that holds the text of --filter"))
        }
        (0, _) => Err(Error::new(
            ErrorKind::InvalidJob,
            "there are no tests; write some under `tests` in the job file, as in what `lakehunt new` makes",
        )),
        (_, 0) => Ok(()),
        (_, failed) => Err(Error::new(ErrorKind::Engine, format!("{failed} of {run} tests failed"))),
    }
}
