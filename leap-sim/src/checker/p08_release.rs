//! Rule P8: nothing leaves for the outside world before all that it depends on is inside the boundary.

use super::{Checker, Fact, require};
use crate::truth::Truth;

/// Judges each release against storage as it is at that moment.
pub(super) struct Release;

impl Checker for Release {
    fn name(&self) -> &'static str {
        "p08_release"
    }

    fn observe(&mut self, truth: &Truth, fact: &Fact<'_>) -> Result<(), String> {
        if let Fact::Released { depends_on } = fact {
            let outside = truth.outside(depends_on);
            require!(
                outside.is_none(),
                "something was released that depends on {:?}",
                outside.map(|outside| &truth[outside])
            );
        }
        Ok(())
    }
}
