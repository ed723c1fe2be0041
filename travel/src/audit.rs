//! Checks from outside what the services hold against what a client was told.

use std::collections::{BTreeMap, BTreeSet};

use leap::{Call, CallError};
use serde::{Deserialize, Serialize};

use crate::inventory::{InventoryClient, Stats};
use crate::trip::Booking;

/// What [`audit`](fn@audit) found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Audit {
    /// Trips that the client knows to be booked.
    pub acknowledged: u64,
    /// How often a service does not hold one of them, or not as it was confirmed: once for each such trip
    /// and service.
    pub lost: u64,
    /// What was done more than once: units held by two trips, confirmations given twice, reservations
    /// asked for twice.
    pub duplicated: u64,
    /// Trips that some of the services hold and others do not. None when nothing is being booked.
    pub incomplete: u64,
    /// Trips held by all services that the client was never told about: those whose answer was lost.
    pub unacknowledged: u64,
    /// Whether reserved and free units add up to the capacity, at every service.
    pub seats_conserved: bool,
}

impl Audit {
    /// Whether nothing is lost, doubled or left half done.
    pub fn is_clean(&self) -> bool {
        self.lost == 0 && self.duplicated == 0 && self.incomplete == 0 && self.seats_conserved
    }
}

/// Compares what `services` hold with what a client was told: `acknowledged` are all bookings that it
/// got. The client should have stopped booking before.
///
/// # Errors
///
/// [`CallError`] if a service does not answer.
pub async fn audit<S: AsRef<str>>(
    caller: impl Call,
    services: impl IntoIterator<Item = S>,
    acknowledged: &[Booking],
) -> Result<Audit, CallError> {
    let mut holdings = BTreeMap::new();
    for service in services {
        let service = service.as_ref();
        holdings.insert(service.to_owned(), Holdings::of(&caller, service).await?);
    }
    let trips: BTreeSet<&str> = holdings
        .values()
        .flat_map(|service| service.units.keys())
        .map(String::as_str)
        .collect();
    let incomplete = trips
        .iter()
        .filter(|&&trip| !holdings.values().all(|service| service.holds(trip)));
    let told: BTreeSet<&str> = acknowledged
        .iter()
        .map(|booking| booking.trip.as_str())
        .collect();
    let incomplete = incomplete.count() as u64;
    let unacknowledged = trips
        .difference(&told)
        .filter(|&&trip| holdings.values().all(|service| service.holds(trip)));
    Ok(Audit {
        acknowledged: told.len() as u64,
        lost: count_lost(&holdings, acknowledged),
        duplicated: holdings.values().map(Holdings::duplicates).sum::<u64>()
            + confirmed_twice(acknowledged),
        incomplete,
        unacknowledged: unacknowledged.count() as u64,
        seats_conserved: holdings.values().all(Holdings::adds_up),
    })
}

/// What one service holds.
struct Holdings {
    stats: Stats,
    units: BTreeMap<String, u64>,
}

impl Holdings {
    async fn of(caller: &impl Call, service: &str) -> Result<Self, CallError> {
        let service = InventoryClient::new(caller, service);
        let mut units = BTreeMap::new();
        let mut after = None;
        loop {
            let page = service.reservations(&after).await?;
            let Some(last) = page.last() else { break };
            after = Some(last.trip.clone());
            units.extend(
                page.into_iter()
                    .map(|reservation| (reservation.trip, reservation.unit)),
            );
        }
        Ok(Self {
            stats: service.stats().await?,
            units,
        })
    }

    fn holds(&self, trip: &str) -> bool {
        self.units.contains_key(trip)
    }

    fn duplicates(&self) -> u64 {
        let different: BTreeSet<_> = self.units.values().collect();
        (self.units.len() - different.len()) as u64 + self.stats.repeated
    }

    fn adds_up(&self) -> bool {
        let Stats {
            capacity,
            reserved,
            free,
            ..
        } = self.stats;
        reserved == self.units.len() as u64 && reserved + free == capacity
    }
}

/// Counts by trip and service, so that a trip without confirmations is as lost as one with wrong ones.
fn count_lost(holdings: &BTreeMap<String, Holdings>, acknowledged: &[Booking]) -> u64 {
    let mut lost = BTreeSet::new();
    for booking in acknowledged {
        let trip = booking.trip.as_str();
        let without = holdings.iter().filter(|(_, service)| !service.holds(trip));
        lost.extend(without.map(|(service, _)| (trip, service.as_str())));
        let wrong = booking.confirmations.iter().filter(|confirmation| {
            let service = holdings.get(&confirmation.service);
            service.and_then(|service| service.units.get(trip)) != Some(&confirmation.unit)
        });
        lost.extend(wrong.map(|confirmation| (trip, confirmation.service.as_str())));
    }
    lost.len() as u64
}

/// Units that were confirmed to two different trips.
fn confirmed_twice(acknowledged: &[Booking]) -> u64 {
    let mut owners = BTreeMap::new();
    let mut twice = 0;
    for booking in acknowledged {
        for confirmation in &booking.confirmations {
            let owner = owners
                .entry((&confirmation.service, confirmation.unit))
                .or_insert(&booking.trip);
            twice += u64::from(*owner != &booking.trip);
        }
    }
    twice
}
