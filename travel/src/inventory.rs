//! A number of things of one kind (rooms, seats, cars), each for one trip at a time.
//!
//! # Invariants
//!
//! - `held.len() + free.len() + untouched == capacity`, where `untouched` units have never been given.
//! - A unit is held by one trip at most.
//! - A trip holds one unit at most: reserving again gives the same one, and is counted as repeated.
//!
//! A stored state of which that is not true is refused; a change that would break it changes nothing.

mod stored;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use leap::{Action, Host, Journaled, Machine, Object, ObjectOptions, StateError};
use serde::{Deserialize, Serialize};
use tokio::sync::watch;

/// How many reservations one page of a list has at most.
const LONGEST_PAGE: usize = 10_000;

/// A state object that reserves units for trips.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(try_from = "stored::Stored")]
pub struct Inventory {
    capacity: u64,
    /// Units from here on were never given.
    next_unit: u64,
    /// Units that were given back.
    free: BTreeSet<u64>,
    /// Units by trip.
    held: BTreeMap<String, u64>,
    cancelled: u64,
    repeated: u64,
}

/// What happens to an [`Inventory`].
#[derive(Serialize, Deserialize)]
pub enum Change {
    /// There are this many units now.
    Provided(u64),
    /// The trip holds the first free unit.
    Reserved(String),
    /// The trip gives its unit back.
    Cancelled(String),
    /// A trip that holds a unit asked for one.
    Repeated,
}

/// A unit that a trip holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reservation {
    /// The trip's id.
    pub trip: String,
    /// The room, seat or car, counted from 0.
    pub unit: u64,
}

/// Why a trip gets no unit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("all {capacity} are taken")]
pub struct Rejected {
    /// How many there are.
    pub capacity: u64,
}

/// Counters of an [`Inventory`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stats {
    /// How many units there are.
    pub capacity: u64,
    /// How many are held.
    pub reserved: u64,
    /// How many are not.
    pub free: u64,
    /// How many were given back, ever.
    pub cancelled: u64,
    /// How often a trip asked for a unit that held one already. Calls from workflows arrive exactly
    /// once, so they never add to this.
    pub repeated: u64,
}

impl Machine for Inventory {
    type Change = Change;

    fn apply(&mut self, change: Change) {
        match change {
            Change::Provided(capacity) => self.capacity = self.capacity.max(capacity),
            Change::Reserved(trip) if !self.is_full() && !self.held.contains_key(&trip) => {
                let unit = self.first_free();
                if !self.free.remove(&unit) {
                    self.next_unit += 1;
                }
                self.held.insert(trip, unit);
            }
            Change::Cancelled(trip) if self.held.contains_key(&trip) => {
                self.free.extend(self.held.remove(&trip));
                self.cancelled += 1;
            }
            Change::Reserved(_) | Change::Cancelled(_) => {}
            Change::Repeated => self.repeated += 1,
        }
    }
}

impl Inventory {
    fn is_full(&self) -> bool {
        self.held.len() as u64 >= self.capacity
    }

    fn first_free(&self) -> u64 {
        self.free.first().copied().unwrap_or(self.next_unit)
    }

    fn reservation(&self, trip: &str) -> Option<Reservation> {
        let unit = *self.held.get(trip)?;
        Some(Reservation {
            trip: trip.to_owned(),
            unit,
        })
    }
}

#[leap::service]
impl Inventory {
    /// Reserves a unit for a trip; the same one if it holds one already.
    pub fn reserve(action: &mut Action<'_, Self>, trip: String) -> Result<Reservation, Rejected> {
        if let Some(existing) = action.reservation(&trip) {
            action.record(Change::Repeated);
            return Ok(existing);
        }
        if action.is_full() {
            return Err(Rejected {
                capacity: action.capacity,
            });
        }
        let unit = action.first_free();
        action.record(Change::Reserved(trip.clone()));
        Ok(Reservation { trip, unit })
    }

    /// Gives a trip's unit back; tells whether it held one.
    pub fn cancel(action: &mut Action<'_, Self>, trip: String) -> bool {
        let is_held = action.held.contains_key(&trip);
        if is_held {
            action.record(Change::Cancelled(trip));
        }
        is_held
    }

    /// Sees to it that there are at least `capacity` units.
    pub fn provide(action: &mut Action<'_, Self>, capacity: u64) {
        if capacity > action.capacity {
            action.record(Change::Provided(capacity));
        }
    }

    /// Counters.
    pub fn stats(action: &mut Action<'_, Self>) -> Stats {
        let reserved = action.held.len() as u64;
        Stats {
            capacity: action.capacity,
            reserved,
            free: action.free.len() as u64 + action.capacity.saturating_sub(action.next_unit),
            cancelled: action.cancelled,
            repeated: action.repeated,
        }
    }

    /// Reservations in the order of trip ids, after that of the trip `after`; a page of at most 10,000.
    pub fn reservations(action: &mut Action<'_, Self>, after: Option<String>) -> Vec<Reservation> {
        use std::ops::Bound::{Excluded, Unbounded};
        let from = after.map_or(Unbounded, Excluded);
        let page = action.held.range((from, Unbounded)).take(LONGEST_PAGE);
        page.map(|(trip, &unit)| Reservation {
            trip: trip.clone(),
            unit,
        })
        .collect()
    }
}

/// Hosts an [`Inventory`] of at least `capacity` units as the object called `name`. It takes
/// reservations as soon as its cluster is complete: wait for that with [`Opening::done`] when
/// everything is hosted.
///
/// # Errors
///
/// [`StateError`] if its storage cannot be read.
pub async fn host_service(
    host: &Host,
    name: &str,
    capacity: u64,
    options: ObjectOptions,
) -> Result<Opening, StateError> {
    let (done, opening) = watch::channel(false);
    let done = Arc::new(done);
    let open = move |inventory: Object<Journaled<Inventory>>| {
        let done = done.clone();
        tokio::spawn(async move {
            match inventory
                .change_released(|action| Inventory::provide(action, capacity))
                .await
            {
                Ok(()) => drop(done.send_replace(true)),
                Err(error) => tracing::warn!(service = inventory.name(), %error, "not open yet"),
            }
        });
    };
    host.supervise(name, options, open).await?;
    Ok(Opening(opening))
}

/// A service that is about to have its units.
#[derive(Debug)]
#[must_use = "whoever asks before it is done may be refused"]
pub struct Opening(watch::Receiver<bool>);

impl Opening {
    /// Waits until the units are there and can never be lost. Members of a cluster that comes back
    /// wait for each other: host all before waiting for any. Gives `false` if the host is gone.
    pub async fn done(mut self) -> bool {
        self.0.wait_for(|&is_done| is_done).await.is_ok()
    }
}
