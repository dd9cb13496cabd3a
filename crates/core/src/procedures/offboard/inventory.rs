//! What a look at a user found.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use super::moving::Moving;
use super::scope::Scope;
use crate::actions::guard::UserName;
use crate::actions::hdfs::Tree;
use crate::actions::hive::{DatabaseEvidence, TableEvidence};
use crate::actions::host::places::Places;
use crate::engine::Gap;
use crate::services::hdfs::Defaults;

/// Whether the admins' data file lists the user.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Account {
    /// `ensure: present`: still active.
    Present,
    /// `ensure: absent`: has left.
    Absent,
    /// Not in the file.
    Unlisted,
    /// The file could not be used; see the gaps.
    Unknown,
}

/// A tree with the newest change in it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Found {
    /// The tree.
    #[serde(flatten)]
    pub tree: Tree,
    /// The newest change of anything in it, in seconds since the epoch.
    pub newest: i64,
}

/// A former archive of the user, or one that was begun.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Archive {
    /// What is there.
    pub tree: Tree,
    /// Whether it says of itself that it is complete.
    pub complete: bool,
    /// The data elsewhere that it records as kept.
    pub kept: Vec<String>,
    /// The number of the last run that has left a record in it.
    pub runs: u32,
    /// Whether it can be gone on with: its records are in their place.
    pub settled: bool,
    /// Whether it holds nothing but the records of a deletion.
    pub deletion: bool,
    /// The places that runs of only some of them have finished.
    pub closed: Scope,
}

/// What is in HDFS.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct HdfsFindings {
    /// Whether the folder of all archives exists.
    pub archive_folder: bool,
    /// The home.
    pub home: Option<Found>,
    /// Those parts of the home, or of an archive that was begun, that are not worth keeping:
    /// trash and staging folders.
    pub parts: Vec<Tree>,
    /// Folders in what is to go that have snapshots allowed.
    pub snapshottable: Vec<String>,
    /// A tree that would leave its encryption zone; or the folder of archives, where that is one
    /// and something would have to be renamed into it.
    pub encrypted: Option<String>,
    /// Archives, newest name last.
    pub archives: Vec<Archive>,
    /// Records of runs that ended before they had moved anything.
    pub stages: Vec<Tree>,
    /// Something in the home where the archive's own records will stand.
    pub reserved: Option<String>,
    /// Records of archives whose restore is not finished.
    pub restoring: Vec<String>,
    /// The home, where HDFS was not asked for and only serves as a target: it stands there.
    pub unmoved: Option<String>,
    /// Data elsewhere that was asked for, and what is there.
    pub included: Vec<(String, Option<Found>)>,
    /// What the cluster's files and its trash are like; only when something is to be done.
    pub defaults: Option<Defaults>,
    /// The quotas of folders that an archive goes to, and of the home that becomes one.
    pub quotas: Vec<Quota>,
    /// What trees weigh that may go there, by path; only where there are quotas.
    pub weights: BTreeMap<String, Weight>,
}

/// What a quota limits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Limit {
    /// Files and folders.
    Names,
    /// Bytes, all replicas counted.
    Space,
}

/// A quota of a folder.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Quota {
    /// The folder.
    pub folder: String,
    /// What is limited.
    pub what: Limit,
    /// The most of it.
    pub limit: u64,
    /// How much of it is used.
    pub used: u64,
}

/// What a tree takes of a quota.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Weight {
    /// Files and folders.
    pub names: u64,
    /// Bytes, all replicas counted.
    pub space: u64,
}

impl HdfsFindings {
    /// Whether nothing can be moved to a trash.
    pub fn trashless(&self) -> bool {
        self.defaults
            .is_some_and(|defaults| defaults.trash_interval == 0)
    }

    /// The trees elsewhere that are there.
    pub fn elsewhere(&self) -> impl Iterator<Item = &Tree> {
        let found = self.included.iter().filter_map(|(_, found)| found.as_ref());
        found.map(|found| &found.tree)
    }

    /// The archive that was begun and is not complete.
    pub fn begun(&self) -> Option<&Archive> {
        self.archives.iter().find(|archive| !archive.complete)
    }
}

/// What a table is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum TableKind {
    /// Its files go with it when Hive drops it.
    Managed,
    /// Its files stay when Hive drops it.
    External,
    /// It has no files.
    View,
    /// Its files are named by metadata files, not by its location.
    Iceberg,
}

