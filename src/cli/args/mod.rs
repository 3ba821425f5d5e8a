//! What was typed. What it means is decided in `settings`.

mod cluster;
mod report;
mod shared;

use std::path::PathBuf;

use chrono::NaiveDate;
use clap::{Parser, Subcommand, ValueEnum};
use clap_complete::Shell;

use crate::generate::TimeUnit;
pub(super) use cluster::{AccessArgs, WorkerArgs, WorkersArgs};
pub(super) use report::ReportArgs;
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
// A flag that stands twice (in an alias and behind it) means its last value.
#[command(args_override_self = true)]
pub(super) struct RunArgs {
    /// Job files, or names of some in the folder jobs; several are run one after the other
    #[arg(required_unless_present = "all", value_name = "JOB")]
    pub(super) jobs: Vec<String>,

    /// Run all jobs of the folder jobs
    #[arg(long, conflicts_with_all = ["jobs", "params", "lists"])]
    pub(super) all: bool,

    #[command(flatten)]
    pub(super) settings: SettingsArgs,

    /// The root of the output: a folder or a URL
    #[arg(long, env = "LAKEHUNT_OUTPUT", value_name = "URL")]
    pub(super) output: Option<String>,

    /// Print windows, files and bytes; read no data and write nothing
    #[arg(long)]
    pub(super) dry_run: bool,

    #[command(flatten)]
    pub(super) workers: WorkersArgs,

    #[command(flatten)]
    pub(super) nightly: NightlyArgs,

    /// Evaluate windows again that are done
    #[arg(long)]
    pub(super) force: bool,

    /// Do one of n parts of the range, i from 1 to n (0/n is n/n); machines that are given the same range agree on them
    #[arg(long, value_name = "I/N")]
    pub(super) shard: Option<String>,

    /// Begin with the newest windows
    #[arg(long)]
    pub(super) newest_first: bool,

    /// How long the claim to its windows outlives a run that dies; 0s makes and heeds no claims [default: 2m]
    #[arg(long, env = "LAKEHUNT_LEASE", value_name = "TIME")]
    pub(super) lease: Option<String>,

    /// Leave windows that another run has claimed to it, instead of waiting
    #[arg(long)]
    pub(super) no_wait: bool,

    /// Write figures of the run to this file, as text for Prometheus
    #[arg(long, env = "LAKEHUNT_METRICS_FILE", value_name = "PATH")]
    pub(super) metrics_file: Option<PathBuf>,

    /// End with code 10 when there are hits
    #[arg(long)]
    pub(super) fail_on_hits: bool,

    /// Print one JSON value instead of text
    #[arg(long)]
    pub(super) json: bool,
}

#[derive(Debug, clap::Args)]
pub(super) struct DemoArgs {
    /// The folder to work in; it must not exist or be an earlier demo's
    #[arg(long, default_value = "lakehunt-demo", value_name = "FOLDER")]
    pub(super) dir: PathBuf,

    /// The job
    #[arg(long, default_value = "signin-success-then-fail")]
    pub(super) job: String,
}

#[derive(Debug, clap::Args)]
pub(super) struct GenerateArgs {
    /// The root of the new lake; it must be empty
    pub(super) output: PathBuf,

    /// The first day, UTC
    #[arg(long, default_value = "2024-05-01", value_name = "DATE")]
    pub(super) start: NaiveDate,

    /// Days
    #[arg(long, default_value_t = 7)]
    pub(super) days: u32,

    /// Rows a day
    #[arg(long, default_value_t = 100_000)]
    pub(super) rows_per_day: u64,

    /// Users
    #[arg(long, default_value_t = 2_000)]
    pub(super) users: u32,

    /// Applications
    #[arg(long, default_value_t = 120)]
    pub(super) apps: u32,

    /// How unequal users and apps are: the exponent of Zipf's law, 0 for equal
    #[arg(long, default_value_t = 0.8)]
    pub(super) skew: f64,

    /// Service accounts: (user, IP) keys with very many sign-ins
    #[arg(long, default_value_t = 4)]
    pub(super) service_accounts: u32,

    /// Their share of all rows
    #[arg(long, default_value_t = 0.1)]
    pub(super) service_share: f64,

    /// Planted attacks a day
    #[arg(long, default_value_t = 5)]
    pub(super) attacks_per_day: u32,

    /// The seed; the same settings give the same bytes
    #[arg(long, default_value_t = 1)]
    pub(super) seed: u64,

    /// How folders follow from time
    #[arg(long, default_value = "date={yyyy-MM-dd}", value_name = "TEMPLATE")]
    pub(super) layout: String,

    /// How times are stored
    #[arg(long, value_enum, default_value_t)]
    pub(super) time_unit: TimeUnit,

    /// Files in each partition
    #[arg(long, default_value_t = 1)]
    pub(super) files: u32,

    /// Write the rows of a day in no order
    #[arg(long)]
    pub(super) shuffle: bool,

    /// Write strings plain instead of dictionary-encoded
    #[arg(long)]
    pub(super) plain: bool,

