//! What the runtime costs per operation, with a version persisted every 10 ms in the background.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use clap::Args;
use leap::{
    ActionContext, GroupCommit, Header, Host, Incarnation, Object, ObjectId, ObjectOptions,
    PersistDone, Speculation, StateError, StateObject, Store, StoreOptions, StoredVersions,
    Version, VersionMetadata,
};
use leap_store::Journal;

use crate::report::Report;

/// Operations between two looks at the clock.
const CHUNK: u64 = 1024;

/// Actions, messages and sthreads inside one process
#[derive(Args)]
pub(crate) struct Primitives {
    /// How long each operation is measured, in milliseconds
    #[arg(long, default_value_t = 1500)]
    each_ms: u64,
}

impl Primitives {
    pub(crate) fn run(self) -> anyhow::Result<Report> {
        let runtime = tokio::runtime::Runtime::new()?;
        let directory = tempfile::tempdir()?;
        let bench = runtime.block_on(Bench::start(
            directory.path(),
            Duration::from_millis(self.each_ms),
        ))?;
        let mut report = Report::new("primitives");
        let cores = std::thread::available_parallelism()?.get();
        let operations: [(&str, Operation, f64); 3] = [
            ("local action", Bench::action, 20e6),
            ("send-receive", Bench::send_receive, 8e6),
            ("detach-merge", Bench::detach_merge, 4e6),
        ];
        for (name, operation, aim) in operations {
            let one = bench.measure(1, operation);
            report.at_least(format!("{name}, one core"), one, "operations/s", aim);
            let all = bench.measure(cores, operation);
            report.note(format!("{name}, {cores} cores"), all, "operations/s");
        }
        report.note("versions persisted meanwhile", bench.versions(), "versions");
        Ok(report)
    }
}

type Operation = fn(&Bench);

struct Bench {
    runtime: tokio::runtime::Handle,
    a: Object<Cell>,
    b: Object<Cell>,
    each: Duration,
}

impl Bench {
    async fn start(directory: &std::path::Path, each: Duration) -> anyhow::Result<Self> {
        let store = Store::open(&directory.display().to_string(), StoreOptions::default()).await?;
        let host = Host::builder().store(store.clone()).start().await?;
        let options = ObjectOptions {
            speculation: Speculation::On,
            group_commit: GroupCommit::Fixed(Duration::from_millis(10)),
        };
        let a = host.add_object("a", Cell::open(&store, "a").await?, options)?;
        let b = host.add_object("b", Cell::open(&store, "b").await?, options)?;
        a.ready().await?;
        b.ready().await?;
        // The host lives as long as the benchmark.
        std::mem::forget(host);
        Ok(Self {
            runtime: tokio::runtime::Handle::current(),
            a,
            b,
            each,
        })
    }

    /// Operations per second of `threads` threads together.
    fn measure(&self, threads: usize, operation: Operation) -> f64 {
        let started = Instant::now();
        let counts: Vec<u64> = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..threads)
                .map(|_| scope.spawn(|| self.repeat(started, operation)))
                .collect();
            threads
                .into_iter()
                .map(|thread| thread.join().expect("the operation does not panic"))
                .collect()
        });
        counts.iter().sum::<u64>() as f64 / started.elapsed().as_secs_f64()
    }

    fn repeat(&self, started: Instant, operation: Operation) -> u64 {
        let mut count = 0;
        while started.elapsed() < self.each {
            (0..CHUNK).for_each(|_| operation(self));
            count += CHUNK;
        }
        count
    }

    fn action(&self) {
        self.a
            .try_action(|cell, _| cell.bump())
            .expect("nothing fails here");
    }

    fn send_receive(&self) {
        let header = self.a.try_action(|cell, context| {
            cell.bump();
            context.header()
        });
        self.receive(&header.expect("nothing fails here"));
    }

    fn detach_merge(&self) {
        let sthread = self.a.try_action(|cell, context| {
            cell.bump();
            context.detach()
        });
        let header = sthread
            .expect("nothing fails here")
            .header()
            .expect("nothing is rolled back");
        self.receive(&header);
    }

    fn receive(&self, header: &Header) {
        if self.b.try_receive(header, |cell, _| cell.bump()).is_err() {
            let received = self
                .runtime
                .block_on(self.b.receive(header, |cell, _| cell.bump()));
            received.expect("nothing is rolled back");
        }
    }

    fn versions(&self) -> f64 {
        (self.a.state().persisted.load(Ordering::Relaxed)
            + self.b.state().persisted.load(Ordering::Relaxed)) as f64
    }
}

/// The smallest state object: a number.
struct Cell {
    value: AtomicU64,
    persisted: AtomicU64,
    journal: Journal,
}

impl Cell {
    async fn open(store: &Store, name: &str) -> anyhow::Result<Self> {
        let journal = store.claim(name).await?.journal;
        Ok(Self {
            value: AtomicU64::new(0),
            persisted: AtomicU64::new(0),
            journal,
        })
    }

    fn bump(&self) {
        self.value.fetch_add(1, Ordering::Relaxed);
    }
}

impl StateObject for Cell {
    fn incarnation(&self) -> Incarnation {
        Incarnation(self.journal.incarnation())
    }

    fn versions(&self) -> StoredVersions {
        StoredVersions::default()
    }

    fn persist(&self, metadata: VersionMetadata, done: PersistDone) {
        self.persisted.fetch_add(1, Ordering::Relaxed);
        let mut record = self.value.load(Ordering::Relaxed).to_le_bytes().to_vec();
        record.extend(metadata.encode());
        let appended = move |result: Result<(), leap_store::JournalError>| {
            done.done(result.map_err(|error| StateError(error.to_string())));
        };
        self.journal
            .append_then(metadata.version.0, record.into(), appended);
    }

    async fn restore(&self, _version: Version) -> Result<(), StateError> {
        Ok(())
    }

    fn prune(&self, _version: Version) {}

    fn receive(&self, _action: &ActionContext<'_>, _from: ObjectId, _payload: Bytes) {}
}
