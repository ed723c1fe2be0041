//! A program: a process with WASI on Leap's pages, which starts from a module or from an image
//! and is captured into images.
//!
//! [`Process`] knows the stack, [`Wasi`] the files and streams, `leap-memory` the pages; here they
//! come together, so that the parts of a capture are of one moment.
//!
//! Invariant: between two captures that were kept, every page that changed is in the second one.

use std::path::PathBuf;
use std::sync::Arc;

use leap_memory::{Delta, Memory, MemoryError, PageSet, Tracking};

use crate::control::CaptureHandle;
use crate::engine::{Engine, EngineOptions, Module};
use crate::error::VmError;
use crate::image::{Base, Chain, Contents, ImageError, MemoryPages, StopsDigest};
use crate::memory::{Memories, SharedMemory};
use crate::process::{Outcome, Process};
use crate::state::{Captured, Entry};
use crate::wasi::{HostMount, HostWrites, Outside, Wasi, WasiError, WasiState};

/// The export that a WASI command is entered by.
const COMMAND_ENTRY: &str = "_start";

/// Why a program cannot be started, captured or restored.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ProgramError {
    /// The process itself.
    #[error(transparent)]
    Process(#[from] VmError),
    /// Its system interface.
    #[error(transparent)]
    System(#[from] WasiError),
    /// The image that it is to go on from.
    #[error(transparent)]
    Image(#[from] ImageError),
    /// Its pages.
    #[error(transparent)]
    Pages(#[from] MemoryError),
    /// The program has a directory of the host that it was not granted here.
    #[error(
        "the program wants the directory {}, which it knows as {name}{}",
        path.display(),
        match writes { HostWrites::Overlay => "", HostWrites::Direct => " and writes to directly" },
    )]
    NotGranted {
        /// The host's directory, where the program had it last.
        path: PathBuf,
        /// Its name for the guest.
        name: String,
        /// What happens when the guest writes.
        writes: HostWrites,
    },
    /// The thread that is to run the program has too little stack.
    #[error("the program needs {needed_bytes} bytes of stack, a thread here has {thread_bytes}")]
    Stack {
        /// What the program needs.
        needed_bytes: usize,
        /// What there is.
        thread_bytes: usize,
    },
    /// The program has more than an image can hold. It can run on.
    #[error("the program cannot be captured: its {what} take more than an image can hold")]
    TooLarge {
        /// What takes so much.
        what: &'static str,
    },
    /// A part of the process's state is not what it should be, though the image is whole.
    #[error("the {what} of the image cannot be understood")]
    Malformed {
        /// The part.
        what: &'static str,
    },
}

/// An engine whose guests live on Leap's pages. Clones share everything.
#[derive(Clone)]
pub struct ProgramEngine {
    engine: Engine,
    memories: Arc<Memories>,
}

impl ProgramEngine {
    /// An engine with these options, but for where memories come from; the dirty pages of those
    /// are tracked so.
    ///
    /// # Errors
    ///
    /// [`VmError::Engine`].
    pub fn new(options: EngineOptions, tracking: Tracking) -> Result<Self, ProgramError> {
        let memories = Arc::new(Memories::new(tracking));
        let engine = Engine::new(EngineOptions {
            memories: Some(memories.clone()),
            ..options
        })?;
        Ok(Self { engine, memories })
    }

    /// Bytes of stack that a thread needs to run a program.
    pub fn thread_stack_bytes(&self) -> usize {
        thread_stack_bytes(&self.engine)
    }

    /// Instruments and compiles a module, or finds it if it is in use already.
    ///
    /// # Errors
    ///
    /// [`VmError::Instrument`], [`VmError::Compile`].
    pub fn compile(&self, module: &[u8]) -> Result<Module, ProgramError> {
        Ok(self.engine.compile(module)?)
    }
}

fn thread_stack_bytes(engine: &Engine) -> usize {
    // For the host's own functions, beyond the guest's.
    engine.options().stack_bytes + (1 << 20)
}

/// A running program, or one that could run on.
pub struct Program {
    process: Process<Wasi>,
    memories: Arc<Memories>,
    /// None until it is needed.
    stops: Option<StopsDigest>,
}

/// What a program that goes on finds around it.
#[derive(Debug)]
pub struct Surroundings {
    /// Streams and clocks.
    pub outside: Outside,
    /// The directories of the host that it may have.
    pub directories: Directories,
    /// Whether pages that can be mapped from the image are checked for damage first; all others
    /// always are.
    pub verify: bool,
}

/// Which directories of the host a restored program may have.
#[derive(Clone, Debug)]
pub enum Directories {
    /// Those that it had, under the same paths: for images that one has written oneself.
    AsBefore,
    /// No others than these, each found by the guest's name for it.
    Granted(Vec<HostMount>),
}

/// Which pages a capture takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pages {
    /// All: the capture stands by itself.
    Whole,
    /// Those that changed since the last capture.
    Changes,
}

