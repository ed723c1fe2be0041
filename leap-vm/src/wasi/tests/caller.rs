//! A guest as the tests play it: it has a memory and calls functions.

use super::*;

/// A guest's memory, and places in it that the calls use.
pub(super) struct Caller {
    pub(super) wasi: Wasi,
    pub(super) memory: Vec<u8>,
    pub(super) output: Collected,
    pub(super) now_ns: Arc<AtomicU64>,
}

pub(super) const RESULT: u32 = 0;
pub(super) const VECTOR: u32 = 64;
pub(super) const PATH: u32 = 128;
pub(super) const OTHER_PATH: u32 = 4352;
pub(super) const BUFFER: u32 = 16_384;
pub(super) const BUFFER_LEN: u32 = 32_768;
pub(super) const ROOT: u64 = 3;
pub(super) const ALL_RIGHTS: u64 = u64::MAX;

/// A clock that stands still until it is set.
pub(super) struct SetClock(pub(super) Arc<AtomicU64>);

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
pub(super) struct SetInput(pub(super) Arc<parking_lot::Mutex<Vec<Arrived>>>);

impl Source for SetInput {
    fn read(&mut self, _: usize, _: &Waker) -> Arrived {
        self.0.lock().pop().unwrap_or(Arrived::Nothing)
    }
}

impl Caller {
    pub(super) fn new(options: &WasiOptions) -> Result<Self> {
        Self::with(WasiState::new(options), NoInput)
    }

    pub(super) fn in_memory() -> Result<Self> {
        Self::new(&WasiOptions {
            arguments: vec!["prog".into(), "ä b".into()],
            environment: vec![("HOME".into(), "/".into())],
            memory_directories: vec!["/".into()],
            random_seed: Some(7),
            ..WasiOptions::default()
        })
    }

    pub(super) fn over(path: &Path, writes: HostWrites) -> Result<Self> {
        Self::new(&WasiOptions {
            directories: vec![HostMount {
                name: "/".into(),
                path: path.to_owned(),
                writes,
            }],
            ..WasiOptions::default()
        })
    }

