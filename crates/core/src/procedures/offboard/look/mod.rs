//! What the look reads in HDFS and in the metastore.

mod hdfs;
mod hive;
mod moving;
mod room;

use super::inventory::TableFound;
pub(super) use hdfs::{hdfs, is_archive_of, restored_from};
pub(super) use hive::{Hive, Own};
pub(super) use room::room;
