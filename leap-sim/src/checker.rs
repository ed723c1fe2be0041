//! The rules, each judged by one checker in a file of its own, from facts that the world reports and
//! against the true dependency graph.

mod exactly_once;
mod failure_transparency;
mod p01_atomic_actions;
mod p02_versions;
mod p03_edges_at_consumption;
mod p04_commit_ordering;
mod p05_recovery_partition;
mod p06_ground_truth;
mod p07_boundary;
mod p08_release;
mod p09_exact_rollback;
mod p10_decide_log_release;
mod p11_stateless_coordinator;
mod p12_fencing;
mod p13_pruning;
mod p14_channels;
mod p15_sthread_sets;
mod p16_levels;

use std::collections::{BTreeMap, BTreeSet};

use leap_core::{
    DependencySet, Incarnation, LogRecord, ObjectId, Version, VersionMetadata, WorldLine,
};

use crate::{
    truth::{Truth, VertexId},
    world::{InstanceId, ItemId},
};

/// Something that happened and that some rule has an opinion on.
#[derive(Debug)]
pub(crate) enum Fact<'a> {
    /// A vertex takes in a message that depends on these.
    Consumed {
        consumer: VertexId,
        world_line: WorldLine,
        message: &'a [VertexId],
    },
    /// An sthread takes in a message.
    SThreadConsumed {
        world_line: WorldLine,
        message: &'a [VertexId],
        seen: &'a DependencySet,
        objects: usize,
    },
    /// An account takes in a payload with this number; the other one would be its turn.
    Delivered {
        from: ObjectId,
        to: ObjectId,
        expected: u32,
        found: u32,
    },
    /// A guest receives a message that its participant has admitted.
    Received { life: InstanceId, item: ItemId },
    /// A guest takes in a message that it has received.
    TakenIn { life: InstanceId, item: ItemId },
    /// A guest makes something for others.
    Made { life: InstanceId, item: ItemId },
    /// What a guest has made leaves it: its participant, or a link, is given it.
    Given { life: InstanceId, item: ItemId },
    /// A guest opens or closes levels.
    Levels {
        life: InstanceId,
        change: LevelChange,
    },
    /// A version is fixed. `vertex` is what was done in it, if anything.
    Sealed {
        life: InstanceId,
        object: ObjectId,
        vertex: Option<VertexId>,
        metadata: &'a VersionMetadata,
        unfinished_actions: u32,
    },
    /// A state is brought back.
    Restored {
        life: InstanceId,
        object: ObjectId,
        version: Version,
        /// What was done in the version, if anything.
        vertex: Option<VertexId>,
        unfinished_actions: u32,
        running_actions: u32,
    },
    /// Storage takes a write.
    Stored {
        object: ObjectId,
        by: Incarnation,
        owner: Incarnation,
        previous: Version,
        /// What was done in the version, and what is stored of its edges.
        vertex: VertexId,
        metadata: &'a VersionMetadata,
    },
    /// A participant takes a version of its own for committed.
    Committed {
        object: ObjectId,
        version: Version,
        vertex: Option<VertexId>,
    },
    /// The coordinator's next life begins; an older one may live on.
    CoordinatorBegan { term: u64 },
    /// A coordinator tells the boundary, all of it or its advance.
    Published {
        term: u64,
        boundary: &'a BTreeMap<ObjectId, Version>,
        whole: bool,
        members: &'a BTreeSet<ObjectId>,
        heard: &'a BTreeSet<ObjectId>,
    },
    /// All that could be told to this coordinator has arrived.
    Quiet {
        boundary: &'a BTreeMap<ObjectId, Version>,
    },
    /// A coordinator in this world-line begins a repair or decides; these members live in an older one.
    Repairs {
        world_line: WorldLine,
        behind: &'a [ObjectId],
    },
    /// A record is durable.
    Logged { term: u64, record: &'a LogRecord },
    /// The coordinator's log is about to be replaced by one checkpoint with so many entries.
    LogShortened { entries: usize, allowed: usize },
    /// A life of an object began; `failed` if there was one before.
    Started { object: ObjectId, failed: bool },
    /// A participant begins to live in a world-line.
    Entered {
        object: ObjectId,
        world_line: WorldLine,
    },
    /// The outside world learns something that depends on these.
    Released { depends_on: &'a [VertexId] },
    /// A vertex is gone for good.
    Lost { vertex: VertexId },
    /// All faults are over and everything has come to rest.
    Converged(&'a Rest),
}

/// What a guest does to its levels, which are counted from the outermost, 0.
#[derive(Clone, Copy, Debug)]
pub(crate) enum LevelChange {
    /// This one is opened inside all others.
    Opened(usize),
    /// This one becomes part of the one around it.
    Committed(usize),
    /// This one and all newer ones are undone.
    Aborted(usize),
}

/// What is left when a run has come to rest.
#[derive(Debug, Default)]
pub(crate) struct Rest {
    pub(crate) tokens: i64,
    pub(crate) tokens_at_start: i64,
    pub(crate) requests: Vec<RequestAtRest>,
    /// The newest life of each object.
    pub(crate) lives: Vec<InstanceId>,
    /// Per ordered pair: payloads sent and received, as both ends remember.
    pub(crate) channels: Vec<(ObjectId, ObjectId, u32, u32)>,
    /// Versions in storage per object, and how many the checkpoint policy allows.
    pub(crate) stored: Vec<(ObjectId, usize, usize)>,
    /// Sent messages that are still kept (not those for who never comes back), and received ones still held, per object.
    pub(crate) kept: Vec<(ObjectId, usize, usize)>,
    /// Vertices in the coordinator's graph.
    pub(crate) graph: usize,
    /// Records in the coordinator's log after its checkpoint, and how many there may be.
    pub(crate) log: (usize, usize),
}

/// What became of a request of an outsider.
#[derive(Debug)]
pub(crate) struct RequestAtRest {
    pub(crate) number: u32,
    pub(crate) answered: bool,
    /// In how many accounts it is found.
    pub(crate) found: usize,
    /// The object that was asked never comes back.
    pub(crate) is_banned: bool,
}

/// A rule that did not hold.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{checker}: {reason}")]
pub struct Violation {
    /// The checker that noticed, named after its rule.
    pub checker: &'static str,
    /// What it saw.
    pub reason: String,
}

/// One rule's judge.
trait Checker {
    /// Its name, as canaries and reports use it.
    fn name(&self) -> &'static str;

    /// Judges one fact; the answer says what is wrong.
    fn observe(&mut self, truth: &Truth, fact: &Fact<'_>) -> Result<(), String>;
}

/// All judges.
pub(crate) struct Checkers {
    all: Vec<Box<dyn Checker>>,
}

impl Default for Checkers {
    fn default() -> Self {
        Self {
            all: vec![
                Box::new(p01_atomic_actions::AtomicActions),
                Box::new(p02_versions::Versions),
                Box::new(p03_edges_at_consumption::EdgesAtConsumption),
                Box::new(p04_commit_ordering::CommitOrdering),
                Box::new(p05_recovery_partition::RecoveryPartition),
                Box::new(p06_ground_truth::GroundTruth),
                Box::new(p07_boundary::Boundary::default()),
                Box::new(p08_release::Release),
                Box::new(p09_exact_rollback::ExactRollback),
                Box::new(p10_decide_log_release::DecideLogRelease::default()),
                Box::new(p11_stateless_coordinator::StatelessCoordinator::default()),
                Box::new(p12_fencing::Fencing),
                Box::new(p13_pruning::Pruning),
                Box::new(p14_channels::Channels),
                Box::new(p15_sthread_sets::SThreadSets),
                Box::new(p16_levels::InProcessLevels::default()),
                Box::new(failure_transparency::FailureTransparency),
                Box::new(exactly_once::ExactlyOnce),
            ],
        }
    }
}

impl Checkers {
    /// Lets every checker judge a fact.
    pub(crate) fn observe(&mut self, truth: &Truth, fact: &Fact<'_>) -> Result<(), Violation> {
        for checker in &mut self.all {
            checker.observe(truth, fact).map_err(|reason| Violation {
                checker: checker.name(),
                reason,
            })?;
        }
        Ok(())
    }
}

/// `Err` with the formatted reason unless the condition holds.
macro_rules! require {
    ($condition:expr, $($reason:tt)+) => {
        if !$condition {
            return Err(format!($($reason)+));
        }
    };
}
use require;
