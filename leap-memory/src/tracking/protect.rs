//! Dirty pages by `mprotect` and a handler for SIGSEGV.
//!
//! Pages that count as clean are readable only. The first write to one raises SIGSEGV; the handler
//! notes the page, makes it writable and lets the write happen again. Faults that are not about a
//! clean page of ours go to the handler that was installed before.
//!
//! The handler may run at any instruction of any thread, so it takes no lock and allocates
//! nothing: it walks a list of [`Entry`]s that is only ever added to, and touches atomics.

use std::cell::Cell;
use std::io;
use std::ptr;
use std::sync::atomic::{AtomicBool, AtomicPtr, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use crate::page_set::{PageSet, Run};
use crate::reservation::{Access, Reservation};
use crate::{MemoryError, PAGE_BYTES};

/// When the kernel has no mappings left to make a single page writable, the handler tries this
/// many around it, and then all pages of the memory.
const FALLBACK_PAGES: usize = 16;

/// A memory's place in the handler's list.
#[derive(Debug)]
pub(crate) struct Protect {
    entry: &'static Entry,
}

/// What the handler knows of one memory. Entries are never freed, so that the handler may read
/// any at any time, but used again.
#[derive(Debug)]
struct Entry {
    taken: AtomicBool,
    /// Address of the first page, and how many pages are tracked now; 0 for none.
    base: AtomicUsize,
    pages: AtomicUsize,
    /// One bit per page: written since it was last collected. Null when the entry is free.
    dirty: AtomicPtr<AtomicU64>,
    words: AtomicUsize,
    next: AtomicPtr<Self>,
}

static ENTRIES: AtomicPtr<Entry> = AtomicPtr::new(ptr::null_mut());

impl Protect {
    /// Takes a place in the list, and sees to it that our handler is the first.
    pub(super) fn new(reservation: &Reservation, pages: usize) -> Result<Self, MemoryError> {
        install().map_err(|source| MemoryError::Tracking {
            tracking: "protect",
            source,
        })?;
        let entry = Entry::take();
        let words = pages.div_ceil(64);
        // As plain numbers, for then the allocator gives zeros that take no memory until they
        // are touched.
        let bits: Box<[u64]> = vec![0; words].into_boxed_slice();
        let bits = Box::into_raw(bits).cast::<AtomicU64>();
        entry.words.store(words, Ordering::Relaxed);
        entry.dirty.store(bits, Ordering::Release);
        let base = reservation.base().addr().get();
        entry.base.store(base, Ordering::Release);
        Ok(Self { entry })
    }

    pub(super) fn attach(&self, memory: &Reservation, pages: &Run) -> Result<(), MemoryError> {
        let step = MemoryError::system("protect pages for tracking");
        let tracked = self.entry.pages.load(Ordering::Relaxed).max(pages.end);
        self.entry.pages.store(tracked, Ordering::Release);
        memory.protect(pages, Access::Read).map_err(step)
    }

    pub(super) fn detach(&self, end: usize) {
        let tracked = self.entry.pages.fetch_min(end, Ordering::AcqRel);
        for page in end..tracked {
            let clear = !(1 << (page % 64));
            self.entry
                .word(page / 64)
                .fetch_and(clear, Ordering::Relaxed);
        }
    }

    pub(super) fn collect(
        &self,
        memory: &Reservation,
        pages: &Run,
        dirty: &mut PageSet,
    ) -> Result<(), MemoryError> {
        let mut found = PageSet::default();
        for word in pages.start / 64..pages.end.div_ceil(64) {
            let wanted = (0..64).filter(|bit| pages.contains(&(word * 64 + bit)));
            let wanted = wanted.fold(0, |bits, bit| bits | 1 << bit);
            // Cleared before the pages are protected: whoever writes between the two writes before
            // this is over, and whoever writes later is noted again.
            let bits = self.entry.word(word).fetch_and(!wanted, Ordering::AcqRel) & wanted;
            (0..64)
                .filter(|bit| bits >> bit & 1 == 1)
                .map(|bit| word * 64 + bit)
                .for_each(|page| found.insert(page..page + 1));
        }
        for run in found.runs() {
            memory.protect(&run, Access::Read).map_err(|error| {
                found.runs().for_each(|run| self.entry.note(&run));
                MemoryError::system("protect pages for tracking")(error)
            })?;
        }
        dirty.union(&found);
        Ok(())
    }
}

impl Drop for Protect {
    fn drop(&mut self) {
        let entry = self.entry;
        entry.pages.store(0, Ordering::Release);
        entry.base.store(0, Ordering::Release);
        let bits = entry.dirty.swap(ptr::null_mut(), Ordering::AcqRel);
        let words = entry.words.swap(0, Ordering::Relaxed);
        // SAFETY: these bits came out of a box of that length in `new` (an `AtomicU64` is laid out
        // as a `u64`) and are swapped out once.
        // The handler touches them only for a fault in this memory, and nobody may write to a
        // memory that is being dropped. (`entries_are_used_again` under a thousand memories.)
        drop(unsafe { Box::from_raw(ptr::slice_from_raw_parts_mut(bits.cast::<u64>(), words)) });
        entry.taken.store(false, Ordering::Release);
    }
}

impl Entry {
    /// A free entry, or a new one at the head of the list.
    fn take() -> &'static Self {
        if let Some(free) = entries().find(|entry| !entry.taken.swap(true, Ordering::AcqRel)) {
            return free;
        }
        let entry: &'static Self = Box::leak(Box::new(Self {
            taken: AtomicBool::new(true),
            base: AtomicUsize::new(0),
            pages: AtomicUsize::new(0),
            dirty: AtomicPtr::new(ptr::null_mut()),
            words: AtomicUsize::new(0),
            next: AtomicPtr::new(ptr::null_mut()),
        }));
        let mut head = ENTRIES.load(Ordering::Acquire);
        loop {
            entry.next.store(head, Ordering::Relaxed);
            let this = ptr::from_ref(entry).cast_mut();
            match ENTRIES.compare_exchange_weak(head, this, Ordering::AcqRel, Ordering::Acquire) {
                Ok(_) => return entry,
                Err(newer) => head = newer,
            }
        }
    }

    fn word(&self, word: usize) -> &AtomicU64 {
        let words = self.words.load(Ordering::Relaxed);
        assert!(
            word < words,
            "no page has its bit in word {word} of {words}"
        );
        // SAFETY: `dirty` points to `words` words while the entry is taken, and is asked for only
        // by the memory that took it or on a fault in it. (The assertion; the model test has
        // memories that are tracked up to their last page.)
        unsafe { &*self.dirty.load(Ordering::Acquire).add(word) }
    }

    /// The page of this memory that `address` lies in, if it is tracked.
    fn page_of(&self, address: usize) -> Option<usize> {
        let base = self.base.load(Ordering::Acquire);
        let page = address.checked_sub(base)? / PAGE_BYTES;
        (base != 0 && page < self.pages.load(Ordering::Acquire)).then_some(page)
    }

    /// Makes `page` writable and notes it; where that fails, pages around it too.
    fn handle_write(&self, page: usize) -> bool {
        let all = self.pages.load(Ordering::Acquire);
        let around = page / FALLBACK_PAGES * FALLBACK_PAGES;
        [
            page..page + 1,
            around..(around + FALLBACK_PAGES).min(all),
            0..all,
        ]
        .into_iter()
        .any(|pages| self.make_writable(pages))
    }

    fn make_writable(&self, pages: Run) -> bool {
        // Noted first: another thread may collect as soon as the page is writable.
        self.note(&pages);
        let start = self.base.load(Ordering::Acquire) + pages.start * PAGE_BYTES;
        let len = pages.len() * PAGE_BYTES;
        let writable = libc::PROT_READ | libc::PROT_WRITE;
        // SAFETY: the pages are those of a living memory that is tracked here, all of which its
        // owner may write. (The guard test: the pages behind are not among them.)
        let is_writable =
            unsafe { libc::mprotect(ptr::with_exposed_provenance_mut(start), len, writable) == 0 };
        // And again: another thread may have collected, and protected, between the two.
        self.note(&pages);
        is_writable
    }

    /// Counts `pages` as written.
    fn note(&self, pages: &Run) {
        for page in pages.clone() {
            self.word(page / 64)
                .fetch_or(1 << (page % 64), Ordering::AcqRel);
        }
    }
}

