//! What storage holds of an inventory, and what must be true of it.

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;

use super::Inventory;

/// No counter gets this far, and all can be counted on from here for as long as anything runs.
const MAX_COUNT: u64 = u64::MAX / 2;

/// As [`Inventory`], but not to be trusted yet.
#[derive(Deserialize)]
pub(super) struct Stored {
    capacity: u64,
    next_unit: u64,
    free: BTreeSet<u64>,
    held: BTreeMap<String, u64>,
    cancelled: u64,
    repeated: u64,
}

/// What is stored was never written by an inventory.
#[derive(Debug, thiserror::Error)]
pub(super) enum Contradiction {
    /// More was given, or counted, than there can be.
    #[error("{next_unit} units of {capacity} were given")]
    Counters { next_unit: u64, capacity: u64 },
    /// The units that were given are not those that are held or were given back.
    #[error("{given} units were given, and others are held or free")]
    Units { given: u64 },
}

impl TryFrom<Stored> for Inventory {
    type Error = Contradiction;

    fn try_from(stored: Stored) -> Result<Self, Contradiction> {
        let Stored {
            capacity,
            next_unit,
            free,
            held,
            cancelled,
            repeated,
        } = stored;
        if next_unit > capacity || next_unit.max(cancelled).max(repeated) > MAX_COUNT {
            return Err(Contradiction::Counters {
                next_unit,
                capacity,
            });
        }
        let known: BTreeSet<_> = held.values().chain(&free).copied().collect();
        let is_whole = known.len() == held.len() + free.len()
            && known.len() as u64 == next_unit
            && known.last().is_none_or(|&last| last < next_unit);
        if !is_whole {
            return Err(Contradiction::Units { given: next_unit });
        }
        Ok(Self {
            capacity,
            next_unit,
            free,
            held,
            cancelled,
            repeated,
        })
    }
}
