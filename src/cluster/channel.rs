//! Connections to workers: guarded, kept, and noticed when they die.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use datafusion::common::{DataFusionError, exec_datafusion_err};
use datafusion_distributed::grpc::{BoxCloneSyncChannel, create_worker_client};
use datafusion_distributed::{ChannelResolver, WorkerChannel};
use tokio::sync::Mutex;
use tonic::body::Body;
use tonic::codegen::http::Request;
use tonic::transport::Endpoint;
use tower::ServiceExt;
use url::Url;

use super::access::{self, Access, VERSION_HEADER};
use super::progress::{PATH, ROWS, RUN};

const CONNECT: Duration = Duration::from_secs(10);
/// How often a silent connection is asked whether it still lives, and how long an answer may take.
const ALIVE: Duration = Duration::from_secs(10);

/// Opens connections to workers, and keeps them.
#[derive(Clone)]
pub(super) struct Channels {
    access: Access,
    open: Arc<Mutex<HashMap<Url, BoxCloneSyncChannel>>>,
}

impl Channels {
    pub(super) fn new(access: Access) -> Self {
        Self { access, open: Arc::default() }
    }

    /// The rows that a worker has read for a run, if it says so.
    pub(super) async fn rows(&self, url: &Url, run: &str) -> Option<u64> {
        let channel = self.open.lock().await.get(url).cloned()?;
        let request = Request::post(PATH).header(RUN, run).body(Body::empty()).ok()?;
        let answer = tokio::time::timeout(ALIVE, channel.oneshot(request)).await.ok()?.ok()?;
        answer.headers().get(ROWS)?.to_str().ok()?.parse().ok()
    }

    async fn connect(&self, url: &Url) -> Result<BoxCloneSyncChannel, DataFusionError> {
        let failed = |e: tonic::transport::Error| {
            // What is the matter stands behind the message.
            let why = std::error::Error::source(&e).map(|why| format!(": {why}")).unwrap_or_default();
            exec_datafusion_err!("the worker {url} cannot be reached: {e}{why}")
        };
        let mut endpoint = Endpoint::from_shared(url.to_string())
            .map_err(failed)?
            .connect_timeout(CONNECT)
            .tcp_nodelay(true)
            .http2_keep_alive_interval(ALIVE)
            .keep_alive_timeout(ALIVE)
            .keep_alive_while_idle(true);
        if let Some(tls) = self.access.tls(url.host_str()) {
            endpoint = endpoint.tls_config(tls).map_err(failed)?;
        }
        let channel = endpoint.connect().await.map_err(failed)?;
        let mut headers = tonic::metadata::MetadataMap::new();
        headers.insert(VERSION_HEADER, access::version());
        if let Some(token) = self.access.token() {
            headers.insert("authorization", token.clone());
        }
        let headers = headers.into_headers();
        let channel = channel.map_request(move |mut request: Request<Body>| {
            request.headers_mut().extend(headers.clone());
            request
        });
        Ok(BoxCloneSyncChannel::new(channel))
    }
}

#[async_trait]
impl ChannelResolver for Channels {
    async fn get_worker_client_for_url(&self, url: &Url) -> Result<Box<dyn WorkerChannel>, DataFusionError> {
        let known = self.open.lock().await.get(url).cloned();
        let channel = match known {
            Some(channel) => channel,
            None => {
                let channel = self.connect(url).await?;
                self.open.lock().await.insert(url.clone(), channel.clone());
                channel
            }
        };
        Ok(create_worker_client(channel))
    }
}
