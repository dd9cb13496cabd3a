//! opsweek-core.
pub mod engine;
pub mod procedures;
pub mod services;
