//! opsweek-core.
