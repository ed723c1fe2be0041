//! The speculative-execution protocol as a sans-IO state machine.
