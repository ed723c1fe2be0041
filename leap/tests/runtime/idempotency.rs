//! Two calls with the same key have the effect of one, and the same reply.

use leap::testing::Cluster;
use leap::{CallError, MAX_IDEMPOTENCY_KEY_BYTES};

use crate::services::{
    INTERVAL, SLOW_TO_SEAL, TakerClient, drop_off, eventually, insist, pair, restart_giver, taken,
    taker_on,
};

#[tokio::test(start_paused = true)]
async fn the_second_call_gets_the_first_ones_reply() {
    let cluster = Cluster::new().await;
    let host = cluster.host("a").await;
    let object = taker_on(&host).await;
    let taker = TakerClient::new(host, "taker");
    let (one, two) = (
        taker.clone().idempotency_key("one"),
        taker.clone().idempotency_key("two"),
    );
    assert_eq!(one.take(&1).await, Ok(1));
    assert_eq!(two.take(&2).await, Ok(2));
    assert_eq!(one.take(&1).await, Ok(1));
    assert_eq!(
        two.take(&77).await,
        Ok(2),
        "the key counts, not the request"
    );
    assert_eq!(
        one.take_even(&4).await,
        Ok(Ok(3)),
        "a key belongs to one handler"
    );
    assert_eq!(taken(&object), [1, 2, 4]);
}

#[tokio::test(start_paused = true)]
async fn calls_at_the_same_time_are_one_too() {
    let cluster = Cluster::with(SLOW_TO_SEAL).await;
    let host = cluster.host("a").await;
    let object = taker_on(&host).await;
    let taker = TakerClient::new(host, "taker").idempotency_key("one");
    let (first, second) = tokio::join!(taker.take(&1), taker.take(&1));
    assert_eq!((first, second), (Ok(1), Ok(1)));
    assert_eq!(taken(&object), [1]);
}

#[tokio::test(start_paused = true)]
async fn a_reply_is_as_durable_as_its_change() {
    // Crash at every moment of the call: before, while and after its version becomes durable.
    for at_ms in 0..15 {
        let cluster = Cluster::with(SLOW_TO_SEAL).await;
        taker_on(&cluster.host("a").await).await;
        let host = cluster.host("b").await;
        host.sthread().await;
        let taker = TakerClient::new(host, "taker").idempotency_key("one");
        let call = tokio::spawn(async move { insist(|| taker.take(&1)).await });
        tokio::time::sleep(std::time::Duration::from_millis(at_ms)).await;
        let object = taker_on(&cluster.restart("a").await).await;
        assert_eq!(call.await.unwrap(), 1);
        assert_eq!(taken(&object), [1], "crashed after {at_ms} ms");
    }
}

#[tokio::test(start_paused = true)]
async fn a_rollback_forgets_the_reply_with_the_change() {
    let cluster = Cluster::with(SLOW_TO_SEAL).await;
    let (giver, object) = pair(&cluster).await;
    // The call below depends on a version of the giver that will be lost.
    drop_off(&giver, 1).await;
    eventually("the number arrives", || taken(&object) == [1]).await;
    let taker = TakerClient::new(cluster.host("b").await, "taker").idempotency_key("one");
    let call = tokio::spawn(async move { taker.take(&2).await });
    tokio::time::sleep(INTERVAL / 2).await;
    assert_eq!(taken(&object), [1, 2]);
    restart_giver(&cluster).await;
    assert_eq!(
        call.await.unwrap(),
        Ok(1),
        "done again, and this time it is the first"
    );
    assert_eq!(taken(&object), [2]);
}

#[tokio::test(start_paused = true)]
async fn a_checkpoint_keeps_replies() {
    let cluster = Cluster::new().await;
    let host = cluster.host("a").await;
    let object = taker_on(&host).await;
    let taker = TakerClient::new(host.clone(), "taker").idempotency_key("one");
    assert_eq!(taker.take(&1).await, Ok(1));
    // More than a checkpoint's worth of journal.
    for _ in 0..20 {
        object
            .change(|action| (0..20_000).for_each(|number| action.record(1 << 50 | number)))
            .await
            .unwrap();
        cluster.settled().await;
    }
    let journal = host.store().claim("taker").await.unwrap();
    assert!(
        journal.recovered.checkpoint.is_some(),
        "there is a checkpoint"
    );
    let host = cluster.restart("a").await;
    let object = taker_on(&host).await;
    let taker = TakerClient::new(host, "taker").idempotency_key("one");
    assert_eq!(taker.take(&1).await, Ok(1));
    assert_eq!(object.state().view(|taker| taker.taken.len()), 400_001);
}

#[tokio::test(start_paused = true)]
async fn a_key_has_a_length_that_an_object_can_keep() {
    let cluster = Cluster::new().await;
    let host = cluster.host("a").await;
    let object = taker_on(&host).await;
    let longest = "k".repeat(MAX_IDEMPOTENCY_KEY_BYTES);
    let too_long = "k".repeat(MAX_IDEMPOTENCY_KEY_BYTES + 1);
    let client = cluster.client("a");
    // In the process of the object, from another host, and from outside.
    let callers = [cluster.host("a").await, cluster.host("b").await].map(Caller::Host);
    for caller in callers.into_iter().chain([Caller::Client(client)]) {
        for key in ["", &too_long] {
            for method in ["take", "taken"] {
                let refused = caller.call(method, key).await.unwrap_err();
                assert!(matches!(refused, CallError::BadRequest { .. }), "{refused}");
            }
        }
        assert_eq!(caller.call("take", &longest).await.unwrap(), "1");
    }
    let once = object.change(|action| action.once("take", &too_long, |_| Ok("2".into())));
    let refused = once.await.unwrap().unwrap_err();
    assert!(matches!(refused, CallError::BadRequest { .. }), "{refused}");
    assert_eq!(taken(&object), [1]);
}

enum Caller {
    Host(leap::Host),
    Client(leap::Client),
}

impl Caller {
    async fn call(&self, method: &str, key: &str) -> Result<leap::Bytes, CallError> {
        let (body, key) = (if method == "take" { "1" } else { "" }.into(), Some(key));
        match self {
            Self::Host(host) => leap::Call::call(host, "taker", method, body, key).await,
            Self::Client(client) => leap::Call::call(client, "taker", method, body, key).await,
        }
    }
}

#[tokio::test(start_paused = true)]
async fn an_error_is_not_kept() {
    let cluster = Cluster::new().await;
    let host = cluster.host("a").await;
    taker_on(&host).await;
    let key = Some("one");
    let bad = leap::Call::call(&host, "taker", "take", "x".into(), key)
        .await
        .unwrap_err();
    assert!(matches!(bad, CallError::BadRequest { .. }), "{bad}");
    let good = leap::Call::call(&host, "taker", "take", "7".into(), key).await;
    assert_eq!(good.unwrap(), "1");
    let unknown = leap::Call::call(&host, "taker", "tkae", "7".into(), key)
        .await
        .unwrap_err();
    assert_eq!(
        unknown,
        CallError::NoSuchMethod {
            method: "tkae".into()
        }
    );
}
