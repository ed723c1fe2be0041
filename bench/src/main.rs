//! Every benchmark of the project. Figures that are compared are measured in one run.

mod capture;
mod cluster;
mod coordinator;
mod images;
mod instrument;
mod marks;
mod overhead;
mod primitives;
mod recovery;
mod report;
mod reservations;
mod store;

use clap::{Parser, Subcommand};

/// Measure Leap; docs/benchmarks.md says what the figures mean.
#[derive(Parser)]
#[command(name = "bench", arg_required_else_help = true)]
struct Cli {
    #[command(subcommand)]
    bench: Bench,
    /// Print one JSON object
    #[arg(long, global = true)]
    json: bool,
}

#[derive(Subcommand)]
enum Bench {
    /// Actions, messages and sthreads inside one process
    Primitives(primitives::Primitives),
    /// How fast the coordinator finds that versions are inside the boundary
    Coordinator(coordinator::CoordinatorBench),
    Reservations(reservations::Reservations),
    /// How long the outside world notices that a service was killed
    Recovery(recovery::Recovery),
    /// One process of a benchmark's cluster
    #[command(hide = true)]
    Process(cluster::Process),
    /// Journal appends against the raw disk
    Store(store::StoreBench),
    Overhead(overhead::Overhead),
    Instrument(instrument::InstrumentBench),
    Capture(capture::CaptureBench),
    Images(images::ImagesBench),
    /// The service of `bench overhead`
    #[command(hide = true)]
    OverheadServer(overhead::OverheadServer),
}

fn main() -> anyhow::Result<()> {
    let cli = Cli::parse();
    // The processes of a cluster share the machine's cores with each other: one thread each saves the
    // wake-ups between threads.
    let runtime = match cli.bench {
        Bench::Process(_) | Bench::OverheadServer(_) => {
            tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()?
        }
        _ => tokio::runtime::Runtime::new()?,
    };
    let report = match cli.bench {
        Bench::Primitives(bench) => bench.run()?,
        Bench::Coordinator(bench) => bench.run(),
        Bench::Reservations(bench) => runtime.block_on(bench.run())?,
        Bench::Recovery(bench) => runtime.block_on(bench.run())?,
        Bench::Process(process) => return runtime.block_on(process.run()),
        Bench::Store(bench) => bench.run()?,
        Bench::Overhead(bench) => runtime.block_on(bench.run())?,
        Bench::Instrument(bench) => bench.run()?,
        Bench::Capture(bench) => bench.run()?,
        Bench::Images(bench) => bench.run()?,
        Bench::OverheadServer(server) => return runtime.block_on(server.run()),
    };
    report.print(cli.json)
}
