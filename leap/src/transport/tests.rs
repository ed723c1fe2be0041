//! One suite of behaviour for both networks, then what only one of them can show.

use std::time::Duration;

use axum::{Router, routing};
use bytes::Bytes;
use leap_core::{ObjectId, PeerMessage, Seq};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};
use tonic::{Code, Request, Response, Status};

use super::{frame::Encoded, outbox::QUEUE_LIMIT_BYTES, proto::leap_client::LeapClient, *};

mod cost;
mod raw;

/// A party that others can connect to.
struct Party {
    network: Network,
    listener: Listener,
}

impl Party {
    async fn grpc() -> Self {
        let network = Network::grpc();
        let listener = network.listen("127.0.0.1:0").await.expect("a free port");
        Self { network, listener }
    }

    async fn in_process() -> Self {
        let network = Network::in_process();
        let listener = network.listen("hotel").await.expect("a free name");
        Self { network, listener }
    }

    /// Both ends of a new connection: the caller's and this party's.
    async fn connection(&mut self) -> (Connection, Connection) {
        let (near, far) = tokio::join!(
            self.network.connect(&self.listener.address),
            self.listener.accepted.recv(),
        );
        (near.expect("the party listens"), far.expect("it is open"))
    }
}

/// The frame with number `n`, and `bytes` of ballast.
fn frame(n: u64, bytes: usize) -> Frame {
    Frame::Peer {
        from: ObjectId(n),
        to: ObjectId(0),
        message: PeerMessage::Channel(leap_core::ChannelMessage {
            seq: Seq(n),
            header: leap_core::Header::default(),
            payload: Bytes::from(vec![7; bytes]),
        }),
    }
}

/// A frame that says no more than its number.
fn small(n: u64) -> Frame {
    frame(n, 0)
}

async fn receive(connection: &mut Connection, count: usize) -> Vec<Frame> {
    let mut frames = Vec::new();
    while frames.len() < count && connection.incoming.recv_many(&mut frames).await > 0 {}
    frames
}

/// All frames up to the end of the connection.
async fn receive_rest(connection: &mut Connection) -> Vec<Frame> {
    receive(connection, usize::MAX).await
}

async fn frames_arrive_in_order_both_ways(mut party: Party) {
    let (mut near, mut far) = party.connection().await;
    for n in 0..10_000 {
        near.outgoing.send(small(n));
        far.outgoing.send(small(n + 1_000_000));
    }
    let expected: Vec<_> = (0..10_000).map(small).collect();
    assert_eq!(receive(&mut far, expected.len()).await, expected);
    let expected: Vec<_> = (1_000_000..1_010_000).map(small).collect();
    assert_eq!(receive(&mut near, expected.len()).await, expected);
}

async fn frames_of_every_size_arrive(mut party: Party) {
    let (near, mut far) = party.connection().await;
    let sizes = [
        0,
        1,
        127,
        128,
        65_535,
        65_536,
        1 << 20,
        MAX_FRAME_BYTES - 64,
        3,
    ];
    let expected: Vec<_> = (0..).zip(sizes).map(|(n, size)| frame(n, size)).collect();
    for frame in &expected {
        near.outgoing.send(frame);
    }
    let received = receive(&mut far, expected.len()).await;
    assert!(received == expected, "what arrived is not what was sent");
    assert!(!near.outgoing.is_closed());
}

async fn what_was_sent_before_a_close_arrives(mut party: Party) {
    for caller_closes in [true, false] {
        let (near, far) = party.connection().await;
        let (closing, mut staying) = if caller_closes {
            (near, far)
        } else {
            (far, near)
        };
        let expected: Vec<_> = (0..100).map(|n| frame(n, 10_000)).collect();
        for frame in &expected {
            closing.outgoing.send(frame);
        }
        drop(closing);
        let arrived = receive_rest(&mut staying).await;
        assert!(
            arrived == expected,
            "{} of 100 arrived ({caller_closes})",
            arrived.len()
        );
        assert!(staying.outgoing.is_closed());
    }
}

