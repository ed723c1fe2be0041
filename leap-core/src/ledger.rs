//! What the coordinator's log says: who belongs to the cluster, in which world-line it is, and what
//! storage may still hold although a decision removed it.
//!
//! The log is a list of [`LogRecord`]s, and a [`Ledger`] is what they come to. So a ledger can be stored
//! in the place of all records that it is made of: the log is bounded by the members, not by how often they
//! failed (rule P13).
//!
//! # When a decision may be forgotten
//!
//! A decision has three kinds of readers.
//!
//! - *Members that live.* Each acknowledges it before the next one is taken, so only the newest is ever told.
//! - *Storage* of an object that comes back: it may hold versions, named in an older world-line, that were removed
//!   while they were on their way there. What it needs is the decision's cut of that object, until the object has committed
//!   more than the cut kept: a later version is durable then, and storage drops what a restore removes before it takes
//!   any later version. Of two cuts of an object the older one says nothing if it kept as much as the later one.
//!   If the decision removed the object, what it needs is the boundary at that moment, until the object is back.
//! - *Processes that were away* and have sthreads from before it. They are told the newest decisions, as many as are
//!   remembered; what is older than these in such a process counts as rolled back.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::{
    decision::{Cause, Decision, Recent},
    encoding::{DecodeError, Format},
    id::{ObjectId, Version, WorldLine},
    incarnation::Incarnation,
    message::{Fragment, FragmentVersion},
};

/// One entry of the coordinator's durable log (rule P11).
///
/// ```
/// use leap_core::{Incarnation, LogRecord, ObjectId, Version};
///
/// let (object, incarnation) = (ObjectId::from_name("hotel"), Incarnation(1));
/// let record = LogRecord::Joined { object, incarnation, keep: Version::ZERO };
/// // What is in the log, a new coordinator knows.
/// let next = leap_core::Coordinator::recover(2, None, [record]);
/// assert!(next.has_member(object));
/// ```
#[derive(Clone, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub enum LogRecord {
    /// `object` is a member from here on, in this incarnation, and nothing was lost with the last one.
    Joined {
        /// The member.
        object: ObjectId,
        /// Its life.
        incarnation: Incarnation,
        /// What it starts from. If it was removed before, storage may hold later versions that do not count.
        keep: Version,
    },
    /// `object` left with everything inside the boundary; its return is no failure.
    Left {
        /// The member.
        object: ObjectId,
        /// Its life that ended.
        incarnation: Incarnation,
        /// Its last version, committed.
        version: Version,
    },
    /// A rollback decision.
    Decided {
        /// What it says.
        decision: Decision,
        /// The boundary at that moment, if objects are removed: if one comes back, what it has in storage
        /// survives as far as it depends on nothing beyond.
        boundary: BTreeMap<ObjectId, Version>,
        /// Objects are removed by a coordinator that did not know the boundary. Of these `boundary` has all that others
        /// rest on, and perhaps less than they had inside it themselves, whether they had been heard or not.
        blindly: bool,
    },
}

/// Whether a member takes part.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub(crate) enum Standing {
    Present,
    /// It ended with all up to this version committed, and is not asked for anything until it is back.
    Left(Version),
    /// The same, but it was removed and may not know.
    Removed {
        committed: Version,
    },
}

#[derive(Clone, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub(crate) struct Member {
    pub(crate) incarnation: Incarnation,
    pub(crate) standing: Standing,
}

impl Member {
    /// Whether it lives, and in this incarnation.
    pub(crate) fn is_present(&self, incarnation: Incarnation) -> bool {
        self.incarnation == incarnation && self.standing == Standing::Present
    }
}

/// What a decision left of one object: all up to `kept`.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
struct Cut {
    /// The world-line that the decision opened: it is about what was named in older ones.
    world_line: WorldLine,
    kept: Version,
}

impl Cut {
    fn removes(&self, entry: &FragmentVersion) -> bool {
        entry.world_line < self.world_line && entry.version > self.kept
    }

    /// Whether no storage can hold any more what this cut removed. See the [module documentation](self).
    fn is_outlived(&self, committed: Version) -> bool {
        committed > self.kept
    }
}

