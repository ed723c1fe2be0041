//! Attribute macros of the crate leap.