    pub(super) fn with(state: WasiState, source: impl Source + 'static) -> Result<Self> {
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
    pub(super) fn moved(self) -> Result<Self> {
        let state = self.wasi.state().to_bytes();
        let state = state.and_then(|bytes| WasiState::from_bytes(&bytes));
        let mut moved = Self::with(state.context("it is sound")?, NoInput)?;
        moved.memory = self.memory;
        Ok(moved)
    }

    pub(super) fn outcome(&mut self, name: &str, arguments: &[u64]) -> Outcome {
        self.wasi
            .call(name, arguments, &mut self.memory)
            .unwrap_or_else(|| panic!("{name} takes other arguments"))
    }

    pub(super) fn errno(&mut self, name: &str, arguments: &[u64]) -> u16 {
        match self.outcome(name, arguments) {
            Outcome::Done(errno) => errno,
            other => panic!("{name}: {other:?}"),
        }
    }

    #[track_caller]
    pub(super) fn ok(&mut self, name: &str, arguments: &[u64]) {
        let errno = self.errno(name, arguments);
        assert_eq!(errno, 0, "{name} {arguments:?}");
    }

    #[track_caller]
    pub(super) fn fails(&mut self, errno: Errno, name: &str, arguments: &[u64]) {
        assert_eq!(
            self.errno(name, arguments),
            errno as u16,
            "{name} {arguments:?}"
        );
    }

    pub(super) fn u16(&self, at: u32) -> u16 {
        u16::from_le_bytes(self.bytes(at, 2).try_into().expect("two bytes"))
    }

    pub(super) fn u32(&self, at: u32) -> u32 {
        u32::from_le_bytes(self.bytes(at, 4).try_into().expect("four bytes"))
    }

    pub(super) fn u64(&self, at: u32) -> u64 {
        u64::from_le_bytes(self.bytes(at, 8).try_into().expect("eight bytes"))
    }

    pub(super) fn bytes(&self, at: u32, len: u32) -> &[u8] {
        &self.memory[at as usize..(at + len) as usize]
    }

    pub(super) fn put(&mut self, at: u32, bytes: &[u8]) -> [u64; 2] {
        self.memory[at as usize..at as usize + bytes.len()].copy_from_slice(bytes);
        [at.into(), bytes.len() as u64]
    }

    pub(super) fn path(&mut self, path: &str) -> [u64; 2] {
        self.put(PATH, path.as_bytes())
    }

    pub(super) fn vector(&mut self, len: u32) {
        self.put(VECTOR, &BUFFER.to_le_bytes());
        self.put(VECTOR + 4, &len.to_le_bytes());
    }

    pub(super) fn open_errno(&mut self, path: &str, flags: u16, fd_flags: u16) -> u16 {
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
    pub(super) fn open(&mut self, path: &str, flags: u16) -> u64 {
        assert_eq!(self.open_errno(path, flags, 0), 0, "{path}");
        self.u32(RESULT).into()
    }

    #[track_caller]
    pub(super) fn write(&mut self, fd: u64, bytes: &[u8]) {
        self.put(BUFFER, bytes);
        self.vector(bytes.len() as u32);
        self.ok("fd_write", &[fd, VECTOR.into(), 1, RESULT.into()]);
        assert_eq!(self.u32(RESULT) as usize, bytes.len());
    }

    #[track_caller]
    pub(super) fn read(&mut self, fd: u64, up_to: u32) -> Vec<u8> {
        self.vector(up_to);
        self.ok("fd_read", &[fd, VECTOR.into(), 1, RESULT.into()]);
        self.bytes(BUFFER, self.u32(RESULT)).to_vec()
    }

    #[track_caller]
    pub(super) fn contents(&mut self, path: &str) -> String {
        let fd = self.open(path, 0);
        let bytes = self.read(fd, BUFFER_LEN);
        self.ok("fd_close", &[fd]);
        String::from_utf8(bytes).expect("the tests write UTF-8")
    }

    #[track_caller]
    pub(super) fn create(&mut self, path: &str, contents: &str) {
        let fd = self.open(path, open_flags::CREATE | open_flags::TRUNCATE);
        self.write(fd, contents.as_bytes());
        self.ok("fd_close", &[fd]);
    }

    /// A function on a path below the root.
    pub(super) fn on_path(&mut self, name: &str, path: &str) -> u16 {
        let [at, len] = self.path(path);
        self.errno(name, &[ROOT, at, len])
    }

    pub(super) fn rename(&mut self, from: &str, to: &str) -> u16 {
        let [at, len] = self.path(from);
        let [to_at, to_len] = self.put(OTHER_PATH, to.as_bytes());
        self.errno("path_rename", &[ROOT, at, len, ROOT, to_at, to_len])
    }

    pub(super) fn link(&mut self, from: &str, to: &str) -> u16 {
        let [at, len] = self.path(from);
        let [to_at, to_len] = self.put(OTHER_PATH, to.as_bytes());
        self.errno("path_link", &[ROOT, 0, at, len, ROOT, to_at, to_len])
    }

    pub(super) fn symlink(&mut self, target: &str, path: &str) -> u16 {
        let [at, len] = self.path(target);
        let [to_at, to_len] = self.put(OTHER_PATH, path.as_bytes());
        self.errno("path_symlink", &[at, len, ROOT, to_at, to_len])
    }

    /// Type, links, size and times; an error number if there is nothing.
    pub(super) fn status(
        &mut self,
        path: &str,
        follow: bool,
    ) -> Result<(u8, u64, u64, [u64; 2]), u16> {
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
    pub(super) fn list(&mut self, path: &str, buffer: u32) -> Vec<String> {
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
