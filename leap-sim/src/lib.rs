//! Deterministic simulation of the protocol: one seed, one run, one checker per rule.
