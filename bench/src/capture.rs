//! How quickly a running process stops for a capture, and how quickly it runs again.

mod frames;
mod latency;
mod thread_clock;
mod turns;

use anyhow::Context as _;
use clap::Args;
use guests::{SUITE, Size};

use crate::report::Report;

/// From the request of a capture to the last frame saved; capture and rebuild of 100 frames; turns
#[derive(Args)]
pub(crate) struct CaptureBench {
    /// Only these guests; all of the suite when none is named
    #[arg(long)]
    only: Vec<String>,
    /// How many captures are requested of each guest
    #[arg(long, default_value_t = 100)]
    samples: usize,
    /// Run the guests at the size of tests
    #[arg(long)]
    small: bool,
}

/// The longest time from a request to the last frame saved, in microseconds, of 99 in 100.
const LATENCY_AIM_US: f64 = 1000.0;

impl CaptureBench {
    pub(crate) fn run(self) -> anyhow::Result<Report> {
        let mut report = Report::new("capture");
        frames::measure(&mut report)?;
        turns::measure(&mut report)?;
        let (mut slowest, mut busiest) = (0.0_f64, 0.0_f64);
        for program in SUITE {
            if !self.only.is_empty() && !self.only.iter().any(|only| only == program.name) {
                continue;
            }
            let size = if self.small { Size::Small } else { Size::Full };
            let guest = guests::build(program.name, size)?;
            let latency = latency::measure(&guest, self.samples).context(program.name)?;
            eprintln!(
                "{}: {:.0} us, of processor time {:.0} us",
                program.name, latency.elapsed_us, latency.processor_us
            );
            report.note(format!("{}: p99", program.name), latency.elapsed_us, "us");
            report.note(
                format!("{}: p99 of the guest's processor time", program.name),
                latency.processor_us,
                "us",
            );
            slowest = slowest.max(latency.elapsed_us);
            busiest = busiest.max(latency.processor_us);
        }
        report.at_most(
            "request to last frame saved, worst p99",
            slowest,
            "us",
            LATENCY_AIM_US,
        );
        // What is left of it when nobody else wants the processor.
        report.at_most(
            "request to last frame saved, the guest's processor time, worst p99",
            busiest,
            "us",
            LATENCY_AIM_US,
        );
        Ok(report)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_small_guest_and_the_frames_are_measured() {
        let bench = CaptureBench {
            only: vec!["bytecode".to_owned()],
            samples: 3,
            small: true,
        };
        bench.run().unwrap();
    }
}
