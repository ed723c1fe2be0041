//! What travels on a connection, and its encoding.
//!
//! ```text
//! byte 0      format version
//! byte 1..    postcard (variable-length integers, fields in declaration order)
//! ```
//!
//! Decoding never panics and refuses whatever is not exactly one frame.

use std::collections::BTreeMap;

use bytes::Bytes;
use leap_core::{
    DecodeError, DependencySet, Incarnation, ObjectId, PeerMessage, ToCoordinator, ToParticipant,
    Version, WorldLine,
};
use serde::{Deserialize, Serialize};

/// The largest frame that is sent or accepted, encoded. What applications put into messages must
/// stay below it by some hundred bytes for the rest of the frame.
pub(crate) const MAX_FRAME_BYTES: usize = 16 << 20;

const WHAT: &str = "frame";
const VERSION: u8 = 1;

/// One OS process of the cluster, for as long as it runs.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct HostId(pub(crate) u64);

/// One thing that a process says to another.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(crate) enum Frame {
    /// The first frame each way: who speaks, and what the connection is for.
    Hello {
        /// Version of what the frames mean, as opposed to how they are encoded.
        protocol: u32,
        /// What the connection is for.
        purpose: Purpose,
    },
    /// From one object to another.
    Peer {
        /// The sender.
        from: ObjectId,
        /// The receiver.
        to: ObjectId,
        /// What it says.
        message: PeerMessage,
    },
    /// From an object to the coordinator.
    ToCoordinator(ToCoordinator),
    /// From the coordinator.
    FromCoordinator {
        /// For whom; `None`: for everyone on the connection.
        to: Option<(ObjectId, Incarnation)>,
        /// What it says.
        message: ToParticipant,
    },
    /// From a host to the coordinator: what it hosts. From the coordinator to hosts: where
    /// everybody is.
    Announce(Vec<DirectoryEntry>),
    /// From a host to the coordinator: somebody there waits until these versions are inside the boundary,
    /// so tell it then at once. News that nobody waits for comes in bundles.
    Await(DependencySet),
    /// From the coordinator, the answer: these versions are inside the boundary. Unlike what everybody is told, that is
    /// not all that is, so what they depend on may be missing.
    Reached(BTreeMap<ObjectId, Version>),
    /// To a host that takes the sender for its coordinator: why it is not.
    TurnedAway(String),
}

/// What a connection is for.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(crate) enum Purpose {
    /// Messages between objects of two hosts.
    Peer {
        /// Who speaks.
        host: HostId,
    },
    /// A host and the coordinator.
    Participant {
        /// Who speaks.
        host: HostId,
        /// The world-line up to which it knows all decisions, if it knows any.
        known: Option<WorldLine>,
        /// The boundary as everybody was told it up to some moment: with all that is in it, also all that that
        /// depends on.
        boundary: BTreeMap<ObjectId, Version>,
    },
}

/// Where an object is.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(crate) struct DirectoryEntry {
    /// The object.
    pub(crate) object: ObjectId,
    /// Its name.
    pub(crate) name: String,
    /// Where its host listens.
    pub(crate) address: String,
    /// Its life there.
    pub(crate) incarnation: Incarnation,
}

/// A frame as it travels. Encode once to send the same frame on several connections.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Encoded(pub(super) Bytes);

impl Frame {
    /// The bytes that travel.
    pub(crate) fn encode(&self) -> Encoded {
        let bytes = postcard::to_extend(self, vec![VERSION])
            .expect("plain data in memory always has an encoding");
        Encoded(bytes.into())
    }

