//! Trips are booked exactly once, whatever crashes.

use std::time::Duration;

use anyhow::Result;
use futures::future::join_all;
use leap::{Host, ObjectOptions, Speculation, Store, StoreOptions};
use travel::{Audit, Booking, SERVICES, Trip};

const CAPACITY: u64 = 100;

async fn store() -> Result<Store> {
    Ok(Store::open("memory:", StoreOptions::default()).await?)
}

async fn host_all(store: &Store, options: ObjectOptions) -> Result<Host> {
    let host = Host::builder().store(store.clone()).start().await?;
    let mut openings = Vec::new();
    for service in SERVICES {
        openings.push(travel::host_service(&host, service, CAPACITY, options).await?);
    }
    travel::host_workflows(&host, SERVICES, options).await?;
    for opening in openings {
        assert!(opening.done().await);
    }
    Ok(host)
}

fn trip(number: usize) -> (String, Trip) {
    (
        format!("trip-{number:03}"),
        Trip {
            traveller: format!("traveller {number}"),
        },
    )
}

async fn book(host: &Host, number: usize) -> Result<Booking, leap_services::workflow::EngineError> {
    let (id, trip) = trip(number);
    travel::book(host, &id, &trip).await
}

async fn audit(host: &Host, bookings: &[Booking]) -> Result<Audit> {
    Ok(travel::audit(host, SERVICES, bookings).await?)
}

#[tokio::test(start_paused = true)]
async fn books_many_trips_at_once() -> Result<()> {
    for speculation in [Speculation::On, Speculation::Off] {
        let host = host_all(
            &store().await?,
            ObjectOptions {
                speculation,
                ..ObjectOptions::default()
            },
        )
        .await?;
        let bookings = join_all((0..20).map(|number| book(&host, number))).await;
        let bookings = bookings.into_iter().collect::<Result<Vec<_>, _>>()?;
        let audit = audit(&host, &bookings).await?;
        assert!(audit.is_clean(), "{audit:?}");
        assert_eq!((audit.acknowledged, audit.unacknowledged), (20, 0));
    }
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn a_refusal_undoes_what_was_reserved() -> Result<()> {
    let host = Host::builder().start().await?;
    let options = ObjectOptions::default();
    for (service, capacity) in [("hotel", 10), ("flight", 10), ("car", 2)] {
        assert!(
            travel::host_service(&host, service, capacity, options)
                .await?
                .done()
                .await
        );
    }
    travel::host_workflows(&host, SERVICES, options).await?;
    let mut booked = Vec::new();
    for number in 0..5 {
        match book(&host, number).await {
            Ok(booking) => booked.push(booking),
            Err(error) => assert_eq!(
                anyhow::Error::from(error).root_cause().to_string(),
                "car: all 2 are taken"
            ),
        }
    }
    assert_eq!(booked.len(), 2);
    let audit = audit(&host, &booked).await?;
    assert!(audit.is_clean(), "{audit:?}");
    assert_eq!(audit.unacknowledged, 0);
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn a_crash_of_everything_loses_nothing_and_doubles_nothing() -> Result<()> {
    let store = store().await?;
    let mut acknowledged = Vec::new();
    for round in 0..10 {
        let host = host_all(&store, ObjectOptions::default()).await?;
        let bookings = (round * 5..round * 5 + 10).map(|number| book(&host, number));
        let mut bookings = futures::stream::FuturesUnordered::from_iter(bookings);
        // Some are acknowledged, the others are somewhere in the middle.
        for _ in 0..round {
            acknowledged.push(
                futures::StreamExt::next(&mut bookings)
                    .await
                    .expect("there are ten")?,
            );
        }
        host.kill();
    }
    let host = host_all(&store, ObjectOptions::default()).await?;
    let all = join_all((0..55).map(|number| book(&host, number))).await;
    for (booking, number) in all.into_iter().zip(0..) {
        let booking = booking?;
        let (id, _) = trip(number);
        assert!(
            acknowledged
                .iter()
                .all(|earlier| earlier.trip != id || *earlier == booking),
            "another booking"
        );
        acknowledged.push(booking);
    }
    let audit = audit(&host, &acknowledged).await?;
    assert!(audit.is_clean(), "{audit:?}");
    assert_eq!((audit.acknowledged, audit.unacknowledged), (55, 0));
    host.shutdown(Duration::from_secs(5)).await;
    Ok(())
}
