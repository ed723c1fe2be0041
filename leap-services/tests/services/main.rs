//! The services from outside: through their public interface, with crashes.

mod apart;
mod kv;
mod log;
mod workflow;
mod world;
