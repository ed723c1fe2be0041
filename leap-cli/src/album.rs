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
pub(crate) struct Album {
    directory: PathBuf,
    /// Held while it is used: no two programs write to one directory.
    _lock: File,
    module: Vec<u8>,
    next: u64,
    /// What the next one can be relative to; none: it must be whole.
    base: Option<Base>,
    deltas: u32,
    /// The whole ones, oldest first.
    whole: Vec<u64>,
    writing: Option<JoinHandle<Result<Base>>>,
}

impl Album {
    /// Uses a directory, made if need be; numbers go on from what is in it.
    pub(crate) fn open(directory: &Path, module: Vec<u8>) -> Result<Self> {
        fs::create_dir_all(directory)
            .with_context(|| format!("cannot make {}", directory.display()))?;
        let lock = lock(directory)?;
        let newest = numbers(directory)?.last().copied().unwrap_or(0);
        Ok(Self {
            directory: directory.to_owned(),
            _lock: lock,
            module,
            next: newest + 1,
            base: None,
            deltas: 0,
            whole: Vec::new(),
            writing: None,
        })
    }

    /// Which pages the next checkpoint needs; none if the last one is still being written.
    pub(crate) fn wants(&mut self) -> Option<Pages> {
        if self
            .writing
            .as_ref()
            .is_some_and(|writing| !writing.is_finished())
        {
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
        self.finish();
        self.base = None;
    }

    /// Writes a checkpoint of the pages that were wanted, on a thread.
    pub(crate) fn add(&mut self, capture: Capture, pages: Pages) {
        let number = self.next;
        self.next += 1;
        let base = match pages {
            Pages::Changes => self.base.take(),
            Pages::Whole => None,
        };
        self.deltas = if base.is_some() { self.deltas + 1 } else { 0 };
        if base.is_none() {
            self.whole.push(number);
        }
        let name = file_name(number);
        let path = self.directory.join(&name);
        let module = base.is_none().then(|| self.module.clone());
        let obsolete = match self.whole.as_slice() {
            [.., before, newest] if *newest == number => *before,
            _ => 0,
        };
        self.writing = Some(thread::spawn(move || {
            let contents = capture.contents(module.as_deref(), base);
            let id = write_file(&path, &contents, Compression::default())?;
            tracing::info!(
                "checkpoint {} of {} bytes of pages",
                path.display(),
                capture.page_bytes()
            );
            remove_before(&path, obsolete)?;
            Ok(Base { id, name })
        }));
    }

    /// Waits for what is being written; answers whether all was.
    pub(crate) fn finish(&mut self) -> bool {
        let Some(writing) = self.writing.take() else {
            return true;
        };
        match writing.join() {
            Ok(Ok(base)) => {
                self.base = Some(base);
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
