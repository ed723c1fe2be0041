//! How long the outside world notices that a service was killed.

use std::time::{Duration, Instant};

use clap::Args;
use leap::GroupCommit;
use travel::Trip;

use crate::cluster::{Cluster, OnOff, Settings};
use crate::report::Report;
use crate::reservations::closed;

/// Kill one of ten services under load, and see when results are released again
#[derive(Args)]
pub(crate) struct Recovery {
    /// How often a service is killed
    #[arg(long, default_value_t = 5)]
    kills: usize,
    /// Clients that keep the cluster busy
    #[arg(long, default_value_t = 8)]
    clients: usize,
    /// Milliseconds added to every durable write
    #[arg(long, default_value_t = 0)]
    storage_latency_ms: u64,
}

impl Recovery {
    pub(crate) async fn run(self) -> anyhow::Result<Report> {
        let settings = Settings::new(OnOff::On, GroupCommit::Adaptive, self.storage_latency_ms);
        let mut cluster = Cluster::start(10, settings).await?;
        let mut pauses = Vec::new();
        for kill in 0..self.kills {
            pauses.push(self.kill_under_load(&mut cluster, kill).await?);
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
        Ok(report)
    }

    /// Milliseconds from the start of the new process to the end of a trip that began after the kill.
    async fn kill_under_load(&self, cluster: &mut Cluster, kill: usize) -> anyhow::Result<f64> {
        closed(cluster, self.clients, Duration::from_secs(1)).await?;
        let client = cluster.client().await?;
        let load = tokio::spawn(keep_busy(cluster.client().await?, self.clients, kill));
        let victim = kill % 10;
        cluster.kill_service(victim).await?;
        let restarted = Instant::now();
        let probe = tokio::spawn(async move {
            let id = format!("probe-{kill}");
            travel::book(
                &client,
                &id,
                &Trip {
                    traveller: id.clone(),
                },
            )
            .await
            .map(|_| restarted.elapsed())
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
                let _ = travel::book(
                    &client,
                    &id,
                    &Trip {
                        traveller: id.clone(),
                    },
                )
                .await;
            }
        });
    }
    while tasks.join_next().await.is_some() {}
}
