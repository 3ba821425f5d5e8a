//! What is typed to make a lake or a hunt.

use std::path::PathBuf;

use chrono::NaiveDate;

use crate::generate::TimeUnit;

#[derive(Debug, clap::Args)]
pub(in crate::cli) struct DemoArgs {
    /// The folder to work in; it must not exist or be an earlier demo's
    #[arg(long, default_value = "lakehunt-demo", value_name = "FOLDER")]
    pub(in crate::cli) dir: PathBuf,

    /// The job
    #[arg(long, default_value = "signin-success-then-fail")]
    pub(in crate::cli) job: String,
}

#[derive(Debug, clap::Args)]
pub(in crate::cli) struct GenerateArgs {
    /// The root of the new lake; it must be empty
    pub(in crate::cli) output: PathBuf,

    /// The first day, UTC
    #[arg(long, default_value = "2024-05-01", value_name = "DATE")]
    pub(in crate::cli) start: NaiveDate,

    /// Days
    #[arg(long, default_value_t = 7)]
    pub(in crate::cli) days: u32,

    /// Rows a day
    #[arg(long, default_value_t = 100_000)]
    pub(in crate::cli) rows_per_day: u64,

    /// Users
    #[arg(long, default_value_t = 2_000)]
    pub(in crate::cli) users: u32,

    /// Applications
    #[arg(long, default_value_t = 120)]
    pub(in crate::cli) apps: u32,

    /// How unequal users and apps are: the exponent of Zipf's law, 0 for equal
    #[arg(long, default_value_t = 0.8)]
    pub(in crate::cli) skew: f64,

    /// Service accounts: (user, IP) keys with very many sign-ins
    #[arg(long, default_value_t = 4)]
    pub(in crate::cli) service_accounts: u32,

    /// Their share of all rows
    #[arg(long, default_value_t = 0.1)]
    pub(in crate::cli) service_share: f64,

    /// Planted attacks a day
    #[arg(long, default_value_t = 5)]
    pub(in crate::cli) attacks_per_day: u32,

    /// The seed; the same settings give the same bytes
    #[arg(long, default_value_t = 1)]
    pub(in crate::cli) seed: u64,

    /// How folders follow from time
    #[arg(long, default_value = "date={yyyy-MM-dd}", value_name = "TEMPLATE")]
    pub(in crate::cli) layout: String,

    /// How times are stored
    #[arg(long, value_enum, default_value_t)]
    pub(in crate::cli) time_unit: TimeUnit,

    /// Files in each partition
    #[arg(long, default_value_t = 1)]
    pub(in crate::cli) files: u32,

    /// Write the rows of a day in no order
    #[arg(long)]
    pub(in crate::cli) shuffle: bool,

    /// Write strings plain instead of dictionary-encoded
    #[arg(long)]
    pub(in crate::cli) plain: bool,

    /// Write only the six columns that the sign-in hunt reads
    #[arg(long)]
    pub(in crate::cli) six_columns: bool,

    /// Print the planted hits as JSON lines
    #[arg(long)]
    pub(in crate::cli) planted: bool,
}

#[derive(Debug, clap::Args)]
pub(in crate::cli) struct NewArgs {
    /// The name of the job: its file's, without ending
    pub(in crate::cli) name: String,
}
