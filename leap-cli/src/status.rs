//! `leap status`.

use anyhow::Context as _;
use bytes::Bytes;
use clap::Args;
use leap::HostStatus;

/// Show a node's objects, versions, world-line, and who holds the boundary back.
#[derive(Args)]
pub(crate) struct Status {
    /// The node
    #[arg(long, default_value = "http://127.0.0.1:7400", env = "LEAP_URL")]
    url: String,
    /// Print what the node says, as JSON
    #[arg(long)]
    pub(crate) json: bool,
}

impl Status {
    pub(crate) async fn run(self) -> anyhow::Result<()> {
        let url = format!("{}/status", self.url.trim_end_matches('/'));
        let body = crate::http::request(http::Method::GET, &url, Bytes::new()).await?;
        let status: HostStatus =
            serde_json::from_slice(&body).context("the node's answer cannot be read")?;
        if self.json {
            crate::print(&status)
        } else {
            crate::say(format_args!("{}", render(&status)));
            Ok(())
        }
    }
}

/// The status as a person reads it.
fn render(status: &HostStatus) -> String {
    let mut lines = Vec::new();
    match status.world_line {
        Some(world_line) => lines.push(format!(
            "world-line {world_line} ({world_line} rollback decisions so far)"
        )),
        None => lines.push("the coordinator has not been met yet".to_owned()),
    }
    lines.push(format!(
        "\n{:<24} {:>4} {:<10} {:>9} {:>9} {:>9} {:>9} {:>9}",
        "OBJECT HERE", "LIFE", "PHASE", "OPEN", "DURABLE", "COMMITTED", "LAG MS", "IN FLIGHT"
    ));
    for object in &status.objects {
        lines.push(format!(
            "{:<24} {:>4} {:<10} {:>9} {:>9} {:>9} {:>9} {:>9}",
            object.name,
            object.incarnation,
            object.phase,
            object.open,
            object.durable,
            object.committed,
            object.lag_ms,
            object.in_flight
        ));
        for (holder, version) in &object.waits_for {
            lines.push(format!(
                "{:<24} waits for {holder} at version {version}",
                ""
            ));
        }
    }
    if let Some(cluster) = &status.coordinator {
        lines.push(format!(
            "\n{:<24} {:>4} {:>9}  {}",
            "CLUSTER", "LIFE", "COMMITTED", "ADDRESS"
        ));
        for (name, member) in &cluster.members {
            lines.push(format!(
                "{name:<24} {:>4} {:>9}  {}",
                member.incarnation, member.committed, member.address
            ));
        }
        lines.push(String::new());
        lines.push(boundary(cluster));
    }
    lines.join("\n")
}

fn boundary(cluster: &leap::ClusterStatus) -> String {
    if !cluster.waiting_for.is_empty() {
        return format!(
            "repairing a failure; waiting for {}",
            cluster.waiting_for.join(", ")
        );
    }
    if !cluster.boundary_is_known {
        return "the boundary is not known yet".to_owned();
    }
    match cluster.uncommitted {
        0 => "the boundary has caught up: everything durable is committed".to_owned(),
        lag => {
            let holders = cluster.held_back_by.iter().map(|holder| {
                format!(
                    "{} (version {}, awaited by {})",
                    holder.name, holder.version, holder.waiting
                )
            });
            let holders: Vec<_> = holders.collect();
            format!(
                "the boundary lags by {lag} durable versions and {} ms, held back by {}",
                cluster.lag_ms,
                holders.join(", ")
            )
        }
    }
}
