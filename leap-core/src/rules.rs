//! Switches that turn single protocol rules off, so that the simulator can prove that its checkers
//! notice (the canary). Outside of that feature every rule holds and none can be switched off.

/// Which protocol rules are obeyed. [`Rules::default`] obeys all.
///
/// ```
/// use leap_core::{Observer, Rules};
///
/// assert_eq!(Observer::new(Rules::default()), Observer::default());
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Rules {
    /// P4: seal before consuming from a higher version.
    pub(crate) commit_ordering: bool,
    /// P5: consume only at equal world-lines.
    pub(crate) recovery_partition: bool,
    /// P8: release only what is inside the boundary.
    pub(crate) release: bool,
    /// P10: log a decision durably before anyone acts on it.
    pub(crate) log_before_release: bool,
    /// P10: wait until all have entered the new world-line.
    pub(crate) acknowledgement: bool,
    /// P12: refuse older incarnations.
    pub(crate) fencing: bool,
    /// P16: hold what is made in an open level.
    pub(crate) holding: bool,
    /// P16: give back what was consumed in an aborted level.
    pub(crate) redelivery: bool,
}

impl Default for Rules {
    fn default() -> Self {
        Self {
            commit_ordering: true,
            recovery_partition: true,
            release: true,
            log_before_release: true,
            acknowledgement: true,
            fencing: true,
            holding: true,
            redelivery: true,
        }
    }
}

/// A rule that the simulator can switch off.
///
/// ```
/// use leap_core::{Rule, Rules};
///
/// assert_ne!(Rules::without(Rule::P4), Rules::default());
/// ```
#[cfg(feature = "canary")]
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Rule {
    /// Commit ordering.
    P4,
    /// Recovery partition.
    P5,
    /// Release.
    P8,
    /// Decide, log, release.
    P10,
    /// The same: its acknowledgement.
    P10Acknowledgement,
    /// Fencing.
    P12,
    /// In-process levels: what is held.
    P16,
    /// The same: what is delivered again.
    P16Redelivery,
}

#[cfg(feature = "canary")]
impl Rules {
    /// All rules but `rule`. For the simulator's canaries only.
    ///
    /// ```
    /// use leap_core::{Rule, Rules};
    ///
    /// assert_ne!(Rules::without(Rule::P4), Rules::default());
    /// ```
    #[must_use]
    pub fn without(rule: Rule) -> Self {
        let mut rules = Self::default();
        match rule {
            Rule::P4 => rules.commit_ordering = false,
            Rule::P5 => rules.recovery_partition = false,
            Rule::P8 => rules.release = false,
            Rule::P10 => rules.log_before_release = false,
            Rule::P10Acknowledgement => rules.acknowledgement = false,
            Rule::P12 => rules.fencing = false,
            Rule::P16 => rules.holding = false,
            Rule::P16Redelivery => rules.redelivery = false,
        }
        rules
    }
}
