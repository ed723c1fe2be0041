//! Streams: each part leaves when what it depends on was told, or is durable.

use std::time::Duration;

use axum::body::Body;
use http_body_util::BodyExt as _;
use leap::{
    testing::Cluster,
    tower::{ServerLayer, Speculative},
};
use tokio::time::Instant;
use tonic::Code;
use tower::ServiceExt as _;

use crate::counter::{
    INTERVAL, SLOW_TO_SEAL, Server, client_of, count, counter_on, insider, proto::Amount,
};

#[tokio::test(start_paused = true)]
async fn each_message_of_a_stream_to_the_outside_is_durable_before_it_leaves() {
    let cluster = Cluster::with(SLOW_TO_SEAL).await;
    let mut client = client_of(&cluster, "hotel").await;
    let start = Instant::now();
    let mut counts = client.climb(Amount { by: 3 }).await.unwrap().into_inner();
    assert_eq!(start.elapsed(), Duration::ZERO, "the head tells nothing");
    for n in 1..=3 {
        let count = counts.message().await.unwrap().unwrap();
        assert_eq!(count.value, u64::from(n));
        assert!(
            start.elapsed() >= INTERVAL * n,
            "count {n} left after {:?}",
            start.elapsed()
        );
    }
    assert_eq!(counts.message().await.unwrap(), None);
}

#[tokio::test(start_paused = true)]
async fn an_insider_gets_no_message_before_it_knows_or_need_not_know_what_that_depends_on() {
    let cluster = Cluster::with(SLOW_TO_SEAL).await;
    let mut client = client_of(&cluster, "hotel").await;
    let inside = insider(&cluster, "car").await;
    let start = Instant::now();
    let mut counts = inside
        .scope(client.climb(Amount { by: 2 }))
        .await
        .unwrap()
        .into_inner();
    for n in 1..=2 {
        let count = counts.message().await.unwrap().unwrap();
        assert_eq!(count.value, u64::from(n));
        // The head was sent before anything was done, so each message is held.
        assert!(
            start.elapsed() >= INTERVAL * n,
            "count {n} left after {:?}",
            start.elapsed()
        );
    }
    inside.barrier().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_message_that_depends_on_nothing_new_is_not_held() {
    let cluster = Cluster::with(SLOW_TO_SEAL).await;
    let flight = client_of(&cluster, "flight").await;
    let host = cluster.host("hotel").await;
    let routes = axum::Router::new().route(
        "/",
        axum::routing::get(async move || {
            // All it depends on is known when the head leaves.
            flight.clone().add(Amount { by: 1 }).await.unwrap();
            let parts = ["one", "two", "three"].map(Ok::<_, std::convert::Infallible>);
            Body::from_stream(futures::stream::iter(parts))
        }),
    );
    let routes = routes.layer(ServerLayer::new(&host));
    let start = Instant::now();
    let mut request = http::Request::get("/").body(Body::empty()).unwrap();
    let client = tower::ServiceBuilder::new()
        .layer(leap::tower::ClientLayer::new())
        .service(routes.into_service::<Body>());
    request
        .extensions_mut()
        .insert(insider(&cluster, "car").await);
    let answer = client.oneshot(request).await.unwrap();
    let all = answer.into_body().collect().await.unwrap().to_bytes();
    assert_eq!(all, "onetwothree");
    assert_eq!(start.elapsed(), Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn a_stream_whose_ground_is_lost_ends_with_a_request_to_try_again() {
    let cluster = Cluster::with(SLOW_TO_SEAL).await;
    let flight = client_of(&cluster, "flight").await;
    let hotel = counter_on(&cluster, "hotel").await;
    let host = cluster.host("hotel").await;
    let mut client = Server::new(hotel.clone()).before(flight).client(&host);
    let mut counts = client.climb(Amount { by: 9 }).await.unwrap().into_inner();
    assert_eq!(counts.message().await.unwrap().unwrap().value, 1);
    // The second count has been made and waits.
    let second = tokio::time::timeout(INTERVAL / 2, counts.message()).await;
    assert!(second.is_err(), "{second:?}");
    cluster.restart("flight").await;
    counter_on(&cluster, "flight").await;
    let ended = counts.message().await.unwrap_err();
    assert_eq!(ended.code(), Code::Unavailable, "{ended}");
    cluster.settled().await;
    assert_eq!(count(&hotel), 1);
}

#[tokio::test(start_paused = true)]
async fn an_http_body_whose_ground_is_lost_is_broken_off() {
    let cluster = Cluster::with(SLOW_TO_SEAL).await;
    let flight = client_of(&cluster, "flight").await;
    let host = cluster.host("hotel").await;
    let routes = axum::Router::new().route(
        "/",
        axum::routing::get(async move |_: Speculative| {
            let parts = futures::stream::unfold(flight.clone(), async |mut flight| {
                let count = flight
                    .add(Amount { by: 1 })
                    .await
                    .unwrap()
                    .into_inner()
                    .value;
                Some((Ok::<_, std::convert::Infallible>(count.to_string()), flight))
            });
            Body::from_stream(parts)
        }),
    );
    let routes = routes.layer(ServerLayer::new(&host));
    let request = http::Request::get("/").body(Body::empty()).unwrap();
    let mut body = routes.oneshot(request).await.unwrap().into_body();
    let first = body.frame().await.unwrap().unwrap().into_data().unwrap();
    assert_eq!(first, "1");
    assert!(futures::poll!(std::pin::pin!(body.frame())).is_pending());
    cluster.restart("flight").await;
    counter_on(&cluster, "flight").await;
    let broken = body.frame().await.unwrap().unwrap_err();
    assert!(broken.to_string().contains("rolled back"), "{broken}");
    assert!(body.frame().await.is_none());
}
