//! Rule P16: what a guest makes in an open level is held until the level commits, and gone if it is aborted; what it
//! consumed in an aborted level is delivered again, in the same order and before anything newer.

use std::collections::{BTreeMap, VecDeque};

use super::{Checker, Fact, LevelChange, require};
use crate::{
    truth::{Truth, VertexId},
    world::{InstanceId, ItemId},
};

/// Follows what guests do in their levels, through seals and restores.
#[derive(Default)]
pub(super) struct InProcessLevels {
    lives: BTreeMap<InstanceId, Life>,
    /// What was uncertain at the end of a version, if anything.
    sealed: BTreeMap<VertexId, Life>,
}

/// What a guest did and may still undo.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Deed {
    Opened,
    Made(ItemId),
    Consumed,
}

/// One life of a guest, by the definition: to abort a level is to undo all since it was opened, to commit it is to
/// forget that it was opened. What was done before the oldest opening that is remembered is certain.
#[derive(Clone, Default, PartialEq, Debug)]
struct Life {
    /// What it received, without what it has certainly consumed.
    received: VecDeque<ItemId>,
    /// What it did from the oldest open level on.
    uncertain: VecDeque<Deed>,
    /// What has certainly been made and must leave now.
    due: VecDeque<ItemId>,
}

impl Life {
    fn openings(&self) -> impl Iterator<Item = usize> {
        let opened = |&at: &usize| self.uncertain[at] == Deed::Opened;
        (0..self.uncertain.len()).filter(opened)
    }

    /// The message whose turn it is.
    fn next(&self) -> Option<ItemId> {
        let consumed = self
            .uncertain
            .iter()
            .filter(|&&deed| deed == Deed::Consumed);
        self.received.get(consumed.count()).copied()
    }

    fn act(&mut self, deed: Deed) {
        self.uncertain.push_back(deed);
        self.settle();
    }

    /// Whatever is in no level any more is certain.
    fn settle(&mut self) {
        while let Some(deed) = self.uncertain.pop_front_if(|deed| *deed != Deed::Opened) {
            match deed {
                Deed::Made(item) => self.due.push_back(item),
                Deed::Consumed => drop(self.received.pop_front()),
                Deed::Opened => unreachable!("it is not taken out"),
            }
        }
    }

    fn change(&mut self, change: LevelChange) -> Result<(), String> {
        let open = self.openings().count();
        let (LevelChange::Opened(level)
        | LevelChange::Committed(level)
        | LevelChange::Aborted(level)) = change;
        let opening = self.openings().nth(level);
        match (change, opening) {
            (LevelChange::Opened(_), None) if level == open => self.act(Deed::Opened),
            (LevelChange::Committed(_), Some(opening)) => {
                self.uncertain.remove(opening);
                self.settle();
            }
            (LevelChange::Aborted(_), Some(opening)) => self.uncertain.truncate(opening),
            _ => return Err(format!("{change:?}, but {open} levels are open")),
        }
        Ok(())
    }
}

impl InProcessLevels {
    fn life(&mut self, life: InstanceId) -> &mut Life {
        self.lives.entry(life).or_default()
    }

    /// A life of which nothing is overdue: what a commit lets go leaves before anything else happens.
    fn prompt(&mut self, life: InstanceId) -> Result<&mut Life, String> {
        let known = self.life(life);
        require!(
            known.due.is_empty(),
            "{life:?} keeps {:?}, which was made in no level, or in one that is committed",
            known.due
        );
        Ok(known)
    }
}

