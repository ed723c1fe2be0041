//! Rule P6: a version's edges are in storage with it. Edges to what is committed may be left out.

use super::{Checker, Fact, require};
use crate::truth::Truth;

/// Compares what storage holds of a version with what was consumed in it.
pub(super) struct GroundTruth;

impl Checker for GroundTruth {
    fn name(&self) -> &'static str {
        "p06_ground_truth"
    }

    fn observe(&mut self, truth: &Truth, fact: &Fact<'_>) -> Result<(), String> {
        let Fact::Stored {
            object,
            vertex,
            metadata,
            ..
        } = fact
        else {
            return Ok(());
        };
        for &target in &truth[*vertex].edges {
            let target = &truth[target];
            let stored = metadata.dependencies.version_of(target.object);
            require!(
                target.is_settled() || target.object == *object || stored >= Some(target.version),
                "{object:?} at {:?} depends on {:?} at {:?}, but storage says {stored:?}",
                metadata.version,
                target.object,
                target.version
            );
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use leap_core::{Incarnation, ObjectId, Version, VersionMetadata, WorldLine};

    use super::*;

    #[test]
    fn an_edge_that_storage_lacks_is_noticed() {
        let mut truth = Truth::default();
        let [hotel, flight] = [1, 2].map(|object| {
            let (life, world_line) = (Incarnation(1), WorldLine(0));
            truth.open(ObjectId(object), life, Version(1), world_line, None, false)
        });
        truth.depend(flight, &[hotel]);
        let mut metadata = VersionMetadata {
            version: Version(1),
            world_line: WorldLine(0),
            committed: Version::ZERO,
            dependencies: [(ObjectId(1), Version(1))].into_iter().collect(),
            channels: Default::default(),
            complete: false,
        };
        let judge = |metadata: &VersionMetadata| {
            let fact = Fact::Stored {
                object: ObjectId(2),
                by: Incarnation(1),
                owner: Incarnation(1),
                previous: Version::ZERO,
                vertex: flight,
                metadata,
            };
            GroundTruth.observe(&truth, &fact)
        };
        assert_eq!(judge(&metadata), Ok(()));
        metadata.dependencies = Default::default();
        assert!(judge(&metadata).is_err());
    }
}
