//! How long the coordinator takes from a version's submission to its commit.
//!
//! Simulated participants submit one version each per round, spread over the round, each depending
//! on a random choice of the others' versions of that round. Messages are decoded as they would be
//! from the network. A version's latency counts from the moment when the last version that it
//! depends on, directly or not, was submitted: before that, nothing could commit it.
//!
//! Everything is measured twice: as it usually is, and beside a straggler, whose oldest version waits
//! while all others go on.

use std::time::{Duration, Instant};

use clap::Args;
use hdrhistogram::Histogram;
use leap_core::message::Fragment;
use leap_core::{
    Coordinator, CoordinatorEffect, CoordinatorInput, DependencySet, Incarnation, ObjectId,
    ToCoordinator, ToParticipant, Version, WorldLine,
};

use crate::report::Report;

const INCARNATION: Incarnation = Incarnation(1);

/// How fast the coordinator finds that versions are inside the boundary
#[derive(Args)]
pub(crate) struct CoordinatorBench {
    /// Numbers of participants
    #[arg(long, value_delimiter = ',', default_value = "8,64,512,4096")]
    participants: Vec<u64>,
    /// Probabilities that a version depends on another participant's version of the round
    #[arg(long, value_delimiter = ',', default_value = "0,0.1,1")]
    probabilities: Vec<f64>,
    /// How long each combination is measured at least, in milliseconds
    #[arg(long, default_value_t = 1000)]
    each_ms: u64,
}

impl CoordinatorBench {
    pub(crate) fn run(self) -> Report {
        let mut report = Report::new("coordinator");
        for straggler in [false, true] {
            for &probability in &self.probabilities {
                let mut smaller: Option<Measured> = None;
                for &participants in &self.participants {
                    let measured = Cluster::new(participants, straggler)
                        .measure(probability, Duration::from_millis(self.each_ms));
                    let apart = if straggler { ", a straggler" } else { "" };
                    let what = format!("{participants} participants, p = {probability}{apart}");
                    measured.tell(&mut report, &what, participants);
                    if let Some(smaller) = smaller.filter(|_| probability > 0.0) {
                        let growth = measured.growth(&smaller);
                        report.at_most(
                            format!("{what}: median's growth / edges'"),
                            growth,
                            "",
                            1.0,
                        );
                    }
                    smaller = Some(measured);
                }
            }
        }
        report
    }
}

struct Measured {
    latency_ns: Histogram<u64>,
    /// Time the coordinator worked.
    busy: Duration,
    /// Edges submitted, the implied one to the previous version included.
    edges: u64,
    rounds: u64,
}

impl Measured {
    fn median_ms(&self) -> f64 {
        self.latency_ns.value_at_quantile(0.5) as f64 / 1e6
    }

    fn tell(&self, report: &mut Report, what: &str, participants: u64) {
        let p95_ms = self.latency_ns.value_at_quantile(0.95) as f64 / 1e6;
        for (name, latency_ms) in [("median", self.median_ms()), ("p95", p95_ms)] {
            match participants {
                ..=512 => report.at_most(format!("{what}: {name}"), latency_ms, "ms", 5.0),
                _ => report.note(format!("{what}: {name}"), latency_ms, "ms"),
            }
        }
        let per_edge = self.busy.as_nanos() as f64 / self.edges.max(1) as f64;
        report.note(format!("{what}: coordinator time per edge"), per_edge, "ns");
    }

    /// How much longer its median is than that of a smaller cluster, per edge of a round.
    fn growth(&self, smaller: &Self) -> f64 {
        let per_edge =
            |measured: &Self| measured.median_ms() * measured.rounds as f64 / measured.edges as f64;
        per_edge(self) / per_edge(smaller)
    }
}

struct Cluster {
    coordinator: Coordinator,
    participants: u64,
    random: u64,
}

impl Cluster {
    fn new(participants: u64, straggler: bool) -> Self {
        let mut cluster = Self {
            coordinator: Coordinator::recover(1, None, []),
            participants,
            random: 0x9e37_79b9_7f4a_7c15,
        };
        for object in (0..participants).map(ObjectId) {
            let fragment = Fragment::default();
            cluster.handle(ToCoordinator::Join {
                object,
                incarnation: INCARNATION,
                fragment,
            });
            cluster.drain();
        }
        if straggler {
            cluster.add_straggler();
        }
        cluster
    }

