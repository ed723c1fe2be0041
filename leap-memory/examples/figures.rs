//! What tracking costs: the first write to a page after a seal, a seal, and an undo, for a memory
//! of 64 MiB of which every hundredth page was written.
//!
//!     cargo run --release -p leap-memory --example figures

use std::time::{Duration, Instant};

use leap_memory::{Memory, MemoryError, MemoryOptions, PAGE_BYTES, Tracking};

const PAGES: usize = 16384;
const STRIDE: usize = 100;
const ROUNDS: u32 = 50;

#[allow(clippy::print_stdout, reason = "it prints figures")]
fn main() -> Result<(), MemoryError> {
    for tracking in [Tracking::Userfault, Tracking::Protect] {
        let mut memory = Memory::reserve(&MemoryOptions {
            capacity_bytes: 1 << 32,
            guard_bytes: 1 << 25,
            tracking,
        })?;
        memory.grow_to(PAGES * PAGE_BYTES)?;
        memory.bytes_mut().fill(1);
        memory.seal()?;

        let [mut write, mut seal, mut copy, mut undo] = [Duration::MAX; 4];
        for round in 0..ROUNDS {
            write = write.min(timed(|| dirty(&mut memory, round)).0);
            let (time, version) = timed(|| memory.seal());
            seal = seal.min(time);
            let version = version?;
            copy = copy.min(timed(|| version.to_delta()).0);
        }
        let (open, level) = timed(|| memory.open_level());
        level?;
        let [mut reopen] = [Duration::MAX];
        for round in 0..ROUNDS {
            dirty(&mut memory, round);
            let (time, level) = timed(|| memory.open_level());
            reopen = reopen.min(time);
            level?;
            dirty(&mut memory, round);
            let (time, done) = timed(|| memory.abort_level(1));
            undo = undo.min(time);
            done?;
        }
        let per_page = write / (PAGES / STRIDE) as u32;
        println!("{tracking:?}: first write {per_page:?} a page, seal {seal:?}, copy {copy:?}");
        println!("  first level {open:?}, level {reopen:?}, undo {undo:?}");
    }
    Ok(())
}

fn dirty(memory: &mut Memory, round: u32) {
    for page in (0..PAGES).step_by(STRIDE) {
        memory.bytes_mut()[page * PAGE_BYTES + 8] = 2 + round as u8;
    }
}

fn timed<T>(work: impl FnOnce() -> T) -> (Duration, T) {
    let start = Instant::now();
    let done = work();
    (start.elapsed(), done)
}
