//! State objects that come with Leap.
//!
//! | module | is |
//! |---|---|
//! | [`log`] | a log: append, read from an offset, wait for more, trim |
//! | [`kv`] | a key-value store: get, put, delete, compare and swap, scan |
//! | [`workflow`] | an engine that runs async Rust functions to their end, whatever crashes |
//!
//! Each is an ordinary state object on the public interface of the crate `leap`; none knows another's
//! insides. All of them run with speculation or without ([`leap::Speculation`]): without, every step
//! waits until what it follows from is durable.

#![warn(missing_docs, clippy::missing_errors_doc)]

pub mod kv;
pub mod log;
mod payload;
pub mod workflow;

pub use payload::Payload;
