//! A node whose data is in an object store.

#[path = "../../leap-store/tests/store/servers.rs"]
mod servers;

use anyhow::Result;
use leap::StoreOptions;
use leap_node::{Node, NodeOptions};
use leap_services::kv::KeyValueClient;
use servers::Server;

#[tokio::test]
async fn what_was_answered_is_there_after_a_restart_with_s3() -> Result<()> {
    outlives_its_nodes(&Server::s3()?).await
}

#[tokio::test]
async fn what_was_answered_is_there_after_a_restart_with_azure() -> Result<()> {
    outlives_its_nodes(&Server::azure()?).await
}

#[tokio::test]
async fn what_was_answered_is_there_after_a_restart_with_google() -> Result<()> {
    outlives_its_nodes(&Server::google()?).await
}

async fn outlives_its_nodes(server: &Server) -> Result<()> {
    let options = NodeOptions {
        data: server.location.to_owned(),
        listen: "127.0.0.1:0".to_owned(),
        store: StoreOptions {
            object_settings: server.settings.clone(),
            ..StoreOptions::default()
        },
        ..NodeOptions::default()
    };
    let first = Node::start(options.clone()).await?;
    let kv = KeyValueClient::new(first.host(), "kv");
    kv.put("a", "1").await?;
    first.shutdown().await;

    let second = Node::start(options.clone()).await?;
    let kv = KeyValueClient::new(second.host(), "kv");
    assert_eq!(kv.get("a").await?, Some("1".into()));
    kv.put("a", "2").await?;
    // As `kill -9` would end it.
    second.host().kill();

    let third = Node::start(options).await?;
    let kv = KeyValueClient::new(third.host(), "kv");
    assert_eq!(kv.get("a").await?, Some("2".into()));
    third.shutdown().await;
    Ok(())
}
