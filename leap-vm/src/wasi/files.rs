//! The tree of files with the host's directories open: how the process's calls look at it and
//! change it.
//!
//! Every change goes to one of two places: to the tree alone, or, in a direct mount, to the host
//! first and then to what the tree knows of it. A change that the host refuses is not made.

use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;

use super::abi::{Errno, FileType};
use super::contents::Contents;
use super::host_directory::HostDirectory;
use super::tree::{Bytes, Directory, HostPath, Kind, Mount, NODE_BYTES, NodeId, Times, Tree};

/// Bytes that are copied from a file of the host at once.
const PIECE_BYTES: usize = 1 << 20;

/// What the guest may know of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct FileStatus {
    pub(crate) file_type: FileType,
    pub(crate) links: u64,
    pub(crate) len: u64,
    pub(crate) times: Times,
}

/// The tree together with what is no state: the host's directories, open.
#[derive(Debug, Default)]
pub(crate) struct Files {
    tree: Tree,
    hosts: Vec<Option<HostDirectory>>,
    room: Room,
}

/// What the tree may take of the host's memory.
#[derive(Debug, Default)]
struct Room {
    limit_bytes: u64,
    /// No less than what it takes.
    taken_bytes: u64,
}

impl Room {
    /// Makes room for so many bytes more, or says that there is none.
    fn take(&mut self, more: u64, tree: &Tree) -> Result<(), Errno> {
        if self.taken_bytes.saturating_add(more) > self.limit_bytes {
            // Some of that may have gone since.
            self.taken_bytes = tree.taken_bytes();
        }
        let taken = self.taken_bytes.saturating_add(more);
        if taken > self.limit_bytes {
            return Err(Errno::Nospc);
        }
        self.taken_bytes = taken;
        Ok(())
    }
}

/// Mounts.
impl Files {
    /// Opens the host's directories that `tree` stands over.
    pub(crate) fn open(tree: Tree, limit_bytes: u64) -> Result<Self, (PathBuf, io::Error)> {
        let open = |mount: &Mount| match &mount.host {
            None => Ok(None),
            Some((path, _)) => HostDirectory::open(path)
                .map(Some)
                .map_err(|errno| (path.clone(), errno.into())),
        };
        let hosts = tree.mounts().iter().map(open).collect::<Result<_, _>>()?;
        let room = Room {
            limit_bytes,
            taken_bytes: tree.taken_bytes(),
        };
        Ok(Self { tree, hosts, room })
    }

    pub(crate) fn tree(&self) -> &Tree {
        &self.tree
    }
}

/// Looking.
impl Files {
    /// What `directory` has under `name`.
    pub(crate) fn lookup(
        &mut self,
        directory: NodeId,
        name: &str,
    ) -> Result<Option<NodeId>, Errno> {
        let held = self.tree.directory(directory)?;
        let known = held.entries.get(name).copied();
        let Some(host) = held.host.as_ref().map(|host| host.join(name)) else {
            return Ok(known.flatten());
        };
        match known {
            Some(entry) if !self.tree.is_direct(&host) => Ok(entry),
            Some(Some(node)) if self.host(&host)?.stat(&host.path).is_ok() => Ok(Some(node)),
            _ => self.discover(directory, name, host),
        }
    }

    /// The node for what the host has at `host`, now that somebody asks.
    fn discover(
        &mut self,
        directory: NodeId,
        name: &str,
        host: HostPath,
    ) -> Result<Option<NodeId>, Errno> {
        let found = match self.host(&host)?.stat(&host.path) {
            Ok(found) => found,
            Err(Errno::Noent) => {
                let former = self.tree.directory_mut(directory)?.entries.remove(name);
                former
                    .flatten()
                    .into_iter()
                    .for_each(|node| self.unlink(node));
                return Ok(None);
            }
            Err(errno) => return Err(errno),
        };
        let kind = match found.file_type {
            FileType::RegularFile => Kind::File(Bytes::Host(host)),
            FileType::Directory => Kind::Directory(Directory {
                host: Some(host),
                entries: BTreeMap::new(),
            }),
            FileType::SymbolicLink => Kind::Link(self.host(&host)?.read_link(&host.path)?),
            // Devices, pipes and sockets of the host are nothing for a guest.
            _ => return Ok(None),
        };
        let node = self.tree.add(kind, Times::of(&found));
        let entries = &mut self.tree.directory_mut(directory)?.entries;
        let former = entries.insert(name.to_owned(), Some(node));
        former
            .flatten()
            .into_iter()
            .for_each(|node| self.unlink(node));
        Ok(Some(node))
    }

