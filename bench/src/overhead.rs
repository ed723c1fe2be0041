//! What Leap costs a key-value service over gRPC: the same service with and without it, in one run.

mod client;
mod server;

use std::time::Duration;

use clap::{Args, ValueEnum};

pub(crate) use self::server::OverheadServer;
use self::{client::Load, server::Server};
use crate::cluster::cpu_of;
use crate::report::Report;

#[allow(
    clippy::all,
    clippy::allow_attributes_without_reason,
    unreachable_pub,
    rust_2018_idioms,
    reason = "generated from kv.proto"
)]
#[rustfmt::skip]
mod proto {
    include!("overhead/generated/kv.v1.rs");
}

/// Requests under way when throughput is measured.
const MANY: usize = 64;

/// Requests under way when latency is measured.
const FEW: usize = 4;

/// How the service is built. All three append every change to a journal on disk, synced every 10 ms, and
/// answer before it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Variant {
    /// tonic and a map: after a crash, callers have seen what is lost
    Plain,
    /// The handlers decode, consume and send headers themselves
    Manual,
    /// The tower layers do
    Tower,
}

/// A key-value service over gRPC with and without Leap
#[derive(Args)]
pub(crate) struct Overhead {
    /// How often each variant is measured; rounds are interleaved, and medians compared
    #[arg(long, default_value_t = 7)]
    rounds: usize,
    /// How long each variant is measured in a round, in milliseconds
    #[arg(long, default_value_t = 700)]
    each_ms: u64,
}

/// One variant, and what was measured of it in every round.
struct Candidate {
    load: Load,
    throughput: Vec<f64>,
    p50_us: Vec<f64>,
    /// Of client and service, for each request under full load.
    processor_us: Vec<f64>,
    server: Server,
}

/// What the rounds of one variant came to.
struct Medians {
    /// Requests per second.
    throughput: f64,
    p50_us: f64,
    processor_us: f64,
}

impl Medians {
    fn note(&self, name: &str, report: &mut Report) {
        report.note(format!("{name}: throughput"), self.throughput, "requests/s");
        report.note(format!("{name}: p50"), self.p50_us, "us");
        report.note(
            format!("{name}: processor time each, client and service"),
            self.processor_us,
            "us",
        );
    }
}

impl Overhead {
    pub(crate) async fn run(self) -> anyhow::Result<Report> {
        let each = Duration::from_millis(self.each_ms);
        let mut candidates = Vec::new();
        for variant in [Variant::Plain, Variant::Manual, Variant::Tower] {
            candidates.push(Candidate::start(variant).await?);
        }
        // The first round warms up.
        for round in 0..=self.rounds {
            for candidate in &mut candidates {
                candidate.measure(each, round > 0).await?;
            }
        }
        let [plain, manual, tower] = &mut candidates[..] else {
            unreachable!("three were started")
        };
        let mut report = Report::new("overhead");
        let without = plain.medians();
        without.note("plain", &mut report);
        for (name, candidate, aim) in [
            ("manual headers", manual, 5.0),
            ("tower layer", tower, 10.0),
        ] {
            let with = candidate.medians();
            with.note(name, &mut report);
            let lost = 100.0 * (1.0 - with.throughput / without.throughput);
            report.at_most(format!("{name}: throughput lost"), lost, "%", aim);
            let slower = 100.0 * (with.p50_us / without.p50_us - 1.0);
            report.at_most(format!("{name}: p50 longer"), slower, "%", aim);
            let dearer = 100.0 * (with.processor_us / without.processor_us - 1.0);
            report.note(format!("{name}: more processor time"), dearer, "%");
        }
        Ok(report)
    }
}

impl Candidate {
    async fn start(variant: Variant) -> anyhow::Result<Self> {
        let server = Server::start(variant).await?;
        let load = Load::connect(variant, &server).await?;
        Ok(Self {
            load,
            throughput: Vec::new(),
            p50_us: Vec::new(),
            processor_us: Vec::new(),
            server,
        })
    }

    async fn measure(&mut self, each: Duration, counts: bool) -> anyhow::Result<()> {
        let before = self.processor_time();
        let many = self.load.run(MANY, each).await?;
        let used = self.processor_time().saturating_sub(before);
        let few = self.load.run(FEW, each).await?;
        if counts {
            self.throughput.push(many.per_second);
            self.processor_us
                .push(used.as_secs_f64() * 1e6 / many.requests as f64);
            self.p50_us.push(few.p50_us);
        }
        Ok(())
    }

    fn processor_time(&self) -> Duration {
        let service = self.server.process_id().map(cpu_of).unwrap_or_default();
        service + cpu_of(std::process::id())
    }

    fn medians(&mut self) -> Medians {
        Medians {
            throughput: median(&mut self.throughput),
            p50_us: median(&mut self.p50_us),
            processor_us: median(&mut self.processor_us),
        }
    }
}

fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}
