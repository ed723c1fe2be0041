//! Every benchmark of the project in one binary.
fn main() {}
