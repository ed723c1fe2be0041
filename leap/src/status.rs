//! How a host and its objects are, for people and monitoring.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use leap_core::{Cause, ObjectId, Participant, WorldLine};
use serde::{Deserialize, Serialize};

use crate::coordinator::{CoordinatorStatus, Repair};
use crate::object::{LifePhase, Protocol};

/// A host, as [`Host::status`](crate::Host::status) sees it.
///
/// ```
/// # leap::testing::run_example(async {
/// # let host = leap::Host::builder().start().await?;
/// # let counter = host.add::<leap::testing::Counter>("counter").await?;
/// counter.ready().await?;
/// let status = host.status().await;
/// assert_eq!(status.world_line, Some(0), "no failure yet");
/// assert_eq!(status.objects.len(), 1);
/// assert!(status.coordinator.is_some(), "it is embedded");
/// # Ok(())
/// # });
/// ```
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct HostStatus {
    /// The newest world-line known; nothing before the coordinator was met. It counts the rollback
    /// decisions since the cluster began.
    pub world_line: Option<u64>,
    /// The objects of this host, by name.
    pub objects: Vec<ObjectStatus>,
    /// The coordinator, if it is embedded here.
    pub coordinator: Option<ClusterStatus>,
}

/// One object of a host.
///
/// ```
/// # leap::testing::run_example(async {
/// # let host = leap::Host::builder().start().await?;
/// # let counter = host.add::<leap::testing::Counter>("counter").await?;
/// counter.change_released(|counter| counter.record(1)).await?;
/// let status = host.status().await.objects.remove(0);
/// assert_eq!((status.name.as_str(), status.phase.as_str()), ("counter", "active"));
/// assert_eq!((status.committed, status.lag_ms), (1, 0), "all is inside the boundary");
/// # Ok(())
/// # });
/// ```
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ObjectStatus {
    /// Its name.
    pub name: String,
    /// Its life.
    pub incarnation: u64,
    /// `waiting`, `active`, or why it stopped.
    pub phase: String,
    /// Its world-line.
    pub world_line: u64,
    /// The version that actions run in.
    pub open: u64,
    /// The newest durable version.
    pub durable: u64,
    /// The newest version inside the boundary.
    pub committed: u64,
    /// For how long its oldest version that is not inside the boundary has had content, in milliseconds; 0 if there
    /// is none. What a new life found in storage counts from its start.
    pub lag_ms: u64,
    /// Sealed versions on their way to storage.
    pub in_flight: usize,
    /// What its uncommitted versions wait for: other objects with the version needed.
    pub waits_for: BTreeMap<String, u64>,
    /// How many of its versions rollbacks have taken away in this life.
    pub versions_undone: u64,
    /// How many messages these versions had consumed on channels.
    pub messages_undone: u64,
}

/// The cluster as its coordinator sees it.
///
/// ```
/// # leap::testing::run_example(async {
/// # let host = leap::Host::builder().start().await?;
/// # let counter = host.add::<leap::testing::Counter>("counter").await?;
/// counter.change_released(|counter| counter.record(1)).await?;
/// let cluster = host.status().await.coordinator.unwrap();
/// assert!(cluster.boundary_is_known);
/// assert!(cluster.members.contains_key("counter"));
/// assert!(cluster.waiting_for.is_empty() && cluster.last_repair.is_none());
/// # Ok(())
/// # });
/// ```
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ClusterStatus {
    /// The newest decision's world-line.
    pub world_line: u64,
    /// Whether the boundary is known: not between a coordinator's start and everybody's report.
    pub boundary_is_known: bool,
    /// Persisted versions outside the boundary.
    pub uncommitted: usize,
    /// How long the one of them that has waited longest is known to the coordinator, in milliseconds; 0 if there is none.
    pub lag_ms: u64,
    /// Who holds the boundary back.
    pub held_back_by: Vec<HolderStatus>,
    /// Members by name: incarnation, boundary and address.
    pub members: BTreeMap<String, MemberStatus>,
    /// Members whose answer a repair waits for.
    pub waiting_for: Vec<String>,
    /// The newest rollback decision that this life of the coordinator has taken, and what it was taken from.
    pub last_repair: Option<RepairStatus>,
}