    /// Write only the six columns that the sign-in hunt reads
    #[arg(long)]
    pub(super) six_columns: bool,

    /// Print the planted hits as JSON lines
    #[arg(long)]
    pub(super) planted: bool,
}

#[derive(Debug, clap::Args)]
pub(super) struct ExplainArgs {
    /// A job file's path, or the name of one in the folder jobs
    pub(super) job: String,

    #[command(flatten)]
    pub(super) workers: WorkersArgs,

    #[command(flatten)]
    pub(super) settings: SettingsArgs,
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
pub(super) struct NewArgs {
    /// The name of the job: its file's, without ending
    pub(super) name: String,
}

#[derive(Debug, clap::Args)]
pub(super) struct InspectArgs {
    /// The root of the lake
    pub(super) source: String,

    /// How folders follow from time [default: guessed from the folders]
    #[arg(long, env = "LAKEHUNT_LAYOUT", value_name = "TEMPLATE")]
    pub(super) layout: Option<String>,

    /// The job whose columns are looked for
    #[arg(long, default_value = "signin-success-then-fail")]
    pub(super) job: String,

    #[command(flatten)]
    pub(super) stores: StoreArgs,

    /// The first instant, a UTC date or RFC 3339 [default: all files]
    #[arg(long, value_name = "INSTANT", requires = "to")]
    pub(super) from: Option<String>,

    /// The first instant after the range
    #[arg(long, value_name = "INSTANT", requires = "from")]
    pub(super) to: Option<String>,

    /// Print one JSON value instead of text
    #[arg(long)]
    pub(super) json: bool,
}

#[derive(Debug, clap::Args)]
#[command(args_override_self = true)]
pub(super) struct StatusArgs {
    /// A job file's path, or the name of one in the folder jobs
    pub(super) job: String,

    #[command(flatten)]
    pub(super) settings: SettingsArgs,

    /// The root of the output: a folder or a URL
    #[arg(long, env = "LAKEHUNT_OUTPUT", value_name = "URL")]
    pub(super) output: Option<String>,

    #[command(flatten)]
    pub(super) nightly: NightlyArgs,

    /// Print one JSON value instead of text
    #[arg(long)]
    pub(super) json: bool,
}

#[derive(Debug, clap::Args)]
pub(super) struct HistoryArgs {
    /// A job file's path, or the name of one in the folder jobs
    pub(super) job: String,

    /// The root of the output: a folder or a URL
    #[arg(long, env = "LAKEHUNT_OUTPUT", value_name = "URL")]
    pub(super) output: Option<String>,

    /// How many runs are shown
    #[arg(long, default_value_t = 20, value_name = "N")]
    pub(super) limit: usize,

    /// Print one JSON value instead of text
    #[arg(long)]
    pub(super) json: bool,

    #[command(flatten)]
    pub(super) stores: StoreArgs,
}

#[derive(Debug, clap::Args)]
#[command(args_override_self = true)]
pub(super) struct DiffArgs {
    /// A job file's path, or the name of one in the folder jobs
    pub(super) job: String,

    #[command(flatten)]
    pub(super) settings: SettingsArgs,

    /// The root of the output: a folder or a URL
    #[arg(long, env = "LAKEHUNT_OUTPUT", value_name = "URL")]
    pub(super) output: Option<String>,

    /// Compare with the hits as they were at this instant [default: before each window's last change]
    #[arg(long, value_name = "INSTANT")]
    pub(super) since: Option<String>,

    /// The form
    #[arg(long, value_enum, default_value_t)]
    pub(super) format: HitsFormat,
}

#[derive(Debug, Clone, Copy, Default, ValueEnum)]
pub(super) enum HitsFormat {
    /// A table for a terminal
    #[default]
    Table,
    /// One JSON object a line
    Jsonl,
    /// Comma-separated values with a header
    Csv,
    /// A table of Markdown, for a ticket
    Markdown,
}

#[derive(Debug, clap::Args)]
pub(super) struct HitsArgs {
    /// The root of the output
    #[arg(env = "LAKEHUNT_OUTPUT")]
    pub(super) output: String,

    /// Only hits of this job (its short name)
    #[arg(long)]
    pub(super) job: Option<String>,

    /// Only windows that begin at or after this instant
    #[arg(long, value_name = "INSTANT")]
    pub(super) from: Option<String>,

    /// Only windows that begin before this instant
    #[arg(long, value_name = "INSTANT")]
    pub(super) to: Option<String>,

    /// Only the rows of KQL's own answer (innerunique: one a key)
    #[arg(long)]
    pub(super) kql: bool,

    /// The form
    #[arg(long, value_enum, default_value_t)]
    pub(super) format: HitsFormat,

    /// The columns to print, separated by commas [default: all; a table shows the hit's own values]
    #[arg(long, value_delimiter = ',')]
    pub(super) columns: Vec<String>,

    #[command(flatten)]
    pub(super) stores: StoreArgs,
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
