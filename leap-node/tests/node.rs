//! A node from outside: its API, bad input, and its hold on its data.

use std::path::Path;
use std::sync::LazyLock;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use leap::CallError;
use leap_node::{Node, NodeError, NodeOptions};
use serde_json::{Value, json};

async fn node(data: &Path) -> Result<Node, NodeError> {
    let options = NodeOptions {
        data: data.display().to_string(),
        listen: "127.0.0.1:0".to_owned(),
        ..NodeOptions::default()
    };
    Node::start(options).await
}

/// A node that joins the cluster of another.
async fn joining(data: &Path, coordinator: &Node) -> Result<Node, NodeError> {
    let options = NodeOptions {
        data: data.display().to_string(),
        listen: "127.0.0.1:0".to_owned(),
        join: Some(coordinator.address().to_owned()),
        ..NodeOptions::default()
    };
    Node::start(options).await
}

fn request(node: &Node, method: &str, path: &str) -> http::request::Builder {
    let url = format!("{}{path}", node.address());
    http::Request::builder().method(method).uri(url)
}

/// The answer to a request; its body must be JSON, whatever it says.
async fn send(
    request: http::request::Builder,
    body: impl Into<Bytes>,
) -> anyhow::Result<(u16, Value)> {
    let client = Client::builder(TokioExecutor::new()).build_http();
    let response = client
        .request(request.body(Full::new(body.into()))?)
        .await?;
    let status = response.status().as_u16();
    let body = response.into_body().collect().await?.to_bytes();
    Ok((status, serde_json::from_slice(&body)?))
}

async fn post(node: &Node, path: &str, body: impl Into<Bytes>) -> anyhow::Result<(u16, Value)> {
    send(request(node, "POST", path), body).await
}

