//! The functions on paths: `path_*`.

use super::Wasi;
use super::abi::{Errno, FileType, SYMLINK_FOLLOW, fd_flags, open_flags, rights};
use super::descriptors::{known_flags, write_status};
use super::guest::Guest;
use super::resolve::{Place, resolve};
use super::state::{Descriptor, Target};
use super::tree::NodeId;

/// Address and length of a path.
type Text = (u32, u32);

/// The arguments of `path_open`.
pub(super) struct Open {
    directory: u32,
    follow: bool,
    path: Text,
    flags: u16,
    rights: u64,
    inheriting: u64,
    fd_flags: u32,
    fd_at: u32,
}

impl Open {
    pub(super) fn from_arguments(arguments: &[u64]) -> Self {
        let short = |index: usize| arguments[index] as u32;
        Self {
            directory: short(0),
            follow: short(1) & SYMLINK_FOLLOW != 0,
            path: (short(2), short(3)),
            flags: short(4) as u16,
            rights: arguments[5],
            inheriting: arguments[6],
            fd_flags: short(7),
            fd_at: short(8),
        }
    }

    fn has(&self, flag: u16) -> bool {
        self.flags & flag != 0
    }
}

impl Wasi {
    /// Where the path leads from an open directory that must have `right`.
    fn place(
        &mut self,
        guest: &Guest<'_>,
        fd: u32,
        right: u64,
        (at, len): Text,
        follow: bool,
    ) -> Result<Place, Errno> {
        let base = self.directory(fd, right)?;
        let path = guest.string(at, len)?;
        resolve(&mut self.files, base, path, follow)
    }

    pub(super) fn path_open(&mut self, guest: &mut Guest<'_>, open: &Open) -> Result<(), Errno> {
        guest.slice(open.fd_at, 4)?;
        let inherited = self.descriptor(open.directory, 0)?.inheriting;
        let exclusive = open.has(open_flags::CREATE) && open.has(open_flags::EXCLUSIVE);
        let follow = open.follow && !exclusive;
        let place = self.place(guest, open.directory, rights::PATH_OPEN, open.path, follow)?;
        let wanted = open.rights & (rights::FD_READ | rights::FD_WRITE);
        if wanted & !inherited != 0 {
            return Err(Errno::Notcapable);
        }
        let flags = known_flags(open.fd_flags)?;
        let node = match place.node {
            Some(_) if exclusive => return Err(Errno::Exist),
            Some(node) => self.check_opened(open, node)?,
            None if open.has(open_flags::CREATE) => self.create(open, &place)?,
            None => return Err(Errno::Noent),
        };
        let is_directory = self.files.file_type(node) == FileType::Directory;
        let (target, possible) = match is_directory {
            true => {
                let target = Target::Directory {
                    node,
                    mount: None,
                    listing: Vec::new(),
                };
                (target, rights::DIRECTORY)
            }
            false => (Target::File { node, offset: 0 }, rights::FILE),
        };
        let descriptor = Descriptor {
            target,
            rights: open.rights & inherited & possible,
            inheriting: open.inheriting & inherited,
            flags,
        };
        let fd = self.add_descriptor(descriptor)?;
        guest.write_u32(open.fd_at, fd)
    }

    /// Something that was found: whether it may be opened so. Truncates it if asked to.
    fn check_opened(&mut self, open: &Open, node: NodeId) -> Result<NodeId, Errno> {
        match self.files.file_type(node) {
            FileType::Directory if open.has(open_flags::TRUNCATE) => return Err(Errno::Isdir),
            FileType::Directory if open.has(open_flags::CREATE) => return Err(Errno::Isdir),
            FileType::Directory => return Ok(node),
            _ if open.has(open_flags::DIRECTORY) => return Err(Errno::Notdir),
            FileType::SymbolicLink => return Err(Errno::Loop),
            _ => {}
        }
        if open.has(open_flags::TRUNCATE) {
            self.directory(open.directory, rights::PATH_FILESTAT_SET_SIZE)?;
            self.files.set_len(node, 0, self.realtime_ns())?;
        }
        // Files of the host that cannot be read are refused now, not at the first read.
        self.files.status(node)?;
        Ok(node)
    }

    fn create(&mut self, open: &Open, place: &Place) -> Result<NodeId, Errno> {
        self.directory(open.directory, rights::PATH_CREATE_FILE)?;
        if open.has(open_flags::DIRECTORY) {
            return Err(Errno::Inval);
        }
        if place.slash {
            return Err(Errno::Isdir);
        }
        // Whoever creates a file must have had in mind to use it.
        known_flags(open.fd_flags & u32::from(fd_flags::ALL))?;
        let now_ns = self.realtime_ns();
        self.files.create_file(place.directory, &place.name, now_ns)
    }

    pub(super) fn path_create_directory(
        &mut self,
        guest: &Guest<'_>,
        fd: u32,
        path: Text,
    ) -> Result<(), Errno> {
        let place = self.place(guest, fd, rights::PATH_CREATE_DIRECTORY, path, false)?;
        let now_ns = self.realtime_ns();
        self.files
            .create_directory(place.directory, place.vacant()?, now_ns)
            .map(|_| ())
    }

