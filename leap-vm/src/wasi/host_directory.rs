//! A directory of the host that a guest may see: every access by a path below it.
//!
//! The kernel walks the paths with `openat2`, which refuses to leave the directory and to follow
//! any symbolic link: links are the guest's to resolve, in its own tree (see `resolve`). Whoever
//! swaps a directory for a link while we walk gains nothing.

use std::os::fd::OwnedFd;
use std::path::Path;

use rustix::fs::{
    AtFlags, Dir, FileType as HostType, Mode, OFlags, ResolveFlags, Stat, Timestamps,
};
use rustix::io;
use rustix::time::Timespec;

use super::abi::{Errno, FileType};

/// An open directory of the host.
#[derive(Debug)]
pub(crate) struct HostDirectory {
    root: OwnedFd,
}

/// What the host says of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct HostFile {
    pub(crate) file_type: FileType,
    pub(crate) len: u64,
    pub(crate) accessed_ns: u64,
    pub(crate) modified_ns: u64,
    pub(crate) changed_ns: u64,
}

impl HostDirectory {
    pub(crate) fn open(path: &Path) -> io::Result<Self> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let root = rustix::fs::open(path, flags, Mode::empty())?;
        Ok(Self { root })
    }

    pub(crate) fn stat(&self, path: &str) -> Result<HostFile, Errno> {
        let file = self.at(path, OFlags::PATH | OFlags::NOFOLLOW)?;
        Ok(HostFile::from(rustix::fs::fstat(&file)?))
    }

    /// The names in the directory at `path`, but `.` and `..`. Names that are no UTF-8 cannot be
    /// said in the guest's interface and are left out.
    pub(crate) fn list(&self, path: &str) -> Result<Vec<String>, Errno> {
        let directory = self.at(path, OFlags::RDONLY | OFlags::DIRECTORY)?;
        let mut names = Vec::new();
        for entry in Dir::read_from(&directory)? {
            match entry?.file_name().to_str() {
                Ok("." | "..") | Err(_) => {}
                Ok(name) => names.push(name.to_owned()),
            }
        }
        Ok(names)
    }

    pub(crate) fn read_link(&self, path: &str) -> Result<String, Errno> {
        let (directory, name) = self.parent(path)?;
        let target = rustix::fs::readlinkat(&directory, name, Vec::new())?;
        target.into_string().map_err(|_| Errno::Ilseq)
    }

    pub(crate) fn read_at(&self, path: &str, offset: u64, into: &mut [u8]) -> Result<usize, Errno> {
        let file = self.at(path, OFlags::RDONLY)?;
        // Through a buffer: `into` may be guest memory, which system calls must not write.
        let mut buffer = vec![0; into.len().min(BUFFER_BYTES)];
        let mut done = 0;
        while done < into.len() {
            let wanted = buffer.len().min(into.len() - done);
            match io::pread(
                &file,
                &mut buffer[..wanted],
                offset.saturating_add(done as u64),
            )? {
                0 => break,
                read => {
                    into[done..done + read].copy_from_slice(&buffer[..read]);
                    done += read;
                }
            }
        }
        Ok(done)
    }

    pub(crate) fn write_at(&self, path: &str, offset: u64, bytes: &[u8]) -> Result<(), Errno> {
        let file = self.at(path, OFlags::WRONLY)?;
        let mut done = 0;
        while done < bytes.len() {
            done += io::pwrite(&file, &bytes[done..], offset + done as u64)?;
        }
        Ok(())
    }

    pub(crate) fn set_len(&self, path: &str, len: u64) -> Result<(), Errno> {
        Ok(rustix::fs::ftruncate(self.at(path, OFlags::WRONLY)?, len)?)
    }

    pub(crate) fn set_times(
        &self,
        path: &str,
        accessed_ns: u64,
        modified_ns: u64,
    ) -> Result<(), Errno> {
        let (directory, name) = self.parent(path)?;
        let times = Timestamps {
            last_access: timespec(accessed_ns),
            last_modification: timespec(modified_ns),
        };
        let flags = AtFlags::SYMLINK_NOFOLLOW;
        Ok(rustix::fs::utimensat(directory, name, &times, flags)?)
    }

    pub(crate) fn create_file(&self, path: &str) -> Result<(), Errno> {
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL;
        let mode = Mode::from_raw_mode(0o666);
        rustix::fs::openat2(&self.root, path, flags | OFlags::CLOEXEC, mode, BENEATH)?;
        Ok(())
    }

    pub(crate) fn create_directory(&self, path: &str) -> Result<(), Errno> {
        let (directory, name) = self.parent(path)?;
        Ok(rustix::fs::mkdirat(
            directory,
            name,
            Mode::from_raw_mode(0o777),
        )?)
    }

    pub(crate) fn create_link(&self, path: &str, target: &str) -> Result<(), Errno> {
        let (directory, name) = self.parent(path)?;
        Ok(rustix::fs::symlinkat(target, directory, name)?)
    }

    pub(crate) fn remove(&self, path: &str, directory: bool) -> Result<(), Errno> {
        let (parent, name) = self.parent(path)?;
        let flags = match directory {
            true => AtFlags::REMOVEDIR,
            false => AtFlags::empty(),
        };
        Ok(rustix::fs::unlinkat(parent, name, flags)?)
    }

    pub(crate) fn rename(&self, from: &str, to: &str) -> Result<(), Errno> {
        let (from_directory, from) = self.parent(from)?;
        let (to_directory, to) = self.parent(to)?;
        Ok(rustix::fs::renameat(
            from_directory,
            from,
            to_directory,
            to,
        )?)
    }

    fn at(&self, path: &str, flags: OFlags) -> io::Result<OwnedFd> {
        let path = if path.is_empty() { "." } else { path };
        // Not to be kept waiting by a pipe that somebody left there.
        let waits = !flags.contains(OFlags::PATH);
        let flags = match waits {
            true => flags | OFlags::CLOEXEC | OFlags::NONBLOCK,
            false => flags | OFlags::CLOEXEC,
        };
        rustix::fs::openat2(&self.root, path, flags, Mode::empty(), BENEATH)
    }

    /// The directory that `path` lies in, and its name there.
    fn parent<'a>(&self, path: &'a str) -> io::Result<(OwnedFd, &'a str)> {
        let (parent, name) = path.rsplit_once('/').unwrap_or(("", path));
        let directory = self.at(parent, OFlags::PATH | OFlags::DIRECTORY)?;
        Ok((directory, name))
    }
}

