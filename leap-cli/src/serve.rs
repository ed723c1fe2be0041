//! `leap serve`.

use anyhow::Context as _;
use clap::Args;
use leap_node::{Node, NodeOptions};
use tokio::signal::unix::{SignalKind, signal};

use crate::ending::Ending;
use crate::options::Persistence;

/// Run a node until Ctrl-C or SIGTERM, then persist everything and end.
///
/// Try it:
///   leap serve --data /tmp/leap
///   curl -X POST localhost:7400/call/kv/put -d '{"key": "a", "value": "1"}'
///   leap status
#[derive(Args)]
#[command(verbatim_doc_comment)]
pub(crate) struct Serve {
    /// Where data is kept: a directory, or s3://bucket/prefix, az://container/prefix, gs://bucket/prefix
    #[arg(long, env = "LEAP_DATA", value_name = "DIR|URL")]
    data: String,
    /// Where to listen for processes, gRPC and HTTP; port 0 takes any that is free
    #[arg(long, default_value = "127.0.0.1:7400", value_name = "HOST:PORT")]
    listen: String,
    /// Join the cluster whose coordinator is there, instead of being the coordinator. Of nodes with the same --data, an object
    /// store, the newest takes over the built-in services; one with other --data finds the places taken of those that were ever used, and forwards calls
    #[arg(long, value_name = "URL")]
    join: Option<String>,
    /// Print one JSON object with the address when ready, instead of a sentence
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    persistence: Persistence,
}

impl Serve {
    pub(crate) async fn run(self) -> anyhow::Result<()> {
        let options = NodeOptions {
            data: self.data.clone(),
            listen: self.listen,
            join: self.join,
            store: self.persistence.store(),
            objects: self.persistence.objects(),
            ..NodeOptions::default()
        };
        let node = Node::start(options).await?;
        let said = if self.json {
            crate::print(&serde_json::json!({ "address": node.address(), "data": self.data }))
        } else {
            crate::say(format_args!(
                "leap node on {}, data in {}; Ctrl-C ends it",
                node.address(),
                self.data
            ))
        };
        if let Err(error) = said {
            // A node serves whether anybody reads this or not.
            tracing::warn!(%error, "nobody was told where the node is");
        }
        let mut ending = Ending::listen()?;
        // Storage is told of a file that may not grow, as of a full disk; the system would end us.
        let file_size = SignalKind::from_raw(rustix::process::Signal::XFSZ.as_raw());
        let _ignored = signal(file_size).context("cannot ignore SIGXFSZ")?;
        ending.told().await;
        node.shutdown().await;
        Ok(())
    }
}
