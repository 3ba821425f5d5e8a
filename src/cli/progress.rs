//! Progress on stderr: a bar on a terminal, elsewhere a line now and then.

use std::convert::Infallible;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};

use crate::pipeline::{Observer, Plan, Work};
use crate::report::{Outcome, WindowReport, human_bytes, human_count};
use crate::sink::Claim;

/// How often a bar is drawn anew.
const DRAWN: Duration = Duration::from_millis(250);

/// How often a line is written where there is no terminal: a scheduler keeps them all.
const WRITTEN: Duration = Duration::from_secs(30);

/// How far a run is.
#[derive(Debug, Default)]
struct Figures {
    /// Windows that are to do or done with, and those done with.
    windows: AtomicU64,
    over: AtomicU64,
    hits: AtomicU64,
    /// What is read, since when.
    work: Mutex<Option<(Work, Instant)>>,
}

/// What there is to show at one moment.
struct Moment {
    windows: u64,
    over: u64,
    hits: u64,
    rows: u64,
    of_rows: u64,
    bytes: u64,
    rows_per_second: f64,
    left: Option<Duration>,
}

impl Figures {
    fn now(&self) -> Moment {
        let load = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let mut moment = Moment {
            windows: load(&self.windows),
            over: load(&self.over),
            hits: load(&self.hits),
            rows: 0,
            of_rows: 0,
            bytes: 0,
            rows_per_second: 0.0,
            left: None,
        };
        let work = self.work.lock().ok().and_then(|work| work.clone());
        if let Some((work, since)) = work {
            // What is read again, at a seam or after a failure, counts once.
            let rows = work.read.load(Ordering::Relaxed).min(work.rows);
            let seconds = since.elapsed().as_secs_f64();
            let part = rows as f64 / work.rows.max(1) as f64;
            (moment.rows, moment.of_rows) = (rows, work.rows);
            moment.bytes = (work.bytes as f64 * part) as u64;
            moment.rows_per_second = rows as f64 / seconds.max(1e-3);
            moment.left = (rows > 0).then(|| Duration::from_secs_f64(seconds * (1.0 - part) / part));
        }
        moment
    }
}

impl Moment {
    /// `12/365 windows, 1,200,000 rows/s, 24.1 MiB, 17 hits, 2m 3s left`
    fn text(&self) -> String {
        let mut parts = vec![format!("{}/{} windows", human_count(self.over), human_count(self.windows))];
        if self.of_rows > 0 {
            parts.push(format!("{} rows/s", human_count(self.rows_per_second as u64)));
            parts.push(human_bytes(self.bytes));
        }
        parts.push(format!("{} hits", human_count(self.hits)));
        if let Some(left) = self.left {
            // Whole seconds: a guess has no milliseconds.
            parts.push(format!("{} left", indicatif::HumanDuration(Duration::from_secs(left.as_secs()))));
        }
        parts.join(", ")
    }
}

/// Shows how far a run is: by a bar over the rows that are to read, or by lines of the log.
pub(super) struct Progress {
    job: String,
    figures: Figures,
    bar: Option<ProgressBar>,
}

impl Progress {
    pub(super) fn new(job: &str, with_bar: bool) -> Self {
        let bar = with_bar.then(|| {
            let bar = ProgressBar::new_spinner();
            bar.set_message("looking at windows and files");
            bar.enable_steady_tick(Duration::from_millis(120));
            bar
        });
        Self { job: job.to_owned(), figures: Figures::default(), bar }
    }

    /// Shows it again and again.
    pub(super) async fn keep_showing(&self) -> Infallible {
        loop {
            tokio::time::sleep(if self.bar.is_some() { DRAWN } else { WRITTEN }).await;
            self.show();
        }
    }

    fn show(&self) {
        let now = self.figures.now();
        match &self.bar {
            Some(bar) if now.of_rows > 0 => {
                bar.set_position(now.rows);
                bar.set_message(now.text());
            }
            Some(_) => {}
            None => tracing::info!(
                target: "lakehunt::progress",
                windows_over = now.over,
                windows = now.windows,
                rows = now.rows,
                rows_total = now.of_rows,
                bytes = now.bytes,
                hits = now.hits,
                seconds_left = now.left.map(|left| left.as_secs()),
                "{}: {}",
                self.job,
                now.text()
            ),
        }
    }

    pub(super) fn finish(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

impl Observer for Progress {
    fn planned(&self, plan: &Plan) {
        self.figures.windows.store(plan.states.len() as u64, Ordering::Relaxed);
    }

    fn begins(&self, work: &Work) {
        if let Ok(mut place) = self.figures.work.lock() {
            *place = Some((work.clone(), Instant::now()));
        }
        if let Some(bar) = &self.bar {
            bar.set_length(work.rows);
            if let Ok(style) = ProgressStyle::with_template("{bar:24} {percent:>3}%  {elapsed}  {msg}") {
                bar.set_style(style);
            }
        }
    }

    fn window(&self, report: &WindowReport) {
        self.figures.over.fetch_add(1, Ordering::Relaxed);
        if let Outcome::Done { hits, .. } | Outcome::UpToDate { hits } = report.outcome {
            self.figures.hits.fetch_add(hits, Ordering::Relaxed);
        }
    }

    fn waits(&self, claim: &Claim, windows: usize) {
        let Claim { run, host, .. } = claim;
        let text = format!("waiting for run {run} on {host}, which is at work on {windows} of the windows");
        match &self.bar {
            Some(bar) => {
                bar.set_style(ProgressStyle::default_spinner());
                bar.set_message(text);
            }
            None => tracing::info!(target: "lakehunt::progress", run, host, windows, "{text}"),
        }
    }
}
