//! How long the outside world notices that a service was killed, and what work was thrown away.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use clap::Args;
use leap::{HostStatus, RepairStatus};

use crate::cluster::{Cluster, Settings, book, service_name};
use crate::report::Report;
use crate::reservations::closed;

const SERVICES: usize = 10;

/// Kill one of ten services under load, and see when results are released again
#[derive(Args)]
pub(crate) struct Recovery {
    /// How often a service is killed
    #[arg(long, default_value_t = 5)]
    kills: usize,
    /// Clients that keep the cluster busy
    #[arg(long, default_value_t = 8)]
    clients: usize,
    #[command(flatten)]
    settings: Settings,
}

impl Recovery {
    pub(crate) async fn run(self) -> anyhow::Result<Report> {
        let mut cluster = Cluster::start(SERVICES, self.settings).await?;
        let mut pauses = Vec::new();
        let mut wasted = Wasted::default();
        for kill in 0..self.kills {
            let before = Undone::of(&cluster.status().await?);
            pauses.push(self.kill_under_load(&mut cluster, kill).await?);
            let after = cluster.status().await?;
            wasted.add(&before, &after, &service_name(kill % SERVICES))?;
        }
        pauses.sort_by(f64::total_cmp);
        let mut report = Report::new("recovery");
        report.note(
            "restart to first newly released response, median",
            pauses[pauses.len() / 2],
            "ms",
        );
        report.note(
            "restart to first newly released response, worst",
            pauses[pauses.len() - 1],
            "ms",
        );
        report.note(
            "versions reported by survivors",
            wasted.reported as f64,
            "versions",
        );
        report.note("least that had to go", wasted.least as f64, "versions");
        report.note(
            "messages that went with them",
            wasted.undone.messages as f64,
            "messages",
        );
        report.at_most(
            "versions thrown away by survivors",
            wasted.undone.versions as f64,
            "versions",
            wasted.least as f64,
        );
        Ok(report)
    }

    /// Milliseconds from the start of the new process to the end of a trip that began after the kill.
    async fn kill_under_load(&self, cluster: &mut Cluster, kill: usize) -> anyhow::Result<f64> {
        closed(cluster, self.clients, Duration::from_secs(1)).await?;
        let client = cluster.client().await?;
        let load = tokio::spawn(keep_busy(cluster.client().await?, self.clients, kill));
        let victim = kill % SERVICES;
        cluster.kill_service(victim).await?;
        let restarted = Instant::now();
        let probe = tokio::spawn(async move {
            let id = format!("probe-{kill}");
            book(&client, &id).await.map(|()| restarted.elapsed())
        });
        cluster.start_service(victim).await?;
        let pause = probe.await??;
        load.abort();
        Ok(pause.as_secs_f64() * 1000.0)
    }
}

/// Books trips until it is stopped.
async fn keep_busy(client: leap::Client, clients: usize, kill: usize) {
    let mut tasks = tokio::task::JoinSet::new();
    for number in 0..clients {
        let client = client.clone();
        tasks.spawn(async move {
            for trip in 0_u64.. {
                let id = format!("busy-{kill}-{number}-{trip}");
                // What fails is asked for by the next trip; only load is wanted here.
                let _ = book(&client, &id).await;
            }
        });
    }
    while tasks.join_next().await.is_some() {}
}

/// What rollbacks have taken away from survivors, by object.
#[derive(Clone, Copy, Default)]
struct Undone {
    versions: u64,
    messages: u64,
}

impl Undone {
    fn of((node, services): &(HostStatus, Vec<HostStatus>)) -> BTreeMap<String, Self> {
        let objects = std::iter::once(node)
            .chain(services)
            .flat_map(|host| &host.objects);
        let undone = objects.map(|object| {
            let undone = Self {
                versions: object.versions_undone,
                messages: object.messages_undone,
            };
            (object.name.clone(), undone)
        });
        undone.collect()
    }
}

/// Over all kills: what survivors threw away, and the least that they had to.
#[derive(Default)]
struct Wasted {
    reported: usize,
    least: usize,
    undone: Undone,
}

impl Wasted {
    fn add(
        &mut self,
        before: &BTreeMap<String, Undone>,
        after: &(HostStatus, Vec<HostStatus>),
        victim: &str,
    ) -> anyhow::Result<()> {
        let coordinator = after.0.coordinator.as_ref();
        let repair = coordinator.and_then(|coordinator| coordinator.last_repair.as_ref());
        let repair = repair.context("the coordinator has decided about the kill")?;
        anyhow::ensure!(repair.causes == [victim], "{:?} failed too", repair.causes);
        self.reported += survivors(repair)
            .map(|(_, versions)| versions.len())
            .sum::<usize>();
        self.least += least(repair)?;
        // Who was killed has begun to count anew, at nothing.
        for (name, after) in Undone::of(after).iter().filter(|(name, _)| *name != victim) {
            let before = before.get(name).copied().unwrap_or_default();
            self.undone.versions += after.versions - before.versions;
            self.undone.messages += after.messages - before.messages;
        }
        Ok(())
    }
}

fn survivors(
    repair: &RepairStatus,
) -> impl Iterator<Item = (&String, &Vec<leap::ReportedVersion>)> {
    let reported = repair.reported.iter();
    reported.filter(|(name, _)| !repair.causes.contains(name))
}

/// How many versions of survivors depend on what those that failed have lost, found by looking at
/// everything again and again (the coordinator does not do it like this).
fn least(repair: &RepairStatus) -> anyhow::Result<usize> {
    let mut kept: BTreeMap<&String, u64> = BTreeMap::new();
    for failed in &repair.causes {
        let keeps = repair
            .cut
            .get(failed)
            .context("who failed has a place in the cut")?;
        kept.insert(failed, *keeps);
    }
    loop {
        let mut changed = false;
        for (name, versions) in survivors(repair) {
            let lost = versions.iter().find(|version| {
                let mut seen = version.depends_on.iter();
                seen.any(|(object, seen)| kept.get(object).is_some_and(|kept| seen > kept))
            });
            let Some(lost) = lost else { continue };
            let keeps = lost.version - 1;
            if kept.get(name).is_none_or(|kept| keeps < *kept) {
                kept.insert(name, keeps);
                changed = true;
            }
        }
        if !changed {
            let gone = survivors(repair).map(|(name, versions)| {
                let keeps = kept.get(name).copied().unwrap_or(u64::MAX);
                versions
                    .iter()
                    .filter(|version| version.version > keeps)
                    .count()
            });
            return Ok(gone.sum());
        }
    }
}
