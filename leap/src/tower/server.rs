//! The layer for services.

use std::{
    future::Future,
    task::{Context, Poll},
    time::Duration,
};

use axum::response::IntoResponse as _;
use bytes::Bytes;
use futures::future::BoxFuture;
use http::{Request, Response};
use http_body::Body;
use leap_core::Header;
use tonic::Status;
use tower::{BoxError, Layer, Service};

use super::{
    PATIENCE,
    body::{Gate, ReleasedBody, unreleased},
    error::SpeculationError,
    metadata::Manner,
    speculative::Speculative,
    within,
};
use crate::{BarrierError, Host, Stopped, WeakHost};

const HOST_GONE: SpeculationError = SpeculationError::Stopped(Stopped::HostGone);

/// Makes a tonic or axum service speak speculation; see the [module documentation](super).
///
/// Handlers find the request's sthread as [`Speculative`]. A request without a header is from the outside
/// world, and what is said to it is released when it is inside the boundary (rule P8).
///
/// It does not keep the host alive; without the host, requests are refused with `UNAVAILABLE` or 503.
///
/// ```
/// use std::time::Duration;
///
/// use axum::{Router, routing};
/// use leap::Host;
/// use leap::tower::ServerLayer;
///
/// # leap::testing::run_example(async {
/// let host = Host::builder().start().await?;
/// let layer = ServerLayer::new(&host).patience(Duration::from_secs(2));
/// let routes: Router = Router::new().route("/", routing::get(async || "well")).layer(layer);
/// # let _ = routes;
/// # Ok(())
/// # });
/// ```
#[derive(Clone)]
pub struct ServerLayer {
    host: WeakHost,
    patience: Duration,
}

impl ServerLayer {
    /// A layer for services that work with objects of `host`.
    ///
    /// ```
    /// # leap::testing::run_example(async {
    /// use axum::{Router, routing};
    /// use leap::tower::ServerLayer;
    ///
    /// # let host = leap::Host::builder().start().await?;
    /// let routes: Router = Router::new()
    ///     .route("/", routing::get(async || "well"))
    ///     .layer(ServerLayer::new(&host));
    /// # Ok(())
    /// # });
    /// ```
    pub fn new(host: &Host) -> Self {
        let host = host.downgrade();
        Self {
            host,
            patience: PATIENCE,
        }
    }

    /// How long a request that is ahead of what the host knows may wait for it; 10 s unless set.
    ///
    /// ```
    /// # leap::testing::run_example(async {
    /// use std::time::Duration;
    ///
    /// use leap::tower::ServerLayer;
    ///
    /// # let host = leap::Host::builder().start().await?;
    /// let layer = ServerLayer::new(&host).patience(Duration::from_secs(2));
    /// # Ok(())
    /// # });
    /// ```
    #[must_use]
    pub fn patience(mut self, patience: Duration) -> Self {
        self.patience = patience;
        self
    }

    /// An sthread that has consumed the request's header; nothing if that is ahead of what the host knows.
    fn admit_now(&self, header: Option<&Header>) -> Result<Option<Speculative>, SpeculationError> {
        let host = self.host.upgrade().ok_or(HOST_GONE)?;
        let Some(mut sthread) = host.sthread_now() else {
            return Ok(None);
        };
        if let Some(header) = header
            && !sthread.try_receive(header)?
        {
            return Ok(None);
        }
        Ok(Some(Speculative::new(sthread)))
    }

    /// As [`ServerLayer::admit_now`], but waits.
    async fn admit(&self, header: Option<&Header>) -> Result<Speculative, SpeculationError> {
        let admitted = async {
            let host = self.host.upgrade().ok_or(HOST_GONE)?;
            let mut sthread = host.sthread().await;
            if let Some(header) = header {
                sthread.receive(header).await?;
            }
            Ok(Speculative::new(sthread))
        };
        within(self.patience, admitted).await?
    }
}

impl<S> Layer<S> for ServerLayer {
    type Service = ServerService<S>;

    fn layer(&self, inner: S) -> ServerService<S> {
        let layer = self.clone();
        ServerService { inner, layer }
    }
}

