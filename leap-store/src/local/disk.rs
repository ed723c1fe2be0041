//! File operations: each one asks the fault plan first and tells in its error what it did to which file.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

use bytes::Bytes;

use crate::StoreError;
use crate::faults::{Faults, Operation};

#[derive(Debug, Clone, Default)]
pub(crate) struct Disk {
    pub(crate) faults: Faults,
}

impl Disk {
    fn run<T>(
        &self,
        operation: Operation,
        path: &Path,
        work: impl FnOnce() -> io::Result<T>,
    ) -> Result<T, StoreError> {
        let done = self.faults.check(operation).and_then(|()| work());
        done.map_err(|source| StoreError::Io {
            operation: match operation {
                Operation::Create => "create",
                Operation::Write => "write",
                Operation::Sync => "sync",
                Operation::Rename => "rename",
                Operation::SyncDirectory => "sync directory",
                Operation::Delete => "delete",
                Operation::Lock => "lock",
                Operation::Read | Operation::Answer => "read",
            },
            path: path.to_owned(),
            source,
        })
    }

    /// Creates a file that must not exist yet.
    pub(crate) fn create_new(&self, path: &Path) -> Result<File, StoreError> {
        self.run(Operation::Create, path, || {
            File::options()
                .read(true)
                .write(true)
                .create_new(true)
                .open(path)
        })
    }

    /// Creates a file, or empties what a crash left of it.
    pub(crate) fn create(&self, path: &Path) -> Result<File, StoreError> {
        self.run(Operation::Create, path, || {
            File::options()
                .read(true)
                .write(true)
                .create(true)
                .truncate(true)
                .open(path)
        })
    }

    pub(crate) fn write_at(
        &self,
        file: &File,
        path: &Path,
        bytes: &[u8],
        offset: u64,
    ) -> Result<(), StoreError> {
        self.run(Operation::Write, path, || file.write_all_at(bytes, offset))
    }

    /// Makes the content durable, and what of the metadata is needed to read it.
    pub(crate) fn sync(&self, file: &File, path: &Path) -> Result<(), StoreError> {
        self.run(Operation::Sync, path, || Ok(rustix::fs::fdatasync(file)?))
    }

    /// Makes the names in a directory durable.
    pub(crate) fn sync_directory(&self, path: &Path) -> Result<(), StoreError> {
        self.run(Operation::SyncDirectory, path, || {
            File::open(path)?.sync_all()
        })
    }

    /// Writes a whole file so that after a crash it is there completely or not at all under its name.
    pub(crate) fn write_file(&self, path: &Path, content: &[u8]) -> Result<File, StoreError> {
        let temporary = PathBuf::from(format!("{}.tmp", path.display()));
        let file = self.create(&temporary)?;
        self.write_at(&file, &temporary, content, 0)?;
        self.sync(&file, &temporary)?;
        self.run(Operation::Rename, path, || fs::rename(&temporary, path))?;
        self.sync_directory(path.parent().expect("files lie in a directory"))?;
        Ok(file)
    }

