//! The command line: parse, resolve, call the library, turn the result into output and an exit code.
//!
//! stdout is data, stderr is for people.

mod args;
mod completions;
mod demo;
mod explain;
mod generate;
mod hits;
mod inspect;
mod output;
mod progress;
mod run;
mod settings;
mod vacuum;
mod validate;

use std::process::ExitCode;

use clap::Parser;
use tracing_subscriber::EnvFilter;

use crate::error::{Error, ErrorKind, Result};
use crate::secrets::redact;
use args::{Args, Command, LogFormat};

/// Exit codes of a process that a signal ended, as shells have them.
const INTERRUPTED: u8 = 130;
const TERMINATED: u8 = 143;

/// Runs the command line of this process. Exit codes: 0 done, 1 failed, 2 usage or job invalid, 3 some windows failed,
/// 4 commit conflict, 5 source missing or a store unreachable, 10 hits found (with `--fail-on-hits`), 130 and 143 on signals.
pub fn main() -> ExitCode {
    // clap ends the process itself for --help, --version and usage errors (code 2).
    let args = Args::parse();
    start_logs(&args);
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().worker_threads(threads(&args)).build()
    {
        Ok(runtime) => runtime,
        Err(e) => {
            return fail(&Error::new(ErrorKind::Engine, "the threads cannot be started").caused_by(e));
        }
    };
    let code = runtime.block_on(async {
        tokio::select! {
            result = dispatch(args.command) => match result {
                Ok(code) => ExitCode::from(code),
                Err(error) => fail(&error),
            },
            code = signalled() => {
                tracing::error!("stopped by a signal; windows that are committed stay, no window is half written");
                ExitCode::from(code)
            }
        }
    });
    // Work that a signal cut off is not waited for.
    runtime.shutdown_background();
    code
}

async fn dispatch(command: Command) -> Result<u8> {
    match command {
        Command::Run(args) => run::run(args).await,
        Command::Demo(args) => demo::demo(args).await,
        Command::Generate(args) => blocking(move || generate::run(args)).await.map(|()| 0),
        Command::Explain(args) => explain::explain(args).await.map(|()| 0),
        Command::Validate(args) => validate::validate(args).await.map(|()| 0),
        Command::Inspect(args) => inspect::inspect(args).await.map(|()| 0),
        Command::Hits(args) => hits::hits(args).await.map(|()| 0),
        Command::Vacuum(args) => vacuum::vacuum(args).await.map(|()| 0),
        Command::Completions(args) => completions::completions(args).map(|()| 0),
    }
}

/// Runs work that never waits, so that signals are still heard.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result,
        Err(e) => Err(Error::new(ErrorKind::Engine, "the work was cut off").caused_by(e)),
    }
}

fn fail(error: &Error) -> ExitCode {
    tracing::error!(kind = %error.kind(), "{error}");
    ExitCode::from(error.kind().exit_code())
}

/// The engine's tasks run on this many threads; only a run can be told a number.
fn threads(args: &Args) -> usize {
    let told = match &args.command {
        Command::Run(run) => run.settings.threads,
        _ => None,
    };
    told.or_else(|| std::thread::available_parallelism().ok()).map_or(1, std::num::NonZeroUsize::get)
}

fn start_logs(args: &Args) {
    let level = match args.verbose {
        0 => "error,lakehunt=warn",
        1 => "warn,lakehunt=info",
        _ => "warn,lakehunt=debug",
    };
    let level = if args.quiet { "error" } else { level };
    let filter = EnvFilter::try_from_env("LAKEHUNT_LOG").unwrap_or_else(|_| EnvFilter::new(level));
    let logs = tracing_subscriber::fmt().with_env_filter(filter).with_writer(|| Redacting(std::io::stderr()));
    // A second call in one process changes nothing, which is right.
    let _ = match args.log_format {
        LogFormat::Json => logs.json().try_init(),
        LogFormat::Text => logs
            .without_time()
            .with_target(false)
            .with_ansi(std::io::IsTerminal::is_terminal(&std::io::stderr()))
            .try_init(),
    };
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

#[cfg(unix)]
async fn signalled() -> u8 {
    use tokio::signal::unix::{SignalKind, signal};
    match (signal(SignalKind::interrupt()), signal(SignalKind::terminate())) {
        (Ok(mut interrupt), Ok(mut terminate)) => tokio::select! {
            _ = interrupt.recv() => INTERRUPTED,
            _ = terminate.recv() => TERMINATED,
        },
        // Without handlers the signal ends the process by itself.
        _ => std::future::pending().await,
    }
}

#[cfg(not(unix))]
async fn signalled() -> u8 {
    match tokio::signal::ctrl_c().await {
        Ok(()) => INTERRUPTED,
        Err(_) => std::future::pending().await,
    }
}
