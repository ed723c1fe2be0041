//! The key-value store against a `BTreeMap`, over crashes.

use std::collections::BTreeMap;

use anyhow::{Result, ensure};
use leap::{Call, CallError, ObjectOptions};
use leap_services::Payload;
use leap_services::kv::{
    KeyValueCallError, KeyValueClient, KeyValueError, KeyValueStore, MAX_KEY_BYTES,
    MAX_VALUE_BYTES, Scan,
};
use proptest::prelude::*;

use crate::world::{World, without_speculation};

#[derive(Debug, Clone)]
enum Step {
    Put(String, u8),
    Delete(String),
    Swap(String, Option<u8>, Option<u8>),
    Scan(Scan),
    /// The process dies right after this put was asked for and before it was answered.
    PutAndCrash(String, u8),
    Crash,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let key = || "[a-e]{1,2}";
    let value = || 0..3_u8;
    let step = prop_oneof![
        6 => (key(), value()).prop_map(|(key, value)| Step::Put(key, value)),
        2 => key().prop_map(Step::Delete),
        4 => (key(), proptest::option::of(value()), proptest::option::of(value()))
            .prop_map(|(key, expected, new)| Step::Swap(key, expected, new)),
        3 => (proptest::option::of(key()), proptest::option::of(key()), proptest::option::of(0..4_usize))
            .prop_map(|(from, to, limit)| Step::Scan(Scan { from, to, limit })),
        1 => (key(), value()).prop_map(|(key, value)| Step::PutAndCrash(key, value)),
        1 => Just(Step::Crash),
    ];
    proptest::collection::vec(step, 1..60)
}

fn payload(value: u8) -> Payload {
    vec![value, 0xff].into()
}

async fn scan_all(
    store: &KeyValueClient<impl Call>,
    mut scan: Scan,
) -> Result<Vec<(String, Payload)>> {
    let mut entries = Vec::new();
    loop {
        let page = store.scan(&scan).await?;
        ensure!(
            page.entries.len() <= scan.limit.unwrap_or(usize::MAX).max(1),
            "too long a page"
        );
        entries.extend(page.entries);
        match page.next {
            Some(next) => scan.from = Some(next),
            None => return Ok(entries),
        }
    }
}

fn set(model: &mut BTreeMap<String, Payload>, key: String, value: Option<Payload>) {
    match value {
        Some(value) => model.insert(key, value),
        None => model.remove(&key),
    };
}

async fn behaves_like_a_map(steps: Vec<Step>, options: ObjectOptions) -> Result<()> {
    let mut world = World::new().await?;
    let mut model: BTreeMap<String, Payload> = BTreeMap::new();
    let add = async |world: &World| world.host.add_with::<KeyValueStore>("kv", options).await;
    add(&world).await?;
    for step in steps {
        let store = KeyValueClient::new(world.host.clone(), "kv");
        match step {
            Step::Put(key, value) => {
                store.put(key.clone(), payload(value)).await?;
                model.insert(key, payload(value));
            }
            Step::Delete(key) => ensure!(
                store.delete(&key).await? == model.remove(&key).is_some(),
                "delete"
            ),
            Step::Swap(key, expected, new) => {
                let (expected, new) = (expected.map(payload), new.map(payload));
                let swapped = store
                    .compare_and_swap(key.clone(), expected.clone(), new.clone())
                    .await;
                let found = model.get(&key).cloned();
                if found == expected {
                    swapped?;
                    set(&mut model, key, new);
                } else {
                    let error = KeyValueCallError::Refused(KeyValueError::Mismatch { found });
                    ensure!(swapped == Err(error), "{swapped:?}");
                }
            }
            Step::Scan(scan) => {
                let wanted = |key: &String| {
                    scan.from.as_ref().is_none_or(|from| key >= from)
                        && scan.to.as_ref().is_none_or(|to| key < to)
                };
                let expected: Vec<_> = model
                    .clone()
                    .into_iter()
                    .filter(|(key, _)| wanted(key))
                    .collect();
                ensure!(
                    scan_all(&store, scan.clone()).await? == expected,
                    "scan {scan:?}"
                );
            }
            Step::PutAndCrash(key, value) => {
                let mut put = Box::pin(store.put(key.clone(), payload(value)));
                let answered = futures::poll!(&mut put).is_ready();
                world.crash().await?;
                add(&world).await?;
                // Unanswered: it may have happened or not, and either is final.
                let found = KeyValueClient::new(&world.host, "kv").get(&key).await?;
                let before = model.get(&key).cloned();
                ensure!(
                    found == Some(payload(value)) || (found == before && !answered),
                    "{found:?}"
                );
                set(&mut model, key, found);
            }
            Step::Crash => {
                world.crash().await?;
                add(&world).await?;
            }
        }
    }
    let found = scan_all(&KeyValueClient::new(&world.host, "kv"), Scan::default()).await?;
    ensure!(
        found == model.into_iter().collect::<Vec<_>>(),
        "what is left"
    );
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_store_behaves_like_a_map_over_crashes(steps in steps()) {
        check(steps, ObjectOptions::default())?;
    }

    #[test]
    fn without_speculation_it_does_so_too(steps in steps()) {
        check(steps, without_speculation())?;
    }
}

