//! opsweek-sandbox.
pub mod process;
