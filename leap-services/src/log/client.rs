//! A log from anywhere.

use leap::{Call, CallError, ObjectClient};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::LogError;
use crate::Payload;

/// Why a call to a log has no result.
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
/// # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
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
/// # Ok::<_, Box<dyn std::error::Error>>(())
/// # }).unwrap();
/// ```
#[derive(Debug, Clone)]
pub struct LogClient<C> {
    log: ObjectClient<C>,
}

impl<C: Call> LogClient<C> {
    /// A client of the log called `log`, reached through `caller`.
    pub fn new(caller: C, log: impl Into<String>) -> Self {
        Self {
            log: ObjectClient::new(caller, log),
        }
    }

    /// Appends entries; gives the first one's offset. See the example at [`LogClient`].
    ///
    /// # Errors
    ///
    /// [`LogError::TooLarge`], [`CallError`].
    pub async fn append(&self, entries: Vec<Payload>) -> Result<u64, LogCallError> {
        self.ask("append", &entries).await
    }

    /// Up to `max` entries from the offset `from` on, possibly fewer; none at the tail. See the example at [`LogClient`].
    ///
    /// # Errors
    ///
    /// [`LogError::Trimmed`], [`CallError`].
    pub async fn read(&self, from: u64, max: usize) -> Result<Vec<Payload>, LogCallError> {
        self.ask("read", &(from, max)).await
    }

    /// As [`read`](Self::read), but waits until there is at least one entry. Not from inside a workflow or
    /// an action: only a caller from outside can wait. See the example at [`LogClient`].
    ///
    /// # Errors
    ///
    /// As [`read`](Self::read); [`CallError::Timeout`] if nothing comes in time.
    pub async fn wait(&self, from: u64, max: usize) -> Result<Vec<Payload>, LogCallError> {
        self.ask("wait", &(from, max)).await
    }

    /// The offset that the next entry gets. See the example at [`LogClient`].
    ///
    /// # Errors
    ///
    /// [`CallError`].
    pub async fn tail(&self) -> Result<u64, CallError> {
        self.log.call("tail", &()).await
    }

    /// Drops all entries before the offset `before`. See the example at [`LogClient`].
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