fn entries() -> impl Iterator<Item = &'static Entry> {
    let at = |entry: &AtomicPtr<Entry>| {
        // SAFETY: entries are leaked and so live for ever; null ends the list.
        unsafe { entry.load(Ordering::Acquire).as_ref() }
    };
    std::iter::successors(at(&ENTRIES), move |entry| at(&entry.next))
}

/// The handlers to hand on to: the one that was there before ours at first, and the one that
/// was found in its place the last time. (The latter may itself hand on to ours.)
static FIRST: AtomicPtr<libc::sigaction> = AtomicPtr::new(ptr::null_mut());
static LATEST: AtomicPtr<libc::sigaction> = AtomicPtr::new(ptr::null_mut());

/// Puts our handler first, unless it is.
fn install() -> io::Result<()> {
    static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());
    let _alone = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    let current = sigaction(None)?;
    let handler: extern "C" fn(_, _, _) = handle_sigsegv;
    if current.sa_sigaction == handler as *const () as usize {
        return Ok(());
    }
    let current: *mut libc::sigaction = Box::leak(Box::new(current));
    LATEST.store(current, Ordering::Release);
    let _ = FIRST.compare_exchange(
        ptr::null_mut(),
        current,
        Ordering::AcqRel,
        Ordering::Acquire,
    );
    // SAFETY: all zeros is a valid `sigaction`: no flags, an empty mask.
    let mut ours: libc::sigaction = unsafe { std::mem::zeroed() };
    ours.sa_sigaction = handler as *const () as usize;
    // On the alternative stack, for the engine's handler must see stack overflows; not deferred,
    // for the handler that we hand on to may leave by changing the context.
    ours.sa_flags = libc::SA_SIGINFO | libc::SA_ONSTACK | libc::SA_NODEFER;
    sigaction(Some(&ours))?;
    Ok(())
}

