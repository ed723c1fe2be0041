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
//! What changes it is in `files`; here is what it is, and what may be known of it without the host.
//!
//! Invariants:
//! - A node is kept as long as a directory has it or a descriptor is open on it.
//! - No path leaves its mount: see `resolve`, and `host_directory` for the host's side.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::abi::{Errno, FileType};
use super::contents::Contents;
use super::host_directory::HostFile;

/// Bytes of memory that a file takes beside what is in it: about a node and its entry.
pub(super) const NODE_BYTES: u64 = 256;
/// Numbers of nodes that no honest process comes to, and that leave room to count on.
const NEWEST_AT_MOST: u64 = 1 << 63;

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
pub(super) struct Node {
    pub(super) kind: Kind,
    /// In how many directories it is, and on how many descriptors it is open.
    pub(super) links: u64,
    pub(super) opens: u64,
    pub(super) times: Times,
}

/// Times of a file in nanoseconds since 1970.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Times {
    pub(crate) accessed_ns: u64,
    pub(crate) modified_ns: u64,
    pub(crate) changed_ns: u64,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Kind {
    File(Bytes),
    Directory(Directory),
    Link(String),
}

/// Where a file's bytes are.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Bytes {
    Here(Contents),
    Host(HostPath),
}

/// A directory: its own entries, over those of the host's directory.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Directory {
    pub(super) host: Option<HostPath>,
    /// None: there is no such file, whatever the host has.
    pub(super) entries: BTreeMap<String, Option<NodeId>>,
}

/// A file below a mount's directory of the host; the directory itself has the empty path.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct HostPath {
    pub(super) mount: usize,
    pub(super) path: String,
}

impl HostPath {
    pub(super) fn join(&self, name: &str) -> Self {
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
            are_rooted.extend(path);
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
    pub(super) fn taken_bytes(&self) -> u64 {
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

    pub(super) fn add(&mut self, kind: Kind, times: Times) -> NodeId {
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

    pub(super) fn node(&self, id: NodeId) -> &Node {
        self.nodes.get(&id).expect("a node stays while it is used")
    }

    pub(super) fn node_mut(&mut self, id: NodeId) -> &mut Node {
        self.nodes
            .get_mut(&id)
            .expect("a node stays while it is used")
    }

    pub(super) fn nodes_mut(&mut self) -> impl Iterator<Item = &mut Node> {
        self.nodes.values_mut()
    }

    pub(super) fn forget_unused(&mut self, id: NodeId) {
        let node = self.node(id);
        if node.links == 0 && node.opens == 0 {
            self.nodes.remove(&id);
        }
    }

    pub(super) fn directory(&self, id: NodeId) -> Result<&Directory, Errno> {
        match &self.node(id).kind {
            Kind::Directory(directory) => Ok(directory),
            _ => Err(Errno::Notdir),
        }
    }

    pub(super) fn directory_mut(&mut self, id: NodeId) -> Result<&mut Directory, Errno> {
        match &mut self.node_mut(id).kind {
            Kind::Directory(directory) => Ok(directory),
            _ => Err(Errno::Notdir),
        }
    }

    /// The host's path of what `directory` has under `name`, if that is to be changed there.
    pub(super) fn written_through(
        &self,
        directory: NodeId,
        name: &str,
    ) -> Result<Option<HostPath>, Errno> {
        let host = self.directory(directory)?.host.as_ref();
        let host = host.filter(|path| self.is_direct(path));
        Ok(host.map(|host| host.join(name)))
    }

    pub(super) fn is_direct(&self, path: &HostPath) -> bool {
        matches!(self.mounts[path.mount].host, Some((_, HostWrites::Direct)))
    }
}

impl Kind {
    pub(super) fn file_type(&self) -> FileType {
        match self {
            Self::File(_) => FileType::RegularFile,
            Self::Directory(_) => FileType::Directory,
            Self::Link(_) => FileType::SymbolicLink,
        }
    }
}

impl Times {
    pub(super) fn of(file: &HostFile) -> Self {
        Self {
            accessed_ns: file.accessed_ns,
            modified_ns: file.modified_ns,
            changed_ns: file.changed_ns,
        }
    }
}
