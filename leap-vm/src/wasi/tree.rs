//! The process's files: a tree in memory, parts of which stand over directories of the host.
//!
//! Every file that the process has seen is a [`Node`]. A node that came from the host remembers
//! where it is there; its bytes are read there until the process writes it. So the tree is the
//! whole state, small, and plain data:
//!
//! - In an *overlay* mount the host's directory is never written. The first write to a file copies
//!   it into the tree; what is removed is remembered as removed; what is renamed keeps its bytes
//!   where they are.
//! - In a *direct* mount changes are made to the host's files at once. They are the host's, not the
//!   process's: no capture holds them, and undoing the process does not undo them.
//!
//! Invariants:
//! - A node is kept as long as a directory has it or a descriptor is open on it.
//! - No path leaves its mount: see `resolve`, and `host_directory` for the host's side.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::abi::{Errno, FileType};
use super::contents::{Contents, LONGEST_BYTES};
use super::host_directory::{HostDirectory, HostFile};

/// Bytes of memory that a file takes beside what is in it: about a node and its entry.
const NODE_BYTES: u64 = 256;
/// Numbers of nodes that no honest process comes to, and that leave room to count on.
const NEWEST_AT_MOST: u64 = 1 << 63;
/// Bytes that are copied from a file of the host at once.
const PIECE_BYTES: usize = 1 << 20;

/// The number of a node: the guest sees it as the inode.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) struct NodeId(u64);

impl NodeId {
    pub(crate) fn number(self) -> u64 {
        self.0
    }
}

/// What happens to the host's directory when the process writes into a mount of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum HostWrites {
    /// Nothing: writes stay with the process.
    #[default]
    Overlay,
    /// They are made there at once, and are no part of the process's state.
    Direct,
}

/// All files of a process.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Tree {
    nodes: BTreeMap<NodeId, Node>,
    newest: u64,
    mounts: Vec<Mount>,
}

/// A directory that the process has from the beginning.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Mount {
    /// Its name for the guest.
    pub(crate) name: String,
    pub(crate) root: NodeId,
    pub(crate) host: Option<(PathBuf, HostWrites)>,
}

/// Where nodes are in the tree: see [`Tree::places`].
pub(crate) type Places<'t> = BTreeMap<NodeId, (NodeId, &'t str)>;

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Node {
    kind: Kind,
    /// In how many directories it is, and on how many descriptors it is open.
    links: u64,
    opens: u64,
    times: Times,
}

/// Times of a file in nanoseconds since 1970.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Times {
    pub(crate) accessed_ns: u64,
    pub(crate) modified_ns: u64,
    pub(crate) changed_ns: u64,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
enum Kind {
    File(Bytes),
    Directory(Directory),
    Link(String),
}

/// Where a file's bytes are.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
enum Bytes {
    Here(Contents),
    Host(HostPath),
}

/// A directory: its own entries, over those of the host's directory.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Directory {
    host: Option<HostPath>,
    /// None: there is no such file, whatever the host has.
    entries: BTreeMap<String, Option<NodeId>>,
}

/// A file below a mount's directory of the host; the directory itself has the empty path.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct HostPath {
    mount: usize,
    path: String,
}

impl HostPath {
    fn join(&self, name: &str) -> Self {
        let path = match self.path.as_str() {
            "" => name.to_owned(),
            path => format!("{path}/{name}"),
        };
        Self {
            mount: self.mount,
            path,
        }
    }
}

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
        let hosts = tree.mounts.iter().map(open).collect::<Result<_, _>>()?;
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

impl Tree {
    /// Adds a directory of that name: an empty one, or one over a directory of the host.
    pub(crate) fn mount(&mut self, name: &str, host: Option<(PathBuf, HostWrites)>) {
        let directory = Directory {
            host: host.is_some().then(|| HostPath {
                mount: self.mounts.len(),
                path: String::new(),
            }),
            entries: BTreeMap::new(),
        };
        let root = self.add(Kind::Directory(directory), Times::default());
        self.mounts.push(Mount {
            name: name.to_owned(),
            root,
            host,
        });
    }

    pub(crate) fn mounts(&self) -> &[Mount] {
        &self.mounts
    }

    pub(crate) fn mounts_mut(&mut self) -> &mut [Mount] {
        &mut self.mounts
    }

    /// Gives `node` another descriptor.
    pub(crate) fn opened(&mut self, node: NodeId) {
        self.node_mut(node).opens += 1;
    }

