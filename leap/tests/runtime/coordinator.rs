//! The coordinator writes nothing on the failure-free path and can crash at any time (rule P11).

use std::time::Duration;

use leap::testing::{Cluster, Counter};
use leap::{Host, OutputLost, RemoveError};

use crate::services::{
    Giver, SLOW_TO_SEAL, Taker, drop_off, eventually, pair, restart_giver, take, taken,
};

#[tokio::test(start_paused = true)]
async fn work_goes_on_while_it_is_away_and_is_released_when_it_is_back() {
    let cluster = Cluster::with(SLOW_TO_SEAL).await;
    let (giver, taker) = pair(&cluster).await;
    drop_off(&giver, 1).await;
    cluster.settled().await;
    cluster.crash(Cluster::COORDINATOR);
    drop_off(&giver, 2).await;
    eventually("the number arrives", || taken(&taker) == [1, 2]).await;
    let mut output = taker.change(|action| action.output()).await.unwrap();
    let released = tokio::time::timeout(Duration::from_secs(30), &mut output).await;
    assert!(
        released.is_err(),
        "it depends on another object, whose boundary nobody knows"
    );
    cluster.restart(Cluster::COORDINATOR).await;
    output.await.unwrap();
    cluster.settled().await;
}

#[tokio::test(start_paused = true)]
async fn the_status_tells_for_how_long_the_boundary_lags() {
    let cluster = Cluster::with(SLOW_TO_SEAL).await;
    let (giver, taker) = pair(&cluster).await;
    let host = cluster.host("b").await;
    drop_off(&giver, 1).await;
    cluster.settled().await;
    assert_eq!(host.status().await.objects[0].lag_ms, 0);
    // What the taker depends on is never durable: the giver's process is gone.
    drop_off(&giver, 2).await;
    eventually("the second number arrives", || taken(&taker) == [1, 2]).await;
    cluster.crash("a");
    tokio::time::sleep(Duration::from_secs(3)).await;
    let object = host.status().await.objects[0].lag_ms;
    assert!((3_000..4_000).contains(&object), "{object}");
    let coordinator = cluster.host(Cluster::COORDINATOR).await;
    let status = coordinator.status().await.coordinator.unwrap();
    assert!(status.uncommitted > 0);
    assert!((2_900..=object).contains(&status.lag_ms), "{status:?}");
    // Who holds it back, seen from both sides.
    let holder = status.held_back_by.first().unwrap();
    assert_eq!(holder.name, "giver", "{status:?}");
    assert!(holder.waiting > 0, "{status:?}");
    let taker = &host.status().await.objects[0];
    assert_eq!(taker.waits_for.get("giver"), Some(&holder.version));
    // The rollback takes that away.
    let giver = restart_giver(&cluster).await;
    giver.ready().await.unwrap();
    cluster.settled().await;
    assert_eq!(host.status().await.objects[0].lag_ms, 0);
    let status = coordinator.status().await.coordinator.unwrap();
    assert_eq!((status.uncommitted, status.lag_ms), (0, 0));
    assert!(status.held_back_by.is_empty(), "{status:?}");
}

#[tokio::test(start_paused = true)]
async fn the_status_tells_whom_a_repair_waits_for() {
    let cluster = Cluster::with(SLOW_TO_SEAL).await;
    let (giver, taker) = pair(&cluster).await;
    drop_off(&giver, 1).await;
    cluster.settled().await;
    drop_off(&giver, 2).await;
    eventually("the second number arrives", || taken(&taker) == [1, 2]).await;
    let coordinator = cluster.host(Cluster::COORDINATOR).await;
    for host in ["a", "b"] {
        cluster.crash(host);
    }
    // Nobody knows what the taker has stored.
    let giver = restart_giver(&cluster).await;
    tokio::time::sleep(Duration::from_secs(3)).await;
    let status = coordinator.status().await.coordinator.unwrap();
    assert_eq!(status.waiting_for, ["taker"], "{status:?}");
    let taker = cluster.restart("b").await.add::<Taker>("taker").await;
    let taker = taker.unwrap();
    giver.ready().await.unwrap();
    taker.ready().await.unwrap();
    cluster.settled().await;
    let status = coordinator.status().await.coordinator.unwrap();
    assert!(status.waiting_for.is_empty(), "{status:?}");
}

