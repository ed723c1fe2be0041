//! What a process may take of the host's memory.

use wasmtime::ResourceLimiter;

use crate::control::CaptureHandle;
use crate::error::VmError;
use crate::image::LONGEST_SECTION_BYTES;

/// What a process may take at most. A guest that asks for more is told so where Wasm or WASI has a
/// way to (`memory.grow` and `table.grow` give -1, files `ENOSPC`); a module that begins with more
/// is not instantiated, and a state that has more is not rebuilt.
///
/// Its stack is the engine's ([`EngineOptions::stack_bytes`](crate::EngineOptions::stack_bytes)),
/// its time the [`Scheduler`](crate::Scheduler)'s.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of all its memories together. The control memory, which a process has beside its own, is
    /// no part of it.
    pub memory_bytes: u64,
    /// Elements of all its tables together, of 8 bytes or 16.
    pub table_elements: u64,
    /// Bytes of the files that it holds itself: in memory, or changed over those of a directory of
    /// the host. What it writes directly to the host is no part of it.
    pub file_bytes: u64,
}

impl Default for Limits {
    /// Memories as large as they can be; tables no larger than browsers allow them; files no larger
    /// than an image can hold, with room for the rest of the system's state.
    fn default() -> Self {
        Self {
            memory_bytes: u64::MAX,
            table_elements: 10_000_000,
            file_bytes: LONGEST_SECTION_BYTES - (16 << 20),
        }
    }
}

impl Limits {
    /// Refuses a process whose memories have so many bytes at the start.
    pub(crate) fn check_memory(&self, bytes: impl Iterator<Item = u64>) -> Result<(), VmError> {
        let needed_bytes = bytes.fold(0, u64::saturating_add);
        let limit_bytes = self.memory_bytes;
        if needed_bytes > limit_bytes {
            return Err(VmError::Memory {
                needed_bytes,
                limit_bytes,
            });
        }
        Ok(())
    }
}

/// Counts what one process takes, for the engine. What the system then refuses is counted all the
/// same.
#[derive(Debug)]
pub(crate) struct Limiter {
    memory_bytes: Budget,
    table_elements: Budget,
    capture: CaptureHandle,
    /// Whether the host itself uses tables now.
    is_for_host: bool,
}

#[derive(Debug)]
struct Budget {
    left: u64,
}

impl Budget {
    fn take(&mut self, current: usize, desired: usize, maximum: Option<usize>) -> bool {
        let more = desired.saturating_sub(current) as u64;
        let left = self.left.checked_sub(more);
        // Beyond its type's maximum no memory or table grows, whatever we say.
        let left = left.filter(|_| maximum.is_none_or(|maximum| desired <= maximum));
        self.left = left.unwrap_or(self.left);
        left.is_some()
    }
}

impl Limiter {
    /// `control_bytes`: the size of the control memory, which the engine asks for as well.
    pub(crate) fn new(limits: Limits, control_bytes: u64, capture: CaptureHandle) -> Self {
        let budget = |left| Budget { left };
        Self {
            memory_bytes: budget(limits.memory_bytes.saturating_add(control_bytes)),
            table_elements: budget(limits.table_elements),
            capture,
            is_for_host: false,
        }
    }

    /// Whether tables that grow are the host's affair from here on.
    pub(crate) fn set_for_host(&mut self, is_for_host: bool) {
        self.is_for_host = is_for_host;
    }
}

impl ResourceLimiter for Limiter {
    fn memory_growing(
        &mut self,
        current: usize,
        desired: usize,
        maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        Ok(self.memory_bytes.take(current, desired, maximum))
    }

    fn table_growing(
        &mut self,
        current: usize,
        desired: usize,
        maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        // No capture fails for want of room for the references that it saves.
        if self.is_for_host || self.capture.is_unwinding() {
            return Ok(true);
        }
        Ok(self.table_elements.take(current, desired, maximum))
    }

    // Continuations are instances too, up to as many as a process has stops.

    fn instances(&self) -> usize {
        usize::MAX
    }

    fn tables(&self) -> usize {
        usize::MAX
    }

    fn memories(&self) -> usize {
        usize::MAX
    }
}
