//! What storage holds of the instances, and what must be true of it.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet, VecDeque};

use serde::Deserialize;

use super::{Instance, Instances, MAX_STEPS, STEP_BITS, State};

/// No engine gets this far, and numbers can be counted on from here for as long as anything runs.
const MAX_NUMBER: u64 = u64::MAX >> (STEP_BITS + 1);

/// As [`Instances`], but not to be trusted yet.
#[derive(Deserialize)]
pub(super) struct Stored {
    next: u64,
    by_number: BTreeMap<u64, Instance>,
    numbers: BTreeMap<String, u64>,
    finished: VecDeque<u64>,
}

/// What is stored contradicts itself: it was never written by an engine.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum Contradiction {
    /// An instance has a number that is not given yet.
    #[error("{number} is the number of the next instance, and not above all others")]
    Next { number: u64 },
    /// Ids and instances do not belong together one by one.
    #[error("ids do not lead to the instances that bear them")]
    Ids,
    /// An instance is on the list of those that have finished, or not, and should not be, or be once.
    #[error("the list of finished instances is another one than that of those that have finished")]
    Finished,
    /// An instance has more steps than there can be.
    #[error("the instance {id:?} has {steps} steps")]
    Steps { id: String, steps: usize },
}

impl TryFrom<Stored> for Instances {
    type Error = Contradiction;

    fn try_from(stored: Stored) -> Result<Self, Contradiction> {
        let Stored {
            next,
            by_number,
            numbers,
            finished,
        } = stored;
        let newest = by_number.last_key_value().map(|(&number, _)| number);
        if next > MAX_NUMBER || newest.is_some_and(|newest| newest >= next) {
            return Err(Contradiction::Next { number: next });
        }
        let leads_there =
            |(number, instance): (&u64, &Instance)| numbers.get(&instance.id) == Some(number);
        if numbers.len() != by_number.len() || !by_number.iter().all(leads_there) {
            return Err(Contradiction::Ids);
        }
        let listed: BTreeSet<_> = finished.iter().copied().collect();
        let have_finished = by_number
            .iter()
            .filter(|(_, instance)| matches!(instance.state, State::Finished(_)))
            .map(|(&number, _)| number);
        if listed.len() != finished.len() || !have_finished.eq(listed) {
            return Err(Contradiction::Finished);
        }
        let too_long = by_number
            .values()
            .find(|instance| instance.steps.len() as u64 > MAX_STEPS);
        if let Some(Instance { id, steps, .. }) = too_long {
            return Err(Contradiction::Steps {
                id: id.clone(),
                steps: steps.len(),
            });
        }
        Ok(Self {
            next,
            by_number,
            numbers,
            finished,
            live: RefCell::default(),
        })
    }
}
