//! Delta tables: how the library that knows their logs is given a store of ours.

use std::sync::Arc;

use deltalake_core::{DeltaTableBuilder, DeltaTableError};
use futures::TryStreamExt;
use object_store::path::Path;
use url::Url;

use super::failure::{Action, failed, find_cause};
use super::stores::Root;
use crate::error::{Error, ErrorKind, Result};
use crate::secrets::redact;

/// The folder of a table's log.
pub(crate) const DELTA_LOG: &str = "_delta_log";

/// Whether the root is a Delta table: it has a log with a commit or a checkpoint.
pub(crate) async fn is_delta_table(root: &Root) -> Result<bool> {
    let log = Path::from(DELTA_LOG);
    let mut entries = root.store.list(Some(&log));
    loop {
        match entries.try_next().await {
            Ok(Some(entry)) if [".json", ".parquet"].iter().any(|end| entry.location.as_ref().ends_with(end)) => {
                return Ok(true);
            }
            Ok(Some(_)) => {}
            Ok(None) => return Ok(false),
            Err(object_store::Error::NotFound { .. }) if root.provider.is_none() => return Ok(false),
            // The first thing that is asked of a lake: what fails is the lake, not its log.
            Err(e) => return Err(failed(root, &Path::default(), Action::List, e)),
        }
    }
}

/// The table at the root, for the library to load.
pub(crate) fn delta_table(root: &Root) -> Result<DeltaTableBuilder> {
    // The store begins at the table's root. The URL only has to be of a kind that needs nothing registered, and to say
    // whether the store lists in order: a local one does not, and the library sorts what comes from one.
    let url = if root.provider.is_none() { "file:///" } else { "memory:///" };
    #[allow(clippy::expect_used)] // A constant.
    let url = Url::parse(url).expect("the URL is valid");
    let builder = DeltaTableBuilder::from_url(url.clone()).map_err(|e| unreadable_log(root, e))?;
    Ok(builder.with_storage_backend(Arc::clone(&root.store), url))
}

/// A log that cannot be read, for the reason that the library gives.
pub(crate) fn unreadable_log(root: &Root, error: DeltaTableError) -> Error {
    let log = Path::from(DELTA_LOG);
    if let Some(ours) = find_cause::<Error>(&error) {
        return ours.clone();
    }
    let kind = match find_cause::<object_store::Error>(&error) {
        Some(_) => ErrorKind::Unreachable,
        None => ErrorKind::CorruptFile,
    };
    Error::new(kind, "the Delta table's log cannot be read")
        .with("url", root.name(&log))
        .caused_by(redact(&error.to_string()).into_owned())
}
