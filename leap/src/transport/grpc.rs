//! The calling side of the gRPC network: one HTTP/2 connection per [`Connection`], so that breaking
//! one means no more than dropping its socket, and a stalled link stalls no other.

use std::{
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use futures::{Stream, future::BoxFuture};
use http::Uri;
use hyper::{body::Incoming, client::conn::http2, rt::Executor};
use hyper_util::rt::{TokioIo, TokioTimer};
use parking_lot::Mutex;
use tokio::{net::TcpStream, task::AbortHandle};
use tonic::body::Body;
use tower::BoxError;

use super::{
    Connection, FrameReceiver, FrameSender, TransportError,
    frame::MAX_FRAME_BYTES,
    outbox::{Outbox, Taken},
    proto::{Batch, leap_client::LeapClient},
    receiver::{Batches, Remains, Source, see_off},
};

/// A batch is sent once it has this many bytes; only a single larger frame makes a larger batch.
const BATCH_BYTES: usize = 64 << 10;

/// The largest batch that can come of that, with what protobuf adds.
pub(super) const MAX_BATCH_BYTES: usize = MAX_FRAME_BYTES + 2 * BATCH_BYTES;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);

/// Settings of HTTP/2 for both sides. The windows hold what a fast link carries while the reader is
/// not scheduled; a dead peer is noticed after the interval and the timeout of the keep-alive.
pub(super) mod http2_settings {
    use std::time::Duration;

    pub(in super::super) const STREAM_WINDOW_BYTES: u32 = 4 << 20;
    pub(in super::super) const CONNECTION_WINDOW_BYTES: u32 = 8 << 20;
    pub(in super::super) const MAX_FRAME_BYTES: u32 = 256 << 10;
    pub(in super::super) const SEND_BUFFER_BYTES: usize = 1 << 20;
    pub(in super::super) const KEEP_ALIVE_INTERVAL: Duration = Duration::from_secs(1);
    pub(in super::super) const KEEP_ALIVE_TIMEOUT: Duration = Duration::from_secs(1);
}

pub(super) async fn connect(address: &str) -> Result<Connection, TransportError> {
    tokio::time::timeout(CONNECT_TIMEOUT, open(address))
        .await
        .unwrap_or_else(|_| {
            Err(TransportError::Timeout {
                address: address.to_owned(),
                waited: CONNECT_TIMEOUT,
            })
        })
}

async fn open(address: &str) -> Result<Connection, TransportError> {
    let origin = parse(address)?;
    let socket = dial(address, &origin).await?;
    let tasks = Tasks::default();
    let requests = handshake(address, socket, &tasks).await?;
    let outbox = Outbox::new(address);
    let stream = LeapClient::with_origin(requests, origin)
        .max_decoding_message_size(MAX_BATCH_BYTES)
        .connect(Outgoing(Arc::clone(&outbox)))
        .await
        .map_err(|status| TransportError::Refused {
            address: address.to_owned(),
            source: Box::new(status),
        })?
        .into_inner();
    let (batches, remains) = Batches::new(stream);
    tokio::spawn(tear_down_in_time(Arc::clone(&outbox), remains, tasks));
    Ok(Connection {
        outgoing: FrameSender::new(Arc::clone(&outbox)),
        incoming: FrameReceiver::new(Source::Grpc(batches), outbox),
    })
}

pub(super) fn parse(address: &str) -> Result<Uri, TransportError> {
    let refuse = |reason: &str| TransportError::Address {
        address: address.to_owned(),
        reason: reason.to_owned(),
    };
    let uri: Uri = address
        .parse()
        .map_err(|error: http::uri::InvalidUri| refuse(&error.to_string()))?;
    match (uri.scheme_str(), uri.host(), uri.port_u16()) {
        (Some("http"), Some(host), Some(_)) if !host.is_empty() => Ok(uri),
        (Some("http"), _, _) => Err(refuse("the host or the port is missing")),
        (Some(_), _, _) => Err(refuse("only http is spoken")),
        (None, _, _) => Err(refuse("it does not begin with http://")),
    }
}

async fn dial(address: &str, origin: &Uri) -> Result<TcpStream, TransportError> {
    let authority = origin
        .authority()
        .map_or("", |authority| authority.as_str());
    let connect = async {
        let socket = TcpStream::connect(authority).await?;
        socket.set_nodelay(true)?;
        Ok(socket)
    };
    connect.await.map_err(|source| TransportError::Connect {
        address: address.to_owned(),
        source,
    })
}

async fn handshake(
    address: &str,
    socket: TcpStream,
    tasks: &Tasks,
) -> Result<Requests, TransportError> {
    use http2_settings as settings;
    let (requests, dispatch) = http2::Builder::new(tasks.clone())
        .timer(TokioTimer::new())
        .initial_stream_window_size(settings::STREAM_WINDOW_BYTES)
        .initial_connection_window_size(settings::CONNECTION_WINDOW_BYTES)
        .max_frame_size(settings::MAX_FRAME_BYTES)
        .max_send_buf_size(settings::SEND_BUFFER_BYTES)
        .keep_alive_interval(settings::KEEP_ALIVE_INTERVAL)
        .keep_alive_timeout(settings::KEEP_ALIVE_TIMEOUT)
        .handshake(TokioIo::new(socket))
        .await
        .map_err(|source| TransportError::Handshake {
            address: address.to_owned(),
            source,
        })?;
    tasks.execute(dispatch);
    Ok(Requests(requests))
}

async fn tear_down_in_time(outbox: Arc<Outbox>, remains: Remains, tasks: Tasks) {
    if see_off(&outbox, remains).await {
        tasks.abort();
    }
}

/// The tasks that hyper runs for one HTTP/2 connection; one of them owns the socket. They end by
/// themselves once the connection is closed by either side.
#[derive(Clone, Default)]
struct Tasks(Arc<Mutex<Vec<AbortHandle>>>);

impl Tasks {
    fn abort(&self) {
        self.0.lock().iter().for_each(AbortHandle::abort);
    }
}

impl<F> Executor<F> for Tasks
where
    F: Future<Output: Send> + Send + 'static,
{
    fn execute(&self, task: F) {
        self.0.lock().push(tokio::spawn(task).abort_handle());
    }
}

/// One HTTP/2 connection as a service.
pub(super) struct Requests(pub(super) http2::SendRequest<Body>);

impl tower::Service<http::Request<Body>> for Requests {
    type Response = http::Response<Incoming>;
    type Error = BoxError;
    type Future = BoxFuture<'static, Result<Self::Response, BoxError>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.0.poll_ready(cx).map_err(BoxError::from)
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        let response = self.0.send_request(request);
        Box::pin(async {
            let response = response.await?;
            if response.status() == http::StatusCode::OK {
                Ok(response)
            } else {
                Err(format!("it answers {}, as no gRPC server does", response.status()).into())
            }
        })
    }
}

/// What is in an outbox, as batches: at once when something comes, together what has come meanwhile.
#[derive(Debug)]
pub(super) struct Outgoing(pub(super) Arc<Outbox>);

impl Stream for Outgoing {
    type Item = Batch;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Batch>> {
        Poll::Ready(match ready!(self.0.poll_take(cx, BATCH_BYTES)) {
            Taken::Frames(frames) => Some(Batch { frames }),
            Taken::NotBefore(_) => unreachable!("only in-process links have latency"),
            Taken::End => None,
        })
    }
}

impl Drop for Outgoing {
    fn drop(&mut self) {
        self.0.end();
    }
}
