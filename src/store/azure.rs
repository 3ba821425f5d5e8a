//! ADLS Gen2 and Blob storage.
//!
//! Credentials by the client's variables: account key, SAS, client secret, workload identity (`AZURE_FEDERATED_TOKEN_FILE`),
//! the Azure command line (`AZURE_USE_AZURE_CLI=true`), and a managed identity when nothing else is given.

use std::collections::BTreeMap;

use object_store::azure::{MicrosoftAzure, MicrosoftAzureBuilder};
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
) -> Result<MicrosoftAzure> {
    let mut builder = MicrosoftAzureBuilder::new().with_retry(retry.client());
    // The job file first: a variable goes before it.
    if let Some(account) = &spec.account {
        builder = builder.with_account(account);
    }
    if let Some(endpoint) = &spec.endpoint {
        builder = builder.with_endpoint(endpoint.clone());
    }
    if let Some(allow) = spec.allow_http {
        builder = builder.with_allow_http(allow);
    }
    for (key, value) in settings(variables, "AZURE_") {
        if let Ok(key) = key.parse() {
            builder = builder.with_config(key, value);
        }
    }
    // What App Service and container apps set for their managed identity.
    if let Some(endpoint) = variables.get("IDENTITY_ENDPOINT") {
        builder = builder.with_msi_endpoint(endpoint);
    }
    builder.with_url(url.as_str()).build().map_err(not_set_up)
}
