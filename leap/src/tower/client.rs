//! The layer for clients.

use std::{
    future::Future,
    task::{Context, Poll},
    time::Duration,
};

use futures::future::BoxFuture;
use http::{HeaderMap, Request, Response};
use tonic::Status;
use tower::{BoxError, Layer, Service};

use super::{
    PATIENCE,
    error::SpeculationError,
    metadata::{self, Manner},
    speculative::Speculative,
    within,
};

/// Carries speculation to other services: for a tonic channel, or any other HTTP client that is a tower
/// service.
///
/// The sthread that calls is the [`Speculative`] among the request's extensions, else the current one
/// ([`Speculative::current`]). Its header goes with the request, and it consumes the response's header
/// before the response is given to the caller. Without one the call is made as by the outside world, and
/// the answer is released to it.
///
/// ```
/// use leap::tower::{ClientLayer, Speculative};
/// use tower::{ServiceBuilder, service_fn};
///
/// # leap::testing::run_example(async {
/// # let host = leap::Host::builder().start().await?;
/// # let channel = service_fn(async |_: http::Request<String>| Ok::<_, tower::BoxError>(http::Response::new(())));
/// // `channel` may be a `tonic::transport::Channel`: give the result to a generated client.
/// let mut client = ServiceBuilder::new().layer(ClientLayer::new()).service(channel);
///
/// let speculative = Speculative::new(host.sthread().await);
/// let call = async {
///     // Whoever calls here sends and sees speculation.
/// # use tower::Service as _;
/// # client.call(http::Request::new(String::new())).await.unwrap();
/// # Ok::<_, std::io::Error>(())
/// };
/// speculative.scope(call).await?;
/// // Before the outside world is told what came of it:
/// speculative.barrier().await?;
/// # Ok(())
/// # });
/// ```
#[derive(Clone, Debug)]
pub struct ClientLayer {
    callee: Callee,
    patience: Duration,
}

#[derive(Clone, Copy, Debug)]
enum Callee {
    /// A service that knows speculation.
    Inside,
    /// The outside world.
    Outside,
}

impl Default for ClientLayer {
    fn default() -> Self {
        Self::new()
    }
}

impl ClientLayer {
    /// For calls to services with a [`ServerLayer`](super::ServerLayer).
    ///
    /// ```
    /// # let channel = tower::service_fn(async |_: http::Request<String>| Ok::<_, tower::BoxError>(http::Response::new(())));
    /// use leap::tower::ClientLayer;
    /// use tower::Layer;
    ///
    /// // `channel` may be a `tonic::transport::Channel`.
    /// let client = ClientLayer::new().layer(channel);
    /// ```
    pub fn new() -> Self {
        Self {
            callee: Callee::Inside,
            patience: PATIENCE,
        }
    }

    /// For calls to services that know nothing of speculation, such as somebody else's payment API: a
    /// request leaves when all that the calling sthread has seen is inside the boundary (rule P8).
    ///
    /// ```
    /// # leap::testing::run_example(async {
    /// use leap::tower::{ClientLayer, Speculative};
    /// use tower::{Layer, Service};
    ///
    /// # let host = leap::Host::builder().start().await?;
    /// # let counter = host.add::<leap::testing::Counter>("counter").await?;
    /// # let payments = tower::service_fn(async |_: http::Request<String>| Ok::<_, tower::BoxError>(http::Response::new(())));
    /// let mut payments = ClientLayer::outside().layer(payments);
    /// let speculative = Speculative::new(host.sthread().await);
    /// speculative.change(&counter, |counter| counter.record(1)).await?;
    /// // Nobody is charged for a change that could still be lost.
    /// let charge = http::Request::post("https://payments.example/charge").body(String::new())?;
    /// let charged = speculative.scope(async { payments.call(charge).await }).await;
    /// assert!(charged.is_ok());
    /// # assert_eq!(host.status().await.objects[0].committed, 1);
    /// # Ok(())
    /// # });
    /// ```
    pub fn outside() -> Self {
        Self {
            callee: Callee::Outside,
            patience: PATIENCE,
        }
    }

    /// How long a response that is ahead of what this host knows may wait for it; 10 s unless set.
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// use leap::tower::ClientLayer;
    ///
    /// let layer = ClientLayer::new().patience(Duration::from_secs(2));
    /// ```
    #[must_use]
    pub fn patience(mut self, patience: Duration) -> Self {
        self.patience = patience;
        self
    }

