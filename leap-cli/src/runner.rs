//! Runs a program to its end, and checkpoints it on the way when that is asked for.
//!
//! The program has a thread to itself. Whoever wants a checkpoint leaves an [`Order`] and has the
//! program stop; it does so at its next bus stop, the orders are seen to, and it runs on. Files are
//! written beside it, on other threads.

use std::convert::Infallible;
use std::process::ExitCode;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use leap_vm::image::{Compression, write_file};
use leap_vm::{
    Capture, CaptureHandle, CopiedPages, Outcome, PageCopier, Pages, Program, ProgramEngine,
    ProgramError,
};

use crate::album::Album;
use crate::control::{Answer, ControlSocket, Request, Written};
use crate::process::Periodic;

/// The exit code of a program that trapped, as a shell has it for one that was aborted.
const TRAPPED: u8 = 134;
/// The exit code of a program that goes on elsewhere: try again later.
const STOPPED: u8 = 75;
/// The exit code of a program that has run for as long as it may, as `timeout` has it.
const TIMED_OUT: u8 = 124;

/// A checkpoint that somebody wants.
enum Order {
    /// It is time for a periodic one.
    Periodic(SeenTo),
    /// Most of the pages for a periodic one are copied; none if that failed.
    Copied(Option<Copied>, SeenTo),
    /// The program has run for as long as it may.
    TimedOut,
    /// Somebody asked through the control socket.
    Asked {
        request: Request,
        /// Most of the pages, unless the program is to stop for all of them.
        copied: Option<Copied>,
        since: Instant,
        answer: Sender<Answer>,
    },
}

/// Dropped when an order was seen to: only then is it time to wait for the next one. A program that
/// is stopped more often than it can be captured would get nowhere.
type SeenTo = Sender<Infallible>;

/// Pages that were copied while the program ran.
struct Copied {
    pages: CopiedPages,
    /// Until they are used, for another copy would make them useless.
    _turn: Turn,
}

/// Copies the program's pages, for one checkpoint after the other.
#[derive(Clone)]
struct Copier {
    pages: PageCopier,
    is_busy: Arc<(Mutex<bool>, Condvar)>,
}

/// The right to copy; over when it is dropped.
struct Turn(Copier);

impl Copier {
    fn new(pages: PageCopier) -> Self {
        Self {
            pages,
            is_busy: Arc::default(),
        }
    }

    /// Waits until earlier copies are used. None if the system does not let us copy.
    fn copy(&self) -> Option<Copied> {
        let (is_busy, free) = &*self.is_busy;
        let is_busy = is_busy.lock().unwrap_or_else(PoisonError::into_inner);
        let is_busy = free.wait_while(is_busy, |is_busy| *is_busy);
        *is_busy.unwrap_or_else(PoisonError::into_inner) = true;
        let turn = Turn(self.clone());
        let pages = self.pages.copy().ok()?;
        Some(Copied { pages, _turn: turn })
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        let (is_busy, free) = &*self.0.is_busy;
        *is_busy.lock().unwrap_or_else(PoisonError::into_inner) = false;
        free.notify_one();
    }
}

/// A program and all who may want a checkpoint of it.
pub(crate) struct Runner {
    engine: ProgramEngine,
    program: Program,
    module: Vec<u8>,
    album: Option<Album>,
    sender: Sender<Order>,
    /// Dropped before the control socket, which waits for those who get no answer any more.
    orders: Receiver<Order>,
    copier: Copier,
    /// None if there is no place for one: then nobody can ask for a checkpoint.
    _control: Option<ControlSocket>,
    /// End the ticking and the waiting with the runner.
    _ticker: Option<Sender<()>>,
    _timeout: Option<Sender<()>>,
}

impl Runner {
    pub(crate) fn new(
        engine: ProgramEngine,
        mut program: Program,
        module: Vec<u8>,
        periodic: &Periodic,
        timeout: Option<Duration>,
    ) -> Result<Self> {
        let (sender, orders) = mpsc::channel();
        let handle = program.capture_handle();
        let copier = Copier::new(program.page_copier());
        let control = listen(handle.clone(), copier.clone(), sender.clone());
        let control = control.inspect_err(|error| {
            eprintln!("warning: `leap checkpoint` cannot reach this program: {error:#}");
        });
        let directory = periodic.checkpoint_dir.as_ref();
        let album = directory.map(|directory| Album::open(directory, module.clone()));
        let ticker = periodic
            .checkpoint_every
            .map(|every| tick(every, handle.clone(), sender.clone()));
        let timeout = timeout.map(|after| time_out(after, handle, sender.clone()));
        Ok(Self {
            engine,
            program,
            module,
            album: album.transpose()?,
            sender,
            orders,
            copier,
            _control: control.ok(),
            _ticker: ticker,
            _timeout: timeout,
        })
    }

