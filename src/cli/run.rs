//! `lakehunt run`

use std::io::{IsTerminal, stderr};
use std::path::Path;
use std::time::Duration;

use chrono::Utc;
use serde_json::{Value, json};

use super::args::RunArgs;
use super::progress::Progress;
use super::signals::Ended;
use super::{output, settings, validate};
use crate::error::{Error, ErrorKind, Result};
use crate::job::Job;
use crate::pipeline::{self, Plan};
use crate::report::{RunReport, metrics_text, plan_json, plan_text, report_json, report_text};
use crate::settings::Settings;
use crate::sink::Table;
use crate::stop::Stop;
use crate::store::SharedReads;
use crate::timespan::Timespan;

/// The exit code for hits, with `--fail-on-hits`.
const HITS_FOUND: u8 = 10;

/// Bytes of far lakes that are kept for the jobs that come next: a night's columns, as a rule.
const SHARED: u64 = 256 << 20;

pub(super) async fn run(args: RunArgs, stop: Stop) -> Result<Ended> {
    let names = if args.all { validate::named_or_all(Vec::new())? } else { args.jobs.clone() };
    if let [name] = &names[..] {
        let ran = run_job(name, &args, stop, None).await?;
        if args.json {
            output::json(&ran.json)?;
        }
        return finish(&args, &[ran], false);
    }
    if names.is_empty() {
        return Err(Error::new(ErrorKind::Usage, "the folder `jobs` holds no job; begin one with lakehunt new NAME"));
    }
    if !args.settings.params.is_empty() || !args.settings.lists.is_empty() {
        return Err(Error::new(ErrorKind::Usage, "--param and --list are of one job; run it by itself"));
    }
    let reads = SharedReads::new(SHARED);
    let mut all = Vec::new();
    for name in &names {
        let ran = match run_job(name, &args, stop.clone(), Some(&reads)).await {
            Ok(ran) => ran,
            // One job that fails keeps no other from its night.
            Err(error) => {
                tracing::error!(job = name, kind = %error.kind(), "{error}");
                let json = json!({ "job": name, "error": error.to_string(), "exit_code": error.kind().exit_code() });
                Ran { report: None, json, ended: Ended::from(error.kind().exit_code()) }
            }
        };
        all.push(ran);
        if stop.is_stopped() {
            break;
        }
    }
    let left = all.len() < names.len();
    if left {
        let left = names[all.len()..].join(", ");
        tracing::warn!("stopped before {left}; the same command goes on from here");
    }
    if args.json {
        output::json(&all.iter().map(|ran| ran.json.clone()).collect())?;
    }
    finish(&args, &all, left)
}

/// What a job has come to.
struct Ran {
    /// The report of its run, and when that was over, in seconds since 1970; `None` where nothing was run.
    report: Option<(RunReport, f64)>,
    json: Value,
    ended: Ended,
}

/// Writes the figures of the jobs that were run, and gives what they come to; some may be `left`, as somebody asked to stop.
fn finish(args: &RunArgs, all: &[Ran], left: bool) -> Result<Ended> {
    if let Some(path) = &args.metrics_file {
        let reports = all.iter().filter_map(|ran| ran.report.as_ref()).map(|(report, at)| (report, *at));
        write_metrics(path, &metrics_text(reports)?)?;
    }
    let stopped = left || all.iter().any(|ran| ran.ended.stopped);
    let codes = || all.iter().map(|ran| ran.ended.code).filter(|code| *code != 0);
    // A failure is told before hits are.
    let code = codes().find(|code| *code != HITS_FOUND).or_else(|| codes().next()).unwrap_or_default();
    Ok(Ended { code, stopped })
}

async fn run_job(name: &str, args: &RunArgs, stop: Stop, reads: Option<&SharedReads>) -> Result<Ran> {
    let job = settings::job(name, &args.settings)?;
    let nothing = |json: Value| Ran { report: None, json, ended: Ended::from(0) };
    let Some(mut settings) = settings::resolve(&job, &args.settings, &args.nightly, args.output.as_deref())? else {
        if !args.json {
            nothing_yet(job.slug(), false)?;
        }
        return Ok(nothing(nothing_json(job.slug())));
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
    if let Some(reads) = reads {
        settings.stores = settings.stores.with_shared_reads(reads.clone());
    }
    settings.workers = super::worker::workers(&args.workers)?;
    if args.dry_run {
        return dry_run(&job, &settings, args.json).await.map(nothing);
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
    if !args.json {
        output::write(report_text(&report).as_bytes())?;
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
    let ended = Ended { code, stopped: report.stopped };
    let finished = Utc::now().timestamp_millis() as f64 / 1000.0;
    Ok(Ran { json: report_json(&report), report: Some((report, finished)), ended })
}

async fn dry_run(job: &Job, settings: &Settings, as_json: bool) -> Result<Value> {
    let table = Table::open(&settings.stores, &settings.output, &settings.output_store, job.slug()).await?;
    if let Some(table) = &table {
        table.check(&pipeline::size_of_windows(settings)?, settings.output_format)?;
    }
    let plan = Plan::new(job, settings, table.as_ref()).await?;
    warn(&plan.warnings());
    if !as_json {
        output::write(plan_text(&plan).as_bytes())?;
    }
    Ok(plan_json(&plan))
}

/// Says that a nightly run has no window yet.
pub(super) fn nothing_yet(job: &str, as_json: bool) -> Result<()> {
    if as_json {
        return output::json(&nothing_json(job));
    }
    output::write(format!("{job}: nothing to do; no window is complete yet\n").as_bytes())
}

fn nothing_json(job: &str) -> Value {
    json!({"job": job, "hits": 0, "exit_code": 0, "windows": []})
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

fn write_metrics(path: &Path, text: &[u8]) -> Result<()> {
    // Collectors read names that end in `.prom`, and not as the user that this runs as, so that a file for its owner alone,
    // as the usual temporary ones are, would not do.
    output::replace(path, text, "the metrics file")
}

pub(super) fn warn(lines: &[String]) {
    for line in lines {
        tracing::warn!("{line}");
    }
}
