//! rollcall.
fn main() {}
