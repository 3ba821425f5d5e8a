//! The storage fixture: a place of a test's own on each backend, reached by the library, by the program and by hand.

use std::collections::BTreeMap;
use std::path::Path as FsPath;
use std::process::{Command, Output};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use futures::TryStreamExt;
use lakehunt::{Error, Retry, RunReport, Settings, Stores};
use object_store::aws::AmazonS3Builder;
use object_store::azure::MicrosoftAzureBuilder;
use object_store::local::LocalFileSystem;
use object_store::path::Path;
use object_store::prefix::PrefixStore;
use object_store::{ObjectStore, ObjectStoreExt, PutPayload};
use serde_json::Value;
use tempfile::TempDir;

use super::servers::{self, Server};
use crate::lake::{Ask, Lake, SLUG, block_on};

/// Where a place is.
#[derive(Clone, Copy)]
pub(crate) enum Backend {
    Local,
    S3(&'static Server),
    Azure(&'static Server),
}

impl Backend {
    /// All that this machine has; the fixture says which ones are left out.
    pub(crate) fn all() -> Vec<Self> {
        let servers = [servers::s3().map(Self::S3), servers::azure().map(Self::Azure)];
        std::iter::once(Self::Local).chain(servers.into_iter().flatten()).collect()
    }

    /// The ones that are reached over HTTP.
    pub(crate) fn remote() -> Vec<Self> {
        Self::all().into_iter().filter(|backend| backend.server().is_some()).collect()
    }

    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::Local => "local",
            Self::S3(_) => "s3",
            Self::Azure(_) => "azure",
        }
    }

    pub(crate) fn server(&self) -> Option<&'static Server> {
        match self {
            Self::Local => None,
            Self::S3(server) | Self::Azure(server) => Some(server),
        }
    }
}

/// A folder or prefix that no other test has.
pub(crate) struct Place {
    pub(crate) backend: Backend,
    dir: TempDir,
    prefix: String,
}

impl Place {
    pub(crate) fn new(backend: Backend) -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let prefix = format!("test-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        Self { backend, dir: tempfile::tempdir().unwrap(), prefix }
    }

    /// What a user types for `path` of this place.
    pub(crate) fn url(&self, path: &str) -> String {
        match self.backend.server() {
            None => self.dir.path().join(path).display().to_string(),
            Some(server) => server.url(&format!("{}/{path}", self.prefix)),
        }
    }

    /// How the library reaches it: by nothing but the server's variables, and without much patience.
    pub(crate) fn stores(&self) -> Stores {
        let variables = self.backend.server().map(Server::env).unwrap_or_default();
        Stores::new(variables).with_retry(Retry { retries: 6, limit: std::time::Duration::from_secs(60) })
    }

