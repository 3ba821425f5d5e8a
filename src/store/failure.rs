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
    let past = action.past();
    let remote = root.provider.is_some();
    let (kind, message) = match Refusal::of(&error) {
        Some(Refusal::Access) => (
            ErrorKind::AccessDenied,
            format!("access is refused: it cannot be {past}; that needs {}", action.permission(root.provider)),
        ),
        Some(Refusal::Missing) if remote && matches!(action, Action::List | Action::Write) => {
            let what = if root.provider == Some(Provider::Azure) { "container" } else { "bucket" };
            // What is only written to is no source.
            let kind = if action == Action::List { ErrorKind::SourceMissing } else { ErrorKind::Unreachable };
            (kind, format!("the {what} does not exist; check its name, the account and the region, or create it"))
        }
        Some(Refusal::Missing) => {
            (ErrorKind::SourceChanged, "the file vanished after it was listed; run again".to_owned())
        }
        Some(Refusal::Condition) => {
            (ErrorKind::SourceChanged, "the file changed after it was listed; run again".to_owned())
        }
        // A local disk that is full or read-only is no matter of reach.
        _ if !remote && matches!(action, Action::Write | Action::Delete) && !is_transient(&error) => {
            (ErrorKind::Output, format!("it cannot be {past}"))
        }
        _ => (ErrorKind::Unreachable, format!("it cannot be {past}: the store does not answer as it should")),
    };
    Error::new(kind, message).with("url", root.name(path)).caused_by(said(&error))
}

/// What a store says when it answers, and does not do what it was asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Refusal {
    Access,
    Missing,
    Condition,
    /// Another answer that it would give again: a request that it does not understand, say.
    Other,
}

impl Refusal {
    fn of(error: &object_store::Error) -> Option<Self> {
        use object_store::Error as Store;
        match error {
            Store::PermissionDenied { .. } | Store::Unauthenticated { .. } => Some(Self::Access),
            Store::NotFound { .. } => Some(Self::Missing),
            Store::Precondition { .. } | Store::NotModified { .. } => Some(Self::Condition),
            // Listings, and every status that has no kind of its own, come as one kind of error, whose type is private to
            // the clients: only its text tells the status.
            Store::Generic { .. } => {
                let text = said(error);
                if text.contains("redirect without LOCATION") {
                    return Some(Self::Other);
                }
                match text.split_once("status code: ").map(|(_, rest)| rest.get(..3).unwrap_or_default()) {
                    Some("401" | "403") => Some(Self::Access),
                    Some("404") => Some(Self::Missing),
                    Some("408" | "429") => None,
                    Some(code) if code.starts_with('3') || code.starts_with('4') => Some(Self::Other),
                    _ => None,
                }
            }
            _ => Some(Self::Other),
        }
    }
}

/// Whether there is no such object. A local path through a file is one that leads nowhere, too.
pub(crate) fn is_absent(error: &object_store::Error) -> bool {
    let through_a_file =
        || find_cause::<std::io::Error>(error).is_some_and(|io| io.kind() == std::io::ErrorKind::NotADirectory);
    matches!(error, object_store::Error::NotFound { .. }) || through_a_file()
}

/// Whether the same request may succeed a little later.
pub(super) fn is_transient(error: &object_store::Error) -> bool {
    use std::io::ErrorKind as Io;
    // A disk that says no says it again.
    let final_ones = [
        Io::AlreadyExists,
        Io::FileTooLarge,
        Io::InvalidFilename,
        Io::InvalidInput,
        Io::IsADirectory,
        Io::NotADirectory,
        Io::NotFound,
        Io::OutOfMemory,
        Io::PermissionDenied,
        Io::QuotaExceeded,
        Io::ReadOnlyFilesystem,
        Io::StorageFull,
        Io::Unsupported,
    ];
    let of_a_disk = find_cause::<std::io::Error>(error).is_some_and(|io| final_ones.contains(&io.kind()));
    Refusal::of(error).is_none() && !of_a_disk
}

/// The whole chain of an error's causes as one line without secrets, each said once.
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
    // Servers answer in XML, with lines.
    let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    redact(&line).into_owned()
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_store_will_say_again_is_no_passing_failure() {
        let error = |text: &str| object_store::Error::Generic { store: "S3", source: text.to_owned().into() };
        for text in ["connection reset by peer", "status code: 503: SlowDown", "status code: 429 Too Many Requests"] {
            assert!(is_transient(&error(text)), "{text}");
        }
        for text in ["status code: 400 Bad Request", "Received redirect without LOCATION, this", "status code: 301"] {
            assert!(!is_transient(&error(text)), "{text}");
        }
        assert_eq!(Refusal::of(&error("a: status code: 403 Forbidden: b")), Some(Refusal::Access));
        assert_eq!(Refusal::of(&error("a: status code: 404 Not Found")), Some(Refusal::Missing));
        let refused = object_store::Error::PermissionDenied { path: "a".into(), source: "no".into() };
        assert!(!is_transient(&refused));
        for (kind, passing) in [(std::io::ErrorKind::StorageFull, false), (std::io::ErrorKind::TimedOut, true)] {
            let error = object_store::Error::Generic { store: "local", source: Box::new(std::io::Error::from(kind)) };
            assert_eq!(is_transient(&error), passing, "{kind}");
        }
    }
}
