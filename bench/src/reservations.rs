//! Trips booked by workflows over services in processes of their own, with speculation and without.

use std::ops::RangeInclusive;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use clap::Args;
use hdrhistogram::Histogram;
use leap::GroupCommit;
use tokio::task::JoinSet;

use crate::cluster::{Cluster, OnOff, Settings, book};
use crate::report::Report;

/// A rate counts as sustained when this part of it was booked in time.
const SUSTAINED: f64 = 0.95;

/// Storage at which the knee is looked for: of a network's disk, a quorum, an object store.
const KNEE_LATENCIES_MS: [u64; 3] = [2, 10, 50];
/// Clients that leave the processors idle at times.
const FEW_CLIENTS: usize = 4;

/// The rate at which latencies have aims, in workflows per second.
const LIGHT_LOAD: f64 = 10.0;

/// Workflows over services in processes of their own
///
/// Without options: everything that has an aim. With --services: one measurement.
#[derive(Args)]
pub(crate) struct Reservations {
    /// Number of services that each workflow calls, one after the other: a number, or a range as 1..10
    #[arg(long, value_parser = parse_range)]
    services: Option<RangeInclusive<usize>>,
    /// Workflows started per second; several, separated by commas, for a sweep
    #[arg(long, default_value = "10", value_delimiter = ',')]
    rate: Vec<f64>,
    /// Seconds of each measurement
    #[arg(long, default_value_t = 8.0)]
    seconds: f64,
    /// Instead of a rate: clients that each start the next workflow when the last one ended
    #[arg(long)]
    clients: Option<usize>,
    #[command(flatten)]
    settings: Settings,
}

/// What one measurement came to.
pub(crate) struct Measured {
    pub(crate) latency_us: Histogram<u64>,
    pub(crate) elapsed: Duration,
    pub(crate) cpu: Duration,
}

impl Measured {
    fn ms(&self, quantile: f64) -> f64 {
        self.latency_us.value_at_quantile(quantile) as f64 / 1000.0
    }

    fn per_second(&self) -> f64 {
        self.latency_us.len() as f64 / self.elapsed.as_secs_f64()
    }

    fn cpu_ms_each(&self) -> f64 {
        self.cpu.as_secs_f64() * 1000.0 / self.latency_us.len() as f64
    }
}

impl Reservations {
    pub(crate) async fn run(self) -> anyhow::Result<Report> {
        let mut report = Report::new("reservations");
        match self.services.clone() {
            Some(services) => {
                for services in services {
                    self.sweep(services, &mut report).await?;
                }
            }
            None => self.all(&mut report).await?,
        }
        Ok(report)
    }

    /// One number of services at all rates, or with clients.
    async fn sweep(&self, services: usize, report: &mut Report) -> anyhow::Result<()> {
        let cluster = Cluster::start(services, self.settings).await?;
        if let Some(clients) = self.clients {
            let measured = closed(&cluster, clients, self.duration()).await?;
            note(
                report,
                &format!("{services} services, {clients} clients: "),
                &measured,
            );
            return Ok(());
        }
        for &rate in &self.rate {
            let measured = open(&cluster, rate, self.duration()).await?;
            note(
                report,
                &format!("{services} services, {rate} workflows/s: "),
                &measured,
            );
        }
        Ok(())
    }