async fn both_ends_learn_of_a_close(mut party: Party) {
    let (mut near, far) = party.connection().await;
    drop(far);
    assert!(receive_rest(&mut near).await.is_empty());
    assert!(near.outgoing.is_closed());
    // Sending goes nowhere, and does no harm.
    near.outgoing.send(small(1));
    assert!(receive_rest(&mut near).await.is_empty());
}

async fn an_end_that_only_sends_learns_that_the_peer_is_gone(mut party: Party) {
    for caller_goes in [true, false] {
        let (near, far) = party.connection().await;
        let (going, staying) = if caller_goes {
            (near, far)
        } else {
            (far, near)
        };
        drop(going.incoming);
        // Nobody reads `staying.incoming`, and still it learns of it.
        staying.outgoing.closed().await;
    }
}

async fn one_connects_again_after_a_break(mut party: Party) {
    for n in 0..3 {
        let (near, mut far) = party.connection().await;
        near.outgoing.send(small(n));
        assert_eq!(receive(&mut far, 1).await, [small(n)]);
    }
}

async fn a_peer_that_does_not_read_is_given_up(mut party: Party) {
    const BALLAST: usize = 1 << 20;
    let (mut near, mut far) = party.connection().await;
    let mut sent = 0;
    while !near.outgoing.is_closed() {
        near.outgoing.send(frame(sent, BALLAST));
        sent += 1;
        tokio::task::yield_now().await;
    }
    // The queue, the windows and send buffers of HTTP/2, and the sockets' own buffers.
    let most = QUEUE_LIMIT_BYTES + (32 << 20);
    assert!(
        sent as usize * BALLAST <= most,
        "{sent} frames of a mebibyte went into {most} bytes"
    );
    // The caller sees the end at once, the other when it reads what had arrived.
    assert!(receive_rest(&mut near).await.is_empty());
    let arrived = receive_rest(&mut far).await;
    for (n, arrived) in (0..).zip(&arrived) {
        assert!(
            *arrived == frame(n, BALLAST),
            "frame {n} is not what was sent"
        );
    }
    assert!((arrived.len() as u64) < sent);
    assert!(far.outgoing.is_closed());
}

async fn a_frame_that_is_too_large_breaks_the_connection(mut party: Party) {
    let (mut near, mut far) = party.connection().await;
    near.outgoing.send(frame(0, MAX_FRAME_BYTES));
    assert!(near.outgoing.is_closed());
    assert!(receive_rest(&mut near).await.is_empty());
    assert!(receive_rest(&mut far).await.is_empty());
}

async fn garbage_breaks_the_connection_after_what_came_before_it(mut party: Party) {
    let (mut near, mut far) = party.connection().await;
    near.outgoing.send(small(1));
    near.outgoing.send(Encoded(Bytes::from_static(b"garbage")));
    near.outgoing.send(small(2));
    assert_eq!(receive_rest(&mut far).await, [small(1)]);
    assert!(receive_rest(&mut near).await.is_empty());
}

async fn a_taken_address_is_refused_until_its_listener_is_gone(mut party: Party) {
    let address = party.listener.address().to_owned();
    assert!(matches!(
        party.network.listen(&address).await,
        Err(TransportError::Listen { .. })
    ));
    let (near, mut far) = party.connection().await;
    drop(party.listener);
    party.listener = listen_when_free(&party.network, &address).await;
    // A connection outlives the listener that accepted it.
    near.outgoing.send(small(1));
    assert_eq!(receive(&mut far, 1).await, [small(1)]);
    let (near, mut far) = party.connection().await;
    near.outgoing.send(small(2));
    assert_eq!(receive(&mut far, 1).await, [small(2)]);
}

async fn listen_when_free(network: &Network, address: &str) -> Listener {
    loop {
        match network.listen(address).await {
            Ok(listener) => return listener,
            Err(_) => tokio::task::yield_now().await,
        }
    }
}

