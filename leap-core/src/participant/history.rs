//! The versions of one object from the committed point to the open one.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use thiserror::Error;

use crate::{
    header::DependencySet,
    id::{ObjectId, OutputId, PersistTicket, Seq, Version, WorldLine},
    metadata::VersionMetadata,
};

use super::channel::{Channel, Mark, Misfit};

/// Metadata from storage does not fit together.
///
/// ```
/// use leap_core::{Incarnation, ObjectId, Participant, Speculation, Version, VersionMetadata, WorldLine};
///
/// // Storage gives version 2 before version 1.
/// let stored = [2, 1].map(|number| VersionMetadata {
///     version: Version(number),
///     world_line: WorldLine(0),
///     committed: Version::ZERO,
///     dependencies: Default::default(),
///     channels: Default::default(),
///     complete: false,
/// });
/// let hotel = ObjectId::from_name("hotel");
/// let refused = Participant::recover(hotel, Incarnation(2), Speculation::On, None, stored.to_vec());
/// println!("{}", refused.unwrap_err());
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum RecoverError {
    /// Versions do not ascend.
    #[error("version {version} follows version {previous} in storage")]
    OutOfOrder {
        /// The offending version.
        version: Version,
        /// The one before it.
        previous: Version,
    },
    /// A checkpoint without the whole channel state.
    #[error("the checkpoint at version {version} does not hold the whole channel state")]
    Incomplete {
        /// The checkpoint's version.
        version: Version,
    },
    /// Sent messages are missing, or there twice.
    #[error("version {version} sends to {peer} from message {found} on, but {expected} comes next")]
    ChannelGap {
        /// The version.
        version: Version,
        /// The receiver.
        peer: ObjectId,
        /// Position that would continue the channel.
        expected: Seq,
        /// Position found.
        found: Seq,
    },
    /// A channel position goes back, or ahead of what was sent.
    #[error("version {version} contradicts the versions before it about the channel with {peer}")]
    ChannelContradiction {
        /// The version.
        version: Version,
        /// The other end.
        peer: ObjectId,
    },
}

impl RecoverError {
    fn of_channel(version: Version, peer: ObjectId, misfit: &Misfit) -> Self {
        match *misfit {
            Misfit::Gap { expected, found } => Self::ChannelGap {
                version,
                peer,
                expected,
                found,
            },
            Misfit::Impossible => Self::ChannelContradiction { version, peer },
        }
    }
}

/// The version that actions run in.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(super) struct OpenVersion {
    pub(super) version: Version,
    pub(super) is_dirty: bool,
    pub(super) dependencies: DependencySet,
    /// Peers whose channel changed.
    pub(super) touched: BTreeSet<ObjectId>,
    outputs: Vec<OutputId>,
}

impl OpenVersion {
    fn new(version: Version) -> Self {
        Self {
            version,
            is_dirty: false,
            dependencies: DependencySet::new(),
            touched: BTreeSet::new(),
            outputs: Vec::new(),
        }
    }

    pub(super) fn touch(&mut self) {
        self.is_dirty = true;
    }

    pub(super) fn touch_peer(&mut self, peer: ObjectId) {
        self.is_dirty = true;
        self.touched.insert(peer);
    }

    /// Raises the number of a version that is still empty.
    pub(super) fn raise(&mut self, at_least: Version) {
        assert!(!self.is_dirty, "a version with content keeps its number");
        self.version = self.version.max(at_least);
    }
}

/// A sealed version above the committed point.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
struct SealedVersion {
    version: Version,
    world_line: WorldLine,
    dependencies: DependencySet,
    /// Channel positions at its end, of the peers it touched.
    marks: BTreeMap<ObjectId, Mark>,
    outputs: Vec<OutputId>,
    /// The write that is under way, or nothing when it is durable.
    writing: Option<PersistTicket>,
}

#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(super) struct History {
    pub(super) committed: Version,
    pending: VecDeque<SealedVersion>,
    pub(super) open: OpenVersion,
}

impl Default for History {
    fn default() -> Self {
        Self {
            committed: Version::ZERO,
            pending: VecDeque::new(),
            open: OpenVersion::new(Version::ZERO.next()),
        }
    }
}

