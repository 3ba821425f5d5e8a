//! What has become of the windows of a run so far.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::Observer;
use crate::error::Error;
use crate::lake::Resolution;
use crate::report::{Left, Outcome, WindowReport};
use crate::window::Window;

/// Windows by position, with what became of each; told to the observer as it happens.
pub(super) struct Tally<'a> {
    observer: &'a dyn Observer,
    windows: Vec<Window>,
    reports: BTreeMap<usize, WindowReport>,
    /// What a reader of the hits should know.
    warnings: Vec<String>,
    pub(super) rows_read: u64,
    pub(super) bytes_read: u64,
    pub(super) resolution: Option<Resolution>,
}

impl<'a> Tally<'a> {
    pub(super) fn new(observer: &'a dyn Observer, windows: Vec<Window>) -> Self {
        let (reports, warnings) = (BTreeMap::new(), Vec::new());
        Self { observer, windows, reports, warnings, rows_read: 0, bytes_read: 0, resolution: None }
    }

    /// Whether it is known what became of a window.
    pub(super) fn has(&self, index: usize) -> bool {
        self.reports.contains_key(&index)
    }

    pub(super) fn report(&mut self, index: usize, outcome: Outcome, rows_read: u64, bytes_read: u64) {
        let window = &self.windows[index];
        let report = WindowReport {
            label: window.label().to_owned(),
            start: window.start(),
            end: window.end(),
            rows_read,
            bytes_read,
            outcome,
        };
        self.observer.window(&report);
        self.reports.insert(index, report);
    }

    pub(super) fn fail(&mut self, index: usize, error: Error) {
        self.report(index, Outcome::Failed(Arc::new(error)), 0, 0);
    }

    /// Leaves all windows of which nothing is known yet, since the run was asked to stop.
    pub(super) fn leave_rest(&mut self) {
        for index in 0..self.windows.len() {
            if !self.has(index) {
                self.report(index, Outcome::Left(Left::Stopped), 0, 0);
            }
        }
    }

    /// Whether a window was done by this run.
    pub(super) fn has_done(&self) -> bool {
        self.reports.values().any(|report| matches!(report.outcome, Outcome::Done { .. }))
    }

    /// Fails all windows of which nothing is known yet.
    pub(super) fn fail_rest(&mut self, error: &Error) {
        for index in 0..self.windows.len() {
            if !self.has(index) {
                self.fail(index, error.clone());
            }
        }
    }

    /// Adds warnings, each once.
    pub(super) fn warn(&mut self, lines: impl IntoIterator<Item = String>) {
        for line in lines {
            if !self.warnings.contains(&line) {
                self.warnings.push(line);
            }
        }
    }

    /// The reports in the order of the windows, and the warnings.
    pub(super) fn finish(self) -> (Vec<WindowReport>, Vec<String>) {
        (self.reports.into_values().collect(), self.warnings)
    }
}
