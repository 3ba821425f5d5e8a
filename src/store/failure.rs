//! What a store's failure means to the one who reads it: the URL, the action, and what that action needs.

use std::error::Error as StdError;

use object_store::path::Path;

use super::location::Provider;
use super::stores::Root;
use crate::error::{Error, ErrorKind};
use crate::secrets::redact;

/// What was being done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Action {
    List,
    Read,
    Write,
    Delete,
}

impl Action {
    fn past(self) -> &'static str {
        match self {
            Self::List => "listed",
            Self::Read => "read",
            Self::Write => "written",
            Self::Delete => "removed",
        }
    }

    /// What a provider has to grant for it.
    fn permission(self, provider: Option<Provider>) -> &'static str {
        match (provider, self) {
            (Some(Provider::Aws), Self::List) => "s3:ListBucket on the bucket",
            (Some(Provider::Aws), Self::Read) => "s3:GetObject on the object, and s3:ListBucket on the bucket",
            (Some(Provider::Aws), Self::Write) => "s3:PutObject on the object",
            (Some(Provider::Aws), Self::Delete) => "s3:DeleteObject on the object",
            (Some(Provider::Azure), Self::List | Self::Read) => {
                "the role Storage Blob Data Reader, or a SAS with the permissions r and l"
            }
            (Some(Provider::Azure), Self::Write) => {
                "the role Storage Blob Data Contributor, or a SAS with the permissions r, c and w"
            }
            (Some(Provider::Azure), Self::Delete) => {
                "the role Storage Blob Data Contributor, or a SAS with the permission d"
            }
            (Some(Provider::Gcp), Self::List) => "storage.objects.list on the bucket",
            (Some(Provider::Gcp), Self::Read) => "storage.objects.get on the object",
            (Some(Provider::Gcp), Self::Write) => "storage.objects.create and storage.objects.delete on the object",
            (Some(Provider::Gcp), Self::Delete) => "storage.objects.delete on the object",
            (None, Self::List) => "read and search permission on the folder",
            (None, Self::Read) => "read permission on the file",
            (None, Self::Write | Self::Delete) => "write permission on the folder",
        }
    }
}

/// `error`, met while `action` was done to `path` of `root`, as an error of this crate. One that is such an error already
/// stays what it is.
pub(crate) fn failed(root: &Root, path: &Path, action: Action, error: object_store::Error) -> Error {
    if let Some(ours) = ours(&error) {
        return ours.clone();
    }
    use object_store::Error as Store;
    let past = action.past();
    let remote = root.provider.is_some();
    let (kind, message) = match &error {
        Store::PermissionDenied { .. } | Store::Unauthenticated { .. } => (
            ErrorKind::Unreachable,
            format!("access is refused: it cannot be {past}; that needs {}", action.permission(root.provider)),
        ),
        Store::NotFound { .. } if remote && matches!(action, Action::List | Action::Write) => {
            let what = if root.provider == Some(Provider::Azure) { "container" } else { "bucket" };
            let kind = if action == Action::List { ErrorKind::SourceMissing } else { ErrorKind::Unreachable };
            (kind, format!("the {what} does not exist; check its name, the account and the region, or create it"))
        }
        Store::NotFound { .. } => {
            (ErrorKind::SourceChanged, "the file vanished after it was listed; run again".to_owned())
        }
        Store::Precondition { .. } | Store::NotModified { .. } => {
            (ErrorKind::SourceChanged, "the file changed after it was listed; run again".to_owned())
        }
        // A local disk that is full or read-only is no matter of reach.
        _ if !remote && matches!(action, Action::Write | Action::Delete) => {
            (ErrorKind::Output, format!("it cannot be {past}"))
        }
        _ => (ErrorKind::Unreachable, format!("it cannot be {past}: the store does not answer as it should")),
    };
    Error::new(kind, message).with("url", root.name(path)).caused_by(said(&error))
}

/// The whole chain of an error's causes as one text without secrets, each said once.
fn said(error: &dyn StdError) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let more = error.to_string();
        if !text.contains(&more) {
            text = format!("{text}: {more}");
        }
        cause = error.source();
    }
    redact(&text).into_owned()
}

/// The error of this crate that a store's error carries, if it does.
pub(crate) fn ours(error: &object_store::Error) -> Option<&Error> {
    find_cause(error)
}

/// The first error of type `T` among `error` and its causes.
pub(crate) fn find_cause<'a, T: StdError + 'static>(error: &'a (dyn StdError + 'static)) -> Option<&'a T> {
    use datafusion::arrow::error::ArrowError;
    use datafusion::error::DataFusionError;
    use datafusion::parquet::errors::ParquetError;
    let mut cause = Some(error);
    while let Some(error) = cause {
        if let Some(found) = error.downcast_ref::<T>() {
            return Some(found);
        }
        // These hold an error that their `source` skips: it gives that one's own cause.
        let held: Option<&(dyn StdError + 'static)> = if let Some(error) = error.downcast_ref::<DataFusionError>() {
            match error {
                DataFusionError::External(inner) => Some(inner.as_ref()),
                DataFusionError::ObjectStore(inner) => Some(inner.as_ref()),
                DataFusionError::ParquetError(inner) => Some(inner.as_ref()),
                DataFusionError::ArrowError(inner, _) => Some(inner.as_ref()),
                DataFusionError::Context(_, inner) => Some(inner.as_ref()),
                DataFusionError::Shared(inner) => Some(inner.as_ref()),
                _ => None,
            }
        } else if let Some(ParquetError::External(inner)) = error.downcast_ref() {
            Some(inner.as_ref())
        } else if let Some(ArrowError::ExternalError(inner)) = error.downcast_ref() {
            Some(inner.as_ref())
        } else if let Some(object_store::Error::Generic { source, .. }) = error.downcast_ref() {
            Some(source.as_ref())
        } else {
            None
        };
        if let Some(found) = held.and_then(find_cause) {
            return Some(found);
        }
        cause = error.source();
    }
    None
}