    /// Creates a directory with its parents, durably.
    pub(crate) fn create_directory(&self, path: &Path) -> Result<(), StoreError> {
        if path.as_os_str().is_empty() || path.is_dir() {
            return Ok(());
        }
        let parent = path.parent().unwrap_or(Path::new(""));
        self.create_directory(parent)?;
        self.run(Operation::Create, path, || match fs::create_dir(path) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
            done => done,
        })?;
        let parent = if parent.as_os_str().is_empty() {
            Path::new(".")
        } else {
            parent
        };
        self.sync_directory(parent)
    }

    /// Waits until no other process or thread has the directory locked; dropping the file unlocks it.
    pub(crate) fn lock_directory(&self, path: &Path) -> Result<File, StoreError> {
        self.run(Operation::Lock, path, || {
            let directory = File::open(path)?;
            rustix::fs::flock(&directory, rustix::fs::FlockOperation::LockExclusive)?;
            Ok(directory)
        })
    }

    pub(crate) fn read(&self, path: &Path) -> Result<Bytes, StoreError> {
        self.run(Operation::Read, path, || fs::read(path))
            .map(Bytes::from)
    }

    /// The file names in a directory.
    pub(crate) fn list(&self, path: &Path) -> Result<Vec<String>, StoreError> {
        self.run(Operation::Read, path, || {
            let names = fs::read_dir(path)?.map(|entry| Ok(entry?.file_name()));
            let names = names.collect::<io::Result<Vec<_>>>()?;
            Ok(names
                .into_iter()
                .filter_map(|name| name.into_string().ok())
                .collect())
        })
    }

    /// How many files are in a directory, and their bytes.
    pub(crate) fn usage(&self, path: &Path) -> Result<(u64, u64), StoreError> {
        self.run(Operation::Read, path, || {
            let sizes = fs::read_dir(path)?.map(|entry| Ok(entry?.metadata()?.len()));
            let sizes = sizes.collect::<io::Result<Vec<u64>>>()?;
            Ok((sizes.len() as u64, sizes.iter().sum()))
        })
    }

    /// Deletes a file; that it is gone already is fine.
    pub(crate) fn delete(&self, path: &Path) -> Result<(), StoreError> {
        self.run(Operation::Delete, path, || match fs::remove_file(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            done => done,
        })
    }

    pub(crate) fn exists(&self, path: &Path) -> Result<bool, StoreError> {
        self.run(Operation::Read, path, || path.try_exists())
    }
}

/// Whether the error says that a file is not there.
pub(crate) fn is_missing(error: &StoreError) -> bool {
    matches!(error, StoreError::Io { source, .. } if source.kind() == io::ErrorKind::NotFound)
}

/// A journal's directory.
#[derive(Debug, Clone)]
pub(crate) struct Folder {
    pub(crate) disk: Disk,
    pub(crate) path: PathBuf,
}

impl Folder {
    pub(crate) fn segment(&self, sequence: u64, incarnation: u64) -> PathBuf {
        self.path
            .join(format!("{sequence:016x}-{incarnation:016x}.segment"))
    }

    pub(crate) fn image(&self, incarnation: u64, number: u64) -> PathBuf {
        self.path
            .join(format!("{incarnation:016x}-{number:016x}.checkpoint"))
    }

    pub(crate) fn identity(&self) -> PathBuf {
        self.path.join("identity")
    }

    pub(crate) fn claim(&self, incarnation: u64) -> PathBuf {
        self.path.join(format!("{incarnation:016x}.claim"))
    }
}

/// What a file name in a journal's directory says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Name {
    Claim {
        incarnation: u64,
    },
    Segment {
        sequence: u64,
        incarnation: u64,
    },
    Image {
        incarnation: u64,
        number: u64,
    },
    /// Being written by this incarnation, or left by its crash.
    Temporary {
        incarnation: u64,
    },
}

impl Name {
    /// `None` for files that are not ours.
    pub(crate) fn parse(name: &str) -> Option<Self> {
        let (stem, extension) = name.rsplit_once('.')?;
        let number = |digits: &str| {
            (digits.len() == 16)
                .then(|| u64::from_str_radix(digits, 16).ok())
                .flatten()
        };
        let pair = || {
            let (left, right) = stem.split_once('-')?;
            Some((number(left)?, number(right)?))
        };
        match extension {
            "claim" => number(stem).map(|incarnation| Self::Claim { incarnation }),
            "segment" => pair().map(|(sequence, incarnation)| Self::Segment {
                sequence,
                incarnation,
            }),
            "checkpoint" => pair().map(|(incarnation, number)| Self::Image {
                incarnation,
                number,
            }),
            "tmp" => Self::parse(stem).map(|name| Self::Temporary {
                incarnation: name.incarnation(),
            }),
            _ => None,
        }
    }

    /// Who wrote the file.
    pub(crate) fn incarnation(self) -> u64 {
        match self {
            Self::Claim { incarnation }
            | Self::Segment { incarnation, .. }
            | Self::Image { incarnation, .. }
            | Self::Temporary { incarnation } => incarnation,
        }
    }
}
