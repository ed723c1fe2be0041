//! The simulator itself: it is deterministic, finds nothing where nothing is wrong, and finds what is.

use leap_sim::{Options, Rule, run};

/// Seeds per test run; the command runs as many as one likes.
const SEEDS: u64 = 2_000;

/// Within so many seeds a rule that is switched off must be noticed. (As of writing the worst takes 36.)
const CANARY_SEEDS: u64 = 100;

#[test]
fn every_rule_holds() {
    for seed in 0..SEEDS {
        let outcome = run(seed, &Options::default());
        assert_eq!(
            outcome.violation, None,
            "cargo run --release -p leap-sim -- --seed {seed}"
        );
    }
}

#[test]
fn the_same_seed_twice_is_the_same_run() {
    for seed in 0..40 {
        let first = run(seed, &Options::default());
        let second = run(seed, &Options::default());
        assert_eq!(first, second, "seed {seed}");
    }
}

/// Nothing depends on the order of a hash map, an address or anything else that differs between processes.
#[test]
fn the_same_seed_in_another_process_is_the_same_run() {
    for seed in 0..10 {
        let outcome = run(seed, &Options::default());
        let here = format!("trace hash {:016x}", outcome.trace_hash);
        let there = std::process::Command::new(env!("CARGO_BIN_EXE_leap-sim"))
            .args(["--seed", &seed.to_string()])
            .output()
            .expect("the command is built with its tests");
        let there = String::from_utf8_lossy(&there.stdout);
        assert!(there.contains(&here), "{here} here, there: {there}");
    }
}

#[test]
fn keeping_the_trace_changes_nothing() {
    let trace = Options {
        trace: true,
        ..Options::default()
    };
    for seed in 0..20 {
        let (plain, traced) = (run(seed, &Options::default()), run(seed, &trace));
        assert_eq!(plain.trace_hash, traced.trace_hash, "seed {seed}");
        assert!(!traced.trace.is_empty());
    }
}

#[test]
fn different_seeds_are_different_runs() {
    let mut hashes: Vec<_> = (0..100)
        .map(|seed| run(seed, &Options::default()).trace_hash)
        .collect();
    hashes.sort_unstable();
    hashes.dedup();
    assert_eq!(hashes.len(), 100);
}

fn canary(rule: Rule, checker: &str) {
    let options = Options {
        without: Some(rule),
        ..Options::default()
    };
    // Others may notice as well, and earlier.
    let found = (0..CANARY_SEEDS)
        .filter_map(|seed| run(seed, &options).violation)
        .any(|found| found.checker == checker);
    assert!(
        found,
        "{CANARY_SEEDS} seeds without {rule:?}, and {checker} noticed nothing"
    );
}

#[test]
fn without_commit_ordering_p04_notices() {
    canary(Rule::P4, "p04_commit_ordering");
}

#[test]
fn without_the_recovery_partition_p05_notices() {
    canary(Rule::P5, "p05_recovery_partition");
}

#[test]
fn without_release_p08_notices() {
    canary(Rule::P8, "p08_release");
}

#[test]
fn without_logging_before_acting_p10_notices() {
    canary(Rule::P10, "p10_decide_log_release");
}

#[test]
fn without_the_acknowledgement_p10_notices() {
    canary(Rule::P10Acknowledgement, "p10_decide_log_release");
}

#[test]
fn without_fencing_p12_notices() {
    canary(Rule::P12, "p12_fencing");
}

#[test]
fn without_holding_what_levels_make_p16_notices() {
    canary(Rule::P16, "p16_levels");
}

#[test]
fn without_delivering_again_p16_notices() {
    canary(Rule::P16Redelivery, "p16_levels");
}