/// What a decision that removed objects left of them: what depends on nothing outside of the boundary at that
/// moment. One entry for all of them, since each is measured by the whole boundary.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
struct Removal {
    /// The world-line that the decision opened: it is about what was named in older ones.
    world_line: WorldLine,
    /// Those of them that are not back.
    away: BTreeSet<ObjectId>,
    /// It may lack versions of `unknown` objects that were inside.
    boundary: BTreeMap<ObjectId, Version>,
    unknown: BTreeSet<ObjectId>,
}

impl Removal {
    fn removes(&self, entry: &FragmentVersion) -> bool {
        entry.world_line < self.world_line && outside(entry, &self.boundary).next().is_some()
    }

    /// Whether what it removes may have been inside the boundary after all.
    fn is_in_doubt(&self, entry: &FragmentVersion) -> bool {
        outside(entry, &self.boundary).all(|object| self.unknown.contains(&object))
    }
}

/// The objects of which `entry` depends on a version outside of `boundary`.
fn outside<'a>(
    entry: &'a FragmentVersion,
    boundary: &'a BTreeMap<ObjectId, Version>,
) -> impl Iterator<Item = ObjectId> + 'a {
    let dependencies = entry.dependencies.iter();
    dependencies
        .filter(|(object, version)| *version > boundary.get(object).copied().unwrap_or_default())
        .map(|(object, _)| object)
}

/// How many decisions are remembered for processes that were away.
pub(crate) const REMEMBERED: usize = 64;

/// All that the log says. See the [module documentation](self).
///
/// The coordinator makes it ([`CoordinatorEffect::Checkpoint`](crate::CoordinatorEffect::Checkpoint)), and the next
/// one starts from it:
///
/// ```
/// use leap_core::{Coordinator, CoordinatorEffect, Incarnation, Ledger, LogRecord, ObjectId, Version};
///
/// let object = ObjectId::from_name("hotel");
/// let life = |life| {
///     let (incarnation, version) = (Incarnation(life), Version(0));
///     let joined = LogRecord::Joined { object, incarnation, keep: version };
///     [joined, LogRecord::Left { object, incarnation, version }]
/// };
/// let mut coordinator = Coordinator::recover(1, None, [life(1), life(2)].concat());
/// let ledger = std::iter::from_fn(|| coordinator.poll_effect()).find_map(|effect| match effect {
///     CoordinatorEffect::Checkpoint(ledger) => Some(ledger),
///     _ => None,
/// });
/// let ledger = ledger.expect("four records say of one member what one entry says");
/// assert_eq!(ledger.len(), 1);
/// let stored = Ledger::decode(&ledger.encode())?;
/// let next = Coordinator::recover(2, Some(stored), []);
/// assert_eq!(next.members().count(), 0, "it has left");
/// # Ok::<(), leap_core::DecodeError>(())
/// ```
#[derive(Clone, PartialEq, Eq, Hash, Debug, Default, Serialize, Deserialize)]
pub struct Ledger {
    recent: Recent,
    members: BTreeMap<ObjectId, Member>,
    /// Per object, oldest first; each kept more than the one before.
    cuts: BTreeMap<ObjectId, Vec<Cut>>,
    /// Oldest first; each as long as somebody is away.
    removals: Vec<Removal>,
}

/// Asking it.
impl Ledger {
    /// The world-line of the newest decision.
    ///
    /// ```
    /// use leap_core::Ledger;
    ///
    /// let ledger = Ledger::default(); // of a cluster that nobody has joined
    /// assert_eq!(ledger.world_line(), leap_core::WorldLine(0));
    /// ```
    pub fn world_line(&self) -> WorldLine {
        self.recent.world_line()
    }

    /// How many entries it has: one for each member, remembered decision, and cut or removal that storage may need.
    ///
    /// ```
    /// use leap_core::Ledger;
    ///
    /// let ledger = Ledger::default(); // of a cluster that nobody has joined
    /// assert_eq!(ledger.len(), 0);
    /// ```
    pub fn len(&self) -> usize {
        let cuts = self.cuts.values().map(Vec::len).sum::<usize>();
        self.members.len() + self.recent.iter().count() + cuts + self.removals.len()
    }

