//! What a user types for a place: a path, `file://`, `s3://`, `abfss://`, `az://`, `gs://`, or the `https://` forms.

use std::path::PathBuf;

use object_store::ObjectStoreScheme;
use object_store::path::Path;
use url::Url;

use crate::error::{Error, ErrorKind, Result};
use crate::secrets;

/// A place that was typed, understood as far as possible without reaching for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Location {
    /// A local folder.
    Folder(PathBuf),
    /// A prefix of a bucket or container.
    Remote {
        /// Whose.
        provider: Provider,
        /// As typed, in a form that the provider's client understands.
        url: Url,
        /// The path inside the bucket or container.
        prefix: Path,
    },
}

/// Whose store it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Provider {
    Aws,
    Azure,
    Gcp,
}

impl Location {
    /// Reads what was typed.
    ///
    /// # Errors
    /// `Usage` when it is empty, of an unknown kind, names no bucket, or holds a secret; what could be one is not
    /// repeated in the message.
    pub(crate) fn parse(text: &str) -> Result<Self> {
        if text.is_empty() {
            return Err(Error::new(ErrorKind::Usage, "the location is empty; give a folder or a URL"));
        }
        let Some((scheme, _)) = text.split_once("://") else { return Ok(Self::Folder(PathBuf::from(text))) };
        // Before anything that would repeat the text in a message.
        if let Some(what) = secrets::in_url(text) {
            return Err(Error::new(
                ErrorKind::Usage,
                format!(
                    "the URL holds {what}; give credentials in the environment instead, for example \
                     AZURE_STORAGE_SAS_TOKEN or AWS_SECRET_ACCESS_KEY"
                ),
            )
            .with("scheme", scheme));
        }
        let unreadable =
            |e: url::ParseError| Error::new(ErrorKind::Usage, "the URL cannot be read").with("url", text).caused_by(e);
        let mut url = Url::parse(text).map_err(unreadable)?;
        if url.scheme() == "file" {
            return url.to_file_path().map(Self::Folder).map_err(|()| {
                Error::new(ErrorKind::Usage, "the URL names no local folder; write file:///folder").with("url", text)
            });
        }
        if url.host_str() == Some("storage.googleapis.com") {
            // The one https form that object_store does not read.
            url = Url::parse(&format!("gs:/{}", url.path())).map_err(unreadable)?;
        }
        let unknown = || {
            Error::new(
                ErrorKind::Usage,
                "the URL is of no store that can be opened; use s3://bucket/path, \
                 abfss://container@account.dfs.core.windows.net/path, az://container/path, gs://bucket/path, the https:// \
                 form of these, file:///folder or a path",
            )
            .with("url", text)
        };
        let (scheme, prefix) = ObjectStoreScheme::parse(&url).map_err(|e| unknown().caused_by(e))?;
        let provider = match scheme {
            ObjectStoreScheme::AmazonS3 => Provider::Aws,
            ObjectStoreScheme::MicrosoftAzure => Provider::Azure,
            ObjectStoreScheme::GoogleCloudStorage => Provider::Gcp,
            _ => return Err(unknown()),
        };
        Ok(Self::Remote { provider, url, prefix })
    }

    /// The local folder, if it is one.
    pub(crate) fn folder(&self) -> Option<&std::path::Path> {
        match self {
            Self::Folder(folder) => Some(folder),
            Self::Remote { .. } => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn remote(text: &str) -> (Provider, String) {
        match Location::parse(text).unwrap() {
            Location::Remote { provider, prefix, .. } => (provider, prefix.to_string()),
            folder => panic!("{text}: {folder:?}"),
        }
    }

    #[test]
    fn paths_and_file_urls_are_local() {
        assert_eq!(Location::parse("a/b").unwrap(), Location::Folder(PathBuf::from("a/b")));
        assert_eq!(Location::parse("file:///a/b").unwrap(), Location::Folder(PathBuf::from("/a/b")));
        assert_eq!(Location::parse("s3://bucket/lake").unwrap().folder(), None);
    }

    #[test]
    fn every_form_of_a_provider_is_its_own() {
        for (text, provider, prefix) in [
            ("s3://bucket/a/b", Provider::Aws, "a/b"),
            ("s3a://bucket", Provider::Aws, ""),
            ("https://s3.eu-west-1.amazonaws.com/bucket/a", Provider::Aws, "a"),
            ("https://bucket.s3.eu-west-1.amazonaws.com/a", Provider::Aws, "a"),
            ("abfss://lake@account.dfs.core.windows.net/a/b/", Provider::Azure, "a/b"),
            ("abfs://lake@account.dfs.core.windows.net", Provider::Azure, ""),
            ("az://lake/a", Provider::Azure, "a"),
            ("https://account.blob.core.windows.net/lake/a", Provider::Azure, "a"),
            ("https://account.dfs.core.windows.net/lake/a", Provider::Azure, "a"),
            ("gs://bucket/a", Provider::Gcp, "a"),
            ("https://storage.googleapis.com/bucket/a", Provider::Gcp, "a"),
        ] {
            assert_eq!(remote(text), (provider, prefix.to_owned()), "{text}");
        }
    }

    #[test]
    fn a_url_with_a_secret_is_refused_without_repeating_it() {
        for text in [
            "https://account.blob.core.windows.net/lake?sv=2024&sig=S3CRET",
            "az://lake/a?sig=S3CRET",
            "s3://key:S3CRET@bucket/lake",
            "s3://S3CRET@bucket/lake",
            "abfss://lake:S3CRET@account.dfs.core.windows.net/",
        ] {
            let error = Location::parse(text).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Usage);
            assert!(!format!("{error} {error:?}").contains("S3CRET"), "{error}");
        }
    }

    #[test]
    fn what_is_strange_is_named() {
        for text in ["", "ftp://host/lake", "s3://", "https://example.com/lake", "file://host/a"] {
            assert_eq!(Location::parse(text).unwrap_err().kind(), ErrorKind::Usage, "{text}");
        }
    }
}
