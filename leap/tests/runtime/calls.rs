//! Calls from outside: through any host, with typed errors.

use std::time::Duration;

use leap::testing::Cluster;
use leap::{Bytes, Call as _, CallError, Client, ClientError, Host, ObjectClient};

use crate::services::{INTERVAL, NONE, Odd, SLOW_TO_SEAL, TakerClient, taken, taker_on};

#[tokio::test(start_paused = true)]
async fn a_handler_that_only_looks_seals_nothing() {
    let cluster = Cluster::new().await;
    let taker = taker_on(&cluster.host("a").await).await;
    let client = TakerClient::new(cluster.host("a").await, "taker");
    assert_eq!(client.take(&4).await, Ok(1));
    cluster.settled().await;
    let before = taker.state().statistics();
    assert_eq!(client.taken().await, Ok(vec![4]));
    let again = client.idempotency_key("once");
    assert_eq!(again.taken().await, Ok(vec![4]));
    assert_eq!(again.take(&5).await, Ok(2));
    assert_eq!(again.taken().await, Ok(vec![4, 5]), "it looks anew");
    cluster.settled().await;
    let after = taker.state().statistics();
    assert_eq!(
        after.records - before.records,
        1,
        "the second number makes the only new version"
    );
}

#[tokio::test(start_paused = true)]
async fn the_typed_client_reaches_handlers_by_their_names() {
    let cluster = Cluster::new().await;
    let host = cluster.host("a").await;
    taker_on(&host).await;
    let taker = TakerClient::new(host.clone(), "taker");
    assert_eq!(taker.take(&4).await, Ok(1));
    assert_eq!(taker.take_even(&6).await, Ok(Ok(2)));
    assert_eq!(taker.take_even(&7).await, Ok(Err(Odd { number: 7 })));
    assert_eq!(taker.taken().await, Ok(vec![4, 6]));
    let reply = host.call("taker", "take-even", Bytes::from("8")).await;
    assert_eq!(reply.unwrap(), r#"{"Ok":3}"#);
}

#[tokio::test(start_paused = true)]
async fn a_call_through_any_host_is_passed_on() {
    let cluster = Cluster::new().await;
    taker_on(&cluster.host("a").await).await;
    for through in ["b", Cluster::COORDINATOR] {
        let host = cluster.host(through).await;
        host.sthread().await;
        let taker = TakerClient::new(host, "taker");
        taker.take(&1).await.unwrap();
        let refused = ObjectClient::new(cluster.host(through).await, "taker")
            .call::<()>("give", &1)
            .await;
        assert_eq!(
            refused,
            Err(CallError::NoSuchMethod {
                method: "give".into()
            })
        );
    }
    cluster.cut("a", "b");
    let refused = TakerClient::new(cluster.host("b").await, "taker")
        .take(&1)
        .await;
    assert!(
        matches!(refused, Err(CallError::Unavailable { .. })),
        "{refused:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn an_answer_whose_way_is_cut_leaves_the_caller_in_doubt() {
    let cluster = Cluster::with(SLOW_TO_SEAL).await;
    let object = taker_on(&cluster.host("a").await).await;
    let host = cluster.host("b").await;
    host.sthread().await;
    let taker = TakerClient::new(host, "taker");
    let call = tokio::spawn(async move { taker.take(&1).await });
    tokio::time::sleep(INTERVAL / 2).await;
    cluster.cut("a", "b");
    let lost = call.await.unwrap().unwrap_err();
    assert!(
        matches!(lost, CallError::InDoubt { .. }) && lost.may_have_happened(),
        "{lost}"
    );
    assert_eq!(taken(&object), [1], "it happened");
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_called_says_why() {
    let cluster = Cluster::new().await;
    let host = cluster.host("a").await;
    let taker = taker_on(&host).await;
    let call = async |object: &str, method: &str, body: &str| {
        let reply = host
            .call(object, method, Bytes::copy_from_slice(body.as_bytes()))
            .await;
        reply.unwrap_err()
    };
    assert_eq!(
        call("tker", "take", "1").await,
        CallError::NoSuchObject {
            object: "tker".into()
        }
    );
    assert_eq!(
        call("taker", "tkae", "1").await,
        CallError::NoSuchMethod {
            method: "tkae".into()
        }
    );
    for body in ["", "{", "\"seven\"", "-1", "1 2", "\u{0}"] {
        let refused = call("taker", "take", body).await;
        assert!(
            matches!(&refused, CallError::BadRequest { method, .. } if method == "take"),
            "{body:?}: {refused}"
        );
    }
    // A handler without an argument takes none.
    assert!(matches!(
        call("taker", "taken", "1").await,
        CallError::BadRequest { .. }
    ));
    assert_eq!(taken(&taker), NONE);
}

#[tokio::test(start_paused = true)]
async fn a_client_waits_for_an_object_that_is_being_recovered() {
    let cluster = Cluster::new().await;
    let object = taker_on(&cluster.host("a").await).await;
    cluster.host("b").await.sthread().await;
    let taker = TakerClient::new(cluster.client("b"), "taker");
    assert_eq!(taker.take(&1).await, Ok(1));
    object.leave().await.unwrap();
    let call = tokio::spawn(async move { taker.take(&2).await });
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert!(!call.is_finished());
    taker_on(&cluster.host("c").await).await;
    assert_eq!(call.await.unwrap(), Ok(2));
}

#[tokio::test(start_paused = true)]
async fn a_client_tries_again_what_may_have_happened_only_with_a_key() {
    for key in [None, Some("one")] {
        let cluster = Cluster::with(SLOW_TO_SEAL).await;
        let object = taker_on(&cluster.host("a").await).await;
        let client = cluster.client("a");
        let call =
            tokio::spawn(async move { client.call("taker", "take", Bytes::from("1"), key).await });
        tokio::time::sleep(INTERVAL / 2).await;
        cluster.cut("a", Cluster::OUTSIDE);
        tokio::time::sleep(INTERVAL).await;
        cluster.heal("a", Cluster::OUTSIDE);
        match (key, call.await.unwrap()) {
            (None, Err(CallError::InDoubt { .. })) => {}
            (Some(_), Ok(reply)) => assert_eq!(reply, "1"),
            (key, other) => panic!("with key {key:?}: {other:?}"),
        }
        assert_eq!(taken(&object), [1]);
    }
}

#[tokio::test(start_paused = true)]
async fn a_client_gives_up_in_time() {
    let cluster = Cluster::new().await;
    let host = cluster.host("a").await;
    let object = taker_on(&host).await;
    let client = cluster.client("a").timeout(Duration::from_millis(500));
    let call = async || {
        let began = tokio::time::Instant::now();
        let outcome = client.call("taker", "take", Bytes::from("1"), None).await;
        assert!(began.elapsed() <= Duration::from_millis(500));
        outcome.unwrap_err()
    };
    cluster.break_storage("a");
    let late = CallError::Timeout {
        object: "taker".into(),
        waited_ms: 500,
    };
    assert_eq!(
        call().await,
        late,
        "nothing is released while nothing is durable"
    );
    object.stopped().await;
    assert!(matches!(call().await, CallError::Unavailable { .. }));
    cluster.crash("a");
    assert!(matches!(call().await, CallError::Unreachable { .. }));
}

/// Over TCP; real time, but nothing waits for a duration.
#[tokio::test]
async fn a_client_outside_reaches_the_object_through_the_wrong_node() {
    let first = Host::builder().listen("127.0.0.1:0").start().await.unwrap();
    let url = first.address().unwrap();
    let second = Host::builder()
        .join(&url)
        .listen("127.0.0.1:0")
        .start()
        .await
        .unwrap();
    taker_on(&second).await;
    second.sthread().await;
    for node in [&second, &first] {
        let client = Client::connect(&node.address().unwrap()).await.unwrap();
        let taker = TakerClient::new(client.clone(), "taker").idempotency_key("the same");
        assert_eq!(taker.take(&1).await, Ok(1));
        assert_eq!(
            TakerClient::new(client.clone(), "taker").taken().await,
            Ok(vec![1])
        );
        let refused = client
            .call("taker", "take", Bytes::from("x"), None)
            .await
            .unwrap_err();
        assert!(matches!(refused, CallError::BadRequest { .. }), "{refused}");
        let unknown = client
            .call("nobody", "take", Bytes::new(), None)
            .await
            .unwrap_err();
        assert_eq!(
            unknown,
            CallError::NoSuchObject {
                object: "nobody".into()
            }
        );
        let large = client
            .call("taker", "take", Bytes::from(vec![b' '; 65 << 20]), None)
            .await
            .unwrap_err();
        assert!(matches!(large, CallError::BadRequest { .. }), "{large}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_client_may_wait_for_ever() {
    let cluster = Cluster::new().await;
    let host = cluster.host("a").await;
    let _object = taker_on(&host).await;
    let client = cluster.client("a").timeout(Duration::MAX);
    let taken = client.call("taker", "take", Bytes::from("1"), None).await;
    assert!(taken.is_ok(), "{taken:?}");
}

#[tokio::test]
async fn a_client_whose_node_is_gone_says_so() {
    let host = Host::builder().listen("127.0.0.1:0").start().await.unwrap();
    let url = host.address().unwrap();
    let client = Client::connect(&url)
        .await
        .unwrap()
        .timeout(Duration::from_millis(20));
    drop(host);
    let gone = client
        .call("taker", "take", Bytes::new(), None)
        .await
        .unwrap_err();
    assert!(gone.is_temporary(), "{gone}");
    for url in [
        "127.0.0.1:1",
        "https://127.0.0.1:1",
        "http://127.0.0.1",
        "no url",
    ] {
        let refused = Client::connect(url).await.unwrap_err();
        assert!(
            matches!(refused, ClientError::Address { .. }),
            "{url}: {refused}"
        );
    }
}
