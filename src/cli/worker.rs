//! `lakehunt worker`, and what a run is told of workers.

use tokio::net::TcpListener;
use tonic::transport::Identity;

use super::args::{AccessArgs, WorkerArgs, WorkersArgs};
use super::{output, settings};
use crate::cluster::{self, Access, Service, VERSION, Workers};
use crate::error::{Error, ErrorKind, Result};
use crate::settings::DEFAULT_MEMORY_LIMIT;

pub(super) async fn worker(args: WorkerArgs) -> Result<()> {
    let read = |path: &std::path::Path| {
        std::fs::read(path).map_err(|e| {
            Error::new(ErrorKind::Usage, "the file cannot be read").with("file", path.display()).caused_by(e)
        })
    };
    let identity = match (&args.tls_cert, &args.tls_key) {
        (Some(cert), Some(key)) => Some(Identity::from_pem(read(cert)?, read(key)?)),
        _ => None,
    };
    let access = access(&args.access)?;
    if identity.is_some() && args.access.worker_ca.is_none() {
        return Err(Error::new(ErrorKind::Usage, "workers reach each other; give --worker-ca with --tls-cert"));
    }
    let memory = args.memory_limit.as_deref().map(settings::memory).transpose()?.unwrap_or(DEFAULT_MEMORY_LIMIT);
    let stores = settings::stores(&args.stores, None)?;
    let service = Service { access, identity, stores, memory, version: VERSION };
    service.check(args.listen)?;
    if !service.access.has_token() || service.identity.is_none() {
        tracing::warn!("without a token and TLS: for this machine only");
    }
    let taken =
        |e| Error::new(ErrorKind::Usage, "the address cannot be listened at").with("listen", args.listen).caused_by(e);
    let listener = TcpListener::bind(args.listen).await.map_err(taken)?;
    let address = listener.local_addr().map_err(taken)?;
    let scheme = if service.identity.is_some() { "https" } else { "http" };
    output::write(format!("{scheme}://{address}\n").as_bytes())?;
    cluster::serve(listener, service).await
}

/// The workers of a run, if it has any.
pub(super) fn workers(args: &WorkersArgs) -> Result<Option<Workers>> {
    if args.workers.is_empty() {
        return Ok(None);
    }
    Workers::new(&args.workers, access(&args.access)?).map(Some)
}

fn access(args: &AccessArgs) -> Result<Access> {
    Access::new(args.worker_token_file.as_deref(), args.worker_ca.as_deref(), args.worker_name.clone())
}
