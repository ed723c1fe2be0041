//! The engine's linear memories on Leap's pages.
//!
//! [`Memories`] hands the engine its memories and remembers them by their base, so that the
//! memory behind a handle of the engine is found again: for its dirty pages when a process is
//! captured, for its image when one is restored.
//!
//! Invariant: the engine's view (base, length) and the memory's are the same at all times, but
//! between the growth of one and the other's, which nobody but the engine's own `memory.grow`
//! performs.

#![allow(
    unsafe_code,
    reason = "the engine's traits for memories are unsafe to implement"
)]

use std::collections::BTreeMap;
use std::sync::{Arc, Weak};

use leap_memory::{Memory, MemoryOptions, PAGE_BYTES, Tracking};
use parking_lot::Mutex;
use wasmtime::{LinearMemory, MemoryCreator, MemoryType};

/// A memory that the engine and the process share. The engine locks it only to grow it and to
/// ask for its length: no guest code waits for it.
pub(crate) type SharedMemory = Arc<Mutex<Memory>>;

/// The memories of one engine, by the address of their first byte.
#[derive(Debug, Default)]
pub(crate) struct Memories {
    tracking: Tracking,
    by_base: Arc<Mutex<BTreeMap<usize, Weak<Mutex<Memory>>>>>,
}

impl Memories {
    /// No memory yet; those to come have their dirty pages tracked that way.
    pub(crate) fn new(tracking: Tracking) -> Self {
        Self {
            tracking,
            ..Self::default()
        }
    }

    /// The memory whose first byte the engine says is at `base`.
    pub(crate) fn at(&self, base: *const u8) -> Option<SharedMemory> {
        self.by_base
            .lock()
            .get(&base.addr())
            .and_then(Weak::upgrade)
    }
}

// SAFETY: a memory of `leap_memory` is mapped from its reservation for its whole life, its base
// never moves, what lies behind its length (guard included) faults, and it begins as zeros. (The
// tests of leap-memory; `the_engine_grows_a_memory_of_ours` below.)
unsafe impl MemoryCreator for Memories {
    fn new_memory(
        &self,
        _: MemoryType,
        minimum: usize,
        _: Option<usize>,
        reserved_size_in_bytes: Option<usize>,
        guard_size_in_bytes: usize,
    ) -> Result<Box<dyn LinearMemory>, String> {
        if !minimum.is_multiple_of(PAGE_BYTES) {
            return Err(format!(
                "a memory of {minimum} bytes is no whole number of pages"
            ));
        }
        let options = MemoryOptions {
            capacity_bytes: reserved_size_in_bytes.unwrap_or(0).max(minimum),
            guard_bytes: guard_size_in_bytes,
            tracking: self.tracking,
        };
        let memory = Memory::reserve(&options).and_then(|mut memory| {
            memory.grow_to(minimum)?;
            Ok(memory)
        });
        let memory = memory.map_err(|error| with_sources(&error))?;
        let base = memory.base().as_ptr();
        let memory = Arc::new(Mutex::new(memory));
        let by_base = Arc::clone(&self.by_base);
        by_base.lock().insert(base.addr(), Arc::downgrade(&memory));
        Ok(Box::new(Linear { memory, by_base }))
    }
}

/// One memory, as the engine holds it.
struct Linear {
    memory: SharedMemory,
    by_base: Arc<Mutex<BTreeMap<usize, Weak<Mutex<Memory>>>>>,
}

// SAFETY: see `Memories`; the answers are the memory's own.
unsafe impl LinearMemory for Linear {
    fn byte_size(&self) -> usize {
        self.memory.lock().length_bytes()
    }

    fn byte_capacity(&self) -> usize {
        self.memory.lock().capacity_bytes()
    }

    fn grow_to(&mut self, new_size: usize) -> wasmtime::Result<()> {
        Ok(self.memory.lock().grow_to(new_size)?)
    }

    fn as_ptr(&self) -> *mut u8 {
        self.memory.lock().base().as_ptr()
    }
}

impl Drop for Linear {
    fn drop(&mut self) {
        let base = self.memory.lock().base();
        self.by_base.lock().remove(&base.as_ptr().addr());
    }
}

/// Gives the whole pages of `bytes`, which the engine's private memory holds and nobody reads any
/// more, back to the system.
pub(crate) fn give_back(bytes: &mut [u8]) {
    let start = bytes.as_mut_ptr();
    let before = start.align_offset(PAGE_BYTES);
    let whole = bytes.len().saturating_sub(before) / PAGE_BYTES * PAGE_BYTES;
    if whole == 0 {
        return;
    }
    // SAFETY: these pages lie within `bytes`, to which no other reference is alive. Whether they
    // read as before or as zeros afterwards, they are bytes. (`a_deep_stack_gives_its_pages_back`.)
    // If the system refuses, they are kept, which is no harm.
    let _ = unsafe {
        rustix::mm::madvise(
            start.wrapping_add(before).cast(),
            whole,
            rustix::mm::Advice::LinuxDontNeed,
        )
    };
}

/// An error and its causes in one line: the engine takes no other.
fn with_sources(error: &dyn std::error::Error) -> String {
    match error.source() {
        Some(source) => format!("{error}: {}", with_sources(source)),
        None => error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use wasmtime::{Config, Engine, Instance, Module, Result, Store, Trap};

    use super::*;

    const GUEST: &str = r#"(module
        (memory (export "memory") 1 3)
        (func (export "grow") (param i32) (result i32) (memory.grow (local.get 0)))
        (func (export "store") (param i32) (i32.store8 (local.get 0) (i32.const 7))))"#;

    #[test]
    fn the_engine_grows_a_memory_of_ours() -> Result<()> {
        for tracking in [Tracking::Auto, Tracking::Protect] {
            let memories = Arc::new(Memories::new(tracking));
            let mut config = Config::new();
            config
                .memory_init_cow(false)
                .with_host_memory(memories.clone());
            let engine = Engine::new(&config)?;
            let module = Module::new(&engine, wat::parse_str(GUEST)?)?;
            let mut store = Store::new(&engine, ());
            let instance = Instance::new(&mut store, &module, &[])?;
            let grow = instance.get_typed_func::<i32, i32>(&mut store, "grow")?;
            let write = instance.get_typed_func::<i32, ()>(&mut store, "store")?;

            let memory = instance
                .get_memory(&mut store, "memory")
                .expect("it is exported");
            let base = memory.data_ptr(&store);
            let ours = memories.at(base).expect("the memory is ours");
            assert_eq!(ours.lock().seal()?.changed().len(), 0);

            let trap = write
                .call(&mut store, 65536)
                .expect_err("it is out of bounds");
            assert_eq!(trap.downcast_ref(), Some(&Trap::MemoryOutOfBounds));
            assert_eq!(grow.call(&mut store, 1)?, 1);
            assert_eq!(memory.data_ptr(&store), base);
            write.call(&mut store, 65536)?;
            write.call(&mut store, 5)?;
            let changed: Vec<usize> = ours.lock().seal()?.changed().iter().collect();
            assert_eq!(changed, [0, 16]);
            assert_eq!(grow.call(&mut store, 2)?, -1);

            drop(ours);
            drop(store);
            assert!(memories.at(base).is_none());
        }
        Ok(())
    }
}
