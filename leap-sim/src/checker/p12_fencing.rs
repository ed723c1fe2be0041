//! Rule P12: storage refuses every write of an incarnation that has been superseded.

use super::{Checker, Fact, require};
use crate::truth::Truth;

/// Judges each write that storage takes.
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
        Ok(())
    }
}
