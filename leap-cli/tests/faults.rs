//! A node, and what its surroundings do to it: a disk that says no, signals, a coordinator that is not there.

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Resource, Rlimit, Signal, kill_process, prlimit};
use serde_json::Value;

/// How long a node may need to notice and say what is wrong, or to come back.
const PATIENCE: Duration = Duration::from_secs(60);

/// A `leap serve` of its own, killed when the test ends.
struct Node {
    process: Child,
    url: String,
}

impl Node {
    fn start(data: &std::path::Path) -> Self {
        Self::start_with(data, &[], &[], Stdio::null())
    }

    fn start_with(
        data: &std::path::Path,
        options: &[&str],
        variables: &[(&str, &str)],
        logs: Stdio,
    ) -> Self {
        let mut process = Command::new(env!("CARGO_BIN_EXE_leap"))
            .args(["serve", "--json", "--listen", "127.0.0.1:0", "--data"])
            .arg(data)
            .args(options)
            .envs(variables.iter().copied())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(logs)
            .spawn()
            .expect("there is a shell");
        let stdout = process.stdout.take().expect("it is piped");
        let mut ready = String::new();
        BufReader::new(stdout)
            .read_line(&mut ready)
            .expect("the node says that it is ready");
        let ready: Value = serde_json::from_str(&ready).expect("one JSON object");
        let url = ready["address"].as_str().expect("an address").to_owned();
        Self { process, url }
    }

    /// From now on, no file may be longer than this.
    fn limit_files_to(&self, bytes: Option<u64>) {
        let pid = Pid::from_child(&self.process);
        let limit = Rlimit {
            current: bytes,
            maximum: None,
        };
        prlimit(Some(pid), Resource::Fsize, limit).expect("a child's limits may be changed");
    }

    fn leap(&self, arguments: &[&str]) -> Output {
        Command::new(env!("CARGO_BIN_EXE_leap"))
            .args(arguments)
            .args(["--url", &self.url])
            .output()
            .expect("the command starts")
    }

    fn put(&self, key: &str) -> Output {
        let pair = serde_json::json!({ "key": key, "value": "v" }).to_string();
        self.leap(&["call", "kv", "put", &pair])
    }

    fn get(&self, key: &str) -> String {
        let key = serde_json::json!(key).to_string();
        let output = self.leap(&["call", "kv", "get", &key]);
        String::from_utf8_lossy(&output.stdout).trim().to_owned()
    }

    /// Asks again and again until `wanted` says yes to the phase of the object `kv`.
    fn until_kv(&self, wanted: impl Fn(&str) -> bool) -> String {
        let phase = |kv: &Value| kv["phase"].as_str().unwrap_or_default().to_owned();
        phase(&self.until_status(|kv| wanted(&phase(kv))))
    }

