//! The functions on open files and streams: `fd_*`.

use super::abi::{Errno, FileType, fd_flags, rights, set_times, size};
use super::files::FileStatus;
use super::guest::Guest;
use super::outside::Stream;
use super::state::{Descriptor, Entry, Target};
use super::tree::{NodeId, Times};
use super::{Stop, Wasi};

/// Descriptors of one process.
const DESCRIPTORS_AT_MOST: usize = 65_536;

/// Bytes that one write hands on to a stream.
const STREAM_WRITE_AT_MOST: usize = 1 << 20;

/// `count` vectors at an address: how the interface passes buffers.
pub(super) type Vectors = (u32, u32);

impl Wasi {
    /// The descriptor, which must have `right` (0: none in particular).
    pub(super) fn descriptor(&self, fd: u32, right: u64) -> Result<&Descriptor, Errno> {
        let descriptor = self.state.descriptors.get(&fd).ok_or(Errno::Badf)?;
        match descriptor.rights & right == right {
            true => Ok(descriptor),
            false => Err(Errno::Notcapable),
        }
    }

    fn descriptor_mut(&mut self, fd: u32) -> Result<&mut Descriptor, Errno> {
        self.state.descriptors.get_mut(&fd).ok_or(Errno::Badf)
    }

    /// The node of an open directory that must have `right`.
    pub(super) fn directory(&self, fd: u32, right: u64) -> Result<NodeId, Errno> {
        match &self.descriptor(fd, 0)?.target {
            Target::Directory { node, .. } => {
                self.descriptor(fd, right)?;
                Ok(*node)
            }
            _ => Err(Errno::Notdir),
        }
    }

    /// The node of an open file that must have `right`, and the offset.
    fn file(&self, fd: u32, right: u64) -> Result<(NodeId, u64), Errno> {
        match &self.descriptor(fd, right)?.target {
            Target::File { node, offset } => Ok((*node, *offset)),
            Target::Directory { .. } => Err(Errno::Isdir),
            Target::Input { .. } | Target::Output { .. } => Err(Errno::Spipe),
        }
    }

    fn set_offset(&mut self, fd: u32, to: u64) {
        if let Ok(Descriptor {
            target: Target::File { offset, .. },
            ..
        }) = self.descriptor_mut(fd)
        {
            *offset = to;
        }
    }

    /// Gives `descriptor` the lowest number that is free.
    pub(super) fn add_descriptor(&mut self, descriptor: Descriptor) -> Result<u32, Errno> {
        if self.state.descriptors.len() >= DESCRIPTORS_AT_MOST {
            return Err(Errno::Mfile);
        }
        let free = (0..)
            .zip(self.state.descriptors.keys())
            .find(|(number, taken)| number != *taken)
            .map_or(self.state.descriptors.len() as u32, |(number, _)| number);
        if let Some(node) = descriptor.node() {
            self.files.opened(node);
        }
        self.state.descriptors.insert(free, descriptor);
        Ok(free)
    }

    pub(super) fn fd_close(&mut self, fd: u32) -> Result<(), Errno> {
        let closed = self.state.descriptors.remove(&fd).ok_or(Errno::Badf)?;
        if let Some(node) = closed.node() {
            self.files.closed(node);
        }
        Ok(())
    }

    pub(super) fn fd_renumber(&mut self, from: u32, to: u32) -> Result<(), Errno> {
        self.descriptor(from, 0)?;
        self.descriptor(to, 0)?;
        if from == to {
            return Ok(());
        }
        self.fd_close(to)?;
        let moved = self
            .state
            .descriptors
            .remove(&from)
            .expect("it was just there");
        self.state.descriptors.insert(to, moved);
        Ok(())
    }

    pub(super) fn fd_advise(&self, fd: u32, advice: u32) -> Result<(), Errno> {
        self.file(fd, rights::FD_ADVISE)?;
        match advice {
            0..=5 => Ok(()),
            _ => Err(Errno::Inval),
        }
    }

