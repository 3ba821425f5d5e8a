//! The workers of a run: where they are, which of them answer, and a session whose plans are dealt out to them.

use std::collections::BTreeSet;
use std::num::NonZeroUsize;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use datafusion::common::DataFusionError;
use datafusion_distributed::{
    ChannelResolver, DistributedExt, GetWorkerInfoRequest, SessionStateBuilderExt, WorkerResolver,
};
use futures::future::join_all;
use tonic::codegen::http::{HeaderMap, HeaderName, HeaderValue};
use url::Url;
use uuid::Uuid;

use super::VERSION;
use super::access::{Access, WRONG_TOKEN, WRONG_VERSION};
use super::channel::Channels;
use super::codec::ScanCodec;
use super::planning;
use super::progress::RUN;
use super::session::Session;
use crate::engine::{self, Limits, Memory, engine_error};
use crate::error::{Error, ErrorKind, Result};
use crate::store::Stores;

/// How long a worker may take to say who it is.
const ANSWER: Duration = Duration::from_secs(10);

/// Bytes that one exchange of a task keeps of what other workers have sent, for all of these together.
const BUFFERS: usize = 64 << 20;

/// The machines that evaluate a run.
#[derive(Debug, Clone)]
pub struct Workers {
    places: Vec<Place>,
    access: Access,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Place {
    Url(Url),
    /// All addresses of a name.
    Name {
        host: String,
        port: u16,
    },
}

impl FromStr for Place {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let invalid = || {
            Error::new(
                ErrorKind::Usage,
                format!("`{text}` is no worker; write http://HOST:PORT, https://HOST:PORT or dns://NAME:PORT"),
            )
        };
        let url = Url::parse(text).map_err(|e| invalid().caused_by(e))?;
        let plain = url.username().is_empty() && url.password().is_none() && url.query().is_none();
        match (url.scheme(), url.host_str(), url.port()) {
            ("http" | "https", Some(_), _) if plain => Ok(Self::Url(url)),
            ("dns", Some(host), Some(port)) if plain => Ok(Self::Name { host: host.to_owned(), port }),
            _ => Err(invalid()),
        }
    }
}

impl Workers {
    /// Workers at some places: URLs, or `dns://NAME:PORT` for all addresses of a name.
    ///
    /// # Errors
    /// `Usage` when a place cannot be read, or is to be reached in the clear though an authority is given.
    pub fn new(places: &[String], access: Access) -> Result<Self> {
        let places = places.iter().map(|place| place.parse()).collect::<Result<Vec<Place>>>()?;
        for place in &places {
            let Place::Url(url) = place else { continue };
            if (url.scheme() == "https") != access.has_authority() {
                return Err(Error::new(
                    ErrorKind::Usage,
                    "https:// goes with --worker-ca, and http:// without; give both or neither",
                )
                .with("worker", url));
            }
        }
        Ok(Self { places, access })
    }

    /// A session that deals its plans out to the workers that answer.
    pub(crate) async fn session(&self, limits: Limits, memory: &Memory, stores: &Stores) -> Result<Session> {
        let (channels, urls) = self.answering().await?;
        tracing::debug!(workers = urls.len(), "workers answer");
        // With one task there would be nothing to deal out, and all would be done here.
        let places = match &urls[..] {
            [only] => vec![only.clone(), only.clone()],
            some => some.to_vec(),
        };
        let run = Uuid::new_v4().to_string();
        // Hash partitions, of each task, and the other way round: one would leave nothing to exchange.
        let threads = limits.threads.max(NonZeroUsize::MIN.saturating_add(1));
        let limits = Limits { threads, interval_join: false, ..limits };
        let mut builder = engine::builder(limits, memory, Arc::default());
        let options = builder.config().get_or_insert_default().options_mut();
        // Both sides of a join are dealt out by its keys, and no scan waits for what a join on another machine knows.
        options.optimizer.hash_join_single_partition_threshold = 0;
        options.optimizer.hash_join_single_partition_threshold_rows = 0;
        // By its name, which sets it for joins, aggregations and sorts; the field alone sets it for none of them.
        options.set("datafusion.optimizer.enable_dynamic_filter_pushdown", "false").map_err(engine_error)?;
        // A scan that is sent has its partitions already.
        options.optimizer.enable_round_robin_repartition = false;
        let tasks = places.len();
        let value = HeaderValue::from_str(&run).map_err(|e| Error::new(ErrorKind::Engine, "a header").caused_by(e))?;
        let headers = HeaderMap::from_iter([(HeaderName::from_static(RUN), value)]);
        let builder = builder
            .with_distributed_planner()
            .with_distributed_worker_resolver(Answering(places))
            .with_distributed_channel_resolver(channels.clone())
            .with_distributed_user_codec(ScanCodec { stores: stores.clone(), read: Arc::default() })
            .with_distributed_desired_task_count_handler(planning::tasks(tasks))
            .with_distributed_scale_up_leaf_node_handler(planning::shares(stores.clone()))
            .with_distributed_cardinality_effect_task_scale_factor(1.0)
            // All workers take part in each table of a union; else those of a table that is empty would have nothing to do.
            .and_then(|builder| builder.with_distributed_children_isolator_unions(false))
            .and_then(|builder| builder.with_distributed_worker_connection_buffer_budget_bytes(BUFFERS / tasks))
            .and_then(|builder| builder.with_distributed_passthrough_headers(headers))
            .map_err(engine_error)?;
        Ok(Session { context: engine::finish(builder), channels, urls, run })
    }