    /// One more participant waits for ever, at a version below all others: nothing can be committed
    /// any more without looking at its edges.
    fn add_straggler(&mut self) {
        let (object, missing) = (ObjectId(self.participants), ObjectId(self.participants + 1));
        let fragment = Fragment::default();
        self.handle(ToCoordinator::Join {
            object,
            incarnation: INCARNATION,
            fragment,
        });
        self.drain();
        self.handle(ToCoordinator::Persisted {
            object,
            incarnation: INCARNATION,
            world_line: WorldLine(0),
            version: Version(1),
            dependencies: DependencySet::from_iter([(missing, Version(1))]),
        });
        self.drain();
    }

    fn handle(&mut self, message: ToCoordinator) {
        self.coordinator.handle(CoordinatorInput::Message(message));
    }

    /// Executes effects; gives what was committed.
    fn drain(&mut self) -> Vec<ObjectId> {
        let mut committed = Vec::new();
        while let Some(effect) = self.coordinator.poll_effect() {
            match effect {
                CoordinatorEffect::Log(_) => self.coordinator.handle(CoordinatorInput::Logged),
                CoordinatorEffect::Broadcast(ToParticipant::Boundary(advanced)) => {
                    committed.extend(advanced.into_keys());
                }
                CoordinatorEffect::Checkpoint(_)
                | CoordinatorEffect::Broadcast(_)
                | CoordinatorEffect::ToLink(..)
                | CoordinatorEffect::ToObject(..) => {}
            }
        }
        committed
    }

    fn measure(&mut self, probability: f64, each: Duration) -> Measured {
        let mut measured = Measured {
            latency_ns: Histogram::new(3).expect("3 digits"),
            busy: Duration::ZERO,
            edges: 0,
            rounds: 0,
        };
        let started = Instant::now();
        let mut version = Version(0);
        while started.elapsed() < each || version < Version(3) {
            version = version.next();
            self.round(version, probability, &mut measured);
        }
        measured
    }

    fn round(&mut self, version: Version, probability: f64, measured: &mut Measured) {
        measured.rounds += 1;
        let submissions: Vec<_> = (0..self.participants)
            .map(|object| self.submission(ObjectId(object), version, probability))
            .collect();
        measured.edges += submissions.iter().map(|(_, edges)| edges).sum::<u64>();
        // Alone, a version can be committed as soon as it is submitted; otherwise the last submission
        // of the round is what everybody waits for.
        let alone = probability == 0.0;
        let mut committed = 0;
        for (bytes, _) in submissions {
            let submitted = Instant::now();
            self.handle(ToCoordinator::decode(&bytes).expect("it was encoded right"));
            let now_committed = self.drain().len() as u64;
            measured.busy += submitted.elapsed();
            committed += now_committed;
            if alone || now_committed > 0 {
                let latency = u64::try_from(submitted.elapsed().as_nanos()).unwrap_or(u64::MAX);
                measured
                    .latency_ns
                    .record_n(latency, now_committed)
                    .expect("it grows");
            }
        }
        assert_eq!(
            committed, self.participants,
            "every version of the round is committed at its end"
        );
    }

    fn submission(
        &mut self,
        object: ObjectId,
        version: Version,
        probability: f64,
    ) -> (Vec<u8>, u64) {
        let others = (0..self.participants)
            .map(ObjectId)
            .filter(|&other| other != object)
            .collect::<Vec<_>>();
        let dependencies: DependencySet = others
            .into_iter()
            .filter(|_| self.chance(probability))
            .map(|other| (other, version))
            .collect();
        let edges = dependencies.len() as u64 + 1;
        let message = ToCoordinator::Persisted {
            object,
            incarnation: INCARNATION,
            world_line: WorldLine(0),
            version,
            dependencies,
        };
        (message.encode(), edges)
    }

    /// A cheap deterministic coin.
    fn chance(&mut self, probability: f64) -> bool {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        (self.random >> 11) as f64 / (1_u64 << 53) as f64 <= probability && probability > 0.0
    }
}
