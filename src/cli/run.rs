//! `lakehunt run`

use super::args::RunArgs;
use super::progress::Bar;
use super::{output, settings};
use crate::error::Result;
use crate::pipeline::{self, Survey};
use crate::report::{plan_json, plan_text, report_json, report_text};

/// The exit code for hits, with `--fail-on-hits`.
const HITS_FOUND: u8 = 10;

pub(super) async fn run(args: RunArgs) -> Result<u8> {
    let job = settings::job(&args.job, &args.settings)?;
    let mut settings = settings::resolve(&job, &args.settings, args.output.as_deref())?;
    settings.force = args.force;
    if args.dry_run {
        let survey = Survey::new(&job, &settings).await?;
        warn(&survey.warnings());
        if args.json {
            output::json(&plan_json(&survey))?;
        } else {
            output::write(plan_text(&survey).as_bytes())?;
        }
        return Ok(0);
    }
    let bar = Bar::new(args.json);
    let report = pipeline::run(&job, &settings, &bar).await;
    bar.finish();
    let report = report?;
    warn(&report.warnings);
    for (window, error) in report.failures() {
        tracing::error!(window = window.label, kind = %error.kind(), "{error}");
    }
    if args.json {
        output::json(&report_json(&report))?;
    } else {
        output::write(report_text(&report).as_bytes())?;
    }
    Ok(match report.exit_code() {
        0 if args.fail_on_hits && report.hits() > 0 => HITS_FOUND,
        code => code,
    })
}

pub(super) fn warn(lines: &[String]) {
    for line in lines {
        tracing::warn!("{line}");
    }
}
