//! Levels of speculation inside one object: what it makes in an open level leaves it only when that is
//! certain, and what it consumed there comes again if it is not (rule P16).
//!
//! A process speculates for itself as well: it opens a level, goes on, and commits the level or aborts
//! it. Levels nest. To abort one is to undo it and every newer one; to commit one makes it part of the
//! level around it, and newer ones stay open.
//!
//! This is all that stands between the object and its [`Participant`](crate::Participant), which knows
//! nothing of levels:
//!
//! ```text
//!               receive                  consume
//! participant ──────────► what waits ─────────────► object ── hold ──► participant (no level is open)
//!      ▲                      ▲                       │
//!      │ commit               │ abort                 ▼
//!      └──────────────────────┴──────── level 0 │ level 1 │ … newest
//! ```
//!
//! It does not know the object's state: whoever runs the object undoes that, and counts levels alike.
//!
//! # What a version contains
//!
//! A version may be sealed while a level is open. Then `Levels` is part of the state that is stored with it, like
//! whatever is needed to undo the state: what is held has no number in any channel yet, and what was consumed is consumed
//! for the participant, which will not deliver it again. So a rollback or a crash brings open levels back as they were.
//!
//! # Dependencies
//!
//! The open version comes to depend on a message when the participant delivers it (rule P3), not when the object
//! consumes it, and an abort does not take that back: the message waits here, and is part of every later state.
//! What a level held is sent in the version in which it commits, on which its receivers then depend; all that it was
//! made from is in that version's past. So a dependency may be one too many, never one too few.
//!
//! An sthread that detaches from the object is a send that cannot be held: it must not while a level is open.
//!
//! # Invariants
//!
//! - What was consumed in the open levels, the oldest first, and then what waits, is what was received and is not yet
//!   consumed for good, in the order in which it was received.
//! - What the open levels hold, the oldest first, is in the order in which it was made.
//! - What is made outside of all levels is not kept here at all.
//!
//! # Example
//!
//! ```
//! use leap_core::levels::{Levels, NoLevel};
//!
//! let mut levels = Levels::new();
//! assert_eq!(levels.hold("a line before any level"), Some("a line before any level"));
//!
//! let level = levels.speculate();
//! levels.receive("a question");
//! assert_eq!(levels.consume(), Some("a question"));
//! assert_eq!(levels.hold("a wrong answer"), None);
//! levels.abort(level)?;
//!
//! let level = levels.speculate();
//! assert_eq!(levels.consume(), Some("a question"));
//! assert_eq!(levels.hold("an answer"), None);
//! assert_eq!(levels.commit(level)?, ["an answer"]);
//! # Ok::<(), NoLevel>(())
//! ```

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::rules::Rules;

#[cfg(test)]
mod tests;

/// There is no such open level.
///
/// ```
/// use leap_core::levels::{Levels, NoLevel};
///
/// let mut levels = Levels::<(), ()>::new();
/// assert_eq!(levels.abort(0), Err(NoLevel { level: 0, open: 0 }));
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Error)]
#[error("level {level} is not open, {open} levels are")]
pub struct NoLevel {
    /// The level asked for, counted from 0.
    pub level: usize,
    /// How many are open.
    pub open: usize,
}

/// The open levels of one object, with what they hold of type `T` (sends and outputs) and have consumed
/// of type `M` (messages), and the messages that wait to be consumed. See the [module documentation](self).
///
/// Levels are counted from 0, the outermost. A number says where a level is, not which one it is: when an
/// older one is committed, the newer ones are renumbered.
///
/// Every value of this type is a possible one, whatever it was decoded from.
///
/// ```
/// use leap_core::levels::Levels;
///
/// let mut levels = Levels::<&str, ()>::new();
/// let outer = levels.speculate();
/// levels.hold("first");
/// let inner = levels.speculate();
/// levels.hold("second");
/// // The older one becomes part of what is around it, and the newer one takes its number.
/// assert_eq!(levels.commit(outer)?, ["first"]);
/// assert_eq!(levels.commit(inner - 1)?, ["second"]);
/// # Ok::<(), leap_core::levels::NoLevel>(())
/// ```
#[derive(Clone, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub struct Levels<T, M> {
    #[serde(skip)]
    rules: Rules,
    open: Vec<Level<T, M>>,
    /// Received, or consumed and given back by an abort; the oldest first.
    waiting: VecDeque<M>,
}

