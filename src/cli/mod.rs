//! The command line: parse, resolve, call the library, turn the result into output and an exit code.
//!
//! stdout is data, stderr is for people.

mod args;
mod completions;
mod demo;
mod diff;
mod explain;
mod generate;
mod history;
mod hits;
mod inspect;
mod logs;
mod new;
mod output;
mod progress;
mod report;
mod run;
mod settings;
mod signals;
mod status;
mod telemetry;
mod test;
mod vacuum;
mod validate;
mod worker;

use std::process::ExitCode;

use crate::error::{Error, ErrorKind, Result};
use crate::stop::Stop;
use args::{Args, Command};
use clap::Parser;
use signals::{Ended, Signalled};
use telemetry::Telemetry;

/// Runs the command line of this process. Exit codes: 0 done, 1 failed, 2 usage or job invalid, 3 some windows failed,
/// 4 commit conflict, 5 source missing or a store unreachable, 10 hits found (with `--fail-on-hits`), 130 and 143 on signals.
pub fn main() -> ExitCode {
    // clap ends the process itself for --help, --version and usage errors (code 2).
    let args = Args::parse();
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().worker_threads(threads(&args)).build()
    {
        Ok(runtime) => runtime,
        Err(e) => {
            logs::start(&args, None);
            return fail(&Error::new(ErrorKind::Engine, "the threads cannot be started").caused_by(e));
        }
    };
    let code = runtime.block_on(async {
        let telemetry = Telemetry::from_env();
        logs::start(&args, telemetry.tracer());
        telemetry.complain();
        let signalled = match args.command {
            Command::Run(_) => Signalled::Stops,
            Command::Worker(_) => Signalled::Served,
            _ => Signalled::Ends,
        };
        let code = signals::heeding(signalled, |stop| dispatch(args.command, stop)).await;
        telemetry.finish().await;
        code
    });
    // Work that a signal cut off is not waited for.
    runtime.shutdown_background();
    code
}

async fn dispatch(command: Command, stop: Stop) -> Result<Ended> {
    match command {
        Command::Run(args) => return run::run(args, stop).await,
        Command::Demo(args) => return demo::demo(args).await.map(Ended::from),
        Command::Generate(args) => blocking(move || generate::run(args)).await,
        Command::Explain(args) => explain::explain(args).await,
        Command::Validate(args) => validate::validate(args).await,
        Command::Test(args) => test::test(args).await,
        Command::New(args) => new::new(&args),
        Command::Inspect(args) => inspect::inspect(args).await,
        Command::Status(args) => status::status(args).await,
        Command::History(args) => history::history(args).await,
        Command::Diff(args) => diff::diff(args).await,
        Command::Hits(args) => hits::hits(args).await,
        Command::Report(args) => report::report(args).await,
        Command::Vacuum(args) => vacuum::vacuum(args).await,
        Command::Worker(args) => worker::worker(args).await,
        Command::Completions(args) => completions::completions(args),
    }
    .map(|()| Ended::from(0))
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
