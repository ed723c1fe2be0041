//! Requests that are not served: what their senders are told.

use std::time::Duration;

use axum::{Router, body::Body};
use http_body_util::BodyExt as _;
use leap::{
    Action, Header, ObjectId, Version, WorldLine,
    testing::Cluster,
    tower::{ServerLayer, Speculative},
};
use tonic::{Code, Request, metadata::MetadataValue};
use tower::{Layer as _, ServiceExt as _};

use crate::counter::{
    Counter, CounterObject, SLOW_TO_SEAL, Server, count, counter_on, insider,
    proto::{Amount, counter_client::CounterClient, counter_server::CounterServer},
    routes,
};

async fn post(routes: &Router, header: &str) -> http::Response<Body> {
    let request = http::Request::post("/add").header("leap-header", header);
    routes
        .clone()
        .oneshot(request.body(Body::empty()).unwrap())
        .await
        .unwrap()
}

async fn text(response: http::Response<Body>) -> String {
    let bytes = response.into_body().collect().await.unwrap().to_bytes();
    String::from_utf8(bytes.to_vec()).unwrap()
}

async fn add_with(
    counter: &CounterObject,
    cluster: &Cluster,
    header: &[u8],
) -> Result<u64, tonic::Status> {
    // Without a client layer: the header is ours.
    let service = Server::new(counter.clone()).service(&cluster.host("hotel").await);
    let mut request = Request::new(Amount { by: 1 });
    let header = MetadataValue::from_bytes(header);
    request.metadata_mut().insert_bin("leap-header-bin", header);
    let answer = CounterClient::new(service).add(request).await?;
    Ok(answer.into_inner().value)
}

fn base64(bytes: &[u8]) -> String {
    let value = MetadataValue::from_bytes(bytes);
    String::from_utf8(value.as_encoded_bytes().to_vec()).unwrap()
}

/// A header of `world_line` that depends on nothing.
fn header_of(world_line: u64) -> Vec<u8> {
    let world_line = WorldLine(world_line);
    Header {
        world_line,
        ..Header::default()
    }
    .encode()
}

/// Loses something, and so opens world-line 1.
async fn roll_back(cluster: &Cluster) {
    let flight = counter_on(cluster, "flight").await;
    let host = cluster.host("flight").await;
    let inside = insider(cluster, "flight").await;
    inside
        .scope(Server::new(flight).client(&host).add(Amount { by: 1 }))
        .await
        .unwrap();
    cluster.restart("flight").await;
    counter_on(cluster, "flight").await;
}

#[tokio::test(start_paused = true)]
async fn malformed_headers_are_the_callers_fault() {
    let cluster = Cluster::with(SLOW_TO_SEAL).await;
    let counter = counter_on(&cluster, "hotel").await;
    let routes = routes(counter.clone(), &cluster.host("hotel").await);
    let twice = [(ObjectId(1), Version(1)), (ObjectId(2), Version(1))];
    let honest = Header {
        world_line: WorldLine(0),
        dependencies: twice.into_iter().collect(),
    };
    let honest = honest.encode();
    let malformed: Vec<Vec<u8>> = [
        (1..honest.len())
            .map(|length| honest[..length].to_vec())
            .collect(),
        vec![
            vec![],
            vec![0; 9],
            [&honest[..], &[0]].concat(),
            vec![0xff; 70_000],
        ],
    ]
    .concat();
    for header in malformed {
        let refused = add_with(&counter, &cluster, &header).await.unwrap_err();
        assert_eq!(
            refused.code(),
            Code::InvalidArgument,
            "{header:?}: {refused}"
        );
        assert!(
            refused
                .message()
                .starts_with("the speculation header is refused: "),
            "{refused}"
        );
        assert_eq!(
            post(&routes, &base64(&header)).await.status(),
            400,
            "{header:?}"
        );
    }
    for header in ["?", "====", "A", "not base64"] {
        assert_eq!(post(&routes, header).await.status(), 400, "{header:?}");
    }
    let request = http::Request::post("/add")
        .header("leap-header", base64(&honest))
        .header("leap-header", base64(&honest));
    let answer = routes
        .oneshot(request.body(Body::empty()).unwrap())
        .await
        .unwrap();
    assert_eq!(answer.status(), 400);
    assert_eq!(
        text(answer).await,
        "the speculation header is refused: there is more than one"
    );
    assert_eq!(count(&counter), 0, "none of them was served");
}

#[tokio::test(start_paused = true)]
async fn a_caller_from_a_world_line_that_is_over_learns_the_current_one() {
    let cluster = Cluster::with(SLOW_TO_SEAL).await;
    let counter = counter_on(&cluster, "hotel").await;
    let routes = routes(counter.clone(), &cluster.host("hotel").await);
    roll_back(&cluster).await;
    cluster.settled().await;

    let refused = add_with(&counter, &cluster, &header_of(0))
        .await
        .unwrap_err();
    assert_eq!(refused.code(), Code::Aborted, "{refused}");
    assert_eq!(refused.metadata().get("leap-world-line").unwrap(), "1");
    let answer = post(&routes, &base64(&header_of(0))).await;
    assert_eq!(answer.status(), 409);
    assert_eq!(answer.headers()["leap-world-line"], "1");
    assert_eq!(count(&counter), 0);

    assert_eq!(
        add_with(&counter, &cluster, &header_of(1)).await.unwrap(),
        1
    );
}

