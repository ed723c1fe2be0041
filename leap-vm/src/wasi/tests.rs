//! Direct calls of every function, with a guest memory that is a vector.

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

/// A guest's memory, and places in it that the calls use.
struct Caller {
    wasi: Wasi,
    memory: Vec<u8>,
    output: Collected,
    now_ns: Arc<AtomicU64>,
}

const RESULT: u32 = 0;
const VECTOR: u32 = 64;
const PATH: u32 = 128;
const OTHER_PATH: u32 = 4352;
const BUFFER: u32 = 16_384;
const BUFFER_LEN: u32 = 32_768;
const ROOT: u64 = 3;
const ALL_RIGHTS: u64 = u64::MAX;

/// A clock that stands still until it is set.
struct SetClock(Arc<AtomicU64>);

impl Clock for SetClock {
    fn realtime_ns(&self) -> u64 {
        1_000_000_000_000 + self.monotonic_ns()
    }

    fn monotonic_ns(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// Input that comes when the test says.
#[derive(Clone, Default)]
struct SetInput(Arc<parking_lot::Mutex<Vec<Arrived>>>);

impl Source for SetInput {
    fn read(&mut self, _: usize, _: &Waker) -> Arrived {
        self.0.lock().pop().unwrap_or(Arrived::Nothing)
    }
}

impl Caller {
    fn new(options: &WasiOptions) -> Result<Self> {
        Self::with(WasiState::new(options), NoInput)
    }

    fn in_memory() -> Result<Self> {
        Self::new(&WasiOptions {
            arguments: vec!["prog".into(), "ä b".into()],
            environment: vec![("HOME".into(), "/".into())],
            memory_directories: vec!["/".into()],
            random_seed: Some(7),
            ..WasiOptions::default()
        })
    }

    fn over(path: &Path, writes: HostWrites) -> Result<Self> {
        Self::new(&WasiOptions {
            directories: vec![HostMount {
                name: "/".into(),
                path: path.to_owned(),
                writes,
            }],
            ..WasiOptions::default()
        })
    }

    fn with(state: WasiState, source: impl Source + 'static) -> Result<Self> {
        let output = Collected::default();
        let now_ns = Arc::new(AtomicU64::new(5_000));
        let outside = Outside {
            sink: Box::new(output.clone()),
            source: Box::new(source),
            clock: Box::new(SetClock(now_ns.clone())),
            limits: Limits::default(),
        };
        Ok(Self {
            wasi: Wasi::new(state, outside)?,
            memory: vec![0; 65_536],
            output,
            now_ns,
        })
    }

    /// The same process, after its state went through an image.
    fn moved(self) -> Result<Self> {
        let state = WasiState::from_bytes(&self.wasi.state().to_bytes());
        let mut moved = Self::with(state.context("it is sound")?, NoInput)?;
        moved.memory = self.memory;
        Ok(moved)
    }

    fn outcome(&mut self, name: &str, arguments: &[u64]) -> Outcome {
        self.wasi
            .call(name, arguments, &mut self.memory)
            .unwrap_or_else(|| panic!("{name} takes other arguments"))
    }

    fn errno(&mut self, name: &str, arguments: &[u64]) -> u16 {
        match self.outcome(name, arguments) {
            Outcome::Done(errno) => errno,
            other => panic!("{name}: {other:?}"),
        }
    }

    #[track_caller]
    fn ok(&mut self, name: &str, arguments: &[u64]) {
        let errno = self.errno(name, arguments);
        assert_eq!(errno, 0, "{name} {arguments:?}");
    }

    #[track_caller]
    fn fails(&mut self, errno: Errno, name: &str, arguments: &[u64]) {
        assert_eq!(
            self.errno(name, arguments),
            errno as u16,
            "{name} {arguments:?}"
        );
    }

    fn u16(&self, at: u32) -> u16 {
        u16::from_le_bytes(self.bytes(at, 2).try_into().expect("two bytes"))
    }

    fn u32(&self, at: u32) -> u32 {
        u32::from_le_bytes(self.bytes(at, 4).try_into().expect("four bytes"))
    }

    fn u64(&self, at: u32) -> u64 {
        u64::from_le_bytes(self.bytes(at, 8).try_into().expect("eight bytes"))
    }

    fn bytes(&self, at: u32, len: u32) -> &[u8] {
        &self.memory[at as usize..(at + len) as usize]
    }

    fn put(&mut self, at: u32, bytes: &[u8]) -> [u64; 2] {
        self.memory[at as usize..at as usize + bytes.len()].copy_from_slice(bytes);
        [at.into(), bytes.len() as u64]
    }

    fn path(&mut self, path: &str) -> [u64; 2] {
        self.put(PATH, path.as_bytes())
    }

    fn vector(&mut self, len: u32) {
        self.put(VECTOR, &BUFFER.to_le_bytes());
        self.put(VECTOR + 4, &len.to_le_bytes());
    }

    fn open_errno(&mut self, path: &str, flags: u16, fd_flags: u16) -> u16 {
        let [at, len] = self.path(path);
        let arguments = [
            ROOT,
            1,
            at,
            len,
            flags.into(),
            ALL_RIGHTS & 0x3fff_ffff,
            ALL_RIGHTS & 0x3fff_ffff,
            fd_flags.into(),
            RESULT.into(),
        ];
        self.errno("path_open", &arguments)
    }

    #[track_caller]
    fn open(&mut self, path: &str, flags: u16) -> u64 {
        assert_eq!(self.open_errno(path, flags, 0), 0, "{path}");
        self.u32(RESULT).into()
    }

    #[track_caller]
    fn write(&mut self, fd: u64, bytes: &[u8]) {
        self.put(BUFFER, bytes);
        self.vector(bytes.len() as u32);
        self.ok("fd_write", &[fd, VECTOR.into(), 1, RESULT.into()]);
        assert_eq!(self.u32(RESULT) as usize, bytes.len());
    }

    #[track_caller]
    fn read(&mut self, fd: u64, up_to: u32) -> Vec<u8> {
        self.vector(up_to);
        self.ok("fd_read", &[fd, VECTOR.into(), 1, RESULT.into()]);
        self.bytes(BUFFER, self.u32(RESULT)).to_vec()
    }

    #[track_caller]
    fn contents(&mut self, path: &str) -> String {
        let fd = self.open(path, 0);
        let bytes = self.read(fd, BUFFER_LEN);
        self.ok("fd_close", &[fd]);
        String::from_utf8(bytes).expect("the tests write UTF-8")
    }

    #[track_caller]
    fn create(&mut self, path: &str, contents: &str) {
        let fd = self.open(path, open_flags::CREATE | open_flags::TRUNCATE);
        self.write(fd, contents.as_bytes());
        self.ok("fd_close", &[fd]);
    }

    /// A function on a path below the root.
    fn on_path(&mut self, name: &str, path: &str) -> u16 {
        let [at, len] = self.path(path);
        self.errno(name, &[ROOT, at, len])
    }

    fn rename(&mut self, from: &str, to: &str) -> u16 {
        let [at, len] = self.path(from);
        let [to_at, to_len] = self.put(OTHER_PATH, to.as_bytes());
        self.errno("path_rename", &[ROOT, at, len, ROOT, to_at, to_len])
    }

    fn link(&mut self, from: &str, to: &str) -> u16 {
        let [at, len] = self.path(from);
        let [to_at, to_len] = self.put(OTHER_PATH, to.as_bytes());
        self.errno("path_link", &[ROOT, 0, at, len, ROOT, to_at, to_len])
    }

    fn symlink(&mut self, target: &str, path: &str) -> u16 {
        let [at, len] = self.path(target);
        let [to_at, to_len] = self.put(OTHER_PATH, path.as_bytes());
        self.errno("path_symlink", &[at, len, ROOT, to_at, to_len])
    }

    /// Type, links, size and times; an error number if there is nothing.
    fn status(&mut self, path: &str, follow: bool) -> Result<(u8, u64, u64, [u64; 2]), u16> {
        let [at, len] = self.path(path);
        let errno = self.errno(
            "path_filestat_get",
            &[ROOT, follow.into(), at, len, BUFFER.into()],
        );
        match errno {
            0 => Ok((
                self.bytes(BUFFER + 16, 1)[0],
                self.u64(BUFFER + 24),
                self.u64(BUFFER + 32),
                [self.u64(BUFFER + 40), self.u64(BUFFER + 48)],
            )),
            errno => Err(errno),
        }
    }

    /// The names in a directory, read with a buffer of that many bytes.
    fn list(&mut self, path: &str, buffer: u32) -> Vec<String> {
        let fd = self.open(path, open_flags::DIRECTORY);
        let mut names = Vec::new();
        let mut cookie = 0;
        loop {
            self.ok(
                "fd_readdir",
                &[fd, BUFFER.into(), buffer.into(), cookie, RESULT.into()],
            );
            let used = self.u32(RESULT);
            let mut at = BUFFER;
            while at + 24 <= BUFFER + used {
                let name_len = self.u32(at + 16);
                if at + 24 + name_len > BUFFER + used {
                    break;
                }
                cookie = self.u64(at);
                let name = self.bytes(at + 24, name_len).to_vec();
                names.push(String::from_utf8(name).expect("names are UTF-8"));
                at += 24 + name_len;
            }
            if used < buffer {
                break;
            }
        }
        self.ok("fd_close", &[fd]);
        names.retain(|name| name != "." && name != "..");
        names
    }
}

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
fn streams() -> Result<()> {
    let mut caller = Caller::in_memory()?;
    caller.write(1, b"out");
    caller.write(2, b"err");
    assert_eq!(caller.output.bytes(Stream::Output), b"out");
    assert_eq!(caller.output.bytes(Stream::Error), b"err");
    assert_eq!(caller.read(0, 4), b"");
    caller.fails(
        Errno::Notcapable,
        "fd_read",
        &[1, VECTOR.into(), 1, RESULT.into()],
    );
    caller.fails(
        Errno::Notcapable,
        "fd_write",
        &[0, VECTOR.into(), 1, RESULT.into()],
    );
    caller.fails(Errno::Spipe, "fd_seek", &[1, 0, 0, RESULT.into()]);
    caller.fails(
        Errno::Badf,
        "fd_write",
        &[9, VECTOR.into(), 1, RESULT.into()],
    );
    caller.fails(Errno::Fault, "fd_write", &[1, 65_533, 1, RESULT.into()]);
    caller.put(VECTOR, &[0xff; 8]);
    caller.fails(
        Errno::Fault,
        "fd_write",
        &[1, VECTOR.into(), 1, RESULT.into()],
    );
    Ok(())
}

#[test]
fn a_sink_that_fails_is_an_error_number() -> Result<()> {
    struct Closed(io::ErrorKind);
    impl Sink for Closed {
        fn write(&mut self, _: Stream, _: &[u8]) -> io::Result<()> {
            Err(self.0.into())
        }
    }
    for (kind, errno) in [
        (io::ErrorKind::BrokenPipe, Errno::Pipe),
        (io::ErrorKind::Other, Errno::Io),
    ] {
        let mut caller = Caller::in_memory()?;
        caller.wasi.outside.sink = Box::new(Closed(kind));
        caller.vector(3);
        caller.fails(errno, "fd_write", &[1, VECTOR.into(), 1, RESULT.into()]);
    }
    Ok(())
}

#[test]
fn input_is_waited_for_and_moves_along() -> Result<()> {
    let input = SetInput::default();
    let mut caller = Caller::with(WasiState::new(&WasiOptions::default()), input.clone())?;
    caller.vector(3);
    let read = [0, VECTOR.into(), 1, RESULT.into()];
    let Outcome::Wait(wait) = caller.outcome("fd_read", &read) else {
        panic!("there is no input yet");
    };
    assert_eq!(wait.function(), "fd_read");
    assert_eq!(caller.wasi.remaining_ns(&wait), None);
    caller.ok("fd_fdstat_set_flags", &[0, fd_flags::NONBLOCK.into()]);
    caller.fails(Errno::Again, "fd_read", &read);

    // It arrives, and the process moves before it has read all.
    let wait = Wait::from_bytes(&wait.to_bytes()).expect("it is a wait");
    input.0.lock().push(Arrived::Bytes(b"hello".to_vec()));
    assert_eq!(
        caller.wasi.resume(&wait, &mut caller.memory),
        Outcome::Done(0)
    );
    assert_eq!(caller.bytes(BUFFER, caller.u32(RESULT)), b"hel");
    // What was not asked for stays where it is.
    input.0.lock().push(Arrived::Bytes(b" world".to_vec()));
    let mut moved = caller.moved()?;
    assert_eq!(moved.read(0, 99), b"lo");
    assert_eq!(moved.read(0, 99), b"");
    assert_eq!(input.0.lock().len(), 1);
    Ok(())
}

#[test]
fn files_are_written_read_and_moved() -> Result<()> {
    let mut caller = Caller::in_memory()?;
    let fd = caller.open("file", open_flags::CREATE);
    assert_eq!(fd, 4);
    caller.write(fd, b"hello world");
    caller.ok("fd_seek", &[fd, (-5_i64) as u64, 2, RESULT.into()]);
    assert_eq!(caller.u64(RESULT), 6);
    let mut caller = caller.moved()?;
    assert_eq!(caller.read(fd, 99), b"world");
    caller.ok("fd_tell", &[fd, RESULT.into()]);
    assert_eq!(caller.u64(RESULT), 11);
    caller.fails(
        Errno::Inval,
        "fd_seek",
        &[fd, (-1_i64) as u64, 0, RESULT.into()],
    );
    caller.fails(Errno::Inval, "fd_seek", &[fd, 0, 7, RESULT.into()]);

    caller.vector(2);
    caller.ok("fd_pread", &[fd, VECTOR.into(), 1, 4, RESULT.into()]);
    assert_eq!(caller.bytes(BUFFER, 2), b"o ");
    caller.put(BUFFER, b"XY");
    caller.ok("fd_pwrite", &[fd, VECTOR.into(), 1, 20, RESULT.into()]);
    caller.ok("fd_allocate", &[fd, 20, 10]);
    caller.ok("fd_advise", &[fd, 0, 0, 4]);
    caller.fails(Errno::Inval, "fd_advise", &[fd, 0, 0, 6]);
    caller.ok("fd_sync", &[fd]);
    caller.ok("fd_datasync", &[fd]);
    caller.ok("fd_filestat_get", &[fd, BUFFER.into()]);
    assert_eq!(caller.u64(BUFFER + 32), 30);
    caller.ok("fd_filestat_set_size", &[fd, 21]);
    caller.fails(Errno::Fbig, "fd_filestat_set_size", &[fd, u64::MAX]);
    assert_eq!(caller.contents("file"), "hello world\0\0\0\0\0\0\0\0\0X");

    caller.ok("fd_fdstat_set_flags", &[fd, fd_flags::APPEND.into()]);
    caller.write(fd, b"end");
    assert!(caller.contents("file").ends_with("Xend"));
    caller.fails(Errno::Inval, "fd_fdstat_set_flags", &[fd, 0x20]);

    assert_eq!(
        caller.open_errno("file", open_flags::CREATE | open_flags::EXCLUSIVE, 0),
        Errno::Exist as u16
    );
    assert_eq!(
        caller.open_errno("file", open_flags::DIRECTORY, 0),
        Errno::Notdir as u16
    );
    assert_eq!(caller.open_errno("none", 0, 0), Errno::Noent as u16);
    assert_eq!(caller.open_errno("file/", 0, 0), Errno::Notdir as u16);
    assert_eq!(
        caller.open_errno("none/", open_flags::CREATE, 0),
        Errno::Isdir as u16
    );
    caller.open("file", open_flags::TRUNCATE);
    assert_eq!(caller.contents("file"), "");
    Ok(())
}

#[test]
fn descriptors_are_renumbered_and_closed() -> Result<()> {
    let mut caller = Caller::in_memory()?;
    caller.create("a", "a");
    caller.create("b", "b");
    let (a, b) = (caller.open("a", 0), caller.open("b", 0));
    caller.ok("fd_renumber", &[a, b]);
    caller.fails(Errno::Badf, "fd_close", &[a]);
    assert_eq!(caller.read(b, 9), b"a");
    assert_eq!(caller.open("b", 0), a, "the lowest number is free again");
    caller.fails(Errno::Badf, "fd_renumber", &[a, 99]);
    caller.ok("fd_close", &[b]);
    caller.fails(Errno::Badf, "fd_close", &[b]);
    Ok(())
}

#[test]
fn rights_only_shrink() -> Result<()> {
    let mut caller = Caller::in_memory()?;
    let fd = caller.open("file", open_flags::CREATE);
    caller.ok("fd_fdstat_get", &[fd, BUFFER.into()]);
    assert_eq!(caller.bytes(BUFFER, 1), [4]);
    assert_eq!(caller.u64(BUFFER + 8), rights::FILE);
    caller.ok("fd_fdstat_set_rights", &[fd, rights::FD_READ, 0]);
    caller.vector(1);
    caller.fails(
        Errno::Notcapable,
        "fd_write",
        &[fd, VECTOR.into(), 1, RESULT.into()],
    );
    caller.fails(
        Errno::Notcapable,
        "fd_fdstat_set_rights",
        &[fd, rights::FILE, 0],
    );
    caller.ok(
        "fd_fdstat_set_rights",
        &[ROOT, rights::PATH_OPEN, rights::FD_READ],
    );
    assert_eq!(caller.open_errno("file", 0, 0), Errno::Notcapable as u16);
    assert_eq!(
        caller.on_path("path_create_directory", "d"),
        Errno::Notcapable as u16
    );
    Ok(())
}

#[test]
fn the_directories_given_are_found() -> Result<()> {
    let mut caller = Caller::in_memory()?;
    caller.ok("fd_prestat_get", &[ROOT, RESULT.into()]);
    assert_eq!((caller.u32(0), caller.u32(4)), (0, 1));
    caller.ok("fd_prestat_dir_name", &[ROOT, BUFFER.into(), 1]);
    assert_eq!(caller.bytes(BUFFER, 1), b"/");
    caller.fails(
        Errno::Nametoolong,
        "fd_prestat_dir_name",
        &[ROOT, BUFFER.into(), 0],
    );
    caller.fails(Errno::Badf, "fd_prestat_get", &[4, RESULT.into()]);
    caller.fails(Errno::Badf, "fd_prestat_get", &[1, RESULT.into()]);
    Ok(())
}

/// What must hold in every kind of directory.
fn directories_links_and_names(caller: &mut Caller, hard_links: bool) {
    assert_eq!(caller.on_path("path_create_directory", "d"), 0);
    assert_eq!(
        caller.on_path("path_create_directory", "d"),
        Errno::Exist as u16
    );
    assert_eq!(
        caller.on_path("path_create_directory", "none/d"),
        Errno::Noent as u16
    );
    caller.create("d/f", "contents");
    assert_eq!(
        caller.on_path("path_create_directory", "d/f/x"),
        Errno::Notdir as u16
    );
    assert_eq!(
        caller.on_path("path_remove_directory", "d"),
        Errno::Notempty as u16
    );
    assert_eq!(
        caller.on_path("path_remove_directory", "d/f"),
        Errno::Notdir as u16
    );
    assert_eq!(caller.on_path("path_unlink_file", "d"), Errno::Isdir as u16);

    // Symbolic links.
    assert_eq!(caller.symlink("d/../d/f", "l"), 0);
    assert_eq!(caller.contents("l"), "contents");
    assert_eq!(caller.status("l", false).expect("it is there").0, 7);
    assert_eq!(caller.status("l", true).expect("it leads there").0, 4);
    let [at, len] = caller.path("l");
    caller.ok(
        "path_readlink",
        &[ROOT, at, len, BUFFER.into(), 3, RESULT.into()],
    );
    assert_eq!(caller.bytes(BUFFER, caller.u32(RESULT)), b"d/.");
    assert_eq!(caller.symlink("l2", "l2"), 0);
    assert_eq!(caller.open_errno("l2", 0, 0), Errno::Loop as u16);
    assert_eq!(caller.symlink("x", "l"), Errno::Exist as u16);
    assert_eq!(caller.symlink("d", "to-d"), 0);
    assert_eq!(caller.contents("to-d/f"), "contents");

    // Hard links.
    if hard_links {
        assert_eq!(caller.link("d/f", "h"), 0);
        assert_eq!(caller.status("h", false).expect("it is there").1, 2);
        assert_eq!(caller.link("d", "hd"), Errno::Perm as u16);
        assert_eq!(caller.link("d/f", "h"), Errno::Exist as u16);
        assert_eq!(caller.on_path("path_unlink_file", "h"), 0);
    } else {
        assert_eq!(caller.link("d/f", "h"), Errno::Notsup as u16);
    }

    // Renaming.
    assert_eq!(caller.rename("d/f", "g"), 0);
    assert_eq!(
        caller.status("d/f", false).expect_err("it went"),
        Errno::Noent as u16
    );
    assert_eq!(caller.contents("g"), "contents");
    caller.create("other", "other");
    assert_eq!(caller.rename("other", "g"), 0);
    assert_eq!(caller.contents("g"), "other");
    assert_eq!(caller.rename("g", "d"), Errno::Isdir as u16);
    assert_eq!(caller.rename("d", "g"), Errno::Notdir as u16);
    assert_eq!(caller.rename("d", "d/e"), Errno::Inval as u16);
    assert_eq!(caller.rename("none", "e"), Errno::Noent as u16);
    assert_eq!(caller.on_path("path_create_directory", "d/sub"), 0);
    caller.create("d/sub/deep", "deep");
    assert_eq!(caller.rename("d", "moved"), 0);
    assert_eq!(caller.contents("moved/sub/deep"), "deep");
    caller.create("moved/sub/deep", "deeper");
    assert_eq!(caller.contents("moved/sub/deep"), "deeper");

    // An open file outlives its name.
    let fd = caller.open("g", 0);
    assert_eq!(caller.on_path("path_unlink_file", "g"), 0);
    assert_eq!(caller.on_path("path_unlink_file", "g"), Errno::Noent as u16);
    assert_eq!(caller.read(fd, 99), b"other");
    caller.ok("fd_close", &[fd]);

    assert_eq!(caller.on_path("path_unlink_file", "moved/sub/deep"), 0);
    assert_eq!(caller.on_path("path_remove_directory", "moved/sub"), 0);
    assert_eq!(caller.on_path("path_remove_directory", "moved"), 0);
    for name in ["l", "l2", "to-d"] {
        assert_eq!(caller.on_path("path_unlink_file", name), 0);
    }
}

#[test]
fn directories_in_memory() -> Result<()> {
    let mut caller = Caller::in_memory()?;
    let empty = caller.wasi.state();
    directories_links_and_names(&mut caller, true);
    assert_eq!(caller.list(".", 999), [""; 0]);
    let after = caller.wasi.state();
    assert_eq!(after.open_files(), empty.open_files());
    // Nothing is kept of what is gone.
    let len = |state: &WasiState| postcard::to_stdvec(state).map(|bytes| bytes.len());
    assert!(len(&after)? <= len(&empty)? + 40);
    Ok(())
}

#[test]
fn an_overlay_never_writes_to_the_host() -> Result<()> {
    let host = tempfile::tempdir()?;
    fs::create_dir(host.path().join("sub"))?;
    fs::write(host.path().join("sub/from-host"), "host")?;
    fs::write(host.path().join("top"), "top")?;
    let before = snapshot(host.path())?;
    let mut caller = Caller::over(host.path(), HostWrites::Overlay)?;
    directories_links_and_names(&mut caller, true);

    assert_eq!(caller.contents("sub/from-host"), "host");
    let fd = caller.open("sub/from-host", 0);
    caller.write(fd, b"G");
    caller.ok("fd_close", &[fd]);
    assert_eq!(caller.contents("sub/from-host"), "Gost");
    assert_eq!(caller.rename("sub", "renamed"), 0);
    assert_eq!(caller.on_path("path_unlink_file", "top"), 0);
    assert_eq!(caller.list(".", 999), ["renamed"]);
    assert_eq!(caller.list("renamed", 999), ["from-host"]);

    let mut moved = caller.moved()?;
    assert_eq!(moved.contents("renamed/from-host"), "Gost");
    assert_eq!(moved.open_errno("top", 0, 0), Errno::Noent as u16);
    assert_eq!(moved.open_errno("sub", 0, 0), Errno::Noent as u16);
    moved.create("top", "mine");
    assert_eq!(moved.contents("top"), "mine");
    assert_eq!(snapshot(host.path())?, before);
    Ok(())
}

#[test]
fn a_direct_mount_is_the_host() -> Result<()> {
    let host = tempfile::tempdir()?;
    let mut caller = Caller::over(host.path(), HostWrites::Direct)?;
    directories_links_and_names(&mut caller, false);
    assert_eq!(snapshot(host.path())?, Vec::new());
    caller.create("made", "here");
    assert_eq!(fs::read_to_string(host.path().join("made"))?, "here");
    // What others do is seen.
    fs::write(host.path().join("later"), "by another")?;
    assert_eq!(caller.contents("later"), "by another");
    fs::remove_file(host.path().join("made"))?;
    assert_eq!(caller.list(".", 999), ["later"]);
    let fd = caller.open("later", 0);
    caller.ok(
        "fd_filestat_set_times",
        &[fd, 7_000_000_001, 8_000_000_002, 5],
    );
    let modified = fs::metadata(host.path().join("later"))?.modified()?;
    let since = modified.duration_since(std::time::SystemTime::UNIX_EPOCH)?;
    assert_eq!(since.as_nanos(), 8_000_000_002);
    Ok(())
}

/// All files below `path` with their contents, in order.
fn snapshot(path: &Path) -> Result<Vec<(String, Option<Vec<u8>>)>> {
    let mut files = Vec::new();
    let mut rest = vec![path.to_owned()];
    while let Some(directory) = rest.pop() {
        for entry in fs::read_dir(directory)? {
            let entry = entry?.path();
            let contents = entry.is_file().then(|| fs::read(&entry)).transpose()?;
            if entry.is_dir() {
                rest.push(entry.clone());
            }
            files.push((entry.display().to_string(), contents));
        }
    }
    files.sort();
    Ok(files)
}

#[test]
fn no_path_leaves_the_directory() -> Result<()> {
    let outer = tempfile::tempdir()?;
    fs::write(outer.path().join("secret"), "secret")?;
    let host = outer.path().join("inside");
    fs::create_dir_all(host.join("d"))?;
    symlink("../secret", host.join("link"))?;
    symlink("..", host.join("up"))?;
    symlink(outer.path().join("secret"), host.join("absolute"))?;
    symlink("../../secret", host.join("d/deep"))?;
    for writes in [HostWrites::Overlay, HostWrites::Direct] {
        let mut caller = Caller::over(&host, writes)?;
        let escapes = [
            "..",
            "../secret",
            "d/../../secret",
            "link",
            "up/secret",
            "up",
            "absolute",
            "d/deep",
            "/etc/passwd",
            "d/../../inside/d",
        ];
        for escape in escapes {
            assert_eq!(
                caller.open_errno(escape, 0, 0),
                Errno::Perm as u16,
                "{escape}"
            );
            assert_eq!(
                caller.open_errno(escape, open_flags::CREATE, 0),
                Errno::Perm as u16,
                "{escape}"
            );
            if escape != "absolute" && escape != "link" && escape != "d/deep" && escape != "up" {
                assert_eq!(
                    caller.on_path("path_unlink_file", escape),
                    Errno::Perm as u16,
                    "{escape}"
                );
                assert_eq!(
                    caller.on_path("path_create_directory", escape),
                    Errno::Perm as u16,
                    "{escape}"
                );
            }
        }
        assert_eq!(caller.rename("../secret", "stolen"), Errno::Perm as u16);
        assert_eq!(caller.rename("d", "../stolen"), Errno::Perm as u16);
        assert_eq!(caller.symlink("/etc/passwd", "made"), Errno::Perm as u16);
        assert_eq!(caller.symlink("../secret", "made"), 0);
        assert_eq!(caller.open_errno("made", 0, 0), Errno::Perm as u16);
        assert_eq!(caller.on_path("path_unlink_file", "made"), 0);

        // A directory that was opened is no way out either, nor one that becomes a link later.
        let fd = caller.open("d", open_flags::DIRECTORY);
        let [at, len] = caller.path("../link");
        caller.fails(
            Errno::Perm,
            "path_filestat_get",
            &[fd, 1, at, len, BUFFER.into()],
        );
        caller.list("d", 999);
        fs::rename(host.join("d"), host.join("kept"))?;
        symlink("..", host.join("d"))?;
        let stolen = caller.open_errno("d/secret", 0, 0);
        assert_ne!(stolen, 0);
        fs::remove_file(host.join("d"))?;
        fs::rename(host.join("kept"), host.join("d"))?;
    }
    Ok(())
}

#[test]
fn names_that_cannot_be() -> Result<()> {
    let mut caller = Caller::in_memory()?;
    for (path, errno) in [
        ("", Errno::Noent),
        ("a\0b", Errno::Inval),
        (&"n".repeat(256), Errno::Nametoolong),
        (&"n/".repeat(2050), Errno::Nametoolong),
    ] {
        assert_eq!(caller.open_errno(path, open_flags::CREATE, 0), errno as u16);
    }
    caller.put(PATH, &[0xff, 0xfe]);
    caller.fails(
        Errno::Ilseq,
        "path_create_directory",
        &[ROOT, PATH.into(), 2],
    );
    for dots in [".", "d/.."] {
        caller.on_path("path_create_directory", "d");
        assert_eq!(
            caller.on_path("path_create_directory", dots),
            Errno::Exist as u16
        );
        assert_eq!(
            caller.on_path("path_remove_directory", dots),
            Errno::Inval as u16
        );
        assert_eq!(caller.rename("d", dots), Errno::Inval as u16);
    }
    Ok(())
}

/// Whatever goes through the tree neither takes the machine's stack nor the square of the depth.
#[test]
fn directories_as_deep_as_one_likes() -> Result<()> {
    const DEPTH: usize = 50_000;
    let mut caller = Caller::in_memory()?;
    let [at, len] = caller.path("d");
    let rights = ALL_RIGHTS & 0x3fff_ffff;
    let mut deepest = ROOT;
    for _ in 0..DEPTH {
        caller.ok("path_create_directory", &[deepest, at, len]);
        let flags = open_flags::DIRECTORY.into();
        let result = RESULT.into();
        caller.ok(
            "path_open",
            &[deepest, 1, at, len, flags, rights, rights, 0, result],
        );
        if deepest != ROOT {
            caller.ok("fd_close", &[deepest]);
        }
        deepest = caller.u32(RESULT).into();
    }
    assert_eq!(caller.rename("d", "e"), 0);
    let moved = caller.moved()?;
    let open = moved.wasi.state().open_files();
    let path = format!("/e{}", "/d".repeat(DEPTH - 1));
    assert_eq!(open.last().map(|file| &file.what), Some(&path));
    Ok(())
}

#[test]
fn a_directory_is_listed_whole_whatever_the_buffer() -> Result<()> {
    let mut caller = Caller::in_memory()?;
    let names: Vec<String> = (0..200).map(|number| format!("file-{number:03}")).collect();
    for name in &names {
        caller.create(name, "");
    }
    for buffer in [32, 33, 100, 4096, BUFFER_LEN] {
        assert_eq!(caller.list(".", buffer), names, "{buffer}");
    }
    // Removing while listing neither skips nor repeats.
    let fd = caller.open(".", open_flags::DIRECTORY);
    let mut cookie = 2;
    let mut removed = Vec::new();
    loop {
        caller.ok(
            "fd_readdir",
            &[fd, BUFFER.into(), 40, cookie, RESULT.into()],
        );
        if caller.u32(RESULT) < 32 {
            break;
        }
        cookie = caller.u64(BUFFER);
        let name = String::from_utf8(caller.bytes(BUFFER + 24, 8).to_vec())?;
        assert_eq!(caller.on_path("path_unlink_file", &name), 0);
        removed.push(name);
    }
    assert_eq!(removed, names);
    caller.fails(
        Errno::Notdir,
        "fd_readdir",
        &[1, BUFFER.into(), 40, 0, RESULT.into()],
    );
    Ok(())
}

#[test]
fn times_are_set() -> Result<()> {
    let mut caller = Caller::in_memory()?;
    caller.create("f", "");
    let now = 1_000_000_005_000;
    assert_eq!(caller.status("f", true).expect("it is there").3, [now; 2]);
    let [at, len] = caller.path("f");
    caller.ok(
        "path_filestat_set_times",
        &[ROOT, 0, at, len, 11, 22, 1 | 8],
    );
    assert_eq!(caller.status("f", true).expect("it is there").3, [11, now]);
    let [at, len] = caller.path("f");
    caller.fails(
        Errno::Inval,
        "path_filestat_set_times",
        &[ROOT, 0, at, len, 11, 22, 3],
    );
    let fd = caller.open("f", 0);
    caller.ok("fd_filestat_set_times", &[fd, 33, 44, 4]);
    assert_eq!(caller.status("f", true).expect("it is there").3, [11, 44]);
    Ok(())
}

/// A subscription in memory, as `poll_oneoff` reads it.
fn subscription(user_data: u64, kind: u8, subject: u32, timeout_ns: u64, flags: u16) -> [u8; 48] {
    let mut bytes = [0; 48];
    bytes[0..8].copy_from_slice(&user_data.to_le_bytes());
    bytes[8] = kind;
    bytes[16..20].copy_from_slice(&subject.to_le_bytes());
    bytes[24..32].copy_from_slice(&timeout_ns.to_le_bytes());
    bytes[40..42].copy_from_slice(&flags.to_le_bytes());
    bytes
}

#[test]
fn sleeping_goes_on_elsewhere_for_the_rest_of_the_time() -> Result<()> {
    let mut caller = Caller::in_memory()?;
    caller.put(BUFFER, &subscription(42, 0, clock::MONOTONIC, 1000, 0));
    let arguments = [BUFFER.into(), OTHER_PATH.into(), 1, RESULT.into()];
    let Outcome::Wait(wait) = caller.outcome("poll_oneoff", &arguments) else {
        panic!("it is too early");
    };
    assert_eq!(caller.wasi.remaining_ns(&wait), Some(1000));
    caller.now_ns.fetch_add(400, Ordering::Relaxed);
    let mut moved = caller.moved()?;
    assert_eq!(moved.wasi.remaining_ns(&wait), Some(600));
    let again = moved.wasi.resume(&wait, &mut moved.memory);
    assert_eq!(again, Outcome::Wait(wait.clone()));
    moved.now_ns.fetch_add(600, Ordering::Relaxed);
    let done = moved.wasi.resume(&wait, &mut moved.memory);
    assert_eq!(done, Outcome::Done(0));
    assert_eq!(moved.u32(RESULT), 1);
    assert_eq!(moved.u64(OTHER_PATH), 42);
    assert_eq!(moved.u16(OTHER_PATH + 8), 0);
    Ok(())
}

#[test]
fn polling_tells_what_is_ready() -> Result<()> {
    let input = SetInput::default();
    let mut caller = Caller::with(
        WasiState::new(&WasiOptions {
            memory_directories: vec!["/".into()],
            ..WasiOptions::default()
        }),
        input.clone(),
    )?;
    caller.create("f", "12345");
    let file = caller.open("f", 0) as u32;
    let poll = |caller: &mut Caller, subscriptions: &[[u8; 48]]| {
        caller.put(BUFFER, subscriptions.as_flattened());
        let arguments = [
            BUFFER.into(),
            OTHER_PATH.into(),
            subscriptions.len() as u64,
            RESULT.into(),
        ];
        match caller.outcome("poll_oneoff", &arguments) {
            Outcome::Done(0) => {
                let events = 0..caller.u32(RESULT);
                let event = |at: u32| (caller.u64(at), caller.u16(at + 8), caller.u64(at + 16));
                Ok(events
                    .map(|index| event(OTHER_PATH + 32 * index))
                    .collect::<Vec<_>>())
            }
            other => Err(other),
        }
    };
    let events = poll(
        &mut caller,
        &[
            subscription(1, 1, file, 0, 0),
            subscription(2, 2, 1, 0, 0),
            subscription(3, 1, 99, 0, 0),
        ],
    );
    assert_eq!(
        events,
        Ok(vec![(1, 0, 5), (2, 0, 1), (3, Errno::Badf as u16, 0)])
    );
    // An absolute time that has passed, by either clock.
    let now = 1_000_000_005_000;
    let events = poll(
        &mut caller,
        &[
            subscription(1, 0, clock::MONOTONIC, 0, 1),
            subscription(2, 0, clock::REALTIME, now, 1),
            subscription(3, 0, 9, 0, 0),
        ],
    );
    assert_eq!(
        events,
        Ok(vec![(1, 0, 0), (2, 0, 0), (3, Errno::Inval as u16, 0)])
    );
    // Input or time, whichever is first.
    let either = [
        subscription(1, 1, 0, 0, 0),
        subscription(2, 0, clock::REALTIME, now + 70, 1),
    ];
    let Err(Outcome::Wait(wait)) = poll(&mut caller, &either) else {
        panic!("neither has happened");
    };
    assert_eq!(caller.wasi.remaining_ns(&wait), Some(70));
    input.0.lock().push(Arrived::Bytes(b"abc".to_vec()));
    assert_eq!(poll(&mut caller, &either), Ok(vec![(1, 0, 3)]));
    assert_eq!(caller.read(0, 9), b"abc");

    caller.fails(
        Errno::Inval,
        "poll_oneoff",
        &[BUFFER.into(), OTHER_PATH.into(), 0, RESULT.into()],
    );
    assert_eq!(
        poll(&mut caller, &[subscription(1, 3, 0, 0, 0)]),
        Err(Outcome::Done(Errno::Inval as u16))
    );
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
