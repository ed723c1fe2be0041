//! Whatever comes from outside: bytes that were never written as changes, states or requests. Errors, never
//! a panic.

use std::sync::LazyLock;

use bolero::check;
use leap::{CallError, Host, Machine, ObjectOptions, Service};
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

/// What is read as a state is written as one that is the same, answers questions, and takes changes.
fn restore<S: Service>(bytes: &[u8], questions: &[(&str, &str)], changes: &[&[u8]]) {
    let Some(state) = again::<S>(bytes) else {
        return;
    };
    assert_eq!(again::<S>(&state).as_ref(), Some(&state));
    let mut service: S = postcard::from_bytes(&state).expect("it was written");
    for change in changes {
        for (method, body) in questions {
            let answer = service.query(method, body.as_bytes());
            serde_json::from_slice::<Value>(&answer.expect("it is a question")).expect("JSON");
        }
        service.apply(postcard::from_bytes(change).expect("it is a change"));
        let kept = postcard::to_stdvec(&service).expect("a state can be written");
        assert_eq!(again::<S>(&kept), Some(kept));
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
    let questions = [
        ("get", r#""k""#),
        ("scan", "{}"),
        ("scan", r#"{"from": "a"}"#),
    ];
    let changes: [&[u8]; 2] = [b"\0\x01k\x01v", b"\x01\x01k"];
    check!().for_each(|bytes: &[u8]| restore::<KeyValueStore>(bytes, &questions, &changes));
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
    check!().for_each(|bytes: &[u8]| restore_log(bytes));
}

fn restore_log(bytes: &[u8]) {
    let questions = [("tail", ""), ("read", "[0, 9]"), ("read", "[300, 9]")];
    // Two more entries, trimmed a little, and more than there is.
    let changes: [&[u8]; 4] = [
        b"\0\x02\x01a\x01b",
        b"\x01\x01",
        b"\x01\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01",
        b"\0\x01\x01c",
    ];
    restore::<Log>(bytes, &questions, &changes);
}

#[test]
fn a_log_whose_offsets_contradict_each_other_is_refused() {
    let encode = |first: u64| postcard::to_stdvec(&(first, vec!["a"])).unwrap();
    for (first, is_log) in [
        (0, true),
        (u64::MAX / 4, true),
        (u64::MAX / 2, false),
        (u64::MAX, false),
    ] {
        let read = postcard::from_bytes::<Log>(&encode(first));
        assert_eq!(read.is_ok(), is_log, "{first}");
        restore_log(&encode(first));
    }
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
    check!().for_each(|bytes: &[u8]| restore_instances(bytes));
}

fn restore_instances(bytes: &[u8]) {
    let changes: [&[u8]; 7] = [
        b"\0\x01w\x01i\0",
        // The first step of the instance 0 is asked for, and answered.
        b"\x01\0\x01s\0",
        b"\x02\0\0\x011",
        b"\x04\0",
        b"\x05\0\0\x011",
        b"\x06\x01",
        b"\0\x01w\x01i\0",
    ];
    restore::<Instances>(bytes, &[("list", "[null, 9]")], &changes);
}

#[test]
fn instances_that_contradict_each_other_are_refused() {
    // One that runs: its workflow, id, input, steps and state; and one that has finished.
    let no_steps = Vec::<u8>::new();
    let runs = ("w", "i", "1", &no_steps, 0_u8);
    let finished = ("w", "i", "1", &no_steps, (2_u8, 0_u8, "7"));
    let one = |id: &'static str, number: u64| vec![(id, number)];
    let is_state = |state: Vec<u8>| {
        restore_instances(&state);
        postcard::from_bytes::<Instances>(&state).is_ok()
    };
    let none = Vec::<u64>::new();
    for (next, numbers, list, right) in [
        (1_u64, one("i", 0), &none, true),
        (0, one("i", 0), &none, false),
        (u64::MAX, one("i", 0), &none, false),
        (1, one("j", 0), &none, false),
        (2, one("i", 1), &none, false),
        (1, vec![], &none, false),
        (1, vec![("i", 0), ("j", 0)], &none, false),
        (1, one("i", 0), &vec![0], false),
    ] {
        let state = (next, vec![(0_u64, runs)], numbers, list);
        let state = postcard::to_stdvec(&state).unwrap();
        assert_eq!(is_state(state.clone()), right, "{state:?}");
    }
    for (list, right) in [
        (vec![0], true),
        (none, false),
        (vec![0, 0], false),
        (vec![0, 1], false),
    ] {
        let state = (1_u64, vec![(0_u64, finished)], one("i", 0), list);
        let state = postcard::to_stdvec(&state).unwrap();
        assert_eq!(is_state(state.clone()), right, "{state:?}");
    }
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
