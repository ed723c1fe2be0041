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
            Ok(crate::print(&status)?)
        } else {
            Ok(crate::say(format_args!("{}", render(&status)))?)
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

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use leap::{ClusterStatus, HolderStatus, MemberStatus, ObjectStatus};

    use super::*;

    fn cluster() -> ClusterStatus {
        let member = MemberStatus {
            incarnation: 3,
            committed: 8,
            address: "http://a:1".to_owned(),
        };
        ClusterStatus {
            world_line: 2,
            boundary_is_known: true,
            uncommitted: 0,
            lag_ms: 0,
            held_back_by: Vec::new(),
            members: BTreeMap::from([("hotel".to_owned(), member)]),
            waiting_for: Vec::new(),
            last_repair: None,
        }
    }

    fn status(coordinator: Option<ClusterStatus>) -> HostStatus {
        let object = ObjectStatus {
            name: "hotel".to_owned(),
            incarnation: 3,
            phase: "active".to_owned(),
            world_line: 2,
            open: 12,
            durable: 10,
            committed: 8,
            lag_ms: 40,
            in_flight: 1,
            waits_for: BTreeMap::from([("flight".to_owned(), 7)]),
            versions_undone: 0,
            messages_undone: 0,
        };
        HostStatus {
            world_line: Some(2),
            objects: vec![object],
            coordinator,
        }
    }

    #[test]
    fn objects_have_a_line_with_versions_and_lag_and_what_they_wait_for() {
        let text = render(&status(None));
        let line = text.lines().find(|line| line.starts_with("hotel"));
        let words: Vec<&str> = line.unwrap_or_default().split_whitespace().collect();
        assert_eq!(words, ["hotel", "3", "active", "12", "10", "8", "40", "1"]);
        assert!(text.contains("waits for flight at version 7"), "{text}");
        assert!(text.contains("world-line 2"), "{text}");
        assert!(!text.contains("CLUSTER"), "{text}");
    }

    #[test]
    fn the_boundary_is_told_with_who_holds_it_back() {
        let mut lagging = cluster();
        lagging.uncommitted = 5;
        lagging.lag_ms = 120;
        lagging.held_back_by = vec![HolderStatus {
            name: "flight".to_owned(),
            version: 7,
            waiting: 4,
        }];
        let text = render(&status(Some(lagging)));
        let told =
            "lags by 5 durable versions and 120 ms, held back by flight (version 7, awaited by 4)";
        assert!(text.contains(told), "{text}");

        let mut repairing = cluster();
        repairing.waiting_for = vec!["car".to_owned(), "hotel".to_owned()];
        let text = render(&status(Some(repairing)));
        assert!(text.contains("waiting for car, hotel"), "{text}");

        let mut restarted = cluster();
        restarted.boundary_is_known = false;
        assert!(render(&status(Some(restarted))).contains("not known yet"));
        let text = render(&status(Some(cluster())));
        assert!(text.contains("has caught up"), "{text}");
        assert!(text.contains("http://a:1"), "{text}");
    }

    #[test]
    fn before_the_coordinator_was_met_there_is_no_world_line() {
        let mut status = status(None);
        status.world_line = None;
        assert!(render(&status).starts_with("the coordinator has not been met yet"));
    }
}
