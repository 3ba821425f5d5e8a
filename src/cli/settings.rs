//! What the flags mean, with the job's own settings where none was given.

use std::str::FromStr;

use bytesize::ByteSize;

use super::args::SettingsArgs;
use crate::error::{Error, ErrorKind, Result};
use crate::job::Job;
use crate::settings::Settings;
use crate::window::{Span, parse_instant};

/// Reads the job and applies `--param`.
pub(super) fn job(name: &str, args: &SettingsArgs) -> Result<Job> {
    let mut job = Job::find(name)?;
    for param in &args.params {
        let (name, value) = param.split_once('=').ok_or_else(|| {
            Error::new(ErrorKind::Usage, format!("`{param}` is no parameter; write --param name=value"))
        })?;
        job.set_parameter(name.trim(), value)?;
    }
    Ok(job)
}

/// The settings of a run: flags and environment (clap has them in one already), then the job file.
pub(super) fn resolve(job: &Job, args: &SettingsArgs, output: Option<&str>) -> Result<Settings> {
    let source = required(args.source.as_deref().or(job.source().url.as_deref()), "--source", "source.url")?;
    let output = required(output.or(job.output().url.as_deref()), "--output", "output.url")?;
    resolve_with(job, args, &source, &output)
}

/// As [`resolve`], for a source and an output that are known.
pub(super) fn resolve_with(job: &Job, args: &SettingsArgs, source: &str, output: &str) -> Result<Settings> {
    let from = required(args.from.as_deref().or(job.window().from.as_deref()), "--from", "window.from")?;
    let to = required(args.to.as_deref().or(job.window().to.as_deref()), "--to", "window.to")?;
    let span = Span::try_new(parse_instant(&from)?, parse_instant(&to)?)?;
    let mut settings = Settings::new(job, source, output, span)?;
    if let Some(layout) = &args.layout {
        settings.layout = layout.parse()?;
    }
    if let Some(slack) = args.slack {
        settings.slack = slack;
    }
    settings.time_column.clone_from(&args.time_column);
    if let Some(window) = &args.window {
        settings.window = window.parse()?;
    }
    if let Some(scope) = args.scope {
        settings.scope = scope;
    }
    if let Some(threads) = args.threads.or(job.run().threads) {
        settings.threads = threads;
    }
    if let Some(limit) = args.memory_limit.as_deref().or(job.run().memory_limit.as_deref()) {
        settings.memory_limit = memory(limit)?;
    }
    Ok(settings)
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
fn memory(text: &str) -> Result<usize> {
    let invalid = |why: &str| {
        Error::new(ErrorKind::Usage, format!("`{text}` is no memory limit: {why}; write for example 512MiB or 2GiB"))
    };
    let bytes = ByteSize::from_str(text).map_err(|e| invalid(&e))?.as_u64();
    if bytes < 16 << 20 {
        return Err(invalid("at least 16MiB are needed"));
    }
    usize::try_from(bytes).map_err(|_| invalid("it is more than this machine can address"))
}
