//! The services from outside: through their public interface, with crashes.

mod apart;
mod hostile;
mod kv;
mod log;
mod workflow;
mod world;
