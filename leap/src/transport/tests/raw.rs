//! Clients that are not ours: raw TCP, and gRPC without a [`Connection`].

use hyper_util::rt::{TokioExecutor, TokioIo};
use tonic::body::Body;

use super::*;
use crate::transport::grpc::Requests;

/// A gRPC client on an HTTP/2 connection of its own.
pub(super) async fn client(address: &str) -> LeapClient<Requests> {
    let origin: http::Uri = address.parse().unwrap();
    let socket = TcpStream::connect(authority(address)).await.unwrap();
    let (requests, driver) = hyper::client::conn::http2::handshake::<_, _, Body>(
        TokioExecutor::new(),
        TokioIo::new(socket),
    )
    .await
    .unwrap();
    tokio::spawn(driver);
    LeapClient::with_origin(Requests(requests), origin)
}

/// Sends `bytes` and gives everything that comes back until the server closes.
pub(super) async fn exchange(address: &str, bytes: &[u8]) -> String {
    let mut socket = TcpStream::connect(authority(address)).await.unwrap();
    socket.write_all(bytes).await.unwrap();
    let mut answer = Vec::new();
    // A reset instead of an orderly end is an end too.
    let _ = socket.read_to_end(&mut answer).await;
    String::from_utf8_lossy(&answer).into_owned()
}

fn authority(address: &str) -> &str {
    address.strip_prefix("http://").unwrap()
}

#[tokio::test]
async fn garbage_over_tcp_harms_nobody() {
    let mut party = Party::grpc().await;
    let preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".as_slice();
    let garbage = [
        b"\xff\xfe\xfd garbage \r\n\r\n".as_slice(),
        b"GET / HTTP/9.9\r\n\r\n".as_slice(),
        &[preface, &[0xff; 64]].concat(),
        &[
            preface,
            b"\x00\x00\x04\x08\x00\x00\x00\x00\x00\x00\x00\x00\x00".as_slice(),
        ]
        .concat(),
    ];
    for bytes in garbage {
        exchange(party.listener.address(), bytes).await;
    }
    let (near, mut far) = party.connection().await;
    near.outgoing.send(small(1));
    assert_eq!(receive(&mut far, 1).await, [small(1)]);
}

#[tokio::test]
async fn batches_of_garbage_over_grpc_end_the_connection() {
    let mut party = Party::grpc().await;
    for frames in [vec![Bytes::new()], vec![Bytes::from_static(&[1, 99])]] {
        let mut client = client(party.listener.address()).await;
        let batches = futures::stream::iter([proto::Batch { frames }]);
        let mut answers = client.connect(batches).await.unwrap().into_inner();
        let mut far = party.listener.accept().await.unwrap();
        assert!(receive_rest(&mut far).await.is_empty());
        // An error that says so, or the socket is gone already: in no case an orderly end.
        assert!(answers.message().await.is_err());
    }
}

#[tokio::test]
async fn a_batch_that_is_too_large_ends_the_connection() {
    let mut party = Party::grpc().await;
    let mut client = client(party.listener.address()).await;
    let frames = vec![Bytes::from(vec![1; MAX_FRAME_BYTES]); 2];
    let batches = futures::stream::iter([proto::Batch { frames }]);
    let _answers = client.connect(batches).await;
    let mut far = party.listener.accept().await.unwrap();
    assert!(receive_rest(&mut far).await.is_empty());
    assert!(far.outgoing.is_closed());
}

#[tokio::test]
async fn a_server_that_is_not_ours_is_refused() {
    let other = axum::Router::new();
    let socket = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}", socket.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(socket, other).await });
    let refused = Network::grpc().connect(&address).await;
    assert!(
        matches!(
            refused,
            Err(TransportError::Refused { .. } | TransportError::Handshake { .. })
        ),
        "{refused:?}"
    );
}

/// A peer whose machine has gone answers nothing at all: its kernel does not even close.
#[tokio::test]
async fn a_peer_that_falls_silent_is_noticed() {
    let mut party = Party::grpc().await;
    // Between the two sits a relay that stops relaying.
    let relay = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let through_relay = format!("http://{}", relay.local_addr().unwrap());
    let target = authority(party.listener.address()).to_owned();
    let relaying = tokio::spawn(async move {
        let (mut near, _) = relay.accept().await.unwrap();
        let mut far = TcpStream::connect(target).await.unwrap();
        let silence = std::sync::Arc::new(tokio::sync::Notify::new());
        let stop = silence.clone();
        let relayed = tokio::spawn(async move {
            tokio::select! {
                _ = tokio::io::copy_bidirectional(&mut near, &mut far) => {}
                () = silence.notified() => {}
            }
            (near, far)
        });
        (stop, relayed)
    });
    let mut near = Network::grpc().connect(&through_relay).await.unwrap();
    let mut far = party.listener.accept().await.unwrap();
    let (stop, relayed) = relaying.await.unwrap();
    stop.notify_one();
    let _open_sockets = relayed.await.unwrap();
    assert!(receive_rest(&mut near).await.is_empty());
    assert!(receive_rest(&mut far).await.is_empty());
    assert!(near.outgoing.is_closed() && far.outgoing.is_closed());
}
