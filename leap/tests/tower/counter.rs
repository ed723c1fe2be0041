//! The service under test, over gRPC and over HTTP.

use std::{sync::Arc, time::Duration};

use axum::{Router, extract::State, routing};
use futures::stream::{BoxStream, StreamExt as _};
use leap::{
    Action, GroupCommit, Host, Journaled, Machine, Object, ObjectOptions, Speculation,
    testing::Cluster,
    tower::{
        ClientLayer, ClientService, ServerLayer, ServerService, SpeculationError, Speculative,
    },
};
use tokio::sync::Notify;
use tonic::{Request, Response, Status};
use tower::Layer as _;

#[allow(
    clippy::all,
    clippy::allow_attributes_without_reason,
    unreachable_pub,
    rust_2018_idioms,
    reason = "generated from counter.proto"
)]
#[rustfmt::skip]
pub(crate) mod proto {
    include!("generated/counter.v1.rs");
}

use proto::{
    Amount, Count, counter_client::CounterClient, counter_server, counter_server::CounterServer,
};

/// What is done becomes durable so much later.
pub(crate) const INTERVAL: Duration = Duration::from_millis(10);

/// How long one step of a climb takes.
const STEP: Duration = Duration::from_millis(1);

pub(crate) const SLOW_TO_SEAL: ObjectOptions = ObjectOptions {
    speculation: Speculation::On,
    group_commit: GroupCommit::Fixed(INTERVAL),
};

#[derive(Default, serde::Serialize, serde::Deserialize)]
pub(crate) struct Counter(u64);

impl Machine for Counter {
    type Change = u64;

    fn apply(&mut self, by: u64) {
        self.0 += by;
    }
}

impl leap::Service for Counter {}

pub(crate) type CounterObject = Object<Journaled<Counter>>;

fn add(by: u64) -> impl FnOnce(&mut Action<'_, Counter>) -> u64 {
    move |action| {
        action.record(by);
        action.0
    }
}

/// The counter of the host with the same name, ready.
pub(crate) async fn counter_on(cluster: &Cluster, name: &str) -> CounterObject {
    let counter = cluster.host(name).await.add(name).await.unwrap();
    counter.ready().await.unwrap();
    counter
}

pub(crate) fn count(counter: &CounterObject) -> u64 {
    counter.state().view(|counter| counter.0)
}

/// The gRPC service.
#[derive(Clone)]
pub(crate) struct Server {
    counter: CounterObject,
    next: Option<Client>,
    /// Told when a relayed call has come back; the answer then waits for the second.
    pub(crate) relayed: Option<Arc<(Notify, Notify)>>,
}

/// A gRPC client that needs no socket.
pub(crate) type Client = CounterClient<ClientService<ServerService<CounterServer<Server>>>>;

impl Server {
    pub(crate) fn new(counter: CounterObject) -> Self {
        Self {
            counter,
            next: None,
            relayed: None,
        }
    }

    pub(crate) fn before(self, next: Client) -> Self {
        Self {
            next: Some(next),
            ..self
        }
    }

    pub(crate) fn service(self, host: &Host) -> ServerService<CounterServer<Self>> {
        ServerLayer::new(host).layer(CounterServer::new(self))
    }

    pub(crate) fn client(self, host: &Host) -> Client {
        CounterClient::new(ClientLayer::new().layer(self.service(host)))
    }
}

/// A client of the counter that lives on the host of the same name.
pub(crate) async fn client_of(cluster: &Cluster, name: &str) -> Client {
    Server::new(counter_on(cluster, name).await).client(&cluster.host(name).await)
}

#[tonic::async_trait]
impl counter_server::Counter for Server {
    async fn add(&self, request: Request<Amount>) -> Result<Response<Count>, Status> {
        let speculative = Speculative::of(&request)?;
        let value = speculative
            .change(&self.counter, add(request.into_inner().by))
            .await?;
        Ok(Response::new(Count { value }))
    }

    async fn relay(&self, request: Request<Amount>) -> Result<Response<Count>, Status> {
        let speculative = Speculative::of(&request)?;
        let amount = request.into_inner();
        let mut next = self.next.clone().expect("there is a next one");
        next.add(amount).await?;
        if let Some(relayed) = &self.relayed {
            relayed.0.notify_one();
            relayed.1.notified().await;
        }
        let value = speculative.change(&self.counter, add(amount.by)).await?;
        Ok(Response::new(Count { value }))
    }

    type ClimbStream = BoxStream<'static, Result<Count, Status>>;

    async fn climb(&self, request: Request<Amount>) -> Result<Response<Self::ClimbStream>, Status> {
        let speculative = Speculative::of(&request)?;
        let server = self.clone();
        let steps = futures::stream::iter(0..request.into_inner().by);
        let counts = steps.then(move |_| {
            let (speculative, Self { counter, next, .. }) = (speculative.clone(), server.clone());
            async move {
                // Otherwise tonic puts all counts into one part of the body.
                tokio::time::sleep(STEP).await;
                if let Some(mut next) = next {
                    next.add(Amount { by: 1 }).await?;
                }
                let value = speculative.change(&counter, add(1)).await?;
                Ok(Count { value })
            }
        });
        Ok(Response::new(counts.boxed()))
    }
}

/// The same as plain HTTP: `POST /add` answers with the count.
pub(crate) fn routes(counter: CounterObject, host: &Host) -> Router {
    async fn add_one(
        speculative: Speculative,
        State(counter): State<CounterObject>,
    ) -> Result<String, SpeculationError> {
        let value = speculative.change(&counter, add(1)).await?;
        Ok(value.to_string())
    }
    async fn look(
        speculative: Speculative,
        State(counter): State<CounterObject>,
    ) -> Result<String, SpeculationError> {
        speculative
            .read(&counter, |state| {
                state.view(|counter| counter.0.to_string())
            })
            .await
    }
    Router::new()
        .route("/add", routing::post(add_one))
        .route("/count", routing::get(look))
        .with_state(counter)
        .layer(ServerLayer::new(host))
}

/// An sthread on a host, to call from.
pub(crate) async fn insider(cluster: &Cluster, host: &str) -> Speculative {
    Speculative::new(cluster.host(host).await.sthread().await)
}
