//! The listening side of the gRPC network: one port for connections of other processes, for calls
//! from outside and for whatever HTTP routes the process adds.

use std::{
    future::Future,
    io,
    pin::{Pin, pin},
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use axum::Router;
use futures::{
    Stream, StreamExt as _,
    future::{BoxFuture, FutureExt as _},
};
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::conn::auto,
};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{Notify, mpsc, watch},
};
use tonic::{Request, Response, Status, Streaming};
use tower::Service as _;

use super::{
    Connection, FrameReceiver, FrameSender, Listener, Listening, TransportError,
    grpc::{MAX_BATCH_BYTES, Outgoing, http2_settings as settings},
    outbox::{Outbox, Phase},
    proto::{
        Batch, CallReply, CallRequest,
        leap_server::{Leap, LeapServer},
    },
    receiver::{Batches, Remains, Source, see_off},
};

/// How many connections may wait to be accepted.
const BACKLOG: usize = 64;

/// How long the listener rests when the system has no more sockets for it.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// How long a client may take to send the head of an HTTP/1 request.
const HEAD_TIMEOUT: Duration = Duration::from_secs(10);

/// Answers calls from outside.
#[derive(Clone)]
pub(crate) struct CallHandler(
    Arc<dyn Fn(Request<CallRequest>) -> BoxFuture<'static, CallResult> + Send + Sync>,
);

type CallResult = Result<Response<CallReply>, Status>;

impl CallHandler {
    /// Calls are answered by `handler`.
    pub(crate) fn new<F, R>(handler: F) -> Self
    where
        F: Fn(Request<CallRequest>) -> R + Send + Sync + 'static,
        R: Future<Output = CallResult> + Send + 'static,
    {
        Self(Arc::new(move |request| handler(request).boxed()))
    }

    pub(super) async fn call(&self, request: Request<CallRequest>) -> CallResult {
        (self.0)(request).await
    }
}

impl std::fmt::Debug for CallHandler {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("CallHandler")
    }
}

impl Default for CallHandler {
    /// Refuses every call.
    fn default() -> Self {
        Self::new(|_| async { Err(Status::unimplemented("this process takes no calls")) })
    }
}

/// What else is served on the port of a listener.
#[derive(Clone, Default)]
pub(crate) struct Services {
    /// Answers the gRPC method `Call`.
    pub(crate) calls: CallHandler,
    /// Everything else, HTTP/1 and HTTP/2 alike.
    pub(crate) routes: Router,
}

pub(super) async fn listen(address: &str, services: Services) -> Result<Listener, TransportError> {
    let refuse = |source| TransportError::Listen {
        address: address.to_owned(),
        source,
    };
    let bind = address.strip_prefix("http://").unwrap_or(address);
    let socket = TcpListener::bind(bind).await.map_err(refuse)?;
    let address = format!("http://{}", socket.local_addr().map_err(refuse)?);
    let (connections, accepted) = mpsc::channel(BACKLOG);
    Ok(Listener {
        address,
        accepted,
        _listening: Listening::Grpc(Server::start(socket, router(connections, services))),
    })
}

/// Everything that is served on the port.
fn router(connections: mpsc::Sender<Connection>, services: Services) -> Router {
    let leap = LeapServer::new(Service {
        connections,
        calls: services.calls,
    })
    .max_decoding_message_size(MAX_BATCH_BYTES);
    services
        .routes
        .route_service("/leap.v1.Leap/{method}", leap)
        .with_state(())
}

struct Service {
    connections: mpsc::Sender<Connection>,
    calls: CallHandler,
}

#[tonic::async_trait]
impl Leap for Service {
    type ConnectStream = Answer;

    async fn connect(
        &self,
        request: Request<Streaming<Batch>>,
    ) -> Result<Response<Answer>, Status> {
        let socket = request.extensions().get::<Socket>().cloned();
        let outbox = Outbox::new(socket.as_ref().map_or("", |socket| &socket.peer));
        let (batches, remains) = Batches::new(request.into_inner());
        if let Some(Socket { tear_down, .. }) = socket {
            tokio::spawn(tear_down_in_time(Arc::clone(&outbox), remains, tear_down));
        }
        let connection = Connection {
            outgoing: FrameSender::new(Arc::clone(&outbox)),
            incoming: FrameReceiver::new(Source::Grpc(batches), Arc::clone(&outbox)),
        };
        self.connections
            .send(connection)
            .await
            .map_err(|_| Status::unavailable("this process takes no connections"))?;
        Ok(Response::new(Answer {
            batches: Outgoing(Arc::clone(&outbox)),
            outbox,
        }))
    }

