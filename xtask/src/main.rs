//! Project tasks: check, fix, test, setup.
fn main() {}
