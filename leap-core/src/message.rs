//! What participants, their peers and the coordinator say to each other.

use std::collections::BTreeMap;

use bytes::Bytes;
use serde::{Deserialize, Deserializer, Serialize, de::Error as _};

use crate::{
    decision::Decision,
    encoding::{DecodeError, Format},
    header::{DependencySet, Header},
    id::{ObjectId, Seq, Version, WorldLine},
    incarnation::Incarnation,
};

/// One question of the coordinator to all participants. Unique across coordinator restarts.
///
/// ```
/// use leap_core::GatherId;
///
/// // A new coordinator's term is higher, so its gathers are newer whatever their numbers.
/// assert!(GatherId { term: 2, number: 0 } > GatherId { term: 1, number: 9 });
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub struct GatherId {
    /// The coordinator's own incarnation.
    pub term: u64,
    /// Counts the gathers of that term.
    pub number: u64,
}

/// One version in a [`Fragment`].
///
/// ```
/// use leap_core::{DependencySet, ObjectId, Version, WorldLine};
/// use leap_core::message::FragmentVersion;
///
/// let volatile = FragmentVersion {
///     version: Version(4),
///     world_line: WorldLine(0),
///     dependencies: DependencySet::from_iter([(ObjectId::from_name("flight"), Version(3))]),
///     durable: false,
/// };
/// assert!(volatile.dependencies.iter().all(|(_, version)| version <= volatile.version), "rule P4");
/// ```
#[derive(Clone, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub struct FragmentVersion {
    /// The version.
    pub version: Version,
    /// The world-line that it was recorded in: for a live participant the fragment's own, for one
    /// that comes back from storage whichever the version was sealed in.
    pub world_line: WorldLine,
    /// What it depends on.
    pub dependencies: DependencySet,
    /// Whether it is durable.
    pub durable: bool,
}

/// A participant's part of the dependency graph: all of its versions above the boundary, in order,
/// volatile ones and the open one included (rule P9).
///
/// ```
/// use leap_core::{Fragment, Version};
///
/// let new = Fragment::default(); // of an object with nothing in storage
/// assert!(new.committed == Version::ZERO && new.versions.is_empty());
/// ```
#[derive(Clone, PartialEq, Eq, Hash, Debug, Default, Serialize, Deserialize)]
pub struct Fragment {
    /// The participant's world-line; for one that comes back from storage the newest in which anything
    /// there was sealed.
    pub world_line: WorldLine,
    /// Its newest version that it knows to be inside the boundary.
    pub committed: Version,
    /// Its versions above that, oldest first.
    #[serde(deserialize_with = "ascending")]
    pub versions: Vec<FragmentVersion>,
}

fn ascending<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<FragmentVersion>, D::Error> {
    let versions = Vec::<FragmentVersion>::deserialize(deserializer)?;
    if versions.is_sorted_by(|a, b| a.version < b.version) {
        Ok(versions)
    } else {
        Err(D::Error::custom("versions are not in ascending order"))
    }
}

/// From a participant to the coordinator.
///
/// ```
/// use leap_core::{Fragment, Incarnation, ObjectId, ToCoordinator};
///
/// let (object, incarnation) = (ObjectId::from_name("hotel"), Incarnation(1));
/// let join = ToCoordinator::Join { object, incarnation, fragment: Fragment::default() };
/// assert_eq!(ToCoordinator::decode(&join.encode()), Ok(join));
/// ```
#[derive(Clone, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub enum ToCoordinator {
    /// A new incarnation asks to be admitted. All it has is what storage gave it.
    Join {
        /// Who.
        object: ObjectId,
        /// Its new life.
        incarnation: Incarnation,
        /// What is durable.
        fragment: Fragment,
    },
    /// A live participant's fragment: on a new link, as the answer to a gather, and as the
    /// acknowledgement of a decision (its world-line says so).
    Report {
        /// Who.
        object: ObjectId,
        /// Its life.
        incarnation: Incarnation,
        /// The gather that is answered, if any. Having answered, it consumes nothing until the
        /// gather ends.
        gather: Option<GatherId>,
        /// Its part of the graph.
        fragment: Fragment,
    },
    /// A version became durable.
    Persisted {
        /// Who.
        object: ObjectId,
        /// Its life.
        incarnation: Incarnation,
        /// Its world-line now.
        world_line: WorldLine,
        /// The version.
        version: Version,
        /// What it depends on, beyond what is known to be committed.
        dependencies: DependencySet,
    },
    /// The participant ends its life with everything inside the boundary.
    Leave {
        /// Who.
        object: ObjectId,
        /// Its life.
        incarnation: Incarnation,
        /// Its last version, inside the boundary.
        version: Version,
    },
}

