//! What every medium does.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use anyhow::{Result, ensure};
use bytes::Bytes;
use leap_store::{
    Claim, GroupCommit, JournalError, JournalState, Recovered, RegisterError, StoreError,
};

use crate::places::Place;
use crate::servers::Server;

/// Each behaviour is a test of its own on the local directory and in memory. A server takes seconds to start, so all
/// behaviours share one there.
macro_rules! behaviours {
    ($($name:ident),* $(,)?) => {
        mod local {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() -> anyhow::Result<()> {
                super::$name(&super::Place::local()).await
            })*
        }
        mod memory {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() -> anyhow::Result<()> {
                super::$name(&super::Place::memory()).await
            })*
        }
        async fn all(place: &Place) -> Result<()> {
            use anyhow::Context as _;
            $($name(place).await.context(stringify!($name))?;)*
            Ok(())
        }
    };
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn s3() -> Result<()> {
    all(&Place::remote(Server::s3()?)).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn azure() -> Result<()> {
    all(&Place::remote(Server::azure()?)).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn google() -> Result<()> {
    all(&Place::remote(Server::google()?)).await
}

behaviours! {
    a_claim_recovers_what_was_acknowledged,
    payloads_come_back_as_they_were,
    an_append_goes_on_when_its_future_is_dropped,
    callbacks_run_once_and_in_order,
    a_fixed_group_commit_batches,
    injected_latency_keeps_the_order,
    all_who_wait_for_one_entry_hear_of_it,
    close_waits_and_then_refuses,
    truncated_numbers_are_used_again,
    a_checkpoint_stands_for_its_records,
    a_truncation_makes_later_checkpoints_void,
    a_truncation_overtakes_a_checkpoint_being_written,
    reading_back_sees_what_is_queued,
    pruning_keeps_what_a_rollback_may_need,
    storage_does_not_grow_with_time,
    storage_does_not_grow_with_claims,
    a_journal_keeps_its_identity,
    who_is_shut_out_can_ask,
    an_older_incarnation_is_shut_out,
    a_takeover_under_load_loses_nothing_acknowledged,
    of_racing_claimers_each_gets_its_own_incarnation,
    registers_swap_only_what_was_read,
    of_racing_swaps_one_wins,
    names_are_arbitrary,
}

fn versions(recovered: &Recovered) -> Vec<u64> {
    recovered
        .records
        .iter()
        .map(|record| record.version)
        .collect()
}

fn payload(version: u64) -> Bytes {
    format!("payload of {version}").into()
}

async fn append_all(claim: &Claim, versions: impl IntoIterator<Item = u64>) -> Result<()> {
    for version in versions {
        drop(claim.journal.append(version, payload(version)));
    }
    Ok(claim.journal.flush().await?)
}

async fn a_claim_recovers_what_was_acknowledged(place: &Place) -> Result<()> {
    let first = place.claim("recover").await?;
    assert_eq!(
        (first.incarnation, first.recovered.clone()),
        (1, Recovered::default())
    );
    for version in [1, 2, 5] {
        first.journal.append(version, payload(version)).await?;
    }
    let second = place.claim("recover").await?;
    assert_eq!(second.incarnation, 2);
    assert_eq!(versions(&second.recovered), [1, 2, 5]);
    second.journal.append(6, payload(6)).await?;
    let third = place.claim("recover").await?;
    assert_eq!(versions(&third.recovered), [1, 2, 5, 6]);
    assert_eq!(third.recovered.records[3].payload, payload(6));
    assert_eq!(third.recovered.torn_tail, None);
    Ok(())
}

async fn payloads_come_back_as_they_were(place: &Place) -> Result<()> {
    let claim = place.claim("payloads").await?;
    let payloads = [
        Bytes::new(),
        Bytes::from_static(&[0; 9]),
        Bytes::from_static(b"btchbtchbtch"),
        Bytes::from(vec![7; 3 << 20]),
    ];
    for (version, payload) in payloads.iter().enumerate() {
        drop(claim.journal.append(version as u64, payload.clone()));
    }
    claim.journal.flush().await?;
    let recovered = place.claim("payloads").await?.recovered;
    let found: Vec<_> = recovered
        .records
        .into_iter()
        .map(|record| record.payload)
        .collect();
    ensure!(found == payloads);
    Ok(())
}

async fn an_append_goes_on_when_its_future_is_dropped(place: &Place) -> Result<()> {
    let claim = place.claim("dropped").await?;
    drop(claim.journal.append(1, payload(1)));
    claim.journal.append(2, payload(2)).await?;
    assert_eq!(versions(&place.claim("dropped").await?.recovered), [1, 2]);
    Ok(())
}

async fn callbacks_run_once_and_in_order(place: &Place) -> Result<()> {
    let claim = place.claim("callbacks").await?;
    let seen = Arc::new(Mutex::new(Vec::new()));
    for version in 1..=100 {
        let seen = Arc::clone(&seen);
        claim
            .journal
            .append_then(version, payload(version), move |durable| {
                seen.lock()
                    .expect("not poisoned")
                    .push((version, durable.is_ok()));
            });
    }
    claim.journal.close().await?;
    let expected: Vec<_> = (1..=100).map(|version| (version, true)).collect();
    assert_eq!(*seen.lock().expect("not poisoned"), expected);
    Ok(())
}

async fn a_fixed_group_commit_batches(place: &Place) -> Result<()> {
    let interval = GroupCommit::Fixed(Duration::from_millis(200));
    let store = place
        .open_with(|options| options.group_commit = interval)
        .await?;
    let claim = store.claim("fixed").await?;
    append_all(&claim, 1..=100).await?;
    let statistics = claim.journal.statistics();
    assert_eq!((statistics.records, statistics.unacknowledged), (100, 0));
    // One, unless this machine stood still for a whole interval.
    assert!(statistics.syncs <= 10, "{statistics:?}");
    Ok(())
}

async fn injected_latency_keeps_the_order(place: &Place) -> Result<()> {
    let slow = |options: &mut leap_store::StoreOptions| {
        options.latency = Duration::from_millis(20);
        options.max_in_flight = 4;
    };
    let claim = place.open_with(slow).await?.claim("latency").await?;
    let seen = Arc::new(Mutex::new(Vec::new()));
    for version in 1..=50 {
        let seen = Arc::clone(&seen);
        claim
            .journal
            .append_then(version, payload(version), move |durable| {
                assert!(durable.is_ok());
                seen.lock().expect("not poisoned").push(version);
            });
        if version % 5 == 0 {
            claim
                .journal
                .append(1000 * version, payload(version))
                .await?;
            claim.journal.truncate(version).await?;
        }
    }
    claim.journal.flush().await?;
    assert_eq!(
        *seen.lock().expect("not poisoned"),
        (1..=50).collect::<Vec<_>>()
    );
    assert_eq!(versions(&place.claim("latency").await?.recovered).len(), 50);
    Ok(())
}

async fn all_who_wait_for_one_entry_hear_of_it(place: &Place) -> Result<()> {
    // Long enough for both to be waiting before the entry is durable.
    let late = |options: &mut leap_store::StoreOptions| options.latency = Duration::from_millis(50);
    let claim = place.open_with(late).await?.claim("waiters").await?;
    let append = tokio::spawn(claim.journal.append(1, payload(1)));
    let flush = tokio::spawn(claim.journal.flush());
    let both = async { anyhow::Ok((append.await??, flush.await??)) };
    tokio::time::timeout(Duration::from_secs(20), both).await??;
    Ok(())
}

async fn close_waits_and_then_refuses(place: &Place) -> Result<()> {
    let claim = place.claim("close").await?;
    let clone = claim.journal.clone();
    drop(claim.journal.append(1, payload(1)));
    claim.journal.close().await?;
    assert_eq!(clone.statistics().unacknowledged, 0);
    assert!(matches!(
        clone.append(2, payload(2)).await,
        Err(JournalError::Closed)
    ));
    assert!(matches!(clone.truncate(0).await, Err(JournalError::Closed)));
    assert_eq!(versions(&place.claim("close").await?.recovered), [1]);
    Ok(())
}

async fn truncated_numbers_are_used_again(place: &Place) -> Result<()> {
    let claim = place.claim("truncate").await?;
    append_all(&claim, 1..=9).await?;
    drop(claim.journal.truncate(6));
    drop(claim.journal.append(7, "again".into()));
    drop(claim.journal.truncate(100));
    claim.journal.append(8, payload(8)).await?;
    let claim = place.claim("truncate").await?;
    assert_eq!(versions(&claim.recovered), (1..=8).collect::<Vec<_>>());
    assert_eq!(claim.recovered.records[6].payload, "again");
    // A rollback by a later incarnation reaches what an older one wrote.
    drop(claim.journal.truncate(2));
    claim.journal.append(3, "third life".into()).await?;
    let recovered = place.claim("truncate").await?.recovered;
    assert_eq!(versions(&recovered), [1, 2, 3]);
    assert_eq!(recovered.records[2].payload, "third life");
    Ok(())
}

async fn a_checkpoint_stands_for_its_records(place: &Place) -> Result<()> {
    let claim = place.claim("checkpoint").await?;
    append_all(&claim, 1..=10).await?;
    claim.journal.checkpoint(4, "up to 4".into()).await?;
    claim.journal.checkpoint(7, "up to 7".into()).await?;
    append_all(&claim, [11]).await?;
    let claim = place.claim("checkpoint").await?;
    let image = claim.recovered.checkpoint.as_ref().expect("a checkpoint");
    assert_eq!(
        (image.version, image.payload.as_ref()),
        (7, b"up to 7".as_slice())
    );
    assert_eq!(versions(&claim.recovered), [8, 9, 10, 11]);
    // The older one still serves a rollback to below the newer one.
    let back = claim.journal.read(5).await?;
    assert_eq!(back.checkpoint.as_ref().map(|image| image.version), Some(4));
    assert_eq!(versions(&back), [5]);
    Ok(())
}

async fn a_truncation_makes_later_checkpoints_void(place: &Place) -> Result<()> {
    let claim = place.claim("void").await?;
    append_all(&claim, 1..=10).await?;
    claim.journal.checkpoint(4, "good".into()).await?;
    claim.journal.checkpoint(8, "void".into()).await?;
    drop(claim.journal.truncate(6));
    append_all(&claim, [7, 8]).await?;
    let recovered = place.claim("void").await?.recovered;
    assert_eq!(
        recovered.checkpoint.as_ref().map(|image| image.version),
        Some(4)
    );
    assert_eq!(versions(&recovered), [5, 6, 7, 8]);
    // A checkpoint of a number used again counts.
    let claim = place.claim("void").await?;
    claim.journal.checkpoint(8, "the second 8".into()).await?;
    let recovered = place.claim("void").await?.recovered;
    assert_eq!(
        recovered.checkpoint.expect("a checkpoint").payload,
        "the second 8"
    );
    assert_eq!(recovered.records, []);
    Ok(())
}

async fn a_truncation_overtakes_a_checkpoint_being_written(place: &Place) -> Result<()> {
    let claim = place.claim("overtake").await?;
    append_all(&claim, 1..=10).await?;
    let checkpoint = claim.journal.checkpoint(9, vec![0; 1 << 20].into());
    let truncation = claim.journal.truncate(5);
    checkpoint.await?;
    truncation.await?;
    let claim = place.claim("overtake").await?;
    assert_eq!(claim.recovered.checkpoint, None);
    assert_eq!(versions(&claim.recovered), [1, 2, 3, 4, 5]);
    Ok(())
}

async fn reading_back_sees_what_is_queued(place: &Place) -> Result<()> {
    // With such an interval nothing of this becomes durable while the test reads.
    let never = GroupCommit::Fixed(Duration::from_secs(3600));
    append_all(&place.claim("read").await?, 1..=3).await?;
    let store = place
        .open_with(|options| options.group_commit = never)
        .await?;
    let claim = store.claim("read").await?;
    for version in 4..=6 {
        drop(claim.journal.append(version, payload(version)));
    }
    assert_eq!(versions(&claim.journal.read(5).await?), [1, 2, 3, 4, 5]);
    assert_eq!(
        versions(&claim.journal.read(u64::MAX).await?),
        [1, 2, 3, 4, 5, 6]
    );
    drop(claim.journal.truncate(2));
    drop(claim.journal.append(3, "again".into()));
    let read = claim.journal.read(u64::MAX).await?;
    assert_eq!(versions(&read), [1, 2, 3]);
    assert_eq!(read.records[2].payload, "again");
    assert_eq!(claim.journal.statistics().syncs, 0);
    Ok(())
}

async fn pruning_keeps_what_a_rollback_may_need(place: &Place) -> Result<()> {
    let store = place
        .open_with(|options| options.segment_bytes = 64)
        .await?;
    let claim = store.claim("prune").await?;
    for version in 1..=30 {
        claim.journal.append(version, payload(version)).await?;
        if version % 10 == 0 {
            claim
                .journal
                .checkpoint(version, format!("up to {version}").into())
                .await?;
        }
    }
    claim.journal.prune(9).await?;
    assert_eq!(
        versions(&claim.journal.read(9).await?).len(),
        9,
        "no checkpoint is that old"
    );
    claim.journal.prune(25).await?;
    for claim in [claim, store.claim("prune").await?] {
        let back = claim.journal.read(25).await?;
        assert_eq!(
            back.checkpoint.as_ref().map(|image| image.version),
            Some(20)
        );
        assert_eq!(versions(&back), [21, 22, 23, 24, 25]);
        let too_far = claim.journal.read(15).await;
        assert!(
            matches!(
                too_far,
                Err(JournalError::Pruned {
                    version: 15,
                    oldest: 20
                })
            ),
            "{too_far:?}"
        );
    }
    let recovered = place.claim("prune").await?.recovered;
    assert_eq!(recovered.checkpoint.map(|image| image.version), Some(30));
    Ok(())
}

async fn storage_does_not_grow_with_time(place: &Place) -> Result<()> {
    let (rounds, each) = if place.is_remote {
        (10, 10)
    } else {
        (100, 100)
    };
    let small = |options: &mut leap_store::StoreOptions| options.segment_bytes = 4 << 10;
    let store = place.open_with(small).await?;
    let mut claim = store.claim("grow").await?;
    let mut most = 0;
    for round in 0..rounds {
        append_all(&claim, round * each + 1..=(round + 1) * each).await?;
        let version = (round + 1) * each;
        claim
            .journal
            .checkpoint(version - 5, payload(version - 5))
            .await?;
        claim.journal.prune(version - 5).await?;
        if round % 5 == 0 {
            claim = store.claim("grow").await?;
        }
        let usage = store.usage("grow").await?;
        if round == rounds / 2 {
            most = usage.bytes;
        }
        // A fence per claim stays in an object store: rounds / 5 objects of 48 bytes.
        assert!(usage.files < 20 + rounds / 5, "round {round}: {usage:?}");
        if round > rounds / 2 {
            assert!(
                usage.bytes < 2 * most + 4096,
                "round {round}: {usage:?}, {most} before"
            );
        }
    }
    let recovered = store.claim("grow").await?.recovered;
    assert_eq!(recovered.version(), Some(rounds * each));
    assert_eq!(recovered.records.len(), 5);
    Ok(())
}

async fn storage_does_not_grow_with_claims(place: &Place) -> Result<()> {
    let rounds = if place.is_remote { 4 } else { 100 };
    append_all(&place.claim("claims").await?, 1..=3).await?;
    let before = place.open().await?.usage("claims").await?;
    for _ in 0..rounds {
        assert_eq!(versions(&place.claim("claims").await?.recovered), [1, 2, 3]);
    }
    let after = place.open().await?.usage("claims").await?;
    // A local claim leaves nothing; one in an object store leaves its fence of 48 bytes.
    assert!(
        after.bytes <= before.bytes + (65 << 10),
        "{before:?} {after:?}"
    );
    Ok(())
}

async fn who_is_shut_out_can_ask(place: &Place) -> Result<()> {
    let store = place.open().await?;
    let older = store.claim("asked").await?.journal;
    older.check_claim().await?;
    let newer = store.claim("asked").await?.journal;
    let refused = older.check_claim().await;
    ensure!(
        matches!(
            refused,
            Err(StoreError::Fenced {
                incarnation: 1,
                by: 2,
                ..
            })
        ),
        "{refused:?}"
    );
    newer.check_claim().await?;
    Ok(())
}

async fn a_journal_keeps_its_identity(place: &Place) -> Result<()> {
    let store = place.open().await?;
    let hotel = store.claim("hotel").await?.journal;
    hotel.append(1, "room 7".into()).await?;
    hotel.checkpoint(1, "image".into()).await?;
    // It changes the claim object of an object store.
    hotel.prune(1).await?;
    let flight = store.claim("flight").await?.journal;
    assert_ne!(hotel.identity(), flight.identity());
    for _ in 0..2 {
        let again = place.open().await?.claim("hotel").await?.journal;
        assert_eq!(again.identity(), hotel.identity());
    }
    Ok(())
}

async fn an_older_incarnation_is_shut_out(place: &Place) -> Result<()> {
    let first = place.claim("fence").await?;
    append_all(&first, 1..=3).await?;
    // Queued before the claim, written after it or before it: acknowledged only if the claim has seen it.
    let raced = first.journal.append(4, payload(4));
    let second = place.claim("fence").await?;
    let recovered = versions(&second.recovered);
    match raced.await {
        Ok(()) => assert_eq!(recovered, [1, 2, 3, 4]),
        Err(JournalError::Fenced { by: 2 }) => {}
        Err(error) => return Err(error.into()),
    }
    let late = first.journal.append(9, payload(9)).await;
    assert!(
        matches!(late, Err(JournalError::Fenced { by: 2 })),
        "{late:?}"
    );
    assert_eq!(first.journal.state(), JournalState::Fenced { by: 2 });
    let newest = recovered.len() as u64;
    for end in [
        first.journal.checkpoint(1, payload(1)).await,
        first.journal.prune(1).await,
        first.journal.truncate(0).await,
        first.journal.read(1).await.map(drop),
    ] {
        assert!(
            matches!(end, Err(JournalError::Fenced { by: 2 })),
            "{end:?}"
        );
    }
    second.journal.append(newest + 1, "mine".into()).await?;
    assert_eq!(second.journal.state(), JournalState::Open);
    let third = place.claim("fence").await?;
    assert_eq!(
        versions(&third.recovered),
        (1..=newest + 1).collect::<Vec<_>>()
    );
    Ok(())
}

async fn a_takeover_under_load_loses_nothing_acknowledged(place: &Place) -> Result<()> {
    let mut next = 1;
    let mut claim = place.claim("takeover").await?;
    let (rounds, freely) = if place.is_remote { (2, 30) } else { (20, 300) };
    for _ in 0..rounds {
        let acknowledged = Arc::new(Mutex::new(0));
        let journal = claim.journal.clone();
        let load = tokio::spawn({
            let acknowledged = Arc::clone(&acknowledged);
            async move {
                let mut version = next;
                while journal.state() == JournalState::Open {
                    let acknowledged = Arc::clone(&acknowledged);
                    journal.append_then(version, payload(version), move |durable| {
                        if durable.is_ok() {
                            *acknowledged.lock().expect("not poisoned") = version;
                        }
                    });
                    version += 1;
                    if version % 8 == 0 {
                        let _ = journal.flush().await;
                    }
                    // What is written during a claim is read by the next one: without a bound both would grow.
                    if version > next + freely {
                        tokio::time::sleep(Duration::from_millis(1)).await;
                    }
                }
                journal.state()
            }
        });
        while *acknowledged.lock().expect("not poisoned") < next {
            tokio::task::yield_now().await;
        }
        claim = place.claim("takeover").await?;
        assert!(matches!(load.await?, JournalState::Fenced { .. }));
        let newest = claim
            .recovered
            .version()
            .expect("something was acknowledged");
        assert_eq!(versions(&claim.recovered), (1..=newest).collect::<Vec<_>>());
        assert!(newest >= *acknowledged.lock().expect("not poisoned"));
        next = newest + 1;
    }
    Ok(())
}

async fn of_racing_claimers_each_gets_its_own_incarnation(place: &Place) -> Result<()> {
    append_all(&place.claim("race").await?, 1..=3).await?;
    for round in 0..if place.is_remote { 1 } else { 10 } {
        let claims = (0..16).map(|_| {
            let (location, options) = (place.location.clone(), place.options.clone());
            tokio::spawn(async move {
                let claim = leap_store::Store::open(&location, options)
                    .await?
                    .claim("race")
                    .await?;
                assert_eq!(versions(&claim.recovered)[..3], [1, 2, 3]);
                // Each tries to be the one that goes on.
                let next = claim.recovered.version().unwrap_or(0) + 1;
                let appended = claim.journal.append(next, Bytes::new()).await;
                Ok::<_, StoreError>((claim, appended))
            })
        });
        let mut incarnations = BTreeSet::new();
        let mut last = None;
        for claim in futures::future::join_all(claims).await {
            match claim? {
                Ok((claim, appended)) => {
                    assert!(incarnations.insert(claim.incarnation), "two winners");
                    if last
                        .as_ref()
                        .is_none_or(|(newest, _)| *newest < claim.incarnation)
                    {
                        last = Some((claim.incarnation, appended));
                    }
                }
                Err(error) => assert!(error.is_fenced(), "{error}"),
            }
        }
        let (newest, appended) = last.expect("somebody wins");
        appended?;
        assert_eq!(
            newest,
            1 + 16 + 17 * round,
            "every claim had an incarnation of its own"
        );
        let claim = place.claim("race").await?;
        claim.journal.truncate(3).await?;
        assert_eq!(claim.incarnation, newest + 1);
    }
    Ok(())
}

async fn registers_swap_only_what_was_read(place: &Place) -> Result<()> {
    let store = place.open().await?;
    let register = store.register("r")?;
    assert!(register.read().await?.is_none());
    let one = register.compare_and_swap(None, "one".into()).await?;
    let again = register.compare_and_swap(None, "again".into()).await;
    assert!(matches!(again, Err(RegisterError::Conflict)));
    assert_eq!(register.read().await?, Some(("one".into(), one.clone())));
    let two = place
        .open()
        .await?
        .register("r")?
        .compare_and_swap(Some(&one), "two".into())
        .await?;
    let back = register.compare_and_swap(Some(&two), "one".into()).await?;
    // The value is what it was, but it is another write of it.
    let stale = register.compare_and_swap(Some(&one), "three".into()).await;
    assert!(matches!(stale, Err(RegisterError::Conflict)));
    assert_eq!(register.read().await?, Some(("one".into(), back)));
    Ok(())
}

async fn of_racing_swaps_one_wins(place: &Place) -> Result<()> {
    let store = place.open().await?;
    let register = store.register("raced")?;
    let mut tag = register.compare_and_swap(None, "start".into()).await?;
    for _ in 0..if place.is_remote { 3 } else { 20 } {
        let swaps = (0..16).map(|swap: u8| {
            let (register, tag) = (register.clone(), tag.clone());
            tokio::spawn(async move {
                register
                    .compare_and_swap(Some(&tag), Bytes::copy_from_slice(&[swap]))
                    .await
            })
        });
        let mut winner = None;
        for (swap, swapped) in futures::future::join_all(swaps)
            .await
            .into_iter()
            .enumerate()
        {
            match swapped? {
                Ok(tag) => assert!(winner.replace((swap, tag)).is_none(), "two winners"),
                Err(RegisterError::Conflict) => {}
                Err(error) => return Err(error.into()),
            }
        }
        let (swap, won) = winner.expect("one wins");
        assert_eq!(
            register.read().await?,
            Some((Bytes::from(vec![swap as u8]), won.clone()))
        );
        tag = won;
    }
    Ok(())
}

async fn names_are_arbitrary(place: &Place) -> Result<()> {
    let store = place.open().await?;
    let names = [
        "",
        "..",
        "a/b",
        "A",
        "a",
        "zimmer 7 \u{1f3e8}",
        "%2F",
        "=",
        "a\\b\0",
    ];
    for name in names {
        append_all(&store.claim(name).await?, [1]).await?;
        store
            .register(name)?
            .compare_and_swap(None, name.to_owned().into())
            .await?;
    }
    let found = store.names().await?;
    for name in names {
        ensure!(
            found.iter().any(|found| found == name),
            "{name:?} is missing in {found:?}"
        );
        assert_eq!(store.claim(name).await?.incarnation, 2);
        let value = store
            .register(name)?
            .read()
            .await?
            .expect("it was written")
            .0;
        assert_eq!(value, name);
    }
    assert!(found.is_sorted());
    let long = store.claim(&"x".repeat(300)).await;
    assert!(matches!(long, Err(StoreError::NameTooLong { .. })));
    Ok(())
}
