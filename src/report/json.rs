//! For machines: one JSON value. Its keys are a contract; they are added to and never renamed.

use serde_json::{Value, json};

use super::{Outcome, RunReport};
use crate::pipeline::Survey;

/// What a run did.
pub(crate) fn report_json(report: &RunReport) -> Value {
    let windows: Vec<Value> = report
        .windows
        .iter()
        .map(|window| {
            let mut value = json!({
                "window": window.label,
                "start": window.start,
                "end": window.end,
                "rows_read": window.rows_read,
                "bytes_read": window.bytes_read,
            });
            let outcome = match &window.outcome {
                Outcome::Done { hits, kql_rows, over_limit, file } => {
                    json!({"status": "done", "hits": hits, "kql_rows": kql_rows, "keys_over_limit": over_limit, "file": file})
                }
                Outcome::UpToDate { hits } => json!({"status": "up_to_date", "hits": hits}),
                Outcome::WithoutSource => json!({"status": "without_source"}),
                Outcome::Failed(error) => {
                    json!({"status": "failed", "error": error.to_string(), "kind": error.kind().to_string()})
                }
            };
            if let (Value::Object(value), Value::Object(outcome)) = (&mut value, outcome) {
                value.extend(outcome);
            }
            value
        })
        .collect();
    json!({
        "job": report.job,
        "hits": report.hits(),
        "exit_code": report.exit_code(),
        "rows_read": report.rows_read,
        "bytes_read": report.bytes_read,
        "time_unit": report.resolution,
        "elapsed_seconds": report.elapsed.as_secs_f64(),
        "warnings": report.warnings,
        "windows": windows,
    })
}

/// What a run would do.
pub(crate) fn plan_json(survey: &Survey) -> Value {
    let windows: Vec<Value> = survey
        .windows
        .iter()
        .map(|plan| {
            let (files, bytes) = survey.size(plan);
            json!({
                "window": plan.window.label(),
                "start": plan.window.start(),
                "end": plan.window.end(),
                "has_source": plan.has_source,
                "files": files,
                "bytes": bytes,
            })
        })
        .collect();
    let (files, bytes) = survey.total();
    json!({"dry_run": true, "files": files, "bytes": bytes, "warnings": survey.warnings(), "windows": windows})
}
