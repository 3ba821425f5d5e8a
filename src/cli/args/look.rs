//! What is typed to look at a lake, at a job's runs, and at hits.

use clap::ValueEnum;

use super::shared::{NightlyArgs, SettingsArgs, StoreArgs};

#[derive(Debug, clap::Args)]
pub(in crate::cli) struct InspectArgs {
    /// The root of the lake
    pub(in crate::cli) source: String,

    /// How folders follow from time [default: guessed from the folders]
    #[arg(long, env = "LAKEHUNT_LAYOUT", value_name = "TEMPLATE")]
    pub(in crate::cli) layout: Option<String>,

    /// The job whose columns are looked for
    #[arg(long, default_value = "signin-success-then-fail")]
    pub(in crate::cli) job: String,

    #[command(flatten)]
    pub(in crate::cli) stores: StoreArgs,

    /// The first instant, a UTC date or RFC 3339 [default: all files]
    #[arg(long, value_name = "INSTANT", requires = "to")]
    pub(in crate::cli) from: Option<String>,

    /// The first instant after the range
    #[arg(long, value_name = "INSTANT", requires = "from")]
    pub(in crate::cli) to: Option<String>,

    /// Print one JSON value instead of text
    #[arg(long)]
    pub(in crate::cli) json: bool,
}

#[derive(Debug, clap::Args)]
#[command(args_override_self = true)]
pub(in crate::cli) struct StatusArgs {
    /// A job file's path, or the name of one in the folder jobs
    pub(in crate::cli) job: String,

    #[command(flatten)]
    pub(in crate::cli) settings: SettingsArgs,

    /// The root of the output: a folder or a URL
    #[arg(long, env = "LAKEHUNT_OUTPUT", value_name = "URL")]
    pub(in crate::cli) output: Option<String>,

    #[command(flatten)]
    pub(in crate::cli) nightly: NightlyArgs,

    /// Print one JSON value instead of text
    #[arg(long)]
    pub(in crate::cli) json: bool,
}

#[derive(Debug, clap::Args)]
pub(in crate::cli) struct HistoryArgs {
    /// A job file's path, or the name of one in the folder jobs
    pub(in crate::cli) job: String,

    /// The root of the output: a folder or a URL
    #[arg(long, env = "LAKEHUNT_OUTPUT", value_name = "URL")]
    pub(in crate::cli) output: Option<String>,

    /// How many runs are shown
    #[arg(long, default_value_t = 20, value_name = "N")]
    pub(in crate::cli) limit: usize,

    /// Print one JSON value instead of text
    #[arg(long)]
    pub(in crate::cli) json: bool,

    #[command(flatten)]
    pub(in crate::cli) stores: StoreArgs,
}

#[derive(Debug, clap::Args)]
#[command(args_override_self = true)]
pub(in crate::cli) struct DiffArgs {
    /// A job file's path, or the name of one in the folder jobs
    pub(in crate::cli) job: String,

    #[command(flatten)]
    pub(in crate::cli) settings: SettingsArgs,

    /// The root of the output: a folder or a URL
    #[arg(long, env = "LAKEHUNT_OUTPUT", value_name = "URL")]
    pub(in crate::cli) output: Option<String>,

    /// Compare with the hits as they were at this instant [default: before each window's last change]
    #[arg(long, value_name = "INSTANT")]
    pub(in crate::cli) since: Option<String>,

    /// The form
    #[arg(long, value_enum, default_value_t)]
    pub(in crate::cli) format: HitsFormat,
}

#[derive(Debug, clap::Args)]
pub(in crate::cli) struct HitsArgs {
    /// The root of the output
    #[arg(env = "LAKEHUNT_OUTPUT")]
    pub(in crate::cli) output: String,

    /// Only hits of this job (its short name)
    #[arg(long)]
    pub(in crate::cli) job: Option<String>,

    /// Only windows that begin at or after this instant
    #[arg(long, value_name = "INSTANT")]
    pub(in crate::cli) from: Option<String>,

    /// Only windows that begin before this instant
    #[arg(long, value_name = "INSTANT")]
    pub(in crate::cli) to: Option<String>,

    /// Only the rows of KQL's own answer (innerunique: one a key)
    #[arg(long)]
    pub(in crate::cli) kql: bool,

    /// The form
    #[arg(long, value_enum, default_value_t)]
    pub(in crate::cli) format: HitsFormat,

    /// The columns to print, separated by commas [default: all; a table shows the hit's own values]
    #[arg(long, value_delimiter = ',')]
    pub(in crate::cli) columns: Vec<String>,

    #[command(flatten)]
    pub(in crate::cli) stores: StoreArgs,
}

#[derive(Debug, Clone, Copy, Default, ValueEnum)]
pub(in crate::cli) enum HitsFormat {
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