    /// Takes a descriptor from `node`, which goes with the last if no directory has it.
    pub(crate) fn closed(&mut self, node: NodeId) {
        self.node_mut(node).opens -= 1;
        self.forget_unused(node);
    }

    /// Sees to the invariants of a tree that comes from an image, which may say anything: false
    /// if something refers to what there is not, or if directories lie in each other. How often
    /// a node is used is counted anew; `opens` are the nodes of the descriptors.
    pub(crate) fn make_sound(&mut self, opens: impl Iterator<Item = NodeId>) -> bool {
        if !self.refers_to_what_there_is() || !self.is_a_tree() {
            return false;
        }
        let mut uses: BTreeMap<NodeId, (u64, u64)> = BTreeMap::new();
        for node in self.linked_nodes() {
            uses.entry(node).or_default().0 += 1;
        }
        for node in opens {
            if !self.nodes.contains_key(&node) {
                return false;
            }
            uses.entry(node).or_default().1 += 1;
        }
        self.nodes.retain(|id, node| {
            (node.links, node.opens) = uses.get(id).copied().unwrap_or_default();
            node.links + node.opens > 0
        });
        true
    }

    fn refers_to_what_there_is(&self) -> bool {
        let host = |path: &HostPath| {
            let mount = self.mounts.get(path.mount);
            mount.is_some_and(|mount| mount.host.is_some())
                && !path.path.split('/').any(|name| name == "..")
        };
        let is_name =
            |name: &String| !matches!(name.as_str(), "" | "." | "..") && !name.contains('/');
        let roots_are_directories = self
            .mounts
            .iter()
            .all(|mount| self.file_type(mount.root) == Some(FileType::Directory));
        roots_are_directories
            && self
                .linked_nodes()
                .all(|node| self.nodes.contains_key(&node))
            && self.nodes.keys().all(|id| id.0 <= self.newest)
            && self.newest < NEWEST_AT_MOST
            && self.nodes.values().all(|node| match &node.kind {
                Kind::Directory(directory) => {
                    directory.host.as_ref().is_none_or(host)
                        && directory.entries.keys().all(is_name)
                }
                Kind::File(Bytes::Host(path)) => host(path),
                Kind::File(Bytes::Here(_)) | Kind::Link(_) => true,
            })
    }

    /// Whether every directory lies in at most one place, and none in itself.
    fn is_a_tree(&self) -> bool {
        let mut parents: BTreeMap<NodeId, NodeId> = BTreeMap::new();
        let roots: Vec<NodeId> = self.mounts.iter().map(|mount| mount.root).collect();
        for (&id, node) in &self.nodes {
            let Kind::Directory(directory) = &node.kind else {
                continue;
            };
            for &child in directory.entries.values().flatten() {
                let is_directory = self.file_type(child) == Some(FileType::Directory);
                if is_directory && (roots.contains(&child) || parents.insert(child, id).is_some()) {
                    return false;
                }
            }
        }
        let mut are_rooted = BTreeSet::new();
        parents.keys().all(|&start| {
            let mut path = BTreeSet::new();
            let mut at = start;
            while !are_rooted.contains(&at) {
                if !path.insert(at) {
                    return false;
                }
                match parents.get(&at) {
                    Some(&parent) => at = parent,
                    None => break,
                }
            }
            are_rooted.append(&mut path);
            true
        })
    }

