//! A first service: a counter that never waits for the disk. `cargo run -p leap --example counter`

use leap::{Action, Host, Machine, Store, StoreOptions};
use serde::{Deserialize, Serialize};

#[derive(Default, Serialize, Deserialize)]
struct Counter(u64);

impl Machine for Counter {
    type Change = u64;

    fn apply(&mut self, by: u64) {
        self.0 += by;
    }
}

#[leap::service]
impl Counter {
    /// Adds to the count and gives the new one.
    fn add(action: &mut Action<'_, Self>, by: u64) -> u64 {
        action.record(by);
        action.0
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let directory = std::env::temp_dir().join("leap-counter");
    let store = Store::open(&directory.to_string_lossy(), StoreOptions::default()).await?;
    let host = Host::builder().store(store).start().await?;
    host.add::<Counter>("counter").await?;

    // The answer comes when the count can never be lost; run this again and it goes on.
    let count = CounterClient::new(host.clone(), "counter").add(&1).await?;
    eprintln!(
        "counted to {count}; the journal is in {}",
        directory.display()
    );
    Ok(())
}