async fn nobody_answers_where_nobody_listens(party: Party) {
    let address = party.listener.address().to_owned();
    drop(party.listener);
    drop(listen_when_free(&party.network, &address).await);
    let error = loop {
        // The socket closes when its task gets to it.
        match party.network.connect(&address).await {
            Ok(_) => tokio::task::yield_now().await,
            Err(error) => break error,
        }
    };
    assert!(
        matches!(
            error,
            TransportError::Connect { .. }
                | TransportError::Handshake { .. }
                | TransportError::Refused { .. }
                | TransportError::Unreachable { .. }
        ),
        "{error:?}"
    );
}

async fn a_receive_that_is_given_up_loses_nothing(mut party: Party) {
    let (near, mut far) = party.connection().await;
    let mut frames = Vec::new();
    for n in 0..100 {
        tokio::select! {
            biased;
            _ = far.incoming.recv_many(&mut frames) => {}
            () = std::future::ready(()) => {}
        }
        near.outgoing.send(small(n));
    }
    while frames.len() < 100 {
        assert!(far.incoming.recv_many(&mut frames).await > 0);
    }
    assert_eq!(frames, (0..100).map(small).collect::<Vec<_>>());
}

macro_rules! on_both_networks {
    ($($name:ident),* $(,)?) => {
        mod over_grpc {
            $(#[tokio::test] async fn $name() { super::$name(super::Party::grpc().await).await; })*
        }
        mod in_process {
            $(#[tokio::test(start_paused = true)]
            async fn $name() { super::$name(super::Party::in_process().await).await; })*
        }
    };
}

on_both_networks!(
    frames_arrive_in_order_both_ways,
    frames_of_every_size_arrive,
    what_was_sent_before_a_close_arrives,
    both_ends_learn_of_a_close,
    an_end_that_only_sends_learns_that_the_peer_is_gone,
    one_connects_again_after_a_break,
    a_peer_that_does_not_read_is_given_up,
    a_frame_that_is_too_large_breaks_the_connection,
    garbage_breaks_the_connection_after_what_came_before_it,
    a_taken_address_is_refused_until_its_listener_is_gone,
    nobody_answers_where_nobody_listens,
    a_receive_that_is_given_up_loses_nothing,
);

/// Three parties in one process: hotel and flight listen, car only connects.
async fn three_parties() -> (InProcess, Listener, Listener) {
    let hub = InProcess::default();
    let hotel = hub.network("hotel").listen("hotel").await.unwrap();
    let flight = hub.network("flight").listen("flight").await.unwrap();
    (hub, hotel, flight)
}

#[tokio::test(start_paused = true)]
async fn a_cut_breaks_one_link_until_it_heals() {
    let (hub, mut hotel, mut flight) = three_parties().await;
    let car = hub.network("car");
    let mut to_hotel = car.connect("hotel").await.unwrap();
    let to_flight = car.connect("flight").await.unwrap();
    let (mut at_hotel, mut at_flight) = (
        hotel.accept().await.unwrap(),
        flight.accept().await.unwrap(),
    );

    to_hotel.outgoing.send(small(1));
    hub.cut("hotel", "car");
    // What was in flight is lost.
    assert!(receive_rest(&mut at_hotel).await.is_empty());
    assert!(receive_rest(&mut to_hotel).await.is_empty());
    assert!(matches!(
        car.connect("hotel").await,
        Err(TransportError::Unreachable { .. })
    ));
    to_flight.outgoing.send(small(2));
    assert_eq!(receive(&mut at_flight, 1).await, [small(2)]);

    hub.heal("car", "hotel");
    car.connect("hotel").await.unwrap().outgoing.send(small(3));
    let mut at_hotel = hotel.accept().await.unwrap();
    assert_eq!(receive_rest(&mut at_hotel).await, [small(3)]);
}

#[tokio::test(start_paused = true)]
async fn a_dropped_host_loses_its_connections_and_its_listener() {
    let (hub, mut hotel, flight) = three_parties().await;
    let mut called = hub.network("car").connect("hotel").await.unwrap();
    let mut calling = hub.network("hotel").connect("flight").await.unwrap();
    let bystander = hub.network("car").connect("flight").await.unwrap();

    hub.drop_host("hotel");
    assert!(receive_rest(&mut called).await.is_empty());
    assert!(receive_rest(&mut calling).await.is_empty());
    assert!(!bystander.outgoing.is_closed());
    while hotel.accept().await.is_some() {}

    // Its successor may listen before it is gone, and keeps the address when it goes.
    let _successor = hub.network("hotel").listen("hotel").await.unwrap();
    drop(hotel);
    hub.network("car").connect("hotel").await.unwrap();
    drop(flight);
}

#[tokio::test(start_paused = true)]
async fn latency_delays_frames_and_keeps_their_order() {
    let (hub, mut hotel, _flight) = three_parties().await;
    let near = hub.network("car").connect("hotel").await.unwrap();
    let mut far = hotel.accept().await.unwrap();
    let start = tokio::time::Instant::now();
    near.outgoing.send(small(0));
    hub.set_latency("car", "hotel", Duration::from_millis(50));
    near.outgoing.send(small(1));
    near.outgoing.send(small(2));
    hub.set_latency("car", "hotel", Duration::ZERO);
    near.outgoing.send(small(3));

    assert_eq!(receive(&mut far, 1).await, [small(0)]);
    assert_eq!(start.elapsed(), Duration::ZERO);
    assert_eq!(receive(&mut far, 3).await, [small(1), small(2), small(3)]);
    assert_eq!(start.elapsed(), Duration::from_millis(50));
}

#[tokio::test]
async fn calls_and_routes_share_the_port_with_connections() {
    let services = Services {
        calls: CallHandler::new(async |request: Request<proto::CallRequest>| {
            let call = request.into_inner();
            if call.object.is_empty() {
                return Err(Status::not_found("no such object"));
            }
            Ok(Response::new(proto::CallReply { body: call.body }))
        }),
        routes: Router::new().route("/status", routing::get(async || "well")),
    };
    let mut listener = Network::grpc()
        .listen_with("127.0.0.1:0", services)
        .await
        .unwrap();

    let mut client = raw::client(listener.address()).await;
    let call = |object: &str| proto::CallRequest {
        object: object.into(),
        body: Bytes::from_static(b"42"),
        ..Default::default()
    };
    let reply = client.call(call("hotel")).await.unwrap().into_inner();
    assert_eq!(reply.body, "42");
    let refused = client.call(call("")).await.unwrap_err();
    assert_eq!(refused.code(), Code::NotFound);

    let answer = raw::exchange(
        listener.address(),
        b"GET /status HTTP/1.1\r\nHost: leap\r\nConnection: close\r\n\r\n",
    )
    .await;
    assert!(answer.starts_with("HTTP/1.1 200 OK"), "{answer}");
    assert!(answer.ends_with("well"), "{answer}");

    let near = Network::grpc().connect(listener.address()).await.unwrap();
    near.outgoing.send(small(1));
    let mut far = listener.accept().await.unwrap();
    assert_eq!(receive(&mut far, 1).await, [small(1)]);
}

#[tokio::test]
async fn without_a_handler_calls_are_refused() {
    let party = Party::grpc().await;
    let refused = raw::client(party.listener.address())
        .await
        .call(proto::CallRequest::default())
        .await
        .unwrap_err();
    assert_eq!(refused.code(), Code::Unimplemented);
}

#[tokio::test]
async fn addresses_of_another_kind_are_refused() {
    for address in [
        "",
        "hotel",
        "127.0.0.1:7400",
        "https://hotel:1",
        "http://hotel",
        "http://:1",
    ] {
        let refused = Network::grpc().connect(address).await;
        assert!(
            matches!(refused, Err(TransportError::Address { .. })),
            "{address:?} gave {refused:?}"
        );
    }
}