    pub(super) fn path_filestat_get(
        &mut self,
        guest: &mut Guest<'_>,
        fd: u32,
        flags: u32,
        path: Text,
        at: u32,
    ) -> Result<(), Errno> {
        let follow = flags & SYMLINK_FOLLOW != 0;
        let place = self.place(guest, fd, rights::PATH_FILESTAT_GET, path, follow)?;
        let node = place.found()?;
        write_status(guest, at, node.number(), &self.files.status(node)?)
    }

    pub(super) fn path_filestat_set_times(
        &mut self,
        guest: &Guest<'_>,
        fd: u32,
        flags: u32,
        path: Text,
        (accessed_ns, modified_ns, which): (u64, u64, u32),
    ) -> Result<(), Errno> {
        let follow = flags & SYMLINK_FOLLOW != 0;
        let place = self.place(guest, fd, rights::PATH_FILESTAT_SET_TIMES, path, follow)?;
        self.set_node_times(place.found()?, accessed_ns, modified_ns, which)
    }

    pub(super) fn path_link(
        &mut self,
        guest: &Guest<'_>,
        (fd, flags, at, len): (u32, u32, u32, u32),
        (to_fd, to_at, to_len): (u32, u32, u32),
    ) -> Result<(), Errno> {
        if flags & SYMLINK_FOLLOW != 0 {
            return Err(Errno::Inval);
        }
        let from = self.place(guest, fd, rights::PATH_LINK_SOURCE, (at, len), false)?;
        let node = from.found()?;
        let to = self.place(
            guest,
            to_fd,
            rights::PATH_LINK_TARGET,
            (to_at, to_len),
            false,
        )?;
        let name = to.vacant()?;
        if self.files.file_type(node) == FileType::Directory {
            return Err(Errno::Perm);
        }
        if to.slash {
            return Err(Errno::Noent);
        }
        let now_ns = self.realtime_ns();
        self.files.add_name(node, to.directory, name, now_ns)
    }

    pub(super) fn path_readlink(
        &mut self,
        guest: &mut Guest<'_>,
        fd: u32,
        path: Text,
        (at, len): (u32, u32),
        used_at: u32,
    ) -> Result<(), Errno> {
        let place = self.place(guest, fd, rights::PATH_READLINK, path, false)?;
        let target = self.files.target(place.found()?)?;
        let used = target.len().min(len as usize);
        guest.write(at, &target.as_bytes()[..used])?;
        guest.write_u32(used_at, used as u32)
    }

    pub(super) fn path_remove_directory(
        &mut self,
        guest: &Guest<'_>,
        fd: u32,
        path: Text,
    ) -> Result<(), Errno> {
        let place = self.place(guest, fd, rights::PATH_REMOVE_DIRECTORY, path, false)?;
        if self.files.file_type(place.found()?) != FileType::Directory {
            return Err(Errno::Notdir);
        }
        let now_ns = self.realtime_ns();
        self.files.remove(place.directory, place.named()?, now_ns)
    }

    pub(super) fn path_unlink_file(
        &mut self,
        guest: &Guest<'_>,
        fd: u32,
        path: Text,
    ) -> Result<(), Errno> {
        let place = self.place(guest, fd, rights::PATH_UNLINK_FILE, path, false)?;
        if self.files.file_type(place.found()?) == FileType::Directory {
            return Err(Errno::Isdir);
        }
        let now_ns = self.realtime_ns();
        self.files.remove(place.directory, place.named()?, now_ns)
    }

    pub(super) fn path_rename(
        &mut self,
        guest: &Guest<'_>,
        (fd, at, len): (u32, u32, u32),
        (to_fd, to_at, to_len): (u32, u32, u32),
    ) -> Result<(), Errno> {
        let from = self.place(guest, fd, rights::PATH_RENAME_SOURCE, (at, len), false)?;
        let node = from.found()?;
        let to = self.place(
            guest,
            to_fd,
            rights::PATH_RENAME_TARGET,
            (to_at, to_len),
            false,
        )?;
        if to.slash && self.files.file_type(node) != FileType::Directory {
            return Err(Errno::Notdir);
        }
        let now_ns = self.realtime_ns();
        let (from, to) = ((from.directory, from.named()?), (to.directory, to.named()?));
        self.files.rename(from, to, now_ns)
    }

    pub(super) fn path_symlink(
        &mut self,
        guest: &Guest<'_>,
        (at, len): Text,
        (fd, new_at, new_len): (u32, u32, u32),
    ) -> Result<(), Errno> {
        let target = guest.string(at, len)?;
        let place = self.place(guest, fd, rights::PATH_SYMLINK, (new_at, new_len), false)?;
        match target {
            "" => return Err(Errno::Noent),
            // It could never be followed, but on the host it would lead out of the directory.
            absolute if absolute.starts_with('/') => return Err(Errno::Perm),
            _ => {}
        }
        let name = place.vacant()?;
        if place.slash {
            return Err(Errno::Noent);
        }
        let now_ns = self.realtime_ns();
        self.files
            .create_link(place.directory, name, target, now_ns)
            .map(|_| ())
    }
}
