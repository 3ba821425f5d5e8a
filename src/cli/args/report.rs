//! Flags of `lakehunt report`.

use std::path::PathBuf;

use super::StoreArgs;

#[derive(Debug, clap::Args)]
pub(in crate::cli) struct ReportArgs {
    /// A job file's path, or the name of one in the folder jobs
    pub(in crate::cli) job: String,

    /// The root of the output: a folder or a URL
    #[arg(long, env = "LAKEHUNT_OUTPUT", value_name = "URL")]
    pub(in crate::cli) output: Option<String>,

    /// Where the page is written; - for stdout
    #[arg(short = 'o', long, default_value = "report.html", value_name = "PATH")]
    pub(in crate::cli) page: PathBuf,

    /// Only windows that begin at or after this instant [default: the first that a run looked at]
    #[arg(long, value_name = "INSTANT")]
    pub(in crate::cli) from: Option<String>,

    /// Only windows that begin before this instant [default: the last that a run looked at]
    #[arg(long, value_name = "INSTANT")]
    pub(in crate::cli) to: Option<String>,

    /// The hits that the page's table may hold, the newest; figures and charts count all
    #[arg(long, default_value_t = crate::page::DEFAULT_ROWS, value_name = "N")]
    pub(in crate::cli) rows: usize,

    #[command(flatten)]
    pub(in crate::cli) stores: StoreArgs,
}