/// What [`ServerLayer`] makes of a service.
///
/// ```
/// # leap::testing::run_example(async {
/// use axum::body::Body;
/// use leap::tower::{ServerLayer, ServerService, Speculative};
/// use tower::{Layer, Service, service_fn};
///
/// # let host = leap::Host::builder().start().await?;
/// let handler = service_fn(async |request: http::Request<Body>| {
///     assert!(request.extensions().get::<Speculative>().is_some(), "the layer has made it one");
///     Ok::<_, std::convert::Infallible>(http::Response::new(Body::from("well")))
/// });
/// let mut service: ServerService<_> = ServerLayer::new(&host).layer(handler);
/// let response = service.call(http::Request::new(Body::empty())).await?;
/// assert_eq!(response.status(), 200);
/// # Ok(())
/// # });
/// ```
#[derive(Clone)]
pub struct ServerService<S> {
    inner: S,
    layer: ServerLayer,
}

impl<S, Q, B> Service<Request<Q>> for ServerService<S>
where
    S: Service<Request<Q>, Response = Response<B>> + Clone + Send + 'static,
    S::Future: Send,
    Q: Send + 'static,
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    type Response = Response<ReleasedBody<B>>;
    type Error = S::Error;
    type Future = BoxFuture<'static, Result<Self::Response, S::Error>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request<Q>) -> Self::Future {
        let manner = Manner::of(request.headers());
        let admitted = manner
            .extract(request.headers())
            .and_then(|header| Ok((self.layer.admit_now(header.as_ref())?, header)));
        match admitted {
            Err(error) => Box::pin(async move { Ok(refuse(manner, error)) }),
            Ok((Some(speculative), header)) => {
                request.extensions_mut().insert(speculative.clone());
                let response = speculative.sync_scope(|| self.inner.call(request));
                Box::pin(answer(speculative, response, manner, header.is_none()))
            }
            Ok((None, header)) => {
                // The clone may not be ready; what was made ready must be what is called.
                let clone = self.inner.clone();
                let mut inner = std::mem::replace(&mut self.inner, clone);
                let layer = self.layer.clone();
                Box::pin(async move {
                    let speculative = match layer.admit(header.as_ref()).await {
                        Ok(speculative) => speculative,
                        Err(error) => return Ok(refuse(manner, error)),
                    };
                    request.extensions_mut().insert(speculative.clone());
                    let response = speculative.sync_scope(|| inner.call(request));
                    answer(speculative, response, manner, header.is_none()).await
                })
            }
        }
    }
}

/// Waits for the handler's answer, and makes it fit to leave.
async fn answer<B, E>(
    speculative: Speculative,
    response: impl Future<Output = Result<Response<B>, E>>,
    manner: Manner,
    is_outside: bool,
) -> Result<Response<ReleasedBody<B>>, E> {
    let response = speculative.scope(response).await?;
    Ok(match tell(&speculative, is_outside).await {
        Ok(told) => release(response, Gate::new(speculative, told, manner, is_outside)),
        Err(error) => refuse(manner, unreleased(is_outside, error)),
    })
}

/// What the caller may be told now, and that it depends on it.
async fn tell(speculative: &Speculative, is_outside: bool) -> Result<Header, BarrierError> {
    if !is_outside {
        return speculative.portable_header().await;
    }
    // Rule P8: not even that there is an answer.
    speculative.barrier().await?;
    Ok(Header::default())
}

fn release<B>(mut response: Response<B>, gate: Gate) -> Response<ReleasedBody<B>> {
    gate.tell(response.headers_mut());
    response.map(|body| ReleasedBody::new(body, gate))
}

fn refuse<B>(manner: Manner, error: SpeculationError) -> Response<ReleasedBody<B>> {
    tracing::debug!(%error, "a request is refused");
    match manner {
        Manner::Grpc => Status::from(error).into_http(),
        Manner::Plain => {
            let text = error.to_string();
            error.into_response().map(|_| ReleasedBody::refusal(text))
        }
    }
}