fn check(steps: Vec<Step>, options: ObjectOptions) -> Result<(), TestCaseError> {
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    let runtime = runtime.enable_all().start_paused(true).build()?;
    let outcome = runtime.block_on(behaves_like_a_map(steps, options));
    outcome.map_err(|error| TestCaseError::fail(format!("{error:#}")))
}

#[tokio::test(start_paused = true)]
async fn storage_and_recovery_do_not_grow_with_history() -> Result<()> {
    let mut world = World::new().await?;
    let object = world.host.add::<KeyValueStore>("kv").await?;
    object.ready().await?;
    let value = Payload::from("x".repeat(100));
    for round in 0..20 {
        for number in 0..2000_u32 {
            let (key, value) = (format!("key {}", number % 7), value.clone());
            let put = leap_services::kv::Put { key, value };
            object
                .change(|action| KeyValueStore::put(action, put))
                .await??;
        }
        // Everything up to here is inside the boundary before the next round.
        KeyValueClient::new(&world.host, "kv")
            .put("round", round.to_string())
            .await?;
    }
    // 40,000 puts are more than 4 MB of journal; a checkpoint is due after each.
    let stored = world.stored_bytes("kv").await?;
    assert!(stored < 3 << 20, "{stored} bytes are stored");
    world.crash().await?;
    let recovered = world.host.add::<KeyValueStore>("kv").await?;
    assert_eq!(
        recovered
            .view_released(|store| store.scan(&Scan::default()).entries.len())
            .await?,
        8
    );
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn what_is_too_large_is_refused() -> Result<()> {
    let world = World::new().await?;
    world.host.add::<KeyValueStore>("kv").await?;
    let store = KeyValueClient::new(&world.host, "kv");
    let (bytes, error) = (MAX_KEY_BYTES + 1, |error| {
        Err(KeyValueCallError::Refused(error))
    });
    assert_eq!(
        store.put("k".repeat(bytes), "").await,
        error(KeyValueError::KeyTooLong { bytes })
    );
    let bytes = MAX_VALUE_BYTES + 1;
    assert_eq!(
        store.put("k", "v".repeat(bytes)).await,
        error(KeyValueError::ValueTooLarge { bytes })
    );
    store
        .put("k".repeat(MAX_KEY_BYTES), "v".repeat(MAX_VALUE_BYTES))
        .await?;
    let unknown = world.host.call("kv", "peek", "".into()).await;
    assert_eq!(
        unknown,
        Err(CallError::NoSuchMethod {
            method: "peek".into()
        })
    );
    Ok(())
}
