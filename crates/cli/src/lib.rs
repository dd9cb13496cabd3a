//! opsweek-cli.