/// A rollback decision, with the part of the dependency graph that it was taken from (rule P9). Versions
/// inside the boundary are not part of it.
///
/// ```
/// # leap::testing::run_example(async {
/// use leap::testing::{Cluster, Counter};
///
/// let cluster = Cluster::new().await;
/// let counter = cluster.host("a").await.add::<Counter>("counter").await?;
/// counter.change_released(|counter| counter.record(1)).await?;
/// let host = cluster.restart("a").await;
/// host.add::<Counter>("counter").await?.ready().await?;
///
/// let coordinator = cluster.host(Cluster::COORDINATOR).await;
/// let repair = coordinator.status().await.coordinator.unwrap().last_repair.unwrap();
/// assert_eq!((repair.world_line, repair.causes), (1, vec!["counter".to_owned()]));
/// # Ok(())
/// # });
/// ```
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct RepairStatus {
    /// The world-line that the decision opened.
    pub world_line: u64,
    /// Who had failed, or was removed.
    pub causes: Vec<String>,
    /// Who loses something, and the newest version that each keeps.
    pub cut: BTreeMap<String, u64>,
    /// What each survivor reported, and what each that failed had in storage, oldest version first.
    pub reported: BTreeMap<String, Vec<ReportedVersion>>,
}

/// One version in a report.
///
/// ```
/// use leap::ReportedVersion;
///
/// // In the JSON that a node gives at `/status`:
/// let reported: ReportedVersion =
///     serde_json::from_str(r#"{ "version": 7, "durable": false, "depends_on": { "hotel": 3 } }"#)?;
/// assert_eq!(reported.depends_on["hotel"], 3);
/// # Ok::<_, serde_json::Error>(())
/// ```
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ReportedVersion {
    /// Its number.
    pub version: u64,
    /// Whether it was durable.
    pub durable: bool,
    /// What it depends on: other objects, with the newest version seen.
    pub depends_on: BTreeMap<String, u64>,
}

/// An object that holds the boundary back.
///
/// ```
/// use leap::HolderStatus;
///
/// // In the JSON that a node gives at `/status`:
/// let holder: HolderStatus =
///     serde_json::from_str(r#"{ "name": "hotel", "version": 7, "waiting": 12 }"#)?;
/// assert_eq!(holder.waiting, 12, "so many versions wait for version 7 of the hotel");
/// # Ok::<_, serde_json::Error>(())
/// ```
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct HolderStatus {
    /// Its name.
    pub name: String,
    /// The oldest version that is awaited of it.
    pub version: u64,
    /// How many durable versions of the cluster wait for it.
    pub waiting: usize,
}

/// One member of the cluster.
///
/// ```
/// # leap::testing::run_example(async {
/// # let host = leap::Host::builder().start().await?;
/// # let counter = host.add::<leap::testing::Counter>("counter").await?;
/// counter.change_released(|counter| counter.record(1)).await?;
/// let members = host.status().await.coordinator.unwrap().members;
/// assert_eq!(members["counter"].incarnation, 1);
/// assert_eq!(members["counter"].address, "", "its host does not listen");
/// # Ok(())
/// # });
/// ```
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct MemberStatus {
    /// Its newest admitted life.
    pub incarnation: u64,
    /// The newest version inside the boundary.
    pub committed: u64,
    /// Where its host listens.
    pub address: String,
}

impl HostStatus {
    pub(crate) fn new(
        world_line: Option<WorldLine>,
        objects: Vec<ObjectStatus>,
        coordinator: Option<CoordinatorStatus>,
    ) -> Self {
        let coordinator = coordinator.map(ClusterStatus::from);
        Self {
            world_line: world_line.map(|world_line| world_line.0),
            objects,
            coordinator,
        }
    }
}