/// A life that was shut out says nothing wrong in its world-line: nobody knows yet that what it does is lost. So it is
/// served like any other, and taken back with what it did.
#[tokio::test(start_paused = true)]
async fn what_a_fenced_life_asks_for_is_taken_back_with_it() {
    let cluster = Cluster::with(SLOW_TO_SEAL).await;
    let hotel = counter_on(&cluster, "hotel").await;
    let routes = routes(hotel.clone(), &cluster.host("hotel").await);
    let older = counter_on(&cluster, "flight").await;
    cluster.settled().await;
    // The newer life has claimed the storage, and is not admitted yet.
    let elsewhere = cluster.host("elsewhere").await;
    cluster.cut("elsewhere", Cluster::COORDINATOR);
    let newer = elsewhere.add::<Counter>("flight").await.unwrap();
    let act = |action: &mut Action<'_, Counter>| {
        action.record(1);
        action.context().header()
    };
    let header = older.change(act).await.unwrap();
    assert_eq!(header.world_line, WorldLine(0));
    let header = header.encode();
    assert_eq!(add_with(&hotel, &cluster, &header).await.unwrap(), 1);
    assert_eq!(post(&routes, &base64(&header)).await.status(), 200);
    let output = hotel.change(|action| action.output()).await.unwrap();

    cluster.heal("elsewhere", Cluster::COORDINATOR);
    newer.ready().await.unwrap();
    output.await.expect_err("it depends on what is lost");
    cluster.settled().await;
    assert_eq!(count(&hotel), 0);
    let refused = add_with(&hotel, &cluster, &header).await.unwrap_err();
    assert_eq!(refused.code(), Code::Aborted, "{refused}");
    assert_eq!(refused.metadata().get("leap-world-line").unwrap(), "1");
    assert_eq!(post(&routes, &base64(&header)).await.status(), 409);
    assert_eq!(count(&hotel), 0);
}

#[tokio::test(start_paused = true)]
async fn a_caller_that_is_ahead_is_served_when_we_catch_up() {
    let cluster = Cluster::with(SLOW_TO_SEAL).await;
    let counter = counter_on(&cluster, "hotel").await;
    let routes = routes(counter.clone(), &cluster.host("hotel").await);
    let header = base64(&header_of(1));
    let ahead = tokio::spawn(async move { post(&routes, &header).await });
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(count(&counter), 0, "it waits");
    roll_back(&cluster).await;
    assert_eq!(ahead.await.unwrap().status(), 200);
    assert_eq!(count(&counter), 1);
}

#[tokio::test(start_paused = true)]
async fn a_caller_that_is_too_far_ahead_is_sent_away() {
    let cluster = Cluster::with(SLOW_TO_SEAL).await;
    let counter = counter_on(&cluster, "hotel").await;
    let routes = routes(counter.clone(), &cluster.host("hotel").await);
    let start = tokio::time::Instant::now();
    let refused = add_with(&counter, &cluster, &header_of(1 << 40))
        .await
        .unwrap_err();
    assert_eq!(refused.code(), Code::Unavailable, "{refused}");
    assert_eq!(start.elapsed(), Duration::from_secs(10));
    assert_eq!(post(&routes, &base64(&header_of(7))).await.status(), 503);
    assert_eq!(count(&counter), 0);
}

#[tokio::test(start_paused = true)]
async fn without_its_host_a_service_is_unavailable() {
    let cluster = Cluster::with(SLOW_TO_SEAL).await;
    let host = leap::Host::builder().start().await.unwrap();
    let counter = counter_on(&cluster, "hotel").await;
    let routes = routes(counter, &host);
    drop(host);
    let answer = post(&routes, &base64(&header_of(0))).await;
    assert_eq!(answer.status(), 503);
    assert_eq!(
        text(answer).await,
        "an object has stopped: its host shut down"
    );
}

#[tokio::test(start_paused = true)]
async fn patience_can_be_set() {
    let cluster = Cluster::with(SLOW_TO_SEAL).await;
    let counter = counter_on(&cluster, "hotel").await;
    let host = cluster.host("hotel").await;
    let layer = ServerLayer::new(&host).patience(Duration::from_millis(70));
    let service = layer.layer(CounterServer::new(Server::new(counter)));
    let mut request = Request::new(Amount { by: 1 });
    let header = MetadataValue::from_bytes(&header_of(1));
    request.metadata_mut().insert_bin("leap-header-bin", header);
    let start = tokio::time::Instant::now();
    let refused = CounterClient::new(service).add(request).await.unwrap_err();
    assert_eq!(
        refused.message(),
        "this host did not catch up with the message within 70 ms"
    );
    assert_eq!(start.elapsed(), Duration::from_millis(70));
}

#[tokio::test(start_paused = true)]
async fn a_handler_without_the_layer_says_what_is_missing() {
    let cluster = Cluster::with(SLOW_TO_SEAL).await;
    let counter = counter_on(&cluster, "hotel").await;
    let bare = CounterServer::new(Server::new(counter));
    let refused = CounterClient::new(bare)
        .add(Amount { by: 1 })
        .await
        .unwrap_err();
    assert_eq!(refused.code(), Code::Internal);

    let bare: Router = Router::new().route("/", axum::routing::get(async |_: Speculative| ()));
    let request = http::Request::get("/").body(Body::empty()).unwrap();
    assert_eq!(bare.oneshot(request).await.unwrap().status(), 500);
}
