//! The service, three times, in a process of its own.

use std::collections::HashMap;
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use bytes::Bytes;
use clap::{Args, ValueEnum as _};
use leap::tower::{ServerLayer, SpeculationError, Speculative, grpc_header, set_grpc_header};
use leap::{
    GroupCommit, Header, Host, Journaled, Machine, Object, ObjectOptions, Service, Speculation,
    Store, StoreOptions,
};
use leap_store::Journal;
use parking_lot::Mutex;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, BufReader};
use tokio::process::{Child, Command};
use tonic::transport::server::TcpIncoming;
use tonic::{Request, Response, Status};

use super::Variant;
use super::proto::kv_server::{Kv, KvServer};
use super::proto::{Done, Key, Pair, Value};

/// All variants sync so often.
const GROUP_COMMIT: GroupCommit = GroupCommit::Fixed(Duration::from_millis(10));

/// The service of `bench overhead`; the benchmark starts this binary again with it.
#[derive(Args)]
pub(crate) struct OverheadServer {
    #[arg(long, value_enum)]
    variant: Variant,
    #[arg(long)]
    data: String,
}

/// Its process, ended when this is dropped.
pub(super) struct Server {
    /// Where the service is.
    pub(super) service: String,
    /// Where its host is, to join the cluster; nothing for the plain one.
    pub(super) host: Option<String>,
    process: Child,
    _directory: tempfile::TempDir,
}

impl Server {
    pub(super) async fn start(variant: Variant) -> anyhow::Result<Self> {
        let directory = tempfile::tempdir_in(".")?;
        let name = variant
            .to_possible_value()
            .context("no variant is hidden")?;
        let mut process = Command::new(std::env::current_exe()?)
            .args(["overhead-server", "--variant", name.get_name(), "--data"])
            .arg(directory.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .context("cannot start the service's process")?;
        let stdout = process.stdout.take().context("its output is piped")?;
        let mut line = String::new();
        BufReader::new(stdout).read_line(&mut line).await?;
        let mut addresses = line.split_whitespace().map(str::to_owned);
        Ok(Self {
            service: addresses.next().context("it ended before it was ready")?,
            host: addresses.next(),
            process,
            _directory: directory,
        })
    }
}

impl Server {
    pub(super) fn process_id(&self) -> Option<u32> {
        self.process.id()
    }
}

impl OverheadServer {
    /// Serves until standard input ends.
    #[allow(
        clippy::print_stdout,
        reason = "the addresses are for whoever started this"
    )]
    pub(crate) async fn run(self) -> anyhow::Result<()> {
        let store = Store::open(&self.data, StoreOptions::default()).await?;
        let incoming = TcpIncoming::bind("127.0.0.1:0".parse()?)?.with_nodelay(Some(true));
        let address = incoming.local_addr()?;
        let mut host = None;
        let service = match self.variant {
            Variant::Plain => {
                let service = KvServer::new(Plain::open(&store).await?);
                let mut server = tonic::transport::Server::builder();
                tokio::spawn(server.add_service(service).serve_with_incoming(incoming))
            }
            Variant::Manual | Variant::Tower => {
                let leap = host.insert(
                    Host::builder()
                        .store(store)
                        .listen("127.0.0.1:0")
                        .start()
                        .await?,
                );
                let options = ObjectOptions {
                    speculation: Speculation::On,
                    group_commit: GROUP_COMMIT,
                };
                let pairs = leap.add_with::<Pairs>("pairs", options).await?;
                pairs.ready().await?;
                if self.variant == Variant::Manual {
                    let service = KvServer::new(Manual(pairs));
                    let mut server = tonic::transport::Server::builder();
                    tokio::spawn(server.add_service(service).serve_with_incoming(incoming))
                } else {
                    let service = KvServer::new(Layered(pairs));
                    let mut server =
                        tonic::transport::Server::builder().layer(ServerLayer::new(leap));
                    tokio::spawn(server.add_service(service).serve_with_incoming(incoming))
                }
            }
        };
        let leap = host.as_ref().and_then(Host::address).unwrap_or_default();
        println!("http://{address} {leap}");
        let mut until_abandoned = Vec::new();
        tokio::io::stdin().read_to_end(&mut until_abandoned).await?;
        service.abort();
        Ok(())
    }
}

/// Without Leap: nobody can tell what an answer depends on.
struct Plain {
    pairs: Mutex<HashMap<String, Bytes>>,
    journal: Arc<Mutex<Written>>,
}

