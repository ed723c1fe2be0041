//! Callers without a header: nothing is said to them before it is durable (rule P8).

use axum::body::Body;
use http_body_util::BodyExt as _;
use leap::{
    testing::Cluster,
    tower::{ClientLayer, Speculative},
};
use tokio::time::Instant;
use tonic::Code;
use tower::{Layer as _, Service as _, ServiceExt as _, service_fn};

use crate::counter::{
    INTERVAL, SLOW_TO_SEAL, Server, client_of, count, counter_on, insider, proto::Amount, routes,
};

#[tokio::test(start_paused = true)]
async fn a_grpc_answer_waits_until_it_is_durable() {
    let cluster = Cluster::with(SLOW_TO_SEAL).await;
    let mut client = client_of(&cluster, "hotel").await;
    let start = Instant::now();
    let answer = client.add(Amount { by: 5 }).await.unwrap();
    assert!(
        start.elapsed() >= INTERVAL,
        "released after {:?}",
        start.elapsed()
    );
    assert!(answer.metadata().get_bin("leap-header-bin").is_none());
    assert_eq!(answer.into_inner().value, 5);
}

#[tokio::test(start_paused = true)]
async fn an_http_answer_waits_until_it_is_durable() {
    let cluster = Cluster::with(SLOW_TO_SEAL).await;
    let counter = counter_on(&cluster, "hotel").await;
    let routes = routes(counter, &cluster.host("hotel").await);
    let start = Instant::now();
    let request = http::Request::post("/add").body(Body::empty()).unwrap();
    let answer = routes.oneshot(request).await.unwrap();
    assert!(
        start.elapsed() >= INTERVAL,
        "released after {:?}",
        start.elapsed()
    );
    assert_eq!(answer.status(), 200);
    assert!(!answer.headers().contains_key("leap-header"));
    assert_eq!(answer.into_body().collect().await.unwrap().to_bytes(), "1");
}

#[tokio::test(start_paused = true)]
async fn what_an_answer_has_only_read_is_waited_for_too() {
    let cluster = Cluster::with(SLOW_TO_SEAL).await;
    let counter = counter_on(&cluster, "hotel").await;
    let host = cluster.host("hotel").await;
    let routes = routes(counter.clone(), &host);
    let inside = insider(&cluster, "hotel").await;
    inside
        .scope(Server::new(counter).client(&host).add(Amount { by: 3 }))
        .await
        .unwrap();
    let start = Instant::now();
    let request = http::Request::get("/count").body(Body::empty()).unwrap();
    let answer = routes.oneshot(request).await.unwrap();
    assert!(
        start.elapsed() >= INTERVAL,
        "released after {:?}",
        start.elapsed()
    );
    assert_eq!(answer.into_body().collect().await.unwrap().to_bytes(), "3");
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_depends_on_nothing_does_not_wait() {
    let cluster = Cluster::with(SLOW_TO_SEAL).await;
    let counter = counter_on(&cluster, "hotel").await;
    let routes = routes(counter, &cluster.host("hotel").await);
    let start = Instant::now();
    let request = http::Request::get("/nowhere").body(Body::empty()).unwrap();
    let answer = routes.oneshot(request).await.unwrap();
    assert_eq!(answer.status(), 404);
    assert_eq!(start.elapsed(), std::time::Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_is_rolled_back_becomes_a_request_to_try_again() {
    let cluster = Cluster::with(SLOW_TO_SEAL).await;
    let flight = client_of(&cluster, "flight").await;
    let hotel = counter_on(&cluster, "hotel").await;
    let host = cluster.host("hotel").await;
    let mut client = Server::new(hotel.clone()).before(flight).client(&host);

    let call = tokio::spawn(async move { client.relay(Amount { by: 1 }).await });
    while count(&hotel) == 0 {
        tokio::task::yield_now().await;
    }
    // The answer is there and waits, and part of what it depends on is lost.
    cluster.restart("flight").await;
    let flight = counter_on(&cluster, "flight").await;
    let refused = call.await.unwrap().unwrap_err();
    assert_eq!(refused.code(), Code::Unavailable, "{refused}");
    assert_eq!((count(&hotel), count(&flight)), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn an_http_answer_that_is_rolled_back_is_a_503() {
    let cluster = Cluster::with(SLOW_TO_SEAL).await;
    let flight = client_of(&cluster, "flight").await;
    let host = cluster.host("hotel").await;
    // A service without objects of its own.
    let routes = axum::Router::new().route(
        "/book",
        axum::routing::post(async move || {
            flight.clone().add(Amount { by: 1 }).await.unwrap();
            "booked"
        }),
    );
    let routes = routes.layer(leap::tower::ServerLayer::new(&host));
    let request = http::Request::post("/book").body(Body::empty()).unwrap();
    let answer = tokio::spawn(routes.oneshot(request));
    tokio::time::sleep(INTERVAL / 2).await;
    cluster.restart("flight").await;
    counter_on(&cluster, "flight").await;
    let answer = answer.await.unwrap().unwrap();
    assert_eq!(answer.status(), 503);
    assert_eq!(answer.headers()["retry-after"], "0");
    let text = answer.into_body().collect().await.unwrap().to_bytes();
    assert!(text.ends_with(b"try again"), "{text:?}");
}

#[tokio::test(start_paused = true)]
async fn a_request_to_the_outside_world_leaves_when_all_is_durable() {
    let cluster = Cluster::with(SLOW_TO_SEAL).await;
    let mut hotel = client_of(&cluster, "hotel").await;
    let inside = insider(&cluster, "car").await;
    let start = Instant::now();
    let mut payment =
        ClientLayer::outside().layer(service_fn(async |request: http::Request<()>| {
            assert!(!request.headers().contains_key("leap-header"));
            Ok::<_, tower::BoxError>(http::Response::new(Instant::now()))
        }));
    let pay = inside.scope(async {
        let early = payment
            .call(http::Request::new(()))
            .await
            .unwrap()
            .into_body();
        assert_eq!(early, start, "nothing was seen yet");
        hotel.add(Amount { by: 1 }).await.unwrap();
        assert_eq!(Instant::now(), start);
        payment
            .call(http::Request::new(()))
            .await
            .unwrap()
            .into_body()
    });
    let left = pay.await;
    assert!(left >= start + INTERVAL, "left after {:?}", left - start);
}

#[tokio::test(start_paused = true)]
async fn a_call_outside_any_scope_is_one_from_outside() {
    let cluster = Cluster::with(SLOW_TO_SEAL).await;
    assert!(Speculative::current().is_none());
    let inside = insider(&cluster, "car").await;
    let spawned = inside.scope(async { tokio::spawn(async { Speculative::current() }).await });
    assert!(
        spawned.await.unwrap().is_none(),
        "a new task does not inherit it"
    );
}