    /// The names in `directory`, in order, with their nodes.
    pub(crate) fn list(&mut self, directory: NodeId) -> Result<Vec<(String, NodeId)>, Errno> {
        let held = self.tree.directory(directory)?;
        let mut names: Vec<String> = held.entries.keys().cloned().collect();
        if let Some(host) = &held.host {
            names.extend(self.host(host)?.list(&host.path)?);
        }
        names.sort_unstable();
        names.dedup();
        let mut list = Vec::with_capacity(names.len());
        for name in names {
            if let Some(node) = self.lookup(directory, &name)? {
                list.push((name, node));
            }
        }
        Ok(list)
    }

    pub(crate) fn file_type(&self, node: NodeId) -> FileType {
        self.tree.node(node).kind.file_type()
    }

    /// Where a symbolic link leads.
    pub(crate) fn target(&self, node: NodeId) -> Result<&str, Errno> {
        match &self.tree.node(node).kind {
            Kind::Link(target) => Ok(target),
            _ => Err(Errno::Inval),
        }
    }

    pub(crate) fn status(&self, id: NodeId) -> Result<FileStatus, Errno> {
        let node = self.tree.node(id);
        let mut status = FileStatus {
            file_type: node.kind.file_type(),
            links: node.links,
            len: 0,
            times: node.times,
        };
        match &node.kind {
            Kind::File(Bytes::Here(contents)) => status.len = contents.len(),
            Kind::File(Bytes::Host(host)) => {
                let found = self.host(host)?.stat(&host.path)?;
                status.len = found.len;
                if self.tree.is_direct(host) {
                    status.times = Times::of(&found);
                }
            }
            Kind::Directory(_) => {}
            Kind::Link(target) => status.len = target.len() as u64,
        }
        Ok(status)
    }

    pub(crate) fn read_at(
        &self,
        node: NodeId,
        offset: u64,
        into: &mut [u8],
    ) -> Result<usize, Errno> {
        match &self.tree.node(node).kind {
            Kind::File(Bytes::Here(contents)) => Ok(contents.read_at(offset, into)),
            Kind::File(Bytes::Host(host)) => self.host(host)?.read_at(&host.path, offset, into),
            Kind::Directory(_) => Err(Errno::Isdir),
            Kind::Link(_) => Err(Errno::Inval),
        }
    }

    fn host(&self, path: &HostPath) -> Result<&HostDirectory, Errno> {
        self.hosts[path.mount].as_ref().ok_or(Errno::Io)
    }
}

/// Changing. `now_ns` is the time that goes on the files that change.
impl Files {
    pub(crate) fn write_at(
        &mut self,
        id: NodeId,
        offset: u64,
        bytes: &[u8],
        now_ns: u64,
    ) -> Result<(), Errno> {
        if let Some(host) = self.written_file(id)? {
            return self.host(&host)?.write_at(&host.path, offset, bytes);
        }
        Contents::check_len(offset.saturating_add(bytes.len() as u64))?;
        let more = self.contents(id)?.bytes_to_take(offset, bytes.len());
        self.room.take(more, &self.tree)?;
        self.contents(id)?.write_at(offset, bytes)?;
        self.touch(id, now_ns);
        Ok(())
    }

    pub(crate) fn set_len(&mut self, id: NodeId, len: u64, now_ns: u64) -> Result<(), Errno> {
        if let Some(host) = self.written_file(id)? {
            return self.host(&host)?.set_len(&host.path, len);
        }
        Contents::check_len(len)?;
        if len == 0 {
            // Nothing of the host's file is needed.
            self.tree.node_mut(id).kind = Kind::File(Bytes::Here(Contents::default()));
        } else {
            let more = self.contents(id)?.places_to_take(len);
            self.room.take(more, &self.tree)?;
            self.contents(id)?.set_len(len)?;
        }
        self.touch(id, now_ns);
        Ok(())
    }

    pub(crate) fn set_times(
        &mut self,
        id: NodeId,
        accessed_ns: u64,
        modified_ns: u64,
        now_ns: u64,
    ) -> Result<(), Errno> {
        let host = match &self.tree.node(id).kind {
            Kind::File(Bytes::Host(host)) => Some(host),
            Kind::Directory(directory) => directory.host.as_ref(),
            _ => None,
        };
        if let Some(host) = host.filter(|host| self.tree.is_direct(host)) {
            self.host(host)?
                .set_times(&host.path, accessed_ns, modified_ns)?;
        }
        self.tree.node_mut(id).times = Times {
            accessed_ns,
            modified_ns,
            changed_ns: now_ns,
        };
        Ok(())
    }

    /// Makes an empty file. There must be nothing of that name.
    pub(crate) fn create_file(
        &mut self,
        directory: NodeId,
        name: &str,
        now_ns: u64,
    ) -> Result<NodeId, Errno> {
        self.take_node(name.len())?;
        let host = self.tree.written_through(directory, name)?;
        if let Some(host) = &host {
            self.host(host)?.create_file(&host.path)?;
        }
        let bytes = host.map_or_else(|| Bytes::Here(Contents::default()), Bytes::Host);
        self.insert(directory, name, Kind::File(bytes), now_ns)
    }

