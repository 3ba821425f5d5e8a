//! A worker: waits for parts of plans and evaluates them.

use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::sync::Arc;

use async_trait::async_trait;
use datafusion::common::DataFusionError;
use datafusion::execution::{FunctionRegistry, SessionState};
use datafusion_distributed::{DistributedExt, Worker, WorkerQueryContext, WorkerSessionBuilder};
use tokio::net::TcpListener;
use tonic::codegen::InterceptedService;
use tonic::transport::server::TcpIncoming;
use tonic::transport::{Identity, Server, ServerTlsConfig};

use super::access::{Access, Guard};
use super::channel::Channels;
use super::codec::ScanCodec;
use super::planning;
use super::progress::{Counters, Progress};
use crate::engine::{self, Limits};
use crate::error::{Error, ErrorKind, Result};
use crate::functions;
use crate::store::Stores;

/// What a worker is.
pub(crate) struct Service {
    /// Who is served, and how other workers are reached.
    pub(crate) access: Access,
    /// Its certificate and the key of that.
    pub(crate) identity: Option<Identity>,
    /// What stores are opened with.
    pub(crate) stores: Stores,
    /// Bytes that all it does may hold together.
    pub(crate) memory: usize,
    /// The version that it is of.
    pub(crate) version: &'static str,
}

impl Service {
    /// Whether it may listen at `address`.
    ///
    /// # Errors
    /// `Usage` when others than this machine could reach it without a token or in the clear.
    pub(crate) fn check(&self, address: SocketAddr) -> Result<()> {
        let guarded = self.access.has_token() && self.identity.is_some();
        if guarded || address.ip().is_loopback() {
            return Ok(());
        }
        Err(Error::new(
            ErrorKind::Usage,
            "without a token and TLS a worker listens on 127.0.0.1 or ::1 only: it reads what it is told to read, with its \
             own credentials; give LAKEHUNT_WORKER_TOKEN or --worker-token-file, --tls-cert, --tls-key and --worker-ca",
        )
        .with("listen", address))
    }
}

/// Serves until the process ends.
pub(crate) async fn serve(listener: TcpListener, service: Service) -> Result<()> {
    let failed = |e: tonic::transport::Error| {
        let why = std::error::Error::source(&e).map(|why| format!("{e}: {why}")).unwrap_or_else(|| e.to_string());
        Error::new(ErrorKind::Engine, "the worker cannot serve").caused_by(why)
    };
    let Service { access, identity, stores, memory, version } = service;
    let limits = Limits { threads: NonZeroUsize::MIN, memory, interval_join: true };
    let counters = Counters::default();
    let sessions = Sessions { channels: Channels::new(access.clone()), stores, counters: counters.clone() };
    let worker = Worker::from_session_builder(sessions).with_runtime_env(engine::memory(limits)?).with_version(version);
    let mut server = Server::builder();
    if let Some(identity) = identity {
        server = server.tls_config(ServerTlsConfig::new().identity(identity)).map_err(failed)?;
    }
    let guard = Guard { access, version };
    let guarded = InterceptedService::new(worker.into_worker_server(), guard.clone());
    let progress = InterceptedService::new(Progress(counters), guard);
    let incoming = TcpIncoming::from(listener).with_nodelay(Some(true));
    server.add_service(guarded).add_service(progress).serve_with_incoming(incoming).await.map_err(failed)
}

/// Makes the session of each part of a plan.
struct Sessions {
    channels: Channels,
    stores: Stores,
    counters: Counters,
}

#[async_trait]
impl WorkerSessionBuilder for Sessions {
    async fn build_session_state(&self, context: WorkerQueryContext) -> Result<SessionState, DataFusionError> {
        let read = self.counters.of(&context.headers);
        let mut builder = context.builder;
        let options = builder.config().get_or_insert_default().options_mut();
        // As in a run's own session.
        options.set("datafusion.execution.time_zone", "UTC")?;
        options.set("datafusion.execution.parquet.pushdown_filters", "false")?;
        let builder = builder
            .with_distributed_channel_resolver(self.channels.clone())
            .with_distributed_user_codec(ScanCodec { stores: self.stores.clone(), read })
            .with_distributed_worker_plan_rewrite_handler(planning::ours);
        let mut state = builder.build();
        for function in functions::all() {
            state.register_udf(Arc::new(function))?;
        }
        for function in functions::aggregates() {
            state.register_udaf(Arc::new(function))?;
        }
        Ok(state)
    }
}