impl ObjectStatus {
    pub(crate) fn of(protocol: &Protocol, names: &HashMap<ObjectId, String>) -> Self {
        let phase = match protocol.phase() {
            LifePhase::Waiting => "waiting".to_owned(),
            LifePhase::Active => "active".to_owned(),
            LifePhase::Stopped(why) => format!("stopped: {why}"),
        };
        let name_of = |object: ObjectId| {
            names
                .get(&object)
                .cloned()
                .unwrap_or_else(|| object.to_string())
        };
        let undone = *protocol.undone.lock();
        let lag_ms = milliseconds(protocol.lag());
        protocol.ask(|participant: &Participant| Self {
            name: protocol.name.to_string(),
            incarnation: participant.incarnation().life(),
            phase,
            world_line: participant.world_line().0,
            open: participant.open_version().0,
            durable: participant.durable().0,
            committed: participant.committed().0,
            lag_ms,
            in_flight: participant.in_flight(),
            waits_for: participant
                .waits_for()
                .iter()
                .map(|(object, version)| (name_of(object), version.0))
                .collect(),
            versions_undone: undone.versions,
            messages_undone: undone.messages,
        })
    }
}

/// Whole milliseconds, but never 0 for what has a duration.
fn milliseconds(duration: Duration) -> u64 {
    let milliseconds = duration.as_micros().div_ceil(1000);
    u64::try_from(milliseconds).unwrap_or(u64::MAX)
}

impl From<CoordinatorStatus> for ClusterStatus {
    fn from(status: CoordinatorStatus) -> Self {
        let entries: HashMap<_, _> = status
            .directory
            .into_iter()
            .map(|entry| (entry.object, entry))
            .collect();
        let name_of = |object: ObjectId| {
            entries
                .get(&object)
                .map_or_else(|| object.to_string(), |entry| entry.name.clone())
        };
        let boundary = status.boundary.as_ref();
        let member = |&(object, incarnation): &(ObjectId, leap_core::Incarnation)| {
            let committed = boundary
                .and_then(|boundary| boundary.get(&object))
                .map_or(0, |version| version.0);
            let address = entries
                .get(&object)
                .map(|entry| entry.address.clone())
                .unwrap_or_default();
            (
                name_of(object),
                MemberStatus {
                    incarnation: incarnation.life(),
                    committed,
                    address,
                },
            )
        };
        let held_back_by = status
            .awaited
            .iter()
            .map(|&(object, version, waiting)| HolderStatus {
                name: name_of(object),
                version: version.0,
                waiting,
            });
        Self {
            held_back_by: held_back_by.collect(),
            world_line: status.world_line.0,
            boundary_is_known: status.boundary.is_some(),
            uncommitted: status.uncommitted,
            lag_ms: milliseconds(status.lag),
            members: status.members.iter().map(member).collect(),
            last_repair: status
                .last_repair
                .map(|repair| RepairStatus::new(&repair, name_of)),
            waiting_for: status.waiting_for.into_iter().map(name_of).collect(),
        }
    }
}

impl RepairStatus {
    fn new(repair: &Repair, name_of: impl Fn(ObjectId) -> String + Copy) -> Self {
        let causes = match &repair.decision.cause {
            Cause::Failed { object, .. } => vec![name_of(*object)],
            Cause::Removed(objects) => objects.iter().copied().map(name_of).collect(),
        };
        let cut = repair.decision.cut.iter();
        let reported = repair.fragments.iter().map(|(&object, fragment)| {
            let versions = fragment.versions.iter().map(|entry| ReportedVersion {
                version: entry.version.0,
                durable: entry.durable,
                depends_on: entry
                    .dependencies
                    .iter()
                    .map(|(object, version)| (name_of(object), version.0))
                    .collect(),
            });
            (name_of(object), versions.collect())
        });
        Self {
            world_line: repair.decision.world_line.0,
            causes,
            cut: cut
                .map(|(&object, version)| (name_of(object), version.0))
                .collect(),
            reported: reported.collect(),
        }
    }
}
