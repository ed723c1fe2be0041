//! Rollback decisions, and what is remembered of them.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use serde::{Deserialize, Serialize};

use crate::{
    header::DependencySet,
    id::{ObjectId, Version, WorldLine},
    incarnation::Incarnation,
};

/// What survives a failure (rules P9, P10). It opens `world_line`.
///
/// ```
/// use leap_core::{Cause, Decision, Incarnation, ObjectId, Version, WorldLine};
///
/// let (hotel, flight) = (ObjectId::from_name("hotel"), ObjectId::from_name("flight"));
/// // The hotel has failed and kept version 2; of the flight nothing depended on more than that.
/// let decision = Decision {
///     world_line: WorldLine(1),
///     cause: Cause::Failed { object: hotel, successor: Incarnation(2) },
///     cut: [(hotel, Version(2))].into(),
/// };
/// assert!(decision.removes(hotel, Version(3)));
/// assert!(!decision.removes(flight, Version(9)));
/// ```
#[derive(Clone, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub struct Decision {
    /// The world-line that the decision opens.
    pub world_line: WorldLine,
    /// Why it was taken.
    pub cause: Cause,
    /// For each object that loses something: the newest version that it keeps. Objects that are not
    /// named keep everything, volatile work included, and just rename themselves.
    pub cut: BTreeMap<ObjectId, Version>,
}

/// What a decision repairs.
///
/// ```
/// use leap_core::{Cause, Incarnation, ObjectId};
///
/// let hotel = ObjectId::from_name("hotel");
/// let came_back = Cause::Failed { object: hotel, successor: Incarnation(2) };
/// let never_will = Cause::Removed([hotel].into());
/// assert_ne!(came_back, never_will);
/// ```
#[derive(Clone, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub enum Cause {
    /// An object failed.
    Failed {
        /// Which.
        object: ObjectId,
        /// The incarnation that takes its place; every older one is fenced.
        successor: Incarnation,
    },
    /// These objects were removed; nobody takes their place. They are removed by one decision, because none of them can be
    /// asked what it would lose by the decision about another.
    Removed(BTreeSet<ObjectId>),
}

impl Decision {
    /// Whether the decision removes `version` of `object`.
    ///
    /// ```
    /// use leap_core::{Cause, Decision, DependencySet, Incarnation, ObjectId, Version, WorldLine};
    ///
    /// let (hotel, flight) = (ObjectId::from_name("hotel"), ObjectId::from_name("flight"));
    /// # let decision = Decision {
    /// #     world_line: WorldLine(1),
    /// #     cause: Cause::Failed { object: hotel, successor: Incarnation(2) },
    /// #     cut: [(hotel, Version(2))].into(),
    /// # };
    /// // The decision keeps version 2 of the hotel.
    /// assert!(!decision.removes(hotel, Version(2)));
    /// assert!(decision.removes(hotel, Version(3)));
    /// # let _ = flight;
    /// ```
    pub fn removes(&self, object: ObjectId, version: Version) -> bool {
        self.cut.get(&object).is_some_and(|&kept| version > kept)
    }

    /// Whether the decision removes anything that `dependencies` names.
    ///
    /// ```
    /// use leap_core::{Cause, Decision, DependencySet, Incarnation, ObjectId, Version, WorldLine};
    ///
    /// let (hotel, flight) = (ObjectId::from_name("hotel"), ObjectId::from_name("flight"));
    /// # let decision = Decision {
    /// #     world_line: WorldLine(1),
    /// #     cause: Cause::Failed { object: hotel, successor: Incarnation(2) },
    /// #     cut: [(hotel, Version(2))].into(),
    /// # };
    /// // The decision keeps version 2 of the hotel.
    /// let seen = DependencySet::from_iter([(flight, Version(9)), (hotel, Version(3))]);
    /// assert!(decision.removes_any(&seen));
    /// assert!(!decision.removes_any(&DependencySet::from_iter([(flight, Version(9))])));
    /// ```
    pub fn removes_any(&self, dependencies: &DependencySet) -> bool {
        // The cut is usually the smaller of the two.
        self.cut.iter().any(|(&object, &kept)| {
            dependencies
                .version_of(object)
                .is_some_and(|version| version > kept)
        })
    }

    /// Whether it is the removal of `object`.
    ///
    /// ```
    /// use leap_core::{Cause, Decision, DependencySet, Incarnation, ObjectId, Version, WorldLine};
    ///
    /// let (hotel, flight) = (ObjectId::from_name("hotel"), ObjectId::from_name("flight"));
    /// # let decision = Decision {
    /// #     world_line: WorldLine(1),
    /// #     cause: Cause::Failed { object: hotel, successor: Incarnation(2) },
    /// #     cut: [(hotel, Version(2))].into(),
    /// # };
    /// let removal = Decision { cause: Cause::Removed([hotel].into()), ..decision };
    /// assert!(removal.is_removal_of(hotel));
    /// assert!(!removal.is_removal_of(flight));
    /// ```
    pub fn is_removal_of(&self, object: ObjectId) -> bool {
        matches!(&self.cause, Cause::Removed(objects) if objects.contains(&object))
    }

    /// Forgets what somebody knew to be inside the boundary of a removed object, beyond what all know who go on: if it comes
    /// back, its versions may come again under these numbers. Of others a decision never cuts what is inside.
    pub(crate) fn limit(&self, boundary: &mut BTreeMap<ObjectId, Version>) {
        if let Cause::Removed(_) = self.cause {
            for (object, &kept) in &self.cut {
                if let Some(known) = boundary.get_mut(object) {
                    *known = kept.min(*known);
                }
            }
        }
    }
}

/// The newest decisions without a gap, up to the current world-line (rule P13: not all of them).
#[derive(Clone, PartialEq, Eq, Hash, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Recent {
    /// The world-line before the first of `decisions`.
    first: WorldLine,
    decisions: VecDeque<Decision>,
}

impl Recent {
    /// The world-line of the newest decision.
    pub(crate) fn world_line(&self) -> WorldLine {
        let newest = self.decisions.back();
        newest.map_or(self.first, |decision| decision.world_line)
    }

    /// Takes in the next decision, and forgets all but the newest `keep`. One that is not the next is
    /// ignored; returns whether it was.
    pub(crate) fn push(&mut self, decision: &Decision, keep: usize) -> bool {
        let is_next = decision.world_line == self.world_line().next();
        if is_next {
            self.decisions.push_back(decision.clone());
            self.trim(keep);
        }
        is_next
    }

    /// Forgets all but the newest `keep`, and the newest in any case.
    pub(crate) fn trim(&mut self, keep: usize) {
        while self.decisions.len() > keep.max(1) {
            self.decisions.pop_front();
            self.first = self.first.next();
        }
    }

    /// Starts anew in a later world-line, after decisions that nobody remembers; returns whether it is later.
    pub(crate) fn jump(&mut self, world_line: WorldLine) -> bool {
        let is_later = world_line > self.world_line();
        if is_later {
            self.decisions.clear();
            self.first = world_line;
        }
        is_later
    }

    /// The decisions after `world_line`, oldest first, or nothing if the first of them is forgotten.
    pub(crate) fn after(&self, world_line: WorldLine) -> Option<impl Iterator<Item = &Decision>> {
        let known = world_line.0.checked_sub(self.first.0)?;
        let known = usize::try_from(known).unwrap_or(usize::MAX);
        Some(self.decisions.iter().skip(known))
    }

    /// The oldest world-line of which all later decisions are remembered.
    pub(crate) fn first(&self) -> WorldLine {
        self.first
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Decision> {
        self.decisions.iter()
    }
}
