//! Registers and the directory lock: what is kept apart by `flock`.
//!
//! The kernel releases an `flock` when its holder ends, however it ends.

use std::fs::File;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use rustix::fs::{FlockOperation, flock};

use super::disk::{Disk, is_missing};
use crate::format::register;
use crate::{RegisterError, StoreError};

/// A register in a file.
#[derive(Debug, Clone)]
pub(crate) struct LocalRegister {
    disk: Disk,
    path: PathBuf,
    lock: PathBuf,
}

impl LocalRegister {
    /// `path` lacks its extension.
    pub(super) fn new(disk: Disk, path: &Path) -> Self {
        let with = |extension| PathBuf::from(format!("{}.{extension}", path.display()));
        Self {
            disk,
            lock: with("lock"),
            path: with("register"),
        }
    }

    /// The stamp and the value. Needs no lock: a register is replaced as a whole.
    pub(crate) fn read(&self) -> Result<Option<(u64, Bytes)>, StoreError> {
        match self.disk.read(&self.path) {
            Err(error) if is_missing(&error) => Ok(None),
            Err(error) => Err(error),
            Ok(bytes) => register::decode(&bytes)
                .map(Some)
                .map_err(|error| error.of(self.path.display().to_string())),
        }
    }

    /// Swaps when the stamp is `expected`, and tells the new stamp.
    pub(crate) fn compare_and_swap(
        &self,
        expected: Option<u64>,
        value: &[u8],
    ) -> Result<u64, RegisterError> {
        let folder = self.path.parent().expect("registers lie in a directory");
        self.disk.create_directory(folder)?;
        let _lock = lock(&self.lock, FlockOperation::LockExclusive)?;
        let current = self.read()?.map(|(stamp, _)| stamp);
        if current != expected {
            return Err(RegisterError::Conflict);
        }
        let stamp = current.unwrap_or(0) + 1;
        self.disk
            .write_file(&self.path, &register::encode(stamp, value))?;
        Ok(stamp)
    }
}

fn lock(path: &Path, operation: FlockOperation) -> Result<File, StoreError> {
    let refused = |source| StoreError::Io {
        operation: "lock",
        path: path.to_owned(),
        source,
    };
    let options = File::options()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .open(path);
    let file = options.map_err(refused)?;
    flock(&file, operation).map_err(|error| refused(error.into()))?;
    Ok(file)
}

/// Keeps other nodes out of a data directory until it is dropped or the process ends.
///
/// It is apart from claims: the child processes of one node may work in the node's directory under their own names.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use leap_store::{Store, StoreOptions};
///
/// # let directory = tempfile::tempdir()?;
/// # let directory = directory.path().to_str().unwrap();
/// let store = Store::open(directory, StoreOptions::default()).await?;
/// let lock = store.lock_directory().await?;
/// assert!(store.lock_directory().await.is_err(), "for other nodes too");
/// drop(lock);
/// store.lock_directory().await?;
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
#[must_use = "the directory is free again once this is dropped"]
pub struct DirectoryLock {
    _file: Option<File>,
}

impl DirectoryLock {
    /// The lock of a store that many nodes may share.
    pub(crate) fn shared() -> Self {
        Self { _file: None }
    }

    pub(super) fn take(disk: &Disk, directory: &Path) -> Result<Self, StoreError> {
        let path = directory.join("lock");
        match lock(&path, FlockOperation::NonBlockingLockExclusive) {
            Ok(file) => {
                let pid = format!("{:<10}\n", std::process::id());
                disk.write_at(&file, &path, pid.as_bytes(), 0)?;
                Ok(Self { _file: Some(file) })
            }
            Err(StoreError::Io { source, .. })
                if source.kind() == std::io::ErrorKind::WouldBlock =>
            {
                let holder = std::fs::read_to_string(&path).unwrap_or_default();
                Err(StoreError::DirectoryLocked {
                    directory: directory.to_owned(),
                    pid: holder.trim().parse().ok(),
                })
            }
            Err(error) => Err(error),
        }
    }
}
