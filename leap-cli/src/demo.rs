//! `leap demo`: the travel application under fire, with speculation and without.

mod cluster;
pub(crate) mod service;

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, anyhow, ensure};
use clap::Args;
use hdrhistogram::Histogram;
use indicatif::{ProgressBar, ProgressStyle};
use leap::{Client, GroupCommit};
use serde::Serialize;
use tokio::task::JoinSet;
use travel::{Audit, Booking, Trip};

use crate::ending::Ending;
use crate::options::{OnOff, Persistence};
use cluster::Cluster;

/// How long an unanswered booking is asked for again before the demo gives up.
const PATIENCE: Duration = Duration::from_secs(20);

/// Book trips while services are killed, with speculation and without, and check the result.
///
/// A node in this process and three services in processes of their own (hotel, flight, car) book
/// trips; a workflow calls the three in turn. Every so often one of the services is killed as by
/// `kill -9` and started again. A client remembers every booking that was acknowledged to it and
/// compares at the end with what the services hold.
#[derive(Args)]
pub(crate) struct Demo {
    /// Seconds of booking, for each of the two modes
    #[arg(long, default_value_t = 12)]
    seconds: u64,
    /// Clients that book at the same time
    #[arg(long, default_value_t = 4)]
    clients: usize,
    /// Milliseconds between two kills
    #[arg(long, default_value_t = 2500)]
    kill_every_ms: u64,
    /// Milliseconds added to every durable write, to stand for replicated storage; 0 is this disk alone
    #[arg(long, default_value_t = 10)]
    storage_latency_ms: u64,
    /// Keep the data in this directory instead of a temporary one
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// Print one JSON object instead of progress and table
    #[arg(long)]
    pub(crate) json: bool,
}

/// What one mode came to.
struct Outcome {
    latency_us: Histogram<u64>,
    kills: usize,
    rollbacks: u64,
    audit: Audit,
}

/// What is compared, each in a directory of that name.
const MODES: [&str; 2] = ["speculative", "durable"];

#[derive(Serialize)]
struct Latency {
    p50_ms: f64,
    p95_ms: f64,
    p99_ms: f64,
}

/// What `--json` prints.
#[derive(Serialize)]
struct Summary {
    trips_booked: u64,
    kills: usize,
    rollbacks: u64,
    lost: u64,
    duplicated: u64,
    seats_conserved: bool,
    speculative: Latency,
    durable: Latency,
    storage_latency_ms: u64,
}

impl Demo {
    pub(crate) async fn run(self) -> anyhow::Result<()> {
        let temporary = tempfile::tempdir()?;
        let mut ending = Ending::listen()?;
        let directory = self
            .data
            .clone()
            .unwrap_or_else(|| temporary.path().to_owned());
        for mode in MODES {
            let used = directory.join(mode);
            ensure!(
                !used.exists(),
                "{} is of an earlier demo, whose trips would be counted again: name another directory",
                used.display()
            );
        }
        if !self.json {
            crate::say(format_args!(
                "{} clients book trips; a service is killed every {} ms; every durable write takes {} ms more",
                self.clients, self.kill_every_ms, self.storage_latency_ms
            ))?;
        }
        let [speculative, durable] = MODES.map(|mode| directory.join(mode));
        let speculative = self.book(speculative, OnOff::On, &mut ending).await?;
        let durable = self.book(durable, OnOff::Off, &mut ending).await?;
        let summary = Summary::of(&speculative, &durable, self.storage_latency_ms);
        if self.json {
            crate::print(&summary)?;
        } else {
            crate::say(format_args!("{}", table(&speculative, &durable)))?;
        }
        for (mode, outcome) in MODES.into_iter().zip([&speculative, &durable]) {
            ensure!(
                outcome.audit.is_clean(),
                "the {mode} run broke its promise: {:?}",
                outcome.audit
            );
        }
        Ok(())
    }

