//! A place that keeps journals and registers.

use tokio::runtime::Handle;

use crate::journal::Medium;
use crate::local::Local;
use crate::object::Objects;
use crate::register::Kind;
use crate::{DirectoryLock, Journal, Location, Recovered, Register, StoreError, StoreOptions};

/// A place that keeps journals and registers by name. Clones are the same place.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use leap_store::{Store, StoreOptions};
///
/// let store = Store::open("memory:", StoreOptions::default()).await?; // or a directory, or s3://…
/// let hotel = store.claim("hotel").await?;
/// hotel.journal.append(1, "room 7 is taken".into()).await?;
/// assert_eq!(store.claim("hotel").await?.recovered.version(), Some(1));
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Store {
    options: StoreOptions,
    place: Place,
}

#[derive(Clone)]
enum Place {
    Local(Local),
    Objects(Objects),
}

/// A name, claimed.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let store = leap_store::Store::open("memory:", leap_store::StoreOptions::default()).await?;
/// let first = store.claim("hotel").await?;
/// first.journal.append(1, "room 7 is taken".into()).await?;
/// let second = store.claim("hotel").await?; // shuts the first out
/// assert_eq!((first.incarnation, second.incarnation), (1, 2));
/// assert_eq!(second.recovered.records.len(), 1);
/// # Ok(())
/// # }
/// ```
pub struct Claim {
    /// The fencing token: one higher than that of the claim before.
    pub incarnation: u64,
    /// Where to write.
    pub journal: Journal,
    /// What was durable.
    pub recovered: Recovered,
}

/// What a journal takes in storage.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let store = leap_store::Store::open("memory:", leap_store::StoreOptions::default()).await?;
/// let journal = store.claim("hotel").await?.journal;
/// journal.append(1, vec![0; 1000].into()).await?;
/// let usage = store.usage("hotel").await?;
/// assert!(usage.files > 0 && usage.bytes >= 1000);
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Usage {
    /// Files or objects, checkpoints included.
    pub files: u64,
    /// Their bytes. Local segments are counted with the zeros written ahead.
    pub bytes: u64,
}

impl Store {
    /// Opens a store, see [`Location`] for how a location is written.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// use leap_store::{Store, StoreError, StoreOptions};
    ///
    /// Store::open("memory:", StoreOptions::default()).await?;
    /// let refused = Store::open("s3://", StoreOptions::default()).await.err();
    /// assert!(matches!(refused, Some(StoreError::Location { .. })), "the bucket is missing");
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`StoreError::Location`] when it is written otherwise or lacks settings, and whatever the medium refuses. An
    /// object store is asked nothing yet: that it cannot be reached or refuses us shows with the first claim.
    pub async fn open(location: &str, options: StoreOptions) -> Result<Self, StoreError> {
        Self::open_at(&location.parse()?, options).await
    }

    /// Opens a store. A directory that is missing is created; a bucket is not.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// use leap_store::{Location, Store, StoreOptions};
    ///
    /// # let folder = tempfile::tempdir()?;
    /// # let folder = folder.path().join("new");
    /// Store::open_at(&Location::Directory(folder.clone()), StoreOptions::default()).await?;
    /// assert!(folder.is_dir());
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// As [`Store::open`].
    pub async fn open_at(location: &Location, options: StoreOptions) -> Result<Self, StoreError> {
        let place = match location {
            Location::Directory(path) => Place::Local(Local::open(path.clone(), &options).await?),
            Location::Memory(name) => Place::Objects(Objects::memory(name, &options)),
            Location::Object(url) => Place::Objects(Objects::open(url, &options)?),
        };
        Ok(Self { options, place })
    }

    /// Claims `name` with the next incarnation, which shuts out every older one, and reads what is durable.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let store = leap_store::Store::open("memory:", leap_store::StoreOptions::default()).await?;
    /// let hotel = store.claim("hotel").await?;
    /// hotel.journal.append(1, "room 7 is taken".into()).await?;
    /// let successor = store.claim("hotel").await?;
    /// assert_eq!(successor.recovered.version(), Some(1));
    /// assert!(hotel.journal.append(2, "too late".into()).await.is_err());
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`StoreError::Fenced`] when another claim overtook this one, [`StoreError::Corrupt`] when something durable is
    /// damaged, and whatever the medium refuses. A failed claim may have shut out the older incarnation.
    pub async fn claim(&self, name: &str) -> Result<Claim, StoreError> {
        let (medium, recovered) = match &self.place {
            Place::Local(local) => {
                let (writer, recovered) = local.claim(name, &self.options).await?;
                (Medium::Local(writer), recovered)
            }
            Place::Objects(objects) => {
                let (writer, recovered) = objects.claim(name, &self.options).await?;
                (Medium::Object(writer), recovered)
            }
        };
        let journal = Journal::new(medium, Handle::current());
        Ok(Claim {
            incarnation: journal.incarnation(),
            journal,
            recovered,
        })
    }

    /// The register `name`. Registers and journals have separate names.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let store = leap_store::Store::open("memory:", leap_store::StoreOptions::default()).await?;
    /// let leader = store.register("leader")?;
    /// leader.compare_and_swap(None, "node 1".into()).await?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`StoreError::NameTooLong`].
    pub fn register(&self, name: &str) -> Result<Register, StoreError> {
        Ok(Register(match &self.place {
            Place::Local(local) => Kind::Local(local.register(name)?),
            Place::Objects(objects) => Kind::Object(objects.register(name)?),
        }))
    }

    /// The names that were ever claimed, in order.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let store = leap_store::Store::open("memory:", leap_store::StoreOptions::default()).await?;
    /// store.claim("hotel").await?;
    /// store.claim("flight").await?;
    /// assert_eq!(store.names().await?, ["flight", "hotel"]);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// Whatever the medium refuses.
    pub async fn names(&self) -> Result<Vec<String>, StoreError> {
        match &self.place {
            Place::Local(local) => local.names().await,
            Place::Objects(objects) => objects.names().await,
        }
    }

    /// What a claimed name takes in storage now.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let store = leap_store::Store::open("memory:", leap_store::StoreOptions::default()).await?;
    /// assert_eq!(store.usage("nobody").await?.files, 0);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`StoreError::NameTooLong`], and whatever the medium refuses.
    pub async fn usage(&self, name: &str) -> Result<Usage, StoreError> {
        let (files, bytes) = match &self.place {
            Place::Local(local) => local.usage(name).await?,
            Place::Objects(objects) => objects.usage(name).await?,
        };
        Ok(Usage { files, bytes })
    }

    /// Keeps other nodes out of this store's directory while the lock is held. Stores that several nodes may share
    /// (object stores, memory) are not locked and give a lock that keeps nobody out.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// use leap_store::{Store, StoreError, StoreOptions};
    ///
    /// # let directory = tempfile::tempdir()?;
    /// # let directory = directory.path().to_str().unwrap();
    /// let store = Store::open(directory, StoreOptions::default()).await?;
    /// let _lock = store.lock_directory().await?;
    /// let refused = store.lock_directory().await.err();
    /// assert!(matches!(refused, Some(StoreError::DirectoryLocked { .. })));
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`StoreError::DirectoryLocked`] names the process that holds the lock.
    pub async fn lock_directory(&self) -> Result<DirectoryLock, StoreError> {
        match &self.place {
            Place::Local(local) => local.lock().await,
            Place::Objects(_) => Ok(DirectoryLock::shared()),
        }
    }
}
