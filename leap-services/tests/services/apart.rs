//! Engine and services on hosts of their own: links are cut, hosts crash, storage fails.

use std::time::Duration;

use anyhow::Result;
use futures::future::join_all;
use leap::testing::Cluster;
use leap::{ObjectClient, ObjectOptions};
use leap_services::kv::{KeyValueCallError, KeyValueClient, KeyValueStore};
use leap_services::workflow::{EngineClient, EngineError};

use crate::workflow::{Account, engine};

const TRANSFERS: usize = 40;

/// A host each for the engine and for both accounts.
const HOSTS: [&str; 3] = ["engine", "west", "east"];

/// How long a host or a link is away.
const INTERRUPTION: Duration = Duration::from_millis(40);

/// Long enough for storage that fails to be given up, and the objects with it.
const OUTAGE: Duration = Duration::from_secs(30);

/// What happens to the cluster while transfers are on their way.
#[derive(Clone, Copy)]
enum Fault {
    Cut(&'static str, &'static str),
    Crash(&'static str),
    BrokenStorage(&'static str),
}

/// Hosts what belongs on a host that has just started.
async fn populate(cluster: &Cluster, name: &str) -> Result<()> {
    let host = cluster.host(name).await;
    let options = ObjectOptions::default();
    match name {
        "engine" => drop(engine().start(&host, "workflows", options).await?),
        "west" => host.supervise::<Account>("left", options, |_| {}).await?,
        "east" => host.supervise::<Account>("right", options, |_| {}).await?,
        _ => {}
    }
    Ok(())
}

impl Fault {
    async fn happen(self, cluster: &Cluster) -> Result<()> {
        match self {
            Self::Cut(a, b) => {
                cluster.cut(a, b);
                tokio::time::sleep(INTERRUPTION).await;
                cluster.heal(a, b);
            }
            Self::Crash(name) => {
                cluster.crash(name);
                tokio::time::sleep(INTERRUPTION).await;
                cluster.restart(name).await;
                populate(cluster, name).await?;
            }
            Self::BrokenStorage(name) => {
                cluster.break_storage(name);
                tokio::time::sleep(OUTAGE).await;
                cluster.mend_storage(name);
            }
        }
        Ok(())
    }
}

/// Runs a transfer from outside, again and again until there is an answer.
async fn transfer(cluster: &Cluster, number: usize) -> Result<i64> {
    tokio::time::sleep(Duration::from_millis(7 * number as u64)).await;
    let workflows = EngineClient::new(cluster.client("engine"), "workflows");
    loop {
        match workflows
            .run("transfer", &number.to_string(), &(number + 1))
            .await
        {
            Err(EngineError::Call(_)) => tokio::time::sleep(Duration::from_millis(5)).await,
            settled => return Ok(settled?),
        }
    }
}

async fn transfers_survive(faults: &[Fault]) -> Result<()> {
    let cluster = Cluster::new().await;
    for name in HOSTS {
        populate(&cluster, name).await?;
    }
    let happening = async {
        for fault in faults {
            tokio::time::sleep(Duration::from_millis(30)).await;
            fault.happen(&cluster).await?;
        }
        anyhow::Ok(())
    };
    let transfers = join_all((0..TRANSFERS).map(|number| transfer(&cluster, number)));
    let (happened, results) = futures::join!(happening, transfers);
    happened?;
    let results = results.into_iter().collect::<Result<Vec<_>>>()?;
    let (total, each_once) = (results.iter().sum::<i64>(), TRANSFERS as u64);
    assert_eq!(total, (1..=TRANSFERS as i64).sum::<i64>());
    cluster.settled().await;
    let host = cluster.host("engine").await;
    for (account, balance) in [("left", -total), ("right", total)] {
        let account = ObjectClient::new(host.clone(), account);
        let found: (i64, u64) = account.call("read", &()).await?;
        assert_eq!(found, (balance, each_once));
    }
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn transfers_outlast_links_that_are_cut() -> Result<()> {
    transfers_survive(&[
        Fault::Cut("engine", "west"),
        Fault::Cut("engine", Cluster::COORDINATOR),
        Fault::Cut("east", "engine"),
        Fault::Cut("west", Cluster::COORDINATOR),
    ])
    .await
}

#[tokio::test(start_paused = true)]
async fn transfers_outlast_hosts_that_crash() -> Result<()> {
    transfers_survive(&[
        Fault::Crash("west"),
        Fault::Crash("engine"),
        Fault::Crash(Cluster::COORDINATOR),
        Fault::Crash("east"),
    ])
    .await
}

#[tokio::test(start_paused = true)]
async fn transfers_outlast_storage_that_fails_for_a_while() -> Result<()> {
    transfers_survive(&[
        Fault::BrokenStorage("engine"),
        Fault::BrokenStorage("west"),
        Fault::BrokenStorage("east"),
    ])
    .await
}

#[tokio::test(start_paused = true)]
async fn a_store_whose_disk_fails_keeps_what_it_acknowledged() -> Result<()> {
    let cluster = Cluster::new().await;
    let host = cluster.host("store").await;
    let options = ObjectOptions::default();
    host.supervise::<KeyValueStore>("kv", options, |_| {})
        .await?;
    let kv = KeyValueClient::new(cluster.client("store"), "kv");
    kv.put("a", "1").await?;
    cluster.break_storage("store");
    let refused = kv.put("a", "2").await.unwrap_err();
    assert!(matches!(refused, KeyValueCallError::Call(_)), "{refused}");
    cluster.mend_storage("store");
    let found = loop {
        match kv.get("a").await {
            Ok(found) => break found,
            Err(_) => tokio::time::sleep(Duration::from_millis(5)).await,
        }
    };
    assert_eq!(found.as_deref(), Some("1".as_bytes()));
    kv.put("a", "3").await?;
    Ok(())
}
