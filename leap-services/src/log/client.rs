//! A log from anywhere.

use leap::{Call, CallError, ObjectClient};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::LogError;
use crate::Payload;

/// Why a call to a log has no result.
///
/// ```
/// # leap::testing::run_example(async {
/// # use leap_services::log::*;
/// # let host = leap::Host::builder().start().await?;
/// # let object = host.add::<Log>("orders").await?;
/// # let orders = LogClient::new(&host, "orders");
/// use leap_services::log::{LogCallError, LogError};
///
/// orders.append(vec!["tea".into()]).await?;
/// orders.trim(1).await?;
/// match orders.read(0, 10).await {
///     Err(LogCallError::Refused(LogError::Trimmed { first })) => assert_eq!(first, 1),
///     other => panic!("{other:?}"),
/// }
/// # Ok(())
/// # });
/// ```
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LogCallError {
    /// The log refuses.
    #[error(transparent)]
    Refused(#[from] LogError),
    /// It does not answer.
    #[error(transparent)]
    Call(#[from] CallError),
}

/// Calls a [`Log`](super::Log) by its name.
///
/// ```
/// # leap::testing::run_example(async {
/// use leap::Host;
/// use leap_services::log::{Log, LogCallError, LogClient, LogError};
///
/// let host = Host::builder().start().await?;
/// host.add::<Log>("orders").await?;
/// let orders = LogClient::new(&host, "orders");
/// // Whoever waits gets the next entry as soon as it can never be lost.
/// let reader = LogClient::new(&host, "orders");
/// let (read, appended) = futures::join!(reader.wait(0, 10), orders.append(vec!["tea".into()]));
/// assert_eq!((read?, appended?), (vec!["tea".into()], 0));
///
/// orders.append(vec!["cake".into(), "soup".into()]).await?;
/// assert_eq!(orders.tail().await?, 3);
/// orders.trim(1).await?;
/// assert_eq!(orders.read(1, 10).await?, ["cake".into(), "soup".into()]);
/// let refused = orders.read(0, 10).await;
/// assert_eq!(refused, Err(LogCallError::Refused(LogError::Trimmed { first: 1 })));
/// # Ok(())
/// # });
/// ```
#[derive(Debug, Clone)]
pub struct LogClient<C> {
    log: ObjectClient<C>,
}

impl<C: Call> LogClient<C> {
    /// A client of the log called `log`, reached through `caller`.
    ///
    /// ```
    /// # leap::testing::run_example(async {
    /// use leap::Host;
    /// use leap_services::log::{Log, LogClient};
    ///
    /// let host = Host::builder().start().await?;
    /// host.add::<Log>("orders").await?;
    /// // Through a host; a program outside the cluster gives a `leap::Client`.
    /// let orders = LogClient::new(&host, "orders");
    /// assert_eq!(orders.tail().await?, 0);
    /// # Ok(())
    /// # });
    /// ```
    pub fn new(caller: C, log: impl Into<String>) -> Self {
        Self {
            log: ObjectClient::new(caller, log),
        }
    }

    /// Appends entries; gives the first one's offset.
    ///
    /// ```
    /// # leap::testing::run_example(async {
    /// # use leap_services::log::*;
    /// # let host = leap::Host::builder().start().await?;
    /// # let object = host.add::<Log>("orders").await?;
    /// # let orders = LogClient::new(&host, "orders");
    /// assert_eq!(orders.append(vec!["tea".into(), "cake".into()]).await?, 0);
    /// assert_eq!(orders.append(vec!["soup".into()]).await?, 2);
    /// # Ok(())
    /// # });
    /// ```
    ///
    /// # Errors
    ///
    /// [`LogError::TooLarge`], [`CallError`].
    pub async fn append(&self, entries: Vec<Payload>) -> Result<u64, LogCallError> {
        self.ask("append", &entries).await
    }

    /// Up to `max` entries from the offset `from` on, possibly fewer; none at the tail.
    ///
    /// ```
    /// # leap::testing::run_example(async {
    /// # use leap_services::log::*;
    /// # let host = leap::Host::builder().start().await?;
    /// # let object = host.add::<Log>("orders").await?;
    /// # let orders = LogClient::new(&host, "orders");
    /// orders.append(vec!["tea".into(), "cake".into(), "soup".into()]).await?;
    /// assert_eq!(orders.read(1, 10).await?, ["cake".into(), "soup".into()]);
    /// assert_eq!(orders.read(3, 10).await?, []);
    /// # Ok(())
    /// # });
    /// ```
    ///
    /// # Errors
    ///
    /// [`LogError::Trimmed`], [`CallError`].
    pub async fn read(&self, from: u64, max: usize) -> Result<Vec<Payload>, LogCallError> {
        self.ask("read", &(from, max)).await
    }

    /// As [`read`](Self::read), but waits until there is at least one entry. Not from inside a workflow or
    /// an action: only a caller from outside can wait.
    ///
    /// ```
    /// # leap::testing::run_example(async {
    /// # use leap_services::log::*;
    /// # let host = leap::Host::builder().start().await?;
    /// # let object = host.add::<Log>("orders").await?;
    /// # let orders = LogClient::new(&host, "orders");
    /// let reader = LogClient::new(&host, "orders");
    /// let (next, _offset) = futures::join!(reader.wait(0, 10), orders.append(vec!["tea".into()]));
    /// assert_eq!(next?, ["tea".into()]);
    /// # Ok(())
    /// # });
    /// ```
    ///
    /// # Errors
    ///
    /// As [`read`](Self::read); [`CallError::Timeout`] if nothing comes in time.
    pub async fn wait(&self, from: u64, max: usize) -> Result<Vec<Payload>, LogCallError> {
        self.ask("wait", &(from, max)).await
    }

    /// The offset that the next entry gets.
    ///
    /// ```
    /// # leap::testing::run_example(async {
    /// # use leap_services::log::*;
    /// # let host = leap::Host::builder().start().await?;
    /// # let object = host.add::<Log>("orders").await?;
    /// # let orders = LogClient::new(&host, "orders");
    /// orders.append(vec!["tea".into(), "cake".into()]).await?;
    /// assert_eq!(orders.tail().await?, 2);
    /// # Ok(())
    /// # });
    /// ```
    ///
    /// # Errors
    ///
    /// [`CallError`].
    pub async fn tail(&self) -> Result<u64, CallError> {
        self.log.call("tail", &()).await
    }

    /// Drops all entries before the offset `before`.
    ///
    /// ```
    /// # leap::testing::run_example(async {
    /// # use leap_services::log::*;
    /// # let host = leap::Host::builder().start().await?;
    /// # let object = host.add::<Log>("orders").await?;
    /// # let orders = LogClient::new(&host, "orders");
    /// orders.append(vec!["tea".into(), "cake".into()]).await?;
    /// orders.trim(1).await?;
    /// assert!(orders.read(0, 10).await.is_err(), "the tea is gone");
    /// assert_eq!(orders.read(1, 10).await?, ["cake".into()]);
    /// # Ok(())
    /// # });
    /// ```
    ///
    /// # Errors
    ///
    /// [`CallError`].
    pub async fn trim(&self, before: u64) -> Result<(), CallError> {
        self.log.call("trim", &before).await
    }

    /// Calls a handler that may refuse.
    async fn ask<R: DeserializeOwned>(
        &self,
        method: &str,
        request: &impl Serialize,
    ) -> Result<R, LogCallError> {
        let reply: Result<R, LogError> = self.log.call(method, request).await?;
        Ok(reply?)
    }
}