    /// Runs the program to its end; answers its exit code.
    pub(crate) fn run(mut self) -> Result<ExitCode> {
        let thread = thread::Builder::new().stack_size(self.engine.thread_stack_bytes());
        let running = thread
            .spawn(move || self.run_to_end())
            .context("no thread for the program")?;
        match running.join() {
            Ok(ended) => ended,
            Err(panic) => std::panic::resume_unwind(panic),
        }
    }

    fn run_to_end(&mut self) -> Result<ExitCode> {
        loop {
            let code = match self.program.run()? {
                Outcome::Returned(_) => 0,
                Outcome::Exited(code) => code as u8,
                Outcome::Trapped(trap) => {
                    eprintln!("error: the program trapped: {trap}");
                    TRAPPED
                }
                Outcome::Stopped => {
                    let stopped = Instant::now();
                    if self.program.asks_for_checkpoint() && self.checkpoint_at_once() {
                        self.program.checkpoint_is_kept();
                    }
                    match self.see_to_orders(stopped) {
                        None => continue,
                        Some(code) => code,
                    }
                }
            };
            if let Some(album) = &mut self.album {
                album.finish();
            }
            return Ok(ExitCode::from(code));
        }
    }

    /// Sees to all orders; answers with which code the program is to end, if it is.
    fn see_to_orders(&mut self, stopped: Instant) -> Option<u8> {
        let orders: Vec<Order> = self.orders.try_iter().collect();
        let mut code = None;
        for order in orders {
            match order {
                Order::Periodic(seen_to) => self.checkpoint_periodically(seen_to),
                Order::Copied(copied, _seen_to) => {
                    let capture = self.capture_whole(copied);
                    self.keep(capture, Pages::Whole);
                }
                Order::Asked {
                    request,
                    copied,
                    since,
                    answer,
                } => {
                    let waits = stopped.saturating_duration_since(since);
                    if self.checkpoint_as_asked(request, copied, &answer, waits, stopped) {
                        code = Some(STOPPED);
                    }
                }
                Order::TimedOut => {
                    let kept = match self.checkpoint_at_once() {
                        true => "; its last checkpoint is in the directory",
                        false => "",
                    };
                    eprintln!("error: the program has run for as long as it may{kept}");
                    code = code.or(Some(TIMED_OUT));
                }
            }
        }
        code
    }

    /// Takes a checkpoint for the directory of periodic ones, and waits until it is on disk; answers
    /// whether it is.
    fn checkpoint_at_once(&mut self) -> bool {
        let Some(album) = &mut self.album else {
            return false;
        };
        album.finish();
        let pages = album.wants().unwrap_or(Pages::Whole);
        match self.program.capture(pages) {
            Ok(capture) => {
                album.add(capture, pages);
                album.finish()
            }
            Err(error) => {
                eprintln!("warning: no checkpoint: {error}");
                false
            }
        }
    }

    fn checkpoint_periodically(&mut self, seen_to: SeenTo) {
        let Some(album) = &mut self.album else {
            return;
        };
        let Some(pages) = album.wants() else {
            tracing::info!("the last checkpoint is still being written: none this time");
            return;
        };
        match pages {
            Pages::Changes => {
                let capture = self.program.capture(pages);
                self.keep(capture, pages);
            }
            Pages::Whole => self.copy_beside(seen_to),
        }
    }

    /// Has most pages for a whole checkpoint copied while the program runs on.
    fn copy_beside(&mut self, seen_to: SeenTo) {
        let copier = self.copier.clone();
        let (orders, handle) = (self.sender.clone(), self.program.capture_handle());
        thread::spawn(move || {
            // If it cannot be done so, the program stands still for all pages.
            if orders.send(Order::Copied(copier.copy(), seen_to)).is_ok() {
                handle.request();
            }
        });
    }

    fn keep(&mut self, capture: Result<Capture, ProgramError>, pages: Pages) {
        match (&mut self.album, capture) {
            (Some(album), Ok(capture)) => album.add(capture, pages),
            (_, Err(error)) => eprintln!("warning: no checkpoint: {error}"),
            (None, Ok(_)) => {}
        }
    }

