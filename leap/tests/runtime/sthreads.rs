//! Code between actions: it carries what it has seen, and waits for it at a barrier.

use leap::testing::Cluster;
use leap::{BarrierError, ObjectOptions, ReceiveError, Speculation};

use crate::services::{
    Giver, INTERVAL, NONE, SLOW_TO_SEAL, Taker, drop_off, eventually, pair, restart_giver, taken,
};

#[tokio::test(start_paused = true)]
async fn a_barrier_waits_for_what_the_sthread_has_seen_and_for_nothing_else() {
    let cluster = Cluster::with(SLOW_TO_SEAL).await;
    let (_, taker) = pair(&cluster).await;
    let began = tokio::time::Instant::now();
    let mut fresh = cluster.host("b").await.sthread().await;
    let mut sthread = taker
        .change(|action| (Taker::take(action, 1), action.detach()).1)
        .await
        .unwrap();
    fresh.barrier().await.unwrap();
    assert_eq!(began.elapsed().as_millis(), 0, "it has seen nothing");
    sthread.barrier().await.unwrap();
    assert!(began.elapsed() >= INTERVAL);
    let waited = began.elapsed();
    sthread.barrier().await.unwrap();
    assert_eq!(began.elapsed(), waited, "its set is empty now");
}

#[tokio::test(start_paused = true)]
async fn a_barrier_ends_with_its_host() {
    let cluster = Cluster::with(SLOW_TO_SEAL).await;
    let (_, taker) = pair(&cluster).await;
    let mut sthread = taker
        .change(|action| (Taker::take(action, 1), action.detach()).1)
        .await
        .unwrap();
    let mut waiting = Box::pin(sthread.barrier());
    assert!(futures::poll!(&mut waiting).is_pending());
    cluster.crash("b");
    assert_eq!(waiting.await, Err(BarrierError::HostGone));
    assert_eq!(sthread.barrier().await, Err(BarrierError::HostGone));
}

#[tokio::test(start_paused = true)]
async fn a_read_depends_on_what_was_read() {
    let cluster = Cluster::with(SLOW_TO_SEAL).await;
    let (giver, taker) = pair(&cluster).await;
    drop_off(&giver, 1).await;
    eventually("the number arrives", || taken(&taker) == [1]).await;
    let (seen, mut sthread) = taker.view(|taker| taker.taken.clone()).await.unwrap();
    assert_eq!(seen, [1]);
    restart_giver(&cluster).await;
    sthread.barrier().await.unwrap_err();
    let (seen, _) = taker.view(|taker| taker.taken.clone()).await.unwrap();
    assert_eq!(
        seen, NONE,
        "the giver lost the version that the number came from"
    );
    // What is committed is not waited for.
    cluster.settled().await;
    let (_, mut sthread) = taker.view(|_| ()).await.unwrap();
    let began = tokio::time::Instant::now();
    sthread.barrier().await.unwrap();
    assert_eq!(began.elapsed().as_millis(), 0);
}

#[tokio::test(start_paused = true)]
async fn what_an_sthread_brings_along_is_depended_on() {
    let cluster = Cluster::with(SLOW_TO_SEAL).await;
    let (giver, taker) = pair(&cluster).await;
    // From one object to the other by hand: as a request over any transport would.
    let header = giver
        .change(|action| action.context().header())
        .await
        .unwrap();
    let mut sthread = cluster.host("b").await.sthread().await;
    sthread.receive(&header).await.unwrap();
    taker
        .receive(&header, |taker, context| {
            taker.change(context, |action| Taker::take(action, 9))
        })
        .await
        .unwrap();
    assert_eq!(taken(&taker), [9]);
    restart_giver(&cluster).await;
    cluster.settled().await;
    assert_eq!(
        taken(&taker),
        NONE,
        "the giver's version is lost, so is what came of it"
    );
    // The message again, from a world-line that is over.
    let late = taker.receive(&header, |_, _| ()).await;
    assert!(
        matches!(late, Err(ReceiveError::WorldLineOver { .. })),
        "{late:?}"
    );
    let lost = taker.merge(sthread, |_, _| ()).await;
    assert!(matches!(lost, Err(ReceiveError::RolledBack(_))), "{lost:?}");
}

#[tokio::test(start_paused = true)]
async fn sthreads_merge_into_objects_and_into_each_other() {
    let cluster = Cluster::with(SLOW_TO_SEAL).await;
    let (giver, taker) = pair(&cluster).await;
    let mut first = giver
        .change(|action| (Giver::drop_off(action, 1), action.detach()).1)
        .await
        .unwrap();
    let second = taker
        .change(|action| (Taker::take(action, 2), action.detach()).1)
        .await
        .unwrap();
    first.merge(second).await.unwrap();
    let dependencies = first.header().unwrap().dependencies;
    assert_eq!(dependencies.iter().count(), 2, "{dependencies:?}");
    taker
        .merge(first.clone(), |taker, context| {
            taker.change(context, |action| Taker::take(action, 3))
        })
        .await
        .unwrap();
    first.barrier().await.unwrap();
    assert_eq!(first.header().unwrap().dependencies.iter().count(), 0);
    cluster.settled().await;
    assert_eq!(taken(&taker), [2, 3, 1]);
}

#[tokio::test(start_paused = true)]
async fn without_speculation_a_message_leaves_when_its_version_is_committed() {
    let options = ObjectOptions {
        speculation: Speculation::Off,
        ..SLOW_TO_SEAL
    };
    let cluster = Cluster::with(options).await;
    let (giver, taker) = pair(&cluster).await;
    drop_off(&giver, 1).await;
    tokio::time::sleep(INTERVAL / 2).await;
    assert_eq!(taken(&taker), NONE, "it could still be lost");
    cluster.settled().await;
    assert_eq!(taken(&taker), [1]);
    // So a crash can roll nobody else back.
    drop_off(&giver, 2).await;
    let before = taker.life().borrow().generation;
    restart_giver(&cluster).await;
    cluster.settled().await;
    assert_eq!(taken(&taker), [1]);
    assert_eq!(taker.life().borrow().generation, before);
}
