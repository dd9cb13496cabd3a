//! Databases, tables and partitions as the rest of the toolkit sees them.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::gen_hive as wire;

/// A database.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Database {
    /// Its name.
    pub name: String,
    /// Its owner; empty when it has none.
    pub owner: String,
    /// What the owner is: `USER`, which is what a metastore means that does not say, `ROLE`,
    /// `GROUP`.
    pub owner_type: String,
    /// Its folder, a full URI.
    pub location: String,
    /// Its comment.
    pub description: String,
    /// Its properties.
    pub parameters: BTreeMap<String, String>,
}

impl Database {
    /// The user who owns it: `None` where a role or a group of that name does, or nobody.
    pub fn user(&self) -> Option<&str> {
        (self.owner_type == "USER" && !self.owner.is_empty()).then_some(&self.owner)
    }

    /// Whether `user` owns it.
    pub fn is_of(&self, user: &str) -> bool {
        self.user() == Some(user)
    }
}

impl From<wire::Database> for Database {
    fn from(database: wire::Database) -> Self {
        Self {
            name: database.name.unwrap_or_default(),
            owner: database.owner_name.unwrap_or_default(),
            owner_type: principal(database.owner_type),
            location: database.location_uri.unwrap_or_default(),
            description: database.description.unwrap_or_default(),
            parameters: database.parameters.unwrap_or_default(),
        }
    }
}

fn principal(kind: Option<wire::PrincipalType>) -> String {
    match kind {
        Some(wire::PrincipalType::ROLE) => "ROLE",
        Some(wire::PrincipalType::GROUP) => "GROUP",
        _ => "USER",
    }
    .to_owned()
}

/// What a table is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Its files belong to Hive.
    Managed,
    /// Its files are somebody else's.
    External,
    /// It has no files.
    View,
    /// Its files are named by its own metadata files.
    Iceberg,
}

/// A table, without what only a restore needs: that is in its [`Definition`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Table {
    /// Its database.
    pub database: String,
    /// Its name.
    pub name: String,
    /// Its owner.
    pub owner: String,
    /// When it was made, in seconds since the epoch.
    pub create_time: i64,
    /// Its folder, a full URI; `None` for views.
    pub location: Option<String>,
    /// The Java class that reads its files.
    pub input_format: Option<String>,
    /// `MANAGED_TABLE`, `EXTERNAL_TABLE`, `VIRTUAL_VIEW`, `MATERIALIZED_VIEW`.
    pub table_type: String,
    /// Its properties.
    pub parameters: BTreeMap<String, String>,
    /// The names of the keys that it is partitioned by; none when it has no partitions.
    pub partition_keys: Vec<String>,
    /// The text of a view.
    pub view: Option<String>,
}

impl Table {
    /// What it is. Iceberg tables say so in a property (Iceberg: `HiveTableOperations`).
    pub fn kind(&self) -> Kind {
        let iceberg = self
            .parameters
            .get("table_type")
            .is_some_and(|kind| kind.eq_ignore_ascii_case("iceberg"));
        if iceberg || self.parameters.contains_key("metadata_location") {
            return Kind::Iceberg;
        }
        match self.table_type.as_str() {
            "VIRTUAL_VIEW" => Kind::View,
            "EXTERNAL_TABLE" => Kind::External,
            _ => Kind::Managed,
        }
    }
}

/// The names of the keys that a table is partitioned by.
pub(super) fn keys(table: &wire::Table) -> Vec<String> {
    let keys = table.partition_keys.iter().flatten();
    keys.map(|key| key.name.clone().unwrap_or_default())
        .collect()
}

impl From<&wire::Table> for Table {
    fn from(table: &wire::Table) -> Self {
        let location = table.sd.as_ref().and_then(|sd| sd.location.clone());
        Self {
            database: table.db_name.clone().unwrap_or_default(),
            name: table.table_name.clone().unwrap_or_default(),
            owner: table.owner.clone().unwrap_or_default(),
            create_time: table.create_time.unwrap_or_default().into(),
            location: location.filter(|location| !location.is_empty()),
            input_format: table.sd.as_ref().and_then(|sd| sd.input_format.clone()),
            table_type: table.table_type.clone().unwrap_or_default(),
            parameters: table.parameters.clone().unwrap_or_default(),
            partition_keys: keys(table),
            view: table.view_expanded_text.clone(),
        }
    }
}

/// A partition, as far as its files go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PartitionFolder {
    /// Its name: `year=2023/month=12`.
    pub name: String,
    /// Its folder, a full URI.
    pub location: Option<String>,
}

/// A partition.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Partition {
    /// Its name: `year=2023/month=12`.
    pub name: String,
    /// Its folder, a full URI.
    pub location: Option<String>,
    /// Its properties.
    pub parameters: BTreeMap<String, String>,
    /// All of it, as thrift's binary protocol has it, in base64.
    pub thrift: String,
}

/// All that is needed to make a table again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Definition {
    /// The table's database.
    pub database: String,
    /// Its name.
    pub name: String,
    /// Its owner.
    pub owner: String,
    /// `MANAGED_TABLE`, `EXTERNAL_TABLE`, `VIRTUAL_VIEW`, ...
    pub table_type: String,
    /// Its folder, a full URI.
    pub location: Option<String>,
    /// Its properties.
    pub parameters: BTreeMap<String, String>,
    /// The statement that would make it, for people.
    pub ddl: String,
    /// All of it, as thrift's binary protocol has it, in base64: exact.
    pub thrift: String,
}

/// Where a table or one of its partitions has its files.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Location {
    /// The table's database.
    pub database: String,
    /// The table.
    pub table: String,
    /// A full URI.
    pub location: String,
}