    /// Whether nobody ever was a member.
    ///
    /// ```
    /// use leap_core::Ledger;
    ///
    /// let ledger = Ledger::default(); // of a cluster that nobody has joined
    /// assert!(ledger.is_empty());
    /// ```
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The members that take part, with their incarnations.
    ///
    /// ```
    /// use leap_core::Ledger;
    ///
    /// let ledger = Ledger::default(); // of a cluster that nobody has joined
    /// assert_eq!(ledger.present().count(), 0);
    /// ```
    pub fn present(&self) -> impl Iterator<Item = (ObjectId, Incarnation)> + '_ {
        let present = self
            .members
            .iter()
            .filter(|(_, member)| member.standing == Standing::Present);
        present.map(|(&object, member)| (object, member.incarnation))
    }

    /// What is known to be committed: of those who take no part, and what was inside the boundary when somebody was
    /// removed who is not back. No later removal may give that up, since what the removed has in storage is
    /// measured by it.
    pub(crate) fn committed(&self) -> Vec<(ObjectId, Version)> {
        let away = self
            .members
            .iter()
            .filter_map(|(&object, member)| match member.standing {
                Standing::Left(committed) | Standing::Removed { committed } => {
                    Some((object, committed))
                }
                Standing::Present => None,
            });
        let within = self.removals.iter().flat_map(|removal| &removal.boundary);
        let within = within.map(|(&object, &version)| (object, version));
        away.chain(within).collect()
    }

    pub(crate) fn members(&self) -> &BTreeMap<ObjectId, Member> {
        &self.members
    }

    pub(crate) fn recent(&self) -> &Recent {
        &self.recent
    }

    /// Whether an object comes back with something of which nobody can say whether it was inside the boundary: it
    /// rests on others that were removed by the same decision, while the boundary was not known. What they had inside
    /// themselves was not known then, not even of those who had been heard before they were removed.
    pub(crate) fn is_in_doubt(&self, object: ObjectId, fragment: &Fragment) -> bool {
        self.first_removed(object, fragment).is_some_and(|index| {
            let entry = &fragment.versions[index];
            let is_cut = self.cuts_of(object).iter().any(|cut| cut.removes(entry));
            let mut removals = self.removals_of(object).filter(|r| r.removes(entry));
            !is_cut && removals.all(|removal| removal.is_in_doubt(entry))
        })
    }

    /// What decisions that were taken since leave of what storage gave back: what was removed once does
    /// not come back (rule P9).
    pub(crate) fn surviving(&self, object: ObjectId, mut fragment: Fragment) -> Fragment {
        let first_removed = self.first_removed(object, &fragment);
        fragment
            .versions
            .truncate(first_removed.unwrap_or(fragment.versions.len()));
        fragment
    }

    fn first_removed(&self, object: ObjectId, fragment: &Fragment) -> Option<usize> {
        let cuts = self.cuts_of(object);
        let removals: Vec<_> = self.removals_of(object).collect();
        let mut versions = fragment.versions.iter();
        versions.position(|entry| {
            cuts.iter().any(|cut| cut.removes(entry))
                || removals.iter().any(|removal| removal.removes(entry))
        })
    }

    fn cuts_of(&self, object: ObjectId) -> &[Cut] {
        self.cuts.get(&object).map_or(&[], Vec::as_slice)
    }

    /// The removals from which `object` is not back.
    fn removals_of(&self, object: ObjectId) -> impl Iterator<Item = &Removal> {
        let removals = self.removals.iter();
        removals.filter(move |removal| removal.away.contains(&object))
    }
}

/// What changes it.
impl Ledger {
    /// Takes in the next record; `remembered` decisions at most are kept for processes that were away.
    pub(crate) fn apply(&mut self, record: &LogRecord, remembered: usize) {
        match record {
            &LogRecord::Joined {
                object,
                incarnation,
                keep,
            } => {
                self.end_removal(object, keep);
                self.set(object, incarnation, Standing::Present);
            }
            &LogRecord::Left {
                object,
                incarnation,
                version,
            } => self.set(object, incarnation, Standing::Left(version)),
            LogRecord::Decided {
                decision,
                boundary,
                blindly,
            } => {
                let is_next = self.recent.push(decision, remembered);
                assert!(is_next, "decisions are logged one after the other");
                self.cut_all(decision);
                match &decision.cause {
                    &Cause::Failed { object, successor } => {
                        self.set(object, successor, Standing::Present);
                    }
                    Cause::Removed(objects) => {
                        self.remove(objects, decision.world_line, boundary, *blindly);
                    }
                }
            }
        }
    }

    /// Remembers so many decisions at most.
    pub(crate) fn trim(&mut self, remembered: usize) {
        self.recent.trim(remembered);
    }

