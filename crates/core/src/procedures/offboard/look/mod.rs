//! What the look reads in HDFS and in the metastore.

mod hdfs;
mod hive;

pub(super) use hdfs::hdfs;
pub(super) use hive::Hive;
