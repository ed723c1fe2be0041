//! Steps with a name and a duration: what is running, and at the end where the time went.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};

/// The steps run so far.
#[derive(Default)]
pub(crate) struct Steps {
    finished: Vec<Step>,
}

struct Step {
    name: String,
    took: Duration,
    passed: bool,
}

impl Steps {
    /// Runs one step. The caller stops at the first error, so later steps may rely on earlier ones.
    ///
    /// # Errors
    /// Those of `work`, with the step named.
    pub(crate) fn run(&mut self, name: &str, work: impl FnOnce() -> Result<()>) -> Result<()> {
        eprintln!("== {name}");
        let start = Instant::now();
        let outcome = work();
        self.finished.push(Step {
            name: name.to_owned(),
            took: start.elapsed(),
            passed: outcome.is_ok(),
        });
        outcome.with_context(|| format!("step `{name}`"))
    }

    /// Prints every step with its duration.
    pub(crate) fn summarise(&self) {
        eprintln!();
        for step in &self.finished {
            let verdict = if step.passed { "ok" } else { "FAILED" };
            eprintln!(
                "{verdict:>6} {:>8.1} s  {}",
                step.took.as_secs_f64(),
                step.name
            );
        }
        let total: Duration = self.finished.iter().map(|step| step.took).sum();
        eprintln!("       {:>8.1} s  in total", total.as_secs_f64());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failing_step_is_recorded_and_named() {
        let mut steps = Steps::default();
        steps.run("first", || Ok(())).unwrap();
        let error = steps.run("second", || anyhow::bail!("broken")).unwrap_err();
        assert_eq!(format!("{error:#}"), "step `second`: broken");
        let verdicts: Vec<_> = steps
            .finished
            .iter()
            .map(|step| (step.name.as_str(), step.passed))
            .collect();
        assert_eq!(verdicts, [("first", true), ("second", false)]);
    }
}