    /// Asks again and again until `wanted` says yes to the status of the object `kv`.
    fn until_status(&self, wanted: impl Fn(&Value) -> bool) -> Value {
        let started = Instant::now();
        loop {
            let status = self.leap(&["status", "--json"]).stdout;
            let status: Value = serde_json::from_slice(&status).expect("one JSON object");
            let objects = status["objects"].as_array().expect("objects");
            let kv = objects.iter().find(|object| object["name"] == "kv");
            if let Some(kv) = kv.filter(|kv| wanted(kv)) {
                return kv.clone();
            }
            assert!(started.elapsed() < PATIENCE, "still: {status:#}");
        }
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// A graceful shutdown seals and persists what nobody has been told yet, within seconds: versions
/// would be sealed once in ten minutes here.
#[test]
fn a_node_that_is_told_to_end_persists_and_ends() {
    let data = tempfile::tempdir().expect("a directory");
    for signal in [Signal::TERM, Signal::INT] {
        let key = format!("{signal:?}");
        let mut node = Node::start_with(
            data.path(),
            &["--group-commit-ms", "600000"],
            &[],
            Stdio::null(),
        );
        // What was found in storage is no work of ours.
        node.until_status(|kv| kv["phase"] == "active" && kv["lag_ms"] == 0);
        // Unanswered, for it is not durable.
        let pair = serde_json::json!({ "key": key, "value": "v" }).to_string();
        let mut put = Command::new(env!("CARGO_BIN_EXE_leap"))
            .args(["call", "kv", "put", &pair, "--url", &node.url])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("the command starts");
        node.until_status(|kv| kv["lag_ms"].as_u64() > Some(0));
        let began = Instant::now();
        kill_process(Pid::from_child(&node.process), signal).expect("it is our child");
        let status = node.process.wait().expect("it is our child");
        assert_eq!(status.code(), Some(0), "{signal:?}");
        let taken = began.elapsed();
        // Below the patience after which it would give up.
        assert!(taken < Duration::from_secs(5), "{taken:?}");
        let _ = put.wait();
        let node = Node::start(data.path());
        assert_eq!(node.get(&key), r#""v""#);
    }
}

#[test]
fn a_call_with_a_key_is_done_once() {
    let data = tempfile::tempdir().expect("a directory");
    let node = Node::start(data.path());
    let append = |key: &str| {
        let output = node.leap(&[
            "call",
            "log",
            "append",
            r#"["entry"]"#,
            "--idempotency-key",
            key,
        ]);
        assert!(output.status.success(), "{output:?}");
        String::from_utf8_lossy(&output.stdout).trim().to_owned()
    };
    let first = append("once");
    assert_eq!(append("once"), first);
    assert_ne!(append("again"), first);
}

#[test]
fn logs_are_structured_and_chosen_by_variables() {
    let data = tempfile::tempdir().expect("a directory");
    let variables = [("LEAP_LOG", "info"), ("LEAP_LOG_FORMAT", "json")];
    let logs_of = |variables: &[(&str, &str)]| {
        let mut node = Node::start_with(data.path(), &[], variables, Stdio::piped());
        kill_process(Pid::from_child(&node.process), Signal::TERM).expect("it is our child");
        let logs = node.process.stderr.take().expect("it is piped");
        let logs: Result<Vec<String>, _> = BufReader::new(logs).lines().collect();
        logs.expect("logs are text")
    };
    let logs = logs_of(&variables);
    assert!(!logs.is_empty());
    for line in logs {
        let event: Value = serde_json::from_str(&line).expect("one JSON object a line");
        for key in ["timestamp", "level", "target", "fields"] {
            assert!(!event[key].is_null(), "{key}: {line}");
        }
    }
    let text = logs_of(&variables[..1]);
    assert!(text.iter().any(|line| line.contains("INFO")), "{text:?}");
    let quiet = logs_of(&[]);
    assert!(quiet.is_empty(), "{quiet:?}");
}

#[test]
fn an_object_on_a_full_disk_acknowledges_nothing_says_why_and_recovers() {
    let data = tempfile::tempdir().expect("a directory");
    let node = Node::start(data.path());
    assert!(node.put("before").status.success());

    node.limit_files_to(Some(0));
    let refused = node.put("meanwhile");
    assert!(!refused.status.success());
    let phase = node.until_kv(|phase| phase.contains("storage failed"));
    assert!(phase.contains("File too large"), "{phase}");

    node.limit_files_to(None);
    node.until_kv(|phase| phase == "active");
    assert!(node.put("after").status.success());
    assert_eq!(node.get("before"), r#""v""#);
    assert_eq!(node.get("after"), r#""v""#);
    // What was not acknowledged may be there or not, but an answer must not change any more.
    assert_eq!(node.get("meanwhile"), node.get("meanwhile"));
}

#[test]
fn data_that_may_not_be_written_is_a_clear_error() {
    // Even root may not make files there.
    let data = "/sys/kernel/leap-data";
    let output = Command::new(env!("CARGO_BIN_EXE_leap"))
        .args(["serve", "--data", data])
        .output()
        .expect("the command starts");
    assert!(!output.status.success());
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(said.contains(data), "{said}");
    let reasons = ["Operation not permitted", "Permission denied", "Read-only"];
    assert!(reasons.iter().any(|reason| said.contains(reason)), "{said}");
}

/// The warnings of a node that looks for its coordinator at `url`, up to the one that contains `last`.
fn warnings_of_joining(url: &str, last: &str) -> Vec<String> {
    let data = tempfile::tempdir().expect("a directory");
    let mut node = Node::start_with(data.path(), &["--join", url], &[], Stdio::piped());
    let logs = node.process.stderr.take().expect("it is piped");
    let mut warnings = Vec::new();
    for line in BufReader::new(logs).lines() {
        let line = line.expect("logs are text");
        let is_last = line.contains(last);
        warnings.push(line);
        if is_last {
            break;
        }
    }
    warnings
}

#[test]
fn where_no_coordinator_can_ever_be_is_refused_at_once() {
    let data = tempfile::tempdir().expect("a directory");
    for (url, why) in [
        ("127.0.0.1:7400", "http://"),
        ("https://example.com:1", "only http"),
        ("http://example.com", "port"),
    ] {
        let output = Command::new(env!("CARGO_BIN_EXE_leap"))
            .args(["serve", "--listen", "127.0.0.1:0", "--join", url, "--data"])
            .arg(data.path())
            .output()
            .expect("the command starts");
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(1), "{said}");
        assert!(said.contains("cannot join") && said.contains(why), "{said}");
    }
}

#[test]
fn a_node_says_that_the_coordinator_is_not_there() {
    // Whatever is bound and does not listen refuses.
    let bound = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    let nobody = format!("http://{}", bound.local_addr().expect("it is bound"));
    drop(bound);
    let warnings = warnings_of_joining(&nobody, "cannot join");
    assert!(warnings[0].contains(&nobody), "{warnings:?}");
}

#[test]
fn a_node_that_is_no_coordinator_says_where_that_is_and_is_not_flooded() {
    let directories = [(); 2].map(|()| tempfile::tempdir().expect("a directory"));
    let coordinator = Node::start(directories[0].path());
    let mut member = Node::start_with(
        directories[1].path(),
        &["--join", &coordinator.url],
        &[],
        Stdio::piped(),
    );
    let warnings = warnings_of_joining(&member.url, "cannot join");
    let told = warnings.last().expect("one at least");
    assert!(told.contains(&coordinator.url), "{warnings:?}");
    // It has other things to say: what it hosts is the coordinator's.
    kill_process(Pid::from_child(&member.process), Signal::TERM).expect("it is our child");
    let logs = member.process.stderr.take().expect("it is piped");
    let logs: Result<Vec<String>, _> = BufReader::new(logs).lines().collect();
    let logs = logs.expect("logs are text");
    assert!(logs.len() < 10, "{logs:#?}");
    assert!(
        logs.iter().any(|line| line.contains("another storage")),
        "{logs:#?}"
    );
}
