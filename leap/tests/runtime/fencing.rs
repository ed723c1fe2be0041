//! One object, two hosts: the newer shuts the older out (rule P12).

use leap::testing::Cluster;
use leap::{ObjectOptions, Stopped};

use crate::services::{NONE, Taker, eventually, take, taken, taker_on};

#[tokio::test(start_paused = true)]
async fn the_older_of_two_claimers_is_shut_out_and_says_so() {
    let cluster = Cluster::new().await;
    let older = taker_on(&cluster.host("a").await).await;
    take(&older, 1).await;
    cluster.settled().await;
    let newer = taker_on(&cluster.host("b").await).await;
    assert_eq!(taken(&newer), [1]);
    let why = older.stopped().await;
    assert!(why.to_string().contains("incarnation 2"), "{why}");
    older
        .change(|action| Taker::take(action, 2))
        .await
        .unwrap_err();
    take(&newer, 3).await;
    cluster.settled().await;
    assert_eq!(taken(&newer), [1, 3]);
}

#[tokio::test(start_paused = true)]
async fn a_stale_incarnation_that_heard_nothing_can_release_nothing() {
    let cluster = Cluster::new().await;
    let older = taker_on(&cluster.host("a").await).await;
    cluster.cut("a", Cluster::COORDINATOR);
    let newer = taker_on(&cluster.host("b").await).await;
    let output = older
        .change(|action| (Taker::take(action, 1), action.output()).1)
        .await
        .unwrap();
    output.await.unwrap_err();
    let why = older.stopped().await;
    assert!(matches!(&why, Stopped::Storage { .. }), "{why}");
    assert!(why.to_string().contains("incarnation 2"), "{why}");
    cluster.heal("a", Cluster::COORDINATOR);
    cluster.settled().await;
    assert_eq!(taken(&newer), NONE);
}

#[tokio::test(start_paused = true)]
async fn supervision_does_not_fight_a_newer_incarnation() {
    let cluster = Cluster::new().await;
    let (lives, mut started) = tokio::sync::mpsc::unbounded_channel();
    let note = move |object| lives.send(object).unwrap();
    cluster
        .host("a")
        .await
        .supervise::<Taker>("taker", ObjectOptions::default(), note)
        .await
        .unwrap();
    let older = started.recv().await.unwrap();
    older.ready().await.unwrap();
    // It hears of its successor from its storage, not from the coordinator.
    cluster.cut("a", Cluster::COORDINATOR);
    let newer = taker_on(&cluster.host("b").await).await;
    take(&older, 1).await;
    older.stopped().await;
    cluster.heal("a", Cluster::COORDINATOR);
    tokio::time::sleep(std::time::Duration::from_secs(60)).await;
    assert!(started.try_recv().is_err(), "it does not come back");
    take(&newer, 2).await;
    eventually("the newer one is alone", || taken(&newer) == [2]).await;
    cluster.settled().await;
}