impl Checker for InProcessLevels {
    fn name(&self) -> &'static str {
        "p16_levels"
    }

    fn observe(&mut self, _truth: &Truth, fact: &Fact<'_>) -> Result<(), String> {
        match *fact {
            Fact::Received { life, item } => self.prompt(life)?.received.push_back(item),
            Fact::TakenIn { life, item } => {
                let known = self.prompt(life)?;
                let next = known.next();
                require!(
                    next == Some(item),
                    "{life:?} consumed {item:?}, but {next:?} is next"
                );
                known.act(Deed::Consumed);
            }
            Fact::Made { life, item } => self.prompt(life)?.act(Deed::Made(item)),
            Fact::Given { life, item } => {
                let known = self.life(life);
                let due = known.due.pop_front();
                require!(
                    due == Some(item),
                    "{item:?} left {life:?}, but {due:?} is due; in open levels: {:?}",
                    known.uncertain
                );
            }
            Fact::Levels { life, change } => self.prompt(life)?.change(change)?,
            Fact::Sealed {
                life,
                vertex: Some(vertex),
                ..
            } => {
                let known = self.prompt(life)?.clone();
                if known != Life::default() {
                    self.sealed.insert(vertex, known);
                }
            }
            Fact::Restored { life, vertex, .. } => {
                let known = vertex.and_then(|vertex| self.sealed.get(&vertex));
                self.lives.insert(life, known.cloned().unwrap_or_default());
            }
            Fact::Converged(rest) => {
                for &life in &rest.lives {
                    let known = self.prompt(life)?;
                    require!(
                        *known == Life::default(),
                        "{life:?} has come to rest with {known:?}"
                    );
                }
            }
            _ => {}
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use leap_core::{ObjectId, Version, VersionMetadata, WorldLine};

    use super::*;
    use LevelChange::{Aborted, Committed, Opened};

    const LIFE: InstanceId = InstanceId(0);

    /// What happens to a guest; the numbers are those of items.
    #[derive(Clone, Copy)]
    enum Step {
        Receives(usize),
        TakesIn(usize),
        Makes(usize),
        Gives(usize),
        Changes(LevelChange),
        Rests,
    }
    use Step::{Changes, Gives, Makes, Receives, Rests, TakesIn};

    /// Judges one step after the other, for one guest.
    fn judge(steps: &[Step]) -> Result<(), String> {
        follow(&mut InProcessLevels::default(), steps)
    }

    fn follow(checker: &mut InProcessLevels, steps: &[Step]) -> Result<(), String> {
        let mut steps = steps.iter();
        steps.try_for_each(|&step| observe(checker, step))
    }

    fn observe(checker: &mut InProcessLevels, step: Step) -> Result<(), String> {
        let life = LIFE;
        let rest = crate::checker::Rest {
            lives: vec![LIFE],
            ..Default::default()
        };
        let item = match step {
            Receives(item) | TakesIn(item) | Makes(item) | Gives(item) => ItemId(item),
            Changes(_) | Rests => ItemId(0),
        };
        let fact = match step {
            Receives(_) => Fact::Received { life, item },
            TakesIn(_) => Fact::TakenIn { life, item },
            Makes(_) => Fact::Made { life, item },
            Gives(_) => Fact::Given { life, item },
            Changes(change) => Fact::Levels { life, change },
            Rests => Fact::Converged(&rest),
        };
        checker.observe(&Truth::default(), &fact)
    }

    #[test]
    fn what_levels_should_do_is_accepted() {
        let story = [
            [Makes(1), Gives(1), Changes(Opened(0)), Receives(2)],
            [TakesIn(2), Makes(3), Changes(Opened(1)), Makes(4)],
            [Changes(Committed(0)), Gives(3), Changes(Aborted(0)), Rests],
        ];
        assert_eq!(judge(story.as_flattened()), Ok(()));
    }

    #[test]
    fn what_leaves_an_open_level_is_noticed() {
        let early = judge(&[Changes(Opened(0)), Makes(1), Gives(1)]);
        assert!(early.is_err_and(|reason| reason.contains("None is due")));
        let opened = [Changes(Opened(0)), Changes(Opened(1)), Makes(1)];
        let inner_committed = [Changes(Committed(1)), Gives(1)];
        assert!(judge(&[&opened[..], &inner_committed].concat()).is_err());
    }

    #[test]
    fn what_leaves_an_aborted_level_is_noticed() {
        let opened = [Changes(Opened(0)), Makes(1)];
        let aborted = [Changes(Aborted(0)), Gives(1)];
        assert!(judge(&[opened, aborted].concat()).is_err());
    }

    #[test]
    fn what_does_not_leave_a_committed_level_is_noticed() {
        let committed = [
            Changes(Opened(0)),
            Makes(1),
            Makes(2),
            Changes(Committed(0)),
        ];
        let then = |steps: &[Step]| judge(&[&committed, steps].concat());
        assert_eq!(then(&[Gives(1), Gives(2), Rests]), Ok(()));
        assert!(then(&[Rests]).is_err_and(|reason| reason.contains("keeps")));
        assert!(then(&[Gives(1), Rests]).is_err(), "one of two");
        assert!(then(&[Gives(2)]).is_err(), "out of order");
        assert!(then(&[Gives(1), Gives(2), Gives(2)]).is_err(), "twice");
    }

    #[test]
    fn what_is_not_delivered_again_is_noticed() {
        let opened = [Receives(1), Receives(2), Changes(Opened(0)), TakesIn(1)];
        let then = |steps: &[Step]| judge(&[&opened[..], &[Changes(Aborted(0))], steps].concat());
        assert_eq!(then(&[TakesIn(1), TakesIn(2), Rests]), Ok(()));
        assert!(then(&[TakesIn(2)]).is_err_and(|reason| reason.contains("is next")));
        assert!(then(&[Rests]).is_err_and(|reason| reason.contains("come to rest")));
    }

    /// A version brings back the levels that were open in it.
    #[test]
    fn levels_are_part_of_versions() {
        let mut checker = InProcessLevels::default();
        assert_eq!(
            follow(&mut checker, &[Changes(Opened(0)), Makes(1)]),
            Ok(())
        );
        let metadata = VersionMetadata {
            version: Version(1),
            world_line: WorldLine(0),
            committed: Version::ZERO,
            dependencies: Default::default(),
            channels: Default::default(),
            complete: false,
        };
        let sealed = Fact::Sealed {
            life: LIFE,
            object: ObjectId(0),
            vertex: Some(VertexId(7)),
            metadata: &metadata,
            unfinished_actions: 0,
        };
        let restored = Fact::Restored {
            life: InstanceId(1),
            object: ObjectId(0),
            version: Version(1),
            vertex: Some(VertexId(7)),
            unfinished_actions: 0,
            running_actions: 0,
        };
        let truth = Truth::default();
        assert_eq!(checker.observe(&truth, &sealed), Ok(()));
        assert_eq!(follow(&mut checker, &[Changes(Aborted(0))]), Ok(()));
        assert_eq!(checker.observe(&truth, &restored), Ok(()));
        assert_eq!(checker.lives[&LIFE], Life::default());
        let brought_back = &checker.lives[&InstanceId(1)].uncertain;
        assert_eq!(*brought_back, [Deed::Opened, Deed::Made(ItemId(1))]);
    }
}
