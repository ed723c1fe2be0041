//! Guests that tell the host where they are, through what they print.
//!
//! A guest prints single bytes: at `c` a capture is requested at once, while the guest still
//! waits for its output to be taken; any other only says that it runs. The host learns when each
//! came, to the nanosecond, without a second thread.

use std::io;
use std::sync::Arc;
use std::time::Instant;

use leap_vm::wasi::{Outside, Sink, Stream};
use leap_vm::{CaptureHandle, Outcome, Program};
use parking_lot::Mutex;

/// Printed by a guest that wants to be captured.
const CAPTURE: u8 = b'c';

/// When a guest printed what last.
#[derive(Clone, Default)]
pub(crate) struct Marks(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    handle: Option<CaptureHandle>,
    requested: Option<Instant>,
    going_on: Option<Instant>,
}

impl Marks {
    /// An outside that takes the guest's marks.
    pub(crate) fn outside(&self) -> Outside {
        Outside::with_sink(self.clone())
    }

    /// Captures are requested of this process from now on.
    pub(crate) fn request_of(&self, handle: CaptureHandle) {
        self.0.lock().handle = Some(handle);
    }

    /// When the last capture was requested.
    pub(crate) fn requested(&self) -> anyhow::Result<Instant> {
        let at = self.0.lock().requested;
        at.ok_or_else(|| anyhow::anyhow!("the guest has not asked for a capture"))
    }

    /// When the guest last said that it runs on.
    pub(crate) fn going_on(&self) -> anyhow::Result<Instant> {
        let at = self.0.lock().going_on;
        at.ok_or_else(|| anyhow::anyhow!("the guest has not said that it goes on"))
    }
}

impl Sink for Marks {
    fn write(&mut self, _: Stream, bytes: &[u8]) -> io::Result<()> {
        let now = Instant::now();
        let mut state = self.0.lock();
        if bytes.contains(&CAPTURE) {
            state.requested = Some(now);
            if let Some(handle) = &state.handle {
                handle.request();
            }
        } else {
            state.going_on = Some(now);
        }
        Ok(())
    }
}

/// Runs a guest to its next capture.
pub(crate) fn stop(program: &mut Program) -> anyhow::Result<()> {
    let outcome = program.run()?;
    anyhow::ensure!(
        matches!(outcome, Outcome::Stopped),
        "the guest ended with {outcome:?}"
    );
    Ok(())
}

/// WAT that every marking guest begins with: `(call $mark (i32.const 99))` prints a byte. It uses
/// the first 32 bytes of the memory, which the guest declares.
pub(crate) const MARKING: &str = r#"
  (import "wasi_snapshot_preview1" "fd_write"
    (func $fd_write (param i32 i32 i32 i32) (result i32)))
  (func $mark (param $byte i32)
    (i32.store (i32.const 0) (i32.const 16))
    (i32.store (i32.const 4) (i32.const 1))
    (i32.store8 (i32.const 16) (local.get $byte))
    (drop (call $fd_write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 8))))
"#;