    /// Reads what [`Frame::encode`] wrote.
    ///
    /// # Errors
    ///
    /// Anything that is not exactly one frame of this format version.
    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        if bytes.len() > MAX_FRAME_BYTES {
            return Err(DecodeError::TooLong {
                what: WHAT,
                length: bytes.len(),
                limit: MAX_FRAME_BYTES,
            });
        }
        let (&version, body) = bytes
            .split_first()
            .ok_or(DecodeError::Empty { what: WHAT })?;
        if version != VERSION {
            return Err(DecodeError::UnknownVersion {
                what: WHAT,
                found: version,
                supported: VERSION,
            });
        }
        match postcard::take_from_bytes(body) {
            Ok((frame, [])) => Ok(frame),
            Ok((_, rest)) => Err(malformed(&format_args!("{} bytes left over", rest.len()))),
            Err(error) => Err(malformed(&error)),
        }
    }
}

impl From<Frame> for Encoded {
    fn from(frame: Frame) -> Self {
        frame.encode()
    }
}

impl From<&Frame> for Encoded {
    fn from(frame: &Frame) -> Self {
        frame.encode()
    }
}

fn malformed(reason: &dyn ToString) -> DecodeError {
    DecodeError::Malformed {
        what: WHAT,
        reason: reason.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use leap_core::{ChannelMessage, Header, Seq};

    use super::*;

    fn examples() -> Vec<Frame> {
        let (hotel, flight) = (ObjectId::from_name("hotel"), ObjectId::from_name("flight"));
        vec![
            Frame::Hello {
                protocol: 1,
                purpose: Purpose::Participant {
                    host: HostId(7),
                    known: Some(WorldLine(2)),
                    boundary: [(hotel, Version(7))].into(),
                },
            },
            Frame::Peer {
                from: hotel,
                to: flight,
                message: PeerMessage::Channel(ChannelMessage {
                    seq: Seq(3),
                    header: Header::of(WorldLine(2), hotel, Version(9)),
                    payload: Bytes::from_static(b"seat 12A"),
                }),
            },
            Frame::FromCoordinator {
                to: None,
                message: ToParticipant::Boundary([(hotel, Version(8))].into()),
            },
            Frame::Reached([(hotel, Version(9))].into()),
            Frame::TurnedAway("it is at http://127.0.0.1:7400".into()),
            Frame::Await([(hotel, Version(9))].into_iter().collect()),
            Frame::Announce(vec![DirectoryEntry {
                object: hotel,
                name: "hotel".into(),
                address: "http://127.0.0.1:7400".into(),
                incarnation: Incarnation(1),
            }]),
        ]
    }

    #[test]
    fn frames_come_back_as_they_were() {
        for frame in examples() {
            assert_eq!(Frame::decode(&frame.encode().0), Ok(frame));
        }
    }

    #[test]
    fn every_truncation_and_every_extension_is_refused() {
        for frame in examples() {
            let mut bytes = frame.encode().0.to_vec();
            for length in 0..bytes.len() {
                assert!(
                    Frame::decode(&bytes[..length]).is_err(),
                    "{frame:?} cut at {length}"
                );
            }
            bytes.push(0);
            assert!(
                Frame::decode(&bytes).is_err(),
                "{frame:?} and one byte more"
            );
        }
    }

    #[test]
    fn another_format_version_and_an_oversized_frame_are_named() {
        assert_eq!(
            Frame::decode(&[VERSION + 1, 0]),
            Err(DecodeError::UnknownVersion {
                what: "frame",
                found: VERSION + 1,
                supported: VERSION
            })
        );
        assert!(matches!(
            Frame::decode(&vec![VERSION; MAX_FRAME_BYTES + 1]),
            Err(DecodeError::TooLong { .. })
        ));
    }

    #[test]
    fn decoding_anything_never_panics_and_encodings_are_stable() {
        bolero::check!().for_each(|bytes: &[u8]| {
            // As such almost everything fails at the first byte, so give it the right one too.
            let _ = Frame::decode(bytes);
            let versioned = [&[VERSION], bytes].concat();
            if let Ok(frame) = Frame::decode(&versioned) {
                assert_eq!(Frame::decode(&frame.encode().0), Ok(frame));
            }
        });
    }
}
