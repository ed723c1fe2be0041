//! Direct calls of every function, with a guest memory that is a vector.

mod caller;
mod files;
mod mounts;
mod waiting;

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::{Context as _, Result};

use super::abi::{Errno, clock, fd_flags, open_flags, rights};
use super::*;
use crate::limits::Limits;
use caller::*;
use mounts::directories_links_and_names;

#[test]
fn there_are_46_functions_and_each_survives_any_arguments() -> Result<()> {
    let names: BTreeSet<&str> = Wasi::functions().collect();
    assert_eq!(names.len(), 46);
    let interesting = [
        0,
        1,
        3,
        4,
        63,
        65_530,
        0xffff_fff8,
        u64::from(u32::MAX),
        u64::MAX,
        1 << 63,
    ];
    for &function in Function::ALL {
        let mut caller = Caller::in_memory()?;
        let count = function.parameters().len();
        for first in interesting {
            for other in interesting {
                let mut arguments = vec![other; count];
                if let Some(argument) = arguments.first_mut() {
                    *argument = first;
                }
                caller.outcome(function.name(), &arguments);
            }
        }
    }
    assert_eq!(
        Caller::in_memory()?.wasi.call("fd_read", &[1], &mut []),
        None
    );
    assert_eq!(Caller::in_memory()?.wasi.call("fork", &[], &mut []), None);
    Ok(())
}

#[test]
fn arguments_and_environment() -> Result<()> {
    let mut caller = Caller::in_memory()?;
    for (sizes, get, strings) in [
        ("args_sizes_get", "args_get", &b"prog\0\xc3\xa4 b\0"[..]),
        ("environ_sizes_get", "environ_get", b"HOME=/\0"),
    ] {
        caller.ok(sizes, &[0, 4]);
        let count = strings.iter().filter(|&&byte| byte == 0).count();
        assert_eq!(caller.u32(0) as usize, count);
        assert_eq!(caller.u32(4) as usize, strings.len());
        caller.ok(get, &[64, 1024]);
        assert_eq!(caller.u32(64), 1024);
        assert_eq!(caller.bytes(1024, strings.len() as u32), strings);
        caller.fails(Errno::Fault, get, &[65_534, 1024]);
        caller.fails(Errno::Fault, get, &[64, 65_534]);
    }
    Ok(())
}

#[test]
fn clocks_go_on_where_they_stood() -> Result<()> {
    let mut caller = Caller::in_memory()?;
    let monotonic = [clock::MONOTONIC.into(), 0, RESULT.into()];
    caller.now_ns.fetch_add(300, Ordering::Relaxed);
    caller.ok("clock_time_get", &monotonic);
    assert_eq!(caller.u64(RESULT), 300);
    let mut caller = caller.moved()?;
    caller.now_ns.fetch_add(30, Ordering::Relaxed);
    caller.ok("clock_time_get", &monotonic);
    assert_eq!(caller.u64(RESULT), 330);

    caller.ok(
        "clock_time_get",
        &[clock::REALTIME.into(), 0, RESULT.into()],
    );
    assert_eq!(caller.u64(RESULT), 1_000_000_005_030);
    caller.ok("clock_res_get", &[clock::REALTIME.into(), RESULT.into()]);
    assert_eq!(caller.u64(RESULT), 1);
    caller.fails(Errno::Inval, "clock_time_get", &[2, 0, RESULT.into()]);
    caller.fails(Errno::Inval, "clock_res_get", &[9, RESULT.into()]);
    Ok(())
}

#[test]
fn random_numbers_depend_on_the_seed_alone() -> Result<()> {
    let mut caller = Caller::in_memory()?;
    caller.ok("random_get", &[0, 16]);
    let first = caller.bytes(0, 16).to_vec();
    let mut moved = caller.moved()?;
    moved.ok("random_get", &[0, 16]);
    let second = moved.bytes(0, 16).to_vec();
    let mut again = Caller::in_memory()?;
    again.ok("random_get", &[0, 16]);
    assert_eq!(again.bytes(0, 16), first);
    again.ok("random_get", &[0, 16]);
    assert_eq!(again.bytes(0, 16), second);
    assert_ne!(first, second);

    let mut of_the_system = Caller::new(&WasiOptions::default())?;
    of_the_system.ok("random_get", &[0, 60_000]);
    assert!(of_the_system.bytes(0, 60_000).iter().any(|&byte| byte != 0));
    of_the_system.fails(Errno::Fault, "random_get", &[65_530, 60]);
    Ok(())
}

