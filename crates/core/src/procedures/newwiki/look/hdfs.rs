//! The allowlist as HDFS has it.

use crate::actions::hdfs::visible;
use crate::engine::Failure;
use crate::procedures::newwiki::inventory::HdfsAllowlist;
use crate::services::hdfs::{Error, Hdfs};

/// The longest list that is read.
const LONGEST: u64 = 64 << 20;
/// The file's name in the folder.
pub(in super::super) const FILE: &str = "allowlist.tsv";

/// What lies in the table's folder.
pub(in super::super) async fn allowlist(
    hdfs: &Hdfs,
    folder: &str,
) -> Result<HdfsAllowlist, Failure> {
    let listing = match hdfs.list(folder).await {
        Err(Error::NotFound { .. }) => Vec::new(),
        listing => listing?,
    };
    let path = format!("{folder}/{FILE}");
    let file = listing.iter().find(|one| one.path == path && !one.is_dir);
    let bytes = match file {
        None => None,
        Some(_) => Some(hdfs.read_all(&path, LONGEST).await?.to_vec()),
    };
    Ok(HdfsAllowlist {
        visible: visible(&listing),
        mode: file.map_or(0, |file| file.mode),
        path,
        bytes,
    })
}

/// The cluster's id with its block pool's: a cluster that was formatted anew has another.
pub(in super::super) async fn identity(hdfs: &Hdfs) -> Result<String, Failure> {
    let cluster = hdfs.cluster().await?;
    Ok(format!("{}/{}", cluster.cluster_id, cluster.block_pool_id))
}
