//! All that the system interface knows of a process, as plain data.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::abi::{FileType, rights};
use super::bounded;
use super::outside::{Random, Stream};
use super::tree::{HostWrites, NodeId, Tree};

/// How a process begins: what it is given.
#[derive(Clone, Debug, Default)]
pub struct WasiOptions {
    /// Its arguments, the program's name first.
    pub arguments: Vec<String>,
    /// Its environment.
    pub environment: Vec<(String, String)>,
    /// Directories of the host, by the names that the guest knows them by.
    pub directories: Vec<HostMount>,
    /// Names of directories that are empty at first and live in the process alone.
    pub memory_directories: Vec<String>,
    /// Which of standard input, output and error are a terminal: C libraries write there line by
    /// line.
    pub terminals: [bool; 3],
    /// Makes the random numbers depend on this alone; for tests.
    pub random_seed: Option<u64>,
}

/// A directory of the host that a guest sees.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostMount {
    /// Its name for the guest, such as `/`.
    pub name: String,
    /// The host's directory.
    pub path: PathBuf,
    /// What happens when the guest writes.
    pub writes: HostWrites,
}

/// The system interface's part of a process: arguments, environment, clock, descriptors, files.
/// Two that are equal go on equally, on any machine that has the host's directories.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WasiState {
    pub(crate) arguments: Vec<String>,
    /// Each as `name=value`.
    pub(crate) environment: Vec<String>,
    /// What the process's monotonic clock shows: it goes on where it stood.
    pub(crate) monotonic_ns: u64,
    pub(crate) random: Random,
    pub(crate) descriptors: BTreeMap<u32, Descriptor>,
    pub(crate) tree: Tree,
    /// Input that has arrived and was not read yet.
    pub(crate) input: Vec<u8>,
    pub(crate) input_ended: bool,
}

/// An open file, directory or stream.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Descriptor {
    pub(crate) target: Target,
    pub(crate) rights: u64,
    pub(crate) inheriting: u64,
    pub(crate) flags: u16,
}

/// What a descriptor is open on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Target {
    Input {
        terminal: bool,
    },
    Output {
        stream: Stream,
        terminal: bool,
    },
    File {
        node: NodeId,
        offset: u64,
    },
    Directory {
        node: NodeId,
        /// The name that it was there by from the beginning, if it was.
        mount: Option<String>,
        /// What the guest is being told is in it: a snapshot from when it began to ask.
        listing: Vec<Entry>,
    },
}

/// An entry of a directory.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Entry {
    pub(crate) name: String,
    pub(crate) node: u64,
    pub(crate) file_type: FileType,
}

impl WasiState {
    /// The state of a process that has not begun.
    pub fn new(options: &WasiOptions) -> Self {
        let mut tree = Tree::default();
        for mount in &options.directories {
            tree.mount(&mount.name, Some((mount.path.clone(), mount.writes)));
        }
        for name in &options.memory_directories {
            tree.mount(name, None);
        }
        let environment = options.environment.iter();
        let mut state = Self {
            arguments: options.arguments.clone(),
            environment: environment
                .map(|(name, value)| format!("{name}={value}"))
                .collect(),
            monotonic_ns: 0,
            random: options.random_seed.map_or(Random::System, Random::Seeded),
            descriptors: standard_streams(options.terminals),
            tree,
            input: Vec::new(),
            input_ended: false,
        };
        state.open_mounts();
        state
    }

    fn open_mounts(&mut self) {
        let mounts = self.tree.mounts().to_vec();
        for (fd, mount) in (3..).zip(mounts) {
            self.tree.opened(mount.root);
            let descriptor = Descriptor {
                target: Target::Directory {
                    node: mount.root,
                    mount: Some(mount.name),
                    listing: Vec::new(),
                },
                rights: rights::DIRECTORY,
                inheriting: rights::DIRECTORY | rights::FILE,
                flags: 0,
            };
            self.descriptors.insert(fd, descriptor);
        }
    }

    /// As bytes, for an image; none if there are more of them than [`WasiState::from_bytes`] takes: a
    /// gigabyte of files, or hundreds of thousands of them.
    pub fn to_bytes(&self) -> Option<Vec<u8>> {
        let bytes = postcard::to_stdvec(self).expect("plain data in memory can be encoded");
        bounded::can_decode::<Self>(&bytes).then_some(bytes)
    }

