//! What can go wrong, in the caller's terms.

use std::path::PathBuf;
use std::sync::Arc;

/// Opening, claiming, reading or locking failed. Nothing was acknowledged.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use leap_store::{Store, StoreError, StoreOptions};
///
/// let refused = Store::open("ftp://somewhere", StoreOptions::default()).await.err();
/// assert!(matches!(refused, Some(StoreError::Location { .. })));
/// # Ok(())
/// # }
/// ```
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// The location is neither a directory nor a URL this crate knows.
    #[error("{location:?} is no store location: {reason}")]
    Location {
        /// What was given.
        location: String,
        /// Why it was refused.
        reason: String,
    },
    /// The file system refused an operation.
    #[error("cannot {operation} {}: {source}", path.display())]
    Io {
        /// The operation, as a verb.
        operation: &'static str,
        /// The file or directory.
        path: PathBuf,
        /// The operating system's reason.
        source: std::io::Error,
    },
    /// The object store refused an operation, retries included.
    #[error("cannot {operation} object {key}: {source}")]
    Object {
        /// The operation, as a verb.
        operation: &'static str,
        /// The object's key, or a prefix for listings.
        key: String,
        /// The object store's reason.
        source: object_store::Error,
    },
    /// Something durable was written by a newer version of this program.
    #[error(
        "{what} has format {found}, this program reads up to format {supported}: use a newer program"
    )]
    NewerFormat {
        /// The file or object.
        what: String,
        /// Its format number.
        found: u32,
        /// The newest format number understood here.
        supported: u32,
    },
    /// Something that was durable is missing or damaged. It is never skipped silently.
    #[error("{what} is damaged at byte {offset}: {reason}")]
    Corrupt {
        /// The file or object.
        what: String,
        /// Where the damage was noticed.
        offset: u64,
        /// What was expected.
        reason: String,
    },
    /// A newer incarnation claimed the name while this claim was under way.
    #[error("incarnation {incarnation} of {name:?} was shut out by incarnation {by}")]
    Fenced {
        /// The claimed name.
        name: String,
        /// The incarnation that lost.
        incarnation: u64,
        /// The incarnation that won.
        by: u64,
    },
    /// Another node works on this directory.
    #[error("{} is in use by {}", directory.display(), Holder(*pid))]
    DirectoryLocked {
        /// The locked directory.
        directory: PathBuf,
        /// The holder's process id, where it could be read.
        pid: Option<u32>,
    },
    /// The name is too long to be a file name once encoded.
    #[error("name {name:?} takes {bytes} bytes encoded, the limit is {limit}")]
    NameTooLong {
        /// The name.
        name: String,
        /// Its encoded length in bytes.
        bytes: usize,
        /// The limit in bytes.
        limit: usize,
    },
}

struct Holder(Option<u32>);

impl std::fmt::Display for Holder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.0 {
            Some(pid) => write!(f, "process {pid}"),
            None => write!(f, "another process"),
        }
    }
}

impl StoreError {
    /// Whether the error says that a newer incarnation took over.
    ///
    /// ```
    /// use leap_store::StoreError;
    ///
    /// let lost = StoreError::Fenced { name: "hotel".into(), incarnation: 1, by: 2 };
    /// assert!(lost.is_fenced(), "somebody else goes on: do not try again");
    /// ```
    pub fn is_fenced(&self) -> bool {
        matches!(self, Self::Fenced { .. })
    }
}

/// Why a journal does not acknowledge. Cheap to clone: every waiting append gets one.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let store = leap_store::Store::open("memory:", leap_store::StoreOptions::default()).await?;
/// use leap_store::JournalError;
///
/// let old = store.claim("hotel").await?.journal;
/// let _new = store.claim("hotel").await?.journal;
/// match old.append(1, "room 7 is taken".into()).await {
///     Err(JournalError::Fenced { by }) => assert_eq!(by, 2),
///     other => panic!("{other:?}"),
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum JournalError {
    /// A write or sync failed. What was not acknowledged before is unknown until the next claim.
    #[error("the journal stopped after a failed write: {reason}")]
    Poisoned {
        /// The failure, as told by the storage.
        reason: Arc<str>,
    },
    /// A newer incarnation claimed the name. This one can do no harm, only fail.
    #[error("the journal was shut out by incarnation {by}")]
    Fenced {
        /// The newest incarnation known.
        by: u64,
    },
    /// [`Journal::close`](crate::Journal::close) was called before.
    #[error("the journal is closed")]
    Closed,
    /// The payload is over the limit; nothing was queued and the journal stays open.
    #[error("a payload of {bytes} bytes is over the limit of {limit} bytes")]
    TooLarge {
        /// The payload's length in bytes.
        bytes: usize,
        /// The limit in bytes.
        limit: usize,
    },
    /// The version asked for lies below everything that pruning has kept.
    #[error("version {version} was pruned: the oldest kept checkpoint is {oldest}")]
    Pruned {
        /// The version asked for.
        version: u64,
        /// The oldest version that can be read.
        oldest: u64,
    },
    /// Reading back failed. The journal stays open.
    #[error(transparent)]
    Store(Arc<StoreError>),
}

impl From<StoreError> for JournalError {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Fenced { by, .. } => Self::Fenced { by },
            error => Self::Store(Arc::new(error)),
        }
    }
}

/// Why a compare-and-swap did not happen.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let store = leap_store::Store::open("memory:", leap_store::StoreOptions::default()).await?;
/// use leap_store::RegisterError;
///
/// let leader = store.register("leader")?;
/// leader.compare_and_swap(None, "node 1".into()).await?;
/// match leader.compare_and_swap(None, "node 2".into()).await {
///     Ok(_tag) => println!("it leads"),
///     Err(RegisterError::Conflict) => println!("somebody was faster"),
///     Err(error) => println!("read it again, to see whether: {error}"),
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RegisterError {
    /// The register does not hold what was expected. Read it again.
    #[error("the register changed since it was read")]
    Conflict,
    /// The storage failed; whether the value was swapped is unknown. Read it again.
    #[error(transparent)]
    Store(#[from] StoreError),
}
