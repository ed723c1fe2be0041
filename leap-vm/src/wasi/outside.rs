//! What a process meets outside of itself: its standard streams, the time, chance, and limits.

use std::io::{self, Write as _};
use std::os::fd::AsFd;
use std::sync::Arc;
use std::sync::mpsc::{self, Sender};
use std::task::Waker;
use std::thread;
use std::time::{Instant, SystemTime};

use parking_lot::Mutex;
use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::io::{Errno, retry_on_intr};

use crate::limits::Limits;

/// A stream that a process writes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub enum Stream {
    /// Standard output.
    Output,
    /// Standard error.
    Error,
}

/// Takes what a process writes to its standard streams, in order. Whether and when it goes on
/// from there is the sink's affair: outputs are held until what they depend on is durable
/// (rules P8 and P16).
pub trait Sink: Send {
    /// Takes all of `bytes`.
    fn write(&mut self, stream: Stream, bytes: &[u8]) -> io::Result<()>;

    /// How many bytes of a stream can be taken now without waiting. If none, `waker` is called when
    /// some can: a guest that waits for that can be captured, and one within `write` cannot.
    fn room_bytes(&mut self, _stream: Stream, _waker: &Waker) -> usize {
        usize::MAX
    }
}

/// Gives a process its standard input.
pub trait Source: Send {
    /// What has arrived since, without waiting for it; at most `up_to` bytes, which is more than 0.
    /// If nothing has, `waker` is called when something does. What is given here is the process's,
    /// and part of its captures; what is not is left alone.
    fn read(&mut self, up_to: usize, waker: &Waker) -> Arrived;
}

/// What a [`Source`] has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Arrived {
    /// These bytes, at least one.
    Bytes(Vec<u8>),
    /// Nothing yet.
    Nothing,
    /// Nothing any more.
    End,
}

/// The time.
pub trait Clock: Send {
    /// Nanoseconds since 1970.
    fn realtime_ns(&self) -> u64;
    /// Nanoseconds since a moment that stays the same while this clock exists.
    fn monotonic_ns(&self) -> u64;
}

/// All of it.
pub struct Outside {
    /// Where output goes.
    pub sink: Box<dyn Sink>,
    /// Where input comes from.
    pub source: Box<dyn Source>,
    /// What tells the time.
    pub clock: Box<dyn Clock>,
    /// How much of the host's memory it may take.
    pub limits: Limits,
}

impl Outside {
    /// The streams of this operating system's process, and its clock.
    pub fn standard() -> Self {
        Self {
            sink: Box::new(StandardStreams::default()),
            source: Box::new(StandardInput::default()),
            clock: Box::new(SystemClock::default()),
            limits: Limits::default(),
        }
    }

    /// The same with limits.
    #[must_use]
    pub fn limited(self, limits: Limits) -> Self {
        Self { limits, ..self }
    }

    /// No input, the system's clock, and output to `sink`.
    pub fn with_sink(sink: impl Sink + 'static) -> Self {
        Self {
            sink: Box::new(sink),
            source: Box::new(NoInput),
            clock: Box::new(SystemClock::default()),
            limits: Limits::default(),
        }
    }
}

impl std::fmt::Debug for Outside {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Outside").finish_non_exhaustive()
    }
}

/// The standard streams of this operating system's process.
#[derive(Debug, Default)]
pub struct StandardStreams {
    /// By stream: what waits until it takes more.
    watches: [Option<Watch>; 2],
}

/// A pipe that takes anything takes this much at once.
const PIPE_BYTES: usize = 4096;

impl Sink for StandardStreams {
    fn write(&mut self, stream: Stream, bytes: &[u8]) -> io::Result<()> {
        match stream {
            Stream::Output => {
                let mut output = io::stdout().lock();
                output.write_all(bytes)?;
                output.flush()
            }
            Stream::Error => io::stderr().lock().write_all(bytes),
        }
    }

    fn room_bytes(&mut self, stream: Stream, waker: &Waker) -> usize {
        let now = Timespec::default();
        // Of what cannot be asked, the write that follows tells what is wrong.
        if is_writable(stream, Some(&now)).unwrap_or(true) {
            return PIPE_BYTES;
        }
        let look = match stream {
            Stream::Output => || ignore(is_writable(Stream::Output, None)),
            Stream::Error => || ignore(is_writable(Stream::Error, None)),
        };
        let watch = self.watches[stream as usize].get_or_insert_with(|| Watch::start(look));
        watch.wake_when_ready(waker);
        0
    }
}

/// Whether a short write to a standard stream ends at once; waits so long for that.
fn is_writable(stream: Stream, patience: Option<&Timespec>) -> Result<bool, Errno> {
    match stream {
        Stream::Output => is_ready(&io::stdout(), PollFlags::OUT, patience),
        Stream::Error => is_ready(&io::stderr(), PollFlags::OUT, patience),
    }
}

/// Keeps what is written, for whoever has a clone.
#[derive(Clone, Debug, Default)]
pub struct Collected {
    streams: Arc<Mutex<[Vec<u8>; 2]>>,
}

impl Collected {
    /// All that was written to `stream`.
    pub fn bytes(&self, stream: Stream) -> Vec<u8> {
        self.streams.lock()[stream as usize].clone()
    }
}

impl Sink for Collected {
    fn write(&mut self, stream: Stream, bytes: &[u8]) -> io::Result<()> {
        self.streams.lock()[stream as usize].extend_from_slice(bytes);
        Ok(())
    }
}

