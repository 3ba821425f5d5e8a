//! What was typed. What it means is decided in `settings`.

mod cluster;
mod look;
mod make;
mod report;
mod run;
mod shared;

use clap::{Parser, Subcommand, ValueEnum};
use clap_complete::Shell;

pub(super) use cluster::{AccessArgs, WorkerArgs, WorkersArgs};
pub(super) use look::{DiffArgs, HistoryArgs, HitsArgs, HitsFormat, InspectArgs, StatusArgs};
pub(super) use make::{DemoArgs, GenerateArgs, NewArgs};
pub(super) use report::ReportArgs;
pub(super) use run::{ExplainArgs, RunArgs};
pub(super) use shared::{NightlyArgs, SettingsArgs, StoreArgs};

const EXIT_CODES: &str = "\
Exit codes:
  0    done
  1    failed
  2    a flag or the job is not valid
  3    some windows failed, the others are committed
  4    another run committed the same window
  5    the source is missing, or a store cannot be reached or refuses access
  10   hits were found, with --fail-on-hits
  130  interrupted (143: terminated)

A flag goes before its environment variable, and that before the job file.";

/// Threat hunts as SQL over Parquet sign-in lakes, with KQL's answer to the row
#[derive(Debug, Parser)]
#[command(version, after_help = EXIT_CODES, max_term_width = 110)]
pub(super) struct Args {
    #[command(subcommand)]
    pub(super) command: Command,

    /// Tell more on stderr (twice: even more)
    #[arg(short, long, global = true, action = clap::ArgAction::Count)]
    pub(super) verbose: u8,

    /// Tell errors only
    #[arg(short, long, global = true, conflicts_with = "verbose")]
    pub(super) quiet: bool,

    /// The form of the logs on stderr
    #[arg(long, global = true, value_enum, default_value_t, env = "LAKEHUNT_LOG_FORMAT")]
    pub(super) log_format: LogFormat,
}

#[derive(Debug, Clone, Copy, Default, ValueEnum)]
pub(super) enum LogFormat {
    #[default]
    Text,
    Json,
}

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Run a hunt over windows of a lake and write the hit table
    Run(RunArgs),
    /// Make a week of a synthetic tenant, hunt in it, show the hits
    Demo(DemoArgs),
    /// Make a synthetic tenant's lake
    Generate(GenerateArgs),
    /// Show a hunt's SQL with its parameters and its plans
    Explain(ExplainArgs),
    /// Check a job file and its SQL without touching a lake
    Validate(ValidateArgs),
    /// Run the tests of hunts: rows in, hits out
    Test(TestArgs),
    /// Begin a hunt: a job file, its SQL and its tests, which pass
    New(NewArgs),
    /// Look at a lake: layout, files, rows, times, schemas, nulls, duplicates
    Inspect(InspectArgs),
    /// Show how a job stands: its windows, done, missing, stale and failed, with why
    Status(StatusArgs),
    /// Show what the runs of a job did, newest first
    History(HistoryArgs),
    /// Show what reruns changed: hits that are new, gone and different
    Diff(DiffArgs),
    /// Print the hits of an output
    Hits(HitsArgs),
    /// Write a page with what was hunted, what of it is done, and what was found
    Report(ReportArgs),
    /// Remove what runs that were cut off left in an output
    Vacuum(VacuumArgs),
    /// Evaluate parts of runs on other machines
    Worker(WorkerArgs),
    /// Print a completion script for a shell
    Completions(CompletionsArgs),
}

#[derive(Debug, clap::Args)]
pub(super) struct ValidateArgs {
    /// Job files or names; all of the folder jobs when none is given
    pub(super) jobs: Vec<String>,
}

#[derive(Debug, clap::Args)]
pub(super) struct TestArgs {
    /// Job files or names; all of the folder jobs when none is given
    pub(super) jobs: Vec<String>,

    /// Run only tests whose name holds this text
    #[arg(long, value_name = "TEXT")]
    pub(super) filter: Option<String>,

    /// Print one JSON value instead of text
    #[arg(long)]
    pub(super) json: bool,
}

#[derive(Debug, clap::Args)]
pub(super) struct VacuumArgs {
    /// The root of the output
    #[arg(env = "LAKEHUNT_OUTPUT")]
    pub(super) output: String,

    /// Of what killed runs left: leave what is younger, since a run may still write it
    #[arg(long, default_value = "1d", value_name = "TIME")]
    pub(super) older_than: String,

    /// Of what was replaced (hits of before a rerun, history, older versions of Delta tables): keep what is younger
    #[arg(long, default_value = "30d", value_name = "TIME")]
    pub(super) retention: String,

    /// The job whose file says how the store is reached
    #[arg(long)]
    pub(super) job: Option<String>,

    /// Only tell what would be removed
    #[arg(long)]
    pub(super) dry_run: bool,

    /// Print one JSON value instead of text
    #[arg(long)]
    pub(super) json: bool,

    #[command(flatten)]
    pub(super) stores: StoreArgs,
}

#[derive(Debug, clap::Args)]
pub(super) struct CompletionsArgs {
    /// The shell
    pub(super) shell: Shell,
}
