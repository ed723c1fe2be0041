//! The body of a response that may come to depend on more than its head has told.

use std::{
    pin::Pin,
    task::{Context, Poll, ready},
};

use crate::BarrierError;
use bytes::Bytes;
use futures::future::BoxFuture;
use http::HeaderMap;
use http_body::{Body, Frame, SizeHint};
use leap_core::Header;
use pin_project_lite::pin_project;
use tonic::Status;
use tower::BoxError;

use super::{error::SpeculationError, metadata::Manner, speculative::Speculative};

pin_project! {
    /// The body of a response that has passed a [`ServerLayer`](super::ServerLayer): each part of it leaves
    /// when what it depends on was told with the head of the response, or is inside the boundary
    /// (rule P8). If it is rolled back instead, the body ends with an error: a gRPC stream with the
    /// status `UNAVAILABLE` (`ABORTED` for a caller that is inside), any other is broken off.
    ///
    /// ```
    /// # leap::testing::run_example(async {
    /// use axum::body::{Body, to_bytes};
    /// use leap::tower::{ReleasedBody, ServerLayer};
    /// use tower::{Layer, Service, service_fn};
    ///
    /// # let host = leap::Host::builder().start().await?;
    /// let handler = service_fn(async |_: http::Request<Body>| {
    ///     Ok::<_, std::convert::Infallible>(http::Response::new(Body::from("well")))
    /// });
    /// let mut service = ServerLayer::new(&host).layer(handler);
    /// let response = service.call(http::Request::new(Body::empty())).await?;
    /// let body: ReleasedBody<Body> = response.into_body();
    /// assert_eq!(to_bytes(Body::new(body), 100).await?, "well");
    /// # Ok(())
    /// # });
    /// ```
    pub struct ReleasedBody<B> {
        #[pin]
        source: Source<B>,
    }
}

pin_project! {
    #[project = SourceProjection]
    enum Source<B> {
        Handler { #[pin] body: B, gate: Gate },
        Refusal { text: Option<Bytes> },
    }
}

/// Decides what may leave.
pub(super) struct Gate {
    speculative: Speculative,
    /// What the receiver has been told that it depends on: nothing, if it is outside.
    told: Header,
    manner: Manner,
    is_outside: bool,
    held: Option<Held>,
    is_over: bool,
}

/// A part of the body that waits to be released.
struct Held {
    frame: Frame<Bytes>,
    released: BoxFuture<'static, Result<(), BarrierError>>,
}

impl<B> ReleasedBody<B> {
    pub(super) fn new(body: B, gate: Gate) -> Self {
        let source = Source::Handler { body, gate };
        Self { source }
    }

    pub(super) fn refusal(text: impl Into<Bytes>) -> Self {
        let text = Some(text.into());
        Self {
            source: Source::Refusal { text },
        }
    }
}

/// Empty.
impl<B> Default for ReleasedBody<B> {
    fn default() -> Self {
        Self {
            source: Source::Refusal { text: None },
        }
    }
}

impl<B> Body for ReleasedBody<B>
where
    B: Body<Data = Bytes>,
    B::Error: Into<BoxError>,
{
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        match self.project().source.project() {
            SourceProjection::Handler { body, gate } => gate.poll(body, cx),
            SourceProjection::Refusal { text } => {
                Poll::Ready(text.take().map(|text| Ok(Frame::data(text))))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.source {
            Source::Handler { body, gate } => {
                gate.is_over || gate.held.is_none() && body.is_end_stream()
            }
            Source::Refusal { text } => text.is_none(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.source {
            Source::Handler {
                gate: Gate { held: Some(_), .. },
                ..
            } => SizeHint::default(),
            Source::Handler { body, .. } => body.size_hint(),
            Source::Refusal { text } => {
                SizeHint::with_exact(text.as_ref().map_or(0, |text| text.len() as u64))
            }
        }
    }
}

impl Gate {
    pub(super) fn new(
        speculative: Speculative,
        told: Header,
        manner: Manner,
        is_outside: bool,
    ) -> Self {
        Self {
            speculative,
            told,
            manner,
            is_outside,
            held: None,
            is_over: false,
        }
    }

    /// Puts into the head of the response what the receiver is told.
    pub(super) fn tell(&self, headers: &mut HeaderMap) {
        if !self.is_outside {
            self.manner.insert(&self.told, headers);
        }
    }

    fn poll<B>(
        &mut self,
        body: Pin<&mut B>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>>
    where
        B: Body<Data = Bytes>,
        B::Error: Into<BoxError>,
    {
        if self.is_over {
            return Poll::Ready(None);
        }
        if self.held.is_none() {
            // A handler's stream may call other services while it is read.
            let next = self.speculative.sync_scope(|| body.poll_frame(cx));
            match ready!(next) {
                Some(Ok(frame)) if self.speculative.is_covered_by(&self.told) => {
                    return Poll::Ready(Some(Ok(frame)));
                }
                Some(Ok(frame)) => self.hold(frame),
                Some(Err(error)) => return Poll::Ready(Some(Err(error.into()))),
                None => return Poll::Ready(None),
            }
        }
        let held = self.held.as_mut().expect("it was held just now");
        let released = ready!(held.released.as_mut().poll(cx));
        let held = self.held.take().expect("it was held just now");
        Poll::Ready(Some(match released {
            Ok(()) => Ok(held.frame),
            Err(error) => self.end(error),
        }))
    }

    fn hold(&mut self, frame: Frame<Bytes>) {
        let (speculative, told) = (self.speculative.clone(), self.told.clone());
        let released = Box::pin(async move { speculative.release(&told).await });
        self.held = Some(Held { frame, released });
    }

    /// The last part of a body whose rest is lost.
    fn end(&mut self, why: BarrierError) -> Result<Frame<Bytes>, BoxError> {
        self.is_over = true;
        let error = unreleased(self.is_outside, why);
        match self.manner {
            Manner::Grpc => {
                let mut trailers = HeaderMap::new();
                Status::from(error).add_header(&mut trailers)?;
                Ok(Frame::trailers(trailers))
            }
            Manner::Plain => Err(error.into()),
        }
    }
}

/// What somebody outside, or inside, is told when the answer cannot be released.
pub(super) fn unreleased(is_outside: bool, why: BarrierError) -> SpeculationError {
    match why {
        BarrierError::RolledBack(_) if is_outside => SpeculationError::Unreleased,
        why => why.into(),
    }
}