    pub(super) fn fd_allocate(&mut self, fd: u32, offset: u64, len: u64) -> Result<(), Errno> {
        let (node, _) = self.file(fd, rights::FD_ALLOCATE)?;
        if len == 0 {
            return Err(Errno::Inval);
        }
        let end = offset.checked_add(len).ok_or(Errno::Fbig)?;
        if end <= self.files.status(node)?.len {
            return Ok(());
        }
        self.files.set_len(node, end, self.realtime_ns())
    }

    /// A file is part of the process, which is persisted as a whole: there is nothing to do.
    pub(super) fn fd_sync(&self, fd: u32, right: u64) -> Result<(), Errno> {
        self.descriptor(fd, right).map(|_| ())
    }

    pub(super) fn fd_fdstat_get(
        &self,
        guest: &mut Guest<'_>,
        fd: u32,
        at: u32,
    ) -> Result<(), Errno> {
        let descriptor = self.descriptor(fd, 0)?;
        let mut status = [0; 24];
        status[0] = descriptor.file_type() as u8;
        status[2..4].copy_from_slice(&descriptor.flags.to_le_bytes());
        status[8..16].copy_from_slice(&descriptor.rights.to_le_bytes());
        status[16..24].copy_from_slice(&descriptor.inheriting.to_le_bytes());
        guest.write(at, &status)
    }

    pub(super) fn fd_fdstat_set_flags(&mut self, fd: u32, flags: u32) -> Result<(), Errno> {
        self.descriptor(fd, rights::FD_FDSTAT_SET_FLAGS)?;
        let flags = known_flags(flags)?;
        self.descriptor_mut(fd)?.flags = flags;
        Ok(())
    }

    pub(super) fn fd_fdstat_set_rights(
        &mut self,
        fd: u32,
        rights: u64,
        inheriting: u64,
    ) -> Result<(), Errno> {
        let descriptor = self.descriptor_mut(fd)?;
        let more = (rights & !descriptor.rights) | (inheriting & !descriptor.inheriting);
        if more != 0 {
            return Err(Errno::Notcapable);
        }
        descriptor.rights = rights;
        descriptor.inheriting = inheriting;
        Ok(())
    }

    pub(super) fn fd_filestat_get(
        &self,
        guest: &mut Guest<'_>,
        fd: u32,
        at: u32,
    ) -> Result<(), Errno> {
        let descriptor = self.descriptor(fd, rights::FD_FILESTAT_GET)?;
        match descriptor.node() {
            Some(node) => write_status(guest, at, node.number(), &self.files.status(node)?),
            None => {
                let status = FileStatus {
                    file_type: descriptor.file_type(),
                    links: 1,
                    len: 0,
                    times: Times::default(),
                };
                write_status(guest, at, 0, &status)
            }
        }
    }

    pub(super) fn fd_filestat_set_size(&mut self, fd: u32, len: u64) -> Result<(), Errno> {
        let (node, _) = self.file(fd, rights::FD_FILESTAT_SET_SIZE)?;
        self.files.set_len(node, len, self.realtime_ns())
    }

    pub(super) fn fd_filestat_set_times(
        &mut self,
        fd: u32,
        accessed_ns: u64,
        modified_ns: u64,
        which: u32,
    ) -> Result<(), Errno> {
        let descriptor = self.descriptor(fd, rights::FD_FILESTAT_SET_TIMES)?;
        let node = descriptor.node().ok_or(Errno::Inval)?;
        self.set_node_times(node, accessed_ns, modified_ns, which)
    }

    pub(super) fn set_node_times(
        &mut self,
        node: NodeId,
        accessed_ns: u64,
        modified_ns: u64,
        which: u32,
    ) -> Result<(), Errno> {
        let now_ns = self.realtime_ns();
        let which = u16::try_from(which).map_err(|_| Errno::Inval)?;
        let chosen = |given: u16, now: u16, given_ns: u64, as_it_is: u64| match (
            which & given != 0,
            which & now != 0,
        ) {
            (true, true) => Err(Errno::Inval),
            (true, false) => Ok(given_ns),
            (false, true) => Ok(now_ns),
            (false, false) => Ok(as_it_is),
        };
        let times = self.files.status(node)?.times;
        let accessed_ns = chosen(
            set_times::ACCESSED,
            set_times::ACCESSED_NOW,
            accessed_ns,
            times.accessed_ns,
        )?;
        let modified_ns = chosen(
            set_times::MODIFIED,
            set_times::MODIFIED_NOW,
            modified_ns,
            times.modified_ns,
        )?;
        self.files.set_times(node, accessed_ns, modified_ns, now_ns)
    }