#[tokio::test]
async fn what_was_answered_is_there_after_a_restart() -> anyhow::Result<()> {
    let data = tempfile::tempdir()?;
    let first = node(data.path()).await?;
    let put = json!({ "key": "a", "value": "1" }).to_string();
    assert_eq!(
        post(&first, "/call/kv/put", put).await?,
        (200, json!({ "Ok": null }))
    );
    first.shutdown().await;

    let second = node(data.path()).await?;
    assert_eq!(
        post(&second, "/call/kv/get", r#""a""#).await?,
        (200, json!("1"))
    );
    second.shutdown().await;
    Ok(())
}

#[tokio::test]
async fn status_names_objects_and_boundary() -> anyhow::Result<()> {
    let data = tempfile::tempdir()?;
    let node = node(data.path()).await?;
    post(
        &node,
        "/call/kv/put",
        json!({ "key": "a", "value": "1" }).to_string(),
    )
    .await?;
    let (status, report) = send(request(&node, "GET", "/status"), "").await?;
    assert_eq!(status, 200);
    assert_eq!(report["world_line"], 0);
    assert_eq!(report["objects"][0]["name"], "kv");
    assert_eq!(report["objects"][0]["committed"], 1);
    assert_eq!(report["coordinator"]["members"]["kv"]["committed"], 1);
    node.shutdown().await;
    Ok(())
}

#[tokio::test]
async fn bad_requests_are_told_what_is_wrong_and_change_nothing() -> anyhow::Result<()> {
    let data = tempfile::tempdir()?;
    let node = node(data.path()).await?;
    let put = r#"{"key": "a", "value": "1"}"#;
    let too_large = " ".repeat(5 << 20);
    for (method, path, body, status, error) in [
        ("POST", "/call/nobody/get", r#""a""#, 404, "no_such_object"),
        ("POST", "/call/kv/nothing", "null", 404, "no_such_method"),
        ("POST", "/call/kv/put", "{\"key\": ", 400, "bad_request"),
        ("POST", "/call/kv/put", r#"{"key": 7}"#, 400, "bad_request"),
        ("POST", "/call/%ff/put", put, 400, "bad_request"),
        ("POST", "/call/kv/put", &too_large, 413, "too_large"),
        ("POST", "/call/kv", put, 404, "no_such_route"),
        ("GET", "/", "", 404, "no_such_route"),
        ("GET", "/call/kv/put", "", 405, "method_not_allowed"),
        ("DELETE", "/members/nobody", "", 404, "no_such_member"),
    ] {
        let answer = send(request(&node, method, path), body.to_owned()).await?;
        assert_eq!(
            (answer.0, &answer.1["error"]),
            (status, &json!(error)),
            "{method} {path} {answer:?}"
        );
        for told in ["message", "hint"] {
            let told = answer.1[told].as_str();
            assert!(
                told.is_some_and(|told| !told.is_empty()),
                "{method} {path} {answer:?}"
            );
        }
    }
    let too_long = [b'k'; 257];
    let refused: [&[&[u8]]; 4] = [&[b""], &[b"\xff"], &[&too_long], &[b"one", b"two"]];
    for keys in refused {
        let keyed = keys
            .iter()
            .fold(request(&node, "POST", "/call/kv/put"), |request, &key| {
                request.header("idempotency-key", key)
            });
        let answer = send(keyed, put).await?;
        assert_eq!((answer.0, &answer.1["error"]), (400, &json!("bad_request")));
    }
    assert_eq!(
        post(&node, "/call/kv/scan", "{}").await?.1["entries"],
        json!([])
    );
    node.shutdown().await;
    Ok(())
}

#[tokio::test]
async fn two_calls_with_one_idempotency_key_are_one() -> anyhow::Result<()> {
    let data = tempfile::tempdir()?;
    let first = node(data.path()).await?;
    let append = |node: &Node, key: &str| {
        let keyed = request(node, "POST", "/call/log/append").header("idempotency-key", key);
        send(keyed, r#"["entry"]"#)
    };
    assert_eq!(append(&first, "one").await?, (200, json!({ "Ok": 0 })));
    assert_eq!(append(&first, "one").await?, (200, json!({ "Ok": 0 })));
    assert_eq!(append(&first, "two").await?, (200, json!({ "Ok": 1 })));
    let longest = "k".repeat(256);
    assert_eq!(append(&first, &longest).await?, (200, json!({ "Ok": 2 })));
    let keyless = post(&first, "/call/log/append", r#"["entry"]"#);
    assert_eq!(keyless.await?, (200, json!({ "Ok": 3 })));
    // What only looks tells what there is now, whatever it told before.
    let tail = || {
        let keyed = request(&first, "POST", "/call/log/tail").header("idempotency-key", "one");
        send(keyed, "")
    };
    assert_eq!(tail().await?, (200, json!(4)));
    assert_eq!(append(&first, "three").await?, (200, json!({ "Ok": 4 })));
    assert_eq!(tail().await?, (200, json!(5)));
    first.shutdown().await;

    let second = node(data.path()).await?;
    assert_eq!(append(&second, "one").await?, (200, json!({ "Ok": 0 })));
    assert_eq!(
        post(&second, "/call/log/tail", "").await?,
        (200, json!(5)),
        "each was appended once"
    );
    second.shutdown().await;
    Ok(())
}

/// A request for each handler of the services that every node has.
const REQUESTS: [(&str, &str, &str); 10] = [
    ("kv", "get", r#""a""#),
    ("kv", "scan", r#"{"from": "a", "to": "b", "limit": 3}"#),
    ("kv", "put", r#"{"key": "a", "value": "1"}"#),
    ("kv", "delete", r#""a""#),
    (
        "kv",
        "compare_and_swap",
        r#"{"key": "a", "expected": null, "new": "1"}"#,
    ),
    ("log", "tail", "null"),
    ("log", "read", r#"[0, 10]"#),
    ("log", "append", r#"["1", "2"]"#),
    ("log", "trim", "1"),
    ("kv", "nothing", "null"),
];

/// A node that any number of requests are made to.
struct Target {
    runtime: tokio::runtime::Runtime,
    node: Node,
    _data: tempfile::TempDir,
}

impl Target {
    fn start() -> Self {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        let data = tempfile::tempdir().unwrap();
        Self {
            node: runtime.block_on(node(data.path())).unwrap(),
            runtime,
            _data: data,
        }
    }

    fn call(&self, object: &str, method: &str, body: Vec<u8>) -> Result<Bytes, CallError> {
        let answer = self.node.host().call(object, method, body.into());
        self.runtime.block_on(answer)
    }

    /// Any body has an answer in JSON, or is told what is wrong with it.
    fn try_any(&self, object: &str, method: &str, body: &[u8]) {
        match self.call(object, method, body.to_vec()) {
            Ok(answer) => assert!(serde_json::from_slice::<Value>(&answer).is_ok()),
            Err(CallError::BadRequest { .. } | CallError::NoSuchMethod { .. }) => {}
            Err(error) => panic!("{object}.{method} {body:?}: {error}"),
        }
    }
}

#[test]
fn any_body_is_answered_or_refused() {
    static TARGET: LazyLock<Target> = LazyLock::new(Target::start);
    bolero::check!()
        .with_type::<(u8, u8, u8, Vec<u8>)>()
        .for_each(|(request, at, byte, any)| {
            let (object, method, body) = REQUESTS[usize::from(*request) % REQUESTS.len()];
            TARGET.try_any(object, method, any);
            // Almost right: one byte is another, and one that ends too early.
            let mut body = body.as_bytes().to_vec();
            let at = usize::from(*at) % body.len();
            body[at] = *byte;
            TARGET.try_any(object, method, &body);
            TARGET.try_any(object, method, &body[..at]);
        });
    let (object, method, body) = REQUESTS[2];
    assert!(
        TARGET.call(object, method, body.into()).is_ok(),
        "it is as well as before"
    );
}

#[test]
fn each_request_is_one_that_its_handler_understands() {
    let target = Target::start();
    for (object, method, body) in REQUESTS {
        let answer = target.call(object, method, body.into());
        assert_eq!(
            answer.is_ok(),
            method != "nothing",
            "{object}.{method} {answer:?}"
        );
    }
}

#[tokio::test]
async fn a_second_node_on_the_same_data_is_refused() -> anyhow::Result<()> {
    let data = tempfile::tempdir()?;
    let first = node(data.path()).await?;
    let refused = node(data.path())
        .await
        .err()
        .expect("the directory is taken");
    let NodeError::Data { source, .. } = &refused else {
        panic!("{refused}")
    };
    assert!(
        source.to_string().contains(&std::process::id().to_string()),
        "{source}"
    );
    first.shutdown().await;
    node(data.path()).await?.shutdown().await;
    Ok(())
}

/// What the object `kv` of a node is at, when it has stopped.
async fn why_stopped(node: &Node) -> String {
    loop {
        let status = node.host().status().await;
        let kv = status.objects.iter().find(|object| object.name == "kv");
        let phase = &kv.expect("it was hosted there").phase;
        if phase.starts_with("stopped") {
            return phase.clone();
        }
        // The news is on its way; a test that waits for ever has failed.
        tokio::task::yield_now().await;
    }
}

fn copy(from: &Path, to: &Path) -> anyhow::Result<()> {
    std::fs::create_dir_all(to)?;
    for entry in std::fs::read_dir(from)? {
        let path = entry?.path();
        let to = to.join(path.file_name().expect("it was listed"));
        match path.is_dir() {
            true => copy(&path, &to)?,
            false => drop(std::fs::copy(&path, &to)?),
        }
    }
    Ok(())
}

/// Rule P12. Incarnations are counted by storage; those of other storages passed for the same life, and both nodes
/// acknowledged, or took its place with an empty state.
#[tokio::test]
async fn objects_of_another_directory_are_refused_and_change_nothing() -> anyhow::Result<()> {
    let [data, copied, other] = [(); 3].map(|()| tempfile::tempdir());
    let (data, copied, other) = (data?, copied?, other?);
    let first = node(data.path()).await?;
    first.shutdown().await;
    copy(data.path(), copied.path())?;
    // Its objects have lived more often than those that they meet.
    for _ in 0..4 {
        node(other.path()).await?.shutdown().await;
    }

    let first = node(data.path()).await?;
    let put = |value: u32| json!({ "key": "a", "value": value.to_string() }).to_string();
    assert_eq!(post(&first, "/call/kv/put", put(1)).await?.0, 200);
    for (index, stranger) in [(2, &copied), (4, &other)] {
        let joined = joining(stranger.path(), &first).await?;
        let why = why_stopped(&joined).await;
        assert!(why.contains("another storage"), "{why}");
        // It forwards to the one that has the object.
        assert_eq!(post(&joined, "/call/kv/put", put(index)).await?.0, 200);
        assert_eq!(
            post(&first, "/call/kv/get", r#""a""#).await?,
            (200, json!(index.to_string()))
        );
        joined.shutdown().await;
    }
    let status = first.host().status().await;
    assert!(
        status
            .objects
            .iter()
            .all(|object| !object.phase.starts_with("stopped")),
        "{status:?}"
    );
    first.shutdown().await;
    Ok(())
}

/// Rule P11. Data of another cluster, which has seen more failures, passed for that of a successor, and the coordinator
/// fell silent for good.
#[tokio::test]
async fn data_of_another_cluster_does_not_end_the_coordinator() -> anyhow::Result<()> {
    let [data, other] = [tempfile::tempdir()?, tempfile::tempdir()?];
    let first = json!({ "key": "a", "value": "1" }).to_string();
    for _ in 0..2 {
        // Not shut down: the next life is a failure.
        let failing = node(other.path()).await?;
        assert_eq!(post(&failing, "/call/kv/put", first.clone()).await?.0, 200);
        drop(failing);
    }
    let coordinator = node(data.path()).await?;
    let stranger = joining(other.path(), &coordinator).await?;
    let why = why_stopped(&stranger).await;
    assert!(why.contains("another cluster"), "{why}");
    assert_eq!(post(&coordinator, "/call/kv/put", first).await?.0, 200);
    let status = coordinator.host().status().await;
    assert!(status.coordinator.is_some(), "{status:?}");
    stranger.shutdown().await;
    coordinator.shutdown().await;
    Ok(())
}

/// In an object store there is no lock: two nodes may claim the same objects there.
#[tokio::test]
async fn of_two_nodes_with_the_same_objects_the_older_is_fenced_and_says_so() -> anyhow::Result<()>
{
    let options = NodeOptions {
        data: "memory:claimed-twice".to_owned(),
        listen: "127.0.0.1:0".to_owned(),
        ..NodeOptions::default()
    };
    let older = Node::start(options.clone()).await?;
    let first = json!({ "key": "a", "value": "1" }).to_string();
    assert_eq!(post(&older, "/call/kv/put", first).await?.0, 200);

    let join = Some(older.address().to_owned());
    let newer = Node::start(NodeOptions { join, ..options }).await?;
    assert_eq!(
        post(&newer, "/call/kv/get", r#""a""#).await?,
        (200, json!("1"))
    );
    let why = why_stopped(&older).await;
    assert!(why.contains("incarnation 2"), "{why}");

    // The older node still answers: it forwards to the one that has the object now.
    let second = json!({ "key": "a", "value": "2" }).to_string();
    assert_eq!(post(&older, "/call/kv/put", second).await?.0, 200);
    assert_eq!(
        post(&newer, "/call/kv/get", r#""a""#).await?,
        (200, json!("2"))
    );
    newer.shutdown().await;
    older.shutdown().await;
    Ok(())
}
