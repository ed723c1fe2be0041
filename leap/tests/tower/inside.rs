//! Callers with a header: they share the speculation and wait for nothing.

use std::{sync::Arc, time::Duration};

use leap::{ObjectId, Version, WorldLine, testing::Cluster, tower::Speculative};
use tokio::{sync::Notify, time::Instant};
use tonic::{Code, Request};

use crate::counter::{
    INTERVAL, SLOW_TO_SEAL, Server, client_of, count, counter_on, insider, proto::Amount,
};

/// The objects that it has seen and that are not committed.
async fn seen(inside: &Speculative) -> Vec<ObjectId> {
    let header = inside.header().unwrap();
    header
        .dependencies
        .iter()
        .map(|(object, _)| object)
        .collect()
}

fn sorted<const N: usize>(names: [&str; N]) -> Vec<ObjectId> {
    let mut objects = names.map(ObjectId::from_name).to_vec();
    objects.sort_unstable();
    objects
}

#[tokio::test(start_paused = true)]
async fn the_answer_comes_at_once_and_what_it_depends_on_comes_along() {
    let cluster = Cluster::with(SLOW_TO_SEAL).await;
    let mut hotel = client_of(&cluster, "hotel").await;
    let inside = insider(&cluster, "car").await;
    let start = Instant::now();
    let answer = inside.scope(hotel.add(Amount { by: 5 })).await.unwrap();
    assert_eq!(start.elapsed(), Duration::ZERO);
    assert!(answer.metadata().get_bin("leap-header-bin").is_some());
    assert_eq!(answer.into_inner().value, 5);
    assert_eq!(seen(&inside).await, sorted(["hotel"]));

    inside.barrier().await.unwrap();
    assert!(
        start.elapsed() >= INTERVAL,
        "durable after {:?}",
        start.elapsed()
    );
    assert_eq!(seen(&inside).await, []);
}

#[tokio::test(start_paused = true)]
async fn the_request_may_name_the_sthread_itself() {
    let cluster = Cluster::with(SLOW_TO_SEAL).await;
    let mut hotel = client_of(&cluster, "hotel").await;
    let (explicit, current) = (
        insider(&cluster, "car").await,
        insider(&cluster, "car").await,
    );
    let mut request = Request::new(Amount { by: 1 });
    request.extensions_mut().insert(explicit.clone());
    current.scope(hotel.add(request)).await.unwrap();
    assert_eq!(seen(&explicit).await, sorted(["hotel"]));
    assert_eq!(seen(&current).await, []);
}

#[tokio::test(start_paused = true)]
async fn the_callee_depends_on_what_the_caller_has_seen() {
    let cluster = Cluster::with(SLOW_TO_SEAL).await;
    let mut hotel = client_of(&cluster, "hotel").await;
    let flight = counter_on(&cluster, "flight").await;
    let mut flight_client = Server::new(flight.clone()).client(&cluster.host("flight").await);
    let inside = insider(&cluster, "car").await;
    inside.scope(hotel.add(Amount { by: 1 })).await.unwrap();
    inside
        .scope(flight_client.add(Amount { by: 2 }))
        .await
        .unwrap();
    assert_eq!(count(&flight), 2);
    // So when the hotel loses what the caller has seen, the flight loses what came of it.
    cluster.restart("hotel").await;
    counter_on(&cluster, "hotel").await;
    cluster.settled().await;
    assert_eq!(count(&flight), 0);
    inside.barrier().await.unwrap_err();
}

#[tokio::test(start_paused = true)]
async fn a_chain_of_services_hands_everything_on() {
    let cluster = Cluster::with(SLOW_TO_SEAL).await;
    let flight = client_of(&cluster, "flight").await;
    let hotel = counter_on(&cluster, "hotel").await;
    let host = cluster.host("hotel").await;
    let mut hotel = Server::new(hotel).before(flight).client(&host);
    let inside = insider(&cluster, "car").await;
    let start = Instant::now();
    inside.scope(hotel.relay(Amount { by: 1 })).await.unwrap();
    assert_eq!(start.elapsed(), Duration::ZERO);
    assert_eq!(seen(&inside).await, sorted(["flight", "hotel"]));
}

#[tokio::test(start_paused = true)]
async fn an_answer_whose_ground_is_lost_meanwhile_says_so() {
    let cluster = Cluster::with(SLOW_TO_SEAL).await;
    let flight = client_of(&cluster, "flight").await;
    let hotel = counter_on(&cluster, "hotel").await;
    let host = cluster.host("hotel").await;
    let relayed = Arc::new((Notify::new(), Notify::new()));
    let mut server = Server::new(hotel.clone()).before(flight);
    server.relayed = Some(relayed.clone());
    let mut client = server.client(&host);
    let inside = insider(&cluster, "car").await;
    let call = tokio::spawn(async move { inside.scope(client.relay(Amount { by: 1 })).await });

    relayed.0.notified().await;
    cluster.restart("flight").await;
    counter_on(&cluster, "flight").await;
    cluster.settled().await;
    relayed.1.notify_one();
    let refused = call.await.unwrap().unwrap_err();
    assert_eq!(refused.code(), Code::Aborted, "{refused}");
    assert_eq!(refused.metadata().get("leap-world-line").unwrap(), "1");
    assert_eq!(count(&hotel), 0);
}

#[tokio::test(start_paused = true)]
async fn a_caller_that_is_itself_rolled_back_does_not_call() {
    let cluster = Cluster::with(SLOW_TO_SEAL).await;
    let mut hotel = client_of(&cluster, "hotel").await;
    let flight = counter_on(&cluster, "flight").await;
    let inside = insider(&cluster, "car").await;
    inside.scope(hotel.add(Amount { by: 1 })).await.unwrap();
    cluster.restart("hotel").await;
    counter_on(&cluster, "hotel").await;
    cluster.settled().await;

    let mut client = Server::new(flight.clone()).client(&cluster.host("flight").await);
    let refused = inside
        .scope(client.add(Amount { by: 1 }))
        .await
        .unwrap_err();
    assert_eq!(refused.code(), Code::Aborted, "{refused}");
    let source = std::error::Error::source(&refused);
    let source = source.and_then(|source| source.downcast_ref::<leap::tower::SpeculationError>());
    assert!(
        matches!(source, Some(leap::tower::SpeculationError::RolledBack(rolled_back))
            if rolled_back.world_line == WorldLine(1)),
        "{source:?}"
    );
    cluster.settled().await;
    assert_eq!(count(&flight), 0);
}

/// A header must fit where HTTP headers go; one that does not is made short by waiting.
#[tokio::test(start_paused = true)]
async fn one_who_has_seen_too_much_waits_instead() {
    let cluster = Cluster::with(SLOW_TO_SEAL).await;
    let inside = insider(&cluster, "car").await;
    let mut clients = Vec::new();
    for n in 0..300 {
        let host = cluster.host("hotels").await;
        let counter = host.add(&format!("hotel {n}")).await.unwrap();
        clients.push(Server::new(counter).client(&host));
    }
    let mut longest = 0;
    for client in &mut clients {
        inside.scope(client.add(Amount { by: 1 })).await.unwrap();
        let header = inside.header().unwrap();
        assert!(
            header
                .dependencies
                .iter()
                .all(|(_, version)| version == Version(1))
        );
        longest = longest.max(header.dependencies.len());
    }
    assert!(
        (200..300).contains(&longest),
        "{longest} objects in one header"
    );
}
