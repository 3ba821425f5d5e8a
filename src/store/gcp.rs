//! Google Cloud Storage; credentials by the client's variables, or the instance's own.

use std::collections::BTreeMap;

use object_store::gcp::{GoogleCloudStorage, GoogleCloudStorageBuilder, GoogleConfigKey};
use url::Url;

use super::retrying::Retry;
use super::stores::{not_set_up, settings};
use crate::error::Result;
use crate::job::StoreSpec;

pub(super) fn client(
    url: &Url,
    spec: &StoreSpec,
    variables: &BTreeMap<String, String>,
    retry: Retry,
) -> Result<GoogleCloudStorage> {
    let mut builder = GoogleCloudStorageBuilder::new().with_retry(retry.client());
    // The job file first: a variable goes before it.
    if let Some(endpoint) = &spec.endpoint {
        builder = builder.with_config(GoogleConfigKey::BaseUrl, endpoint);
    }
    for (key, value) in settings(variables, "GOOGLE_") {
        if let Ok(key) = key.parse() {
            builder = builder.with_config(key, value);
        }
    }
    builder.with_url(url.as_str()).build().map_err(not_set_up)
}
