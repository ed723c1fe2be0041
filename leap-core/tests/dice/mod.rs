//! Values made from bytes: mostly small numbers, so that they meet each other, now and then extreme ones.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use leap_core::decision::Cause;
use leap_core::{
    ChannelMessage, Decision, DependencySet, Fragment, GatherId, Header, Incarnation, Ledger,
    LogRecord, ObjectId, PeerMessage, Seq, ToCoordinator, ToParticipant, Version, VersionMetadata,
    WorldLine,
    message::{FragmentVersion, Refusal},
    metadata::PeerRecord,
};
use serde::Serialize;

/// What a ledger says of a member, as it is encoded. (Only the core makes ledgers.)
#[derive(Serialize)]
enum Standing {
    Present,
    Left(Version),
    Removed(Version),
}

/// Reads numbers from bytes, and zeros after their end.
pub(crate) struct Dice<'a> {
    bytes: &'a [u8],
    /// World-lines and terms are mostly up to this one: whoever speaks of later ones has seen a
    /// successor of the coordinator that listens, which then falls silent.
    pub(crate) newest: u64,
}

impl<'a> Dice<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, newest: 7 }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    pub(crate) fn byte(&mut self) -> u8 {
        let (first, rest) = self.bytes.split_first().unwrap_or((&0, &[]));
        self.bytes = rest;
        *first
    }

    /// One of `0..sides`.
    pub(crate) fn roll(&mut self, sides: u8) -> u8 {
        self.byte() % sides
    }

    pub(crate) fn coin(&mut self) -> bool {
        self.roll(2) == 1
    }

    /// A counter: small, or at its very end.
    fn counter(&mut self, max: u64) -> u64 {
        match self.byte() {
            255 => max,
            254 => max - 1,
            byte => u64::from(byte % 8),
        }
    }

    fn recent(&mut self, max: u64) -> u64 {
        match self.byte() {
            255 => max,
            byte => u64::from(byte) % (self.newest + 1),
        }
    }

    pub(crate) fn object(&mut self) -> ObjectId {
        match self.byte() {
            255 => ObjectId(u64::MAX),
            byte => ObjectId(u64::from(byte % 4)),
        }
    }

    pub(crate) fn incarnation(&mut self) -> Incarnation {
        Incarnation(self.counter(u64::MAX))
    }

    pub(crate) fn version(&mut self) -> Version {
        Version(self.counter(Version::MAX.0))
    }

    pub(crate) fn world_line(&mut self) -> WorldLine {
        WorldLine(self.recent(WorldLine::MAX.0))
    }

    pub(crate) fn seq(&mut self) -> Seq {
        Seq(self.counter(Seq::MAX.0))
    }

    pub(crate) fn gather(&mut self) -> GatherId {
        GatherId {
            term: self.recent(u64::MAX),
            number: self.counter(u64::MAX),
        }
    }

    fn some<T>(&mut self, mut one: impl FnMut(&mut Self) -> T) -> Vec<T> {
        (0..self.roll(4)).map(|_| one(self)).collect()
    }

    pub(crate) fn payload(&mut self) -> Bytes {
        self.some(Self::byte).into()
    }

    pub(crate) fn dependencies(&mut self) -> DependencySet {
        let entries = self.some(|dice| (dice.object(), dice.version()));
        entries.into_iter().collect()
    }

    pub(crate) fn versions(&mut self) -> BTreeMap<ObjectId, Version> {
        let entries = self.some(|dice| (dice.object(), dice.version()));
        entries.into_iter().collect()
    }

    pub(crate) fn header(&mut self) -> Header {
        Header {
            world_line: self.world_line(),
            dependencies: self.dependencies(),
        }
    }

    fn fragment(&mut self) -> Fragment {
        let entry = |dice: &mut Self| FragmentVersion {
            version: dice.version(),
            world_line: dice.world_line(),
            dependencies: dice.dependencies(),
            durable: dice.coin(),
        };
        let mut versions = self.some(entry);
        versions.sort_by_key(|entry| entry.version);
        versions.dedup_by_key(|entry| entry.version);
        Fragment {
            world_line: self.world_line(),
            committed: self.version(),
            versions,
        }
    }

    pub(crate) fn message_to_coordinator(&mut self) -> ToCoordinator {
        let (object, incarnation) = (self.object(), self.incarnation());
        match self.roll(4) {
            0 => ToCoordinator::Join {
                object,
                incarnation,
                fragment: self.fragment(),
            },
            1 => ToCoordinator::Report {
                object,
                incarnation,
                gather: self.coin().then(|| self.gather()),
                fragment: self.fragment(),
            },
            2 => ToCoordinator::Persisted {
                object,
                incarnation,
                world_line: self.world_line(),
                version: self.version(),
                dependencies: self.dependencies(),
            },
            _ => ToCoordinator::Leave {
                object,
                incarnation,
                version: self.version(),
            },
        }
    }

    pub(crate) fn decision(&mut self) -> Decision {
        Decision {
            world_line: self.world_line(),
            cause: if self.coin() {
                Cause::Failed {
                    object: self.object(),
                    successor: self.incarnation(),
                }
            } else {
                Cause::Removed(self.some(Self::object).into_iter().collect())
            },
            cut: self.versions(),
        }
    }

    pub(crate) fn message_to_participant(&mut self) -> ToParticipant {
        let incarnation = self.incarnation();
        match self.roll(11) {
            0 => ToParticipant::Welcome {
                world_line: self.world_line(),
                decisions: self.some(Self::decision),
                boundary: self.versions(),
            },
            1 => ToParticipant::Admit {
                incarnation,
                world_line: self.world_line(),
                keep: self.version(),
                boundary: self.versions(),
            },
            2 => ToParticipant::Gather {
                gather: self.gather(),
            },
            3 => ToParticipant::GatherDone {
                gather: self.gather(),
            },
            4 => ToParticipant::Decide(self.decision()),
            5 => ToParticipant::Boundary(self.versions()),
            6 => ToParticipant::Refused {
                incarnation,
                refusal: Refusal::Fenced {
                    by: self.incarnation(),
                },
            },
            7 => ToParticipant::Refused {
                incarnation,
                refusal: Refusal::Removed,
            },
            8 => ToParticipant::Refused {
                incarnation,
                refusal: Refusal::LeftBehind {
                    world_line: self.world_line(),
                },
            },
            9 => ToParticipant::Refused {
                incarnation,
                refusal: Refusal::LostCommitted {
                    committed: self.version(),
                    found: self.version(),
                },
            },
            10 => ToParticipant::Refused {
                incarnation,
                refusal: Refusal::OtherStorage {
                    by: self.incarnation(),
                },
            },
            11 => ToParticipant::Refused {
                incarnation,
                refusal: Refusal::OtherCluster {
                    world_line: self.world_line(),
                },
            },
            _ => ToParticipant::Left { incarnation },
        }
    }

    pub(crate) fn peer_message(&mut self) -> PeerMessage {
        match self.roll(8) {
            0 => PeerMessage::Acknowledge(self.seq()),
            1 => PeerMessage::WorldLine(self.world_line()),
            2 => PeerMessage::Resend(self.world_line()),
            _ => PeerMessage::Channel(ChannelMessage {
                seq: self.seq(),
                header: self.header(),
                payload: self.payload(),
            }),
        }
    }

    pub(crate) fn metadata(&mut self) -> VersionMetadata {
        let record = |dice: &mut Self| PeerRecord {
            in_next: dice.seq(),
            acknowledged: dice.seq(),
            out_first: dice.seq(),
            sent: dice.some(|dice| (dice.version(), dice.payload())),
        };
        let version = self.version();
        let mut dependencies = self.dependencies();
        // Rule P4 is the writer's business.
        dependencies.retain(|_, needs| needs <= version);
        VersionMetadata {
            version,
            world_line: self.world_line(),
            committed: self.version(),
            dependencies,
            channels: self
                .some(|dice| (dice.object(), record(dice)))
                .into_iter()
                .collect(),
            complete: self.coin(),
        }
    }

    pub(crate) fn log_record(&mut self) -> LogRecord {
        let (object, incarnation) = (self.object(), self.incarnation());
        match self.roll(3) {
            0 => LogRecord::Joined {
                object,
                incarnation,
                keep: self.version(),
            },
            1 => LogRecord::Left {
                object,
                incarnation,
                version: self.version(),
            },
            _ => LogRecord::Decided {
                decision: self.decision(),
                boundary: self.versions(),
                blindly: self.coin(),
            },
        }
    }

    pub(crate) fn ledger(&mut self) -> Ledger {
        let recent = (self.world_line(), self.some(Self::decision));
        let members = self.some(|dice| (dice.object(), (dice.incarnation(), dice.standing())));
        let members: BTreeMap<_, _> = members.into_iter().collect();
        let cut = |dice: &mut Self| (dice.world_line(), dice.version());
        let cuts = self.some(|dice| (dice.object(), dice.some(cut)));
        let cuts: BTreeMap<_, _> = cuts.into_iter().collect();
        let removals = self.some(Self::removal);
        let mut encoded = vec![2];
        let content = postcard::to_allocvec(&(recent, members, cuts, removals));
        encoded.extend(content.expect("numbers can be encoded"));
        Ledger::decode(&encoded).expect("it is laid out like a ledger")
    }

    fn standing(&mut self) -> Standing {
        match self.roll(3) {
            0 => Standing::Present,
            1 => Standing::Left(self.version()),
            _ => Standing::Removed(self.version()),
        }
    }

    fn removal(&mut self) -> impl Serialize + use<> {
        let world_line = self.world_line();
        let away: BTreeSet<_> = self.some(Self::object).into_iter().collect();
        let boundary = self.versions();
        let unknown: BTreeSet<_> = self.some(Self::object).into_iter().collect();
        (world_line, away, boundary, unknown)
    }
}
