//! The log: dense offsets over crashes, bounded storage, waiting.

use anyhow::Result;
use leap::ObjectOptions;
use leap_services::Payload;
use leap_services::log::{Log, LogCallError, LogClient, LogError, MAX_APPEND_BYTES};

use crate::world::{World, without_speculation};

fn entries(range: std::ops::Range<u64>) -> Vec<Payload> {
    range.map(|number| number.to_string().into()).collect()
}

#[tokio::test(start_paused = true)]
async fn what_was_acknowledged_keeps_its_offset_over_crashes() -> Result<()> {
    offsets_stay_over_crashes(ObjectOptions::default()).await
}

#[tokio::test(start_paused = true)]
async fn without_speculation_it_does_so_too() -> Result<()> {
    offsets_stay_over_crashes(without_speculation()).await
}

async fn offsets_stay_over_crashes(options: ObjectOptions) -> Result<()> {
    let mut world = World::new().await?;
    for round in 0..5 {
        world.host.add_with::<Log>("log", options).await?;
        let log = LogClient::new(world.host.clone(), "log");
        assert_eq!(log.tail().await?, round * 10);
        assert_eq!(
            log.append(entries(round * 10..round * 10 + 4)).await?,
            round * 10
        );
        assert_eq!(
            log.append(entries(round * 10 + 4..round * 10 + 10)).await?,
            round * 10 + 4
        );
        world.crash().await?;
    }
    world.host.add_with::<Log>("log", options).await?;
    let log = LogClient::new(&world.host, "log");
    assert_eq!(log.read(0, 1000).await?, entries(0..50));
    assert_eq!(log.read(48, 1).await?, entries(48..49));
    assert_eq!(log.read(50, 10).await?, []);
    assert_eq!(log.read(1000, 10).await?, []);
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn what_is_trimmed_is_gone_and_offsets_stay() -> Result<()> {
    let mut world = World::new().await?;
    world.host.add::<Log>("log").await?;
    let log = LogClient::new(world.host.clone(), "log");
    log.append(entries(0..10)).await?;
    log.trim(4).await?;
    log.trim(2).await?;
    assert_eq!(
        log.read(3, 10).await,
        Err(LogCallError::Refused(LogError::Trimmed { first: 4 }))
    );
    world.crash().await?;
    world.host.add::<Log>("log").await?;
    let log = LogClient::new(world.host.clone(), "log");
    assert_eq!(log.read(4, 10).await?, entries(4..10));
    log.trim(1000).await?;
    assert_eq!(log.append(entries(10..11)).await?, 10);
    assert_eq!(log.read(10, 10).await?, entries(10..11));
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn trimming_bounds_storage() -> Result<()> {
    let world = World::new().await?;
    world.host.add::<Log>("log").await?;
    let log = LogClient::new(&world.host, "log");
    let batch: Vec<Payload> = (0..100).map(|_| "x".repeat(1000).into()).collect();
    for _ in 0..100 {
        let first = log.append(batch.clone()).await?;
        log.trim(first).await?;
    }
    let stored = world.stored_bytes("log").await?;
    assert!(stored < 4 << 20, "{stored} of 10,000,000 bytes are stored");
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn a_reader_waits_for_the_next_entry() -> Result<()> {
    let world = World::new().await?;
    world.host.add::<Log>("log").await?;
    let log = LogClient::new(&world.host, "log");
    let (read, appended) = futures::join!(log.wait(2, 10), async {
        log.append(entries(0..2)).await?;
        log.append(entries(2..5)).await
    });
    assert_eq!(appended?, 2);
    assert_eq!(read?, entries(2..5));
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn an_append_that_is_too_large_is_refused() -> Result<()> {
    let world = World::new().await?;
    world.host.add::<Log>("log").await?;
    let log = LogClient::new(&world.host, "log");
    let bytes = MAX_APPEND_BYTES + 1;
    let refused = log.append(vec!["x".repeat(bytes).into()]).await;
    assert_eq!(
        refused,
        Err(LogCallError::Refused(LogError::TooLarge { bytes }))
    );
    assert_eq!(log.tail().await?, 0);
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn waiting_with_an_idempotency_key_seals_nothing() -> Result<()> {
    let world = World::new().await?;
    let log = world.host.add::<Log>("log").await?;
    LogClient::new(&world.host, "log")
        .append(entries(0..2))
        .await?;
    let sealed = log.state().statistics().records;
    let waited = leap::Call::call(&world.host, "log", "wait", "[0, 10]".into(), Some("one"));
    assert_eq!(waited.await?, r#"{"Ok":["0","1"]}"#);
    tokio::time::sleep(std::time::Duration::from_secs(1)).await;
    assert_eq!(log.state().statistics().records, sealed);
    Ok(())
}
