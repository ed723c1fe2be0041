//! The same over TCP and real HTTP, with storage that waits until it is told to go on.

use std::{io, time::Duration};

use futures::FutureExt as _;
use leap::{
    Host, Store, StoreOptions,
    tower::{ClientLayer, Speculative},
};
use leap_store::faults::Faults;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
};
use tonic::transport::{Channel, Endpoint};
use tower::Layer as _;

use crate::counter::{
    Server,
    proto::{Amount, counter_client::CounterClient},
    routes,
};

/// A host whose storage can be stopped, with a counter that is served at an address.
struct Served {
    host: Host,
    storage: Faults,
    address: String,
}

impl Served {
    async fn start() -> Self {
        let storage = Faults::planned();
        let options = StoreOptions {
            faults: storage.clone(),
            retry_for: Duration::from_secs(3600),
            ..StoreOptions::default()
        };
        let store = Store::open("memory:", options).await.unwrap();
        let host = Host::builder().store(store).start().await.unwrap();
        let counter: crate::counter::CounterObject = host.add("counter").await.unwrap();
        counter.ready().await.unwrap();
        let routes = routes(counter.clone(), &host).route_service(
            "/counter.v1.Counter/{method}",
            Server::new(counter).service(&host),
        );
        let socket = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = socket.local_addr().unwrap().to_string();
        tokio::spawn(async { axum::serve(socket, routes).await });
        Self {
            host,
            storage,
            address,
        }
    }

    async fn channel(&self) -> Channel {
        let url = format!("http://{}", self.address);
        Endpoint::from_shared(url).unwrap().connect().await.unwrap()
    }

    /// What an HTTP/1 client gets to read.
    async fn post(&self, header: &str) -> String {
        let mut socket = TcpStream::connect(&self.address).await.unwrap();
        let request =
            format!("POST /add HTTP/1.1\r\nHost: leap\r\nConnection: close\r\n{header}\r\n");
        socket.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        socket.read_to_string(&mut answer).await.unwrap();
        answer
    }
}

#[tokio::test]
async fn an_outsider_waits_for_storage_and_an_insider_does_not() {
    let served = Served::start().await;
    let channel = served.channel().await;
    let mut outside = CounterClient::new(channel.clone());
    let mut inside = CounterClient::new(ClientLayer::new().layer(channel));
    let sthread = Speculative::new(served.host.sthread().await);
    served.storage.fail(None, 0, io::ErrorKind::StorageFull);

    let first = inside.add(Amount { by: 1 });
    assert_eq!(sthread.scope(first).await.unwrap().into_inner().value, 1);
    let mut waiting = Box::pin(outside.add(Amount { by: 10 }));
    // It is served once an insider sees its effect, and still it is not answered.
    loop {
        assert!(waiting.as_mut().now_or_never().is_none());
        let count = sthread
            .scope(inside.add(Amount { by: 0 }))
            .await
            .unwrap()
            .into_inner()
            .value;
        if count == 11 {
            break;
        }
    }
    assert!(waiting.as_mut().now_or_never().is_none());
    assert!(sthread.barrier().now_or_never().is_none());

    served.storage.heal();
    assert_eq!(waiting.await.unwrap().into_inner().value, 11);
    sthread.barrier().await.unwrap();
}

#[tokio::test]
async fn http_1_is_served_on_the_same_port() {
    let served = Served::start().await;
    let answer = served.post("").await;
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
    assert!(answer.ends_with("\r\n\r\n1"), "{answer}");
    assert!(!answer.contains("leap-header"), "{answer}");
    let header = "leap-header: AQAA\r\n";
    let answer = served.post(header).await;
    assert!(answer.contains("\r\nleap-header: AQ"), "{answer}");
    assert!(answer.ends_with("\r\n\r\n2"), "{answer}");
    let answer = served.post("leap-header: nonsense\r\n").await;
    assert!(
        answer.starts_with("HTTP/1.1 400 Bad Request\r\n"),
        "{answer}"
    );
}
