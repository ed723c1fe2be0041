//! What Leap costs a key-value service over gRPC: the same service with and without it, in one run.

mod client;
mod server;

use std::time::Duration;

use clap::{Args, ValueEnum};

pub(crate) use self::server::OverheadServer;
use self::{client::Load, server::Server};
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
    _server: Server,
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
        let (throughput, p50) = plain.medians();
        report.note("plain: throughput", throughput, "requests/s");
        report.note("plain: p50", p50, "us");
        for (name, candidate, aim) in [
            ("manual headers", manual, 5.0),
            ("tower layer", tower, 10.0),
        ] {
            let (with, with_p50) = candidate.medians();
            report.note(format!("{name}: throughput"), with, "requests/s");
            report.note(format!("{name}: p50"), with_p50, "us");
            let lost = 100.0 * (1.0 - with / throughput);
            report.at_most(format!("{name}: throughput lost"), lost, "%", aim);
            let slower = 100.0 * (with_p50 / p50 - 1.0);
            report.at_most(format!("{name}: p50 longer"), slower, "%", aim);
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
            _server: server,
        })
    }

    async fn measure(&mut self, each: Duration, counts: bool) -> anyhow::Result<()> {
        let many = self.load.run(MANY, each).await?;
        let few = self.load.run(FEW, each).await?;
        if counts {
            self.throughput.push(many.per_second);
            self.p50_us.push(few.p50_us);
        }
        Ok(())
    }

    /// Requests per second, and microseconds.
    fn medians(&mut self) -> (f64, f64) {
        (median(&mut self.throughput), median(&mut self.p50_us))
    }
}

fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}
