//! Lives of objects, and which of them take each other's place (rule P12).

use core::fmt;

use serde::{Deserialize, Serialize};

/// From the lowest bit on: the life, the mark of its claim, the storage.
const LIFE_BITS: u32 = 28;
const MARK_BITS: u32 = 12;
const STORAGE_BITS: u32 = 24;

/// One life of a state object: a fencing token. A newer one shuts the older out.
///
/// Storage counts the lives, and two processes that by mistake host one object in two storages count
/// apart: the larger number says nothing then. So a token also tells its storage, and a mark of its claim,
/// since a storage may have been copied. Lives take each other's place within one storage only.
///
/// So tokens have no order; [`supersedes`](Self::supersedes) is the rule.
///
/// A number up to [`LAST_LIFE`](Self::LAST_LIFE) is a life in a storage without a name, which a later life in any other storage
/// may follow: of journals written before they had names, and of state objects that have no other storage to be mistaken for.
///
/// ```
/// use leap_core::Incarnation;
///
/// let (old, new) = (Incarnation(1), Incarnation(2));
/// assert!(new.supersedes(old), "and storage refuses what the old one writes");
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Incarnation(pub u64);

impl Incarnation {
    /// The last life that a token can name.
    ///
    /// ```
    /// use leap_core::Incarnation;
    ///
    /// assert!(Incarnation::of(7, 0, Incarnation::LAST_LIFE + 1).is_none());
    /// ```
    pub const LAST_LIFE: u64 = (1 << LIFE_BITS) - 1;

    /// The life number `life` of an object in one `storage`. Both that and the `mark`, which no other
    /// claim of the same number may have, are numbers drawn at random; only some of their bits are kept.
    ///
    /// Nothing for a life after [`LAST_LIFE`](Self::LAST_LIFE).
    ///
    /// ```
    /// use leap_core::Incarnation;
    ///
    /// let second = Incarnation::of(0x5eed, 17, 2).unwrap();
    /// assert!(second.supersedes(Incarnation::of(0x5eed, 99, 1).unwrap()));
    /// assert!(!second.supersedes(Incarnation::of(0xfeed, 99, 1).unwrap()), "it is elsewhere");
    /// ```
    #[must_use]
    pub const fn of(storage: u64, mark: u64, life: u64) -> Option<Self> {
        if life > Self::LAST_LIFE {
            return None;
        }
        // Zero is no name.
        let storage = storage % ((1 << STORAGE_BITS) - 1) + 1;
        let mark = mark % (1 << MARK_BITS);
        Some(Self(
            storage << (MARK_BITS + LIFE_BITS) | mark << LIFE_BITS | life,
        ))
    }

    /// Which life of the object in its storage it is; the first is 1.
    ///
    /// ```
    /// use leap_core::Incarnation;
    ///
    /// assert_eq!(Incarnation::of(0x5eed, 17, 2).unwrap().life(), 2);
    /// ```
    #[must_use]
    pub const fn life(self) -> u64 {
        self.0 & Self::LAST_LIFE
    }

    const fn storage(self) -> u64 {
        self.0 >> (MARK_BITS + LIFE_BITS)
    }

    /// Whether it takes the place of `older`: it is a later life in the same storage. If neither of two
    /// different lives does, they are in different storages, and one of them should not be.
    ///
    /// ```
    /// use leap_core::Incarnation;
    ///
    /// let (hotel, copy) = (Incarnation::of(0x5eed, 1, 2).unwrap(), Incarnation::of(0x5eed, 8, 2).unwrap());
    /// assert!(!hotel.supersedes(copy) && !copy.supersedes(hotel));
    /// ```
    #[must_use]
    pub const fn supersedes(self, older: Self) -> bool {
        self.may_hold_what_was_of(older) && self.life() > older.life()
    }

    /// Whether it is in the same storage as a life before it, or in a copy.
    pub(crate) const fn may_hold_what_was_of(self, older: Self) -> bool {
        self.storage() == older.storage() || older.storage() == 0
    }
}

impl fmt::Debug for Incarnation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 >> LIFE_BITS {
            0 => write!(f, "i{}", self.life()),
            place => write!(f, "i{}@{place:x}", self.life()),
        }
    }
}

/// Which life it is, for people.
impl fmt::Display for Incarnation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.life())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(storage: u64, mark: u64, life: u64) -> Incarnation {
        Incarnation::of(storage, mark, life).expect("an early life")
    }

    #[test]
    fn only_later_lives_of_one_storage_take_each_others_place() {
        assert!(of(1, 9, 2).supersedes(of(1, 3, 1)));
        for (one, other) in [
            (of(1, 0, 1), of(1, 0, 1)),
            (of(1, 0, 1), of(1, 1, 1)),
            (of(1, 0, 1), of(2, 0, 2)),
        ] {
            assert!(!one.supersedes(other), "{one:?} {other:?}");
        }
        assert!(!of(2, 0, 2).supersedes(of(1, 0, 1)));
    }

    #[test]
    fn a_storage_without_a_name_is_followed_by_any() {
        assert!(Incarnation(2).supersedes(Incarnation(1)));
        assert!(of(1, 5, 2).supersedes(Incarnation(1)));
        assert!(!of(1, 5, 1).supersedes(Incarnation(1)));
        assert!(!Incarnation(2).supersedes(of(1, 5, 1)));
    }

    #[test]
    fn no_storage_is_without_a_name_and_no_part_leaks_into_another() {
        for number in [0, 1, (1 << STORAGE_BITS) - 1, 1 << STORAGE_BITS, u64::MAX] {
            let token = of(number, number, Incarnation::LAST_LIFE);
            assert_ne!(token.storage(), 0);
            assert_eq!(token.life(), Incarnation::LAST_LIFE);
            assert_eq!(token.storage(), of(number, 0, 1).storage());
        }
        assert_eq!(Incarnation::of(1, 1, Incarnation::LAST_LIFE + 1), None);
    }

    #[test]
    fn people_see_the_life() {
        assert_eq!(of(7, 5, 3).to_string(), "3");
        assert_eq!(format!("{:?}", Incarnation(3)), "i3");
        assert_eq!(format!("{:?}", of(7, 5, 3)), "i3@8005");
    }
}