/// What a rollback removed.
pub(super) struct Undone {
    pub(super) touched: BTreeSet<ObjectId>,
    pub(super) outputs: Vec<OutputId>,
}

/// What a commit settled.
pub(super) struct Settled {
    pub(super) marks: BTreeMap<ObjectId, Mark>,
    pub(super) outputs: Vec<OutputId>,
}

/// The oldest uncommitted version, when it is durable.
pub(super) struct NextDurable {
    pub(super) version: Version,
    pub(super) dependencies: DependencySet,
}

/// One version with content, as a view.
pub(super) struct VersionView<'a> {
    pub(super) version: Version,
    pub(super) dependencies: &'a DependencySet,
    /// The world-line it was sealed in; the open version has none yet.
    pub(super) world_line: Option<WorldLine>,
    pub(super) durable: bool,
}

impl History {
    /// All versions with content above the committed point, oldest first.
    pub(super) fn versions(&self) -> impl Iterator<Item = VersionView<'_>> {
        let sealed = self.pending.iter().map(|sealed| VersionView {
            version: sealed.version,
            dependencies: &sealed.dependencies,
            world_line: Some(sealed.world_line),
            durable: sealed.writing.is_none(),
        });
        let open = Some(&self.open)
            .filter(|open| open.is_dirty)
            .map(|open| VersionView {
                version: open.version,
                dependencies: &open.dependencies,
                world_line: None,
                durable: false,
            });
        sealed.chain(open)
    }

    pub(super) fn latest(&self) -> Version {
        if self.open.is_dirty {
            self.open.version
        } else {
            self.pending
                .back()
                .map_or(self.committed, |sealed| sealed.version)
        }
    }

    pub(super) fn durable(&self) -> Version {
        let durable = self
            .pending
            .iter()
            .take_while(|sealed| sealed.writing.is_none())
            .last();
        durable.map_or(self.committed, |sealed| sealed.version)
    }

    pub(super) fn in_flight(&self) -> usize {
        self.pending
            .iter()
            .filter(|sealed| sealed.writing.is_some())
            .count()
    }

    pub(super) fn is_all_committed(&self) -> bool {
        self.pending.is_empty() && !self.open.is_dirty
    }

    pub(super) fn seal(
        &mut self,
        ticket: PersistTicket,
        world_line: WorldLine,
        marks: BTreeMap<ObjectId, Mark>,
    ) {
        let next = OpenVersion::new(self.open.version.next());
        let open = std::mem::replace(&mut self.open, next);
        self.pending.push_back(SealedVersion {
            version: open.version,
            world_line,
            dependencies: open.dependencies,
            marks,
            outputs: open.outputs,
            writing: Some(ticket),
        });
    }

    /// The write called `ticket` is durable; returns its version, unless that was rolled back.
    pub(super) fn persisted(&mut self, ticket: PersistTicket) -> Option<(Version, DependencySet)> {
        let index = self
            .pending
            .iter()
            .position(|sealed| sealed.writing == Some(ticket))?;
        assert!(
            self.pending
                .range(..index)
                .all(|sealed| sealed.writing.is_none()),
            "rule P2: {ticket:?} became durable before an earlier version"
        );
        let sealed = &mut self.pending[index];
        sealed.writing = None;
        Some((sealed.version, sealed.dependencies.clone()))
    }

    pub(super) fn next_durable(&self) -> Option<NextDurable> {
        let next = self
            .pending
            .front()
            .filter(|sealed| sealed.writing.is_none())?;
        Some(NextDurable {
            version: next.version,
            dependencies: next.dependencies.clone(),
        })
    }

    pub(super) fn commit_next(&mut self) -> Settled {
        let sealed = self
            .pending
            .pop_front()
            .expect("the caller has just looked at it");
        self.committed = sealed.version;
        Settled {
            marks: sealed.marks,
            outputs: sealed.outputs,
        }
    }

    /// Lets `output` wait for the newest version; false if that is committed.
    pub(super) fn attach(&mut self, output: OutputId) -> bool {
        if self.open.is_dirty {
            self.open.outputs.push(output);
        } else if let Some(newest) = self.pending.back_mut() {
            newest.outputs.push(output);
        } else {
            return false;
        }
        true
    }

    /// Removes all versions after `keep`.
    pub(super) fn roll_back(&mut self, keep: Version) -> Undone {
        assert!(
            keep >= self.committed,
            "rule P7: {:?} is committed, {keep:?} would be kept",
            self.committed
        );
        let open = std::mem::replace(&mut self.open, OpenVersion::new(keep.next()));
        let mut undone = Undone {
            touched: open.touched,
            outputs: open.outputs,
        };
        let first_removed = self
            .pending
            .partition_point(|sealed| sealed.version <= keep);
        for sealed in self.pending.drain(first_removed..) {
            undone.touched.extend(sealed.marks.into_keys());
            undone.outputs.extend(sealed.outputs);
        }
        undone
    }

    /// What the newest version that touched `peer` says about its channel.
    pub(super) fn mark(&self, peer: ObjectId) -> Option<Mark> {
        self.pending
            .iter()
            .rev()
            .find_map(|sealed| sealed.marks.get(&peer).copied())
    }

    /// The versions that survived live on in `world_line`.
    pub(super) fn rename(&mut self, world_line: WorldLine) {
        for sealed in &mut self.pending {
            sealed.world_line = world_line;
        }
    }

    pub(super) fn validate(&self) {
        let versions = self.pending.iter().map(|sealed| sealed.version);
        let chain = std::iter::once(self.committed)
            .chain(versions)
            .chain(std::iter::once(self.open.version));
        assert!(
            chain.is_sorted_by(|a, b| a < b),
            "versions do not ascend: {self:?}"
        );
        let writing = self.pending.iter().map(|sealed| sealed.writing.is_some());
        assert!(
            writing.is_sorted(),
            "rule P2: durable after volatile: {self:?}"
        );
        assert!(
            self.open.is_dirty || self.open.dependencies.is_empty() && self.open.touched.is_empty()
        );
    }
}