/// One open level, without those inside it.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
struct Level<T, M> {
    held: Vec<T>,
    consumed: Vec<M>,
}

impl<T, M> Default for Levels<T, M> {
    fn default() -> Self {
        Self::new()
    }
}

/// Building one, and asking it.
impl<T, M> Levels<T, M> {
    /// No open level, and nothing received.
    ///
    /// ```
    /// use leap_core::levels::Levels;
    ///
    /// let levels = Levels::<String, String>::new();
    /// assert_eq!((levels.open(), levels.waiting()), (0, 0));
    /// ```
    pub fn new() -> Self {
        Self {
            rules: Rules::default(),
            open: Vec::new(),
            waiting: VecDeque::new(),
        }
    }

    /// Obeys `rules` instead of all; for the simulator.
    ///
    /// ```
    /// use leap_core::{Rules, levels::Levels};
    ///
    /// let mut levels = Levels::<(), ()>::new().with_rules(Rules::default());
    /// levels.speculate();
    /// // As everywhere but in a simulation that wants to see it go wrong.
    /// assert_eq!(levels.hold(()), None);
    /// ```
    #[must_use]
    pub fn with_rules(mut self, rules: Rules) -> Self {
        self.rules = rules;
        self
    }

    /// How many levels are open.
    ///
    /// ```
    /// use leap_core::levels::Levels;
    ///
    /// let mut levels = Levels::<(), ()>::new();
    /// levels.speculate();
    /// levels.speculate();
    /// assert_eq!(levels.open(), 2);
    /// ```
    pub fn open(&self) -> usize {
        self.open.len()
    }

    /// How many messages wait to be consumed.
    ///
    /// ```
    /// use leap_core::levels::Levels;
    ///
    /// let mut levels = Levels::<(), _>::new();
    /// levels.receive("a question");
    /// assert_eq!(levels.waiting(), 1);
    /// ```
    pub fn waiting(&self) -> usize {
        self.waiting.len()
    }
}

/// What passes through.
impl<T, M> Levels<T, M> {
    /// The object makes something for others: keeps it in the newest open level, or hands it back to be given to
    /// the participant at once if there is none (rule P16).
    ///
    /// ```
    /// use leap_core::levels::Levels;
    ///
    /// let mut levels = Levels::<_, ()>::new();
    /// // To be sent now …
    /// assert_eq!(levels.hold("a line"), Some("a line"));
    /// levels.speculate();
    /// // … and to be kept.
    /// assert_eq!(levels.hold("another"), None);
    /// ```
    #[must_use = "what is handed back is not held by anybody"]
    pub fn hold(&mut self, made: T) -> Option<T> {
        match self.open.last_mut() {
            Some(newest) if self.rules.holding => {
                newest.held.push(made);
                None
            }
            _ => Some(made),
        }
    }

    /// The participant delivers a message, to be consumed after all that waits already.
    ///
    /// ```
    /// use leap_core::levels::Levels;
    ///
    /// let mut levels = Levels::<(), _>::new();
    /// levels.receive(1);
    /// levels.receive(2);
    /// assert_eq!((levels.consume(), levels.consume()), (Some(1), Some(2)));
    /// ```
    pub fn receive(&mut self, message: M) {
        self.waiting.push_back(message);
    }

