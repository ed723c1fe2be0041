//! Rule P2: versions become durable in the order of their numbers; an object that changed nothing
//! seals nothing.

use super::{Checker, Fact, require};
use crate::truth::Truth;

/// Judges what is sealed and the order in which storage takes it.
pub(super) struct Versions;

impl Checker for Versions {
    fn name(&self) -> &'static str {
        "p02_versions"
    }

    fn observe(&mut self, truth: &Truth, fact: &Fact<'_>) -> Result<(), String> {
        match fact {
            Fact::Sealed {
                object,
                vertex,
                metadata,
                ..
            } => {
                let Some(vertex) = vertex else {
                    return Err(format!(
                        "{object:?} sealed {:?} without having changed",
                        metadata.version
                    ));
                };
                let vertex = &truth[*vertex];
                require!(
                    vertex.version == metadata.version,
                    "{object:?} worked in {:?} and sealed {:?}",
                    vertex.version,
                    metadata.version
                );
                let previous = vertex.previous.map(|previous| truth[previous].version);
                require!(
                    previous < Some(metadata.version),
                    "{object:?} sealed {:?} after {previous:?}",
                    metadata.version
                );
            }
            Fact::Stored {
                object,
                previous,
                metadata,
                ..
            } => require!(
                *previous < metadata.version,
                "{object:?} stored {:?} after {previous:?}",
                metadata.version
            ),
            _ => {}
        }
        Ok(())
    }
}
