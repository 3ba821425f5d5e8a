//! OpenTelemetry: traces and metrics over OTLP (HTTP with protobuf), when its variables ask for them.
//!
//! Whatever goes wrong here is a warning: a hunt does not fail because nobody listens.

use std::time::Duration;

use async_trait::async_trait;
use opentelemetry::trace::TracerProvider;
use opentelemetry::{KeyValue, global};
use opentelemetry_http::{Bytes, HttpClient, HttpError, Request, Response};
use opentelemetry_otlp::{ExporterBuildError, MetricExporter, SpanExporter, WithHttpConfig};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::metrics::SdkMeterProvider;
use opentelemetry_sdk::trace::{SdkTracer, SdkTracerProvider};
use tokio::runtime::Handle;

use crate::report::{Outcome, RunReport};

/// How long the end of a process waits for what is still to be sent.
const PATIENCE: Duration = Duration::from_secs(5);

/// What sends traces and metrics, if somebody wants them.
#[derive(Default)]
pub(super) struct Telemetry {
    traces: Option<SdkTracerProvider>,
    metrics: Option<SdkMeterProvider>,
    /// Why something that was asked for is not sent.
    complaint: Option<String>,
}

impl Telemetry {
    /// What the standard's variables ask for: an endpoint (`OTEL_EXPORTER_OTLP_ENDPOINT`, or one for traces or metrics), or
    /// `otlp` as an exporter. Has to be called within the runtime.
    pub(super) fn from_env() -> Self {
        let variable = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
        let disabled = variable("OTEL_SDK_DISABLED").is_some_and(|value| value.eq_ignore_ascii_case("true"));
        let wanted = |signal: &str| match variable(&format!("OTEL_{signal}_EXPORTER")) {
            Some(exporter) => exporter == "otlp",
            None => ["OTEL_EXPORTER_OTLP_ENDPOINT", &format!("OTEL_EXPORTER_OTLP_{signal}_ENDPOINT")]
                .iter()
                .any(|name| variable(name).is_some()),
        };
        let (traces, metrics) = (!disabled && wanted("TRACES"), !disabled && wanted("METRICS"));
        if !traces && !metrics {
            return Self::default();
        }
        let protocol = variable("OTEL_EXPORTER_OTLP_PROTOCOL").filter(|protocol| protocol != "http/protobuf");
        if let Some(protocol) = protocol {
            let complaint = format!(
                "no telemetry is sent: OTEL_EXPORTER_OTLP_PROTOCOL is {protocol}, and only http/protobuf is spoken here"
            );
            return Self { complaint: Some(complaint), ..Self::default() };
        }
        Self::sending(traces, metrics)
            .unwrap_or_else(|e| Self { complaint: Some(format!("no telemetry is sent: {e}")), ..Self::default() })
    }

    fn sending(traces: bool, metrics: bool) -> Result<Self, ExporterBuildError> {
        let client = Client { client: reqwest::Client::new(), runtime: Handle::current() };
        // Its variables (OTEL_SERVICE_NAME, OTEL_RESOURCE_ATTRIBUTES) go before these.
        let mut resource =
            Resource::builder().with_attribute(KeyValue::new("service.version", env!("CARGO_PKG_VERSION")));
        if std::env::var_os("OTEL_SERVICE_NAME").is_none() {
            resource = resource.with_service_name("lakehunt");
        }
        let resource = resource.build();
        let mut telemetry = Self::default();
        if traces {
            let exporter = SpanExporter::builder().with_http().with_http_client(client.clone()).build()?;
            let provider = SdkTracerProvider::builder().with_batch_exporter(exporter).with_resource(resource.clone());
            telemetry.traces = Some(provider.build());
        }
        if metrics {
            let exporter = MetricExporter::builder().with_http().with_http_client(client).build()?;
            let provider = SdkMeterProvider::builder().with_periodic_exporter(exporter).with_resource(resource).build();
            global::set_meter_provider(provider.clone());
            telemetry.metrics = Some(provider);
        }
        Ok(telemetry)
    }

    pub(super) fn tracer(&self) -> Option<SdkTracer> {
        self.traces.as_ref().map(|traces| traces.tracer("lakehunt"))
    }

    /// Says why something that was asked for is not sent.
    pub(super) fn complain(&self) {
        if let Some(complaint) = &self.complaint {
            tracing::warn!("{complaint}");
        }
    }

    /// Sends what is left.
    pub(super) async fn finish(self) {
        let (traces, metrics) = (self.traces, self.metrics);
        if traces.is_none() && metrics.is_none() {
            return;
        }
        // It blocks until the client, which needs the runtime's threads, is through.
        let sent = tokio::task::spawn_blocking(move || {
            let traces = traces.map_or(Ok(()), |traces| traces.shutdown_with_timeout(PATIENCE));
            let metrics = metrics.map_or(Ok(()), |metrics| metrics.shutdown_with_timeout(PATIENCE));
            traces.and(metrics)
        });
        match tokio::time::timeout(2 * PATIENCE, sent).await {
            Ok(Ok(Ok(()))) => {}
            Ok(Ok(Err(error))) => tracing::warn!("telemetry could not be sent: {error}"),
            Ok(Err(_)) | Err(_) => tracing::warn!("telemetry could not be sent in time"),
        }
    }
}

/// Adds a run's figures to the metrics, if they are sent.
pub(super) fn record(report: &RunReport) {
    let meter = global::meter("lakehunt");
    let job = KeyValue::new("job", report.job.clone());
    let windows = meter.u64_counter("lakehunt.windows").with_description("windows by what became of them").build();
    let hits = meter.u64_counter("lakehunt.hits").with_description("hits in windows that were done").build();
    for window in &report.windows {
        let outcome = match &window.outcome {
            Outcome::Done { hits: found, .. } => {
                hits.add(*found, std::slice::from_ref(&job));
                "done"
            }
            Outcome::UpToDate { .. } => "up_to_date",
            Outcome::WithoutSource => "without_source",
            Outcome::Left(_) => "left",
            Outcome::Failed(_) => "failed",
        };
        windows.add(1, &[job.clone(), KeyValue::new("outcome", outcome)]);
    }
    let job = std::slice::from_ref(&job);
    meter.u64_counter("lakehunt.rows.read").build().add(report.rows_read, job);
    meter.u64_counter("lakehunt.bytes.read").with_unit("By").build().add(report.bytes_read, job);
    let took = meter.f64_histogram("lakehunt.run.duration").with_unit("s").build();
    took.record(report.elapsed.as_secs_f64(), job);
}

/// The client of the stores' own library. The exporters wait for it on threads without a runtime, so it brings its own.
#[derive(Debug, Clone)]
struct Client {
    client: reqwest::Client,
    runtime: Handle,
}

#[async_trait]
impl HttpClient for Client {
    async fn send_bytes(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        let client = self.client.clone();
        let sent = self.runtime.spawn(async move {
            let request: reqwest::Request = request.try_into()?;
            let response = client.execute(request).await?;
            let (status, headers) = (response.status(), response.headers().clone());
            let mut answer = Response::builder().status(status).body(response.bytes().await?)?;
            *answer.headers_mut() = headers;
            Ok::<_, HttpError>(answer)
        });
        sent.await?
    }
}
