//! Shows a hunt without running it: its SQL, the values of its parameters and its plans.

use std::fmt::Write as _;
use std::num::NonZeroUsize;
use std::sync::Arc;

use datafusion::prelude::SessionContext;

use crate::engine::{self, Bindings, Hunt, Limits};
use crate::error::{Error, ErrorKind, Result};
use crate::job::Job;
use crate::lake::{Columns, RawTable};
use crate::settings::{DEFAULT_MEMORY_LIMIT, Settings};
use crate::window::{Scope, Span, WindowSize, parse_instant};

/// Plans `job` over a table without rows: everything that can be wrong with its SQL shows.
///
/// # Errors
/// `InvalidJob`, as a run would give it.
pub async fn check(job: &Job) -> Result<()> {
    let size: WindowSize = job.window().size.parse().map_err(|e: Error| {
        Error::new(ErrorKind::InvalidJob, "window.size is not valid").with("file", job.path().display()).caused_by(e)
    })?;
    for source in job.sources() {
        source.layout.parse::<crate::lake::Layout>().map_err(|e| {
            Error::new(ErrorKind::InvalidJob, format!("the layout of {} is not valid", source.table))
                .with("file", job.path().display())
                .caused_by(e)
        })?;
    }
    let limits = Limits { threads: NonZeroUsize::MIN, memory: DEFAULT_MEMORY_LIMIT, interval_join: true };
    let hunt = hunt(job, size, job.window().scope, limits).await?;
    hunt.physical_text().await.map(|_| ())
}

/// The text of `lakehunt explain`: parameters, SQL, logical and physical plan, for the first window of `settings`.
///
/// # Errors
/// As [`check`].
pub async fn explain(job: &Job, settings: &Settings) -> Result<String> {
    let windows = settings.span.windows(settings.window)?;
    let (Some(first), Some(last)) = (windows.first(), windows.last()) else { return Ok(String::new()) };
    let bindings = Bindings::new(job, first, last, settings.scope, job.reach(settings.scope)?);
    let limits = Limits::of(settings);
    let context = match &settings.workers {
        Some(workers) => workers.session(limits, &engine::memory(limits)?, &settings.stores).await?.context,
        None => engine::context(limits)?,
    };
    let hunt = plan(job, &bindings, context).await?;
    let mut text = String::new();
    // Writing to a string cannot fail.
    let _ = writeln!(text, "-- {} {}, {}", job.name(), job.version(), job.path().display());
    for (name, value) in bindings.shown() {
        let _ = writeln!(text, "--   ${name:<22} {value}");
    }
    for (source, view) in job.tables() {
        if let Some(view) = view {
            let _ =
                writeln!(text, "\n-- view {} ({})\n{}", source.table, view.path().display(), view.text().trim_end());
        }
    }
    let _ = writeln!(text, "\n-- hunt ({})\n{}", job.hunt_sql().path().display(), job.sql().trim_end());
    let _ = writeln!(text, "\n-- logical plan\n{}", hunt.logical_text()?.trim_end());
    let _ = writeln!(text, "\n-- physical plan\n{}", hunt.physical_text().await?.trim_end());
    Ok(text)
}

/// Whether the plan of `job` lets go of rows while it reads.
pub(crate) async fn passes(job: &Job, settings: &Settings) -> Result<bool> {
    // Machines that evaluate together hold a chunk in memory.
    if settings.workers.is_some() {
        return Ok(false);
    }
    hunt(job, settings.window, settings.scope, Limits::of(settings)).await?.passes().await
}

async fn hunt(job: &Job, size: WindowSize, scope: Scope, limits: Limits) -> Result<Hunt> {
    // Any aligned range does; this one begins on a Monday.
    let from = parse_instant("2024-01-01")?;
    let days = match size {
        WindowSize::Every(size) => size.nanos(),
        WindowSize::All => crate::timespan::DAY_NANOS,
    };
    let windows = Span::try_new(from, from + chrono::TimeDelta::nanoseconds(days))?.windows(WindowSize::All)?;
    let window = windows.first().ok_or_else(|| Error::new(ErrorKind::Engine, "a range has no window"))?;
    let bindings = Bindings::new(job, window, window, scope, job.reach(scope)?);
    plan(job, &bindings, engine::context(limits)?).await
}

async fn plan(job: &Job, bindings: &Bindings, context: SessionContext) -> Result<Hunt> {
    let empty = |source| RawTable::empty(Arc::new(Columns::new(source)));
    Hunt::plan(context, job, bindings, job.sources().map(empty).collect()).await
}
