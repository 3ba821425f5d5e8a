//! Who may ask a worker for something, and how the way there is guarded.

use std::fmt;
use std::path::Path;

use sha2::{Digest, Sha256};
use tonic::metadata::{Ascii, MetadataValue};
use tonic::service::Interceptor;
use tonic::transport::{Certificate, ClientTlsConfig};
use tonic::{Request, Status};

use super::VERSION;
use crate::error::{Error, ErrorKind, Result};

/// The header that says which version asks.
pub(super) const VERSION_HEADER: &str = "x-lakehunt-version";
/// How refusals begin, for those who are refused.
pub(super) const WRONG_TOKEN: &str = "the worker refuses the token";
pub(super) const WRONG_VERSION: &str = "the worker is of another version";

/// The variable that holds the token.
const TOKEN: &str = "LAKEHUNT_WORKER_TOKEN";

/// What a run and its workers share: a token, and who vouches for the workers.
#[derive(Clone, Default)]
pub struct Access {
    token: Option<MetadataValue<Ascii>>,
    authority: Option<Certificate>,
    /// The name that certificates are for, where it is not the host of a URL.
    pub(super) name: Option<String>,
}

impl fmt::Debug for Access {
    /// Without the token.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (token, tls) = (self.token.is_some(), self.authority.is_some());
        f.debug_struct("Access").field("token", &token).field("tls", &tls).field("name", &self.name).finish()
    }
}

impl Access {
    /// The token of a file, or else of the environment; the certificate of the authority, and the name that certificates are for.
    ///
    /// # Errors
    /// `Usage` when a file cannot be read or the token is no text for a header.
    pub fn new(token_file: Option<&Path>, authority: Option<&Path>, name: Option<String>) -> Result<Self> {
        let token = match token_file {
            Some(path) => Some(text(path)?),
            None => std::env::var(TOKEN).ok(),
        };
        let token = token.map(|token| token.trim().to_owned()).filter(|token| !token.is_empty());
        let authority = authority.map(|path| text(path).map(Certificate::from_pem)).transpose()?;
        if authority.is_some() {
            // Where somebody has chosen before, that stays.
            let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        }
        Self::default().with_token(token.as_deref()).map(|access| Self { authority, name, ..access })
    }

    pub(super) fn with_token(self, token: Option<&str>) -> Result<Self> {
        let header = |token: &str| {
            let mut value: MetadataValue<Ascii> = format!("Bearer {token}").parse().map_err(|_| {
                Error::new(
                    ErrorKind::Usage,
                    format!(
                        "the token holds what no header can; give printable ASCII in {TOKEN} or --worker-token-file"
                    ),
                )
            })?;
            // Kept out of what is shown of requests.
            value.set_sensitive(true);
            Ok(value)
        };
        Ok(Self { token: token.map(header).transpose()?, ..self })
    }

    /// Whether only those are served who know a token.
    pub(crate) fn has_token(&self) -> bool {
        self.token.is_some()
    }

    /// Whether the way to workers is encrypted.
    pub(super) fn has_authority(&self) -> bool {
        self.authority.is_some()
    }

    pub(super) fn tls(&self, host: Option<&str>) -> Option<ClientTlsConfig> {
        let tls = ClientTlsConfig::new().ca_certificate(self.authority.clone()?);
        Some(match self.name.as_deref().or(host) {
            Some(name) => tls.domain_name(name),
            None => tls,
        })
    }

    pub(super) fn token(&self) -> Option<&MetadataValue<Ascii>> {
        self.token.as_ref()
    }
}

/// Lets those in who know the token and are of the same version.
#[derive(Clone)]
pub(super) struct Guard {
    pub(super) access: Access,
    pub(super) version: &'static str,
}

impl Interceptor for Guard {
    fn call(&mut self, request: Request<()>) -> Result<Request<()>, Status> {
        let metadata = request.metadata();
        if let Some(token) = self.access.token() {
            let given = metadata.get("authorization").map(MetadataValue::as_bytes).unwrap_or_default();
            // Digests take the same time to compare however much of the token was right.
            if Sha256::digest(given) != Sha256::digest(token.as_bytes()) {
                return Err(Status::unauthenticated(format!(
                    "{WRONG_TOKEN}; give the same in {TOKEN} to the run and to all workers"
                )));
            }
        }
        let theirs = metadata.get(VERSION_HEADER).and_then(|value| value.to_str().ok()).unwrap_or("none");
        if theirs != self.version {
            return Err(Status::failed_precondition(format!(
                "{WRONG_VERSION}: it is lakehunt {}, and lakehunt {theirs} asks; give all machines the same",
                self.version
            )));
        }
        Ok(request)
    }
}

/// The version of this program, as a header.
pub(super) fn version() -> MetadataValue<Ascii> {
    MetadataValue::from_static(VERSION)
}

pub(super) fn text(path: &Path) -> Result<String> {
    std::fs::read_to_string(path)
        .map_err(|e| Error::new(ErrorKind::Usage, "the file cannot be read").with("file", path.display()).caused_by(e))
}
