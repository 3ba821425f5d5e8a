//! How stores are opened: with which variables, how patiently, and through what.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use object_store::ObjectStore;
use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::prefix::PrefixStore;

use super::local::LocalStore;
use super::location::{Location, Provider};
use super::retrying::{Retry, Retrying};
use super::shared::SharedReads;
use super::{aws, azure, gcp};
use crate::error::{Error, ErrorKind, Result};
use crate::job::StoreSpec;

/// A store whose paths are relative to the root that was asked for.
///
/// Each root has a client of its own, and the engine is handed that client, not a URL to look one up by: two containers
/// of one account, or two endpoints, cannot be taken for one another.
#[derive(Debug, Clone)]
pub(crate) struct Root {
    /// The store; its paths begin at the root.
    pub(crate) store: Arc<dyn ObjectStore>,
    /// The root as it was typed, for messages and records. It holds no secret: a location that does is refused.
    pub(crate) display: String,
    /// Whose store it is; `None` for a local folder.
    pub(crate) provider: Option<Provider>,
    /// Whether a request takes next to no time, so that nothing is won by making it early.
    pub(crate) near: bool,
    /// Keeps what is read of it for other jobs.
    pub(super) reads: Option<SharedReads>,
    /// How it is reached, for those who open it elsewhere.
    pub(crate) spec: StoreSpec,
}

impl Root {
    /// A root that holds nothing.
    pub(crate) fn nowhere() -> Self {
        let store = Arc::new(InMemory::new());
        Self { store, display: String::new(), provider: None, near: true, reads: None, spec: StoreSpec::default() }
    }

    /// A folder of it, as a root of its own.
    pub(crate) fn folder(&self, folder: &Path) -> Self {
        let store = Arc::new(PrefixStore::new(Arc::clone(&self.store), folder.clone()));
        Self { store, display: self.name(folder), ..self.clone() }
    }

    /// The full name of `path`, for messages.
    pub(crate) fn name(&self, path: &Path) -> String {
        let root = self.display.trim_end_matches('/');
        if path.as_ref().is_empty() { root.to_owned() } else { format!("{root}/{path}") }
    }
}

/// Put around each store that is opened, below the retries; told the location as it was typed.
pub type StoreHook = dyn Fn(&str, Arc<dyn ObjectStore>) -> Arc<dyn ObjectStore> + Send + Sync;

/// How stores are opened.
#[derive(Clone)]
pub struct Stores {
    /// `AWS_*`, `AZURE_*`, `GOOGLE_*` and the few others that clients go by.
    variables: Arc<BTreeMap<String, String>>,
    retry: Retry,
    hook: Option<Arc<StoreHook>>,
    /// The one store that all locations are folders of, instead of where they would be.
    memory: Option<Arc<InMemory>>,
    reads: Option<SharedReads>,
}

impl fmt::Debug for Stores {
    /// Variables hold secrets, so only their names are shown.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Stores")
            .field("variables", &self.variables.keys().collect::<Vec<_>>())
            .field("retry", &self.retry)
            .field("hook", &self.hook.is_some())
            .finish()
    }
}

impl Stores {
    /// Stores opened by these variables instead of the environment's.
    pub fn new(variables: impl IntoIterator<Item = (String, String)>) -> Self {
        Self {
            variables: Arc::new(variables.into_iter().collect()),
            retry: Retry::default(),
            hook: None,
            memory: None,
            reads: None,
        }
    }