#[test]
fn what_is_left() -> Result<()> {
    let mut caller = Caller::in_memory()?;
    assert_eq!(caller.outcome("proc_exit", &[3]), Outcome::Exit(3));
    caller.fails(Errno::Nosys, "proc_raise", &[6]);
    caller.ok("sched_yield", &[]);
    for (name, count) in [
        ("sock_accept", 3),
        ("sock_recv", 6),
        ("sock_send", 5),
        ("sock_shutdown", 2),
    ] {
        let mut arguments = vec![1; count];
        caller.fails(Errno::Notsock, name, &arguments);
        arguments[0] = 77;
        caller.fails(Errno::Badf, name, &arguments);
    }
    Ok(())
}

#[test]
fn going_back_to_an_earlier_state() -> Result<()> {
    let mut caller = Caller::in_memory()?;
    caller.create("f", "before");
    let earlier = caller.wasi.state();
    caller.create("f", "after");
    caller.create("g", "");
    caller.wasi.set_state(earlier.clone())?;
    assert_eq!(caller.contents("f"), "before");
    assert_eq!(caller.list(".", 999), ["f"]);
    caller.write(1, b"still heard");
    assert_eq!(caller.output.bytes(Stream::Output), b"still heard");
    assert_eq!(caller.wasi.state(), earlier);
    Ok(())
}

/// What could not be read again is not written: the process can run on.
#[test]
fn a_state_too_large_to_be_read_is_refused() -> Result<()> {
    const LONGEST: u64 = super::contents::LONGEST_BYTES;
    let mut caller = Caller::in_memory()?;
    for number in 0..15 {
        let fd = caller.open(&format!("hole-{number}"), open_flags::CREATE);
        caller.ok("fd_filestat_set_size", &[fd, LONGEST]);
    }
    let bytes = caller
        .wasi
        .state()
        .to_bytes()
        .context("it is not too large")?;
    assert_eq!(WasiState::from_bytes(&bytes), Some(caller.wasi.state()));
    for number in 15..18 {
        let fd = caller.open(&format!("hole-{number}"), open_flags::CREATE);
        caller.ok("fd_filestat_set_size", &[fd, LONGEST]);
    }
    assert_eq!(caller.wasi.state().to_bytes(), None);
    Ok(())
}

#[test]
fn a_state_from_anywhere_is_sound_or_refused() {
    let mut caller = Caller::in_memory().expect("it can be made");
    directories_links_and_names(&mut caller, true);
    caller.create("f", "contents");
    caller.open("f", 0);
    let bytes = postcard::to_stdvec(&caller.wasi.state()).expect("it can be encoded");
    bolero::check!()
        .with_type::<(u16, u8, Vec<u8>)>()
        .for_each(|(place, byte, rest)| {
            // Mostly right, for what is all wrong does not come far.
            let mut forged = bytes.clone();
            let place = *place as usize % forged.len();
            forged[place] = *byte;
            if rest.len() > 6 {
                forged.truncate(place);
                forged.extend_from_slice(rest);
            }
            let Some(state) = WasiState::from_bytes(&forged) else {
                return;
            };
            let output = Outside::with_sink(Collected::default());
            let Ok(wasi) = Wasi::new(state, output) else {
                return;
            };
            let mut caller = Caller {
                wasi,
                memory: vec![0; 65_536],
                output: Collected::default(),
                now_ns: Arc::default(),
            };
            for &function in Function::ALL {
                for fd in 0..6 {
                    let arguments = vec![fd; function.parameters().len()];
                    caller.outcome(function.name(), &arguments);
                }
            }
            caller.on_path("path_unlink_file", "f");
            caller.open_errno("f", open_flags::CREATE, 0);
            for fd in 0..6 {
                caller.errno("fd_close", &[fd]);
            }
        });
}
