//! Captures requested at random moments, from another thread.

use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use guests::Guest;
use leap_memory::Tracking;
use leap_vm::wasi::{Collected, Outside, Stream, WasiOptions, WasiState};
use leap_vm::{CaptureHandle, EngineOptions, Module, Outcome, Program, ProgramEngine};

use super::thread_clock::ThreadClock;

/// What 99 of 100 captures of a guest stay below.
pub(super) struct Latency {
    /// By the clock on the wall.
    pub(super) elapsed_us: f64,
    /// Processor time of the guest's thread meanwhile: what it took to notice and to unwind, without
    /// what others on the machine took.
    pub(super) processor_us: f64,
}

/// One moment, by both clocks.
#[derive(Clone, Copy)]
struct Moment {
    elapsed: Instant,
    processor: Duration,
}

impl Moment {
    fn now(guest: ThreadClock) -> anyhow::Result<Self> {
        Ok(Self {
            processor: guest.now()?,
            elapsed: Instant::now(),
        })
    }
}

/// A capture that shall be requested.
struct Order {
    handle: CaptureHandle,
    after: Duration,
}

/// Runs the guest, over and over, until so many captures of it have happened.
pub(super) fn measure(guest: &Guest, samples: usize) -> anyhow::Result<Latency> {
    let engine = ProgramEngine::new(EngineOptions::default(), Tracking::default())?;
    let module = engine.compile(&guest.wasm)?;
    let (orders, received) = channel();
    let (requested, moments) = channel();
    let clock = ThreadClock::of_this_thread()?;
    let measured = std::thread::scope(|scope| {
        scope.spawn(move || request(&received, clock, &requested));
        let captures = Captures {
            engine: &engine,
            module: &module,
            guest,
            clock,
            orders,
            moments,
        };
        captures.collect(samples)
    });
    let (elapsed, processor) = measured?.into_iter().unzip();
    Ok(Latency {
        elapsed_us: p99_us(elapsed),
        processor_us: p99_us(processor),
    })
}

/// The thread that requests: for each order, after its time, at the moment that it answers.
fn request(
    orders: &Receiver<Order>,
    guest: ThreadClock,
    requested: &Sender<anyhow::Result<Moment>>,
) {
    while let Ok(order) = orders.recv() {
        // The next order only comes after the answer to this one: this waits, and no more.
        if let Err(RecvTimeoutError::Disconnected) = orders.recv_timeout(order.after) {
            return;
        }
        let moment = Moment::now(guest);
        order.handle.request();
        if requested.send(moment).is_err() {
            return;
        }
    }
}

struct Captures<'a> {
    engine: &'a ProgramEngine,
    module: &'a Module,
    guest: &'a Guest,
    /// Of this thread, which runs the guest.
    clock: ThreadClock,
    orders: Sender<Order>,
    moments: Receiver<anyhow::Result<Moment>>,
}

impl Captures<'_> {
    /// Each capture is of a life of its own: a request while a process is being rebuilt from the
    /// capture before would measure that.
    fn collect(&self, samples: usize) -> anyhow::Result<Vec<(Duration, Duration)>> {
        let life = self.whole_life()?;
        let mut fractions = Fractions(1);
        let mut found = Vec::with_capacity(samples);
        while found.len() < samples {
            let after = life.mul_f64(fractions.next_fraction());
            found.extend(self.captured_life(after)?);
        }
        Ok(found)
    }

    /// How long the guest runs when nobody disturbs it.
    fn whole_life(&self) -> anyhow::Result<Duration> {
        let output = Collected::default();
        let mut program = self.start(&output)?;
        let begun = Instant::now();
        let outcome = program.run()?;
        let life = begun.elapsed();
        let is_well = matches!(outcome, Outcome::Returned(_) | Outcome::Exited(0));
        ensure!(is_well, "the guest ended with {outcome:?}");
        let printed = String::from_utf8(output.bytes(Stream::Output))?;
        ensure!(
            printed == self.guest.output,
            "the guest printed {printed:?}"
        );
        Ok(life)
    }

    /// Runs the guest until the capture that is requested so late, and tells what that took;
    /// nothing if the guest was over before.
    fn captured_life(&self, after: Duration) -> anyhow::Result<Option<(Duration, Duration)>> {
        let mut program = self.start(&Collected::default())?;
        let handle = program.capture_handle();
        self.orders.send(Order { handle, after })?;
        let outcome = program.run()?;
        let stopped = Moment::now(self.clock)?;
        let requested = self.moments.recv().context("the requests have ended")??;
        match outcome {
            Outcome::Stopped => Ok(Some((
                stopped.elapsed.saturating_duration_since(requested.elapsed),
                stopped.processor.saturating_sub(requested.processor),
            ))),
            Outcome::Returned(_) | Outcome::Exited(0) => Ok(None),
            other => bail!("the guest ended with {other:?}"),
        }
    }

    fn start(&self, output: &Collected) -> anyhow::Result<Program> {
        let state = WasiState::new(&WasiOptions {
            arguments: self.guest.arguments.clone(),
            ..WasiOptions::default()
        });
        let outside = Outside::with_sink(output.clone());
        Ok(Program::start(self.engine, self.module, state, outside)?)
    }
}

/// Numbers between 0 and 1 that look random.
struct Fractions(u64);

impl Fractions {
    fn next_fraction(&mut self) -> f64 {
        self.0 = self
            .0
            .wrapping_mul(0x5851_f42d_4c95_7f2d)
            .wrapping_add(0x1405_7b7e_f767_814f);
        (self.0 >> 33) as f64 / (1_u64 << 31) as f64
    }
}

fn p99_us(mut times: Vec<Duration>) -> f64 {
    times.sort_unstable();
    let place = (times.len() * 99).div_ceil(100).saturating_sub(1);
    times
        .get(place)
        .map_or(0.0, |time| time.as_secs_f64() * 1e6)
}