impl ToCoordinator {
    /// Who sent it, in which incarnation.
    ///
    /// ```
    /// use leap_core::{Incarnation, ObjectId, ToCoordinator, Version};
    ///
    /// let (object, incarnation) = (ObjectId::from_name("hotel"), Incarnation(1));
    /// let leave = ToCoordinator::Leave { object, incarnation, version: Version(9) };
    /// assert_eq!(leave.sender(), (object, incarnation));
    /// ```
    pub fn sender(&self) -> (ObjectId, Incarnation) {
        match self {
            Self::Join {
                object,
                incarnation,
                ..
            }
            | Self::Report {
                object,
                incarnation,
                ..
            }
            | Self::Persisted {
                object,
                incarnation,
                ..
            }
            | Self::Leave {
                object,
                incarnation,
                ..
            } => (*object, *incarnation),
        }
    }
}

/// Why the coordinator refuses a participant.
///
/// ```
/// use leap_core::{Incarnation, message::Refusal};
///
/// let fenced = Refusal::Fenced { by: Incarnation(2) };
/// assert_eq!(fenced.to_string(), "incarnation 2 has taken over");
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize, thiserror::Error)]
pub enum Refusal {
    /// A newer incarnation exists (rule P12).
    #[error("incarnation {by} has taken over")]
    Fenced {
        /// The newest incarnation.
        by: Incarnation,
    },
    /// The object was removed from the cluster. Its next incarnation may join, with what it has that was
    /// inside the boundary; unless nobody can say what was, since others were removed with it before the boundary was known.
    #[error("the object was removed from the cluster")]
    Removed,
    /// The cluster has gone on without this incarnation for longer than anybody remembers. It is no
    /// member any more.
    #[error("the cluster went on to world-line {world_line} without it")]
    LeftBehind {
        /// The oldest world-line that is remembered.
        world_line: WorldLine,
    },
    /// Storage came back with less than what was already released to the outside world, or than others rest on.
    #[error(
        "storage holds versions up to {found}, but {committed} was already committed: committed data was lost"
    )]
    LostCommitted {
        /// The newest version inside the boundary.
        committed: Version,
        /// The newest version that storage still has.
        found: Version,
    },
    /// It has been in a world-line that the cluster has not reached, and no other coordinator has taken the cluster
    /// there (rule P11): its storage is of another cluster, or the coordinator's log was lost.
    #[error(
        "it comes from another cluster, or the coordinator has lost its log: this one is in world-line {world_line} only"
    )]
    OtherCluster {
        /// The newest world-line here.
        world_line: WorldLine,
    },
    /// The object lives in another storage, or was last there and has committed something: what is here is
    /// another object of the same name, or a copy (rule P12).
    #[error(
        "the object's place is another storage, with incarnation {by}; what is here is a copy, or another object of its name"
    )]
    OtherStorage {
        /// Its newest incarnation there.
        by: Incarnation,
    },
}

