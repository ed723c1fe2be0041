//! What single pages do: what is dirty, what costs nothing, what faults.

use std::fs;
use std::io::Write as _;
use std::os::unix::process::ExitStatusExt as _;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::Result;
use leap_memory::{Extent, Memory, MemoryError, MemoryOptions, PAGE_BYTES, Tracking};

/// What this system does best, and what every system does. (The model test insists on userfaultfd.)
const BOTH: [Tracking; 2] = [Tracking::Auto, Tracking::Protect];

fn memory(tracking: Tracking, pages: usize) -> Result<Memory> {
    let mut memory = Memory::reserve(&MemoryOptions {
        capacity_bytes: 1 << 32,
        guard_bytes: 1 << 25,
        tracking,
    })?;
    memory.grow_to(pages * PAGE_BYTES)?;
    Ok(memory)
}

fn sealed_pages(memory: &mut Memory) -> Result<Vec<usize>> {
    Ok(memory.seal()?.changed().iter().collect())
}

#[test]
fn a_page_is_dirty_alone() -> Result<()> {
    for tracking in BOTH {
        let mut memory = memory(tracking, 2048)?;
        assert_eq!(sealed_pages(&mut memory)?, [0; 0]);
        memory.bytes_mut()[700 * PAGE_BYTES + 5] = 1;
        assert_eq!(sealed_pages(&mut memory)?, [700]);
        assert_eq!(sealed_pages(&mut memory)?, [0; 0]);
        memory.bytes_mut()[700 * PAGE_BYTES + 5] = 2;
        memory.bytes_mut()[2047 * PAGE_BYTES] = 2;
        assert_eq!(sealed_pages(&mut memory)?, [700, 2047]);
    }
    Ok(())
}

#[test]
fn reading_makes_no_page_dirty() -> Result<()> {
    for tracking in BOTH {
        let mut memory = memory(tracking, 64)?;
        assert!(memory.bytes().iter().all(|&byte| byte == 0));
        assert_eq!(sealed_pages(&mut memory)?, [0; 0]);
        memory.bytes_mut()[9 * PAGE_BYTES] = 1;
        assert_eq!(sealed_pages(&mut memory)?, [9]);
    }
    Ok(())
}

#[test]
fn many_runs_take_many_scans() -> Result<()> {
    for tracking in BOTH {
        let mut memory = memory(tracking, 4096)?;
        let odd: Vec<usize> = (0..2048).map(|half| half * 2 + 1).collect();
        for page in &odd {
            memory.bytes_mut()[page * PAGE_BYTES] = 1;
        }
        assert_eq!(sealed_pages(&mut memory)?, odd);
        assert_eq!(sealed_pages(&mut memory)?, [0; 0]);
    }
    Ok(())
}

#[test]
fn a_version_that_was_not_kept_is_in_the_next() -> Result<()> {
    let mut memory = memory(Tracking::Auto, 8)?;
    memory.bytes_mut()[3 * PAGE_BYTES] = 1;
    let lost = memory.seal()?.changed().clone();
    memory.bytes_mut()[5 * PAGE_BYTES] = 1;
    memory.mark_changed(&lost);
    assert_eq!(sealed_pages(&mut memory)?, [3, 5]);
    Ok(())
}

#[test]
fn a_whole_version_has_all_pages_and_is_the_base_of_the_next() -> Result<()> {
    let mut memory = memory(Tracking::Auto, 8)?;
    memory.bytes_mut()[3 * PAGE_BYTES] = 1;
    memory.seal()?;
    memory.bytes_mut()[5 * PAGE_BYTES] = 1;
    let whole: Vec<usize> = memory.seal_whole()?.changed().iter().collect();
    assert_eq!(whole, [3, 5]);
    memory.bytes_mut()[3 * PAGE_BYTES] = 2;
    assert_eq!(sealed_pages(&mut memory)?, [3]);
    Ok(())
}

#[test]
fn pages_that_were_not_touched_take_no_memory() -> Result<()> {
    let resident_kib = |memory: &Memory| -> Result<u64> {
        let start = format!("{:x}-", memory.base().addr());
        let maps = fs::read_to_string("/proc/self/smaps")?;
        let mut lines = maps
            .lines()
            .skip_while(|line| !line.starts_with(&start))
            .skip(1);
        let rss = lines
            .find(|line| line.starts_with("Rss:"))
            .expect("a line Rss");
        Ok(rss.split_whitespace().nth(1).expect("a number").parse()?)
    };
    for tracking in BOTH {
        let mut memory = memory(tracking, 1 << 18)?;
        sealed_pages(&mut memory)?;
        assert_eq!(resident_kib(&memory)?, 0);
    }
    let mut memory = memory(Tracking::Auto, 1 << 18)?;
    memory.bytes_mut()[17 * PAGE_BYTES] = 1;
    sealed_pages(&mut memory)?;
    assert_eq!(resident_kib(&memory)?, 4);
    Ok(())
}

