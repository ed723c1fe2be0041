//! Random operations and reopenings, compared with a plain list.

use std::collections::BTreeMap;

use leap_store::{Claim, JournalError, Recovered, StoreOptions};
use proptest::prelude::*;
use proptest::test_runner::TestCaseError;

use crate::places::Place;

#[derive(Debug, Clone)]
enum Step {
    /// Appends records of these lengths.
    Append(Vec<u16>),
    /// Truncates this many versions back.
    Truncate(u64),
    /// Checkpoints this many versions back.
    Checkpoint(u64),
    /// Prunes to this many versions back.
    Prune(u64),
    /// Reads up to this many versions back.
    Read(u64),
    /// Waits until everything is durable.
    Flush,
    /// Claims anew; the older journal is dropped without closing it.
    Claim,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        8 => prop::collection::vec(0..400_u16, 1..6).prop_map(Step::Append),
        2 => (0..12_u64).prop_map(Step::Truncate),
        3 => (0..12_u64).prop_map(Step::Checkpoint),
        2 => (0..12_u64).prop_map(Step::Prune),
        2 => (0..12_u64).prop_map(Step::Read),
        1 => Just(Step::Flush),
        2 => Just(Step::Claim),
    ]
}

/// The journal as a list.
#[derive(Debug, Clone, Default)]
struct Model {
    records: BTreeMap<u64, Vec<u8>>,
    /// The version reached, by a record or a truncation.
    newest: u64,
    /// Truncations below this are no longer allowed.
    pruned: u64,
    /// Payloads differ by this.
    appended: u64,
}

impl Model {
    fn back(&self, versions: u64) -> u64 {
        self.newest.saturating_sub(versions).max(self.pruned)
    }

    fn append(&mut self, length: u16) -> (u64, Vec<u8>) {
        self.appended += 1;
        let mut payload = self.appended.to_le_bytes().to_vec();
        payload.resize(8 + usize::from(length), 0);
        let version = self.newest + 1 + self.appended % 3;
        self.newest = version;
        self.records.insert(version, payload.clone());
        (version, payload)
    }

    /// A checkpoint image names the payloads it stands for.
    fn image(&self, version: u64) -> Vec<u8> {
        let upto = self.records.range(..=version);
        upto.flat_map(|(version, payload)| {
            [version.to_le_bytes().as_slice(), &payload[..8]].concat()
        })
        .collect()
    }

    fn check(&self, recovered: &Recovered, up_to: u64) -> Result<(), TestCaseError> {
        let base = recovered
            .checkpoint
            .as_ref()
            .map_or(0, |image| image.version);
        if let Some(image) = &recovered.checkpoint {
            prop_assert_eq!(image.payload.as_ref(), self.image(base));
        }
        let found = recovered
            .records
            .iter()
            .map(|r| (r.version, r.payload.to_vec()));
        let within = |version: u64| version > base && version <= up_to;
        let expected = self.records.iter().filter(|(version, _)| within(**version));
        let expected = expected.map(|(version, payload)| (*version, payload.clone()));
        prop_assert_eq!(found.collect::<Vec<_>>(), expected.collect::<Vec<_>>());
        Ok(())
    }
}

async fn run(place: &Place, steps: Vec<Step>) -> Result<(), TestCaseError> {
    let fail = |error: anyhow::Error| TestCaseError::fail(format!("{error:#}"));
    let small = |options: &mut StoreOptions| options.segment_bytes = 512;
    let store = place.open_with(small).await.map_err(fail)?;
    let open = async || {
        store
            .claim("model")
            .await
            .map_err(|error| fail(error.into()))
    };
    let told = |result: Result<(), JournalError>| result.map_err(|error| fail(error.into()));
    let mut claim: Claim = open().await?;
    let mut model = Model::default();
    for step in steps {
        let journal = &claim.journal;
        match step {
            Step::Append(lengths) => {
                for length in lengths {
                    let (version, payload) = model.append(length);
                    drop(journal.append(version, payload.into()));
                }
            }
            Step::Truncate(back) => {
                let version = model.back(back);
                drop(journal.truncate(version));
                model.records.split_off(&(version + 1));
                model.newest = version;
            }
            Step::Checkpoint(back) => {
                let version = model.back(back);
                told(
                    journal
                        .checkpoint(version, model.image(version).into())
                        .await,
                )?;
            }
            Step::Prune(back) => {
                model.pruned = model.back(back);
                told(journal.prune(model.pruned).await)?;
            }
            Step::Read(back) => {
                let up_to = model.back(back);
                let read = journal
                    .read(up_to)
                    .await
                    .map_err(|error| fail(error.into()))?;
                model.check(&read, up_to)?;
            }
            Step::Flush => told(journal.flush().await)?,
            Step::Claim => {
                told(journal.flush().await)?;
                claim = open().await?;
                model.check(&claim.recovered, u64::MAX)?;
            }
        }
    }
    told(claim.journal.close().await)?;
    model.check(&open().await?.recovered, u64::MAX)
}

fn check(place: impl Fn() -> Place) {
    let config = ProptestConfig {
        cases: 60,
        // A failing case prints its steps; they become a test with a name.
        failure_persistence: None,
        ..ProptestConfig::default()
    };
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let mut runner = proptest::test_runner::TestRunner::new(config);
    let steps = prop::collection::vec(step(), 1..60);
    let outcome = runner.run(&steps, |steps| runtime.block_on(run(&place(), steps)));
    outcome.unwrap_or_else(|error| panic!("{error}"));
}

#[test]
fn a_directory_behaves_like_a_list() {
    check(Place::local);
}

#[test]
fn an_object_store_behaves_like_a_list() {
    check(Place::memory);
}