    /// Makes the request fit to leave, unless it has to wait for that, or cannot be.
    fn send_now(&self, speculative: &Speculative, manner: Manner, headers: &mut HeaderMap) -> bool {
        match (self.callee, speculative.header()) {
            (Callee::Inside, Ok(header)) if metadata::fits(&header) => {
                manner.insert(&header, headers);
                true
            }
            _ => false,
        }
    }

    /// Makes the request fit to leave.
    async fn send(
        &self,
        speculative: &Speculative,
        manner: Manner,
        headers: &mut HeaderMap,
    ) -> Result<(), SpeculationError> {
        match self.callee {
            Callee::Inside => manner.insert(&speculative.portable_header().await?, headers),
            Callee::Outside => speculative.barrier().await?,
        }
        Ok(())
    }

    /// Lets the sthread see the response. One without a header depends on nothing.
    async fn receive(
        &self,
        speculative: &Speculative,
        manner: Manner,
        headers: &HeaderMap,
    ) -> Result<(), SpeculationError> {
        let header = match self.callee {
            Callee::Inside => manner.extract(headers)?,
            Callee::Outside => None,
        };
        let Some(header) = header else {
            return Ok(());
        };
        Ok(within(self.patience, speculative.receive(&header)).await??)
    }
}

impl<S> Layer<S> for ClientLayer {
    type Service = ClientService<S>;

    fn layer(&self, inner: S) -> ClientService<S> {
        let layer = self.clone();
        ClientService { inner, layer }
    }
}

/// What [`ClientLayer`] makes of a client.
///
/// Its errors are those of the client, and [`SpeculationError`] (for gRPC as the source of a
/// [`tonic::Status`] with the code that the module documentation gives for it).
///
/// ```
/// # let channel = tower::service_fn(async |_: http::Request<String>| Ok::<_, tower::BoxError>(http::Response::new(())));
/// use leap::tower::{ClientLayer, ClientService};
/// use tower::ServiceBuilder;
///
/// let client: ClientService<_> = ServiceBuilder::new().layer(ClientLayer::new()).service(channel);
/// ```
#[derive(Clone, Debug)]
pub struct ClientService<S> {
    inner: S,
    layer: ClientLayer,
}

impl<S, Q, B> Service<Request<Q>> for ClientService<S>
where
    S: Service<Request<Q>, Response = Response<B>> + Clone + Send + 'static,
    S::Error: Into<BoxError>,
    S::Future: Send,
    Q: Send + 'static,
    B: Send + 'static,
{
    type Response = Response<B>;
    type Error = BoxError;
    type Future = BoxFuture<'static, Result<Response<B>, BoxError>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.inner.poll_ready(cx).map_err(Into::into)
    }

    fn call(&mut self, mut request: Request<Q>) -> Self::Future {
        let explicit = request.extensions().get::<Speculative>().cloned();
        let Some(speculative) = explicit.or_else(Speculative::current) else {
            let response = self.inner.call(request);
            return Box::pin(async { response.await.map_err(Into::into) });
        };
        let manner = Manner::of(request.headers());
        let layer = self.layer.clone();
        if layer.send_now(&speculative, manner, request.headers_mut()) {
            let response = self.inner.call(request);
            return Box::pin(answer(layer, speculative, manner, response));
        }
        // The clone may not be ready; what was made ready must be what is called.
        let clone = self.inner.clone();
        let mut inner = std::mem::replace(&mut self.inner, clone);
        Box::pin(async move {
            let sent = layer.send(&speculative, manner, request.headers_mut());
            sent.await.map_err(|error| failure(manner, error))?;
            let response = inner.call(request);
            answer(layer, speculative, manner, response).await
        })
    }
}

/// Waits for the response, and lets the sthread see it.
async fn answer<B, E: Into<BoxError>>(
    layer: ClientLayer,
    speculative: Speculative,
    manner: Manner,
    response: impl Future<Output = Result<Response<B>, E>>,
) -> Result<Response<B>, BoxError> {
    let response = response.await.map_err(Into::into)?;
    let received = layer.receive(&speculative, manner, response.headers());
    received.await.map_err(|error| failure(manner, error))?;
    Ok(response)
}

/// Generated gRPC clients find a status among the sources of an error, and nothing else.
fn failure(manner: Manner, error: SpeculationError) -> BoxError {
    match manner {
        Manner::Grpc => Status::from(error).into(),
        Manner::Plain => error.into(),
    }
}