#[test]
fn an_image_is_never_written() -> Result<()> {
    for tracking in BOTH {
        let mut file = tempfile::tempfile()?;
        file.write_all(&vec![3; 32 * PAGE_BYTES])?;
        let mut memory = memory(tracking, 0)?;
        let extent = Extent {
            pages: 10..42,
            file_offset: 0,
        };
        memory.map_image(&file, std::slice::from_ref(&extent), 64 * PAGE_BYTES)?;
        memory.bytes_mut()[11 * PAGE_BYTES..12 * PAGE_BYTES].fill(4);
        assert_eq!(memory.bytes()[10 * PAGE_BYTES], 3);
        assert_eq!(memory.bytes()[42 * PAGE_BYTES], 0);
        assert_eq!(sealed_pages(&mut memory)?, [11]);
        assert!(memory.occupied()?.runs().eq(std::iter::once(10..42)));

        let mut another = self::memory(tracking, 0)?;
        another.map_image(&file, &[extent], 64 * PAGE_BYTES)?;
        assert!(
            another.bytes()[10 * PAGE_BYTES..42 * PAGE_BYTES]
                .iter()
                .all(|&byte| byte == 3)
        );
    }
    Ok(())
}

#[test]
fn extents_that_lie_are_refused() -> Result<()> {
    let mut file = tempfile::tempfile()?;
    file.write_all(&vec![3; 4 * PAGE_BYTES])?;
    let refused = [
        vec![(0..5, 0)],
        vec![(0..1, 4 * PAGE_BYTES as u64)],
        vec![(0..1, 1)],
        vec![(0..1, u64::MAX - 4095)],
        vec![(7..9, 0)],
        vec![(0..0, 0)],
        vec![(1..2, 0), (0..1, 0)],
        vec![(0..2, 0), (1..3, 0)],
    ];
    for extents in refused {
        let mut memory = memory(Tracking::Auto, 1)?;
        memory.bytes_mut()[0] = 9;
        let extents: Vec<Extent> = extents
            .into_iter()
            .map(|(pages, file_offset)| Extent { pages, file_offset })
            .collect();
        let refusal = memory.map_image(&file, &extents, 8 * PAGE_BYTES);
        assert!(
            matches!(refusal, Err(MemoryError::Extent { .. })),
            "{extents:?}"
        );
        assert_eq!(memory.bytes()[0], 9, "{extents:?}");
    }
    Ok(())
}

#[test]
fn lengths_that_cannot_be_are_refused() -> Result<()> {
    let mut memory = Memory::reserve(&MemoryOptions {
        capacity_bytes: 2 * PAGE_BYTES,
        ..MemoryOptions::default()
    })?;
    assert!(matches!(
        memory.grow_to(1),
        Err(MemoryError::Unaligned { .. })
    ));
    assert!(matches!(
        memory.grow_to(3 * PAGE_BYTES),
        Err(MemoryError::Capacity { .. })
    ));
    let absurd = MemoryOptions {
        capacity_bytes: usize::MAX,
        ..MemoryOptions::default()
    };
    assert!(matches!(
        Memory::reserve(&absurd),
        Err(MemoryError::Capacity { .. })
    ));
    let more_than_there_is = MemoryOptions {
        capacity_bytes: 1 << 60,
        ..MemoryOptions::default()
    };
    assert!(matches!(
        Memory::reserve(&more_than_there_is),
        Err(MemoryError::System { .. })
    ));
    Ok(())
}

#[test]
fn abort_gives_the_length_back() -> Result<()> {
    for tracking in BOTH {
        let mut memory = memory(tracking, 2)?;
        let level = memory.open_level()?;
        memory.grow_to(4 * PAGE_BYTES)?;
        memory.bytes_mut()[3 * PAGE_BYTES] = 1;
        memory.open_level()?;
        memory.abort_level(level)?;
        assert_eq!(memory.length_bytes(), 2 * PAGE_BYTES);
        memory.grow_to(4 * PAGE_BYTES)?;
        assert_eq!(memory.bytes()[3 * PAGE_BYTES], 0);
    }
    Ok(())
}

#[test]
fn address_space_comes_back() -> Result<()> {
    // 128 TiB is all that a process has.
    for _ in 0..200 {
        let memory = Memory::reserve(&MemoryOptions {
            capacity_bytes: 1 << 40,
            tracking: Tracking::Auto,
            ..MemoryOptions::default()
        })?;
        assert_eq!(memory.length_bytes(), 0);
    }
    Ok(())
}

