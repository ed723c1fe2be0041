//! What is persisted with each version besides the object's own state (rule P6: a version's edges
//! are the ground truth; the coordinator's graph is a cache of them).

use std::collections::BTreeMap;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::{
    encoding::{DecodeError, Format},
    header::DependencySet,
    id::{ObjectId, Seq, Version, WorldLine},
};

/// The persist metadata of one version.
///
/// ```
/// use leap_core::{DependencySet, ObjectId, Version, VersionMetadata, WorldLine};
///
/// let metadata = VersionMetadata {
///     version: Version(4),
///     world_line: WorldLine(0),
///     committed: Version(2),
///     dependencies: DependencySet::from_iter([(ObjectId::from_name("hotel"), Version(3))]),
///     channels: Default::default(),
///     complete: false,
/// };
/// // Stored with the version's content, and read back with it.
/// assert_eq!(VersionMetadata::decode(&metadata.encode()), Ok(metadata));
/// ```
#[derive(Clone, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub struct VersionMetadata {
    /// The version.
    pub version: Version,
    /// The world-line in which it was sealed. A later decision may have removed it.
    pub world_line: WorldLine,
    /// The object's own newest version known to be inside the boundary when this one was sealed.
    pub committed: Version,
    /// The vertices it depends on and that were not known to be committed. The dependency on the
    /// object's own previous version is implied.
    pub dependencies: DependencySet,
    /// Channel state: what changed since the previous version, or all of it.
    pub channels: ChannelRecord,
    /// Whether `channels` is the whole channel state, so that recovery may start at this version
    /// without any earlier one (used for checkpoints).
    pub complete: bool,
}

/// Channel state of one version, per peer (rule P14).
///
/// ```
/// use leap_core::metadata::{ChannelRecord, PeerRecord};
/// use leap_core::{ObjectId, Seq};
///
/// // Of the hotel two messages have been consumed.
/// let hotel = PeerRecord { in_next: Seq(2), ..PeerRecord::default() };
/// let channels = ChannelRecord::from([(ObjectId::from_name("hotel"), hotel)]);
/// assert_eq!(channels.len(), 1);
/// ```
pub type ChannelRecord = BTreeMap<ObjectId, PeerRecord>;

/// What a version says about the channels to and from one peer.
///
/// ```
/// use leap_core::metadata::PeerRecord;
/// use leap_core::{Seq, Version};
///
/// // One message was sent, in version 4, and is not acknowledged yet.
/// let record = PeerRecord { sent: vec![(Version(4), "book".into())], ..PeerRecord::default() };
/// assert_eq!((record.acknowledged, record.out_first), (Seq(0), Seq(0)));
/// ```
#[derive(Clone, PartialEq, Eq, Hash, Debug, Default, Serialize, Deserialize)]
pub struct PeerRecord {
    /// Next message to consume from the peer.
    pub in_next: Seq,
    /// The peer has acknowledged all below.
    pub acknowledged: Seq,
    /// Position of the first of `sent`, or of the next message when there is none.
    pub out_first: Seq,
    /// Messages sent to the peer (delta: in this version; complete: all that are unacknowledged),
    /// with the version each was sent in.
    pub sent: Vec<(Version, Bytes)>,
}

const FORMAT: Format = Format {
    what: "persist metadata",
    version: 1,
    limit: 1 << 30,
};

impl VersionMetadata {
    /// The bytes to store with the version.
    ///
    /// ```
    /// use leap_core::{DependencySet, ObjectId, Version, VersionMetadata, WorldLine};
    ///
    /// let metadata = VersionMetadata {
    ///     version: Version(4),
    ///     world_line: WorldLine(0),
    ///     committed: Version(2),
    ///     dependencies: DependencySet::from_iter([(ObjectId::from_name("hotel"), Version(3))]),
    ///     channels: Default::default(),
    ///     complete: false,
    /// };
    /// assert!(metadata.encode().len() < 40);
    /// ```
    pub fn encode(&self) -> Vec<u8> {
        FORMAT.encode(self)
    }

    /// Reads what [`VersionMetadata::encode`] wrote.
    ///
    /// ```
    /// use leap_core::VersionMetadata;
    ///
    /// assert!(VersionMetadata::decode(b"a damaged record").is_err());
    /// ```
    ///
    /// # Errors
    ///
    /// Anything that is not exactly one metadata of this format version.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        FORMAT.decode(bytes)
    }
}
