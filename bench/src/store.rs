//! Journal appends against the raw disk, in one run.

use std::fs::File;
use std::io::Write as _;
use std::path::Path;
use std::time::{Duration, Instant};

use clap::Args;
use leap_store::{Journal, Store, StoreOptions};

use crate::report::Report;

/// What one committed operation of a service brings to the journal, in bytes.
const RECORD: usize = 128;

/// Journal appends against the raw disk
#[derive(Args)]
pub(crate) struct StoreBench {
    /// Where to write; a directory on the disk to be measured
    #[arg(long, default_value = ".")]
    directory: std::path::PathBuf,
    /// How long each part is measured, in milliseconds
    #[arg(long, default_value_t = 2000)]
    each_ms: u64,
}

impl StoreBench {
    pub(crate) fn run(self) -> anyhow::Result<Report> {
        let directory = tempfile::tempdir_in(&self.directory)?;
        let each = Duration::from_millis(self.each_ms);
        let raw = raw_syncs(directory.path(), each)?;
        let runtime = tokio::runtime::Runtime::new()?;
        let (alone, together, bytes) = runtime.block_on(async {
            let store = Store::open(
                &directory.path().display().to_string(),
                StoreOptions::default(),
            )
            .await?;
            let alone = one_at_a_time(&store.claim("alone").await?.journal, each).await?;
            let (together, bytes) =
                as_fast_as_possible(&store.claim("together").await?.journal, each).await?;
            anyhow::Ok((alone, together, bytes))
        })?;
        let mut report = Report::new("store");
        report.note("raw write + fdatasync loop", raw, "syncs/s");
        report.note("append and wait, one at a time", alone, "appends/s");
        report.at_least("append and wait / raw", alone / raw, "ratio", 0.5);
        report.note("append without waiting", together, "appends/s");
        report.note(
            "bytes written per 128-byte record under load",
            bytes,
            "bytes",
        );
        report.at_most(
            "bytes written / bytes given",
            bytes / RECORD as f64,
            "ratio",
            1.25,
        );
        Ok(report)
    }
}

fn raw_syncs(directory: &Path, each: Duration) -> anyhow::Result<f64> {
    let mut file = File::create(directory.join("raw"))?;
    let (started, mut count) = (Instant::now(), 0_u64);
    while started.elapsed() < each {
        file.write_all(&[7; RECORD])?;
        file.sync_data()?;
        count += 1;
    }
    Ok(count as f64 / started.elapsed().as_secs_f64())
}

async fn one_at_a_time(journal: &Journal, each: Duration) -> anyhow::Result<f64> {
    let (started, mut count) = (Instant::now(), 0_u64);
    while started.elapsed() < each {
        count += 1;
        journal.append(count, vec![7; RECORD].into()).await?;
    }
    Ok(count as f64 / started.elapsed().as_secs_f64())
}

/// Appends per second, and bytes written per append.
async fn as_fast_as_possible(journal: &Journal, each: Duration) -> anyhow::Result<(f64, f64)> {
    let before = journal.statistics();
    let (started, mut count) = (Instant::now(), 0_u64);
    while started.elapsed() < each {
        let mut last = None;
        for _ in 0..1000 {
            count += 1;
            last = Some(journal.append(count, vec![7; RECORD].into()));
        }
        if let Some(last) = last {
            last.await?;
        }
    }
    let rate = count as f64 / started.elapsed().as_secs_f64();
    let after = journal.statistics();
    Ok((
        rate,
        (after.bytes - before.bytes) as f64 / (after.records - before.records) as f64,
    ))
}