    /// Makes an empty directory. There must be nothing of that name.
    pub(crate) fn create_directory(
        &mut self,
        directory: NodeId,
        name: &str,
        now_ns: u64,
    ) -> Result<NodeId, Errno> {
        self.take_node(name.len())?;
        let host = self.tree.written_through(directory, name)?;
        if let Some(host) = &host {
            self.host(host)?.create_directory(&host.path)?;
        }
        let made = Directory {
            host,
            entries: BTreeMap::new(),
        };
        self.insert(directory, name, Kind::Directory(made), now_ns)
    }

    /// Makes a symbolic link. There must be nothing of that name.
    pub(crate) fn create_link(
        &mut self,
        directory: NodeId,
        name: &str,
        target: &str,
        now_ns: u64,
    ) -> Result<NodeId, Errno> {
        self.take_node(name.len() + target.len())?;
        if let Some(host) = self.tree.written_through(directory, name)? {
            self.host(&host)?.create_link(&host.path, target)?;
        }
        self.insert(directory, name, Kind::Link(target.to_owned()), now_ns)
    }

    /// Gives a file another name. There must be nothing of that name.
    pub(crate) fn add_name(
        &mut self,
        node: NodeId,
        directory: NodeId,
        name: &str,
        now_ns: u64,
    ) -> Result<(), Errno> {
        self.take_node(name.len())?;
        let host = self.tree.written_through(directory, name)?;
        if host.is_some() || self.written_file(node)?.is_some() {
            return Err(Errno::Notsup);
        }
        let entries = &mut self.tree.directory_mut(directory)?.entries;
        entries.insert(name.to_owned(), Some(node));
        self.tree.node_mut(node).links += 1;
        self.touch(directory, now_ns);
        Ok(())
    }

    /// Removes a name, and the file with its last one. A directory must be empty.
    pub(crate) fn remove(
        &mut self,
        directory: NodeId,
        name: &str,
        now_ns: u64,
    ) -> Result<(), Errno> {
        let node = self.lookup(directory, name)?.ok_or(Errno::Noent)?;
        let is_directory = self.file_type(node) == FileType::Directory;
        if is_directory && !self.list(node)?.is_empty() {
            return Err(Errno::Notempty);
        }
        if let Some(host) = self.tree.written_through(directory, name)? {
            // A descriptor that is still open keeps the bytes, as it does on any system.
            self.keep_if_open(node)?;
            self.host(&host)?.remove(&host.path, is_directory)?;
        }
        self.take_out(directory, name)?;
        self.unlink(node);
        self.touch(directory, now_ns);
        Ok(())
    }

    /// Moves a file, over what the new name has.
    pub(crate) fn rename(
        &mut self,
        (from, name): (NodeId, &str),
        (to, new_name): (NodeId, &str),
        now_ns: u64,
    ) -> Result<(), Errno> {
        let node = self.lookup(from, name)?.ok_or(Errno::Noent)?;
        let replaced = self.lookup(to, new_name)?;
        if replaced == Some(node) {
            return Ok(());
        }
        if self.file_type(node) == FileType::Directory && self.is_within(to, node)? {
            return Err(Errno::Inval);
        }
        if let Some(replaced) = replaced {
            let kinds = [node, replaced].map(|node| self.file_type(node) == FileType::Directory);
            match kinds {
                [true, false] => return Err(Errno::Notdir),
                [false, true] => return Err(Errno::Isdir),
                [true, true] if !self.list(replaced)?.is_empty() => return Err(Errno::Notempty),
                _ => self.keep_if_open(replaced)?,
            }
        }
        self.rename_on_host((from, name), (to, new_name))?;
        self.take_out(from, name)?;
        if let Some(replaced) = replaced {
            self.unlink(replaced);
        }
        let entries = &mut self.tree.directory_mut(to)?.entries;
        entries.insert(new_name.to_owned(), Some(node));
        self.touch(from, now_ns);
        self.touch(to, now_ns);
        Ok(())
    }

    fn rename_on_host(
        &mut self,
        (from, name): (NodeId, &str),
        (to, new_name): (NodeId, &str),
    ) -> Result<(), Errno> {
        let from = self.tree.written_through(from, name)?;
        let to = self.tree.written_through(to, new_name)?;
        let (from, to) = match (from, to) {
            (None, None) => return Ok(()),
            (Some(from), Some(to)) if from.mount == to.mount => (from, to),
            _ => return Err(Errno::Xdev),
        };
        self.host(&from)?.rename(&from.path, &to.path)?;
        // All that is known of what lies there, be it open or not.
        let below = format!("{}/", from.path);
        for node in self.tree.nodes_mut() {
            let (Kind::File(Bytes::Host(path))
            | Kind::Directory(Directory {
                host: Some(path), ..
            })) = &mut node.kind
            else {
                continue;
            };
            if path.mount != from.mount {
                continue;
            }
            if path.path == from.path {
                path.path.clone_from(&to.path);
            } else if let Some(rest) = path.path.strip_prefix(&below) {
                path.path = format!("{}/{rest}", to.path);
            }
        }
        Ok(())
    }