/// An input that is at its end.
#[derive(Debug)]
pub struct NoInput;

impl Source for NoInput {
    fn read(&mut self, _: usize, _: &Waker) -> Arrived {
        Arrived::End
    }
}

/// An input whose bytes are all there.
#[derive(Debug)]
pub struct GivenInput(pub Vec<u8>);

impl Source for GivenInput {
    fn read(&mut self, up_to: usize, _: &Waker) -> Arrived {
        if self.0.is_empty() {
            return Arrived::End;
        }
        let rest = self.0.split_off(up_to.min(self.0.len()));
        Arrived::Bytes(std::mem::replace(&mut self.0, rest))
    }
}

/// The standard input of this operating system's process. No more is read from it than the guest
/// asks for: what it has not asked for is still there for whoever goes on with it.
#[derive(Debug, Default)]
pub struct StandardInput {
    watch: Option<Watch>,
}

impl Source for StandardInput {
    fn read(&mut self, up_to: usize, waker: &Waker) -> Arrived {
        let mut bytes = vec![0; up_to];
        match read_now(&mut bytes) {
            Ok(0) => Arrived::End,
            Ok(read) => {
                bytes.truncate(read);
                Arrived::Bytes(bytes)
            }
            Err(Errno::AGAIN) => {
                let look = || ignore(is_readable(None));
                let watch = self.watch.get_or_insert_with(|| Watch::start(look));
                watch.wake_when_ready(waker);
                Arrived::Nothing
            }
            // An input that cannot be read has ended.
            Err(_) => Arrived::End,
        }
    }
}

/// Reads what standard input has; [`Errno::AGAIN`] if one would wait for it.
fn read_now(bytes: &mut [u8]) -> Result<usize, Errno> {
    let now = Timespec::default();
    match is_readable(Some(&now))? {
        true => retry_on_intr(|| rustix::io::read(io::stdin(), &mut *bytes)),
        false => Err(Errno::AGAIN),
    }
}

/// Whether a read of standard input ends at once, with bytes, its end or an error; waits so long
/// for that.
fn is_readable(patience: Option<&Timespec>) -> Result<bool, Errno> {
    is_ready(&io::stdin(), PollFlags::IN, patience)
}

/// For who looks until there is something: the call that follows tells what is wrong.
fn ignore(_: Result<bool, Errno>) {}

fn is_ready(
    stream: &impl AsFd,
    wanted: PollFlags,
    patience: Option<&Timespec>,
) -> Result<bool, Errno> {
    let mut polled = [PollFd::new(stream, wanted)];
    Ok(retry_on_intr(|| rustix::event::poll(&mut polled, patience))? > 0)
}

/// A thread that watches a stream, for a wait that the guest is in must end for a capture. It only
/// looks, and so may go on looking when the guest has gone.
#[derive(Debug)]
struct Watch {
    /// Whom the thread wakes when what it looks for is there; none: nobody asks.
    waker: Arc<Mutex<Option<Waker>>>,
    looks: Sender<()>,
}

impl Watch {
    /// The thread lives until this is dropped, and then until the stream is ready, which is when
    /// `look` returns.
    fn start(look: fn()) -> Self {
        let (looks, asked) = mpsc::channel();
        let waker = Arc::new(Mutex::new(None::<Waker>));
        let shared = Arc::clone(&waker);
        thread::spawn(move || {
            while asked.recv().is_ok() {
                look();
                let waker = shared.lock().take();
                waker.into_iter().for_each(Waker::wake);
            }
        });
        Self { waker, looks }
    }

    /// Of those who ask before it is ready, the last is woken: they are one guest.
    fn wake_when_ready(&self, waker: &Waker) {
        let former = self.waker.lock().replace(waker.clone());
        if former.is_none() {
            // The thread ends only with the sender.
            let _ = self.looks.send(());
        }
    }
}

/// The system's clocks.
#[derive(Debug)]
pub struct SystemClock {
    origin: Instant,
}

impl Default for SystemClock {
    fn default() -> Self {
        Self {
            origin: Instant::now(),
        }
    }
}

impl Clock for SystemClock {
    fn realtime_ns(&self) -> u64 {
        SystemTime::now()
            .duration_since(SystemTime::UNIX_EPOCH)
            .map_or(0, |since| since.as_nanos() as u64)
    }

    fn monotonic_ns(&self) -> u64 {
        self.origin.elapsed().as_nanos() as u64
    }
}

/// Where random bytes come from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub(crate) enum Random {
    /// The system.
    #[default]
    System,
    /// A sequence that depends on a seed alone (SplitMix64), for tests.
    Seeded(u64),
}

impl Random {
    pub(crate) fn fill(&mut self, bytes: &mut [u8]) -> io::Result<()> {
        match self {
            Self::System => {
                let mut done = 0;
                while done < bytes.len() {
                    let flags = rustix::rand::GetRandomFlags::empty();
                    done += rustix::rand::getrandom(&mut bytes[done..], flags)?;
                }
            }
            Self::Seeded(state) => {
                for chunk in bytes.chunks_mut(8) {
                    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
                    let mut next = *state;
                    next = (next ^ (next >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
                    next = (next ^ (next >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
                    next ^= next >> 31;
                    chunk.copy_from_slice(&next.to_le_bytes()[..chunk.len()]);
                }
            }
        }
        Ok(())
    }
}