    /// The node of every entry of a directory and of every mount.
    fn linked_nodes(&self) -> impl Iterator<Item = NodeId> + '_ {
        let entries = self.nodes.values().flat_map(|node| match &node.kind {
            Kind::Directory(directory) => directory.entries.values().flatten().copied().collect(),
            _ => Vec::new(),
        });
        entries.chain(self.mounts.iter().map(|mount| mount.root))
    }

    /// The type of `node`, if there is such a node.
    pub(crate) fn file_type(&self, node: NodeId) -> Option<FileType> {
        self.nodes.get(&node).map(|node| node.kind.file_type())
    }

    /// For each node that a directory has: one that has it, and the name there.
    pub(crate) fn places(&self) -> Places<'_> {
        let mut places = Places::new();
        for (&id, node) in &self.nodes {
            if let Kind::Directory(directory) = &node.kind {
                for (name, entry) in &directory.entries {
                    if let Some(child) = *entry {
                        places.entry(child).or_insert((id, name));
                    }
                }
            }
        }
        places
    }

    /// The path of `node`, for a person to read; `places` are those of the tree.
    pub(crate) fn describe(&self, node: NodeId, places: &Places<'_>) -> String {
        let mut names = Vec::new();
        let mut at = node;
        let mount = loop {
            if let Some(mount) = self.mounts.iter().find(|mount| mount.root == at) {
                break mount;
            }
            let Some(&(parent, name)) = places.get(&at) else {
                return "(removed)".to_owned();
            };
            names.push(name);
            at = parent;
        };
        if names.is_empty() {
            return mount.name.clone();
        }
        names.push(mount.name.trim_end_matches('/'));
        names.reverse();
        names.join("/")
    }

    /// Bytes of memory that all of it takes.
    fn taken_bytes(&self) -> u64 {
        let taken = self.nodes.values().map(|node| {
            NODE_BYTES
                + match &node.kind {
                    Kind::File(Bytes::Here(contents)) => contents.taken_bytes(),
                    Kind::Link(target) => target.len() as u64,
                    Kind::File(Bytes::Host(_)) | Kind::Directory(_) => 0,
                }
        });
        taken.sum()
    }

    fn add(&mut self, kind: Kind, times: Times) -> NodeId {
        self.newest += 1;
        let id = NodeId(self.newest);
        let node = Node {
            kind,
            links: 1,
            opens: 0,
            times,
        };
        self.nodes.insert(id, node);
        id
    }

    fn node(&self, id: NodeId) -> &Node {
        self.nodes.get(&id).expect("a node stays while it is used")
    }

    fn node_mut(&mut self, id: NodeId) -> &mut Node {
        self.nodes
            .get_mut(&id)
            .expect("a node stays while it is used")
    }

    fn forget_unused(&mut self, id: NodeId) {
        let node = self.node(id);
        if node.links == 0 && node.opens == 0 {
            self.nodes.remove(&id);
        }
    }

    fn directory(&self, id: NodeId) -> Result<&Directory, Errno> {
        match &self.node(id).kind {
            Kind::Directory(directory) => Ok(directory),
            _ => Err(Errno::Notdir),
        }
    }

    fn directory_mut(&mut self, id: NodeId) -> Result<&mut Directory, Errno> {
        match &mut self.node_mut(id).kind {
            Kind::Directory(directory) => Ok(directory),
            _ => Err(Errno::Notdir),
        }
    }

    /// The host's path of `directory`, if changes in it are to be made there.
    fn written_through(&self, directory: NodeId) -> Result<Option<HostPath>, Errno> {
        let host = self.directory(directory)?.host.as_ref();
        Ok(host.filter(|path| self.is_direct(path)).cloned())
    }

    fn is_direct(&self, path: &HostPath) -> bool {
        matches!(self.mounts[path.mount].host, Some((_, HostWrites::Direct)))
    }
}

impl Kind {
    fn file_type(&self) -> FileType {
        match self {
            Self::File(_) => FileType::RegularFile,
            Self::Directory(_) => FileType::Directory,
            Self::Link(_) => FileType::SymbolicLink,
        }
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
        let bytes = match self.tree.written_through(directory)? {
            None => Bytes::Here(Contents::default()),
            Some(host) => {
                let host = host.join(name);
                self.host(&host)?.create_file(&host.path)?;
                Bytes::Host(host)
            }
        };
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
        let host = match self.tree.written_through(directory)? {
            None => None,
            Some(host) => {
                let host = host.join(name);
                self.host(&host)?.create_directory(&host.path)?;
                Some(host)
            }
        };
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
        if let Some(host) = self.tree.written_through(directory)? {
            let host = host.join(name);
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
        if self.tree.written_through(directory)?.is_some() || self.written_file(node)?.is_some() {
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
        if let Some(host) = self.tree.written_through(directory)? {
            // A descriptor that is still open keeps the bytes, as it does on any system.
            self.keep_if_open(node)?;
            let host = host.join(name);
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
        let from = self.tree.written_through(from)?;
        let to = self.tree.written_through(to)?;
        let (from, to) = match (from, to) {
            (None, None) => return Ok(()),
            (Some(from), Some(to)) if from.mount == to.mount => {
                (from.join(name), to.join(new_name))
            }
            _ => return Err(Errno::Xdev),
        };
        self.host(&from)?.rename(&from.path, &to.path)?;
        // All that is known of what lies there, be it open or not.
        let below = format!("{}/", from.path);
        for node in self.tree.nodes.values_mut() {
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
            if len > LONGEST_BYTES {
                return Err(Errno::Fbig);
            }
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

impl Times {
    fn of(file: &HostFile) -> Self {
        Self {
            accessed_ns: file.accessed_ns,
            modified_ns: file.modified_ns,
            changed_ns: file.changed_ns,
        }
    }
}
