//! The record of a window that was evaluated.

use std::collections::BTreeMap;

use super::inputs::Inputs;
use super::round::Round;
use crate::engine::Bindings;
use crate::job::List;
use crate::sink::{Evaluation, JobOfRecord, ListOfRecord, RunRecord, WindowOfRecord, WindowRows};

impl Round<'_> {
    /// The record of a window that was evaluated; it takes the list of its keys.
    pub(super) fn record(
        &self,
        inputs: &Inputs,
        index: usize,
        rows: &mut WindowRows,
        evaluation: &Evaluation,
        duplicates_dropped: Option<u64>,
    ) -> RunRecord {
        let plan = &self.plan.survey.windows[index];
        let extent = inputs.extent(&plan.files, self.range(&[index]));
        let window = &plan.window;
        let bindings = Bindings::new(self.job, window, window, self.settings.scope, self.reach);
        RunRecord {
            version: crate::sink::VERSION,
            job: JobOfRecord {
                slug: self.job.slug().to_owned(),
                id: self.job.id().to_owned(),
                version: self.job.version().to_owned(),
                fingerprint: self.fingerprint.clone(),
            },
            window: WindowOfRecord {
                label: window.label().to_owned(),
                start: window.start(),
                end: window.end(),
                size: self.settings.window.to_string(),
                scope: self.settings.scope.to_string(),
            },
            parameters: bindings.shown().map(|(name, value)| (name.to_owned(), value.to_owned())).collect(),
            lists: self.job.lists().iter().map(|(name, list)| (name.clone(), of_record(list))).collect(),
            source: self.plan.survey.source().root.display.clone(),
            tables: self.plan.survey.further(),
            layout: self.settings.layout.to_string(),
            source_version: self.plan.survey.source().version,
            inputs: self.plan.survey.inputs(plan),
            rows_read: extent.rows,
            bytes_read: extent.bytes,
            time_columns: inputs.time_columns(&plan.files),
            time_unit: extent.resolution.map(|unit| unit.to_string()),
            duplicates_dropped,
            hits: rows.hits,
            // Known once the file is put.
            hit_file: None,
            row_file: None,
            kql_rows: rows.kql_rows,
            over_limit: std::mem::take(&mut rows.over_limit),
            warnings: plan.missing.iter().map(|p| format!("partition {} does not exist", p.path)).collect(),
            run: Some(self.id.to_owned()),
            evaluation: Some(evaluation.clone()),
            // Known once it is seen what they replace.
            earlier: Vec::new(),
            started_at: self.began,
            finished_at: (self.settings.clock)(),
            versions: versions(),
        }
    }
}

fn of_record(list: &List) -> ListOfRecord {
    ListOfRecord {
        file: list.file().map(|file| file.display().to_string()),
        sha256: list.sha256().to_owned(),
        rows: list.rows().num_rows() as u64,
    }
}

/// The programs that decide the rows.
fn versions() -> BTreeMap<String, String> {
    [("lakehunt", env!("CARGO_PKG_VERSION")), ("datafusion", datafusion::DATAFUSION_VERSION)]
        .into_iter()
        .map(|(name, version)| (name.to_owned(), version.to_owned()))
        .collect()
}