    /// The object consumes the next message, if one waits.
    ///
    /// ```
    /// use leap_core::levels::Levels;
    ///
    /// let mut levels = Levels::<(), _>::new();
    /// levels.receive("a question");
    /// let level = levels.speculate();
    /// assert_eq!(levels.consume(), Some("a question"));
    /// assert_eq!(levels.consume(), None);
    /// levels.abort(level)?;
    /// assert_eq!(levels.consume(), Some("a question"));
    /// # Ok::<(), leap_core::levels::NoLevel>(())
    /// ```
    pub fn consume(&mut self) -> Option<M>
    where
        M: Clone,
    {
        let message = self.waiting.pop_front()?;
        if let Some(newest) = self.open.last_mut() {
            newest.consumed.push(message.clone());
        }
        Some(message)
    }
}

/// Opening and closing levels.
impl<T, M> Levels<T, M> {
    /// Opens a level inside all that are open, and answers its number.
    ///
    /// ```
    /// use leap_core::levels::Levels;
    ///
    /// let mut levels = Levels::<(), ()>::new();
    /// assert_eq!((levels.speculate(), levels.speculate()), (0, 1));
    /// ```
    pub fn speculate(&mut self) -> usize {
        self.open.push(Level {
            held: Vec::new(),
            consumed: Vec::new(),
        });
        self.open.len() - 1
    }

    /// Closes `level` and keeps what was done in it, as part of the level around it; newer levels stay open, renumbered.
    /// Answers what is to be given to the participant now, in the order in which it was made: nothing unless `level` is
    /// the outermost.
    ///
    /// # Errors
    ///
    /// [`NoLevel`] if it is not open; nothing has changed then.
    ///
    /// ```
    /// use leap_core::levels::Levels;
    ///
    /// let mut levels = Levels::<_, ()>::new();
    /// let outer = levels.speculate();
    /// let inner = levels.speculate();
    /// levels.hold("a line");
    /// assert!(levels.commit(inner)?.is_empty());
    /// assert_eq!(levels.commit(outer)?, ["a line"]);
    /// assert!(levels.commit(outer).is_err());
    /// # Ok::<(), leap_core::levels::NoLevel>(())
    /// ```
    #[must_use = "what it answers is not held by anybody any more"]
    pub fn commit(&mut self, level: usize) -> Result<Vec<T>, NoLevel> {
        self.check(level)?;
        let committed = self.open.remove(level);
        let around = level.checked_sub(1).map(|around| &mut self.open[around]);
        let Some(around) = around else {
            // What it consumed is consumed for good.
            return Ok(committed.held);
        };
        around.held.extend(committed.held);
        around.consumed.extend(committed.consumed);
        Ok(Vec::new())
    }

    /// Closes `level` and every newer one: what they hold was never made, and what was consumed in them waits again,
    /// before all that was received later (rule P16).
    ///
    /// # Errors
    ///
    /// [`NoLevel`] if it is not open; nothing has changed then.
    ///
    /// ```
    /// use leap_core::levels::Levels;
    ///
    /// let mut levels = Levels::<_, ()>::new();
    /// let outer = levels.speculate();
    /// levels.speculate();
    /// levels.hold("a line");
    /// levels.abort(outer)?;
    /// // The newer one is gone as well.
    /// assert_eq!(levels.open(), 0);
    /// # Ok::<(), leap_core::levels::NoLevel>(())
    /// ```
    pub fn abort(&mut self, level: usize) -> Result<(), NoLevel> {
        self.check(level)?;
        let aborted = self.open.split_off(level);
        if self.rules.redelivery {
            let consumed = aborted.into_iter().flat_map(|level| level.consumed);
            let later = std::mem::take(&mut self.waiting);
            self.waiting = consumed.chain(later).collect();
        }
        Ok(())
    }

    fn check(&self, level: usize) -> Result<(), NoLevel> {
        match self.open.len() {
            open if level < open => Ok(()),
            open => Err(NoLevel { level, open }),
        }
    }
}