/// A table.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct TableFound {
    /// Its database.
    pub database: String,
    /// Its name.
    pub name: String,
    /// What it is.
    pub kind: TableKind,
    /// What identifies it.
    pub was: TableEvidence,
    /// Its location as a path of this HDFS; `None` for views and other file systems.
    pub path: Option<String>,
    /// Its location as the metastore has it.
    pub location: Option<String>,
    /// The size of what is at `path`, where it was measured.
    pub data: Option<Tree>,
}

impl TableFound {
    /// `database.table`.
    pub fn id(&self) -> String {
        format!("{}.{}", self.database, self.name)
    }
}

/// A table or partitions whose files lie inside a user's place although somebody else
/// needs them there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Inside {
    /// The table.
    pub table: TableFound,
    /// The locations inside, the table's or its partitions', as paths.
    pub paths: Vec<String>,
}

/// Somebody else's database whose folder lies in a user's place.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct DatabaseInside {
    /// Its name.
    pub name: String,
    /// Its owner.
    pub owner: String,
    /// Its folder, as a path.
    pub path: String,
}

/// Data of the user's tables that lies elsewhere.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Elsewhere {
    /// The table, or the database whose folder it is.
    pub table: String,
    /// The table's location, a partition's or the database's, as the metastore has it.
    pub location: String,
    /// Its size, where it is in this HDFS and was measured.
    pub data: Option<Tree>,
}

/// A database that the user owns.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct DatabaseFound {
    /// What identifies it.
    pub was: DatabaseEvidence,
    /// Its folder as a path of this HDFS.
    pub path: Option<String>,
    /// The size of what is in its folder; `None` when there is no folder.
    pub data: Option<Found>,
    /// Its tables.
    pub tables: Vec<TableFound>,
    /// How many partitions they have.
    pub partitions: u64,
    /// Why its folder is not the database's alone: another database or table shares it.
    pub shared: Option<String>,
}

/// What is in the metastore.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct HiveFindings {
    /// Databases that the user owns.
    pub databases: Vec<DatabaseFound>,
    /// Tables of the user in others' databases.
    pub tables: Vec<TableFound>,
    /// Tables outside the user's databases whose files are inside the user's places.
    pub inside: Vec<Inside>,
    /// Databases of others whose folders are in the home, or in data elsewhere that is included.
    pub databases_inside: Vec<DatabaseInside>,
    /// Data of tables in the user's databases that is outside the user's places, and of partitions
    /// of the user's other tables that is outside their folders too.
    pub elsewhere: Vec<Elsewhere>,
    /// Views outside the user's databases that name one of them.
    pub views: Vec<String>,
    /// Others' tables that are to leave the user's databases; these are described without them.
    pub moving: Vec<Moving>,
    /// Everybody who owns a database, to find a slip in a name by.
    #[serde(skip)]
    pub owners: BTreeSet<String>,
}

/// Everything that a look found.
#[derive(Clone, Debug, Serialize)]
pub struct Inventory {
    /// The user.
    pub user: UserName,
    /// When the look began, in seconds since the epoch.
    pub now: i64,
    /// What the admins' data file says.
    pub account: Account,
    /// Running YARN applications of the user, where a `ResourceManager` is configured.
    pub applications: Vec<String>,
    /// The places that were asked for.
    pub places: Scope,
    /// HDFS; `None` when it is not configured or could not be looked at.
    pub hdfs: Option<HdfsFindings>,
    /// The metastore; likewise.
    pub hive: Option<HiveFindings>,
    /// The hosts that could be looked at.
    pub hosts: BTreeMap<String, Places>,
    /// What could not be looked at.
    pub gaps: Vec<Gap>,
    /// The identities of the systems that were looked at.
    pub world: BTreeMap<String, String>,
    /// What of an archive is to be restored; only when that was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub restore: Option<super::restore::Findings>,
}

impl Inventory {
    /// Hosts on which somebody is logged in as the user.
    pub fn logins(&self) -> Vec<&str> {
        self.hosts
            .iter()
            .filter(|(_, places)| {
                places
                    .processes
                    .iter()
                    .any(crate::actions::host::places::Process::is_login)
            })
            .map(|(host, _)| host.as_str())
            .collect()
    }
}
