//! The runtime under faults: real hosts, objects and coordinator in one process, on a virtual clock.

mod calls;
mod channels;
mod chaos;
mod coordinator;
mod fencing;
mod idempotency;
mod rollback;
mod services;
mod sthreads;
mod storage;