/// The action for SIGSEGV until now; sets `new` in its place.
fn sigaction(new: Option<&libc::sigaction>) -> io::Result<libc::sigaction> {
    // SAFETY: all zeros is a valid `sigaction`; the call fills it in. Both pointers are valid or
    // null for the length of the call; the new handler does only what a handler may, see the
    // module. (`faults_of_others_go_to_their_handler`, in a process of its own.)
    unsafe {
        let mut old: libc::sigaction = std::mem::zeroed();
        let new = new.map_or(ptr::null(), ptr::from_ref);
        match libc::sigaction(libc::SIGSEGV, new, &raw mut old) {
            0 => Ok(old),
            _ => Err(io::Error::last_os_error()),
        }
    }
}

extern "C" fn handle_sigsegv(
    signal: libc::c_int,
    info: *mut libc::siginfo_t,
    context: *mut libc::c_void,
) {
    // SAFETY: the kernel gives a handler with SA_SIGINFO a valid `siginfo_t`, and this is the
    // address of this thread's own `errno`. (Every tracked write of the tests comes through here.)
    let (address, errno) = unsafe { ((*info).si_addr() as usize, libc::__errno_location()) };
    // SAFETY: as above; whoever was interrupted may be about to read it.
    let saved_errno = unsafe { *errno };
    let page = entries().find_map(|entry| Some((entry, entry.page_of(address)?)));
    let handled = page.is_some_and(|(entry, page)| entry.handle_write(page));
    // SAFETY: as above.
    unsafe { *errno = saved_errno };
    if !handled {
        hand_on(signal, info, context);
    }
}

/// Calls the handler that is next, or lets the system do what it does without one.
fn hand_on(signal: libc::c_int, info: *mut libc::siginfo_t, context: *mut libc::c_void) {
    thread_local! {
        /// Whether `LATEST` is being asked: it hands on to us when it was installed after us.
        static ASKING: Cell<bool> = const { Cell::new(false) };
    }
    let again = ASKING.replace(true);
    let next = if again { &FIRST } else { &LATEST };
    // SAFETY: `install` leaks a valid action into both before our handler can run.
    let next = unsafe { &*next.load(Ordering::Acquire) };
    match next.sa_sigaction {
        libc::SIG_DFL | libc::SIG_IGN => {
            // The fault happens again, and then ends the process as it would have.
            // SAFETY: `next` was the system's own answer to `sigaction`.
            unsafe { libc::sigaction(signal, next, ptr::null_mut()) };
        }
        handler if next.sa_flags & libc::SA_SIGINFO != 0 => {
            // SAFETY: the flag says that this is the type of the function.
            // (`faults_of_others_go_to_their_handler`.)
            let handler: extern "C" fn(libc::c_int, *mut libc::siginfo_t, *mut libc::c_void) =
                unsafe { std::mem::transmute(handler) };
            handler(signal, info, context);
        }
        handler => {
            // SAFETY: without the flag this is the type of the function.
            let handler: extern "C" fn(libc::c_int) = unsafe { std::mem::transmute(handler) };
            handler(signal);
        }
    }
    ASKING.set(again);
}