    pub(super) fn fd_prestat_get(
        &self,
        guest: &mut Guest<'_>,
        fd: u32,
        at: u32,
    ) -> Result<(), Errno> {
        let name = self.mount_name(fd)?;
        let len = name.len() as u32;
        // The only kind that there is, a directory, has the tag 0.
        guest.write_u32(at, 0)?;
        guest.write_u32(at.checked_add(4).ok_or(Errno::Fault)?, len)
    }

    pub(super) fn fd_prestat_dir_name(
        &self,
        guest: &mut Guest<'_>,
        fd: u32,
        at: u32,
        len: u32,
    ) -> Result<(), Errno> {
        let name = self.mount_name(fd)?;
        if name.len() > len as usize {
            return Err(Errno::Nametoolong);
        }
        guest.write(at, name.as_bytes())
    }

    fn mount_name(&self, fd: u32) -> Result<&str, Errno> {
        match &self.descriptor(fd, 0)?.target {
            Target::Directory {
                mount: Some(name), ..
            } => Ok(name),
            // By this error number a C library knows that it has seen them all.
            _ => Err(Errno::Badf),
        }
    }

    pub(super) fn fd_read(
        &mut self,
        guest: &mut Guest<'_>,
        fd: u32,
        (at, count): Vectors,
        read_at: u32,
    ) -> Result<(), Stop> {
        let vectors = guest.io_vectors(at, count)?;
        guest.slice(read_at, 4)?;
        let descriptor = self.descriptor(fd, rights::FD_READ)?;
        let read = match descriptor.target {
            Target::File { node, offset } => {
                let read = self.read_file(guest, node, offset, &vectors)?;
                self.set_offset(fd, offset + u64::from(read));
                read
            }
            Target::Input { .. } => {
                let nonblocking = descriptor.flags & fd_flags::NONBLOCK != 0;
                self.read_input(guest, &vectors, nonblocking)?
            }
            Target::Directory { .. } => return Err(Errno::Isdir.into()),
            Target::Output { .. } => return Err(Errno::Badf.into()),
        };
        Ok(guest.write_u32(read_at, read)?)
    }

    pub(super) fn fd_pread(
        &mut self,
        guest: &mut Guest<'_>,
        fd: u32,
        (at, count): Vectors,
        offset: u64,
        read_at: u32,
    ) -> Result<(), Errno> {
        let vectors = guest.io_vectors(at, count)?;
        guest.slice(read_at, 4)?;
        let (node, _) = self.file(fd, rights::FD_READ | rights::FD_SEEK)?;
        let read = self.read_file(guest, node, offset, &vectors)?;
        guest.write_u32(read_at, read)
    }

    fn read_file(
        &self,
        guest: &mut Guest<'_>,
        node: NodeId,
        offset: u64,
        vectors: &[(u32, u32)],
    ) -> Result<u32, Errno> {
        let mut all: u32 = 0;
        for &(at, len) in vectors {
            // No more than can be said in the result.
            let len = len.min(u32::MAX - all);
            let place = offset.checked_add(u64::from(all)).ok_or(Errno::Overflow)?;
            let read = self.files.read_at(node, place, guest.slice_mut(at, len)?)? as u32;
            all += read;
            if read < len {
                break;
            }
        }
        Ok(all)
    }

    fn read_input(
        &mut self,
        guest: &mut Guest<'_>,
        vectors: &[(u32, u32)],
        nonblocking: bool,
    ) -> Result<u32, Stop> {
        let wanted: u64 = vectors.iter().map(|&(_, len)| u64::from(len)).sum();
        if self.state.input.is_empty() && wanted > 0 {
            self.take_input(wanted.min(1 << 20) as usize);
        }
        if self.state.input.is_empty() && wanted > 0 && !self.state.input_ended {
            return Err(match nonblocking {
                true => Errno::Again.into(),
                false => Stop::Wait { until_ns: None },
            });
        }
        let mut all = 0;
        for &(at, len) in vectors {
            let part = self.state.input.len().min(len as usize);
            guest.write(at, &self.state.input[..part])?;
            self.state.input.drain(..part);
            all += part as u32;
        }
        Ok(all)
    }

