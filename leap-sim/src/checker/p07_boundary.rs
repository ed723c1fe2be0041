//! Rule P7: the boundary is the largest closed set of persisted vertices, and it only grows.

use std::collections::BTreeMap;

use leap_core::{Decision, LogRecord, ObjectId, Version};

use super::{Checker, Fact, require};
use crate::truth::{Truth, VertexId};

/// Judges every claim that something is committed, and now and then whether all that could be is.
#[derive(Default)]
pub(super) struct Boundary {
    /// The largest boundary that each coordinator, and those before it until it began, told.
    told: BTreeMap<u64, BTreeMap<ObjectId, Version>>,
    /// For each object that was removed by a coordinator that did not know the boundary: which. What those before it
    /// told of the object's boundary counts no more.
    since: BTreeMap<ObjectId, u64>,
}

impl Checker for Boundary {
    fn name(&self) -> &'static str {
        "p07_boundary"
    }

    fn observe(&mut self, truth: &Truth, fact: &Fact<'_>) -> Result<(), String> {
        match fact {
            Fact::Committed {
                object,
                version,
                vertex,
            } => is_inside(truth, *object, *version, *vertex),
            Fact::CoordinatorBegan { term } => {
                let largest = self.largest();
                self.told.insert(*term, largest);
                Ok(())
            }
            Fact::Logged {
                term,
                record:
                    LogRecord::Decided {
                        decision,
                        blindly: true,
                        ..
                    },
            } => {
                self.forget_removed(*term, decision);
                Ok(())
            }
            Fact::Published {
                term,
                boundary,
                whole,
                ..
            } => self.judge_published(truth, *term, boundary, *whole),
            Fact::Quiet { boundary } => is_largest(truth, boundary),
            Fact::Lost { vertex } => {
                let vertex = &truth[*vertex];
                require!(
                    !vertex.committed,
                    "{:?} at {:?} was committed and is lost",
                    vertex.object,
                    vertex.version
                );
                Ok(())
            }
            _ => Ok(()),
        }
    }
}

impl Boundary {
    /// The largest boundary that was ever told.
    fn largest(&self) -> BTreeMap<ObjectId, Version> {
        let mut largest = BTreeMap::new();
        for (term, told) in &self.told {
            let counts =
                |object: &ObjectId| self.since.get(object).is_none_or(|since| since <= term);
            for (&object, &version) in told.iter().filter(|(object, _)| counts(object)) {
                let largest = largest.entry(object).or_insert(version);
                *largest = version.max(*largest);
            }
        }
        largest
    }

    /// What was told of who was removed with the boundary unknown may have been forgotten. What was told of others may not.
    fn forget_removed(&mut self, term: u64, decision: &Decision) {
        let told = self.told.entry(term).or_default();
        for (&object, &kept) in &decision.cut {
            if decision.is_removal_of(object) {
                self.since.insert(object, term);
                if let Some(version) = told.get_mut(&object) {
                    *version = kept.min(*version);
                }
            }
        }
    }

    fn judge_published(
        &mut self,
        truth: &Truth,
        term: u64,
        boundary: &BTreeMap<ObjectId, Version>,
        whole: bool,
    ) -> Result<(), String> {
        if boundary.is_empty() {
            return Ok(());
        }
        let told = self.told.entry(term).or_default();
        for (&object, &version) in boundary {
            let before = told.get(&object).copied().unwrap_or_default();
            require!(
                version >= before,
                "the boundary of {object:?} went back from {before:?} to {version:?} in term {term}"
            );
            if version > before {
                told.insert(object, version);
                is_inside(truth, object, version, truth.durable(object, version))?;
            }
        }
        let missing = told.keys().find(|object| !boundary.contains_key(object));
        require!(
            !whole || missing.is_none(),
            "the boundary of {missing:?} is forgotten in term {term}"
        );
        Ok(())
    }
}

fn is_inside(
    truth: &Truth,
    object: ObjectId,
    version: Version,
    vertex: Option<VertexId>,
) -> Result<(), String> {
    let Some(vertex) = vertex else {
        require!(
            version == Version::ZERO || truth.is_trusted(object, version),
            "{object:?} is said to be committed at {version:?}, which is not durable"
        );
        return Ok(());
    };
    let outside = truth.outside(&[vertex]);
    require!(
        outside.is_none(),
        "{object:?} is said to be committed at {version:?}, but depends on {:?}",
        outside.map(|outside| &truth[outside])
    );
    Ok(())
}

fn is_largest(truth: &Truth, boundary: &BTreeMap<ObjectId, Version>) -> Result<(), String> {
    let largest = truth.boundary();
    for (object, version) in largest {
        let told = boundary.get(&object).copied().unwrap_or_default();
        require!(
            told == version,
            "the boundary of {object:?} is {version:?}, the coordinator says {told:?}"
        );
    }
    Ok(())
}
