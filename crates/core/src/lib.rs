//! opsweek-core.
pub mod engine;
pub mod procedures;