    /// The workers that answer, and the connections to them.
    async fn answering(&self) -> Result<(Channels, Vec<Url>)> {
        let mut access = self.access.clone();
        let mut urls = BTreeSet::new();
        for place in &self.places {
            match place {
                Place::Url(url) => {
                    urls.insert(url.clone());
                }
                Place::Name { host, port } => {
                    let scheme = if access.has_authority() { "https" } else { "http" };
                    // Certificates are of the name, not of the addresses that it has today.
                    access.name.get_or_insert_with(|| host.clone());
                    let unknown = |e| {
                        Error::new(ErrorKind::Unreachable, "the name of the workers cannot be looked up")
                            .with("name", host)
                            .caused_by(e)
                    };
                    for address in tokio::net::lookup_host((host.as_str(), *port)).await.map_err(unknown)? {
                        let url = Url::parse(&format!("{scheme}://{address}"));
                        urls.insert(
                            url.map_err(|e| Error::new(ErrorKind::Engine, "an address is no URL").caused_by(e))?,
                        );
                    }
                }
            }
        }
        let channels = Channels::new(access);
        let answers = join_all(urls.iter().map(|url| ask(&channels, url))).await;
        let mut answering = Vec::new();
        for (url, answer) in urls.iter().zip(answers) {
            match answer {
                Ok(()) => answering.push(url.clone()),
                Err(error) if error.kind() == ErrorKind::Unreachable => {
                    tracing::warn!(worker = %url, %error, "a worker does not answer; going on without it");
                }
                Err(error) => return Err(error),
            }
        }
        if answering.is_empty() {
            return Err(Error::new(ErrorKind::Unreachable, "no worker answers; start some with lakehunt worker")
                .with("workers", urls.len()));
        }
        Ok((channels, answering))
    }
}

/// Whether a worker is there, lets this run in and understands it.
async fn ask(channels: &Channels, url: &Url) -> Result<()> {
    let asked = async {
        let mut client = channels.get_worker_client_for_url(url).await?;
        client.get_worker_info(GetWorkerInfoRequest {}).await
    };
    let silent = || Error::new(ErrorKind::Unreachable, "the worker does not answer").with("worker", url);
    match tokio::time::timeout(ANSWER, asked).await {
        Err(_) => Err(silent()),
        Ok(Err(e)) => {
            let why = e.to_string();
            Err(match (why.contains(WRONG_TOKEN), why.contains(WRONG_VERSION)) {
                (true, _) => Error::new(ErrorKind::AccessDenied, "a worker refuses the run").with("worker", url),
                (_, true) => Error::new(ErrorKind::Usage, "a worker refuses the run").with("worker", url),
                _ => silent(),
            }
            .caused_by(e))
        }
        Ok(Ok(info)) if info.version != VERSION => {
            let message =
                format!("a worker is lakehunt {}, and this is {VERSION}; give all machines the same", info.version);
            Err(Error::new(ErrorKind::Usage, message).with("worker", url))
        }
        Ok(Ok(_)) => Ok(()),
    }
}

/// The workers that have answered.
struct Answering(Vec<Url>);

impl WorkerResolver for Answering {
    fn get_urls(&self) -> Result<Vec<Url>, DataFusionError> {
        Ok(self.0.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_urls_or_names() {
        let place = |text: &str| text.parse::<Place>();
        assert_eq!(place("dns://workers:7430").unwrap(), Place::Name { host: "workers".into(), port: 7430 });
        assert!(matches!(place("http://10.0.0.1:7430").unwrap(), Place::Url(_)));
        for text in ["", "workers:7430", "dns://workers", "ftp://a:1", "http://user:S3CRET@a:1", "http://a:1?token=x"] {
            assert_eq!(place(text).unwrap_err().kind(), ErrorKind::Usage, "{text}");
        }
    }

    #[test]
    fn a_clear_way_and_an_authority_do_not_go_together() {
        let error = Workers::new(&["https://a:1".to_owned()], Access::default()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Usage);
    }
}
