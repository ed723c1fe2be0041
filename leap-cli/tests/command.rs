//! The command as a person or a script runs it.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

fn leap(arguments: &[&str]) -> std::process::Output {
    Command::new(env!("CARGO_BIN_EXE_leap"))
        .args(arguments)
        .output()
        .expect("the command starts")
}

#[test]
fn the_demo_loses_nothing_and_doubles_nothing() {
    let arguments = [
        "demo",
        "--json",
        "--seconds",
        "3",
        "--kill-every-ms",
        "1000",
        "--storage-latency-ms",
        "2",
    ];
    let began = Instant::now();
    let output = leap(&arguments);
    // What it takes for itself, beside the seconds of booking that it was asked for. By itself
    // it books for 24, and is to be done in 60.
    let taken = began.elapsed();
    assert!(taken < Duration::from_secs(6 + 36), "{taken:?}");
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let summary: Value = serde_json::from_slice(&output.stdout).expect("one JSON object");
    assert!(summary["trips_booked"].as_u64() > Some(0), "{summary}");
    assert!(summary["kills"].as_u64() >= Some(2), "{summary}");
    assert!(summary["rollbacks"].as_u64() >= Some(2), "{summary}");
    assert_eq!(summary["lost"], 0);
    assert_eq!(summary["duplicated"], 0);
    assert_eq!(summary["seats_conserved"], true);
    for mode in ["speculative", "durable"] {
        for quantile in ["p50_ms", "p95_ms", "p99_ms"] {
            assert!(
                summary[mode][quantile].as_f64() > Some(0.0),
                "{mode} {quantile}: {summary}"
            );
        }
    }
}

#[test]
fn help_teaches() {
    let output = leap(&["--help"]);
    let help = String::from_utf8_lossy(&output.stdout).into_owned();
    for command in ["serve", "status", "call", "demo"] {
        assert!(help.contains(command), "{help}");
    }
    assert!(!help.contains("demo-service"), "{help}");
    for variable in ["LEAP_LOG=", "LEAP_LOG_FORMAT=json"] {
        assert!(help.contains(variable), "{help}");
    }
}

/// Trips of an earlier demo would be found booked already.
#[test]
fn a_demo_takes_no_directory_of_another() {
    let directory = tempfile::tempdir().unwrap();
    std::fs::create_dir(directory.path().join("durable")).unwrap();
    let output = leap(&["demo", "--data", directory.path().to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(1));
    let complaint = String::from_utf8(output.stderr).unwrap();
    assert!(complaint.contains("is of an earlier demo"), "{complaint}");
}

#[test]
fn an_interrupted_demo_leaves_nothing_behind() {
    let directory = tempfile::tempdir().unwrap();
    let is_empty = || {
        std::fs::read_dir(directory.path())
            .unwrap()
            .next()
            .is_none()
    };
    let demo = Command::new(env!("CARGO_BIN_EXE_leap"))
        .args(["demo", "--json"])
        .env("TMPDIR", directory.path())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // It is under way: a service has written something.
    let patience = Instant::now() + Duration::from_secs(60);
    while !has_journal(directory.path()) {
        assert!(Instant::now() < patience);
        std::thread::yield_now();
    }
    kill_process(Pid::from_child(&demo), Signal::TERM).unwrap();
    let output = demo.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let complaint = String::from_utf8(output.stderr).unwrap();
    assert!(complaint.contains("interrupted"), "{complaint}");
    assert!(is_empty());
}

/// Whether something is in a directory of journals below `directory`.
fn has_journal(directory: &Path) -> bool {
    let Ok(entries) = std::fs::read_dir(directory) else {
        return false;
    };
    let mut paths = entries.filter_map(|entry| Some(entry.ok()?.path()));
    paths.any(|path| path.extension().is_some_and(|end| end == "segment") || has_journal(&path))
}

#[test]
fn a_node_that_is_not_there_is_told_with_a_hint() {
    let output = leap(&["status", "--url", "http://127.0.0.1:1"]);
    assert!(!output.status.success());
    let error = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(error.contains("leap serve"), "{error}");
}

#[test]
fn with_json_an_error_is_an_object_too() {
    for command in [vec!["status"], vec!["call", "kv", "get", "\"a\""]] {
        let output = leap(&[&command[..], &["--json", "--url", "http://127.0.0.1:1"]].concat());
        assert!(!output.status.success());
        let error: Value = serde_json::from_slice(&output.stdout).expect("one JSON object");
        let error = error["error"].as_str().expect("a text");
        assert!(error.contains("leap serve"), "{error}");
    }
}