    pub(super) fn fd_write(
        &mut self,
        guest: &mut Guest<'_>,
        fd: u32,
        (at, count): Vectors,
        written_at: u32,
    ) -> Result<(), Stop> {
        let vectors = guest.io_vectors(at, count)?;
        guest.slice(written_at, 4)?;
        let descriptor = self.descriptor(fd, rights::FD_WRITE)?;
        let written = match descriptor.target {
            Target::File { node, offset } => {
                let offset = match descriptor.flags & fd_flags::APPEND {
                    0 => offset,
                    _ => self.files.status(node)?.len,
                };
                let written = self.write_file(guest, node, offset, &vectors)?;
                self.set_offset(fd, offset + u64::from(written));
                written
            }
            Target::Output { stream, .. } => {
                let flags = descriptor.flags;
                match self.outside.sink.room_bytes(stream, &self.waker) {
                    0 if flags & fd_flags::NONBLOCK != 0 => return Err(Errno::Again.into()),
                    0 => return Err(Stop::Wait { until_ns: None }),
                    room => self.write_stream(guest, stream, &vectors, room)?,
                }
            }
            Target::Directory { .. } => return Err(Errno::Isdir.into()),
            Target::Input { .. } => return Err(Errno::Badf.into()),
        };
        Ok(guest.write_u32(written_at, written)?)
    }

    pub(super) fn fd_pwrite(
        &mut self,
        guest: &mut Guest<'_>,
        fd: u32,
        (at, count): Vectors,
        offset: u64,
        written_at: u32,
    ) -> Result<(), Errno> {
        let vectors = guest.io_vectors(at, count)?;
        guest.slice(written_at, 4)?;
        let (node, _) = self.file(fd, rights::FD_WRITE | rights::FD_SEEK)?;
        let written = self.write_file(guest, node, offset, &vectors)?;
        guest.write_u32(written_at, written)
    }

    fn write_file(
        &mut self,
        guest: &Guest<'_>,
        node: NodeId,
        offset: u64,
        vectors: &[(u32, u32)],
    ) -> Result<u32, Errno> {
        let now_ns = self.realtime_ns();
        let mut all: u32 = 0;
        for &(at, len) in vectors {
            let len = len.min(u32::MAX - all);
            let place = offset.checked_add(u64::from(all)).ok_or(Errno::Fbig)?;
            self.files
                .write_at(node, place, guest.slice(at, len)?, now_ns)?;
            all += len;
        }
        Ok(all)
    }

    fn write_stream(
        &mut self,
        guest: &Guest<'_>,
        stream: Stream,
        vectors: &[(u32, u32)],
        room: usize,
    ) -> Result<u32, Errno> {
        let mut bytes = Vec::new();
        for &(at, len) in vectors {
            let free = room.min(STREAM_WRITE_AT_MOST) - bytes.len();
            bytes.extend_from_slice(guest.slice(at, len.min(free as u32))?);
        }
        match self.outside.sink.write(stream, &bytes) {
            Ok(()) => Ok(bytes.len() as u32),
            Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Err(Errno::Pipe),
            Err(_) => Err(Errno::Io),
        }
    }

    pub(super) fn fd_seek(
        &mut self,
        guest: &mut Guest<'_>,
        fd: u32,
        by: i64,
        whence: u32,
        at: u32,
    ) -> Result<(), Errno> {
        // Asking for the place alone takes the lesser right.
        let right = match (by, whence) {
            (0, 1) => rights::FD_TELL,
            _ => rights::FD_SEEK,
        };
        let (node, offset) = match self.descriptor(fd, 0)?.target {
            Target::Directory { .. } => return Err(Errno::Badf),
            Target::Input { .. } | Target::Output { .. } => return Err(Errno::Spipe),
            Target::File { .. } => self.file(fd, right)?,
        };
        let from = match whence {
            0 => 0,
            1 => offset,
            2 => self.files.status(node)?.len,
            _ => return Err(Errno::Inval),
        };
        let to = from.checked_add_signed(by).ok_or(Errno::Inval)?;
        if i64::try_from(to).is_err() {
            return Err(Errno::Overflow);
        }
        guest.write_u64(at, to)?;
        self.set_offset(fd, to);
        Ok(())
    }

