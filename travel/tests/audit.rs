//! The audit finds what it is there to find.

use std::collections::BTreeMap;

use anyhow::Result;
use bytes::Bytes;
use leap::{Call, CallError, Host, ObjectOptions, decode_request, encode_value};
use travel::{
    Audit, Booking, Confirmation, InventoryClient, Reservation, SERVICES, Stats, Trip, audit,
};

/// What services say that they hold, true or not.
struct Told(BTreeMap<&'static str, (Stats, Vec<Reservation>)>);

impl Call for Told {
    async fn call(
        &self,
        object: &str,
        method: &str,
        body: Bytes,
        _idempotency_key: Option<&str>,
    ) -> Result<Bytes, CallError> {
        let (stats, reservations) = &self.0[object];
        if method == "stats" {
            return Ok(encode_value(stats));
        }
        let after: Option<String> = decode_request(method, &body)?;
        let rest = reservations
            .iter()
            .filter(|reservation| Some(&reservation.trip) > after.as_ref());
        Ok(encode_value(&rest.collect::<Vec<_>>()))
    }
}

impl Told {
    /// Two trips at each service, each with the unit of its own number.
    fn two_trips() -> (Self, Vec<Booking>) {
        let stats = Stats {
            capacity: 10,
            reserved: 2,
            free: 8,
            cancelled: 0,
            repeated: 0,
        };
        let reservations = || (0..2).map(|unit| reservation(unit, unit)).collect();
        let services = SERVICES.map(|service| (service, (stats, reservations())));
        (Self(services.into()), vec![booking(0), booking(1)])
    }

    fn stats(&mut self, service: &str) -> &mut Stats {
        &mut self.0.get_mut(service).expect("it is a service").0
    }

    fn reservations(&mut self, service: &str) -> &mut Vec<Reservation> {
        &mut self.0.get_mut(service).expect("it is a service").1
    }
}

fn reservation(trip: u64, unit: u64) -> Reservation {
    Reservation {
        trip: format!("trip-{trip}"),
        unit,
    }
}

fn booking(number: u64) -> Booking {
    let confirmation = |service: &str| Confirmation {
        service: service.to_owned(),
        unit: number,
    };
    Booking {
        trip: format!("trip-{number}"),
        traveller: "Ada".to_owned(),
        confirmations: SERVICES.map(confirmation).into(),
    }
}

const CLEAN: Audit = Audit {
    acknowledged: 2,
    lost: 0,
    duplicated: 0,
    incomplete: 0,
    unacknowledged: 0,
    seats_conserved: true,
};

/// Finds `expected` once `spoil` has changed what is held or what was acknowledged.
async fn finds(spoil: impl FnOnce(&mut Told, &mut Vec<Booking>), expected: Audit) -> Result<()> {
    let (mut told, mut bookings) = Told::two_trips();
    spoil(&mut told, &mut bookings);
    let found = audit(&told, SERVICES, &bookings).await?;
    assert_eq!(found, expected);
    assert_eq!(found.is_clean(), expected == CLEAN);
    Ok(())
}

#[tokio::test]
async fn what_is_as_it_was_told_is_clean() -> Result<()> {
    finds(|_, _| {}, CLEAN).await?;
    // Whoever asks twice is told twice.
    finds(|_, bookings| bookings.push(booking(1)), CLEAN).await
}

#[tokio::test]
async fn an_acknowledged_trip_that_a_service_does_not_hold_is_lost() -> Result<()> {
    let forget = |told: &mut Told| {
        told.reservations("car").pop();
        *told.stats("car") = Stats {
            reserved: 1,
            free: 9,
            ..*told.stats("car")
        };
    };
    let half_lost = Audit {
        lost: 1,
        incomplete: 1,
        ..CLEAN
    };
    finds(|told, _| forget(told), half_lost.clone()).await?;
    // Without confirmations it is as lost.
    let unconfirmed = |told: &mut Told, bookings: &mut Vec<Booking>| {
        forget(told);
        bookings[1].confirmations.clear();
    };
    finds(unconfirmed, half_lost).await?;
    let nowhere = |_: &mut Told, bookings: &mut Vec<Booking>| {
        bookings.push(Booking {
            confirmations: Vec::new(),
            ..booking(2)
        });
    };
    let all_lost = Audit {
        acknowledged: 3,
        lost: 3,
        ..CLEAN
    };
    finds(nowhere, all_lost).await
}

#[tokio::test]
async fn a_trip_with_another_unit_than_confirmed_is_lost() -> Result<()> {
    let other_unit = |told: &mut Told, _: &mut Vec<Booking>| {
        told.reservations("car")[1].unit = 7;
    };
    finds(other_unit, Audit { lost: 1, ..CLEAN }).await?;
    let other_service = |_: &mut Told, bookings: &mut Vec<Booking>| {
        bookings[1].confirmations[0].service = "ferry".to_owned();
    };
    finds(other_service, Audit { lost: 1, ..CLEAN }).await
}

#[tokio::test]
async fn what_was_done_twice_is_duplicated() -> Result<()> {
    let asked_twice = |told: &mut Told, _: &mut Vec<Booking>| told.stats("hotel").repeated = 2;
    let twice = Audit {
        duplicated: 2,
        ..CLEAN
    };
    finds(asked_twice, twice).await?;
    let held_twice = |told: &mut Told, bookings: &mut Vec<Booking>| {
        told.reservations("hotel")[1].unit = 0;
        bookings.pop();
    };
    let held = Audit {
        acknowledged: 1,
        duplicated: 1,
        unacknowledged: 1,
        ..CLEAN
    };
    finds(held_twice, held).await?;
    let confirmed_twice = |_: &mut Told, bookings: &mut Vec<Booking>| {
        bookings[1].confirmations[0].unit = 0;
    };
    let confirmed = Audit {
        lost: 1,
        duplicated: 1,
        ..CLEAN
    };
    finds(confirmed_twice, confirmed).await
}

#[tokio::test]
async fn units_that_do_not_add_up_are_not_conserved() -> Result<()> {
    let gone = Audit {
        seats_conserved: false,
        ..CLEAN
    };
    finds(|told, _| told.stats("flight").free = 7, gone.clone()).await?;
    let uncounted = |told: &mut Told, _: &mut Vec<Booking>| {
        *told.stats("flight") = Stats {
            reserved: 1,
            free: 9,
            ..*told.stats("flight")
        };
    };
    finds(uncounted, gone).await
}

/// The same with real services, which do as they are told behind the workflow's back.
#[tokio::test(start_paused = true)]
async fn a_reservation_taken_from_an_acknowledged_trip_is_missed() -> Result<()> {
    let host = Host::builder().start().await?;
    let options = ObjectOptions::default();
    for service in SERVICES {
        let opening = travel::host_service(&host, service, 10, options).await?;
        assert!(opening.done().await);
    }
    travel::host_workflows(&host, SERVICES, options).await?;
    let traveller = "Ada".to_owned();
    let bookings = [travel::book(&host, "trip-0", &Trip { traveller }).await?];
    let one = Audit {
        acknowledged: 1,
        ..CLEAN
    };
    assert_eq!(audit(&host, SERVICES, &bookings).await?, one);

    let trip = "trip-0".to_owned();
    InventoryClient::new(&host, "car").reserve(&trip).await??;
    InventoryClient::new(&host, "hotel").cancel(&trip).await?;
    let spoilt = Audit {
        lost: 1,
        duplicated: 1,
        incomplete: 1,
        ..one
    };
    assert_eq!(audit(&host, SERVICES, &bookings).await?, spoilt);
    Ok(())
}