    /// The program, with nothing of this machine's environment that could decide a test.
    pub(crate) fn command(&self) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_lakehunt"));
        command.current_dir(env!("CARGO_MANIFEST_DIR")).env("HOME", self.dir.path());
        for (name, _) in std::env::vars() {
            if ["LAKEHUNT_", "AWS_", "AZURE_", "GOOGLE_", "OTEL_", "RUST_LOG"]
                .iter()
                .any(|prefix| name.starts_with(prefix))
            {
                command.env_remove(name);
            }
        }
        command.envs(self.backend.server().map(Server::env).unwrap_or_default());
        command
    }

    /// Runs the program and checks that it says no secret, however talkative it is asked to be.
    pub(crate) fn lakehunt(&self, args: &[&str]) -> Output {
        let output = self.command().args(args).output().unwrap();
        self.check_no_secret("stdout", &output.stdout);
        self.check_no_secret("stderr", &output.stderr);
        output
    }

    pub(crate) fn check_no_secret(&self, what: &str, bytes: &[u8]) {
        let text = String::from_utf8_lossy(bytes);
        for secret in self.backend.server().map(Server::secrets).unwrap_or_default() {
            assert!(!text.contains(&secret), "a secret stands in {what}: {text}");
        }
    }

    /// Runs the job from `lake` to `out` of this place, by the library.
    pub(crate) fn run(&self, ask: &Ask, change: impl FnOnce(&mut Settings)) -> Result<RunReport, Error> {
        ask.configured(&self.url("lake"), &self.url("out"), &(), |settings| {
            settings.stores = self.stores();
            change(settings);
        })
    }

    /// Puts a lake of the machine's into `lake`.
    pub(crate) fn upload(&self, lake: &Lake) {
        self.upload_folder(lake.path(), "lake");
    }

    pub(crate) fn upload_folder(&self, folder: &FsPath, to: &str) {
        let files = LocalFileSystem::new_with_prefix(folder).unwrap();
        let store = self.store();
        block_on(async {
            for file in files.list(None).try_collect::<Vec<_>>().await.unwrap() {
                let bytes = files.get(&file.location).await.unwrap().bytes().await.unwrap();
                let path = Path::from(format!("{to}/{}", file.location));
                store.put(&path, PutPayload::from_bytes(bytes)).await.unwrap();
            }
        });
    }

    pub(crate) fn put(&self, path: &str, bytes: Vec<u8>) {
        block_on(async { self.store().put(&Path::from(path), PutPayload::from(bytes)).await.unwrap() });
    }

    pub(crate) fn delete(&self, path: &str) {
        block_on(async { self.store().delete(&Path::from(path)).await.unwrap() });
    }

    /// One object; a listing of a folder that is being written may name files that are gone a moment later.
    pub(crate) fn get(&self, path: &str) -> Option<Vec<u8>> {
        let (store, path) = (self.store(), Path::from(path));
        block_on(async { Some(store.get(&path).await.ok()?.bytes().await.ok()?.to_vec()) })
    }

    /// Whether an object of this name stands somewhere below `path`; it may be asked while the folder is written.
    pub(crate) fn has(&self, path: &str, name: &str) -> bool {
        let (store, prefix) = (self.store(), Path::from(path));
        let objects = block_on(async { store.list(Some(&prefix)).try_collect::<Vec<_>>().await.unwrap() });
        objects.iter().any(|object| object.location.filename() == Some(name))
    }

    /// All objects below `path`, by their name below it. Records among them hold no secret.
    pub(crate) fn objects(&self, path: &str) -> BTreeMap<String, Vec<u8>> {
        let store = self.store();
        let prefix = Path::from(path);
        block_on(async {
            let mut objects = BTreeMap::new();
            for meta in store.list(Some(&prefix)).try_collect::<Vec<_>>().await.unwrap() {
                let bytes = store.get(&meta.location).await.unwrap().bytes().await.unwrap();
                self.check_no_secret(meta.location.as_ref(), &bytes);
                let name = meta.location.as_ref().trim_start_matches(path).trim_start_matches('/').to_owned();
                objects.insert(name, bytes.to_vec());
            }
            objects
        })
    }

    /// The bytes of the hit files of `out`, by window, of either format; in a Delta table a window without hits has none.
    pub(crate) fn hits(&self) -> BTreeMap<String, Vec<u8>> {
        let hits = self.windows("hits", "hits.parquet");
        if hits.is_empty() { super::tables::hits(self) } else { hits }
    }

    /// The run records of `out`, by window.
    pub(crate) fn records(&self) -> BTreeMap<String, Value> {
        let records = self.windows("runs", "run.json").into_iter();
        records.map(|(label, bytes)| (label, serde_json::from_slice(&bytes).unwrap())).collect()
    }

    pub(super) fn windows(&self, kind: &str, file: &str) -> BTreeMap<String, Vec<u8>> {
        let objects = self.objects(&format!("out/{kind}/job={SLUG}")).into_iter();
        let of = |name: &str| {
            let (folder, name) = name.split_once('/')?;
            (name == file).then(|| folder.trim_start_matches("window=").to_owned())
        };
        objects.filter_map(|(name, bytes)| Some((of(&name)?, bytes))).collect()
    }

    /// A client of the tests' own; its paths begin at this place.
    pub(crate) fn store(&self) -> Arc<dyn ObjectStore> {
        let server = match self.backend {
            Backend::Local => {
                return Arc::new(LocalFileSystem::new_with_prefix(self.dir.path()).unwrap());
            }
            Backend::S3(server) | Backend::Azure(server) => server,
        };
        let env = server.env().into_iter().map(|(name, value)| (name.to_lowercase(), value));
        let bucket: Arc<dyn ObjectStore> = match self.backend {
            Backend::Azure(_) => {
                let builder = env.fold(MicrosoftAzureBuilder::new(), |b, (k, v)| b.with_config(k.parse().unwrap(), v));
                Arc::new(builder.with_container_name("lake").build().unwrap())
            }
            _ => {
                let builder = env.fold(AmazonS3Builder::new(), |b, (k, v)| b.with_config(k.parse().unwrap(), v));
                Arc::new(builder.with_bucket_name("lake").build().unwrap())
            }
        };
        Arc::new(PrefixStore::new(bucket, self.prefix.as_str()))
    }
}

pub(crate) fn code(output: &Output) -> Option<i32> {
    output.status.code()
}

pub(crate) fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

pub(crate) fn stdout(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}
