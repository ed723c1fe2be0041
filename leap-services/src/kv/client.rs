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

/// Calls a [`KeyValueStore`](super::KeyValueStore) by its name.
///
/// ```
/// # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
/// use leap::Host;
/// use leap_services::kv::{KeyValueCallError, KeyValueClient, KeyValueError, KeyValueStore, Scan};
///
/// let host = Host::builder().start().await?;
/// host.add::<KeyValueStore>("settings").await?;
/// let settings = KeyValueClient::new(&host, "settings");
/// settings.put("colour", "blue").await?;
/// settings.put("size", "7").await?;
/// assert_eq!(settings.get("colour").await?, Some("blue".into()));
///
/// // Only if nobody was faster.
/// let swap = settings.compare_and_swap("size", Some("6".into()), Some("8".into()));
/// let refused = swap.await.unwrap_err();
/// let found = Some("7".into());
/// assert_eq!(refused, KeyValueCallError::Refused(KeyValueError::Mismatch { found }));
///
/// assert!(settings.delete("colour").await?);
/// let page = settings.scan(&Scan::default()).await?;
/// assert_eq!(page.entries, [("size".to_owned(), "7".into())]);
/// assert_eq!(page.next, None);
/// # Ok::<_, Box<dyn std::error::Error>>(())
/// # }).unwrap();
/// ```
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

    /// The value of `key`, if it has one. See the example at [`KeyValueClient`].
    ///
    /// # Errors
    ///
    /// [`CallError`].
    pub async fn get(&self, key: &str) -> Result<Option<Payload>, CallError> {
        self.store.call("get", key).await
    }

    /// Gives `key` a value. See the example at [`KeyValueClient`].
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
    /// See the example at [`KeyValueClient`].
    ///
    /// # Errors
    ///
    /// [`CallError`].
    pub async fn delete(&self, key: &str) -> Result<bool, CallError> {
        self.store.call("delete", key).await
    }

    /// Gives `key` the value `new`, or none, if it has the value `expected`, or none.
    ///
    /// See the example at [`KeyValueClient`].
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

    /// A page of a range of keys. See the example at [`KeyValueClient`].
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