/// Bytes that are read at once.
const BUFFER_BYTES: usize = 64 << 10;

const BENEATH: ResolveFlags = ResolveFlags::BENEATH.union(ResolveFlags::NO_SYMLINKS);

impl From<Stat> for HostFile {
    fn from(stat: Stat) -> Self {
        let file_type = match HostType::from_raw_mode(stat.st_mode) {
            HostType::Directory => FileType::Directory,
            HostType::RegularFile => FileType::RegularFile,
            HostType::Symlink => FileType::SymbolicLink,
            _ => FileType::Unknown,
        };
        Self {
            file_type,
            len: stat.st_size as u64,
            accessed_ns: nanoseconds(stat.st_atime, stat.st_atime_nsec),
            modified_ns: nanoseconds(stat.st_mtime, stat.st_mtime_nsec),
            changed_ns: nanoseconds(stat.st_ctime, stat.st_ctime_nsec),
        }
    }
}

/// Times before 1970 cannot be said in the guest's interface.
fn nanoseconds(seconds: i64, nanoseconds: u64) -> u64 {
    u64::try_from(seconds).map_or(0, |seconds| {
        seconds
            .saturating_mul(1_000_000_000)
            .saturating_add(nanoseconds)
    })
}

fn timespec(ns: u64) -> Timespec {
    Timespec {
        tv_sec: (ns / 1_000_000_000) as i64,
        tv_nsec: (ns % 1_000_000_000) as _,
    }
}
