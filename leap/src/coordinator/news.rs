//! News of the boundary, and who is told when (rule P7).
//!
//! A packet for every process at every advance would cost the cluster more than all else that it does.
//! But of the many advances a process needs to know few at once: those that somebody there waits for. It
//! says which ([`News::expect`]) and is told those at once. Everything else is kept for [`LINGER`] and then
//! told to everybody in one piece: it only lets them forget.
//!
//! News that comes late is as true as before: the boundary only grows, whatever is decided meanwhile.
//!
//! # Invariants
//!
//! - What `advance` was given is told to every process within [`LINGER`].
//! - Whoever expects a version is told in the same round in which that version, or the wish, came.

use std::collections::{BTreeMap, HashMap, HashSet};

use leap_core::coordinator::LinkId;
use leap_core::{DependencySet, ObjectId, Version};
use tokio::time::Instant;

use crate::links::LINGER;

type Boundary = BTreeMap<ObjectId, Version>;

/// See the [module documentation](self).
#[derive(Debug, Default)]
pub(super) struct News {
    /// Where the boundary advanced since everybody was told.
    untold: Boundary,
    due: Option<Instant>,
    /// Which process waits for which version of an object.
    expected: HashMap<ObjectId, HashMap<LinkId, Version>>,
    /// Objects whose advance, or processes whose wish, is new in this round.
    advanced: Vec<ObjectId>,
    wishes: Vec<(LinkId, ObjectId)>,
}

impl News {
    /// The process behind `link` waits until all of `versions` are inside the boundary.
    pub(super) fn expect(&mut self, link: LinkId, versions: &DependencySet) {
        for (object, version) in versions.iter() {
            let links = self.expected.entry(object).or_default();
            let expected = links.entry(link).or_default();
            *expected = version.max(*expected);
            self.wishes.push((link, object));
        }
    }

    /// The boundary advanced.
    pub(super) fn add(&mut self, advanced: Boundary) {
        self.advanced.extend(advanced.keys());
        self.untold.extend(advanced);
        self.due.get_or_insert_with(|| Instant::now() + LINGER);
    }

    /// What those processes wait for that are to be told at once.
    pub(super) fn take_awaited(&mut self) -> HashMap<LinkId, Boundary> {
        let mut told: HashMap<LinkId, Boundary> = HashMap::new();
        let waiting = self.waiting();
        for (link, object) in waiting {
            if let Some(&reached) = self.untold.get(&object) {
                told.entry(link).or_default().insert(object, reached);
                self.fulfil(link, object, reached);
            }
        }
        told
    }

    /// Who waits for what that is new in this round.
    fn waiting(&mut self) -> HashSet<(LinkId, ObjectId)> {
        let mut waiting: HashSet<_> = self.wishes.drain(..).collect();
        for object in self.advanced.drain(..) {
            let links = self.expected.get(&object).into_iter().flatten();
            waiting.extend(links.map(|(&link, _)| (link, object)));
        }
        waiting
    }

    fn fulfil(&mut self, link: LinkId, object: ObjectId, reached: Version) {
        if let Some(links) = self.expected.get_mut(&object) {
            if links
                .get(&link)
                .is_some_and(|&expected| expected <= reached)
            {
                links.remove(&link);
            }
            if links.is_empty() {
                self.expected.remove(&object);
            }
        }
    }

    /// What everybody is to be told.
    pub(super) fn take(&mut self) -> Boundary {
        self.due = None;
        std::mem::take(&mut self.untold)
    }

    /// Waits until everybody is to be told.
    pub(super) async fn ripe(&self) {
        match self.due {
            Some(due) => tokio::time::sleep_until(due).await,
            None => std::future::pending().await,
        }
    }

    /// The process behind `link` is gone.
    pub(super) fn forget(&mut self, link: LinkId) {
        self.expected.retain(|_, links| {
            links.remove(&link);
            !links.is_empty()
        });
    }
}