/// A stopped program as data, pages and all, independent of the program, which may run on.
pub struct Capture {
    captured: Captured,
    system: Vec<u8>,
    memories: Vec<CapturedPages>,
    stops: StopsDigest,
}

/// The pages of one memory in a capture.
struct CapturedPages {
    /// Taken while the program ran, if any were.
    copy: Option<Delta>,
    /// Taken when it had stopped, over those.
    pages: Delta,
}

/// Copies the pages of a program, from any thread, while the program runs: so that it need not stand
/// still for all of them. Clones copy those of the same program.
#[derive(Clone)]
pub struct PageCopier {
    memories: Vec<SharedMemory>,
}

/// Pages that were copied while their program ran: of no use by themselves, for they are of
/// different moments. See [`Program::capture_over`].
pub struct CopiedPages {
    /// Of each memory, the number of the copy, and the copy.
    memories: Vec<(u64, Delta)>,
}

impl PageCopier {
    /// Copies all pages. A copy that was begun before is given up.
    ///
    /// # Errors
    ///
    /// The system does not let us.
    pub fn copy(&self) -> Result<CopiedPages, ProgramError> {
        let copy = |memory: &SharedMemory| {
            // Not locked while it is read, or the program could not grow it.
            let copying = memory.lock().begin_copy()?;
            Ok((copying.number(), copying.read()?))
        };
        let memories = self.memories.iter().map(copy);
        Ok(CopiedPages {
            memories: memories.collect::<Result<_, MemoryError>>()?,
        })
    }
}

impl Program {
    /// A program that is about to begin.
    ///
    /// # Errors
    ///
    /// [`ProgramError::System`], [`ProgramError::Process`].
    pub fn start(
        engine: &ProgramEngine,
        module: &Module,
        state: WasiState,
        outside: Outside,
    ) -> Result<Self, ProgramError> {
        let wasi = Wasi::new(state, outside)?;
        let entry = Entry {
            name: COMMAND_ENTRY.to_owned(),
            arguments: Vec::new(),
        };
        Ok(Self {
            process: Process::start(module, wasi, entry)?,
            memories: engine.memories.clone(),
            stops: None,
        })
    }

    /// A program that goes on where the newest image of `chain` has it. `module` is that of the
    /// image.
    ///
    /// # Errors
    ///
    /// All of them.
    pub fn restore(
        engine: &ProgramEngine,
        module: &Module,
        chain: &Chain,
        surroundings: Surroundings,
    ) -> Result<Self, ProgramError> {
        let image = chain.newest();
        let stops = image.check_stops(module.stop_map())?;
        let state = WasiState::from_bytes(&image.system()?);
        let mut state = state.ok_or(ProgramError::Malformed {
            what: "system state",
        })?;
        if let Directories::Granted(granted) = &surroundings.directories {
            let moved = state.move_host_directories(granted);
            moved.map_err(
                |HostMount { name, path, writes }| ProgramError::NotGranted { path, name, writes },
            )?;
        }
        let wasi = Wasi::new(state, surroundings.outside)?;
        let mut program = Self {
            process: Process::rebuild(module, wasi, image.captured())?,
            memories: engine.memories.clone(),
            stops: Some(stops),
        };
        for (index, memory) in program.page_copier().memories.iter().enumerate() {
            let mut memory = memory.lock();
            chain.map_into(index, &mut memory, surroundings.verify)?;
            // What was copied is the image's, and no change.
            memory.seal()?;
        }
        Ok(program)
    }

    /// Runs until the program ends or stops for a capture. The thread needs
    /// [`ProgramEngine::thread_stack_bytes`] of stack.
    ///
    /// # Errors
    ///
    /// Those of [`Process::run`].
    pub fn run(&mut self) -> Result<Outcome, ProgramError> {
        Ok(self.process.run()?)
    }

    /// Bytes of stack that a thread needs to run this program.
    pub fn thread_stack_bytes(&self) -> usize {
        thread_stack_bytes(self.process.module().engine())
    }

    /// Whether the program has stopped itself, for a checkpoint that is to be taken now; in C:
    ///
    /// ```c
    /// __attribute__((import_module("leap"), import_name("checkpoint")))
    /// int leap_checkpoint(void); // 0: it is kept; 1: this goes on from it; 2: it is not kept
    /// ```
    pub fn asks_for_checkpoint(&self) -> bool {
        self.process.asks_for_checkpoint()
    }

    /// Has the program be told that the checkpoint which it has asked for is kept.
    pub fn checkpoint_is_kept(&mut self) {
        self.process.checkpoint_is_kept();
    }

    /// Whether it has run: what has not cannot be captured.
    pub fn has_begun(&self) -> bool {
        self.process.has_begun()
    }

