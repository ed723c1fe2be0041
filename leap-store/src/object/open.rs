//! From a location to an object store's client.

use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock};

use object_store::aws::{AmazonS3Builder, AmazonS3ConfigKey};
use object_store::azure::{AzureConfigKey, MicrosoftAzureBuilder};
use object_store::gcp::{GoogleCloudStorageBuilder, GoogleConfigKey};
use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::{ObjectStore, RetryConfig};
use parking_lot::Mutex;

use crate::{StoreError, StoreOptions};

/// The named memory stores of this process.
static SHARED: LazyLock<Mutex<BTreeMap<String, Arc<InMemory>>>> = LazyLock::new(Mutex::default);

/// The memory store of this name; the empty name is a new one.
pub(super) fn memory(name: &str) -> Arc<dyn ObjectStore> {
    if name.is_empty() {
        return Arc::new(InMemory::new());
    }
    let mut shared = SHARED.lock();
    Arc::clone(shared.entry(name.to_owned()).or_default()) as _
}

/// The client and the prefix that a URL names. Nothing is sent yet.
pub(super) fn client(
    url: &str,
    options: &StoreOptions,
) -> Result<(Arc<dyn ObjectStore>, Path), StoreError> {
    // The client asks for the process-wide default. Whoever set another one before us is welcome to it.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let refuse = |reason: String| StoreError::Location {
        location: url.to_owned(),
        reason,
    };
    let (scheme, rest) = url.split_once("://").expect("a location with a scheme");
    let prefix = rest.split_once('/').map_or("", |(_, prefix)| prefix);
    let prefix = Path::parse(prefix).map_err(|error| refuse(error.to_string()))?;
    let built = match scheme {
        "s3" => s3(url, options),
        "az" => azure(url, options),
        _ => google(url, options),
    };
    Ok((built.map_err(|error| refuse(error.to_string()))?, prefix))
}

fn retry(options: &StoreOptions) -> RetryConfig {
    RetryConfig {
        retry_timeout: options.retry_for,
        ..RetryConfig::default()
    }
}

fn s3(url: &str, options: &StoreOptions) -> object_store::Result<Arc<dyn ObjectStore>> {
    let mut builder = AmazonS3Builder::from_env()
        .with_url(url)
        .with_retry(retry(options));
    for (key, value) in &options.object_settings {
        builder = builder.with_config(key.parse::<AmazonS3ConfigKey>()?, value);
    }
    Ok(Arc::new(builder.build()?))
}

fn azure(url: &str, options: &StoreOptions) -> object_store::Result<Arc<dyn ObjectStore>> {
    let mut builder = MicrosoftAzureBuilder::from_env()
        .with_url(url)
        .with_retry(retry(options));
    for (key, value) in &options.object_settings {
        builder = builder.with_config(key.parse::<AzureConfigKey>()?, value);
    }
    Ok(Arc::new(builder.build()?))
}

fn google(url: &str, options: &StoreOptions) -> object_store::Result<Arc<dyn ObjectStore>> {
    let mut builder = GoogleCloudStorageBuilder::from_env()
        .with_url(url)
        .with_retry(retry(options));
    for (key, value) in &options.object_settings {
        builder = builder.with_config(key.parse::<GoogleConfigKey>()?, value);
    }
    Ok(Arc::new(builder.build()?))
}