    async fn all(&self, report: &mut Report) -> anyhow::Result<()> {
        let ten_ms = GroupCommit::Fixed(Duration::from_millis(10));
        let (on, off) = self.both(10, ten_ms, 0).await?;
        compare(
            report,
            "10 services, group commit 10 ms",
            &on,
            &off,
            25.0,
            8.0,
        );
        let (on, off) = self.both(10, GroupCommit::Adaptive, 50).await?;
        compare(
            report,
            "10 services, storage 50 ms, adaptive",
            &on,
            &off,
            75.0,
            8.0,
        );
        let (on, off) = self.both(10, GroupCommit::Adaptive, 0).await?;
        report.at_most(
            "10 services, this disk, adaptive: on p50",
            on.ms(0.5),
            "ms",
            5.0,
        );
        compare(
            report,
            "10 services, this disk, adaptive",
            &on,
            &off,
            8.0,
            1.5,
        );
        for latency_ms in KNEE_LATENCIES_MS {
            self.knees(latency_ms, report).await?;
        }
        self.few_clients(report).await?;
        let cluster = Cluster::start(3, Settings::new(OnOff::On, GroupCommit::Adaptive, 0)).await?;
        closed(&cluster, 32, Duration::from_secs(1)).await?;
        let busy = closed(&cluster, 32, self.duration()).await?;
        report.at_least(
            "3 services, 32 clients, this disk: throughput",
            busy.per_second(),
            "workflows/s",
            3000.0,
        );
        report.at_most(
            "3 services, 32 clients: processor time each",
            busy.cpu_ms_each(),
            "ms",
            0.7,
        );
        report.note("3 services, 32 clients: p50", busy.ms(0.5), "ms");
        report.note("3 services, 32 clients: p99", busy.ms(0.99), "ms");
        Ok(())
    }

    async fn both(
        &self,
        services: usize,
        group_commit: GroupCommit,
        latency_ms: u64,
    ) -> anyhow::Result<(Measured, Measured)> {
        let mut measured = Vec::new();
        for speculation in [OnOff::On, OnOff::Off] {
            let cluster = Cluster::start(
                services,
                Settings::new(speculation, group_commit, latency_ms),
            )
            .await?;
            measured.push(open(&cluster, LIGHT_LOAD, self.duration()).await?);
        }
        let off = measured.pop().context("both were measured")?;
        let on = measured.pop().context("both were measured")?;
        Ok((on, off))
    }

    /// The highest rate that is sustained, with storage of `latency_ms`.
    async fn knees(&self, latency_ms: u64, report: &mut Report) -> anyhow::Result<()> {
        let mut knees = Vec::new();
        for speculation in [OnOff::On, OnOff::Off] {
            let settings = Settings::new(speculation, GroupCommit::Adaptive, latency_ms);
            let cluster = Cluster::start(3, settings).await?;
            let light = open(&cluster, LIGHT_LOAD, self.duration()).await?;
            let mut knee = 0.0;
            let mut rate = 50.0;
            // A moment in which the machine does something else is no knee.
            while sustains(&cluster, rate, &light).await?
                || sustains(&cluster, rate, &light).await?
            {
                knee = rate;
                rate *= 1.3;
            }
            report.note(
                format!("3 services, storage {latency_ms} ms, knee, {speculation:?}"),
                knee,
                "workflows/s",
            );
            knees.push(knee);
        }
        report.at_least(
            format!("3 services, storage {latency_ms} ms, knee on / off"),
            knees[0] / knees[1].max(1.0),
            "ratio",
            3.0,
        );
        Ok(())
    }

    /// What clients that wait for one trip before they ask for the next get done: where the processors
    /// are not the limit, throughput is latency.
    async fn few_clients(&self, report: &mut Report) -> anyhow::Result<()> {
        let mut throughput = Vec::new();
        for speculation in [OnOff::On, OnOff::Off] {
            let cluster =
                Cluster::start(3, Settings::new(speculation, GroupCommit::Adaptive, 2)).await?;
            let measured = closed(&cluster, FEW_CLIENTS, self.duration()).await?;
            let what =
                format!("3 services, storage 2 ms, {FEW_CLIENTS} clients, {speculation:?}: ");
            note(report, &what, &measured);
            throughput.push(measured.per_second());
        }
        report.note(
            format!("3 services, storage 2 ms, {FEW_CLIENTS} clients, throughput on / off"),
            throughput[0] / throughput[1],
            "ratio",
        );
        Ok(())
    }

    fn duration(&self) -> Duration {
        Duration::from_secs_f64(self.seconds)
    }
}

/// Whether as many workflows are done as are asked for, none of them much later than under `light` load.
async fn sustains(cluster: &Cluster, rate: f64, light: &Measured) -> anyhow::Result<bool> {
    const SECONDS: f64 = 3.0;
    let measured = open(cluster, rate, Duration::from_secs_f64(SECONDS)).await?;
    // The last workflow was asked for long before it was done, however light the load.
    let asked_for = measured.elapsed.as_secs_f64() - light.ms(0.95) / 1e3;
    let done_per_second = measured.latency_us.len() as f64 / asked_for;
    Ok(done_per_second >= rate * SUSTAINED && measured.ms(0.95) <= light.ms(0.95) * 5.0)
}

