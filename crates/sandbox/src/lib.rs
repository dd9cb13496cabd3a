//! opsweek-sandbox.
pub mod hosts;
