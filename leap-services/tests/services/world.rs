//! A cluster of one process whose storage outlives it.

use std::time::Duration;

use anyhow::Result;
use leap::{Host, ObjectOptions, Speculation, Store, StoreOptions};

/// How long any object takes to leave at most.
const PATIENCE: Duration = Duration::from_secs(60);

/// Storage, and what is hosted on it now.
pub(crate) struct World {
    store: Store,
    pub(crate) host: Host,
}

impl World {
    pub(crate) async fn new() -> Result<Self> {
        Self::with_latency(Duration::ZERO).await
    }

    /// A world in which every write takes `latency` to become durable.
    pub(crate) async fn with_latency(latency: Duration) -> Result<Self> {
        let options = StoreOptions {
            latency,
            ..StoreOptions::default()
        };
        let store = Store::open("memory:", options).await?;
        let host = Host::builder().store(store.clone()).start().await?;
        Ok(Self { store, host })
    }

    /// The process dies and starts again, with nothing hosted.
    pub(crate) async fn crash(&mut self) -> Result<()> {
        self.host.kill();
        self.restart().await
    }

    /// The process ends in order and starts again, with nothing hosted.
    pub(crate) async fn end(&mut self) -> Result<()> {
        self.host.clone().shutdown(PATIENCE).await;
        self.restart().await
    }

    async fn restart(&mut self) -> Result<()> {
        self.host = Host::builder().store(self.store.clone()).start().await?;
        Ok(())
    }

    /// What the object called `name` takes in storage, in bytes.
    pub(crate) async fn stored_bytes(&self, name: &str) -> Result<u64> {
        Ok(self.store.usage(name).await?.bytes)
    }
}

pub(crate) fn without_speculation() -> ObjectOptions {
    ObjectOptions {
        speculation: Speculation::Off,
        ..ObjectOptions::default()
    }
}
