//! What only an object store can suffer: objects that vanish, and puts that take effect late.

use std::io::ErrorKind;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use bolero::check;
use bytes::Bytes;
use futures::StreamExt as _;
use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::{ObjectStore as _, ObjectStoreExt as _};
use tokio::runtime::Handle;

use super::claim::Owner;
use super::{Objects, image_name, parse_image_name, parse_segment_name, segment_name};
use crate::faults::{Faults, Operation};
use crate::format::register;
use crate::format::segment::ObjectHeader;
use crate::journal::Medium;
use crate::{Journal, JournalError, Recovered, StoreError, StoreOptions};

struct World {
    store: Arc<InMemory>,
    options: StoreOptions,
}

impl World {
    fn new() -> Self {
        Self {
            store: Arc::default(),
            options: StoreOptions::default(),
        }
    }

    async fn claim(&self) -> Result<(Journal, Recovered), StoreError> {
        self.claim_with(&self.options).await
    }

    async fn claim_with(&self, options: &StoreOptions) -> Result<(Journal, Recovered), StoreError> {
        let store = Arc::clone(&self.store);
        let objects = Objects::new(store, Path::default(), options);
        let (writer, recovered) = objects.claim("x", options).await?;
        let journal = Journal::new(Medium::Object(writer), Handle::current());
        Ok((journal, recovered))
    }

    fn segment(sequence: u64) -> Path {
        Path::from(format!("journals/x/segments/{}", segment_name(sequence)))
    }

    async fn segments(&self) -> usize {
        self.store
            .list(Some(&Path::from("journals/x/segments")))
            .count()
            .await
    }
}

fn versions(recovered: &Recovered) -> Vec<u64> {
    recovered
        .records
        .iter()
        .map(|record| record.version)
        .collect()
}

async fn append(journal: &Journal, versions: impl IntoIterator<Item = u64>) {
    for version in versions {
        journal
            .append(version, "payload".into())
            .await
            .expect("it is durable");
    }
}

