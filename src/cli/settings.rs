//! What the flags mean, with the job's own settings where none was given.

use std::str::FromStr;
use std::time::Duration;

use bytesize::ByteSize;
use chrono::Utc;

use super::args::{NightlyArgs, SettingsArgs, StoreArgs};
use crate::error::{Error, ErrorKind, Result, suggestion};
use crate::job::{Job, RunSpec, StoreSpec};
use crate::settings::{Settings, Upkeep};
use crate::store::{Retry, Stores};
use crate::timespan::Timespan;
use crate::window::{Nightly, Span, WindowSize, parse_instant};

/// Reads the job and applies `--param` and `--list`.
pub(super) fn job(name: &str, args: &SettingsArgs) -> Result<Job> {
    let mut job = Job::find(name)?;
    for param in &args.params {
        let (name, value) = param.split_once('=').ok_or_else(|| {
            Error::new(ErrorKind::Usage, format!("`{param}` is no parameter; write --param name=value"))
        })?;
        job.set_parameter(name.trim(), value)?;
    }
    for list in &args.lists {
        let (name, file) = list
            .split_once('=')
            .ok_or_else(|| Error::new(ErrorKind::Usage, format!("`{list}` is no list; write --list name=file.csv")))?;
        job.set_list(name.trim(), std::path::Path::new(file))?;
    }
    Ok(job)
}

/// The settings of a run: flags and environment (clap has them in one already), then the job file. Without a range it is
/// a nightly run; `None` when no window of that is complete yet.
pub(super) fn resolve(
    job: &Job,
    args: &SettingsArgs,
    nightly: &NightlyArgs,
    output: Option<&str>,
) -> Result<Option<Settings>> {
    let source = required(args.source.as_deref().or(job.source().url.as_deref()), "--source", "source.url")?;
    let output = self::output(job, output)?;
    let has_range = [&args.from, &args.to, &job.window().from, &job.window().to].into_iter().any(Option::is_some);
    if has_range && !nightly.is_given() {
        return resolve_with(job, args, &source, &output).map(Some);
    }
    let upkeep = upkeep(job, nightly)?;
    let size: WindowSize = args.window.as_deref().unwrap_or(&job.window().size).parse()?;
    let Some(span) = upkeep.nightly.span(upkeep.as_of, size)? else { return Ok(None) };
    let mut settings = resolve_span(job, args, &source, &output, span)?;
    settings.upkeep = Some(upkeep);
    Ok(Some(settings))
}

/// The root of the output: as it was typed, else the job's own.
pub(super) fn output(job: &Job, typed: Option<&str>) -> Result<String> {
    required(typed.or(job.output().url.as_deref()), "--output", "output.url")
}

/// What a nightly run is for: flags, then the job file.
fn upkeep(job: &Job, args: &NightlyArgs) -> Result<Upkeep> {
    let spec = job.nightly();
    let usual = Nightly::default();
    let instant = |typed: &Option<String>| typed.as_deref().map(parse_instant).transpose();
    let start = instant(&args.start)?.or(instant(&spec.start)?);
    let span = |typed: &Option<String>, spec: &Option<String>| {
        typed.as_deref().or(spec.as_deref()).map(str::parse::<Timespan>).transpose()
    };
    // A start that is typed goes before the job's lookback; a start alone is one for good.
    let of_the_job = if args.start.is_some() { &None } else { &spec.lookback };
    let lookback = span(&args.lookback, of_the_job)?.or(if start.is_none() { usual.lookback } else { None });
    Ok(Upkeep {
        nightly: Nightly {
            start,
            lookback,
            delay: span(&args.delay, &spec.delay)?.unwrap_or(usual.delay),
            late: span(&args.late, &spec.late)?.unwrap_or(usual.late),
        },
        as_of: instant(&args.as_of)?.unwrap_or_else(Utc::now),
        on_change: args.on_change.unwrap_or(spec.on_change),
    })
}

