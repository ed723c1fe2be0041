//! Storage that fails, actions that panic, journals that stay short.

use std::time::Duration;

use leap::testing::Cluster;
use leap::{CallError, Host, ObjectOptions, Stopped, Store, StoreOptions};
use leap_store::faults::{Faults, Operation};
use tokio::sync::mpsc;

use crate::services::{SLOW_TO_SEAL, Taker, TakerClient, insist, take, taken, taker_on};

type Lives = mpsc::UnboundedReceiver<leap::Object<leap::Journaled<Taker>>>;

/// A supervised taker; its lives arrive one by one.
async fn supervised(cluster: &Cluster) -> Lives {
    let (lives, started) = mpsc::unbounded_channel();
    let note = move |object| lives.send(object).unwrap();
    cluster
        .host("a")
        .await
        .supervise::<Taker>("taker", SLOW_TO_SEAL, note)
        .await
        .unwrap();
    started
}

#[tokio::test(start_paused = true)]
async fn a_storage_failure_stops_the_object_and_supervision_brings_it_back() {
    let cluster = Cluster::new().await;
    let mut lives = supervised(&cluster).await;
    let first = lives.recv().await.unwrap();
    first.ready().await.unwrap();
    take(&first, 1).await;
    cluster.settled().await;

    cluster.break_storage("a");
    let output = first
        .change(|action| (Taker::take(action, 2), action.output()).1)
        .await
        .unwrap();
    output.await.unwrap_err();
    let why = first.stopped().await;
    assert!(matches!(why, Stopped::Storage { .. }), "{why}");
    // While the cause is there, nothing comes back and nothing is acknowledged.
    let client = TakerClient::new(cluster.host("a").await, "taker");
    let refused = client.take(&3).await.unwrap_err();
    assert!(
        matches!(refused, CallError::Unavailable { .. }),
        "{refused}"
    );
    tokio::time::sleep(std::time::Duration::from_secs(60)).await;
    assert!(lives.try_recv().is_err());

    cluster.mend_storage("a");
    let second = lives.recv().await.unwrap();
    second.ready().await.unwrap();
    assert_eq!(taken(&second), [1]);
    assert_eq!(insist(|| client.take(&4)).await, 2);
}

