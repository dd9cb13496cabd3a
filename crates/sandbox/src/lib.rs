//! opsweek-sandbox.
