//! The `offboard` tool.
fn main() {}
