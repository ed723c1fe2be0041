//! Numbers that nobody else draws.

use std::hash::{BuildHasher as _, RandomState};

/// The standard library seeds its hashers at random. Never 0.
pub(crate) fn draw() -> u64 {
    RandomState::new().hash_one(std::process::id()).max(1)
}
