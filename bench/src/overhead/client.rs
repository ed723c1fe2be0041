//! Requests, half of them writes, from callers that are inside: they send what they have seen.

use std::time::{Duration, Instant};

use bytes::Bytes;
use hdrhistogram::Histogram;
use leap::tower::{ClientLayer, ClientService, Speculative, grpc_header, set_grpc_header};
use leap::{Host, SThread};
use tokio::task::JoinSet;
use tonic::transport::Channel;
use tonic::{Request, Response};
use tower::Layer as _;

use super::Variant;
use super::proto::kv_client::KvClient;
use super::proto::{Key, Pair};
use super::server::Server;

const KEYS: u64 = 10_000;
const VALUE: Bytes = Bytes::from_static(&[7; 128]);

/// A connection to a service, and callers to make.
pub(super) struct Load {
    caller: Caller,
    /// The cluster that a caller with headers is part of.
    host: Option<Host>,
}

/// What one closed-loop run came to.
pub(super) struct Measured {
    pub(super) requests: u64,
    pub(super) per_second: f64,
    pub(super) p50_us: f64,
}

#[derive(Clone)]
enum Caller {
    Plain(KvClient<Channel>),
    Manual(KvClient<Channel>, Option<SThread>),
    Tower(KvClient<ClientService<Channel>>, Option<Speculative>),
}

impl Load {
    pub(super) async fn connect(variant: Variant, server: &Server) -> anyhow::Result<Self> {
        let channel = Channel::from_shared(server.service.clone())?
            .tcp_nodelay(true)
            .connect()
            .await?;
        let host = match &server.host {
            Some(url) => Some(Host::builder().join(url).start().await?),
            None => None,
        };
        let caller = match variant {
            Variant::Plain => Caller::Plain(KvClient::new(channel)),
            Variant::Manual => Caller::Manual(KvClient::new(channel), None),
            Variant::Tower => Caller::Tower(KvClient::new(ClientLayer::new().layer(channel)), None),
        };
        Ok(Self { caller, host })
    }

    /// Keeps `concurrency` requests under way.
    pub(super) async fn run(
        &self,
        concurrency: usize,
        duration: Duration,
    ) -> anyhow::Result<Measured> {
        let started = Instant::now();
        let mut callers = JoinSet::new();
        for number in 0..concurrency as u64 {
            let caller = self.caller.clone().started(self.host.as_ref()).await;
            callers.spawn(call_again_and_again(caller, number, started, duration));
        }
        let mut latency_ns = Histogram::new(3)?;
        while let Some(latencies) = callers.join_next().await {
            latency_ns.add(latencies??)?;
        }
        Ok(Measured {
            requests: latency_ns.len(),
            per_second: latency_ns.len() as f64 / started.elapsed().as_secs_f64(),
            p50_us: latency_ns.value_at_quantile(0.5) as f64 / 1000.0,
        })
    }
}

async fn call_again_and_again(
    mut caller: Caller,
    number: u64,
    started: Instant,
    duration: Duration,
) -> anyhow::Result<Histogram<u64>> {
    let mut latency_ns = Histogram::new(3)?;
    // Any fixed mixture of keys will do.
    let mut key = number;
    while started.elapsed() < duration {
        key = (key * 6_364_136_223 + 1_442_695_041) % KEYS;
        let begun = Instant::now();
        if key.is_multiple_of(2) {
            caller.put(format!("key-{key:012}")).await?;
        } else {
            caller.get(format!("key-{key:012}")).await?;
        }
        latency_ns.record(u64::try_from(begun.elapsed().as_nanos())?)?;
    }
    Ok(latency_ns)
}

impl Caller {
    /// With an sthread of its own, if it is inside.
    async fn started(self, host: Option<&Host>) -> Self {
        match (self, host) {
            (Self::Manual(client, _), Some(host)) => {
                Self::Manual(client, Some(host.sthread().await))
            }
            (Self::Tower(client, _), Some(host)) => {
                Self::Tower(client, Some(Speculative::new(host.sthread().await)))
            }
            (caller, _) => caller,
        }
    }

    async fn put(&mut self, key: String) -> anyhow::Result<()> {
        let pair = Pair { key, value: VALUE };
        match self {
            Self::Plain(client) => drop(client.put(pair).await?),
            Self::Manual(client, sthread) => {
                let response = client.put(with_header(pair, sthread)?).await?;
                consume(&response, sthread).await?;
            }
            Self::Tower(client, speculative) => drop(client.put(of(pair, speculative)).await?),
        }
        Ok(())
    }

    async fn get(&mut self, key: String) -> anyhow::Result<()> {
        let key = Key { key };
        match self {
            Self::Plain(client) => drop(client.get(key).await?),
            Self::Manual(client, sthread) => {
                let response = client.get(with_header(key, sthread)?).await?;
                consume(&response, sthread).await?;
            }
            Self::Tower(client, speculative) => drop(client.get(of(key, speculative)).await?),
        }
        Ok(())
    }
}

fn of<T>(message: T, speculative: &Option<Speculative>) -> Request<T> {
    let mut request = Request::new(message);
    if let Some(speculative) = speculative {
        request.extensions_mut().insert(speculative.clone());
    }
    request
}

fn with_header<T>(message: T, sthread: &mut Option<SThread>) -> anyhow::Result<Request<T>> {
    let mut request = Request::new(message);
    if let Some(sthread) = sthread {
        set_grpc_header(request.metadata_mut(), &sthread.header()?);
    }
    Ok(request)
}

async fn consume<T>(
    response: &Response<T>,
    sthread: &mut Option<SThread>,
) -> Result<(), anyhow::Error> {
    if let (Some(sthread), Some(header)) = (sthread, grpc_header(response.metadata())?) {
        sthread.receive(&header).await?;
    }
    Ok(())
}
