//! For machines: one JSON value. Its keys are a contract; they are added to and never renamed.

use serde_json::{Value, json};

use super::{Left, Outcome, RunReport};
use crate::pipeline::Plan;
use crate::report::status::why;

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
                Outcome::Left(Left::Stopped) => json!({"status": "left", "reason": "stopped"}),
                Outcome::Left(Left::Claimed(claim)) => {
                    json!({"status": "left", "reason": "claimed", "run": claim.run, "host": claim.host, "expires_at": claim.expires_at})
                }
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
        "run": report.run,
        "hits": report.hits(),
        "exit_code": report.exit_code(),
        "rows_read": report.rows_read,
        "bytes_read": report.bytes_read,
        "time_unit": report.resolution,
        "stopped": report.stopped,
        "elapsed_seconds": report.elapsed.as_secs_f64(),
        "warnings": report.warnings,
        "windows": windows,
    })
}

/// What a run would do.
pub(crate) fn plan_json(plan: &Plan) -> Value {
    let survey = &plan.survey;
    let windows: Vec<Value> = survey
        .windows
        .iter()
        .zip(&plan.states)
        .map(|(window, state)| {
            let (files, bytes) = survey.size(window);
            let (word, reason) = why(state);
            json!({
                "window": window.window.label(),
                "start": window.window.start(),
                "end": window.window.end(),
                "status": word,
                "reason": reason,
                "has_source": window.has_source,
                "files": files,
                "bytes": bytes,
            })
        })
        .collect();
    let (files, bytes) = survey.total();
    json!({"dry_run": true, "files": files, "bytes": bytes, "to_do": plan.todo().len(), "warnings": plan.warnings(), "windows": windows})
}
