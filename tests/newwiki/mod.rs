//! `newwiki`: on its files alone, and on the sandbox, each test there with a refinery and
//! folders in HDFS of its own.

mod crash;
mod failures;
mod files;
mod look;
mod offline;
mod outage;
mod pairs;
mod relay;
mod review;
pub(crate) mod safe_mode;
mod secrets;
mod stage;
mod sync;