    /// Stores opened by the variables of this process.
    pub fn from_env() -> Self {
        // One that is no Unicode is none that a client knows.
        let all =
            std::env::vars_os().filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)));
        Self::new(all)
    }

    /// Every location is a folder of one store in memory, which goes with the last clone of this. Nothing else is reached.
    pub fn in_memory() -> Self {
        Self { memory: Some(Arc::default()), ..Self::new([]) }
    }

    /// How often and how long requests are tried again.
    #[must_use]
    pub fn with_retry(self, retry: Retry) -> Self {
        Self { retry, ..self }
    }

    /// Keeps what is read of far lakes in `reads`, for other jobs whose stores have the same.
    #[must_use]
    pub fn with_shared_reads(self, reads: SharedReads) -> Self {
        Self { reads: Some(reads), ..self }
    }

    /// Puts `hook` around each store: to count, to cache, to make one fail.
    #[must_use]
    pub fn with_hook(
        self,
        hook: impl Fn(&str, Arc<dyn ObjectStore>) -> Arc<dyn ObjectStore> + Send + Sync + 'static,
    ) -> Self {
        Self { hook: Some(Arc::new(hook)), ..self }
    }

    /// Opens `location` for reading. A local folder must exist; nothing else is reached for yet.
    pub(crate) async fn open(&self, location: &str, spec: &StoreSpec) -> Result<Root> {
        if let Some(memory) = &self.memory {
            return Ok(in_memory(memory, location));
        }
        let place = Location::parse(location)?;
        if let Some(folder) = place.folder()
            && !folder.is_dir()
        {
            return Err(Error::new(ErrorKind::SourceMissing, "there is no such folder").with("url", location));
        }
        self.connect(location, place, spec).await
    }

    /// Opens `location` for writing. A local folder is created where it is missing; a bucket or container has to exist.
    pub(crate) async fn create(&self, location: &str, spec: &StoreSpec) -> Result<Root> {
        if let Some(memory) = &self.memory {
            return Ok(in_memory(memory, location));
        }
        let place = Location::parse(location)?;
        if let Some(folder) = place.folder() {
            std::fs::create_dir_all(folder).map_err(|e| {
                Error::new(ErrorKind::Output, "the output folder cannot be created").with("url", location).caused_by(e)
            })?;
        }
        self.connect(location, place, spec).await
    }

    async fn connect(&self, location: &str, place: Location, spec: &StoreSpec) -> Result<Root> {
        let (client, prefix, provider): (Arc<dyn ObjectStore>, Path, _) = match place {
            Location::Folder(folder) => {
                let store = LocalStore::new(&folder).map_err(|e| {
                    Error::new(ErrorKind::Unreachable, "the folder cannot be opened").with("url", location).caused_by(e)
                })?;
                (Arc::new(store), Path::default(), None)
            }
            Location::Remote { provider, url, prefix } => {
                let client: Result<Arc<dyn ObjectStore>> = match provider {
                    Provider::Aws => {
                        aws::client(&url, spec, &self.variables, self.retry).await.map(|c| Arc::new(c) as _)
                    }
                    Provider::Azure => azure::client(&url, spec, &self.variables, self.retry).map(|c| Arc::new(c) as _),
                    Provider::Gcp => gcp::client(&url, spec, &self.variables, self.retry).map(|c| Arc::new(c) as _),
                };
                (client.map_err(|e| e.with("url", location))?, prefix, Some(provider))
            }
        };
        let client = match &self.hook {
            Some(hook) => hook(location, client),
            None => client,
        };
        let store: Arc<dyn ObjectStore> = Arc::new(Retrying::new(client, self.retry));
        let store = if prefix.as_ref().is_empty() { store } else { Arc::new(PrefixStore::new(store, prefix)) };
        let near = provider.is_none() && self.hook.is_none();
        // What is near is kept by the system.
        let reads = self.reads.clone().filter(|_| !near);
        Ok(Root { store, display: location.to_owned(), provider, near, reads, spec: spec.clone() })
    }
}

fn in_memory(memory: &Arc<InMemory>, location: &str) -> Root {
    let store = Arc::new(PrefixStore::new(Arc::clone(memory), Path::from(location)));
    Root { store, display: location.to_owned(), ..Root::nowhere() }
}

/// The variables that begin with `prefix`, in lower case, as the keys of object_store's builders are written.
pub(super) fn settings<'a>(
    variables: &'a BTreeMap<String, String>,
    prefix: &'a str,
) -> impl Iterator<Item = (String, &'a str)> {
    variables
        .iter()
        .filter(move |(name, _)| name.starts_with(prefix))
        .map(|(name, value)| (name.to_ascii_lowercase(), value.as_str()))
}

/// A client that cannot be set up, for the reason that its builder gives.
pub(super) fn not_set_up(error: object_store::Error) -> Error {
    let why = crate::secrets::redact(&error.to_string()).into_owned();
    Error::new(
        ErrorKind::Usage,
        "the store's client cannot be set up; check the URL, the store's variables and `store` in the job file",
    )
    .caused_by(why)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_is_missing_is_named() {
        let stores = Stores::new([]);
        let missing = stores.open("no/such/folder", &StoreSpec::default()).await.unwrap_err();
        assert_eq!(missing.kind(), ErrorKind::SourceMissing);
        let strange = stores.open("ftp://host/lake", &StoreSpec::default()).await.unwrap_err();
        assert_eq!(strange.kind(), ErrorKind::Usage);
    }

    #[test]
    fn values_of_variables_are_not_shown() {
        let stores = Stores::new([("AWS_SECRET_ACCESS_KEY".to_owned(), "S3CRET".to_owned())]);
        let shown = format!("{stores:?}");
        assert!(shown.contains("AWS_SECRET_ACCESS_KEY") && !shown.contains("S3CRET"), "{shown}");
    }
}
