//! What an append costs here, beside what the disk itself costs: `cargo run --release -p leap-store --example append_latency -- DIRECTORY`.

use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::sync::mpsc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use leap_store::{Claim, Store, StoreOptions};

const ROUNDS: usize = 2000;
const PAYLOAD: &[u8] = &[7; 100];

#[tokio::main]
async fn main() -> Result<()> {
    let directory = std::env::args()
        .nth(1)
        .context("give a directory on the disk to measure")?;
    std::fs::create_dir_all(&directory)?;
    let store = Store::open(&directory, StoreOptions::default()).await?;
    for round in 0..3 {
        report(
            "raw write + fdatasync, prepared file",
            raw(&directory, true)?,
        );
        report(
            "raw write + fdatasync, growing file",
            raw(&directory, false)?,
        );
        let claim = store.claim(&format!("measure-{round}")).await?;
        report("append, awaited on the runtime", awaited(&claim).await?);
        let claim = store.claim(&format!("called-{round}")).await?;
        report(
            "append, called back",
            tokio::task::spawn_blocking(move || called(&claim)).await??,
        );
        let claim = store.claim(&format!("many-{round}")).await?;
        many(&claim).await?;
    }
    Ok(())
}

fn raw(directory: &str, prepared: bool) -> Result<Vec<Duration>> {
    let file = File::create(format!("{directory}/raw"))?;
    if prepared {
        file.write_all_at(&vec![0; 1 << 20], 0)?;
    }
    file.sync_all()?;
    (0..ROUNDS as u64)
        .map(|round| {
            let start = Instant::now();
            file.write_all_at(&[7; 136], round * 136)?;
            file.sync_data()?;
            Ok(start.elapsed())
        })
        .collect()
}

async fn awaited(claim: &Claim) -> Result<Vec<Duration>> {
    let mut times = Vec::new();
    for version in 1..=ROUNDS as u64 {
        let start = Instant::now();
        claim.journal.append(version, PAYLOAD.into()).await?;
        times.push(start.elapsed());
    }
    Ok(times)
}

fn called(claim: &Claim) -> Result<Vec<Duration>> {
    let (told, heard) = mpsc::channel();
    let mut times = Vec::new();
    for version in 1..=ROUNDS as u64 {
        let (told, start) = (told.clone(), Instant::now());
        claim
            .journal
            .append_then(version, PAYLOAD.into(), move |durable| {
                let _ = told.send((durable, start.elapsed()));
            });
        let (durable, time) = heard.recv()?;
        durable?;
        times.push(time);
    }
    Ok(times)
}

async fn many(claim: &Claim) -> Result<()> {
    let count = 500_000;
    let start = Instant::now();
    for version in 1..=count {
        claim
            .journal
            .append_then(version, PAYLOAD.into(), |durable| assert!(durable.is_ok()));
    }
    let queued = start.elapsed();
    claim.journal.flush().await?;
    let statistics = claim.journal.statistics();
    eprintln!(
        "{:<40} {:.2} us to queue, {:.0} appends/s, {} syncs, {} bytes each",
        "many appends at once",
        queued.as_secs_f64() * 1e6 / count as f64,
        count as f64 / start.elapsed().as_secs_f64(),
        statistics.syncs,
        statistics.bytes / statistics.records,
    );
    Ok(())
}

fn report(what: &str, mut times: Vec<Duration>) {
    times.sort();
    let at = |part: f64| times[(times.len() as f64 * part) as usize].as_secs_f64() * 1e6;
    eprintln!(
        "{what:<40} p50 {:>5.0} us  p95 {:>5.0} us  p99 {:>5.0} us",
        at(0.5),
        at(0.95),
        at(0.99)
    );
}
