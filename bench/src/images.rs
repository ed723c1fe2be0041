//! What images of processes cost, and processes that do nothing.

mod idle;
mod pages;

use std::path::PathBuf;

use clap::Args;

use crate::report::Report;

/// Images of a 64 MiB process, and many idle processes
#[derive(Args)]
pub(crate) struct ImagesBench {
    /// Where images are written; a directory on the disk to be measured
    #[arg(long, default_value = ".")]
    directory: PathBuf,
    /// How many delta captures, and how many full images
    #[arg(long, default_value_t = 21)]
    rounds: usize,
    /// How many idle processes
    #[arg(long, default_value_t = 10_000)]
    processes: usize,
}

impl ImagesBench {
    pub(crate) fn run(self) -> anyhow::Result<Report> {
        let mut report = Report::new("images");
        // Before anything else has taken memory and given it back.
        idle::measure(self.processes, &mut report)?;
        pages::measure(&self.directory, self.rounds, &mut report)?;
        Ok(report)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_few_processes_and_images_are_measured() {
        let directory = tempfile::tempdir().unwrap();
        let bench = ImagesBench {
            directory: directory.path().to_owned(),
            rounds: 1,
            processes: 3,
        };
        bench.run().unwrap();
    }
}
