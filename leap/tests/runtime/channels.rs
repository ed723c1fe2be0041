//! Messages between objects: exactly once and in order (rule P14), whoever crashes.

use std::time::Duration;

use leap::testing::Cluster;
use leap::{ActionContext, Host, ObjectOptions, Speculation, StateObject};

use crate::services::{
    Giver, GiverClient, NONE, SLOW_TO_SEAL, Taker, drop_off, eventually, insist, pair,
    restart_giver, taken,
};

const NUMBERS: u64 = 12;

/// Numbers go in at `a`, one each 3 ms, and on to `b`, while hosts crash at the given milliseconds.
/// Gives how often an object that did not crash had to be restored.
async fn numbers_survive(options: ObjectOptions, crashes: &[(u64, &'static str)]) -> u64 {
    let cluster = Cluster::with(options).await;
    let (giver, taker) = pair(&cluster).await;
    let before = giver.life().borrow().generation + taker.life().borrow().generation;
    let calls = give_all(&cluster).await;
    let began = tokio::time::Instant::now();
    for &(at_ms, name) in crashes {
        tokio::time::sleep_until(began + Duration::from_millis(at_ms)).await;
        add_again(&cluster.restart(name).await, name).await;
    }
    calls.join_all().await;
    cluster.settled().await;
    let after = giver.life().borrow().generation + taker.life().borrow().generation;
    check(&cluster).await;
    after - before
}

/// Starts to give the numbers, through a host of its own that nothing happens to.
pub(crate) async fn give_all(cluster: &Cluster) -> tokio::task::JoinSet<()> {
    let client = GiverClient::new(cluster.host("client").await, "giver");
    let mut calls = tokio::task::JoinSet::new();
    for number in 0..NUMBERS {
        let client = client.clone().idempotency_key(format!("number {number}"));
        calls.spawn(async move {
            tokio::time::sleep(Duration::from_millis(3 * number)).await;
            insist(|| client.give(&number)).await;
        });
    }
    calls
}

async fn add_again(host: &Host, name: &str) {
    match name {
        "a" => drop(host.add::<Giver>("giver").await.unwrap()),
        "b" => drop(host.add::<Taker>("taker").await.unwrap()),
        other => panic!("nothing lives on {other}"),
    }
}

/// What `giver` has given, `taker` has taken, in the same order, and every number once.
pub(crate) async fn check(cluster: &Cluster) {
    // From storage, not from memory.
    let giver = restart_giver(cluster).await;
    let taker = cluster
        .restart("b")
        .await
        .add::<Taker>("taker")
        .await
        .unwrap();
    giver.ready().await.unwrap();
    taker.ready().await.unwrap();
    cluster.settled().await;
    let given = giver.state().view(|giver| giver.given.clone());
    let mut numbers = given.clone();
    numbers.sort_unstable();
    assert_eq!(
        numbers,
        (0..NUMBERS).collect::<Vec<_>>(),
        "each number is given once"
    );
    assert_eq!(
        taken(&taker),
        given,
        "taken in the order in which they were given"
    );
    assert_eq!(
        giver.state().view(|giver| giver.answered.clone()),
        given,
        "every call is answered once, in order"
    );
}

#[tokio::test(start_paused = true)]
async fn exactly_once_without_faults() {
    numbers_survive(ObjectOptions::default(), &[]).await;
}

#[tokio::test(start_paused = true)]
async fn exactly_once_whenever_either_side_crashes() {
    let mut restored = 0;
    for at_ms in 0..40 {
        restored += numbers_survive(SLOW_TO_SEAL, &[(at_ms, "a")]).await;
        restored += numbers_survive(SLOW_TO_SEAL, &[(at_ms, "b")]).await;
    }
    assert!(
        restored > 0,
        "survivors have to be rolled back for this to mean anything"
    );
}

#[tokio::test(start_paused = true)]
async fn exactly_once_when_both_crash_one_after_the_other() {
    for at_ms in 0..30 {
        numbers_survive(
            SLOW_TO_SEAL,
            &[(at_ms, "a"), (at_ms + 2, "b"), (at_ms + 5, "a")],
        )
        .await;
    }
}

#[tokio::test(start_paused = true)]
async fn exactly_once_without_speculation() {
    for at_ms in 0..30 {
        let options = ObjectOptions {
            speculation: Speculation::Off,
            ..SLOW_TO_SEAL
        };
        numbers_survive(options, &[(at_ms, "b"), (at_ms + 4, "a")]).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_cut_link_delays_and_loses_nothing() {
    let cluster = Cluster::new().await;
    let (giver, taker) = pair(&cluster).await;
    cluster.cut("a", "b");
    for number in 0..3 {
        giver
            .change(|action| Giver::give(action, number))
            .await
            .unwrap();
    }
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(taken(&taker), NONE);
    cluster.heal("a", "b");
    cluster.settled().await;
    assert_eq!(taken(&taker), [0, 1, 2]);
    assert_eq!(
        giver.state().view(|giver| giver.answered.clone()),
        [0, 1, 2]
    );
}

#[tokio::test(start_paused = true)]
async fn a_slow_link_keeps_the_order() {
    let cluster = Cluster::new().await;
    let (giver, taker) = pair(&cluster).await;
    cluster.slow("a", "b", Duration::from_millis(200));
    for number in 0..5 {
        drop_off(&giver, number).await;
    }
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert_eq!(taken(&taker), NONE, "under way");
    cluster.settled().await;
    assert_eq!(taken(&taker), [0, 1, 2, 3, 4]);
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_is_an_error_comes_back_as_one() {
    let cluster = Cluster::new().await;
    let (giver, taker) = pair(&cluster).await;
    giver
        .change(|action| Giver::misspell(action, 7))
        .await
        .unwrap();
    cluster.settled().await;
    assert_eq!(giver.state().view(|giver| giver.refused.clone()), [7]);
    assert_eq!(taken(&taker), NONE);
}

/// Sends whatever it is told to.
struct Raw(leap::Journaled<Taker>);

impl StateObject for Raw {
    fn incarnation(&self) -> leap::Incarnation {
        self.0.incarnation()
    }
    fn versions(&self) -> leap::StoredVersions {
        self.0.versions()
    }
    fn persist(&self, metadata: leap::VersionMetadata, done: leap::PersistDone) {
        self.0.persist(metadata, done);
    }
    async fn restore(&self, version: leap::Version) -> Result<(), leap::StateError> {
        self.0.restore(version).await
    }
    fn prune(&self, version: leap::Version) {
        self.0.prune(version);
    }
    fn receive(&self, _: &ActionContext<'_>, _: leap::ObjectId, _: leap::Bytes) {}
}

#[tokio::test(start_paused = true)]
async fn garbage_on_a_channel_is_thrown_away_and_what_follows_is_not() {
    let cluster = Cluster::new().await;
    let (giver, taker) = pair(&cluster).await;
    let host = cluster.host("a").await;
    let state = leap::Journaled::open(host.store(), "raw").await.unwrap();
    let raw = host
        .add_object("raw", Raw(state), ObjectOptions::default())
        .unwrap();
    for garbage in [&[][..], &[255; 40], &[0, 1, 255], b"not an envelope"] {
        raw.action(|_, context| context.send(taker.id(), leap::Bytes::copy_from_slice(garbage)))
            .await
            .unwrap();
    }
    giver.change(|action| Giver::give(action, 1)).await.unwrap();
    eventually("the number after the garbage", || taken(&taker) == [1]).await;
    cluster.settled().await;
    assert_eq!(taken(&taker), [1]);
}
