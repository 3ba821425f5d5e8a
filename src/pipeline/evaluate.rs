//! Evaluates neighbouring windows in one pass over their rows.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use futures::StreamExt;

use super::encoding::Encoding;
use super::inputs::Inputs;
use crate::cluster;
use crate::engine::{self, AllRead, Bindings, Hunt, Limits, Memory, engine_error};
use crate::error::{Error, ErrorKind, Result};
use crate::job::Job;
use crate::lake::Notices;
use crate::settings::Settings;
use crate::sink::{HitSchema, WindowRows, WorkersOfRecord, stretches};
use crate::window::{Window, nanos};

/// What evaluating some windows gave.
pub(super) struct Evaluated {
    /// In the order of the windows.
    pub(super) rows: Vec<WindowRows>,
    pub(super) notices: Arc<Notices>,
    /// Rows that were left out, by the first instant of their window in nanoseconds; `None` where all stay.
    pub(super) dropped: Option<BTreeMap<i64, u64>>,
    /// What the workers have counted, if there are any.
    pub(super) workers: Option<WorkersOfRecord>,
}

/// What the sessions of an evaluation have.
#[derive(Clone, Copy)]
pub(super) struct Means<'a> {
    pub(super) memory: &'a Memory,
    /// Told when the last rows are being read, where the hunt tells.
    pub(super) all_read: &'a Arc<AllRead>,
}

/// Evaluates `windows` (neighbours in time) over `inputs` in a new session; rows are counted in `read`. Nothing is written.
///
/// Where machines evaluate and one of them is lost, all is evaluated again on those that are left.
pub(super) async fn evaluate(
    job: &Job,
    settings: &Settings,
    means: Means<'_>,
    inputs: &Inputs,
    windows: &[&Window],
    files: &[usize],
    read: &Arc<AtomicU64>,
) -> Result<Evaluated> {
    let once = || evaluate_once(job, settings, means, inputs, windows, files, read);
    if settings.workers.is_none() {
        return once().await;
    }
    let on_workers = |tries| async move {
        let mut evaluated = once().await?;
        evaluated.workers.iter_mut().for_each(|workers| workers.tries = u64::from(tries));
        Ok(evaluated)
    };
    cluster::again(on_workers).await
}

async fn evaluate_once(
    job: &Job,
    settings: &Settings,
    Means { memory, all_read }: Means<'_>,
    inputs: &Inputs,
    windows: &[&Window],
    files: &[usize],
    read: &Arc<AtomicU64>,
) -> Result<Evaluated> {
    let (Some(first), Some(last)) = (windows.first(), windows.last()) else {
        return Err(Error::new(ErrorKind::Engine, "there are no windows to evaluate"));
    };
    let notices = Arc::new(Notices::counting(Arc::clone(read)));
    let limits = Limits::of(settings);
    let session = match &settings.workers {
        Some(workers) => Some(workers.session(limits, memory, &settings.stores).await?),
        None => None,
    };
    let context = match &session {
        Some(session) => session.context.clone(),
        None => engine::session(limits, memory, Arc::clone(all_read)),
    };
    let reach = job.reach(settings.scope)?;
    let (from, _) = first.read_range(reach);
    let tables = inputs.raw(files, (nanos(from), nanos(last.end())), &notices);
    let bindings = Bindings::new(job, first, last, settings.scope, reach);
    let hunt = Hunt::plan(context.clone(), job, &bindings, tables.clone()).await?;
    let schema = Arc::new(HitSchema::new(job, hunt.schema())?);

    let position: HashMap<i64, usize> =
        windows.iter().enumerate().map(|(index, window)| (nanos(window.start()), index)).collect();
    let labels = windows.iter().map(|window| window.label().to_owned()).collect();
    let mut encoding = Encoding::new(Arc::clone(&schema), labels, settings.threads.get());
    let (mut stream, running) = hunt.run().await?;
    let evaluating = session.map(|session| session.watch(running.plan(), read));
    while let Some(batch) = stream.next().await {
        let batch = batch.map_err(engine_error)?;
        for (start, from, rows) in stretches(&schema.window_starts(&batch)?) {
            let Some(index) = position.get(&start) else {
                return Err(Error::new(
                    ErrorKind::InvalidJob,
                    "the SELECT gives a window_start that is none of the run's windows; take date_bin($window_size, <time>, $range_start) of a time inside the range",
                )
                .with("file", job.hunt_sql().path().display())
                .with("window_start", chrono::DateTime::from_timestamp_nanos(start)));
            };
            encoding.add(*index, batch.slice(from, rows)).await?;
        }
    }
    // Workers tell when nobody waits for rows any more.
    drop(stream);
    let workers = match evaluating {
        Some(evaluating) => Some(evaluating.end(running.plan(), &notices).await?),
        None => None,
    };
    tracing::debug!("measured:\n{}", running.text());
    let rows = encoding.finish().await?;
    let mut dropped = None;
    for (source, raw) in job.sources().zip(tables) {
        if let Some(of_table) = engine::dropped(&context, source, &bindings, raw).await? {
            let dropped: &mut BTreeMap<i64, u64> = dropped.get_or_insert_default();
            of_table.into_iter().for_each(|(window, rows)| *dropped.entry(window).or_default() += rows);
        }
    }
    Ok(Evaluated { rows, notices, dropped, workers })
}
