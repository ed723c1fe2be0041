//! The command around the simulator.

use std::process::ExitCode;

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1).map(|n| n.parse::<u64>().unwrap());
    std::panic::set_hook(Box::new(|_| {}));
    let from = arguments.next().unwrap();
    let count = arguments.next().unwrap();
    for seed in from..from + count {
        let options = leap_sim::Options { trace: count == 1, ..Default::default() };
        let outcome = leap_sim::run(seed, &options);
        for line in &outcome.trace { println!("{line}"); }
        if let Some(violation) = outcome.violation {
            println!("seed {seed}: {violation}");
            return ExitCode::FAILURE;
        }
        if count == 1 { println!("events {}", outcome.events); }
    }
    ExitCode::SUCCESS
}