#[test]
fn memories_live_beside_each_other_on_threads() -> Result<()> {
    for tracking in BOTH {
        // More than one after the other, so that the places of dropped ones are taken again.
        for round in 0..20 {
            std::thread::scope(|threads| {
                for thread in 0..4_usize {
                    threads.spawn(move || {
                        let mut memory = memory(tracking, 256).expect("there is room");
                        for page in (thread..256).step_by(4) {
                            memory.bytes_mut()[page * PAGE_BYTES] = 1 + round;
                        }
                        let dirty = sealed_pages(&mut memory).expect("it can be sealed");
                        assert!(dirty.into_iter().eq((thread..256).step_by(4)));
                    });
                }
            });
        }
    }
    Ok(())
}

/// What `LEAP_TEST_FAULT` asks the process to do that this test started itself as.
#[test]
fn faults_of_others_go_to_their_handler() -> Result<()> {
    const ASKED: &str = "LEAP_TEST_FAULT";
    if let Ok(fault) = std::env::var(ASKED) {
        commit_fault(&fault)?;
        panic!("the fault did not happen");
    }
    for fault in ["behind", "guard", "null", "engine"] {
        for tracking in ["userfault", "protect"] {
            let output = Command::new(std::env::current_exe()?)
                .args(["--exact", "faults_of_others_go_to_their_handler"])
                .env(ASKED, fault)
                .env("LEAP_MEMORY_TRACKING", tracking)
                .output()?;
            match fault {
                "engine" => assert_eq!(output.status.code(), Some(77), "{tracking}: {output:?}"),
                _ => assert_eq!(
                    output.status.signal(),
                    Some(libc::SIGSEGV),
                    "{fault} {tracking}: {output:?}"
                ),
            }
        }
    }
    Ok(())
}

/// Ends the process, if all is well.
fn commit_fault(fault: &str) -> Result<()> {
    let mut memory = memory(Tracking::Auto, 4)?;
    memory.bytes_mut().fill(1);
    if fault == "engine" {
        // A handler that is installed after ours hands on to ours what is not its own, and is
        // asked about what is not ours.
        install_exit_handler();
        let mut later = self::memory(Tracking::Auto, 4)?;
        later.bytes_mut().fill(1);
        memory.seal()?;
        memory.bytes_mut().fill(2);
    }
    let place = match fault {
        "behind" | "engine" => memory.base().as_ptr().wrapping_add(4 * PAGE_BYTES),
        "guard" => memory
            .base()
            .as_ptr()
            .wrapping_add((1 << 32) + (1 << 25) - 1),
        _ => std::ptr::without_provenance_mut(8),
    };
    // SAFETY: there is none, which is the point: the process must end here.
    unsafe { place.write_volatile(1) };
    Ok(())
}

/// Ends the process with code 77 at a fault.
fn install_exit_handler() {
    extern "C" fn exit(_: libc::c_int) {
        // SAFETY: `_exit` may be called in a handler.
        unsafe { libc::_exit(77) }
    }
    let handler: extern "C" fn(libc::c_int) = exit;
    // SAFETY: the handler does what a handler may.
    unsafe { libc::signal(libc::SIGSEGV, handler as *const () as usize) };
}

#[test]
fn a_copy_of_a_memory_in_use_is_whole_with_what_changed_since() -> Result<()> {
    const PAGES: usize = 512;
    for tracking in BOTH {
        let mut memory = memory(tracking, PAGES)?;
        let base = memory.base().as_ptr().expose_provenance();
        let is_over = AtomicBool::new(false);
        std::thread::scope(|scope| -> Result<()> {
            let writer = scope.spawn(|| {
                let mut turn = 0_u64;
                while !is_over.load(Ordering::Relaxed) {
                    turn += 1;
                    let at = base + (turn as usize * 7 % PAGES) * PAGE_BYTES + 8;
                    // SAFETY: within the memory, which outlives the scope; through its base, beside
                    // methods that allow that.
                    unsafe {
                        std::ptr::with_exposed_provenance_mut::<u64>(at).write_volatile(turn);
                    };
                }
            });
            let copies: Result<Vec<_>> = (0..50)
                .map(|_| {
                    let copying = memory.begin_copy()?;
                    Ok((copying.number(), copying.read()?))
                })
                .collect();
            is_over.store(true, Ordering::Relaxed);
            writer.join().expect("it only writes");
            let mut copies = copies?;
            let (number, copy) = copies.pop().expect("there are fifty");
            let (given_up, _) = copies.pop().expect("there are fifty");
            let refused = memory.seal_over(given_up).map(|version| version.number());
            assert!(matches!(refused, Err(MemoryError::CopyGivenUp { .. })));

            let changes = memory.seal_over(number)?.to_delta();
            let mut whole = Vec::new();
            copy.apply_to(&mut whole);
            changes.apply_to(&mut whole);
            assert!(whole == memory.bytes(), "{tracking:?}");
            // The sealed version is what the next one is relative to.
            assert_eq!(sealed_pages(&mut memory)?, [0; 0]);
            Ok(())
        })?;
    }
    Ok(())
}
