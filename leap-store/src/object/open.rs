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

#[cfg(test)]
mod tests {
    use super::*;

    fn opened(url: &str, settings: &[(&str, &str)]) -> Result<(String, Path), StoreError> {
        let settings = settings
            .iter()
            .map(|&(key, value)| (key.to_owned(), value.to_owned()));
        let options = StoreOptions {
            object_settings: settings.collect(),
            ..StoreOptions::default()
        };
        client(url, &options).map(|(store, prefix)| (store.to_string(), prefix))
    }

    #[test]
    fn a_url_names_service_bucket_and_prefix() {
        let account = r#"{"private_key": "", "private_key_id": "", "client_email": "", "disable_oauth": true}"#;
        for (url, settings, service) in [
            ("s3://hotel/a/b", ("region", "us-east-1"), "AmazonS3"),
            ("az://hotel/a/b", ("account_name", "x"), "MicrosoftAzure"),
            (
                "gs://hotel/a/b",
                ("service_account_key", account),
                "GoogleCloudStorage",
            ),
        ] {
            let (store, prefix) = opened(url, &[settings]).expect("it is a good URL");
            assert!(
                store.starts_with(service) && store.contains("hotel"),
                "{store}"
            );
            assert_eq!(prefix.as_ref(), "a/b");
        }
    }

    #[test]
    fn a_setting_of_another_service_is_refused_with_the_url() {
        for url in ["s3://hotel/", "az://hotel/", "gs://hotel/"] {
            let refused = opened(url, &[("colour", "blue")]).expect_err("there is no such setting");
            let StoreError::Location { location, reason } = refused else {
                panic!("{refused}")
            };
            assert!(location == url && reason.contains("colour"), "{reason}");
        }
        let refused = opened("gs://hotel/", &[("service_account_key", "no key")]);
        assert!(
            matches!(refused, Err(StoreError::Location { .. })),
            "{refused:?}"
        );
    }
}