#[tokio::test(start_paused = true)]
async fn a_crash_during_a_rollback_changes_nothing_of_the_outcome() {
    for wait_us in (0..4000).step_by(250) {
        let cluster = Cluster::with(SLOW_TO_SEAL).await;
        let (giver, taker) = pair(&cluster).await;
        drop_off(&giver, 1).await;
        cluster.settled().await;
        drop_off(&giver, 2).await;
        eventually("the second number arrives", || taken(&taker) == [1, 2]).await;
        // Long links, so that the coordinator can be caught at each step of the rollback.
        for host in ["a", "b"] {
            cluster.slow(host, Cluster::COORDINATOR, Duration::from_millis(1));
        }
        let giver = restart_giver(&cluster).await;
        tokio::time::sleep(Duration::from_micros(wait_us)).await;
        cluster.restart(Cluster::COORDINATOR).await;
        giver.ready().await.unwrap();
        drop_off(&giver, 3).await;
        cluster.settled().await;
        assert_eq!(taken(&taker), [1, 3], "crashed after {wait_us} us");
    }
}

#[tokio::test(start_paused = true)]
async fn everybody_crashes_and_comes_back() {
    let cluster = Cluster::with(SLOW_TO_SEAL).await;
    let (giver, _) = pair(&cluster).await;
    giver.change(|action| Giver::give(action, 1)).await.unwrap();
    cluster.settled().await;
    for host in [Cluster::COORDINATOR, "a", "b"] {
        cluster.crash(host);
    }
    for host in [Cluster::COORDINATOR, "a", "b"] {
        cluster.restart(host).await;
    }
    let (giver, taker) = pair(&cluster).await;
    giver.change(|action| Giver::give(action, 2)).await.unwrap();
    cluster.settled().await;
    assert_eq!(taken(&taker), [1, 2]);
    assert_eq!(giver.state().view(|giver| giver.answered.clone()), [1, 2]);
}

#[tokio::test(start_paused = true)]
async fn a_member_that_never_comes_back_can_be_removed() {
    let cluster = Cluster::with(SLOW_TO_SEAL).await;
    let (giver, taker) = pair(&cluster).await;
    drop_off(&giver, 1).await;
    cluster.settled().await;
    drop_off(&giver, 2).await;
    eventually("the second number arrives", || taken(&taker) == [1, 2]).await;
    cluster.crash("a");
    // The coordinator would ask everybody for what they know, and the giver never answers.
    let coordinator = cluster.restart(Cluster::COORDINATOR).await;
    let mut output = taker.change(|action| action.output()).await.unwrap();
    let released = tokio::time::timeout(Duration::from_secs(30), &mut output).await;
    released.expect_err("the boundary is not known without the giver");

    let unknown = coordinator.remove("nobody").await;
    assert_eq!(unknown, Err(RemoveError::NoMember));
    coordinator.remove("giver").await.unwrap();
    let lost = output.await;
    assert!(matches!(lost, Err(OutputLost::RolledBack(_))), "{lost:?}");
    assert_eq!(
        taken(&taker),
        [1],
        "what the giver had not made durable is gone"
    );
    take(&taker, 3).await;
    cluster.settled().await;

    // It may come back after all, as a new member with what was inside the boundary.
    let giver = restart_giver(&cluster).await;
    giver.ready().await.unwrap();
    drop_off(&giver, 4).await;
    cluster.settled().await;
    assert_eq!(taken(&taker), [1, 3, 4]);
}

/// Rule P11. What lives on from before the coordinator lost its log showed it decisions that it did not know, and it took
/// itself for superseded. New objects of such a host became members that could not be reached.
#[tokio::test]
async fn who_knows_more_than_a_coordinator_without_its_log_is_turned_away() {
    let first = Host::builder().listen("127.0.0.1:0").start().await.unwrap();
    let url = first.address().unwrap();
    let join = || {
        Host::builder()
            .join(url.as_str())
            .listen("127.0.0.1:0")
            .start()
    };
    let old = join().await.unwrap();
    for _ in 0..4 {
        // Each life but the first is a failure of the one before.
        let counter = old.add::<Counter>("counter").await.unwrap();
        counter
            .change_released(|counter| counter.record(1))
            .await
            .unwrap();
    }
    first.shutdown(Duration::from_secs(1)).await;

    let address = url.strip_prefix("http://").unwrap();
    let second = loop {
        // Its port is free when its connections have ended.
        match Host::builder().listen(address).start().await {
            Ok(host) => break host,
            Err(_) => tokio::time::sleep(Duration::from_millis(10)).await,
        }
    };
    let late = old.add::<Counter>("late").await.unwrap();
    let new = join().await.unwrap();
    let other = new.add::<Counter>("other").await.unwrap();
    other
        .change_released(|other| other.record(1))
        .await
        .unwrap();
    // Nobody waits for what was not let in.
    let other = new.add::<Counter>("other").await.unwrap();
    other
        .change_released(|other| other.record(1))
        .await
        .unwrap();
    let members = second.status().await.coordinator.unwrap().members;
    assert_eq!(members.keys().collect::<Vec<_>>(), ["other"]);
    let waits = tokio::time::timeout(Duration::from_millis(100), late.ready()).await;
    assert!(waits.is_err());
}