/// Changes since the last sync.
struct Written {
    journal: Journal,
    changes: Vec<u8>,
    version: u64,
}

impl Plain {
    async fn open(store: &Store) -> anyhow::Result<Self> {
        let journal = Arc::new(Mutex::new(Written {
            journal: store.claim("pairs").await?.journal,
            changes: Vec::new(),
            version: 0,
        }));
        let writer = journal.clone();
        tokio::spawn(async move {
            loop {
                tokio::time::sleep(Duration::from_millis(10)).await;
                let synced = writer.lock().write();
                // A service that does not care what becomes of what it has said.
                if let Some(synced) = synced {
                    let _ = synced.await;
                }
            }
        });
        Ok(Self {
            pairs: Mutex::default(),
            journal,
        })
    }
}

impl Written {
    /// Hands what was written since the last time to the disk.
    fn write(&mut self) -> Option<leap_store::Append> {
        if self.changes.is_empty() {
            return None;
        }
        self.version += 1;
        let changes = std::mem::take(&mut self.changes);
        Some(self.journal.append(self.version, changes.into()))
    }

    fn record(&mut self, key: &str, value: &Bytes) {
        for part in [key.as_bytes(), value] {
            self.changes
                .extend_from_slice(&(part.len() as u32).to_le_bytes());
            self.changes.extend_from_slice(part);
        }
    }
}

#[tonic::async_trait]
impl Kv for Plain {
    async fn put(&self, request: Request<Pair>) -> Result<Response<Done>, Status> {
        let Pair { key, value } = request.into_inner();
        self.journal.lock().record(&key, &value);
        self.pairs.lock().insert(key, value);
        Ok(Response::new(Done {}))
    }

    async fn get(&self, request: Request<Key>) -> Result<Response<Value>, Status> {
        let value = self.pairs.lock().get(&request.get_ref().key).cloned();
        Ok(Response::new(Value { value }))
    }
}

/// The state object of both variants with Leap.
#[derive(Default, serde::Serialize, serde::Deserialize)]
struct Pairs(HashMap<String, Bytes>);

impl Machine for Pairs {
    type Change = (String, Bytes);

    fn apply(&mut self, (key, value): Self::Change) {
        self.0.insert(key, value);
    }
}

impl Service for Pairs {}

/// With the headers handled in the handlers.
struct Manual(Object<Journaled<Pairs>>);

#[tonic::async_trait]
impl Kv for Manual {
    async fn put(&self, request: Request<Pair>) -> Result<Response<Done>, Status> {
        let header = grpc_header(request.metadata())?.unwrap_or_default();
        let Pair { key, value } = request.into_inner();
        let acted = self.0.receive(&header, |pairs, context| {
            pairs.change(context, |action| action.record((key, value)));
            context.header()
        });
        let seen = acted.await.map_err(SpeculationError::from)?;
        Ok(with_header(Done {}, &seen))
    }

    async fn get(&self, request: Request<Key>) -> Result<Response<Value>, Status> {
        let key = &request.get_ref().key;
        let read = self
            .0
            .read(|pairs| pairs.view(|pairs| pairs.0.get(key).cloned()));
        let stopped = |stopped| Status::from(SpeculationError::Stopped(stopped));
        let (value, mut seen) = read.await.map_err(stopped)?;
        let seen = seen.header().map_err(SpeculationError::from)?;
        Ok(with_header(Value { value }, &seen))
    }
}

fn with_header<T>(message: T, header: &Header) -> Response<T> {
    let mut response = Response::new(message);
    set_grpc_header(response.metadata_mut(), header);
    response
}

/// With the headers handled by the layers.
struct Layered(Object<Journaled<Pairs>>);

#[tonic::async_trait]
impl Kv for Layered {
    async fn put(&self, request: Request<Pair>) -> Result<Response<Done>, Status> {
        let speculative = Speculative::of(&request)?;
        let Pair { key, value } = request.into_inner();
        speculative
            .change(&self.0, |action| action.record((key, value)))
            .await?;
        Ok(Response::new(Done {}))
    }

    async fn get(&self, request: Request<Key>) -> Result<Response<Value>, Status> {
        let speculative = Speculative::of(&request)?;
        let key = &request.get_ref().key;
        let look = |pairs: &Journaled<Pairs>| pairs.view(|pairs| pairs.0.get(key).cloned());
        let value = speculative.read(&self.0, look).await?;
        Ok(Response::new(Value { value }))
    }
}