    fn capture_whole(&mut self, copied: Option<Copied>) -> Result<Capture, ProgramError> {
        match copied {
            Some(copied) => self.program.capture_over(copied.pages),
            None => self.program.capture(Pages::Whole),
        }
    }

    /// Answers whether the program is to end.
    fn checkpoint_as_asked(
        &mut self,
        request: Request,
        copied: Option<Copied>,
        answer: &Sender<Answer>,
        stop_time: Duration,
        stopped: Instant,
    ) -> bool {
        let refuse = |error: String| {
            // Whoever asked may have gone away.
            let _ = answer.send(Answer::Refused { error });
            false
        };
        if let Some(album) = &mut self.album {
            album.forget_base();
        }
        let capture = match self.capture_whole(copied) {
            Ok(capture) => capture,
            Err(error) => return refuse(error.to_string()),
        };
        let job = Job {
            stop: request.stop,
            request,
            capture,
            module: self.module.clone(),
            stop_time,
            stopped,
            pause: stopped.elapsed(),
        };
        if !job.stop {
            let answer = answer.clone();
            thread::spawn(move || answer.send(job.write()));
            return false;
        }
        let written = job.write();
        let is_written = matches!(written, Answer::Written(_));
        // A program that could not be written down runs on.
        let _ = answer.send(written);
        is_written
    }
}

/// A checkpoint to be written as it was asked for.
struct Job {
    request: Request,
    stop: bool,
    capture: Capture,
    module: Vec<u8>,
    stop_time: Duration,
    stopped: Instant,
    pause: Duration,
}

impl Job {
    fn write(self) -> Answer {
        let path = &self.request.path;
        let compression = match self.request.uncompressed {
            true => Compression::None,
            false => Compression::default(),
        };
        let contents = self.capture.contents(Some(&self.module), None);
        let written = write_file(path, &contents, compression);
        let id = match written {
            Ok(id) => id.to_string(),
            Err(error) => {
                let error = format!("{:#}", anyhow::Error::from(error));
                return Answer::Refused { error };
            }
        };
        let pause = if self.stop {
            self.stopped.elapsed()
        } else {
            self.pause
        };
        Answer::Written(Written {
            id,
            pages: self.capture.page_bytes() / 4096,
            file_bytes: std::fs::metadata(path).map_or(0, |file| file.len()),
            stop_us: self.stop_time.as_micros() as u64,
            pause_us: pause.as_micros() as u64,
            path: self.request.path,
        })
    }
}

/// Takes requests from the control socket.
fn listen(handle: CaptureHandle, copier: Copier, orders: Sender<Order>) -> Result<ControlSocket> {
    // The standard library's sender is for one thread at a time.
    let orders = Mutex::new(orders);
    ControlSocket::listen(move |request| {
        let (answer, answered) = mpsc::channel();
        // A program that runs on shall not stand still for all of its pages.
        let copied = (!request.stop).then(|| copier.copy()).flatten();
        let order = Order::Asked {
            request,
            copied,
            since: Instant::now(),
            answer,
        };
        let sent = match orders.lock() {
            Ok(orders) => orders.send(order).is_ok(),
            Err(_) => false,
        };
        handle.request();
        let answer = answered.recv().ok().filter(|_| sent);
        answer.unwrap_or_else(|| Answer::Refused {
            error: "the program has ended".to_owned(),
        })
    })
}

/// Orders a checkpoint every so often, until the sender is dropped.
fn tick(every: Duration, handle: CaptureHandle, orders: Sender<Order>) -> Sender<()> {
    let (ticker, ended) = mpsc::channel();
    thread::spawn(move || {
        while ended.recv_timeout(every) == Err(RecvTimeoutError::Timeout) {
            let (seen_to, is_seen_to) = mpsc::channel();
            if orders.send(Order::Periodic(seen_to)).is_err() {
                return;
            }
            handle.request();
            // Nothing is ever sent: this ends when the order is gone.
            let _ = is_seen_to.recv();
        }
    });
    ticker
}

/// Orders the end of the program after a while, unless the sender is dropped before.
fn time_out(after: Duration, handle: CaptureHandle, orders: Sender<Order>) -> Sender<()> {
    let (waiter, ended) = mpsc::channel();
    thread::spawn(move || {
        if ended.recv_timeout(after) == Err(RecvTimeoutError::Timeout)
            && orders.send(Order::TimedOut).is_ok()
        {
            handle.request();
        }
    });
    waiter
}