    /// From the bytes of an image, which may be any; none if they are not those of a state, or it
    /// contradicts itself.
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let mut state: Self = bounded::decode(bytes)?;
        state.make_sound().then_some(state)
    }

    /// The arguments, the program's name first.
    pub fn arguments(&self) -> &[String] {
        &self.arguments
    }

    /// The environment, each as `name=value`.
    pub fn environment(&self) -> &[String] {
        &self.environment
    }

    /// The directories of the host that the process has.
    pub fn host_directories(&self) -> impl Iterator<Item = HostMount> + '_ {
        self.tree.mounts().iter().filter_map(|mount| {
            let (path, writes) = mount.host.clone()?;
            Some(HostMount {
                name: mount.name.clone(),
                path,
                writes,
            })
        })
    }

    /// Looks for the directories of the host where `granted` has them, by the guest's name and
    /// what writing does. A state that comes from elsewhere may name any directory of the host:
    /// so whoever restores it says which it may have.
    ///
    /// # Errors
    ///
    /// The first directory that was not granted; then nothing has changed.
    pub fn move_host_directories(&mut self, granted: &[HostMount]) -> Result<(), HostMount> {
        let found = |wanted: &HostMount| {
            let fits =
                |grant: &&HostMount| grant.name == wanted.name && grant.writes == wanted.writes;
            granted.iter().find(fits)
        };
        let wanted: Vec<HostMount> = self.host_directories().collect();
        if let Some(refused) = wanted.iter().find(|wanted| found(wanted).is_none()) {
            return Err(refused.clone());
        }
        let mounts = self.tree.mounts_mut().iter_mut();
        let paths = mounts.filter_map(|mount| mount.host.as_mut());
        for ((path, _), wanted) in paths.zip(&wanted) {
            if let Some(grant) = found(wanted) {
                path.clone_from(&grant.path);
            }
        }
        Ok(())
    }

    /// What is open, for a person to read.
    pub fn open_files(&self) -> Vec<OpenFile> {
        let places = self.tree.places();
        let path = |node| self.tree.describe(node, &places);
        let describe = |(&fd, descriptor): (&u32, &Descriptor)| {
            let (what, offset) = match &descriptor.target {
                Target::Input { .. } => ("standard input".to_owned(), None),
                Target::Output { stream, .. } => match stream {
                    Stream::Output => ("standard output".to_owned(), None),
                    Stream::Error => ("standard error".to_owned(), None),
                },
                Target::File { node, offset } => (path(*node), Some(*offset)),
                Target::Directory { node, .. } => (path(*node), None),
            };
            OpenFile { fd, what, offset }
        };
        self.descriptors.iter().map(describe).collect()
    }

    /// Whether it refers only to what it has; see [`Tree::make_sound`].
    pub(crate) fn make_sound(&mut self) -> bool {
        let types_fit = self.descriptors.values().all(|descriptor| {
            let (node, wanted) = match &descriptor.target {
                Target::File { node, .. } => (*node, FileType::RegularFile),
                Target::Directory { node, .. } => (*node, FileType::Directory),
                Target::Input { .. } | Target::Output { .. } => return true,
            };
            self.tree.file_type(node) == Some(wanted)
        });
        let opens = self.descriptors.values().filter_map(Descriptor::node);
        types_fit && self.tree.make_sound(opens)
    }
}

/// A descriptor of a process, for a person to read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct OpenFile {
    /// Its number.
    pub fd: u32,
    /// The path, or the stream's name.
    pub what: String,
    /// Where the next read or write is, in a file.
    pub offset: Option<u64>,
}

impl Descriptor {
    /// The node that it is open on.
    pub(crate) fn node(&self) -> Option<NodeId> {
        match self.target {
            Target::File { node, .. } | Target::Directory { node, .. } => Some(node),
            Target::Input { .. } | Target::Output { .. } => None,
        }
    }

    pub(crate) fn file_type(&self) -> FileType {
        match self.target {
            Target::Input { terminal: true } | Target::Output { terminal: true, .. } => {
                FileType::CharacterDevice
            }
            Target::Input { .. } | Target::Output { .. } => FileType::Unknown,
            Target::File { .. } => FileType::RegularFile,
            Target::Directory { .. } => FileType::Directory,
        }
    }
}

fn standard_streams(terminals: [bool; 3]) -> BTreeMap<u32, Descriptor> {
    let targets = [
        Target::Input {
            terminal: terminals[0],
        },
        Target::Output {
            stream: Stream::Output,
            terminal: terminals[1],
        },
        Target::Output {
            stream: Stream::Error,
            terminal: terminals[2],
        },
    ];
    let descriptor = |target: Target| Descriptor {
        rights: match target {
            Target::Input { .. } => rights::INPUT,
            _ => rights::OUTPUT,
        },
        target,
        inheriting: 0,
        flags: 0,
    };
    (0..).zip(targets.map(descriptor)).collect()
}
