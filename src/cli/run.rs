//! `lakehunt run`

use std::io::{IsTerminal, stderr};
use std::path::Path;
use std::time::Duration;

use chrono::Utc;
use serde_json::json;

use super::args::RunArgs;
use super::progress::Progress;
use super::signals::Ended;
use super::{output, settings};
use crate::error::{Error, ErrorKind, Result};
use crate::job::Job;
use crate::pipeline::{self, Plan};
use crate::report::{RunReport, metrics_text, plan_json, plan_text, report_json, report_text};
use crate::settings::Settings;
use crate::sink::Table;
use crate::stop::Stop;
use crate::timespan::Timespan;

/// The exit code for hits, with `--fail-on-hits`.
const HITS_FOUND: u8 = 10;

pub(super) async fn run(args: RunArgs, stop: Stop) -> Result<Ended> {
    let job = settings::job(&args.job, &args.settings)?;
    let Some(mut settings) = settings::resolve(&job, &args.settings, &args.nightly, args.output.as_deref())? else {
        nothing_yet(job.slug(), args.json)?;
        return Ok(Ended::from(0));
    };
    settings.force = args.force;
    settings.shard = args.shard.as_deref().map(str::parse).transpose()?;
    if settings.shard.is_some() && settings.upkeep.is_some() && args.nightly.as_of.is_none() {
        return Err(Error::new(
            ErrorKind::Usage,
            "machines that share a range have to agree on it, and a nightly run's moves on; give --from and --to, or --as-of, with --shard",
        ));
    }
    settings.newest_first = args.newest_first;
    settings.wait = !args.no_wait;
    settings.stop = stop;
    if let Some(text) = &args.lease {
        settings.lease = lease(text)?;
    }
    if args.dry_run {
        return dry_run(&job, &settings, args.json).await.map(|()| Ended::from(0));
    }
    let progress = Progress::new(job.slug(), !args.json && stderr().is_terminal());
    let report = tokio::select! {
        report = pipeline::run(&job, &settings, &progress) => report,
        never = progress.keep_showing() => match never {},
    };
    progress.finish();
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
    if let Some(path) = &args.metrics_file {
        write_metrics(path, &report)?;
    }
    super::telemetry::record(&report);
    if report.stopped {
        let left = report.left().count();
        tracing::warn!("stopped: {left} windows are left to do; the same command goes on from here");
    }
    let code = match report.exit_code() {
        // What a night before found is no news.
        0 if args.fail_on_hits && (if settings.upkeep.is_some() { report.new_hits() } else { report.hits() }) > 0 => {
            HITS_FOUND
        }
        code => code,
    };
    Ok(Ended { code, stopped: report.stopped })
}

async fn dry_run(job: &Job, settings: &Settings, as_json: bool) -> Result<()> {
    let table = Table::open(&settings.stores, &settings.output, &settings.output_store, job.slug()).await?;
    if let Some(table) = &table {
        table.check(&pipeline::size_of_windows(settings)?, settings.output_format)?;
    }
    let plan = Plan::new(job, settings, table.as_ref()).await?;
    warn(&plan.warnings());
    if as_json { output::json(&plan_json(&plan)) } else { output::write(plan_text(&plan).as_bytes()) }
}

/// Says that a nightly run has no window yet.
pub(super) fn nothing_yet(job: &str, as_json: bool) -> Result<()> {
    if as_json {
        return output::json(&json!({"job": job, "hits": 0, "exit_code": 0, "windows": []}));
    }
    output::write(format!("{job}: nothing to do; no window is complete yet\n").as_bytes())
}

fn lease(text: &str) -> Result<Duration> {
    let span: Timespan = text.parse()?;
    let lease = Duration::from_nanos(u64::try_from(span.nanos()).unwrap_or_default());
    if !lease.is_zero() && lease < Duration::from_secs(1) {
        return Err(Error::new(
            ErrorKind::Usage,
            format!(
                "`{text}` is too short for a claim to be renewed in time; give --lease at least 1s, or 0s for none"
            ),
        ));
    }
    Ok(lease)
}

/// Replaces the file as a whole: who collects it never sees half of it.
fn write_metrics(path: &Path, report: &RunReport) -> Result<()> {
    let text = metrics_text(report, Utc::now().timestamp_millis() as f64 / 1000.0)?;
    let failed = |e: std::io::Error| {
        Error::new(ErrorKind::Output, "the metrics file cannot be written").with("file", path.display()).caused_by(e)
    };
    // Beside it, so that it is a rename; collectors read names that end in `.prom`, and not as the user that this runs as, so
    // that a file for its owner alone, as the usual temporary ones are, would not do.
    let mut staged = path.as_os_str().to_owned();
    staged.push(format!(".{}.tmp", std::process::id()));
    std::fs::write(&staged, text).map_err(failed)?;
    std::fs::rename(&staged, path).map_err(|e| {
        // Nothing is left behind where that is possible.
        let _ = std::fs::remove_file(&staged);
        failed(e)
    })
}

pub(super) fn warn(lines: &[String]) {
    for line in lines {
        tracing::warn!("{line}");
    }
}
