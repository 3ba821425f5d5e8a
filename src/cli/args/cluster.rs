//! Flags of runs on many machines.

use std::net::SocketAddr;
use std::path::PathBuf;

use super::StoreArgs;

/// What a run and its workers share.
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct AccessArgs {
    /// The file that holds the token of run and workers [default: what LAKEHUNT_WORKER_TOKEN holds]
    #[arg(long, env = "LAKEHUNT_WORKER_TOKEN_FILE", value_name = "PATH")]
    pub(in crate::cli) worker_token_file: Option<PathBuf>,

    /// The certificate (PEM) of who vouches for the workers; they are reached by TLS then
    #[arg(long, env = "LAKEHUNT_WORKER_CA", value_name = "PATH")]
    pub(in crate::cli) worker_ca: Option<PathBuf>,

    /// The name that the workers' certificates are for, where it is not the host of their URL
    #[arg(long, env = "LAKEHUNT_WORKER_NAME", value_name = "NAME")]
    pub(in crate::cli) worker_name: Option<String>,
}

/// The machines of a run.
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct WorkersArgs {
    /// Machines that evaluate: URLs of lakehunt worker, or dns://NAME:PORT for all addresses of a name
    #[arg(long, env = "LAKEHUNT_WORKERS", value_name = "URL,URL", value_delimiter = ',')]
    pub(in crate::cli) workers: Vec<String>,

    #[command(flatten)]
    pub(in crate::cli) access: AccessArgs,
}

#[derive(Debug, clap::Args)]
pub(in crate::cli) struct WorkerArgs {
    /// Where to listen; port 0 takes a free one, which is printed
    #[arg(long, env = "LAKEHUNT_LISTEN", default_value = "127.0.0.1:7430", value_name = "ADDR")]
    pub(in crate::cli) listen: SocketAddr,

    /// Memory for all that is evaluated here [default: 2GiB]
    #[arg(long, env = "LAKEHUNT_MEMORY_LIMIT", value_name = "SIZE")]
    pub(in crate::cli) memory_limit: Option<String>,

    /// The certificate of this worker (PEM, with those between it and its authority)
    #[arg(long, value_name = "PATH", requires = "tls_key")]
    pub(in crate::cli) tls_cert: Option<PathBuf>,

    /// The key of the certificate (PEM)
    #[arg(long, value_name = "PATH", requires = "tls_cert")]
    pub(in crate::cli) tls_key: Option<PathBuf>,

    #[command(flatten)]
    pub(in crate::cli) access: AccessArgs,

    #[command(flatten)]
    pub(in crate::cli) stores: StoreArgs,
}