/// On a real directory, whatever part of a write fails: nothing is acknowledged any more, people are told why, and it
/// goes on when the cause is gone.
#[tokio::test]
async fn a_disk_that_refuses_is_told_and_recovered_from() {
    use std::io::ErrorKind;
    for (operation, kind, said) in [
        (
            Some(Operation::Write),
            ErrorKind::PermissionDenied,
            "permission denied",
        ),
        (Some(Operation::Sync), ErrorKind::Other, "other error"),
        (None, ErrorKind::PermissionDenied, "permission denied"),
    ] {
        let directory = tempfile::tempdir().unwrap();
        let faults = Faults::planned();
        let options = StoreOptions {
            faults: faults.clone(),
            ..StoreOptions::default()
        };
        let directory = directory.path().to_str().unwrap();
        let store = Store::open(directory, options).await.unwrap();
        let host = Host::builder().store(store).start().await.unwrap();
        let (lives, mut started) = mpsc::unbounded_channel();
        let note = move |object: leap::Object<_>| lives.send(object).unwrap();
        let supervised = host.supervise::<Taker>("taker", ObjectOptions::default(), note);
        supervised.await.unwrap();
        let first = started.recv().await.unwrap();
        let client = TakerClient::new(host.clone(), "taker");
        assert_eq!(client.take(&1).await, Ok(1));

        faults.fail(operation, 0, kind);
        let lost = client.take(&2).await.unwrap_err();
        assert!(matches!(lost, CallError::InDoubt { .. }), "{lost}");
        first.stopped().await;
        let refused = client.take(&3).await.unwrap_err();
        assert!(
            matches!(refused, CallError::Unavailable { .. }),
            "{refused}"
        );
        let phase = host.status().await.objects[0].phase.clone();
        assert!(
            phase.starts_with("stopped: ") && phase.contains(said),
            "{phase}"
        );

        faults.heal();
        let second = started.recv().await.unwrap();
        second.ready().await.unwrap();
        insist(|| client.take(&4)).await;
        // Nobody knows what became of a write that was not acknowledged.
        let taken = taken(&second);
        assert!([&[1, 4][..], &[1, 2, 4]].contains(&&taken[..]), "{taken:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_action_that_panics_leaves_nothing_behind() {
    let cluster = Cluster::new().await;
    let mut lives = supervised(&cluster).await;
    let first = lives.recv().await.unwrap();
    first.ready().await.unwrap();
    let client = TakerClient::new(cluster.host("a").await, "taker");
    assert_eq!(client.take(&1).await, Ok(1));
    let failed = client.explode(&2).await.unwrap_err();
    assert_eq!(
        failed,
        CallError::Failed {
            method: "explode".into(),
            reason: "it panicked: boom at 2".into()
        }
    );
    let why = first.stopped().await;
    assert!(matches!(why, Stopped::Failed { .. }), "{why}");
    let second = lives.recv().await.unwrap();
    second.ready().await.unwrap();
    assert_eq!(taken(&second), [1]);
    assert_eq!(insist(|| client.take(&3)).await, 2);
}

#[tokio::test(start_paused = true)]
async fn a_panic_while_a_message_is_handled_stops_the_receiver_only() {
    let cluster = Cluster::with(ObjectOptions::default()).await;
    let taker = taker_on(&cluster.host("b").await).await;
    let host = cluster.host("a").await;
    let bomber = host.add::<crate::services::Giver>("giver").await.unwrap();
    let explode = |number: u64| leap::encode_value(&number);
    bomber
        .change(|action| action.tell(taker.id(), "explode", explode(5)))
        .await
        .unwrap();
    let why = taker.stopped().await;
    assert!(matches!(why, Stopped::Failed { .. }), "{why}");
    assert!(bomber.life().borrow().phase == leap::LifePhase::Active);
}

#[tokio::test(start_paused = true)]
async fn checkpoints_keep_recovery_short() {
    let cluster = Cluster::new().await;
    let host = cluster.host("a").await;
    let log = host.add::<Pad>("pad").await.unwrap();
    log.ready().await.unwrap();
    let mut most = 0;
    for round in 0..100_u64 {
        // 256 KiB of changes to a state of a few bytes.
        for _ in 0..4 {
            log.change(|action| action.record((round, vec![0; 64 << 10])))
                .await
                .unwrap();
        }
        cluster.settled().await;
        most = most.max(host.store().usage("pad").await.unwrap().bytes);
    }
    assert!(most < 8 << 20, "25 MiB were written, {most} bytes are kept");
    let log = cluster.restart("a").await.add::<Pad>("pad").await.unwrap();
    log.ready().await.unwrap();
    assert_eq!(log.state().view(|pad| (pad.newest, pad.count)), (99, 400));
}

/// Rule P13: what a life leaves behind in storage goes with the first checkpoint of the next, however
/// little it is.
#[tokio::test(start_paused = true)]
async fn storage_does_not_grow_with_the_number_of_crashes() {
    const CHANGE_BYTES: usize = 64 << 10;
    let cluster = Cluster::new().await;
    let mut host = cluster.host("a").await;
    for round in 0..12 {
        let pad = host.add::<Pad>("pad").await.unwrap();
        pad.change(|action| action.record((round, vec![0; CHANGE_BYTES])))
            .await
            .unwrap();
        cluster.settled().await;
        let kept = host.store().usage("pad").await.unwrap().bytes;
        assert!(
            kept < 3 * CHANGE_BYTES as u64,
            "{kept} bytes are kept after {round} crashes"
        );
        host = cluster.restart("a").await;
    }
}

/// Whoever waited for the end may remove the directory.
#[tokio::test(start_paused = true)]
async fn nothing_is_written_after_a_shutdown() {
    const LATENCY: Duration = Duration::from_millis(20);
    let options = StoreOptions {
        latency: LATENCY,
        ..StoreOptions::default()
    };
    let store = Store::open("memory:", options).await.unwrap();
    let usage = async || {
        let journals = ["taker", "leap.coordinator"].map(|journal| store.usage(journal));
        futures::future::try_join_all(journals).await.unwrap()
    };
    // Each life but the first begins with a checkpoint, and the coordinator's log is shortened as members leave.
    for life in 0..5 {
        let host = Host::builder().store(store.clone()).start().await.unwrap();
        take(&taker_on(&host).await, life).await;
        host.shutdown(100 * LATENCY).await;
        let at_the_end = usage().await;
        tokio::time::sleep(100 * LATENCY).await;
        assert_eq!(usage().await, at_the_end, "life {life}");
    }
}

/// As above, for what others make the coordinator write.
#[tokio::test]
async fn nothing_is_written_after_a_shutdown_while_others_join() {
    const LATENCY: Duration = Duration::from_millis(20);
    let options = StoreOptions {
        latency: LATENCY,
        // What comes while something is on its way waits in the journal's queue.
        max_in_flight: 1,
        ..StoreOptions::default()
    };
    let store = Store::open("memory:", options).await.unwrap();
    let builder = Host::builder().store(store.clone()).listen("127.0.0.1:0");
    let host = builder.start().await.unwrap();
    let other = Host::builder().join(host.address().unwrap());
    let other = other.start().await.unwrap();
    taker_on(&other).await;
    let joining = tokio::spawn(async move {
        for number in 0_u64.. {
            let name = format!("taker {number}");
            other.add::<Taker>(&name).await.unwrap();
            tokio::time::sleep(LATENCY / 10).await;
        }
    });
    tokio::time::sleep(5 * LATENCY).await;
    host.shutdown(Duration::from_secs(10)).await;
    let at_the_end = store.usage("leap.coordinator").await.unwrap();
    tokio::time::sleep(10 * LATENCY).await;
    joining.abort();
    let later = store.usage("leap.coordinator").await.unwrap();
    assert_eq!(later, at_the_end);
}

/// A supervisor tries to bring its object back again and again, but not when its host has shut down.
#[tokio::test(start_paused = true)]
async fn nothing_is_claimed_after_a_shutdown() {
    let faults = Faults::planned();
    let options = StoreOptions {
        faults: faults.clone(),
        retry_for: Duration::from_millis(1),
        ..StoreOptions::default()
    };
    let store = Store::open("memory:", options).await.unwrap();
    let host = Host::builder().store(store.clone()).start().await.unwrap();
    let (lives, mut started) = mpsc::unbounded_channel();
    let note = move |object: leap::Object<_>| lives.send(object).unwrap();
    host.supervise::<Taker>("taker", SLOW_TO_SEAL, note)
        .await
        .unwrap();
    let first = started.recv().await.unwrap();
    first.ready().await.unwrap();
    faults.fail(None, 0, std::io::ErrorKind::StorageFull);
    take(&first, 1).await;
    first.stopped().await;
    let kept = host.clone();
    let shutdown = tokio::spawn(host.shutdown(Duration::from_secs(3600)));
    tokio::task::yield_now().await;
    faults.heal();
    shutdown.await.unwrap();
    let at_the_end = store.usage("taker").await.unwrap();
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert_eq!(store.usage("taker").await.unwrap(), at_the_end);
    assert!(kept.add::<Taker>("another").await.is_err());
}

/// What a journal holds is never trusted: whatever is in the record, opening it ends with an error or
/// with a state, and the store can be used on.
#[tokio::test(start_paused = true)]
async fn a_damaged_record_is_an_error() {
    let cluster = Cluster::new().await;
    let host = cluster.host("a").await;
    let taker = taker_on(&host).await;
    let client = TakerClient::new(host.clone(), "taker").idempotency_key("one");
    client.take(&300).await.unwrap();
    taker.leave().await.unwrap();
    let record = host.store().claim("taker").await.unwrap().recovered.records[0]
        .payload
        .to_vec();

    let mut damaged: Vec<Vec<u8>> = (0..record.len())
        .map(|length| record[..length].to_vec())
        .collect();
    for at in 0..record.len() {
        for flipped in [0x01, 0x80, 0xff] {
            let mut payload = record.clone();
            payload[at] ^= flipped;
            damaged.push(payload);
        }
    }
    let mut refused = 0;
    for (number, payload) in damaged.into_iter().enumerate() {
        let name = format!("damaged {number}");
        host.store()
            .claim(&name)
            .await
            .unwrap()
            .journal
            .append(1, payload.into())
            .await
            .unwrap();
        refused += usize::from(host.add::<Taker>(&name).await.is_err());
    }
    assert!(
        refused > record.len(),
        "all that is cut off, and most of what is flipped: {refused}"
    );
}

/// Remembers only the newest of many large changes.
#[derive(Default, serde::Serialize, serde::Deserialize)]
struct Pad {
    newest: u64,
    count: u64,
}

impl leap::Machine for Pad {
    type Change = (u64, Vec<u8>);

    fn apply(&mut self, (round, _): Self::Change) {
        self.newest = round;
        self.count += 1;
    }
}

impl leap::Service for Pad {}
