//! Rule P3: a version depends on exactly what was consumed in it, whole versions of others: not on what merely
//! arrived or was held, and on nothing less than the version that the message named. Edges to what is committed may
//! be left out.

use leap_core::{ObjectId, VersionMetadata};

use super::{Checker, Fact, require};
use crate::truth::{TrueVertex, Truth, VertexId};

/// Compares what a version recorded with what was consumed in it, when it is sealed.
pub(super) struct EdgesAtConsumption;

impl Checker for EdgesAtConsumption {
    fn name(&self) -> &'static str {
        "p03_edges_at_consumption"
    }

    fn observe(&mut self, truth: &Truth, fact: &Fact<'_>) -> Result<(), String> {
        let Fact::Sealed {
            object,
            vertex: Some(vertex),
            metadata,
            ..
        } = fact
        else {
            return Ok(());
        };
        let consumed: Vec<_> = consumed(truth, *vertex).collect();
        names_all(*object, metadata, &consumed)?;
        names_nothing_else(*object, metadata, &consumed)
    }
}

fn consumed(truth: &Truth, vertex: VertexId) -> impl Iterator<Item = &TrueVertex> {
    truth[vertex].edges.iter().map(|&target| &truth[target])
}

fn names_all(
    object: ObjectId,
    metadata: &VersionMetadata,
    consumed: &[&TrueVertex],
) -> Result<(), String> {
    for target in consumed {
        let recorded = metadata.dependencies.version_of(target.object);
        require!(
            target.is_settled() || target.object == object || recorded >= Some(target.version),
            "{object:?} at {:?} consumed from {:?} at {:?}, but recorded {recorded:?}",
            metadata.version,
            target.object,
            target.version
        );
    }
    Ok(())
}

fn names_nothing_else(
    object: ObjectId,
    metadata: &VersionMetadata,
    consumed: &[&TrueVertex],
) -> Result<(), String> {
    for (on, version) in metadata.dependencies.iter() {
        let is_true = |target: &&TrueVertex| target.object == on && target.version == version;
        require!(
            consumed.iter().any(is_true),
            "{object:?} at {:?} recorded {on:?} at {version:?}, from which it consumed nothing",
            metadata.version
        );
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use leap_core::{Incarnation, Version, WorldLine};

    use super::*;
    use crate::world::InstanceId;

    const HOTEL: ObjectId = ObjectId(1);
    const FLIGHT: ObjectId = ObjectId(2);

    /// The flight's first version consumes from the hotel's second, and records `dependencies`.
    fn judge(dependencies: &[(ObjectId, Version)], is_committed: bool) -> Result<(), String> {
        let mut truth = Truth::default();
        let mut open = |object, version, previous| {
            truth.open(
                object,
                Incarnation(1),
                version,
                WorldLine(0),
                previous,
                false,
            )
        };
        let first = open(HOTEL, Version(1), None);
        let second = open(HOTEL, Version(2), Some(first));
        let flight = open(FLIGHT, Version(2), None);
        truth.depend(flight, &[second]);
        if is_committed {
            truth.commit(&[second]);
        }
        let metadata = VersionMetadata {
            version: Version(2),
            world_line: WorldLine(0),
            committed: Version::ZERO,
            dependencies: dependencies.iter().copied().collect(),
            channels: Default::default(),
            complete: false,
        };
        let fact = Fact::Sealed {
            life: InstanceId(0),
            object: FLIGHT,
            vertex: Some(flight),
            metadata: &metadata,
            unfinished_actions: 0,
        };
        EdgesAtConsumption.observe(&truth, &fact)
    }

    #[test]
    fn what_was_consumed_is_recorded() {
        assert_eq!(judge(&[(HOTEL, Version(2))], false), Ok(()));
    }

    #[test]
    fn what_is_committed_may_be_left_out() {
        assert_eq!(judge(&[], true), Ok(()));
    }

    #[test]
    fn a_missing_edge_is_noticed() {
        assert!(judge(&[], false).is_err());
        let too_little = judge(&[(HOTEL, Version(1))], false);
        assert!(too_little.is_err_and(|reason| reason.contains("consumed from")));
    }

    #[test]
    fn an_edge_to_what_was_not_consumed_is_noticed() {
        let consumed = (HOTEL, Version(2));
        let other = judge(&[consumed, (ObjectId(3), Version(1))], false);
        assert!(other.is_err_and(|reason| reason.contains("consumed nothing")));
        let too_much = judge(&[(HOTEL, Version(3))], false);
        assert!(too_much.is_err_and(|reason| reason.contains("consumed nothing")));
    }
}