    async fn book(
        &self,
        directory: PathBuf,
        speculation: OnOff,
        ending: &mut Ending,
    ) -> anyhow::Result<Outcome> {
        let persistence = Persistence {
            speculation,
            group_commit: GroupCommit::Adaptive,
            storage_latency_ms: self.storage_latency_ms,
        };
        let mut cluster = Cluster::start(&directory, &persistence).await?;
        let outcome = tokio::select! {
            outcome = self.book_on(&mut cluster, speculation) => outcome,
            () = ending.told() => Err(anyhow!("interrupted; nothing was checked")),
        };
        // Nothing may write any more when the directory goes.
        cluster.stop().await?;
        outcome
    }

    async fn book_on(&self, cluster: &mut Cluster, speculation: OnOff) -> anyhow::Result<Outcome> {
        let travellers = Travellers::start(cluster, self.clients).await?;
        let progress = self.progress(speculation);
        let ends = Instant::now() + Duration::from_secs(self.seconds);
        let mut next_kill = Instant::now() + Duration::from_millis(self.kill_every_ms);
        while Instant::now() < ends {
            tokio::time::sleep(Duration::from_millis(50)).await;
            if Instant::now() >= next_kill {
                let killed = cluster.kill_one().await?;
                next_kill += Duration::from_millis(self.kill_every_ms);
                progress.set_message(format!("killed {killed}"));
            }
            let booked = travellers.booked.load(Ordering::Relaxed);
            progress.set_position(
                u64::try_from(ends.saturating_duration_since(Instant::now()).as_millis())
                    .unwrap_or(0),
            );
            progress.set_prefix(booked.to_string());
        }
        progress.finish_and_clear();
        let (bookings, latency_us) = travellers.finish().await?;
        let audit = travel::audit(cluster.client().await?, travel::SERVICES, &bookings).await?;
        Ok(Outcome {
            latency_us,
            kills: cluster.kills(),
            rollbacks: cluster.rollbacks().await,
            audit,
        })
    }

    fn progress(&self, speculation: OnOff) -> ProgressBar {
        if self.json {
            return ProgressBar::hidden();
        }
        let mode = match speculation {
            OnOff::On => "speculating      ",
            OnOff::Off => "waiting for disk ",
        };
        let style = ProgressStyle::with_template(&format!(
            "{mode} {{prefix:>6}} trips {{wide_bar}} {{msg}}"
        ));
        let progress = ProgressBar::new(self.seconds * 1000);
        match style {
            Ok(style) => progress.with_style(style),
            Err(_) => progress,
        }
    }
}

/// Clients that book one trip after the other and remember what they were told.
struct Travellers {
    first: Booking,
    booked: Arc<AtomicU64>,
    stop: Arc<AtomicBool>,
    tasks: JoinSet<anyhow::Result<(Vec<Booking>, Histogram<u64>)>>,
}

impl Travellers {
    async fn start(cluster: &Cluster, clients: usize) -> anyhow::Result<Self> {
        let (booked, stop) = (
            Arc::new(AtomicU64::new(0)),
            Arc::new(AtomicBool::new(false)),
        );
        let mut tasks = JoinSet::new();
        // The first trip shows that everything is there. It is remembered, but not measured.
        let first = book_until_told(&cluster.client().await?, "trip-0").await?;
        for number in 1..=clients {
            let (client, booked, stop) = (cluster.client().await?, booked.clone(), stop.clone());
            tasks.spawn(async move {
                let mut bookings = Vec::new();
                let mut latency_us = Histogram::new(3)?;
                while !stop.load(Ordering::Relaxed) {
                    let id = format!("trip-{number}-{}", bookings.len());
                    let started = Instant::now();
                    bookings.push(book_until_told(&client, &id).await?);
                    latency_us.record(u64::try_from(started.elapsed().as_micros())?)?;
                    booked.fetch_add(1, Ordering::Relaxed);
                }
                Ok((bookings, latency_us))
            });
        }
        Ok(Self {
            first,
            booked,
            stop,
            tasks,
        })
    }