/// The settings of a run over a range, for a source and an output that are known.
pub(super) fn resolve_with(job: &Job, args: &SettingsArgs, source: &str, output: &str) -> Result<Settings> {
    let from = required(args.from.as_deref().or(job.window().from.as_deref()), "--from", "window.from")?;
    let to = required(args.to.as_deref().or(job.window().to.as_deref()), "--to", "window.to")?;
    let span = Span::try_new(parse_instant(&from)?, parse_instant(&to)?)?;
    resolve_span(job, args, source, output, span)
}

fn resolve_span(job: &Job, args: &SettingsArgs, source: &str, output: &str, span: Span) -> Result<Settings> {
    let mut settings = Settings::new(job, source, output, span)?;
    if let Some(layout) = &args.layout {
        settings.layout = layout.parse()?;
    }
    if let Some(slack) = args.slack {
        settings.slack = slack;
    }
    settings.time_column.clone_from(&args.time_column);
    for typed in &args.tables {
        let (name, url) = typed
            .split_once('=')
            .filter(|(_, url)| !url.is_empty())
            .ok_or_else(|| Error::new(ErrorKind::Usage, format!("`{typed}` is no table; write --table NAME=URL")))?;
        let known = || job.sources().skip(1).map(|source| source.table.as_str());
        if !known().any(|table| table == name) {
            let known = suggestion(name, known().collect::<Vec<_>>());
            return Err(Error::new(ErrorKind::Usage, format!("the job reads no further table `{name}`{known}")));
        }
        settings.tables.insert(name.to_owned(), url.to_owned());
    }
    settings.source_version = args.source_version;
    settings.stores = stores(&args.stores, Some(job.run()))?;
    if let Some(window) = &args.window {
        settings.window = window.parse()?;
    }
    if let Some(scope) = args.scope {
        settings.scope = scope;
    }
    if let Some(format) = args.output_format {
        settings.output_format = format;
    }
    if let Some(threads) = args.threads.or(job.run().threads) {
        settings.threads = threads;
    }
    if let Some(limit) = args.memory_limit.as_deref().or(job.run().memory_limit.as_deref()) {
        settings.memory_limit = memory(limit)?;
    }
    Ok(settings)
}

/// How stores are opened: by the environment, and as patiently as flags or job file say.
pub(super) fn stores(args: &StoreArgs, run: Option<&RunSpec>) -> Result<Stores> {
    let mut retry = Retry::default();
    if let Some(retries) = args.store_retries.or(run.and_then(|run| run.store_retries)) {
        retry.retries = retries;
    }
    if let Some(text) = args.store_timeout.as_deref().or(run.and_then(|run| run.store_timeout.as_deref())) {
        let span: Timespan = text.parse()?;
        retry.limit = Duration::from_nanos(u64::try_from(span.nanos()).unwrap_or_default());
        if retry.limit < Duration::from_secs(1) {
            return Err(Error::new(
                ErrorKind::Usage,
                format!("`{text}` is too short a time for a store to answer; give --store-timeout at least 1s"),
            ));
        }
    }
    Ok(Stores::from_env().with_retry(retry))
}

/// How the output of a job is reached, by the file of that job if there is one here.
pub(super) fn output_store(job: Option<&str>) -> StoreSpec {
    job.and_then(|name| Job::find(name).ok()).map(|job| job.output().store.clone()).unwrap_or_default()
}

fn required(value: Option<&str>, flag: &str, key: &str) -> Result<String> {
    value.map(str::to_owned).ok_or_else(|| {
        Error::new(
            ErrorKind::Usage,
            format!("{flag} is missing; give it here, in the environment or as {key} in the job file"),
        )
    })
}

/// A size such as `512MiB`. Less than 16 MiB holds no batch of rows.
pub(super) fn memory(text: &str) -> Result<usize> {
    let invalid = |why: &str| {
        Error::new(ErrorKind::Usage, format!("`{text}` is no memory limit: {why}; write for example 512MiB or 2GiB"))
    };
    let bytes = ByteSize::from_str(text).map_err(|e| invalid(&e))?.as_u64();
    if bytes < 16 << 20 {
        return Err(invalid("at least 16MiB are needed"));
    }
    usize::try_from(bytes).map_err(|_| invalid("it is more than this machine can address"))
}
