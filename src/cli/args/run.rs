//! What is typed to run a hunt, or to see how it would be run.

use std::path::PathBuf;

use super::cluster::WorkersArgs;
use super::shared::{NightlyArgs, SettingsArgs};

#[derive(Debug, clap::Args)]
// A flag that stands twice (in an alias and behind it) means its last value.
#[command(args_override_self = true)]
pub(in crate::cli) struct RunArgs {
    /// Job files, or names of some in the folder jobs; several are run one after the other
    #[arg(required_unless_present = "all", value_name = "JOB")]
    pub(in crate::cli) jobs: Vec<String>,

    /// Run all jobs of the folder jobs
    #[arg(long, conflicts_with_all = ["jobs", "params", "lists"])]
    pub(in crate::cli) all: bool,

    #[command(flatten)]
    pub(in crate::cli) settings: SettingsArgs,

    /// The root of the output: a folder or a URL
    #[arg(long, env = "LAKEHUNT_OUTPUT", value_name = "URL")]
    pub(in crate::cli) output: Option<String>,

    /// Print windows, files and bytes; read no data and write nothing
    #[arg(long)]
    pub(in crate::cli) dry_run: bool,

    #[command(flatten)]
    pub(in crate::cli) workers: WorkersArgs,

    #[command(flatten)]
    pub(in crate::cli) nightly: NightlyArgs,

    /// Evaluate windows again that are done
    #[arg(long)]
    pub(in crate::cli) force: bool,

    /// Do one of n parts of the range, i from 1 to n (0/n is n/n); machines that are given the same range agree on them
    #[arg(long, value_name = "I/N")]
    pub(in crate::cli) shard: Option<String>,

    /// Begin with the newest windows
    #[arg(long)]
    pub(in crate::cli) newest_first: bool,

    /// How long the claim to its windows outlives a run that dies; 0s makes and heeds no claims [default: 2m]
    #[arg(long, env = "LAKEHUNT_LEASE", value_name = "TIME")]
    pub(in crate::cli) lease: Option<String>,

    /// Leave windows that another run has claimed to it, instead of waiting
    #[arg(long)]
    pub(in crate::cli) no_wait: bool,

    /// Write figures of the run to this file, as text for Prometheus
    #[arg(long, env = "LAKEHUNT_METRICS_FILE", value_name = "PATH")]
    pub(in crate::cli) metrics_file: Option<PathBuf>,

    /// End with code 10 when there are hits
    #[arg(long)]
    pub(in crate::cli) fail_on_hits: bool,

    /// Print one JSON value instead of text
    #[arg(long)]
    pub(in crate::cli) json: bool,
}

#[derive(Debug, clap::Args)]
pub(in crate::cli) struct ExplainArgs {
    /// A job file's path, or the name of one in the folder jobs
    pub(in crate::cli) job: String,

    #[command(flatten)]
    pub(in crate::cli) workers: WorkersArgs,

    #[command(flatten)]
    pub(in crate::cli) settings: SettingsArgs,
}
