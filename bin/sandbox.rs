//! The `sandbox` tool.
fn main() {}
