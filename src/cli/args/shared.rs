//! Flags that several commands take.

use std::num::NonZeroUsize;

use crate::job::OutputFormat;
use crate::window::{OnChange, Scope};

/// Where the rows are and how they are read.
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct SettingsArgs {
    /// The root of the lake: a folder, file://, s3://, abfss://, az://, gs:// or the https:// form of these
    #[arg(long, env = "LAKEHUNT_SOURCE", value_name = "URL")]
    pub(in crate::cli) source: Option<String>,

    /// Where a further table of the job lies; can be given again
    #[arg(long = "table", value_name = "NAME=URL")]
    pub(in crate::cli) tables: Vec<String>,

    /// The version to read, if the lake is a Delta table [default: the newest]
    #[arg(long, env = "LAKEHUNT_SOURCE_VERSION", value_name = "N")]
    pub(in crate::cli) source_version: Option<u64>,

    /// How folders follow from time, for example date={yyyy-MM-dd}, year=/month=/day=, yyyy/MM/dd, flat
    #[arg(long, env = "LAKEHUNT_LAYOUT", value_name = "TEMPLATE")]
    pub(in crate::cli) layout: Option<String>,

    /// Partitions read before and after those of a window
    #[arg(long, env = "LAKEHUNT_SLACK", value_name = "N")]
    pub(in crate::cli) slack: Option<u32>,

    /// The column to take the time from, instead of the job's
    #[arg(long, env = "LAKEHUNT_TIME_COLUMN", value_name = "NAME")]
    pub(in crate::cli) time_column: Option<String>,

    /// The first instant, a UTC date or RFC 3339; the range is half-open [from, to)
    #[arg(long, env = "LAKEHUNT_FROM", value_name = "INSTANT")]
    pub(in crate::cli) from: Option<String>,

    /// The first instant after the range
    #[arg(long, env = "LAKEHUNT_TO", value_name = "INSTANT")]
    pub(in crate::cli) to: Option<String>,

    /// The length of a window (15m, 1h, 6h, 1d, 7d), or all for one over the whole range
    #[arg(long, env = "LAKEHUNT_WINDOW", value_name = "SIZE")]
    pub(in crate::cli) window: Option<String>,

    /// Whether a window sees the time just before it
    #[arg(long, env = "LAKEHUNT_SCOPE", value_enum)]
    pub(in crate::cli) scope: Option<Scope>,

    /// The form of the hit table and of the runs table [default: parquet]
    #[arg(long, env = "LAKEHUNT_OUTPUT_FORMAT", value_enum)]
    pub(in crate::cli) output_format: Option<OutputFormat>,

    /// Sets a parameter of the job for this run; can be given again
    #[arg(long = "param", value_name = "NAME=VALUE")]
    pub(in crate::cli) params: Vec<String>,

    /// Takes a list of the job from a file, CSV with a header or Parquet; can be given again
    #[arg(long = "list", value_name = "NAME=FILE")]
    pub(in crate::cli) lists: Vec<String>,

    /// Threads [default: one a core]
    #[arg(long, env = "LAKEHUNT_THREADS", value_name = "N")]
    pub(in crate::cli) threads: Option<NonZeroUsize>,

    /// Memory for joins, aggregations and sorts [default: 2GiB]
    #[arg(long, env = "LAKEHUNT_MEMORY_LIMIT", value_name = "SIZE")]
    pub(in crate::cli) memory_limit: Option<String>,

    #[command(flatten)]
    pub(in crate::cli) stores: StoreArgs,
}

/// How patient the clients of stores are.
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct StoreArgs {
    /// Tries after a request to a store that failed [default: 10]
    #[arg(long, env = "LAKEHUNT_STORE_RETRIES", value_name = "N")]
    pub(in crate::cli) store_retries: Option<usize>,

    /// Time for a request to a store with all its tries [default: 2m]
    #[arg(long, env = "LAKEHUNT_STORE_TIMEOUT", value_name = "TIME")]
    pub(in crate::cli) store_timeout: Option<String>,
}

/// What a run without a range is for. Any of these makes it one.
#[derive(Debug, Default, clap::Args)]
#[command(next_help_heading = "Without --from and --to: every window that is missing or stale")]
pub(in crate::cli) struct NightlyArgs {
    /// The first instant of the first window
    #[arg(long, value_name = "INSTANT", conflicts_with_all = ["from", "to"])]
    pub(in crate::cli) start: Option<String>,

    /// How far back windows are looked at [default: 30d, if there is no start either]
    #[arg(long, value_name = "TIME", conflicts_with_all = ["from", "to"])]
    pub(in crate::cli) lookback: Option<String>,

    /// How long after its end a window is taken for complete [default: 1h]
    #[arg(long, value_name = "TIME", conflicts_with_all = ["from", "to"])]
    pub(in crate::cli) delay: Option<String>,

    /// How long after its end the files of a window may change [default: 3d]
    #[arg(long, value_name = "TIME", conflicts_with_all = ["from", "to"])]
    pub(in crate::cli) late: Option<String>,

    /// What becomes of windows that were done before the job changed [default: warn, which keeps them]
    #[arg(long, value_enum, conflicts_with_all = ["from", "to"])]
    pub(in crate::cli) on_change: Option<OnChange>,

    /// Do what a run at this instant would do [default: now]
    #[arg(long, value_name = "INSTANT", conflicts_with_all = ["from", "to"])]
    pub(in crate::cli) as_of: Option<String>,
}

impl NightlyArgs {
    /// Whether any of them was typed.
    pub(in crate::cli) fn is_given(&self) -> bool {
        let texts = [&self.start, &self.lookback, &self.delay, &self.late, &self.as_of];
        self.on_change.is_some() || texts.into_iter().any(Option::is_some)
    }
}
