//! Where a store is and how it writes.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use crate::StoreError;
use crate::faults::Faults;

/// Where a store keeps its files or objects.
///
/// ```
/// use leap_store::Location;
/// assert!(matches!("data/node-1".parse(), Ok(Location::Directory(_))));
/// assert!(matches!("memory:".parse(), Ok(Location::Memory(_))));
/// assert!(matches!("s3://bucket/leap".parse(), Ok(Location::Object(_))));
/// assert!("ftp://host/".parse::<Location>().is_err());
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Location {
    /// A local directory; it is created when it is missing.
    Directory(PathBuf),
    /// This process's memory, for tests. Stores opened with the same non-empty name share their content; the empty
    /// name is a new store every time.
    Memory(String),
    /// An object store's URL: `s3://bucket/prefix`, `az://container/prefix` or `gs://bucket/prefix`.
    ///
    /// Tests run against emulators: moto for S3, Azurite for Azure. For Google Cloud Storage there is no emulator with
    /// conditional writes to be had, so there the conditions are imitated; nothing has been run against Google's servers.
    Object(String),
}

impl FromStr for Location {
    type Err = StoreError;

    fn from_str(location: &str) -> Result<Self, StoreError> {
        let refuse = |reason: &str| {
            Err(StoreError::Location {
                location: location.to_owned(),
                reason: reason.to_owned(),
            })
        };
        if let Some(name) = location.strip_prefix("memory:") {
            return Ok(Self::Memory(name.to_owned()));
        }
        match location.split_once("://") {
            None if location.is_empty() => refuse("it is empty"),
            None => Ok(Self::Directory(location.into())),
            Some(("file", path)) if path.starts_with('/') => Ok(Self::Directory(path.into())),
            Some(("file", _)) => refuse("write file:///absolute/path"),
            Some(("s3" | "az" | "gs", rest)) if !rest.is_empty() => {
                Ok(Self::Object(location.to_owned()))
            }
            Some(("s3" | "az" | "gs", _)) => refuse("the bucket is missing"),
            Some(_) => refuse("known schemes are file, s3, az and gs"),
        }
    }
}

impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Directory(path) => write!(f, "{}", path.display()),
            Self::Memory(name) => write!(f, "memory:{name}"),
            Self::Object(url) => f.write_str(url),
        }
    }
}

/// When queued records are written.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use std::time::Duration;
///
/// use leap_store::{GroupCommit, Store, StoreOptions};
///
/// // At most a hundred syncs in a second, and each record waits 10 ms for company.
/// let group_commit = GroupCommit::Fixed(Duration::from_millis(10));
/// let options = StoreOptions { group_commit, ..StoreOptions::default() };
/// let store = Store::open("memory:", options).await?;
/// let journal = store.claim("hotel").await?.journal;
/// let first = journal.append(1, "room 7 is taken".into());
/// journal.append(2, "room 8 is taken".into()).await?;
/// assert_eq!(journal.statistics().syncs, 1, "one for both");
/// # first.await?;
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum GroupCommit {
    /// At once when nothing is being written; otherwise everything that arrived meanwhile goes into the next batch.
    #[default]
    Adaptive,
    /// This long after the first record of a batch.
    Fixed(Duration),
}

/// In a configuration: `adaptive`, or a number of milliseconds.
///
/// ```
/// use leap_store::GroupCommit;
/// use std::time::Duration;
/// let ten: GroupCommit = "10".parse()?;
/// assert_eq!(ten, GroupCommit::Fixed(Duration::from_millis(10)));
/// assert_eq!(ten.to_string(), "10");
/// assert_eq!("adaptive".parse(), Ok(GroupCommit::Adaptive));
/// # Ok::<_, leap_store::NotAGroupCommit>(())
/// ```
impl FromStr for GroupCommit {
    type Err = NotAGroupCommit;

    fn from_str(text: &str) -> Result<Self, NotAGroupCommit> {
        if text == "adaptive" {
            return Ok(Self::Adaptive);
        }
        let ms = text.parse().map_err(|_| NotAGroupCommit(text.to_owned()))?;
        Ok(Self::Fixed(Duration::from_millis(ms)))
    }
}

impl fmt::Display for GroupCommit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Adaptive => f.write_str("adaptive"),
            Self::Fixed(interval) => write!(f, "{}", interval.as_millis()),
        }
    }
}

/// A text that does not say when to commit.
///
/// ```
/// use leap_store::GroupCommit;
///
/// let refused = "soon".parse::<GroupCommit>().unwrap_err();
/// assert_eq!(refused.to_string(), "`soon` is neither `adaptive` nor a number of milliseconds");
/// ```
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is neither `adaptive` nor a number of milliseconds")]
pub struct NotAGroupCommit(String);

/// How a store writes. `StoreOptions::default()` is right for production.
///
/// ```
/// use std::time::Duration;
/// use leap_store::{GroupCommit, StoreOptions};
/// let options = StoreOptions {
///     group_commit: GroupCommit::Fixed(Duration::from_millis(10)),
///     ..StoreOptions::default()
/// };
/// assert_eq!(options.latency, Duration::ZERO);
/// ```
#[derive(Debug, Clone)]
pub struct StoreOptions {
    /// When queued records are written.
    pub group_commit: GroupCommit,
    /// Added to every acknowledgement, to stand for a slower disk in measurements. Acknowledgements stay in order
    /// and several batches can be on their way, as with a real remote disk.
    pub latency: Duration,
    /// How many batches of one journal may be written but not yet acknowledged; at least 1.
    pub max_in_flight: usize,
    /// A local segment file that reaches this many bytes is followed by a new one.
    pub segment_bytes: u64,
    /// How long a failing request to an object store is retried before the journal gives up.
    pub retry_for: Duration,
    /// Settings of the object store by their `object_store` names, such as `aws_endpoint` or `azure_storage_use_emulator`.
    /// They win over the environment variables of the same (upper-case) names.
    pub object_settings: Vec<(String, String)>,
    /// Makes chosen operations fail, for tests.
    #[doc(hidden)]
    pub faults: Faults,
}

impl Default for StoreOptions {
    fn default() -> Self {
        Self {
            group_commit: GroupCommit::Adaptive,
            latency: Duration::ZERO,
            max_in_flight: 32,
            segment_bytes: 16 << 20,
            retry_for: Duration::from_secs(180),
            object_settings: Vec::new(),
            faults: Faults::default(),
        }
    }
}
