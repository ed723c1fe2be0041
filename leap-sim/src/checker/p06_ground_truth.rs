//! Rule P6: a version's edges are persisted with it. Edges to what is committed may be left out.

use super::{Checker, Fact, require};
use crate::truth::Truth;

/// Compares what is stored with what was consumed.
pub(super) struct GroundTruth;

impl Checker for GroundTruth {
    fn name(&self) -> &'static str {
        "p06_ground_truth"
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
        for &target in &truth[*vertex].edges {
            let target = &truth[target];
            let recorded = metadata.dependencies.version_of(target.object);
            require!(
                target.committed || target.object == *object || recorded >= Some(target.version),
                "{object:?} at {:?} depends on {:?} at {:?}, but its metadata says {recorded:?}",
                metadata.version,
                target.object,
                target.version
            );
        }
        Ok(())
    }
}
