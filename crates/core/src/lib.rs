//! opsweek-core.

pub mod services;