fn parse_range(text: &str) -> Result<RangeInclusive<usize>, String> {
    let (first, last) = text.split_once("..").unwrap_or((text, text));
    let number = |text: &str| text.trim_start_matches('=').parse::<usize>().ok();
    match (number(first), number(last)) {
        (Some(first), Some(last)) if 0 < first && first <= last => Ok(first..=last),
        _ => Err("give a number of services, or a range as 1..10".to_owned()),
    }
}

fn note(report: &mut Report, what: &str, measured: &Measured) {
    for (name, quantile) in [("p50", 0.5), ("p95", 0.95), ("p99", 0.99)] {
        report.note(format!("{what}{name}"), measured.ms(quantile), "ms");
    }
    report.note(
        format!("{what}throughput"),
        measured.per_second(),
        "workflows/s",
    );
    report.note(
        format!("{what}processor time each"),
        measured.cpu_ms_each(),
        "ms",
    );
}

fn compare(
    report: &mut Report,
    what: &str,
    on: &Measured,
    off: &Measured,
    p95_aim: f64,
    ratio_aim: f64,
) {
    note(report, &format!("{what}: on "), on);
    note(report, &format!("{what}: off "), off);
    report.at_most(format!("{what}: on p95"), on.ms(0.95), "ms", p95_aim);
    report.at_least(
        format!("{what}: p95 off / on"),
        off.ms(0.95) / on.ms(0.95),
        "ratio",
        ratio_aim,
    );
}

/// Starts workflows at a fixed rate, whether earlier ones have ended or not. Latency counts from the
/// moment when a workflow was due.
pub(crate) async fn open(
    cluster: &Cluster,
    rate: f64,
    duration: Duration,
) -> anyhow::Result<Measured> {
    let client = cluster.client().await?;
    let before = cluster.cpu();
    let started = tokio::time::Instant::now();
    let mut workflows = JoinSet::new();
    let run = unique();
    for number in 0..(duration.as_secs_f64() * rate) as u64 {
        let due = started + Duration::from_secs_f64(number as f64 / rate);
        tokio::time::sleep_until(due).await;
        let client = client.clone();
        workflows.spawn(async move {
            let id = format!("{run}-{number}");
            book(&client, &id).await.map(|()| due.elapsed())
        });
    }
    let mut latency_us = Histogram::new(3)?;
    while let Some(latency) = workflows.join_next().await {
        latency_us.record(u64::try_from(latency??.as_micros())?)?;
    }
    Ok(Measured {
        latency_us,
        elapsed: started.elapsed(),
        cpu: cluster.cpu().saturating_sub(before),
    })
}

/// Keeps `clients` workflows under way.
pub(crate) async fn closed(
    cluster: &Cluster,
    clients: usize,
    duration: Duration,
) -> anyhow::Result<Measured> {
    let (before, started, run) = (cluster.cpu(), Instant::now(), unique());
    let next = Arc::new(AtomicU64::new(0));
    let client = cluster.client().await?;
    let mut tasks = JoinSet::new();
    for _ in 0..clients {
        let (client, next) = (client.clone(), next.clone());
        tasks.spawn(async move {
            let mut latency_us = Histogram::<u64>::new(3)?;
            while started.elapsed() < duration {
                let id = format!("{run}-{}", next.fetch_add(1, Ordering::Relaxed));
                let begun = Instant::now();
                book(&client, &id).await?;
                latency_us.record(u64::try_from(begun.elapsed().as_micros())?)?;
            }
            anyhow::Ok(latency_us)
        });
    }
    let mut latency_us = Histogram::new(3)?;
    while let Some(latencies) = tasks.join_next().await {
        latency_us.add(latencies??)?;
    }
    Ok(Measured {
        latency_us,
        elapsed: started.elapsed(),
        cpu: cluster.cpu().saturating_sub(before),
    })
}

/// Makes the workflow ids of one measurement its own.
fn unique() -> u64 {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    NEXT.fetch_add(1, Ordering::Relaxed)
}
