//! Sets of pages, kept as runs: what is written tends to lie together.

use std::ops::Range;

/// A run of pages: the numbers of the first page and of the one after the last.
pub type Run = Range<usize>;

/// A set of page numbers.
///
/// Invariant: the runs are not empty, in order, and neither overlap nor touch.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PageSet {
    runs: Vec<Run>,
}

impl PageSet {
    /// The runs in order.
    pub fn runs(&self) -> impl Iterator<Item = Run> + '_ {
        self.runs.iter().cloned()
    }

    /// The pages in order.
    pub fn iter(&self) -> impl Iterator<Item = usize> + '_ {
        self.runs.iter().cloned().flatten()
    }

    /// How many pages there are.
    pub fn len(&self) -> usize {
        self.runs.iter().map(Range::len).sum()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.runs.is_empty()
    }

    /// Whether `page` is in the set.
    pub fn contains(&self, page: usize) -> bool {
        let after = self.runs.partition_point(|run| run.end <= page);
        self.runs.get(after).is_some_and(|run| run.start <= page)
    }

    /// Adds the pages of `run`.
    pub fn insert(&mut self, run: Run) {
        if run.is_empty() {
            return;
        }
        // Everything that overlaps or touches the new run becomes one with it.
        let from = self.runs.partition_point(|other| other.end < run.start);
        let to = self.runs.partition_point(|other| other.start <= run.end);
        let merged = if from < to {
            run.start.min(self.runs[from].start)..run.end.max(self.runs[to - 1].end)
        } else {
            run
        };
        self.runs.splice(from..to, [merged]);
    }

    /// Adds the pages of `other`.
    pub fn union(&mut self, other: &Self) {
        for run in &other.runs {
            self.insert(run.clone());
        }
    }

    /// Takes every page from `page` on out of the set, and answers them.
    pub fn split_off(&mut self, page: usize) -> Self {
        let kept = self.runs.partition_point(|run| run.start < page);
        let mut runs = self.runs.split_off(kept);
        if let Some(last) = self.runs.last_mut().filter(|last| last.end > page) {
            runs.insert(0, page..last.end);
            last.end = page;
        }
        Self { runs }
    }
}

impl FromIterator<usize> for PageSet {
    fn from_iter<I: IntoIterator<Item = usize>>(pages: I) -> Self {
        let mut set = Self::default();
        for page in pages {
            set.insert(page..page + 1);
        }
        set
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn touching_runs_become_one() {
        let mut set = PageSet::default();
        set.insert(4..6);
        set.insert(8..9);
        set.insert(6..8);
        assert!(set.runs().eq(std::iter::once(4..9)));
    }

    proptest! {
        #[test]
        fn a_page_set_is_a_set(inserts in proptest::collection::vec((0_usize..60, 0_usize..9), 0..20), end in 0_usize..70) {
            let mut set = PageSet::default();
            let mut model = BTreeSet::new();
            for (start, len) in inserts {
                set.insert(start..start + len);
                model.extend(start..start + len);
                prop_assert_eq!(set.iter().collect::<Vec<_>>(), model.iter().copied().collect::<Vec<_>>());
                prop_assert_eq!(set.len(), model.len());
                prop_assert!(set.runs.windows(2).all(|pair| pair[0].end < pair[1].start));
            }
            prop_assert!((0..70).all(|page| set.contains(page) == model.contains(&page)));
            let above = model.split_off(&end);
            prop_assert_eq!(set.split_off(end).iter().collect::<Vec<_>>(), above.into_iter().collect::<Vec<_>>());
            prop_assert_eq!(set.iter().collect::<Vec<_>>(), model.into_iter().collect::<Vec<_>>());
        }
    }
}
