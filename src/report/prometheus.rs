//! The figures of runs as a text file for Prometheus, for example by the text-file collector of its node exporter.

use std::collections::BTreeMap;

use prometheus::{Encoder, GaugeVec, Opts, Registry, TextEncoder};

use super::{Outcome, RunReport};
use crate::error::{Error, ErrorKind, Result};

/// Names and meanings are a contract: they are added to and never renamed. `finished` is in seconds since 1970.
pub(crate) fn metrics_text<'a>(reports: impl IntoIterator<Item = (&'a RunReport, f64)>) -> Result<Vec<u8>> {
    let (registry, mut gauges) = (Registry::new(), BTreeMap::new());
    let mut text = Vec::new();
    reports
        .into_iter()
        .try_for_each(|(report, finished)| add(&registry, &mut gauges, report, finished))
        .and_then(|()| TextEncoder::new().encode(&registry.gather(), &mut text))
        .map_err(|e| Error::new(ErrorKind::Output, "the metrics cannot be encoded").caused_by(e))?;
    Ok(text)
}

fn add(
    registry: &Registry,
    gauges: &mut BTreeMap<String, GaugeVec>,
    report: &RunReport,
    finished: f64,
) -> prometheus::Result<()> {
    let mut gauge = |name: &str, help: &str, label: Option<&str>| {
        if let Some(gauge) = gauges.get(name) {
            return Ok::<_, prometheus::Error>(gauge.clone());
        }
        let labels: Vec<&str> = std::iter::once("job").chain(label).collect();
        let gauge = GaugeVec::new(Opts::new(format!("lakehunt_{name}"), help), &labels)?;
        registry.register(Box::new(gauge.clone()))?;
        gauges.insert(name.to_owned(), gauge.clone());
        Ok(gauge)
    };
    let job = report.job.as_str();

    let windows = gauge("run_windows", "Windows of the last run, by what became of them", Some("outcome"))?;
    let count = |is: fn(&Outcome) -> bool| report.windows.iter().filter(|window| is(&window.outcome)).count() as f64;
    for (outcome, count) in [
        ("done", count(|outcome| matches!(outcome, Outcome::Done { .. }))),
        ("up_to_date", count(|outcome| matches!(outcome, Outcome::UpToDate { .. }))),
        ("without_source", count(|outcome| matches!(outcome, Outcome::WithoutSource))),
        ("left", count(|outcome| matches!(outcome, Outcome::Left(_)))),
        ("failed", count(|outcome| matches!(outcome, Outcome::Failed(_)))),
    ] {
        windows.with_label_values(&[job, outcome]).set(count);
    }
    for (name, help, value) in [
        ("run_hits", "Hits in the windows that the last run did", report.new_hits() as f64),
        ("hits", "Hits in all windows that the last run looked at", report.hits() as f64),
        ("run_rows_read", "Rows that the last run read", report.rows_read as f64),
        ("run_bytes_read", "Compressed bytes of the columns that the last run read", report.bytes_read as f64),
        ("run_duration_seconds", "How long the last run took", report.elapsed.as_secs_f64()),
        (
            "run_exit_code",
            "The exit code of the last run, as far as its windows decide it",
            f64::from(report.exit_code()),
        ),
        ("run_finished_timestamp_seconds", "When the last run was over, in seconds since 1970", finished),
    ] {
        gauge(name, help, None)?.with_label_values(&[job]).set(value);
    }
    if let Some(latest) = report
        .windows
        .iter()
        .filter(|window| matches!(window.outcome, Outcome::Done { .. } | Outcome::UpToDate { .. }))
        .map(|window| window.end.timestamp())
        .max()
    {
        let help = "The end of the newest window that is done, in seconds since 1970";
        gauge("newest_window_end_timestamp_seconds", help, None)?.with_label_values(&[job]).set(latest as f64);
    }
    Ok(())
}
