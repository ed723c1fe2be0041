//! A store from anywhere.

use leap::{Call, CallError, ObjectClient};
use serde::Serialize;

use super::{CompareAndSwap, KeyValueError, Page, Put, Scan};
use crate::Payload;

/// Why a call to a store has no result.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KeyValueCallError {
    /// The store refuses.
    #[error(transparent)]
    Refused(#[from] KeyValueError),
    /// It does not answer.
    #[error(transparent)]
    Call(#[from] CallError),
}

/// Calls a [`KeyValueStore`](super::KeyValueStore) by its name. See the [module](super) for an example.
#[derive(Debug, Clone)]
pub struct KeyValueClient<C> {
    store: ObjectClient<C>,
}

impl<C: Call> KeyValueClient<C> {
    /// A client of the store called `store`, reached through `caller`.
    pub fn new(caller: C, store: impl Into<String>) -> Self {
        Self {
            store: ObjectClient::new(caller, store),
        }
    }

    /// The value of `key`, if it has one.
    ///
    /// # Errors
    ///
    /// [`CallError`].
    pub async fn get(&self, key: &str) -> Result<Option<Payload>, CallError> {
        self.store.call("get", key).await
    }

    /// Gives `key` a value.
    ///
    /// # Errors
    ///
    /// [`KeyValueCallError`].
    pub async fn put(
        &self,
        key: impl Into<String>,
        value: impl Into<Payload>,
    ) -> Result<(), KeyValueCallError> {
        let put = Put {
            key: key.into(),
            value: value.into(),
        };
        self.write("put", &put).await
    }

    /// Takes the value of `key` away; tells whether it had one.
    ///
    /// # Errors
    ///
    /// [`CallError`].
    pub async fn delete(&self, key: &str) -> Result<bool, CallError> {
        self.store.call("delete", key).await
    }

    /// Gives `key` the value `new`, or none, if it has the value `expected`, or none.
    ///
    /// # Errors
    ///
    /// [`KeyValueError::Mismatch`] tells what it has instead.
    pub async fn compare_and_swap(
        &self,
        key: impl Into<String>,
        expected: Option<Payload>,
        new: Option<Payload>,
    ) -> Result<(), KeyValueCallError> {
        let swap = CompareAndSwap {
            key: key.into(),
            expected,
            new,
        };
        self.write("compare_and_swap", &swap).await
    }

    /// A page of a range of keys.
    ///
    /// # Errors
    ///
    /// [`CallError`].
    pub async fn scan(&self, scan: &Scan) -> Result<Page, CallError> {
        self.store.call("scan", scan).await
    }

    /// Calls a handler that may refuse.
    async fn write(&self, method: &str, change: &impl Serialize) -> Result<(), KeyValueCallError> {
        let reply: Result<(), KeyValueError> = self.store.call(method, change).await?;
        Ok(reply?)
    }
}