    pub(super) fn fd_tell(&self, guest: &mut Guest<'_>, fd: u32, at: u32) -> Result<(), Errno> {
        let (_, offset) = self.file(fd, rights::FD_TELL)?;
        guest.write_u64(at, offset)
    }

    pub(super) fn fd_readdir(
        &mut self,
        guest: &mut Guest<'_>,
        fd: u32,
        (at, len): (u32, u32),
        cookie: u64,
        used_at: u32,
    ) -> Result<(), Errno> {
        let node = self.directory(fd, rights::FD_READDIR)?;
        guest.slice(at, len)?;
        guest.slice(used_at, 4)?;
        let is_listed = matches!(
            &self.descriptor(fd, 0)?.target,
            Target::Directory { listing, .. } if !listing.is_empty()
        );
        if cookie == 0 || !is_listed {
            let fresh = self.entries(node)?;
            if let Target::Directory { listing, .. } = &mut self.descriptor_mut(fd)?.target {
                *listing = fresh;
            }
        }
        let Target::Directory { listing, .. } = &self.descriptor(fd, 0)?.target else {
            return Err(Errno::Notdir);
        };
        let mut bytes = Vec::new();
        for (index, entry) in (0..)
            .zip(listing)
            .skip(usize::try_from(cookie).unwrap_or(usize::MAX))
        {
            entry.encode(index, &mut bytes);
            if bytes.len() >= len as usize {
                break;
            }
        }
        // An entry that is cut off fills the buffer: so the guest knows that there are more.
        bytes.truncate(len as usize);
        guest.write(at, &bytes)?;
        guest.write_u32(used_at, bytes.len() as u32)
    }

    /// What `fd_readdir` tells of a directory.
    fn entries(&mut self, directory: NodeId) -> Result<Vec<Entry>, Errno> {
        let entry = |name: &str, node: NodeId, file_type: FileType| Entry {
            name: name.to_owned(),
            node: node.number(),
            file_type,
        };
        let list = self.files.list(directory)?;
        // What lies above is not the guest's to know.
        let mut entries = vec![
            entry(".", directory, FileType::Directory),
            entry("..", directory, FileType::Directory),
        ];
        for (name, node) in list {
            entries.push(entry(&name, node, self.files.file_type(node)));
        }
        Ok(entries)
    }
}

impl Entry {
    fn encode(&self, index: u64, bytes: &mut Vec<u8>) {
        let mut head = [0; size::DIRECTORY_ENTRY];
        head[0..8].copy_from_slice(&(index + 1).to_le_bytes());
        head[8..16].copy_from_slice(&self.node.to_le_bytes());
        head[16..20].copy_from_slice(&(self.name.len() as u32).to_le_bytes());
        head[20] = self.file_type as u8;
        bytes.extend_from_slice(&head);
        bytes.extend_from_slice(self.name.as_bytes());
    }
}

/// The flags, if there are such.
pub(super) fn known_flags(flags: u32) -> Result<u16, Errno> {
    u16::try_from(flags)
        .ok()
        .filter(|flags| flags & !fd_flags::ALL == 0)
        .ok_or(Errno::Inval)
}

pub(super) fn write_status(
    guest: &mut Guest<'_>,
    at: u32,
    node: u64,
    status: &FileStatus,
) -> Result<(), Errno> {
    let mut bytes = [0; 64];
    bytes[8..16].copy_from_slice(&node.to_le_bytes());
    bytes[16] = status.file_type as u8;
    bytes[24..32].copy_from_slice(&status.links.to_le_bytes());
    bytes[32..40].copy_from_slice(&status.len.to_le_bytes());
    bytes[40..48].copy_from_slice(&status.times.accessed_ns.to_le_bytes());
    bytes[48..56].copy_from_slice(&status.times.modified_ns.to_le_bytes());
    bytes[56..64].copy_from_slice(&status.times.changed_ns.to_le_bytes());
    guest.write(at, &bytes)
}
