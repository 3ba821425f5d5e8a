//! Logs on stderr, and spans to where telemetry goes.

use std::io::{IsTerminal, stderr};

use opentelemetry_sdk::trace::SdkTracer;
use tracing_subscriber::filter::FilterFn;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Layer};

use super::args::{Args, LogFormat};
use crate::pipeline::SPANS;
use crate::secrets::redact;

/// Begins to log as the flags say, or `LAKEHUNT_LOG`; spans go to `tracer`.
pub(super) fn start(args: &Args, tracer: Option<SdkTracer>) {
    let level = match args.verbose {
        0 => "error,lakehunt=warn,lakehunt::progress=info",
        1 => "warn,lakehunt=info",
        _ => "warn,lakehunt=debug",
    };
    let level = if args.quiet { "error" } else { level };
    // To the library a commit that another run was faster than is an error; to a run it is a reason to look again.
    let level = format!("{level},deltalake_core::kernel::transaction=off");
    let filter = EnvFilter::try_from_env("LAKEHUNT_LOG").unwrap_or_else(|_| EnvFilter::new(level));
    let lines = tracing_subscriber::fmt::layer().with_writer(|| Redacting(stderr()));
    let lines = match args.log_format {
        LogFormat::Json => lines.json().boxed(),
        LogFormat::Text => lines.without_time().with_target(false).with_ansi(stderr().is_terminal()).boxed(),
    };
    // Spans are for traces; before each line they would only be in the way.
    let lines = lines.with_filter(filter).with_filter(FilterFn::new(|metadata| metadata.target() != SPANS));
    let spans = tracer.map(|tracer| {
        // Spans alone: events hold messages, and those of libraries may hold anything.
        let ours = FilterFn::new(|metadata| metadata.target() == SPANS);
        tracing_opentelemetry::layer().with_tracer(tracer).with_location(false).with_filter(ours)
    });
    // A second call in one process changes nothing, which is right.
    let _ = tracing_subscriber::registry().with(lines).with(spans).try_init();
}

/// stderr, without the secrets that this process knows: libraries log, too.
struct Redacting(std::io::Stderr);

impl std::io::Write for Redacting {
    /// An event comes whole, in one call.
    fn write(&mut self, event: &[u8]) -> std::io::Result<usize> {
        self.0.write_all(redact(&String::from_utf8_lossy(event)).as_bytes())?;
        Ok(event.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.0.flush()
    }
}
