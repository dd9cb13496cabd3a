//! What each system can tell and can change. Services know nothing of plans or procedures.

pub mod dns;
pub mod fleet;
pub mod git;
pub(crate) mod group;
pub mod hdfs;
pub mod metastore;
pub mod sql;
pub mod superset;
pub mod yarn;
