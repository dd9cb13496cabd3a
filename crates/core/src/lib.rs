//! opsweek-core.
pub mod actions;
pub mod engine;
pub mod procedures;
pub mod services;
