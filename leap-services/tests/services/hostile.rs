//! Whatever comes from outside: bytes that were never written as changes, states or requests. Errors, never
//! a panic.

use std::sync::LazyLock;

use bolero::check;
use leap::{CallError, Host, Machine, ObjectOptions};
use leap_services::kv::KeyValueStore;
use leap_services::log::Log;
use leap_services::workflow::{Engine, Instances, WorkflowContext, WorkflowError};
use serde_json::Value;

/// A state that anything may happen to, as the change that leads to it: `first`. There are `kinds` of changes.
struct Hostile {
    first: &'static [u8],
    kinds: u8,
}

impl Hostile {
    /// Whatever can be read as changes can be applied, and what comes of it can be kept.
    fn apply<M: Machine>(&self, bytes: &[u8]) {
        // As they are, most fail at the first byte, which is the kind.
        for kind in 0..self.kinds {
            let mut machine = M::default();
            machine.apply(postcard::from_bytes(self.first).expect("the first change is one"));
            let changes = [&[kind], bytes].concat();
            let mut rest = &changes[..];
            while let Ok((change, left)) = postcard::take_from_bytes(rest) {
                machine.apply(change);
                rest = left;
            }
            let kept = postcard::to_stdvec(&machine).expect("a state can be written");
            assert_eq!(again::<M>(&kept), Some(kept));
        }
    }
}

/// What is read as a state is written as one that is the same.
fn restore<M: Machine>(bytes: &[u8]) {
    if let Some(state) = again::<M>(bytes) {
        assert_eq!(again::<M>(&state), Some(state));
    }
}

fn again<M: Machine>(state: &[u8]) -> Option<Vec<u8>> {
    let machine: M = postcard::from_bytes(state).ok()?;
    Some(postcard::to_stdvec(&machine).expect("a state can be written"))
}

#[test]
fn fuzz_changes_of_a_store() {
    let hostile = Hostile {
        first: b"\0\x01k\x01v",
        kinds: 2,
    };
    check!().for_each(|bytes: &[u8]| hostile.apply::<KeyValueStore>(bytes));
}

#[test]
fn fuzz_states_of_a_store() {
    check!().for_each(|bytes: &[u8]| restore::<KeyValueStore>(bytes));
}

#[test]
fn fuzz_changes_of_a_log() {
    let hostile = Hostile {
        first: b"\0\x02\x01a\x01b",
        kinds: 2,
    };
    check!().for_each(|bytes: &[u8]| hostile.apply::<Log>(bytes));
}

#[test]
fn fuzz_states_of_a_log() {
    check!().for_each(|bytes: &[u8]| restore::<Log>(bytes));
}

#[test]
fn fuzz_changes_of_workflows() {
    let hostile = Hostile {
        first: b"\0\x01w\x01i\0",
        kinds: 7,
    };
    check!().for_each(|bytes: &[u8]| hostile.apply::<Instances>(bytes));
}

#[test]
fn fuzz_states_of_workflows() {
    check!().for_each(|bytes: &[u8]| restore::<Instances>(bytes));
}

/// A request for each handler of the workflow engine. Those of the other services are the node's to try.
const REQUESTS: [(&str, &str); 6] = [
    ("start", r#"{"workflow": "w", "id": "a", "input": 1}"#),
    ("run", r#"{"workflow": "w", "id": "a", "input": 1}"#),
    ("result", r#""a""#),
    ("status", r#""a""#),
    ("list", r#"[null, 9]"#),
    ("cancel", r#""a""#),
];

/// An engine that any number of requests are made to.
struct Target {
    runtime: tokio::runtime::Runtime,
    host: Host,
}

impl Target {
    fn start() -> Self {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        let host = runtime.block_on(async {
            let host = Host::builder().start().await.unwrap();
            let engine = Engine::builder().register("w", give_back);
            let started = engine.start(&host, "workflows", ObjectOptions::default());
            started.await.unwrap();
            host
        });
        Self { runtime, host }
    }

    /// Any body has an answer in JSON, or is told what is wrong with it.
    fn try_any(&self, method: &str, body: &[u8]) -> bool {
        let answer = self.host.call("workflows", method, body.to_vec().into());
        match self.runtime.block_on(answer) {
            Ok(answer) => {
                assert!(serde_json::from_slice::<Value>(&answer).is_ok());
                true
            }
            Err(CallError::BadRequest { .. }) => false,
            Err(error) => panic!("{method} {body:?}: {error}"),
        }
    }
}

async fn give_back(_: WorkflowContext, input: u64) -> Result<u64, WorkflowError> {
    Ok(input)
}

#[test]
fn any_request_to_workflows_is_answered_or_refused() {
    static TARGET: LazyLock<Target> = LazyLock::new(Target::start);
    for (method, body) in REQUESTS {
        assert!(TARGET.try_any(method, body.as_bytes()), "{method} {body}");
    }
    check!()
        .with_type::<(u8, u8, u8, Vec<u8>)>()
        .for_each(|(request, at, byte, any)| {
            let (method, body) = REQUESTS[usize::from(*request) % REQUESTS.len()];
            TARGET.try_any(method, any);
            // Almost right: one byte is another, and one that ends too early.
            let mut body = body.as_bytes().to_vec();
            let at = usize::from(*at) % body.len();
            body[at] = *byte;
            TARGET.try_any(method, &body);
            TARGET.try_any(method, &body[..at]);
        });
}