    /// Whether `directory` is `ancestor` or lies in it.
    fn is_within(&self, directory: NodeId, ancestor: NodeId) -> Result<bool, Errno> {
        let mut rest = vec![ancestor];
        while let Some(at) = rest.pop() {
            if at == directory {
                return Ok(true);
            }
            let children = self.tree.directory(at)?.entries.values().flatten();
            rest.extend(children.filter(|&&child| self.file_type(child) == FileType::Directory));
        }
        Ok(false)
    }

    /// The host's path of a file whose writes are made there.
    fn written_file(&self, id: NodeId) -> Result<Option<HostPath>, Errno> {
        match &self.tree.node(id).kind {
            Kind::File(Bytes::Host(host)) if self.tree.is_direct(host) => Ok(Some(host.clone())),
            Kind::File(_) => Ok(None),
            Kind::Directory(_) => Err(Errno::Isdir),
            Kind::Link(_) => Err(Errno::Inval),
        }
    }

    /// The bytes of a file to write: the first time, a copy of the host's.
    fn contents(&mut self, id: NodeId) -> Result<&mut Contents, Errno> {
        if let Kind::File(Bytes::Host(path)) = &self.tree.node(id).kind {
            let path = path.clone();
            let len = self.host(&path)?.stat(&path.path)?.len;
            Contents::check_len(len)?;
            self.room.take(len, &self.tree)?;
            let copy = self.copy_from_host(&path, len)?;
            self.tree.node_mut(id).kind = Kind::File(Bytes::Here(copy));
        }
        match &mut self.tree.node_mut(id).kind {
            Kind::File(Bytes::Here(contents)) => Ok(contents),
            _ => Err(Errno::Isdir),
        }
    }

    /// The first `len` bytes of a file of the host, or all that it still has.
    fn copy_from_host(&self, path: &HostPath, len: u64) -> Result<Contents, Errno> {
        let mut copy = Contents::default();
        let mut piece = vec![0; PIECE_BYTES];
        while copy.len() < len {
            let wanted = (len - copy.len()).min(PIECE_BYTES as u64) as usize;
            let at = copy.len();
            let read = self
                .host(path)?
                .read_at(&path.path, at, &mut piece[..wanted])?;
            if read == 0 {
                break;
            }
            copy.write_at(at, &piece[..read])?;
        }
        Ok(copy)
    }

    /// Takes a copy of a file of the host that is about to go while a descriptor is open on it.
    fn keep_if_open(&mut self, id: NodeId) -> Result<(), Errno> {
        let node = self.tree.node(id);
        if node.opens > 0 && node.kind.file_type() == FileType::RegularFile {
            self.contents(id)?;
        }
        Ok(())
    }

    fn take_node(&mut self, name_bytes: usize) -> Result<(), Errno> {
        self.room.take(NODE_BYTES + name_bytes as u64, &self.tree)
    }

    fn insert(
        &mut self,
        directory: NodeId,
        name: &str,
        kind: Kind,
        now_ns: u64,
    ) -> Result<NodeId, Errno> {
        let times = Times {
            accessed_ns: now_ns,
            modified_ns: now_ns,
            changed_ns: now_ns,
        };
        let node = self.tree.add(kind, times);
        let entries = &mut self.tree.directory_mut(directory)?.entries;
        entries.insert(name.to_owned(), Some(node));
        self.touch(directory, now_ns);
        Ok(node)
    }

    fn take_out(&mut self, directory: NodeId, name: &str) -> Result<(), Errno> {
        let directory = self.tree.directory_mut(directory)?;
        match directory.host {
            // The host still has it.
            Some(_) => directory.entries.insert(name.to_owned(), None),
            None => directory.entries.remove(name),
        };
        Ok(())
    }

    fn unlink(&mut self, id: NodeId) {
        self.tree.node_mut(id).links -= 1;
        self.tree.forget_unused(id);
    }

    fn touch(&mut self, id: NodeId, now_ns: u64) {
        let times = &mut self.tree.node_mut(id).times;
        times.modified_ns = now_ns;
        times.changed_ns = now_ns;
    }

    /// See [`Tree::opened`].
    pub(crate) fn opened(&mut self, node: NodeId) {
        self.tree.opened(node);
    }

    /// See [`Tree::closed`].
    pub(crate) fn closed(&mut self, node: NodeId) {
        self.tree.closed(node);
    }
}
