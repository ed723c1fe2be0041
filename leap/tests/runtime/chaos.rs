//! Faults of every kind, drawn from a seed; afterwards nothing is lost and nothing was done twice.

use std::time::Duration;

use leap::testing::Cluster;
use leap::{GroupCommit, Host, ObjectOptions, Speculation};
use tokio::time::sleep;

use crate::channels::{check, give_all};
use crate::services::{Giver, Taker};

/// How many seeds a run of the tests tries.
const SEEDS: u64 = 60;

const FAULTS: u64 = 14;

#[tokio::test(start_paused = true)]
async fn exactly_once_under_faults_of_every_kind() {
    for seed in 0..SEEDS {
        survive(seed).await;
    }
}

async fn survive(seed: u64) {
    // The last one shown is the one that failed.
    eprintln!("seed {seed}");
    let mut draw = Draw(seed);
    let options = draw.options();
    let cluster = Cluster::with(options).await;
    for name in ["a", "b"] {
        keep_up(&cluster.host(name).await, name, options).await;
    }
    let calls = give_all(&cluster).await;
    for _ in 0..FAULTS {
        sleep(Duration::from_micros(draw.below(15_000))).await;
        fault(&cluster, options, &mut draw).await;
    }
    calls.join_all().await;
    check(&cluster).await;
}

/// Hosts what lives on `name`, and brings it back whenever its storage fails.
async fn keep_up(host: &Host, name: &str, options: ObjectOptions) {
    let kept = match name {
        "a" => host.supervise::<Giver>("giver", options, drop).await,
        "b" => host.supervise::<Taker>("taker", options, drop).await,
        _ => Ok(()),
    };
    kept.expect("its storage works again");
}

/// One fault, and its end.
async fn fault(cluster: &Cluster, options: ObjectOptions, draw: &mut Draw) {
    let hosts = ["a", "b", Cluster::COORDINATOR];
    let host = hosts[draw.index(3)];
    let other = *["a", "b", Cluster::COORDINATOR, "client"]
        .iter()
        .filter(|other| **other != host)
        .nth(draw.index(3))
        .unwrap();
    let lasts = Duration::from_micros(draw.below(30_000));
    match draw.below(5) {
        0 | 1 => {
            cluster.crash(host);
            sleep(lasts).await;
            keep_up(&cluster.restart(host).await, host, options).await;
        }
        2 => {
            cluster.cut(host, other);
            sleep(lasts).await;
            cluster.heal(host, other);
        }
        3 => cluster.slow(host, other, lasts / 10),
        _ => {
            cluster.break_storage(host);
            sleep(lasts).await;
            cluster.mend_storage(host);
        }
    }
}

/// Numbers that only the seed decides (splitmix64).
struct Draw(u64);

impl Draw {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, limit: u64) -> u64 {
        self.next() % limit
    }

    fn index(&mut self, length: usize) -> usize {
        usize::try_from(self.below(length as u64)).expect("below a usize")
    }

    fn options(&mut self) -> ObjectOptions {
        let group_commit = match self.below(3) {
            0 => GroupCommit::Adaptive,
            _ => GroupCommit::Fixed(Duration::from_millis(1 + self.below(12))),
        };
        let speculation = if self.below(4) == 0 {
            Speculation::Off
        } else {
            Speculation::On
        };
        ObjectOptions {
            speculation,
            group_commit,
        }
    }
}
