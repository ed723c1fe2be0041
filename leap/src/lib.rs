//! Write services that never wait for the disk: state objects, actions, speculative threads, barriers.