/// From the coordinator to a participant or an [`Observer`](crate::Observer).
///
/// ```
/// use leap_core::{ObjectId, ToParticipant, Version};
///
/// let news = ToParticipant::Boundary([(ObjectId::from_name("hotel"), Version(3))].into());
/// assert_eq!(ToParticipant::decode(&news.encode()), Ok(news));
/// ```
#[derive(Clone, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub enum ToParticipant {
    /// The answer to a link that subscribed: where the cluster stands.
    Welcome {
        /// The world-line before the first of `decisions`.
        world_line: WorldLine,
        /// The decisions that the subscriber has not seen, oldest first.
        decisions: Vec<Decision>,
        /// The whole boundary.
        boundary: BTreeMap<ObjectId, Version>,
    },
    /// The answer to a join: live on in `world_line` from the end of version `keep`.
    Admit {
        /// The incarnation that is admitted.
        incarnation: Incarnation,
        /// The current world-line.
        world_line: WorldLine,
        /// The newest version that survives.
        keep: Version,
        /// The whole boundary, or nothing if the coordinator does not know it yet.
        boundary: BTreeMap<ObjectId, Version>,
    },
    /// Report your fragment, then consume nothing until the gather ends.
    Gather {
        /// Names the question.
        gather: GatherId,
    },
    /// The gather ended without a decision.
    GatherDone {
        /// Names the question.
        gather: GatherId,
    },
    /// A rollback decision, logged durably.
    Decide(Decision),
    /// The boundary advanced for these objects (rule P7).
    Boundary(BTreeMap<ObjectId, Version>),
    /// The sender of the last message may not take part.
    Refused {
        /// The incarnation that is refused.
        incarnation: Incarnation,
        /// Why.
        refusal: Refusal,
    },
    /// A leave is on record.
    Left {
        /// The incarnation that left.
        incarnation: Incarnation,
    },
}

/// A message on the exactly-once channel between two objects (rule P14).
///
/// ```
/// use leap_core::{ChannelMessage, Header, ObjectId, Seq, Version, WorldLine};
///
/// let message = ChannelMessage {
///     seq: Seq(0), // the first on its channel
///     header: Header::of(WorldLine(0), ObjectId::from_name("hotel"), Version(1)),
///     payload: "cook".into(),
/// };
/// assert_eq!(message.payload, "cook");
/// ```
#[derive(Clone, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub struct ChannelMessage {
    /// Position in the channel.
    pub seq: Seq,
    /// The sender's vertex.
    pub header: Header,
    /// The application's bytes.
    pub payload: Bytes,
}

/// From one participant to another.
///
/// ```
/// use leap_core::{PeerMessage, Seq};
///
/// let consumed = PeerMessage::Acknowledge(Seq(7)); // all before the eighth
/// assert_eq!(PeerMessage::decode(&consumed.encode()), Ok(consumed));
/// ```
#[derive(Clone, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub enum PeerMessage {
    /// The next message of the channel.
    Channel(ChannelMessage),
    /// All messages below this position are consumed inside the boundary; forget them.
    Acknowledge(Seq),
    /// A message was discarded because its world-line is over (rule P5); this is the current one.
    WorldLine(WorldLine),
    /// Messages that came before they could be consumed had to be dropped for lack of room; there is
    /// room again in this world-line: send again what is not acknowledged.
    Resend(WorldLine),
}

const TO_COORDINATOR: Format = Format {
    what: "message to the coordinator",
    version: 1,
    limit: 64 << 20,
};
const TO_PARTICIPANT: Format = Format {
    what: "message of the coordinator",
    version: 3,
    limit: 64 << 20,
};
const PEER: Format = Format {
    what: "peer message",
    version: 1,
    limit: 64 << 20,
};

macro_rules! encoded {
    ($name:ident, $format:ident) => {
        impl $name {
            /// The bytes that travel. See the example at the type.
            pub fn encode(&self) -> Vec<u8> {
                $format.encode(self)
            }

            /// Reads what `encode` wrote. See the example at the type.
            ///
            /// # Errors
            ///
            /// Anything that is not exactly one message of this format version.
            pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
                $format.decode(bytes)
            }
        }
    };
}

encoded!(ToCoordinator, TO_COORDINATOR);
encoded!(ToParticipant, TO_PARTICIPANT);
encoded!(PeerMessage, PEER);