    /// Has the program stop for a capture, from any thread.
    pub fn capture_handle(&self) -> CaptureHandle {
        self.process.capture_handle()
    }

    /// Captures the program, which has stopped. It may run on at once.
    ///
    /// # Errors
    ///
    /// Those of [`Process::capture`], [`ProgramError::Pages`].
    pub fn capture(&mut self, pages: Pages) -> Result<Capture, ProgramError> {
        self.capture_with(|_, memory| {
            let pages = match pages {
                Pages::Whole => memory.seal_whole()?.to_delta(),
                Pages::Changes => memory.seal()?.to_delta(),
            };
            Ok(CapturedPages { copy: None, pages })
        })
    }

    /// As [`Program::capture`] of all pages, but takes only those that have changed since they
    /// were copied: the program stands still for no more.
    ///
    /// # Errors
    ///
    /// As there; also if the pages were copied again since.
    pub fn capture_over(&mut self, copied: CopiedPages) -> Result<Capture, ProgramError> {
        let mut copies: Vec<_> = copied.memories.into_iter().map(Some).collect();
        self.capture_with(|index, memory| {
            let copy = copies.get_mut(index).and_then(Option::take);
            let (number, copy) = copy.ok_or(ProgramError::Malformed {
                what: "number of copied memories",
            })?;
            let pages = memory.seal_over(number)?.to_delta();
            let copy = Some(copy);
            Ok(CapturedPages { copy, pages })
        })
    }

    /// Copies the pages of the program while it runs.
    pub fn page_copier(&mut self) -> PageCopier {
        let mut memories = Vec::new();
        while let Some(memory) = self.pages_of(memories.len()) {
            memories.push(memory);
        }
        PageCopier { memories }
    }

    /// A capture whose pages `seal` takes from each memory. If there is none in the end, the next
    /// one has what `seal` has taken.
    fn capture_with(
        &mut self,
        mut seal: impl FnMut(usize, &mut Memory) -> Result<CapturedPages, ProgramError>,
    ) -> Result<Capture, ProgramError> {
        // What can fail for the guest's sake comes before anything is taken.
        let captured = self.process.capture()?;
        let system = self.process.system().state().to_bytes();
        let system = system.ok_or(ProgramError::TooLarge { what: "files" })?;
        let mut memories = Vec::new();
        for (index, memory) in self.page_copier().memories.iter().enumerate() {
            let sealed = seal(index, &mut memory.lock());
            match sealed {
                Ok(pages) => memories.push(pages),
                Err(error) => {
                    self.give_back(&memories);
                    return Err(error);
                }
            }
        }
        let module = self.process.module();
        let stops = *self
            .stops
            .get_or_insert_with(|| StopsDigest::of(module.stop_map()));
        Ok(Capture {
            captured,
            system,
            memories,
            stops,
        })
    }

    /// Has the next capture of changes hold what this one does: it was not kept after all.
    pub fn take_back(&mut self, capture: &Capture) {
        self.give_back(&capture.memories);
    }

    /// Counts pages as changed again.
    fn give_back(&mut self, taken: &[CapturedPages]) {
        for (memory, taken) in self.page_copier().memories.iter().zip(taken) {
            for delta in taken.copy.iter().chain([&taken.pages]) {
                let pages = delta.pages().map(|(page, _)| page);
                let pages: PageSet = pages.chain(delta.zeroed().iter()).collect();
                memory.lock().mark_changed(&pages);
            }
        }
    }

    /// The process that the program is.
    pub fn process(&mut self) -> &mut Process<Wasi> {
        &mut self.process
    }

    fn pages_of(&mut self, index: usize) -> Option<SharedMemory> {
        let base = self.process.memory(index as u32)?.as_ptr();
        let memory = self.memories.at(base);
        Some(memory.expect("all memories of the engine are Leap's"))
    }
}

impl Capture {
    /// The process but for its pages.
    pub fn captured(&self) -> &Captured {
        &self.captured
    }

    /// Bytes of the pages that it holds.
    pub fn page_bytes(&self) -> usize {
        let pages = self.memories().map(|memory| memory.pages.len());
        pages.sum::<usize>() * leap_memory::PAGE_BYTES
    }

    fn memories(&self) -> impl Iterator<Item = MemoryPages<'_>> {
        self.memories.iter().map(|memory| match &memory.copy {
            Some(copy) => MemoryPages::layered(copy, &memory.pages),
            None => MemoryPages::from(&memory.pages),
        })
    }

    /// What goes into an image: with the module's bytes if they are given, relative to `base` if
    /// the capture holds changes.
    pub fn contents<'a>(&'a self, module: Option<&'a [u8]>, base: Option<Base>) -> Contents<'a> {
        Contents {
            captured: &self.captured,
            stops: self.stops,
            system: &self.system,
            module,
            memories: self.memories().collect(),
            base,
        }
    }
}