    /// Forgets what no storage can hold any more.
    pub(crate) fn forget(&mut self, committed: impl Fn(ObjectId) -> Version) {
        self.cuts.retain(|&object, cuts| {
            cuts.retain(|cut| !cut.is_outlived(committed(object)));
            !cuts.is_empty()
        });
    }

    fn set(&mut self, object: ObjectId, incarnation: Incarnation, standing: Standing) {
        self.members.insert(
            object,
            Member {
                incarnation,
                standing,
            },
        );
    }

    fn cut_all(&mut self, decision: &Decision) {
        for (&object, &kept) in &decision.cut {
            if !decision.is_removal_of(object) {
                self.cut(object, decision.world_line, kept);
            }
        }
    }

    /// All of `object` after `kept` was removed. What an older cut kept beyond that is gone as well.
    fn cut(&mut self, object: ObjectId, world_line: WorldLine, kept: Version) {
        let cuts = self.cuts.entry(object).or_default();
        cuts.retain(|cut| cut.kept < kept);
        cuts.push(Cut { world_line, kept });
    }

    /// The objects' own storage is not held to what the cluster knows of them: it may hold more that was inside the
    /// boundary, since an object may commit without the coordinator (rule P7).
    fn remove(
        &mut self,
        objects: &BTreeSet<ObjectId>,
        world_line: WorldLine,
        boundary: &BTreeMap<ObjectId, Version>,
        blindly: bool,
    ) {
        for object in objects {
            if let Some(member) = self.members.get_mut(object) {
                let committed = boundary.get(object).copied().unwrap_or_default();
                member.standing = Standing::Removed { committed };
            }
        }
        self.removals.push(Removal {
            world_line,
            away: objects.clone(),
            boundary: boundary.clone(),
            unknown: match blindly {
                true => objects.clone(),
                false => BTreeSet::new(),
            },
        });
    }

    /// An object that was removed is back: now it is known what it kept.
    fn end_removal(&mut self, object: ObjectId, keep: Version) {
        let mut removed_in = None;
        for removal in &mut self.removals {
            if removal.away.remove(&object) {
                removed_in = Some(removal.world_line);
            }
        }
        self.removals.retain(|removal| !removal.away.is_empty());
        if let Some(world_line) = removed_in {
            self.cut(object, world_line, keep);
        }
    }
}

// No coordinator could start from what it may not read again, so the limits are far beyond what any cluster has.
const RECORD: Format = Format {
    what: "coordinator log record",
    version: 2,
    limit: 1 << 30,
};
const LEDGER: Format = Format {
    what: "coordinator ledger",
    version: 2,
    limit: 1 << 30,
};

impl LogRecord {
    /// The bytes to store.
    ///
    /// ```
    /// use leap_core::{Incarnation, LogRecord, ObjectId, Version};
    ///
    /// let (object, incarnation) = (ObjectId::from_name("hotel"), Incarnation(1));
    /// let record = LogRecord::Joined { object, incarnation, keep: Version::ZERO };
    /// assert_eq!(LogRecord::decode(&record.encode()), Ok(record));
    /// ```
    pub fn encode(&self) -> Vec<u8> {
        RECORD.encode(self)
    }

    /// Reads what [`LogRecord::encode`] wrote.
    ///
    /// ```
    /// use leap_core::LogRecord;
    ///
    /// assert!(LogRecord::decode(b"a damaged record").is_err());
    /// ```
    ///
    /// # Errors
    ///
    /// Anything that is not exactly one record of this format version.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        RECORD.decode(bytes)
    }
}

impl Ledger {
    /// The bytes to store.
    ///
    /// ```
    /// use leap_core::Ledger;
    ///
    /// let ledger = Ledger::default(); // of a cluster that nobody has joined
    /// assert_eq!(Ledger::decode(&ledger.encode()), Ok(ledger));
    /// ```
    pub fn encode(&self) -> Vec<u8> {
        LEDGER.encode(self)
    }

    /// Reads what [`Ledger::encode`] wrote.
    ///
    /// ```
    /// use leap_core::Ledger;
    ///
    /// assert!(Ledger::decode(b"a damaged checkpoint").is_err());
    /// ```
    ///
    /// # Errors
    ///
    /// Anything that is not exactly one ledger of this format version.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        LEDGER.decode(bytes)
    }
}