#[tokio::test]
async fn a_missing_segment_is_damage_and_not_the_end() {
    let world = World::new();
    let (journal, _) = world.claim().await.expect("the first claim");
    append(&journal, 1..=9).await;
    for sequence in 1..=9 {
        let kept = world
            .store
            .get(&World::segment(sequence))
            .await
            .expect("it is there");
        let kept = kept.bytes().await.expect("it is in memory");
        world
            .store
            .delete(&World::segment(sequence))
            .await
            .expect("it is there");
        let claimed = world.claim().await.map(|(_, recovered)| recovered);
        assert!(
            matches!(claimed, Err(StoreError::Corrupt { .. })),
            "{sequence}: {claimed:?}"
        );
        world
            .store
            .put(&World::segment(sequence), kept.into())
            .await
            .expect("memory has room");
    }
    let (_, recovered) = world.claim().await.expect("all is back");
    assert_eq!(versions(&recovered), (1..=9).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_missing_floor_or_checkpoint_is_damage() {
    let world = World::new();
    let (journal, _) = world.claim().await.expect("the first claim");
    append(&journal, 1..=9).await;
    journal
        .checkpoint(5, "image".into())
        .await
        .expect("it is durable");
    journal.prune(5).await.expect("it is deleted");
    // The fence is 1, so version 6 has number 7.
    for path in [
        World::segment(7),
        Path::from("journals/x/checkpoints/0000000000000001-0000000000000000"),
    ] {
        let kept = world.store.get(&path).await.expect("it is there");
        let kept = kept.bytes().await.expect("it is in memory");
        world.store.delete(&path).await.expect("it is there");
        let claimed = world.claim().await.map(|(_, recovered)| recovered);
        assert!(
            matches!(claimed, Err(StoreError::Corrupt { .. })),
            "{path}: {claimed:?}"
        );
        world
            .store
            .put(&path, kept.into())
            .await
            .expect("memory has room");
    }
    world.claim().await.expect("all is back");
}

/// The clock stands still while anything can run, so a pause before a put is tried again lasts until all else waits.
#[tokio::test(start_paused = true)]
async fn what_a_fenced_writer_put_behind_the_fence_is_replaced() {
    let world = World::new();
    let faults = Faults::planned();
    let slow = StoreOptions {
        faults: faults.clone(),
        ..world.options.clone()
    };
    let (old, _) = world.claim_with(&slow).await.expect("the first claim");
    append(&old, 1..=3).await;
    // The next put is lost and tried again later; the one after it takes effect at once.
    faults.fail_once(Some(Operation::Write), 0, ErrorKind::TimedOut);
    let lost = old.append(4, "lost".into());
    tokio::task::yield_now().await;
    let ahead = old.append(5, "ahead".into());
    tokio::task::yield_now().await;
    assert_eq!(
        world.segments().await,
        5,
        "a fence, three records, and the fifth without the fourth"
    );

    let (new, recovered) = world.claim().await.expect("the second claim");
    assert_eq!(versions(&recovered), [1, 2, 3]);
    for end in [lost.await, ahead.await] {
        assert!(
            matches!(end, Err(JournalError::Fenced { by: 2 })),
            "{end:?}"
        );
    }
    // Before it is replaced, and after.
    let (newer, recovered) = world.claim().await.expect("the third claim");
    assert_eq!(versions(&recovered), [1, 2, 3]);
    drop(new);
    append(&newer, 4..=9).await;
    let (_, recovered) = world.claim().await.expect("the fourth claim");
    assert_eq!(versions(&recovered), (1..=9).collect::<Vec<_>>());
    assert!(
        recovered
            .records
            .iter()
            .all(|record| record.payload == "payload")
    );
}

#[tokio::test]
async fn a_writer_that_wakes_up_late_meets_its_fence() {
    let world = World::new();
    let (old, _) = world.claim().await.expect("the first claim");
    append(&old, 1..=3).await;
    let (journal, _) = world.claim().await.expect("the second claim");
    append(&journal, 4..=40).await;
    journal
        .checkpoint(40, "image".into())
        .await
        .expect("it is durable");
    journal.prune(40).await.expect("it is deleted");
    assert_eq!(
        world.segments().await,
        3,
        "two fences and the checkpoint's mark"
    );
    // Everything that the old writer ever wrote is gone; its next number must not look free.
    let late = old.append(4, "late".into()).await;
    assert!(
        matches!(late, Err(JournalError::Fenced { by: 2 })),
        "{late:?}"
    );
}

#[tokio::test]
async fn a_block_is_a_free_number_and_not_part_of_the_journal() {
    let world = World::new();
    let (old, _) = world.claim().await.expect("the first claim");
    append(&old, 1..=3).await;
    // As a claim leaves it that had to block its predecessor's way.
    let block = ObjectHeader {
        incarnation: 1,
        sequence: 5,
        settled: 1,
    };
    world
        .store
        .put(&World::segment(5), block.encode().into())
        .await
        .expect("memory has room");
    append(&old, 4..=5).await;
    world
        .store
        .put(&World::segment(7), {
            let block = ObjectHeader {
                sequence: 7,
                ..block
            };
            block.encode().into()
        })
        .await
        .expect("memory has room");
    let (_, recovered) = world.claim().await.expect("the second claim");
    assert_eq!(versions(&recovered), [1, 2, 3, 4, 5]);
    // Had the claim taken the block for a segment, this would be acknowledged and lost.
    let late = old.append(6, "late".into()).await;
    assert!(
        matches!(late, Err(JournalError::Fenced { by: 2 })),
        "{late:?}"
    );
}

#[tokio::test]
async fn only_so_many_fences_are_kept() {
    let world = World::new();
    for version in 0..super::claim::FENCES_KEPT as u64 + 100 {
        let (journal, _) = world.claim().await.expect("a claim");
        if version % 50 == 0 {
            append(&journal, [version]).await;
            journal
                .checkpoint(version, "image".into())
                .await
                .expect("it is durable");
            journal.prune(version).await.expect("it is deleted");
        }
    }
    let kept = world.segments().await;
    assert!(kept < super::claim::FENCES_KEPT + 60, "{kept}");
}

/// With a paused clock, every wait is exactly as long as it says.
#[tokio::test(start_paused = true)]
async fn injected_latency_is_pipelined() {
    let world = World::new();
    let options = StoreOptions {
        latency: Duration::from_millis(50),
        max_in_flight: 10,
        ..StoreOptions::default()
    };
    let (journal, _) = world.claim_with(&options).await.expect("a claim");
    let start = tokio::time::Instant::now();
    let mut appends = Vec::new();
    for version in 1..=10 {
        appends.push(journal.append(version, "payload".into()));
        tokio::task::yield_now().await;
    }
    futures::future::try_join_all(appends)
        .await
        .expect("they are durable");
    assert_eq!(
        start.elapsed().as_millis(),
        50,
        "ten batches take as long as one"
    );
    assert_eq!(journal.statistics().syncs, 10);
    // The eleventh to the twentieth share what is left of the window.
    let mut appends = Vec::new();
    for version in 11..=40 {
        appends.push(journal.append(version, "payload".into()));
        tokio::task::yield_now().await;
    }
    futures::future::try_join_all(appends)
        .await
        .expect("they are durable");
    assert_eq!(start.elapsed().as_millis(), 150);
    assert_eq!(
        journal.statistics().syncs,
        21,
        "ten alone, then twenty together"
    );
}

#[tokio::test]
async fn a_claim_without_an_identity_is_given_one() {
    let world = World::new();
    // Of the third incarnation, written by a program that knew of no identities.
    let value = [2_u64, 1].map(u64::to_le_bytes);
    let claim = register::encode(7, value.as_flattened());
    let at = Path::from("journals/x/claim");
    let put = world.store.put(&at, claim.into()).await;
    put.expect("memory has room");
    let (first, _) = world.claim().await.expect("the third claim");
    assert_eq!(first.incarnation(), 3);
    let (second, _) = world.claim().await.expect("the fourth claim");
    assert_eq!(second.identity(), first.identity());
}

#[test]
fn fuzz_claims() {
    let store = Arc::new(InMemory::new());
    let objects = Objects::new(store, Path::default(), &StoreOptions::default());
    // Only names what is malformed.
    let bucket = AssertUnwindSafe(&objects.journals);
    check!().for_each(|bytes: &[u8]| {
        // As they are, almost all fail at the checksum.
        for bytes in [bytes.to_vec(), register::encode(7, bytes)].map(Bytes::from) {
            if let Ok(owner) = Owner::decode(*bucket, &bytes) {
                let again = Owner::decode(*bucket, &owner.encode()).expect("it was written");
                assert_eq!(again, owner);
            }
        }
    });
}

#[test]
fn fuzz_names_of_objects() {
    check!()
        .with_type::<(u64, u64, u8, char)>()
        .for_each(|(incarnation, number, at, other)| {
            // Almost right: one digit is something else.
            let mut name = image_name(*incarnation, *number);
            assert_eq!(parse_image_name(&name), Some((*incarnation, *number)));
            let at = usize::from(*at) % name.len();
            name.replace_range(at..=at, &other.to_string());
            if let Some((incarnation, number)) = parse_image_name(&name) {
                assert_eq!(image_name(incarnation, number), name);
            }
            if let Some(sequence) = parse_segment_name(&name[..at]) {
                assert_eq!(segment_name(sequence), name[..at]);
            }
        });
}
