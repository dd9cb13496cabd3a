//! What HDFS says about a path.

use hdfs_native::client::{ContentSummary, FileStatus};
use serde::{Deserialize, Serialize};

/// One file or folder. Hadoop 3 tells whether it has an ACL or is encrypted in flags that the
/// client library does not pass on: see [`acl`](super::Hdfs::acl) and
/// [`encrypted`](super::Hdfs::encrypted).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Status {
    /// Absolute path.
    pub path: String,
    /// Whether it is a folder.
    pub is_dir: bool,
    /// Length in bytes of one replica; 0 for a folder.
    pub len: u64,
    /// Owner, a name that need not exist.
    pub owner: String,
    /// Group, a name that need not exist.
    pub group: String,
    /// Permission and sticky bits, at most `0o7777`. With an ACL the group bits are its mask.
    pub mode: u16,
    /// Last change, in milliseconds since 1970-01-01 UTC. A folder's changes when a child comes or
    /// goes, not when a child changes.
    pub modified_ms: u64,
    /// Wanted number of replicas; 0 for a folder.
    pub replication: u32,
}

impl From<FileStatus> for Status {
    fn from(status: FileStatus) -> Self {
        Self {
            is_dir: status.isdir,
            len: status.length as u64,
            owner: status.owner,
            group: status.group,
            mode: status.permission & 0o7777,
            modified_ms: status.modification_time,
            replication: status.replication.unwrap_or_default(),
            path: status.path,
        }
    }
}

/// Totals of a tree, counted by the `NameNode`. Files that live only in snapshots count too.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Summary {
    /// Files.
    pub files: u64,
    /// Folders, the root of the tree included.
    pub folders: u64,
    /// Bytes of one replica of every file.
    pub bytes: u64,
    /// Bytes of all replicas.
    pub bytes_replicated: u64,
    /// Most names (files and folders, itself included) the folder may hold, if limited.
    pub quota: Option<u64>,
    /// Most bytes, counting all replicas, the folder may hold, if limited.
    pub space_quota: Option<u64>,
}

impl From<ContentSummary> for Summary {
    fn from(summary: ContentSummary) -> Self {
        // No quota is -1, which arrives as an unsigned number.
        let limit = |quota: u64| (quota != u64::MAX).then_some(quota);
        Self {
            files: summary.file_count,
            folders: summary.directory_count,
            bytes: summary.length,
            bytes_replicated: summary.space_consumed,
            quota: limit(summary.quota),
            space_quota: limit(summary.space_quota),
        }
    }
}
