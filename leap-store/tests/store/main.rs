//! The store, from outside: one suite on every medium, and what only one medium can suffer.

mod behaviour;
mod compatibility;
mod crash;
mod failure;
mod locking;
mod model;
mod places;
mod servers;