    async fn call(&self, request: Request<CallRequest>) -> CallResult {
        (self.calls.0)(request).await
    }
}

/// The stream that answers a connection.
struct Answer {
    batches: Outgoing,
    outbox: Arc<Outbox>,
}

impl Stream for Answer {
    type Item = Result<Batch, Status>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let batch = ready!(self.batches.poll_next_unpin(cx));
        Poll::Ready(match batch {
            Some(batch) => Some(Ok(batch)),
            None if self.outbox.phase() == Phase::Aborted => {
                Some(Err(Status::aborted("the connection is broken")))
            }
            None => None,
        })
    }
}

/// The TCP connection that a request came on.
#[derive(Clone)]
struct Socket {
    peer: Arc<str>,
    tear_down: Arc<Notify>,
}

async fn tear_down_in_time(outbox: Arc<Outbox>, remains: Remains, tear_down: Arc<Notify>) {
    if see_off(&outbox, remains).await {
        tear_down.notify_one();
    }
}

/// A listening socket and the task that serves it. Dropping it stops listening.
#[derive(Debug)]
pub(super) struct Server {
    _stop: watch::Sender<()>,
}

impl Server {
    fn start(socket: TcpListener, router: Router) -> Self {
        let (stop, stopped) = watch::channel(());
        tokio::spawn(accept_until(socket, router, stopped));
        Self { _stop: stop }
    }
}

async fn accept_until(socket: TcpListener, router: Router, stopped: watch::Receiver<()>) {
    let mut stop = stopped.clone();
    loop {
        tokio::select! {
            _ = stop.changed() => return,
            accepted = socket.accept() => match accepted {
                Ok((stream, peer)) => {
                    tokio::spawn(serve(stream, peer.to_string(), router.clone(), stopped.clone()));
                }
                Err(error) => rest_after(&error).await,
            },
        }
    }
}

/// Most errors concern the one client that is gone again; being out of sockets concerns all.
async fn rest_after(error: &io::Error) {
    tracing::warn!(%error, "cannot accept a connection");
    tokio::time::sleep(ACCEPT_PAUSE).await;
}

/// Serves one TCP connection until it ends, must be torn down, or (having answered what it was
/// asked) the server stops.
async fn serve(stream: TcpStream, peer: String, router: Router, mut stopped: watch::Receiver<()>) {
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, peer, "client gone before it was served");
        return;
    }
    let socket = Socket {
        peer: peer.into(),
        tear_down: Arc::new(Notify::new()),
    };
    let builder = http_settings();
    let mut connection = pin!(builder.serve_connection_with_upgrades(
        TokioIo::new(stream),
        hyper::service::service_fn(|mut request| {
            request.extensions_mut().insert(socket.clone());
            router.clone().call(request)
        }),
    ));
    let result = tokio::select! {
        result = connection.as_mut() => result,
        () = socket.tear_down.notified() => return,
        _ = stopped.changed() => {
            connection.as_mut().graceful_shutdown();
            tokio::select! {
                result = connection.as_mut() => result,
                () = socket.tear_down.notified() => return,
            }
        }
    };
    if let Err(error) = result {
        tracing::debug!(error, peer = &*socket.peer, "client connection ended");
    }
}

fn http_settings() -> auto::Builder<TokioExecutor> {
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT);
    builder
        .http2()
        .timer(TokioTimer::new())
        .initial_stream_window_size(settings::STREAM_WINDOW_BYTES)
        .initial_connection_window_size(settings::CONNECTION_WINDOW_BYTES)
        .max_frame_size(settings::MAX_FRAME_BYTES)
        .max_send_buf_size(settings::SEND_BUFFER_BYTES)
        .keep_alive_interval(settings::KEEP_ALIVE_INTERVAL)
        .keep_alive_timeout(settings::KEEP_ALIVE_TIMEOUT);
    builder
}
