//! Rule P12: storage refuses every write of an incarnation that has been superseded, and the coordinator lets nobody
//! in from another storage.

use leap_core::{LogRecord, decision::Cause};

use super::{Checker, Fact, require};
use crate::storage;
use crate::truth::Truth;

/// Judges each write that storage takes, and each life that is put on record.
pub(super) struct Fencing;

impl Checker for Fencing {
    fn name(&self) -> &'static str {
        "p12_fencing"
    }

    fn observe(&mut self, _truth: &Truth, fact: &Fact<'_>) -> Result<(), String> {
        if let Fact::Stored {
            object,
            by,
            owner,
            metadata,
            ..
        } = fact
        {
            require!(
                by == owner,
                "storage of {object:?} belongs to {owner:?} and took {:?} from {by:?}",
                metadata.version
            );
        }
        if let Fact::Logged { record, .. } = fact {
            let life = match record {
                LogRecord::Joined {
                    object,
                    incarnation,
                    ..
                }
                | LogRecord::Left {
                    object,
                    incarnation,
                    ..
                } => Some((*object, *incarnation)),
                LogRecord::Decided { decision, .. } => match decision.cause {
                    Cause::Failed { object, successor } => Some((object, successor)),
                    Cause::Removed(_) => None,
                },
            };
            if let Some((object, life)) = life {
                require!(
                    storage::is_of(life, object),
                    "{life:?} of {object:?} is of another storage and was put on record"
                );
            }
        }
        Ok(())
    }
}