/// History and channels as storage describes them.
pub(super) fn recover(
    checkpoint: Option<VersionMetadata>,
    later: Vec<VersionMetadata>,
) -> Result<(History, BTreeMap<ObjectId, Channel>), RecoverError> {
    let mut history = History::default();
    let mut channels = BTreeMap::new();
    let mut committed = Version::ZERO;
    if let Some(metadata) = checkpoint {
        if !metadata.complete {
            return Err(RecoverError::Incomplete {
                version: metadata.version,
            });
        }
        committed = metadata.version;
        history.append_durable(metadata, &mut channels)?;
    }
    for metadata in later {
        committed = committed.max(metadata.committed);
        history.append_durable(metadata, &mut channels)?;
    }
    while history
        .pending
        .front()
        .is_some_and(|sealed| sealed.version <= committed)
    {
        for (peer, mark) in history.commit_next().marks {
            let channel: &mut Channel = channels.entry(peer).or_default();
            channel.commit(mark);
        }
    }
    for (&peer, channel) in &channels {
        if !channel.is_consistent() {
            let version = history.latest();
            return Err(RecoverError::ChannelContradiction { version, peer });
        }
    }
    Ok((history, channels))
}

impl History {
    fn append_durable(
        &mut self,
        metadata: VersionMetadata,
        channels: &mut BTreeMap<ObjectId, Channel>,
    ) -> Result<(), RecoverError> {
        let VersionMetadata {
            version,
            world_line,
            dependencies,
            ..
        } = metadata;
        if version < self.open.version {
            return Err(RecoverError::OutOfOrder {
                version,
                previous: self.open.version.previous(),
            });
        }
        let mut marks = BTreeMap::new();
        for (peer, record) in metadata.channels {
            let channel = channels.entry(peer).or_default();
            channel
                .apply_record(version, record, metadata.complete)
                .map_err(|misfit| RecoverError::of_channel(version, peer, &misfit))?;
            marks.insert(peer, channel.mark());
        }
        self.pending.push_back(SealedVersion {
            version,
            world_line,
            dependencies,
            marks,
            outputs: Vec::new(),
            writing: None,
        });
        self.open = OpenVersion::new(version.next());
        Ok(())
    }
}
