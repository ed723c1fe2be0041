//! What a benchmark prints: one object of figures, each with its aim.

use std::time::Duration;

use anyhow::Context as _;
use serde::Serialize;

/// The median of some times, in milliseconds.
pub(crate) fn median_ms(mut times: Vec<Duration>) -> f64 {
    times.sort_unstable();
    times[times.len() / 2].as_secs_f64() * 1e3
}

/// On which side of its aim a figure should be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub(crate) enum Compare {
    #[serde(rename = "<=")]
    AtMost,
    #[serde(rename = ">=")]
    AtLeast,
}

/// One measured number.
#[derive(Debug, Serialize)]
pub(crate) struct Figure {
    pub(crate) name: String,
    pub(crate) value: f64,
    pub(crate) unit: &'static str,
    /// What it should be; nothing for a number that only explains others.
    pub(crate) aim: Option<f64>,
    pub(crate) compare: Option<Compare>,
}

/// All figures of one benchmark, in one run.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    bench: &'static str,
    machine: Machine,
    figures: Vec<Figure>,
}

#[derive(Debug, Serialize)]
struct Machine {
    cpu: String,
    cores: usize,
    kernel: String,
    system: &'static str,
}

impl Machine {
    fn this() -> Self {
        let read = |path| std::fs::read_to_string(path).unwrap_or_default();
        let cpuinfo = read("/proc/cpuinfo");
        let model = cpuinfo.lines().find(|line| line.starts_with("model name"));
        let cpu = model
            .and_then(|line| line.split_once(": "))
            .map_or("unknown", |(_, name)| name);
        Self {
            cpu: cpu.to_owned(),
            cores: std::thread::available_parallelism().map_or(0, std::num::NonZero::get),
            kernel: read("/proc/sys/kernel/osrelease").trim().to_owned(),
            system: std::env::consts::ARCH,
        }
    }
}

impl Report {
    pub(crate) fn new(bench: &'static str) -> Self {
        Self {
            bench,
            machine: Machine::this(),
            figures: Vec::new(),
        }
    }

    /// Adds a number that only explains others.
    pub(crate) fn note(&mut self, name: impl Into<String>, value: f64, unit: &'static str) {
        self.figures.push(Figure {
            name: name.into(),
            value,
            unit,
            aim: None,
            compare: None,
        });
    }

    pub(crate) fn at_most(
        &mut self,
        name: impl Into<String>,
        value: f64,
        unit: &'static str,
        aim: f64,
    ) {
        self.note(name, value, unit);
        self.set_aim(aim, Compare::AtMost);
    }

    pub(crate) fn at_least(
        &mut self,
        name: impl Into<String>,
        value: f64,
        unit: &'static str,
        aim: f64,
    ) {
        self.note(name, value, unit);
        self.set_aim(aim, Compare::AtLeast);
    }

    /// Gives the newest figure its aim.
    fn set_aim(&mut self, aim: f64, compare: Compare) {
        if let Some(figure) = self.figures.last_mut() {
            figure.aim = Some(aim);
            figure.compare = Some(compare);
        }
    }

    /// Prints it: as one JSON object, or as a table.
    #[allow(clippy::print_stdout, reason = "this is what a benchmark is for")]
    pub(crate) fn print(&self, json: bool) -> anyhow::Result<()> {
        if json {
            println!(
                "{}",
                serde_json::to_string(self).context("figures are plain data")?
            );
            return Ok(());
        }
        let Machine {
            cpu,
            cores,
            kernel,
            system,
        } = &self.machine;
        println!(
            "{} on {cores} cores of {cpu}, Linux {kernel}, {system}",
            self.bench
        );
        for figure in &self.figures {
            let aim = match (figure.aim, figure.compare) {
                (Some(aim), Some(compare)) => {
                    let (sign, met) = match compare {
                        Compare::AtMost => ("<=", figure.value <= aim),
                        Compare::AtLeast => (">=", figure.value >= aim),
                    };
                    format!("aim {sign} {aim}{}", if met { "" } else { "  MISSED" })
                }
                _ => String::new(),
            };
            println!(
                "  {:<58} {:>14.3} {:<12} {aim}",
                figure.name, figure.value, figure.unit
            );
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_is_one_object_of_figures() {
        let mut report = Report::new("name");
        report.note("only explains", 1.5, "us");
        report.at_most("is met", 2.0, "ms", 3.0);
        report.at_least("is missed", 2.0, "ratio", 3.0);
        let report = serde_json::to_value(&report).unwrap();
        assert_eq!(report["bench"], "name");
        for key in ["cpu", "cores", "kernel", "system"] {
            assert!(!report["machine"][key].is_null(), "{report}");
        }
        let expected = serde_json::json!([
            { "name": "only explains", "value": 1.5, "unit": "us", "aim": null, "compare": null },
            { "name": "is met", "value": 2.0, "unit": "ms", "aim": 3.0, "compare": "<=" },
            { "name": "is missed", "value": 2.0, "unit": "ratio", "aim": 3.0, "compare": ">=" },
        ]);
        assert_eq!(report["figures"], expected);
    }
}
