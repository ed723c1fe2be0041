//! Requests to an object store: conditional puts that survive lost answers, and errors that say what failed on which key.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::{StreamExt as _, TryStreamExt as _, stream};
use object_store::path::Path;
use object_store::{
    Error, ObjectStore, ObjectStoreExt as _, PutMode, PutOptions, PutPayload, UpdateVersion,
};
use tokio::time::Instant;

use crate::StoreError;
use crate::faults::{Faults, Operation};

/// Requests of one kind that are under way at a time while a journal is read or pruned.
pub(super) const PARALLEL: usize = 16;
/// First pause before a conditional put is tried again; it doubles up to [`LONGEST_PAUSE`].
const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

#[derive(Clone)]
pub(crate) struct Bucket {
    store: Arc<dyn ObjectStore>,
    prefix: Path,
    retry_for: Duration,
    faults: Faults,
}

/// An object's content and which write of the object it comes from.
#[derive(Debug, Clone)]
pub(super) struct Object {
    pub(super) bytes: Bytes,
    pub(super) version: UpdateVersion,
}

/// The outcome of a conditional put.
pub(super) enum Put {
    Done(UpdateVersion),
    /// Another write came first. What is there now, if it is still there.
    Refused(Option<Object>),
}

impl Bucket {
    pub(super) fn new(
        store: Arc<dyn ObjectStore>,
        prefix: Path,
        retry_for: Duration,
        faults: Faults,
    ) -> Self {
        Self {
            store,
            prefix,
            retry_for,
            faults,
        }
    }

    /// A bucket that is the folder `name` of this one.
    pub(super) fn folder(&self, name: &str) -> Self {
        Self {
            prefix: self.prefix.clone().join(name),
            ..self.clone()
        }
    }

    pub(super) fn key(&self, name: &str) -> String {
        self.prefix.clone().join(name).to_string()
    }

    /// Puts an object if the one there is `expected` (`None`: if there is none).
    ///
    /// An answer can be lost after the put took effect, and trying again then finds its own success. So a refused put is
    /// compared with what is there. No two puts may carry the same content for a key: ours hold an incarnation or a
    /// stamp that nobody else uses.
    pub(super) async fn put_if(
        &self,
        name: &str,
        bytes: &Bytes,
        expected: Option<&UpdateVersion>,
    ) -> Result<Put, StoreError> {
        let started = Instant::now();
        let mut pause = FIRST_PAUSE;
        loop {
            match self.try_put_if(name, bytes, expected).await {
                Ok(version) => return Ok(Put::Done(version)),
                Err(
                    Error::AlreadyExists { .. }
                    | Error::Precondition { .. }
                    | Error::NotFound { .. },
                ) => {
                    let found = self.get(name).await?;
                    return Ok(match found {
                        Some(found) if found.bytes == *bytes => Put::Done(found.version),
                        found => Put::Refused(found),
                    });
                }
                // Conditional puts are not retried by the client when it cannot know whether they took effect.
                Err(Error::Generic { .. }) if started.elapsed() + pause < self.retry_for => {
                    tokio::time::sleep(pause).await;
                    pause = (pause * 2).min(LONGEST_PAUSE);
                }
                Err(error) => return Err(self.refused("put", name, error)),
            }
        }
    }

    async fn try_put_if(
        &self,
        name: &str,
        bytes: &Bytes,
        expected: Option<&UpdateVersion>,
    ) -> Result<UpdateVersion, Error> {
        self.faults.check(Operation::Write).map_err(injected)?;
        let mode = match expected {
            Some(version) => PutMode::Update(version.clone()),
            None => PutMode::Create,
        };
        let path = self.prefix.clone().join(name);
        let payload = PutPayload::from_bytes(bytes.clone());
        let put = self
            .store
            .put_opts(&path, payload, PutOptions::from(mode))
            .await?;
        Ok(put.into())
    }

    /// Puts an object whose key nobody else uses.
    pub(super) async fn put(&self, name: &str, bytes: Bytes) -> Result<(), StoreError> {
        let path = self.prefix.clone().join(name);
        let put = async {
            self.faults.check(Operation::Write).map_err(injected)?;
            self.store.put(&path, PutPayload::from_bytes(bytes)).await
        };
        put.await
            .map(drop)
            .map_err(|error| self.refused("put", name, error))
    }

    pub(super) async fn get(&self, name: &str) -> Result<Option<Object>, StoreError> {
        let path = self.prefix.clone().join(name);
        let get = async {
            self.faults.check(Operation::Read).map_err(injected)?;
            let got = self.store.get(&path).await?;
            let version = UpdateVersion {
                e_tag: got.meta.e_tag.clone(),
                version: got.meta.version.clone(),
            };
            let bytes = got.bytes().await?;
            Ok(Object { bytes, version })
        };
        match get.await {
            Ok(object) => Ok(Some(object)),
            Err(Error::NotFound { .. }) => Ok(None),
            Err(error) => Err(self.refused("get", name, error)),
        }
    }

    /// The names of the objects directly in this folder.
    pub(super) async fn list(&self) -> Result<Vec<String>, StoreError> {
        self.faults
            .check(Operation::Read)
            .map_err(|error| self.refused("list", "", injected(error)))?;
        let objects = self.store.list(Some(&self.prefix));
        let names = objects.map_ok(|object| object.location.filename().map(str::to_owned));
        let names: Vec<_> = names
            .try_collect()
            .await
            .map_err(|error| self.refused("list", "", error))?;
        Ok(names.into_iter().flatten().collect())
    }

    /// How many objects are in this folder and those below it, and their bytes.
    pub(super) async fn usage(&self) -> Result<(u64, u64), StoreError> {
        let sizes = self
            .store
            .list(Some(&self.prefix))
            .map_ok(|object| object.size);
        let sum = sizes.try_fold((0, 0), async |(count, bytes), size| {
            Ok((count + 1, bytes + size))
        });
        sum.await.map_err(|error| self.refused("list", "", error))
    }

    /// The names of the folders in this folder.
    pub(super) async fn folders(&self) -> Result<Vec<String>, StoreError> {
        let listed = self.store.list_with_delimiter(Some(&self.prefix)).await;
        let listed = listed.map_err(|error| self.refused("list", "", error))?;
        let names = listed.common_prefixes.iter().filter_map(Path::filename);
        Ok(names.map(str::to_owned).collect())
    }

    /// Deletes objects; that one is gone already is fine.
    pub(super) async fn delete(&self, names: Vec<String>) -> Result<(), StoreError> {
        let deletions = names.into_iter().map(|name| async move {
            let path = self.prefix.clone().join(name.as_str());
            let delete = async {
                self.faults.check(Operation::Delete).map_err(injected)?;
                self.store.delete(&path).await
            };
            match delete.await {
                Ok(()) | Err(Error::NotFound { .. }) => Ok(()),
                Err(error) => Err(self.refused("delete", &name, error)),
            }
        });
        stream::iter(deletions)
            .buffer_unordered(PARALLEL)
            .try_collect()
            .await
    }

    fn refused(&self, operation: &'static str, name: &str, source: Error) -> StoreError {
        StoreError::Object {
            operation,
            key: self.key(name),
            source,
        }
    }
}

fn injected(error: std::io::Error) -> Error {
    Error::Generic {
        store: "fault plan",
        source: error.into(),
    }
}
