//! The command: what it prints, and how it ends.

use std::process::{Command, Output};

use leap_sim::{Options, Rule, run};

fn leap_sim(arguments: &str) -> (Output, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_leap-sim"))
        .args(arguments.split(' '))
        .output()
        .expect("the command is built with its tests");
    let printed = String::from_utf8(output.stdout.clone()).expect("text");
    (output, printed)
}

/// The first seed of so many that fails without `rule`, and the checker that notices.
fn first_failure(rule: Rule, seeds: u64) -> (u64, &'static str) {
    let options = Options {
        without: Some(rule),
        ..Options::default()
    };
    let found = (0..seeds).find_map(|seed| Some((seed, run(seed, &options).violation?.checker)));
    found.expect("a rule that is switched off is noticed")
}

#[test]
fn a_clean_hunt_says_how_fast_it_was() {
    let (output, printed) = leap_sim("--seeds 40");
    assert!(output.status.success(), "{printed}");
    assert!(printed.starts_with("40 seeds, "), "{printed}");
    assert!(printed.trim_end().ends_with(" seeds/s"), "{printed}");
    assert_eq!(printed.lines().count(), 1, "{printed}");
}

#[test]
fn a_hunt_that_finds_something_shows_it() {
    let (seed, checker) = first_failure(Rule::P4, 50);
    let (output, printed) = leap_sim("--seeds 50 --without P4");
    assert_eq!(output.status.code(), Some(1), "{printed}");
    let (speed, rest) = printed.split_once('\n').expect("many lines");
    assert!(speed.ends_with(" seeds/s"), "{speed}");
    let verdict = format!("\nseed {seed}: {checker} was violated:\n");
    let (trace, reason) = rest.split_once(&verdict).expect("the verdict");
    assert!(trace.lines().count() > 10, "the end of the trace: {trace}");
    let command = format!("leap-sim -- --seed {seed} --trace --without p4\n");
    assert!(reason.ends_with(&command), "{reason}");
}

/// The first seed is the same however many threads look for it.
#[test]
fn several_jobs_find_the_same_seed() {
    let (seed, checker) = first_failure(Rule::P4, 50);
    let (output, printed) = leap_sim("--seeds 50 --without p4 --jobs 2");
    assert_eq!(output.status.code(), Some(1), "{printed}");
    let verdict = format!("seed {seed}: {checker} was violated");
    assert!(printed.contains(&verdict), "{printed}");
}

#[test]
fn what_it_says_to_run_for_the_whole_trace_can_be_run() {
    let (_, printed) = leap_sim("--seeds 50 --without p10-acknowledgement");
    let (_, again) = printed.rsplit_once("leap-sim -- ").expect("a command");
    let (output, traced) = leap_sim(again.trim_end());
    assert_eq!(output.status.code(), Some(1), "{traced}");
    assert!(
        traced.contains("Config {"),
        "the trace begins with what was drawn"
    );
    assert!(traced.contains("was violated"), "{traced}");
}
