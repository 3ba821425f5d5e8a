//! Progress on stderr, when that is a terminal.

use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

use crate::pipeline::{Observer, Survey};
use crate::report::WindowReport;

/// A bar over windows. It draws nothing where stderr is no terminal.
pub(super) struct Bar(ProgressBar);

impl Bar {
    pub(super) fn new(quiet: bool) -> Self {
        let bar = if quiet { ProgressBar::hidden() } else { ProgressBar::new_spinner() };
        bar.set_message("listing the lake");
        bar.enable_steady_tick(Duration::from_millis(120));
        Self(bar)
    }

    pub(super) fn finish(&self) {
        self.0.finish_and_clear();
    }
}

impl Observer for Bar {
    fn surveyed(&self, survey: &Survey) {
        self.0.set_length(survey.windows.len() as u64);
        if let Ok(style) = ProgressStyle::with_template("{bar:30} {pos}/{len} windows  {elapsed} {msg}") {
            self.0.set_style(style);
        }
        self.0.set_message("");
    }

    fn window(&self, report: &WindowReport) {
        self.0.set_message(report.label.clone());
        self.0.inc(1);
    }
}
