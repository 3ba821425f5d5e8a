//! Opens a store from what a user types: a local path, `file://`, `s3://`, `abfss://`, `az://`, `gs://` or `https://`.

use std::path::{Path as FsPath, PathBuf};
use std::sync::Arc;

use object_store::ObjectStore;
use object_store::local::LocalFileSystem;
use object_store::prefix::PrefixStore;
use url::Url;

use crate::error::{Error, ErrorKind, Result};

/// A store whose paths are relative to the root that was asked for.
#[derive(Debug, Clone)]
pub(crate) struct Root {
    /// The store; its paths begin at the root.
    pub(crate) store: Arc<dyn ObjectStore>,
    /// The root as it was typed, without any user information or query, for messages and records.
    pub(crate) display: String,
    /// The folder, for a local root.
    pub(crate) folder: Option<PathBuf>,
}

impl Root {
    /// The full name of `path`, for messages.
    pub(crate) fn name(&self, path: &object_store::path::Path) -> String {
        format!("{}/{path}", self.display.trim_end_matches('/'))
    }
}

/// Opens `location` for reading. A local folder must exist.
pub(crate) fn open(location: &str) -> Result<Root> {
    match local_path(location)? {
        Some(folder) if folder.is_dir() => open_local(location, &folder),
        Some(_) => Err(Error::new(ErrorKind::SourceMissing, "there is no such folder").with("url", location)),
        None => open_remote(location),
    }
}

/// Opens `location` for writing. A local folder is created where it is missing.
pub(crate) fn create(location: &str) -> Result<Root> {
    match local_path(location)? {
        Some(folder) => {
            std::fs::create_dir_all(&folder).map_err(|e| {
                Error::new(ErrorKind::Output, "the output folder cannot be created").with("url", location).caused_by(e)
            })?;
            open_local(location, &folder)
        }
        None => open_remote(location),
    }
}

/// The local folder that `location` means, or `None` for a URL of an object store.
pub(crate) fn local_path(location: &str) -> Result<Option<PathBuf>> {
    if location.is_empty() {
        return Err(Error::new(ErrorKind::Usage, "the location is empty; give a folder or a URL"));
    }
    match location.split_once("://") {
        None => Ok(Some(PathBuf::from(location))),
        Some((scheme, _)) if scheme.eq_ignore_ascii_case("file") => {
            parse(location)?.to_file_path().map(Some).map_err(|()| {
                Error::new(ErrorKind::Usage, "the URL names no local folder; write file:///folder")
                    .with("url", location)
            })
        }
        Some(_) => Ok(None),
    }
}

fn open_local(location: &str, folder: &FsPath) -> Result<Root> {
    let store = LocalFileSystem::new_with_prefix(folder).map_err(|e| {
        Error::new(ErrorKind::Unreachable, "the folder cannot be opened").with("url", location).caused_by(e)
    })?;
    Ok(Root { store: Arc::new(store), display: location.to_owned(), folder: Some(folder.to_owned()) })
}

fn open_remote(location: &str) -> Result<Root> {
    let url = parse(location)?;
    // The usual variables of each provider, for example AWS_REGION or AZURE_STORAGE_ACCOUNT_NAME.
    let settings = std::env::vars().filter_map(|(key, value)| {
        let key = key.to_ascii_lowercase();
        ["aws_", "azure_", "google_"].iter().any(|provider| key.starts_with(provider)).then_some((key, value))
    });
    let (store, prefix) = object_store::parse_url_opts(&url, settings).map_err(|e| {
        Error::new(
            ErrorKind::Usage,
            "the URL is of no store that can be opened; use s3://, abfss://, az://, gs://, file:// or a path",
        )
        .with("url", shown(&url))
        .caused_by(e)
    })?;
    Ok(Root { store: Arc::new(PrefixStore::new(store, prefix)), display: shown(&url), folder: None })
}

fn parse(location: &str) -> Result<Url> {
    Url::parse(location)
        .map_err(|e| Error::new(ErrorKind::Usage, "the URL cannot be read").with("url", location).caused_by(e))
}

/// The URL without what may be a secret: password and query (a SAS token).
fn shown(url: &Url) -> String {
    let mut url = url.clone();
    url.set_query(None);
    // Fails only for URLs that cannot have a password.
    let _ = url.set_password(None);
    url.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_and_file_urls_are_local() {
        assert_eq!(local_path("a/b").unwrap(), Some(PathBuf::from("a/b")));
        assert_eq!(local_path("file:///a/b").unwrap(), Some(PathBuf::from("/a/b")));
        assert_eq!(local_path("s3://bucket/lake").unwrap(), None);
    }

    #[test]
    fn secrets_of_a_url_are_not_shown() {
        let url = Url::parse("https://account.blob.core.windows.net/lake?sig=SECRET").unwrap();
        assert!(!shown(&url).contains("SECRET"));
    }

    #[test]
    fn what_is_missing_or_strange_is_named() {
        assert_eq!(open("no/such/folder").unwrap_err().kind(), ErrorKind::SourceMissing);
        assert_eq!(open("ftp://host/lake").unwrap_err().kind(), ErrorKind::Usage);
        assert_eq!(open("").unwrap_err().kind(), ErrorKind::Usage);
    }
}
