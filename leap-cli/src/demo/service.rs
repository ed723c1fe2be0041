//! One service of the demo in a process of its own, made to be killed.

use clap::Args;
use leap::{Host, Store};
use tokio::io::AsyncReadExt as _;

use crate::options::Persistence;

#[derive(Args)]
pub(crate) struct DemoService {
    /// The service's name
    #[arg(long)]
    name: String,
    /// The node to join
    #[arg(long)]
    join: String,
    /// Where its journal is kept
    #[arg(long)]
    data: String,
    /// How much it has to give away
    #[arg(long)]
    capacity: u64,
    #[command(flatten)]
    persistence: Persistence,
}

impl DemoService {
    pub(crate) async fn run(self) -> anyhow::Result<()> {
        let options = self.persistence.objects();
        let store = Store::open(&self.data, self.persistence.store()).await?;
        let host = Host::builder()
            .store(store)
            .join(self.join)
            .listen("127.0.0.1:0")
            .defaults(options)
            .start()
            .await?;
        let opening = travel::host_service(&host, &self.name, self.capacity, options).await?;
        if opening.done().await {
            crate::say(format_args!("{} is open", self.name))?;
        }
        // Whoever started this holds the other end, and ends with it, however it ends.
        let mut until_abandoned = Vec::new();
        tokio::io::stdin().read_to_end(&mut until_abandoned).await?;
        Ok(())
    }
}
