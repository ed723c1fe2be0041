//! A store from anywhere.

use leap::{Call, CallError, ObjectClient};
use serde::Serialize;

use super::{CompareAndSwap, KeyValueError, Page, Put, Scan};
use crate::Payload;

/// Why a call to a store has no result.
///
/// ```
/// # leap::testing::run_example(async {
/// # use leap_services::kv::*;
/// # let host = leap::Host::builder().start().await?;
/// # let object = host.add::<KeyValueStore>("settings").await?;
/// # let settings = KeyValueClient::new(&host, "settings");
/// use leap_services::kv::{KeyValueCallError, KeyValueError, MAX_KEY_BYTES};
///
/// let refused = settings.put("k".repeat(MAX_KEY_BYTES + 1), "blue").await;
/// assert!(matches!(refused, Err(KeyValueCallError::Refused(KeyValueError::KeyTooLong { .. }))));
/// // Where nobody hosts a store:
/// let nobody = KeyValueClient::new(&host, "nobody");
/// assert!(matches!(nobody.put("colour", "blue").await, Err(KeyValueCallError::Call(_))));
/// # Ok(())
/// # });
/// ```
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
/// # leap::testing::run_example(async {
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
/// # Ok(())
/// # });
/// ```
#[derive(Debug, Clone)]
pub struct KeyValueClient<C> {
    store: ObjectClient<C>,
}

impl<C: Call> KeyValueClient<C> {
    /// A client of the store called `store`, reached through `caller`.
    ///
    /// ```
    /// # leap::testing::run_example(async {
    /// use leap::Host;
    /// use leap_services::kv::{KeyValueClient, KeyValueStore};
    ///
    /// let host = Host::builder().start().await?;
    /// host.add::<KeyValueStore>("settings").await?;
    /// // Through a host; a program outside the cluster gives a `leap::Client`.
    /// let settings = KeyValueClient::new(&host, "settings");
    /// settings.put("colour", "blue").await?;
    /// # Ok(())
    /// # });
    /// ```
    pub fn new(caller: C, store: impl Into<String>) -> Self {
        Self {
            store: ObjectClient::new(caller, store),
        }
    }

    /// The value of `key`, if it has one.
    ///
    /// ```
    /// # leap::testing::run_example(async {
    /// # use leap_services::kv::*;
    /// # let host = leap::Host::builder().start().await?;
    /// # let object = host.add::<KeyValueStore>("settings").await?;
    /// # let settings = KeyValueClient::new(&host, "settings");
    /// settings.put("colour", "blue").await?;
    /// assert_eq!(settings.get("colour").await?, Some("blue".into()));
    /// assert_eq!(settings.get("size").await?, None);
    /// # Ok(())
    /// # });
    /// ```
    ///
    /// # Errors
    ///
    /// [`CallError`].
    pub async fn get(&self, key: &str) -> Result<Option<Payload>, CallError> {
        self.store.call("get", key).await
    }

    /// Gives `key` a value.
    ///
    /// ```
    /// # leap::testing::run_example(async {
    /// # use leap_services::kv::*;
    /// # let host = leap::Host::builder().start().await?;
    /// # let object = host.add::<KeyValueStore>("settings").await?;
    /// # let settings = KeyValueClient::new(&host, "settings");
    /// settings.put("colour", "blue").await?;
    /// settings.put("colour", vec![0xff, 0x00]).await?; // any bytes, in the place of what was there
    /// assert_eq!(settings.get("colour").await?, Some(vec![0xff, 0x00].into()));
    /// # Ok(())
    /// # });
    /// ```
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
    /// ```
    /// # leap::testing::run_example(async {
    /// # use leap_services::kv::*;
    /// # let host = leap::Host::builder().start().await?;
    /// # let object = host.add::<KeyValueStore>("settings").await?;
    /// # let settings = KeyValueClient::new(&host, "settings");
    /// settings.put("colour", "blue").await?;
    /// assert!(settings.delete("colour").await?);
    /// assert!(!settings.delete("colour").await?, "it is gone already");
    /// # Ok(())
    /// # });
    /// ```
    ///
    /// # Errors
    ///
    /// [`CallError`].
    pub async fn delete(&self, key: &str) -> Result<bool, CallError> {
        self.store.call("delete", key).await
    }

    /// Gives `key` the value `new`, or none, if it has the value `expected`, or none.
    ///
    /// ```
    /// # leap::testing::run_example(async {
    /// # use leap_services::kv::*;
    /// # let host = leap::Host::builder().start().await?;
    /// # let object = host.add::<KeyValueStore>("settings").await?;
    /// # let settings = KeyValueClient::new(&host, "settings");
    /// // Nothing is expected, and nothing is there.
    /// settings.compare_and_swap("leader", None, Some("a".into())).await?;
    /// let late = settings.compare_and_swap("leader", None, Some("b".into())).await;
    /// let found = Some("a".into());
    /// assert_eq!(late, Err(KeyValueCallError::Refused(KeyValueError::Mismatch { found })));
    /// # Ok(())
    /// # });
    /// ```
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
    /// ```
    /// # leap::testing::run_example(async {
    /// # use leap_services::kv::*;
    /// # let host = leap::Host::builder().start().await?;
    /// # let object = host.add::<KeyValueStore>("settings").await?;
    /// # let settings = KeyValueClient::new(&host, "settings");
    /// settings.put("colour", "blue").await?;
    /// settings.put("size", "7").await?;
    /// let from_m = Scan { from: Some("m".into()), ..Scan::default() };
    /// assert_eq!(settings.scan(&from_m).await?.entries, [("size".to_owned(), "7".into())]);
    /// # Ok(())
    /// # });
    /// ```
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
