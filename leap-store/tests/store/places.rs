//! Where the suite runs: a directory, memory, and object stores on the loopback.

use std::time::Duration;

use anyhow::Result;
use leap_store::{Claim, Store, StoreOptions};
use tempfile::TempDir;

use crate::servers::Server;

/// A place to open stores at.
pub(crate) struct Place {
    pub(crate) location: String,
    pub(crate) options: StoreOptions,
    /// Requests cost a network round trip: do fewer.
    pub(crate) is_remote: bool,
    _server: Option<Server>,
    _directory: Option<TempDir>,
}

impl Place {
    pub(crate) fn local() -> Self {
        let directory = TempDir::new().expect("a temporary directory");
        Self {
            location: directory.path().to_str().expect("a UTF-8 path").to_owned(),
            options: StoreOptions::default(),
            is_remote: false,
            _server: None,
            _directory: Some(directory),
        }
    }

    pub(crate) fn memory() -> Self {
        // The name is shared within the process only, and tests of one process must not meet.
        let unique = TempDir::new().expect("a temporary directory");
        Self {
            location: format!("memory:{}", unique.path().display()),
            options: StoreOptions::default(),
            is_remote: false,
            _server: None,
            _directory: Some(unique),
        }
    }

    pub(crate) fn remote(server: Server) -> Self {
        Self {
            location: server.location.to_owned(),
            options: StoreOptions {
                object_settings: server.settings.clone(),
                retry_for: Duration::from_secs(30),
                ..StoreOptions::default()
            },
            is_remote: true,
            _server: Some(server),
            _directory: None,
        }
    }

    pub(crate) async fn open(&self) -> Result<Store> {
        self.open_with(|_| {}).await
    }

    pub(crate) async fn open_with(&self, change: impl FnOnce(&mut StoreOptions)) -> Result<Store> {
        let mut options = self.options.clone();
        change(&mut options);
        Ok(Store::open(&self.location, options).await?)
    }

    /// Opens anew, as another process would, and claims.
    pub(crate) async fn claim(&self, name: &str) -> Result<Claim> {
        Ok(self.open().await?.claim(name).await?)
    }
}
