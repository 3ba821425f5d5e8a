//! Amazon S3 and what speaks its protocol.
//!
//! Credentials, in this order: keys in the environment, a web identity or a container's role (variables that Kubernetes
//! and ECS set), a profile of the AWS command line (`AWS_PROFILE`, `store.profile`; static keys, SSO and processes), the
//! instance's role.

use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;
use std::sync::Arc;

use async_trait::async_trait;
use object_store::CredentialProvider;
use object_store::aws::{AmazonS3, AmazonS3Builder, AmazonS3ConfigKey, AwsCredential};
use reqsign_aws_core::{
    Credential, DefaultCredentialProvider, ProcessCredentialProvider, ProfileCredentialProvider, SSOCredentialProvider,
};
use reqsign_command_execute_tokio::TokioCommandExecute;
use reqsign_core::{Context, ProvideCredential, StaticEnv};
use reqsign_file_read_tokio::TokioFileRead;
use reqsign_http_send_reqwest::ReqwestHttpSend;
use tokio::sync::Mutex;
use url::Url;

use super::retrying::Retry;
use super::stores::{not_set_up, settings};
use crate::error::{Error, ErrorKind, Result};
use crate::job::StoreSpec;

/// Variables any of which says where credentials come from, before any profile.
const OTHER_SOURCES: [&str; 5] = [
    "AWS_ACCESS_KEY_ID",
    "AWS_WEB_IDENTITY_TOKEN_FILE",
    "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
    "AWS_CONTAINER_CREDENTIALS_FULL_URI",
    "AWS_SKIP_SIGNATURE",
];

pub(super) async fn client(
    url: &Url,
    spec: &StoreSpec,
    variables: &BTreeMap<String, String>,
    retry: Retry,
) -> Result<AmazonS3> {
    let mut builder = AmazonS3Builder::new().with_retry(retry.client());
    // The job file first: a variable goes before it.
    if let Some(endpoint) = &spec.endpoint {
        builder = builder.with_endpoint(endpoint);
    }
    if let Some(region) = &spec.region {
        builder = builder.with_region(region);
    }
    if let Some(allow) = spec.allow_http {
        builder = builder.with_allow_http(allow);
    }
    if let Some(path_style) = spec.path_style {
        builder = builder.with_virtual_hosted_style_request(!path_style);
    }
    for (key, value) in settings(variables, "AWS_") {
        if let Ok(key) = key.parse() {
            builder = builder.with_config(key, value);
        }
    }
    let set = |name: &str| variables.get(name).filter(|value| !value.is_empty());
    // What the AWS command line and its SDKs call this.
    if set("AWS_ENDPOINT_URL").is_none()
        && let Some(endpoint) = set("AWS_ENDPOINT_URL_S3")
    {
        builder = builder.with_endpoint(endpoint);
    }
    let named = spec.profile.as_ref().or_else(|| set("AWS_PROFILE"));
    if spec.profile.is_some() || !OTHER_SOURCES.iter().any(|name| set(name).is_some()) {
        let profile = Profile::new(named.map_or("default", String::as_str), variables);
        match profile.load().await {
            Ok(Some(_)) => {
                if builder.get_config_value(&AmazonS3ConfigKey::Region).is_none()
                    && let Some(region) = profile.setting("region")
                {
                    builder = builder.with_region(region);
                }
                builder = builder.with_credentials(Arc::new(profile));
            }
            // One that was asked for by name has to be there; without one, the instance's role may be.
            Ok(None) if named.is_some() => return Err(profile.missing("it gives no credentials".to_owned())),
            Err(error) if named.is_some() => return Err(profile.missing(error.to_string())),
            Ok(None) | Err(_) => {}
        }
    }
    builder.with_url(url.as_str()).build().map_err(not_set_up)
}

/// A profile of the AWS command line.
struct Profile {
    name: String,
    chain: DefaultCredentialProvider,
    context: Context,
    variables: HashMap<String, String>,
    /// The credentials in use, until a little before they expire.
    current: Mutex<Option<Credential>>,
}

impl std::fmt::Debug for Profile {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Profile").field("name", &self.name).finish_non_exhaustive()
    }
}

impl Profile {
    fn new(name: &str, variables: &BTreeMap<String, String>) -> Self {
        let chain = DefaultCredentialProvider::builder()
            .no_env()
            .no_web_identity()
            .no_ecs()
            .no_imds()
            .profile(ProfileCredentialProvider::new().with_profile(name))
            .sso(SSOCredentialProvider::new().with_profile(name))
            .process(ProcessCredentialProvider::new().with_profile(name))
            .build();
        let variables: HashMap<_, _> = variables.iter().map(|(name, value)| (name.clone(), value.clone())).collect();
        let home_dir = variables.get("HOME").or_else(|| variables.get("USERPROFILE")).map(PathBuf::from);
        let context = Context::new()
            .with_file_read(TokioFileRead)
            .with_http_send(ReqwestHttpSend::default())
            .with_command_execute(TokioCommandExecute)
            .with_env(StaticEnv { home_dir, envs: variables.clone() });
        Self { name: name.to_owned(), chain, context, variables, current: Mutex::new(None) }
    }

    async fn load(&self) -> Result<Option<Credential>, reqsign_core::Error> {
        self.chain.provide_credential(&self.context).await
    }

    /// A setting of the profile in the configuration file.
    fn setting(&self, key: &str) -> Option<String> {
        let home = self.variables.get("HOME").or_else(|| self.variables.get("USERPROFILE"));
        let file = match self.variables.get("AWS_CONFIG_FILE") {
            Some(file) => PathBuf::from(file),
            None => PathBuf::from(home?).join(".aws").join("config"),
        };
        let config = ini::Ini::load_from_file(file).ok()?;
        let section = if self.name == "default" { self.name.clone() } else { format!("profile {}", self.name) };
        config.section(Some(section))?.get(key).map(str::to_owned)
    }

    fn missing(&self, why: String) -> Error {
        Error::new(
            ErrorKind::Usage,
            "the AWS profile cannot be used; check ~/.aws/config and ~/.aws/credentials (keys, SSO and credential_process \
             are understood), or log in again with `aws sso login`",
        )
        .with("profile", &self.name)
        .caused_by(crate::secrets::redact(&why).into_owned())
    }
}

#[async_trait]
impl CredentialProvider for Profile {
    type Credential = AwsCredential;

    async fn get_credential(&self) -> object_store::Result<Arc<AwsCredential>> {
        use reqsign_core::SigningCredential as _;
        let mut current = self.current.lock().await;
        let credential = match current.take().filter(|credential| credential.is_valid()) {
            Some(credential) => credential,
            None => self.load().await.ok().flatten().ok_or_else(|| object_store::Error::Unauthenticated {
                path: String::new(),
                source: format!("the profile {} gives no credentials any more", self.name).into(),
            })?,
        };
        let given = AwsCredential {
            key_id: credential.access_key_id.clone(),
            secret_key: credential.secret_access_key.clone(),
            token: credential.session_token.clone(),
        };
        *current = Some(credential);
        Ok(Arc::new(given))
    }
}
