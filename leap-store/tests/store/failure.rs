//! Storage that fails: at every single operation, for a while, for good.

use std::io::ErrorKind;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use leap_store::faults::{Faults, Operation};
use leap_store::{JournalError, JournalState, Recovered, Store, StoreOptions};

use crate::places::Place;

fn failing(faults: &Faults) -> impl FnOnce(&mut StoreOptions) {
    let faults = faults.clone();
    |options| {
        options.faults = faults;
        options.segment_bytes = 128;
        options.retry_for = Duration::ZERO;
    }
}

/// What a client was told.
#[derive(Debug, Default)]
struct Told {
    /// Versions that were acknowledged and not truncated since.
    durable: Vec<u64>,
    /// Versions that may be there as well: the first operation that was not acknowledged, and what came after it.
    uncertain: Vec<u64>,
    /// The truncation that was not acknowledged.
    truncated: Option<u64>,
}

/// Uses everything that a journal can do, and stops at the first failure.
async fn script(store: &Store, told: &mut Told) -> Result<()> {
    let claim = store.claim("script").await?;
    let journal = claim.journal;
    for version in 1..=12 {
        told.uncertain = vec![version];
        journal
            .append(version, vec![version as u8; 30].into())
            .await?;
        told.durable.append(&mut told.uncertain);
        if version == 5 || version == 9 {
            journal.checkpoint(version - 1, "image".into()).await?;
            journal.prune(version - 1).await?;
        }
    }
    told.truncated = Some(10);
    journal.truncate(10).await?;
    told.durable.retain(|&version| version <= 10);
    told.truncated = None;
    told.uncertain = vec![11];
    journal.append(11, "again".into()).await?;
    told.durable.append(&mut told.uncertain);
    journal.close().await?;
    let claim = store.claim("script").await?;
    told.check(&claim.recovered)
}

impl Told {
    fn check(&self, recovered: &Recovered) -> Result<()> {
        let base = recovered
            .checkpoint
            .as_ref()
            .map_or(0, |image| image.version);
        let found: Vec<_> = (1..=base)
            .chain(recovered.records.iter().map(|record| record.version))
            .collect();
        let mut allowed = vec![self.durable.clone()];
        if let Some(version) = self.truncated {
            allowed.push(
                self.durable
                    .iter()
                    .copied()
                    .filter(|&v| v <= version)
                    .collect(),
            );
        }
        allowed.push([self.durable.as_slice(), &self.uncertain].concat());
        ensure!(allowed.contains(&found), "{self:?}, but found {found:?}");
        Ok(())
    }
}

async fn every_operation_fails_once(place: impl Fn() -> Place, for_good: bool) -> Result<u64> {
    for after in 0.. {
        let place = place();
        let faults = Faults::planned();
        let store = place.open_with(failing(&faults)).await?;
        if for_good {
            faults.fail(None, after, ErrorKind::Other);
        } else {
            faults.fail_once(None, after, ErrorKind::Other);
        }
        let mut told = Told::default();
        let done = script(&store, &mut told).await;
        if faults.seen() <= after {
            done.context("without a failure")?;
            return Ok(after);
        }
        // The cause is gone: a new claim recovers exactly what was told.
        faults.heal();
        let claim = store
            .claim("script")
            .await
            .with_context(|| format!("operation {after}"))?;
        told.check(&claim.recovered)
            .with_context(|| format!("operation {after}: {done:?}"))?;
        let next = claim.recovered.version().unwrap_or(0) + 1;
        claim.journal.append(next, "on".into()).await?;
        let again = store.claim("script").await?.recovered;
        ensure!(again.version() == Some(next), "operation {after}");
    }
    unreachable!("the range has no end")
}

#[tokio::test]
async fn the_nth_operation_of_a_directory_fails() -> Result<()> {
    assert!(every_operation_fails_once(Place::local, false).await? > 100);
    assert!(every_operation_fails_once(Place::local, true).await? > 100);
    Ok(())
}

#[tokio::test]
async fn the_nth_operation_of_an_object_store_fails() -> Result<()> {
    assert!(every_operation_fails_once(Place::memory, false).await? > 30);
    assert!(every_operation_fails_once(Place::memory, true).await? > 30);
    Ok(())
}

#[tokio::test]
async fn a_poisoned_journal_never_acknowledges_again() -> Result<()> {
    for (place, operation, kind, reason) in [
        (
            Place::local(),
            Operation::Sync,
            ErrorKind::Other,
            "cannot sync",
        ),
        (
            Place::local(),
            Operation::Write,
            ErrorKind::StorageFull,
            "no storage space",
        ),
        (
            Place::local(),
            Operation::Write,
            ErrorKind::PermissionDenied,
            "permission denied",
        ),
        (
            Place::memory(),
            Operation::Write,
            ErrorKind::StorageFull,
            "no storage space",
        ),
    ] {
        let faults = Faults::planned();
        let store = place.open_with(failing(&faults)).await?;
        let journal = store.claim("poison").await?.journal;
        journal.append(1, "before".into()).await?;
        faults.fail(Some(operation), 0, kind);
        let first = journal.append(2, "during".into());
        let second = journal.append(3, "during".into());
        for append in [first, second] {
            let error = append.await.expect_err("the disk fails");
            ensure!(error.to_string().contains(reason), "{error}");
        }
        faults.heal();
        // The disk is well again, but nobody knows what it did with the failed write.
        let after = journal.append(4, "after".into()).await;
        ensure!(
            matches!(after, Err(JournalError::Poisoned { .. })),
            "{after:?}"
        );
        for refused in [
            journal.flush().await,
            journal.truncate(0).await,
            journal.checkpoint(1, "image".into()).await,
            journal.prune(1).await,
            journal.read(1).await.map(drop),
        ] {
            ensure!(
                matches!(refused, Err(JournalError::Poisoned { .. })),
                "{refused:?}"
            );
        }
        ensure!(matches!(journal.state(), JournalState::Poisoned { .. }));
        ensure!(journal.close().await.is_err());
        let claim = store.claim("poison").await?;
        ensure!(claim.recovered.version().is_some_and(|version| version < 4));
        claim.journal.append(4, "recovered".into()).await?;
    }
    Ok(())
}

#[tokio::test]
async fn a_lost_answer_is_not_taken_for_a_rival() -> Result<()> {
    let place = Place::memory();
    let faults = Faults::planned();
    let patient = |options: &mut StoreOptions| options.faults = faults.clone();
    let store = place.open_with(patient).await?;
    faults.fail_once(Some(Operation::Answer), 0, ErrorKind::TimedOut);
    let claim = store.claim("answer").await?;
    assert_eq!(claim.incarnation, 1, "the claim object is our own");
    faults.fail_once(Some(Operation::Answer), 0, ErrorKind::TimedOut);
    claim.journal.append(1, "one".into()).await?;
    faults.fail_once(Some(Operation::Answer), 0, ErrorKind::TimedOut);
    let register = store.register("answer")?;
    let tag = register.compare_and_swap(None, "one".into()).await?;
    assert_eq!(register.read().await?, Some(("one".into(), tag)));
    // The fence is put second.
    faults.fail_once(Some(Operation::Answer), 1, ErrorKind::TimedOut);
    let claim = store.claim("answer").await?;
    assert_eq!((claim.incarnation, claim.recovered.version()), (2, Some(1)));
    Ok(())
}
