//! The memory against a plain vector: whatever is written, sealed, undone and mapped, both agree,
//! under either kind of tracking.

use std::collections::BTreeSet;
use std::io::Write as _;

use leap_memory::{Delta, Extent, Memory, MemoryOptions, PAGE_BYTES, Tracking};
use proptest::prelude::*;

const CAPACITY_PAGES: usize = 70;

#[derive(Clone, Debug)]
enum Step {
    Write {
        page: usize,
        at: usize,
        byte: u8,
    },
    Zero {
        page: usize,
    },
    Read {
        page: usize,
    },
    Grow {
        pages: usize,
    },
    Seal,
    Open,
    Abort {
        level: usize,
    },
    Commit {
        level: usize,
    },
    /// Writes all to a file and starts from it.
    Image,
}

fn step() -> impl Strategy<Value = Step> {
    let page = 0..CAPACITY_PAGES;
    prop_oneof![
        8 => (page.clone(), 0..PAGE_BYTES, any::<u8>()).prop_map(|(page, at, byte)| Step::Write { page, at, byte }),
        1 => page.clone().prop_map(|page| Step::Zero { page }),
        2 => page.prop_map(|page| Step::Read { page }),
        1 => (1..4_usize).prop_map(|pages| Step::Grow { pages }),
        2 => Just(Step::Seal),
        2 => Just(Step::Open),
        2 => (0..4_usize).prop_map(|level| Step::Abort { level }),
        1 => (0..4_usize).prop_map(|level| Step::Commit { level }),
        1 => Just(Step::Image),
    ]
}

/// What the memory must be like.
#[derive(Default)]
struct Model {
    bytes: Vec<u8>,
    levels: Vec<Vec<u8>>,
    /// The last sealed version, as its deltas say.
    sealed: Vec<u8>,
    /// Pages that were written or undone since.
    touched: BTreeSet<usize>,
    /// Pages that were ever written.
    ever: BTreeSet<usize>,
}

struct Pair {
    memory: Memory,
    model: Model,
}

impl Pair {
    fn new(tracking: Tracking) -> anyhow::Result<Self> {
        let mut memory = Memory::reserve(&MemoryOptions {
            capacity_bytes: CAPACITY_PAGES * PAGE_BYTES,
            guard_bytes: PAGE_BYTES,
            tracking,
        })?;
        assert_eq!(memory.tracking(), tracking);
        memory.grow_to(8 * PAGE_BYTES)?;
        let mut model = Model::default();
        model.bytes.resize(8 * PAGE_BYTES, 0);
        Ok(Self { memory, model })
    }

    fn take(&mut self, step: &Step) -> anyhow::Result<()> {
        let pages = self.model.bytes.len() / PAGE_BYTES;
        match *step {
            Step::Write { page, at, byte } => {
                let at = page % pages * PAGE_BYTES + at;
                self.memory.bytes_mut()[at] = byte;
                self.model.bytes[at] = byte;
                self.model.touched.insert(page % pages);
                self.model.ever.insert(page % pages);
            }
            Step::Zero { page } => {
                let page = page % pages;
                let range = page * PAGE_BYTES..(page + 1) * PAGE_BYTES;
                self.memory.bytes_mut()[range.clone()].fill(0);
                self.model.bytes[range].fill(0);
                self.model.touched.insert(page);
                self.model.ever.insert(page);
            }
            Step::Read { page } => {
                let at = page % pages * PAGE_BYTES;
                assert_eq!(self.memory.bytes()[at], self.model.bytes[at]);
            }
            Step::Grow { pages: more } => {
                let length = ((pages + more) * PAGE_BYTES).min(self.memory.capacity_bytes());
                self.memory.grow_to(length)?;
                self.model.bytes.resize(length, 0);
            }
            Step::Seal => self.seal()?,
            Step::Open => {
                let level = self.memory.open_level()?;
                assert_eq!(level, self.model.levels.len());
                self.model.levels.push(self.model.bytes.clone());
            }
            Step::Abort { level } if level < self.model.levels.len() => {
                self.memory.abort_level(level)?;
                let before = std::mem::take(&mut self.model.bytes);
                self.model.bytes = self.model.levels[level].clone();
                self.model.levels.truncate(level);
                self.model
                    .touched
                    .extend(differing(&before, &self.model.bytes));
            }
            Step::Commit { level } if level < self.model.levels.len() => {
                self.memory.commit_level(level)?;
                self.model.levels.remove(level);
            }
            Step::Abort { level } => assert!(self.memory.abort_level(level).is_err()),
            Step::Commit { level } => assert!(self.memory.commit_level(level).is_err()),
            Step::Image => self.start_from_image()?,
        }
        assert!(self.memory.bytes() == self.model.bytes, "after {step:?}");
        assert_eq!(self.memory.open_levels(), self.model.levels.len());
        Ok(())
    }

    fn seal(&mut self) -> anyhow::Result<()> {
        let version = self.memory.seal()?;
        let delta: Delta = version.to_delta();
        assert!(delta.pages().eq(version.pages()));
        assert_eq!(delta.zeroed(), &version.zeroed());
        let changed: BTreeSet<usize> = version.changed().iter().collect();
        for page in differing(&self.model.sealed, &self.model.bytes) {
            assert!(
                changed.contains(&page),
                "page {page} changed and is not in the version"
            );
        }
        delta.apply_to(&mut self.model.sealed);
        assert!(
            self.model.sealed == self.model.bytes,
            "the deltas tell another story"
        );
        self.model.touched.clear();
        Ok(())
    }

    /// Every other run of three pages is left out if it is zeros, so that extents have gaps.
    fn start_from_image(&mut self) -> anyhow::Result<()> {
        let mut file = tempfile::tempfile()?;
        let mut extents: Vec<Extent> = Vec::new();
        let mut file_offset = 0;
        for (page, contents) in self.model.bytes.chunks_exact(PAGE_BYTES).enumerate() {
            if contents.iter().all(|&byte| byte == 0) {
                continue;
            }
            file.write_all(contents)?;
            match extents.last_mut() {
                Some(last) if last.pages.end == page => last.pages.end += 1,
                _ => extents.push(Extent {
                    pages: page..page + 1,
                    file_offset,
                }),
            }
            file_offset += PAGE_BYTES as u64;
        }
        let length = self.model.bytes.len();
        let mapped = self.memory.map_image(&file, &extents, length);
        if self.model.levels.is_empty() {
            mapped?;
            self.model.sealed = self.model.bytes.clone();
            self.model.touched.clear();
        } else {
            assert!(mapped.is_err());
        }
        Ok(())
    }
}

/// The pages of `after` that `before` has otherwise.
fn differing(before: &[u8], after: &[u8]) -> Vec<usize> {
    let page = |bytes: &[u8], page: usize| {
        let range = page * PAGE_BYTES..(page + 1) * PAGE_BYTES;
        bytes
            .get(range)
            .map_or_else(|| vec![0; PAGE_BYTES], <[u8]>::to_vec)
    };
    (0..after.len() / PAGE_BYTES)
        .filter(|&number| page(before, number) != page(after, number))
        .collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn userfault_is_like_a_vector(steps in proptest::collection::vec(step(), 1..60)) {
        run(Tracking::Userfault, &steps);
    }

    #[test]
    fn protect_is_like_a_vector(steps in proptest::collection::vec(step(), 1..60)) {
        run(Tracking::Protect, &steps);
    }
}

fn run(tracking: Tracking, steps: &[Step]) {
    let mut pair = Pair::new(tracking).expect("this system has both");
    for step in steps {
        pair.take(step).expect("the system obliges");
    }
}