    async fn finish(mut self) -> anyhow::Result<(Vec<Booking>, Histogram<u64>)> {
        self.stop.store(true, Ordering::Relaxed);
        let (mut bookings, mut latency_us) = (vec![self.first], Histogram::new(3)?);
        while let Some(task) = self.tasks.join_next().await {
            let (more, latencies) = task.context("a client panicked")??;
            bookings.extend(more);
            latency_us.add(latencies)?;
        }
        Ok((bookings, latency_us))
    }
}

/// Asks for the trip until somebody says that it is booked; asking again is harmless.
async fn book_until_told(client: &Client, id: &str) -> anyhow::Result<Booking> {
    let trip = Trip {
        traveller: id.to_owned(),
    };
    let gives_up = Instant::now() + PATIENCE;
    loop {
        match travel::book(client, id, &trip).await {
            Ok(booking) => return Ok(booking),
            Err(error) if Instant::now() < gives_up => {
                tracing::debug!(%error, id, "asking again");
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            Err(error) => {
                return Err(error)
                    .with_context(|| format!("{id} could not be booked within {PATIENCE:?}"));
            }
        }
    }
}

impl Latency {
    fn of(latency_us: &Histogram<u64>) -> Self {
        let at = |quantile| latency_us.value_at_quantile(quantile) as f64 / 1000.0;
        Self {
            p50_ms: at(0.50),
            p95_ms: at(0.95),
            p99_ms: at(0.99),
        }
    }
}

impl Summary {
    fn of(speculative: &Outcome, durable: &Outcome, storage_latency_ms: u64) -> Self {
        let both = [speculative, durable];
        Self {
            trips_booked: both.iter().map(|outcome| outcome.latency_us.len()).sum(),
            kills: both.iter().map(|outcome| outcome.kills).sum(),
            rollbacks: both.iter().map(|outcome| outcome.rollbacks).sum(),
            lost: both.iter().map(|outcome| outcome.audit.lost).sum(),
            duplicated: both.iter().map(|outcome| outcome.audit.duplicated).sum(),
            seats_conserved: both.iter().all(|outcome| outcome.audit.seats_conserved),
            speculative: Latency::of(&speculative.latency_us),
            durable: Latency::of(&durable.latency_us),
            storage_latency_ms,
        }
    }
}

fn table(speculative: &Outcome, durable: &Outcome) -> String {
    let mut lines = vec![format!(
        "\n{:<34} {:>14} {:>18}",
        "", "speculative", "speculation off"
    )];
    let mut row = |name: &str, value: &dyn Fn(&Outcome) -> String| {
        lines.push(format!(
            "{name:<34} {:>14} {:>18}",
            value(speculative),
            value(durable)
        ));
    };
    row("trips booked", &|outcome| {
        outcome.latency_us.len().to_string()
    });
    for (name, quantile) in [
        ("latency p50", 0.50),
        ("latency p95", 0.95),
        ("latency p99", 0.99),
    ] {
        row(name, &|outcome| {
            format!(
                "{:.1} ms",
                outcome.latency_us.value_at_quantile(quantile) as f64 / 1000.0
            )
        });
    }
    row("services killed", &|outcome| outcome.kills.to_string());
    row("rollbacks", &|outcome| outcome.rollbacks.to_string());
    row("acknowledged bookings lost", &|outcome| {
        outcome.audit.lost.to_string()
    });
    row("done twice", &|outcome| {
        outcome.audit.duplicated.to_string()
    });
    row("half done", &|outcome| outcome.audit.incomplete.to_string());
    row("seats conserved", &|outcome| {
        if outcome.audit.seats_conserved {
            "yes"
        } else {
            "NO"
        }
        .to_owned()
    });
    lines.join("\n")
}
