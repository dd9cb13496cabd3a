//! opsweek-sandbox.
pub mod hosts;
pub mod process;
