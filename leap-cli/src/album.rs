//! A directory of periodic checkpoints of one program: each relative to the one before, from time
//! to time a whole one, and no more of them than are needed to go on.
//!
//! The files are `000001.leap` and so on. The newest stands for the program; the whole one before
//! the newest whole one is kept with what follows it, in case the newest is damaged.

use std::fs::{self, File, TryLockError};
use std::path::{Path, PathBuf};
use std::thread::{self, JoinHandle};

use anyhow::{Context as _, Result, bail};
use leap_vm::image::{Base, Chain, Compression, write_file};
use leap_vm::{Capture, Pages};

use crate::restore::open_file;

/// Checkpoints that are relative to each other, at most.
const DELTAS_AT_MOST: u32 = 31;

/// Where the periodic checkpoints of a program go.
///
/// Invariant: a checkpoint is relative only to one that is on disk, with nothing between them taken by
/// anybody else.
pub(crate) struct Album {
    directory: PathBuf,
    /// Held while it is used: no two programs write to one directory.
    _lock: File,
    module: Vec<u8>,
    next: u64,
    /// What the next one can be relative to; none: it must be whole.
    base: Option<Base>,
    deltas: u32,
    /// The newest whole one that is on disk; 0 if there is none.
    newest_whole: u64,
    writing: Option<Writing>,
}

/// A checkpoint that is on its way to the disk.
struct Writing {
    number: u64,
    is_whole: bool,
    /// Whether the next one may be relative to it.
    is_base: bool,
    thread: JoinHandle<Result<Base>>,
}

impl Album {
    /// Uses a directory, made if need be; numbers go on from what is in it.
    pub(crate) fn open(directory: &Path, module: Vec<u8>) -> Result<Self> {
        fs::create_dir_all(directory)
            .with_context(|| format!("cannot make {}", directory.display()))?;
        let lock = lock(directory)?;
        remove_unfinished(directory)?;
        let newest = numbers(directory)?.last().copied().unwrap_or(0);
        Ok(Self {
            directory: directory.to_owned(),
            _lock: lock,
            module,
            next: newest + 1,
            base: None,
            deltas: 0,
            newest_whole: 0,
            writing: None,
        })
    }

    /// Which pages the next checkpoint needs; none if the last one is still being written.
    pub(crate) fn wants(&mut self) -> Option<Pages> {
        let writing = self.writing.as_ref();
        if writing.is_some_and(|writing| !writing.thread.is_finished()) {
            return None;
        }
        self.finish();
        match self.base {
            Some(_) if self.deltas < DELTAS_AT_MOST => Some(Pages::Changes),
            _ => Some(Pages::Whole),
        }
    }

    /// Has the next checkpoint be whole: somebody else has taken what changed.
    pub(crate) fn forget_base(&mut self) {
        self.base = None;
        if let Some(writing) = &mut self.writing {
            writing.is_base = false;
        }
    }

    /// Writes a checkpoint of the pages that were wanted, on a thread.
    pub(crate) fn add(&mut self, capture: Capture, pages: Pages) {
        self.finish();
        let number = self.next;
        self.next += 1;
        // Whatever becomes of this one, the next is not relative to what this is relative to.
        let base = self.base.take().filter(|_| pages == Pages::Changes);
        let is_whole = base.is_none();
        self.deltas = if is_whole { 0 } else { self.deltas + 1 };
        let name = file_name(number);
        let path = self.directory.join(&name);
        let module = is_whole.then(|| self.module.clone());
        let obsolete = if is_whole { self.newest_whole } else { 0 };
        let thread = thread::spawn(move || {
            let contents = capture.contents(module.as_deref(), base);
            let id = write_file(&path, &contents, Compression::default())?;
            tracing::info!(
                "checkpoint {} of {} bytes of pages",
                path.display(),
                capture.page_bytes()
            );
            if let Err(error) = remove_before(&path, obsolete) {
                eprintln!("warning: {error:#}");
            }
            Ok(Base { id, name })
        });
        self.writing = Some(Writing {
            number,
            is_whole,
            is_base: true,
            thread,
        });
    }

    /// Waits for what is being written; answers whether all was.
    pub(crate) fn finish(&mut self) -> bool {
        let Some(writing) = self.writing.take() else {
            return true;
        };
        match writing.thread.join() {
            Ok(Ok(base)) => {
                self.base = writing.is_base.then_some(base);
                if writing.is_whole {
                    self.newest_whole = writing.number;
                }
                return true;
            }
            // What this one had is lost, so the next one is whole.
            Ok(Err(error)) => eprintln!("warning: no checkpoint: {error:#}"),
            Err(_) => eprintln!("warning: no checkpoint: the thread that writes it has panicked"),
        }
        false
    }
}

/// The newest checkpoint in `directory` that can be used; all of it is read first to see that, if
/// `verify` says so.
pub(crate) fn newest(directory: &Path, verify: bool) -> Result<(PathBuf, Chain)> {
    let mut refused = None;
    for number in numbers(directory)?.into_iter().rev() {
        let path = directory.join(file_name(number));
        match open_file(&path, verify) {
            Ok(chain) => return Ok((path, chain)),
            Err(error) => {
                eprintln!("warning: {} cannot be used: {error}", path.display());
                refused.get_or_insert(anyhow::Error::from(error));
            }
        }
    }
    match refused {
        Some(error) => Err(error.context(format!(
            "no checkpoint in {} can be used",
            directory.display()
        ))),
        None => bail!("there is no checkpoint in {}", directory.display()),
    }
}

fn lock(directory: &Path) -> Result<File> {
    let path = directory.join(".lock");
    let file = File::options()
        .create(true)
        .truncate(false)
        .write(true)
        .open(&path);
    let file = file.with_context(|| format!("cannot open {}", path.display()))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => bail!(
            "another program keeps its checkpoints in {}: give each a directory of its own",
            directory.display()
        ),
        Err(TryLockError::Error(error)) => {
            Err(error).with_context(|| format!("cannot lock {}", path.display()))
        }
    }
}

fn file_name(number: u64) -> String {
    format!("{number:06}.leap")
}

/// The numbers of the checkpoints in `directory`, ascending.
fn numbers(directory: &Path) -> Result<Vec<u64>> {
    let entries =
        fs::read_dir(directory).with_context(|| format!("cannot read {}", directory.display()))?;
    let mut numbers: Vec<u64> = entries
        .flatten()
        .filter_map(|entry| {
            let name = entry.file_name();
            let number = name.to_str()?.strip_suffix(".leap")?.parse().ok()?;
            (file_name(number) == name.to_str()?).then_some(number)
        })
        .collect();
    numbers.sort_unstable();
    Ok(numbers)
}

/// Removes what a program that was killed left half written.
fn remove_unfinished(directory: &Path) -> Result<()> {
    let cannot = || format!("cannot clear {}", directory.display());
    for entry in fs::read_dir(directory).with_context(cannot)?.flatten() {
        let name = entry.file_name();
        if leap_vm::image::is_unfinished(&name) {
            fs::remove_file(entry.path()).with_context(cannot)?;
        }
    }
    Ok(())
}

/// Removes the checkpoints with a number below `first` that lie beside `path`.
fn remove_before(path: &Path, first: u64) -> Result<()> {
    let directory = path.parent().unwrap_or_else(|| Path::new("."));
    for number in numbers(directory)?
        .into_iter()
        .filter(|&number| number < first)
    {
        fs::remove_file(directory.join(file_name(number)))
            .context("cannot remove an old checkpoint")?;
    }
    Ok(())
}
