//! `newwiki` on the sandbox, each test with a refinery and folders in HDFS of its own.

mod crash;
mod failures;
mod look;
mod review;
mod stage;
mod sync;
