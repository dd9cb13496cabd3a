//! Changes of the Hive metastore. None of them ever lets it delete a file.

use std::fmt::Write as _;

use futures::TryStreamExt;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::guard::{lies_in, path_fault};
use super::lines::{Lines, body, both};
use super::move_table::MoveTable;
use super::restore::database::CreateDatabase;
use super::{Artefact, World, recorded};
use crate::engine::plan::sha256_hex;
use crate::engine::{Cx, Failure, State};
use crate::services::hdfs::{Existing, Hdfs};
use crate::services::metastore::{Database, Metastore, Table};

/// What identifies a table: one of the same name that was made later is another.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TableEvidence {
    /// Its owner.
    pub owner: String,
    /// When it was made, in seconds since the epoch.
    pub created: i64,
    /// Its location as the metastore has it; views have none.
    pub location: Option<String>,
}

impl TableEvidence {
    /// Of this table.
    pub fn of(table: &Table) -> Self {
        Self {
            owner: table.owner.clone(),
            created: table.create_time,
            location: table.location.clone(),
        }
    }
}

/// What identifies a database and the set of its tables.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DatabaseEvidence {
    /// Its name.
    pub name: String,
    /// The user who owns it; empty where a role or a group does.
    pub owner: String,
    /// Its location as the metastore has it.
    pub location: String,
    /// How many tables it has.
    pub tables: u64,
    /// A digest of the names and times of creation of its tables.
    pub schema: String,
    /// When the newest of them was made, in seconds since the epoch; 0 without any.
    pub newest: i64,
}

impl DatabaseEvidence {
    /// Of this database with these tables.
    pub fn of(database: &Database, tables: &[Table]) -> Self {
        let tables = tables.iter();
        Self::with(
            database,
            tables.map(|table| (table.name.as_str(), table.create_time)),
        )
    }

    /// Of this database with tables of these names and times of creation.
    pub fn with<'a>(database: &Database, tables: impl Iterator<Item = (&'a str, i64)>) -> Self {
        let mut newest = 0;
        let mut lines: Vec<String> = tables
            .map(|(name, created)| {
                newest = created.max(newest);
                format!("{name}\0{created}\0")
            })
            .collect();
        lines.sort();
        Self {
            name: database.name.clone(),
            owner: database.user().unwrap_or_default().to_owned(),
            location: database.location.clone(),
            tables: lines.len() as u64,
            schema: sha256_hex(lines.concat().as_bytes()),
            newest,
        }
    }

    /// Whether it is what a drop that was cut short left of `was`: some of the tables are gone, and
    /// none was made since.
    fn is_rest_of(&self, was: &Self) -> bool {
        let same = (&self.name, &self.owner, &self.location);
        same == (&was.name, &was.owner, &was.location)
            && self.tables < was.tables
            && self.newest <= was.newest
    }
}

/// One change of the metastore.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "verb", rename_all = "snake_case", deny_unknown_fields)]
pub enum Action {
    /// Writes a manifest: a compressed line of JSON for every database, table, partition.
    Record {
        /// Databases with all that is in them.
        databases: Vec<String>,
        /// Single tables: database, name.
        tables: Vec<(String, String)>,
        /// The manifest.
        to: Artefact,
    },
    /// Points a table and its partitions to where their files were moved.
    Relocate {
        /// The table's database.
        database: String,
        /// The table.
        table: String,
        /// The moves, as HDFS paths: from, to.
        moves: Vec<(String, String)>,
        /// The table as it was found.
        was: TableEvidence,
    },
    /// Gives a table to somebody else.
    ChangeOwner {
        /// The table's database.
        database: String,
        /// The table.
        table: String,
        /// Who has it now.
        from: String,
        /// Who shall have it.
        to: String,
        /// The table as it was found.
        was: TableEvidence,
    },
    /// Drops a database with its tables; files stay where they are.
    DropDatabase {
        /// The database as it was found.
        was: DatabaseEvidence,
        /// The record of its definitions.
        proof: String,
    },
    /// Makes a database again, with all that was in it.
    CreateDatabase(CreateDatabase),
    /// Moves somebody's table to another database.
    MoveTable(MoveTable),
}

impl Action {
    pub(super) async fn observe(&self, world: &World) -> Result<State, Failure> {
        let metastore = world.metastore()?;
        match self {
            Self::Record { to, .. } => {
                let hdfs = world.hdfs()?;
                if to.find(hdfs).await?.is_some() {
                    return Ok(State::Done);
                }
                super::hdfs::made_in(hdfs, &to.staged).await
            }
            Self::Relocate {
                database,
                table,
                moves,
                was,
            } => {
                let now = match same(metastore, database, table, was).await? {
                    Ok(now) => now,
                    Err(why) => return Ok(State::Drifted(why)),
                };
                let hdfs = world.hdfs()?;
                let old: Vec<&str> = moves.iter().map(|(from, _)| from.as_str()).collect();
                if !points_into(metastore, &now, &old).await? {
                    return Ok(State::Done);
                }
                for (_, to) in moves {
                    if hdfs.stat(to).await?.is_none() {
                        return Ok(State::Waiting(to.clone()));
                    }
                }
                Ok(State::Pending)
            }
            Self::ChangeOwner {
                database,
                table,
                to,
                was,
                ..
            } => {
                let now = match same(metastore, database, table, was).await? {
                    Ok(now) => now,
                    Err(why) => return Ok(State::Drifted(why)),
                };
                Ok(if now.owner == *to {
                    State::Done
                } else if now.owner == was.owner {
                    State::Pending
                } else {
                    State::Drifted(format!("{database}.{table} is {}'s by now", now.owner))
                })
            }
            Self::DropDatabase { was, proof } => {
                let Some(database) = metastore.database(&was.name).await? else {
                    return Ok(State::Done);
                };
                if world.hdfs()?.stat(proof).await?.is_none() {
                    return Ok(State::Waiting(proof.clone()));
                }
                let names = metastore.table_names(&was.name).await?;
                let tables = metastore.tables(&was.name, &names).await?;
                let now = DatabaseEvidence::of(&database, &tables);
                let others = tables.iter().find(|table| table.owner != was.owner);
                Ok(if let Some(table) = others {
                    let (name, owner) = (&table.name, &table.owner);
                    State::Drifted(format!("{}.{name} is {owner}'s by now", was.name))
                } else if now == *was || now.is_rest_of(was) {
                    let hdfs = world.hdfs()?;
                    match recorded::change(hdfs, metastore, &was.name, &names, proof).await? {
                        None => State::Pending,
                        Some(what) => State::Drifted(format!(
                            "{what} has changed since it was recorded: plan again"
                        )),
                    }
                } else {
                    State::Drifted(format!("database {} has changed", was.name))
                })
            }
            Self::CreateDatabase(action) => action.observe(world).await,
            Self::MoveTable(action) => action.observe(world).await,
        }
    }

    pub(super) async fn apply(&self, world: &World, cx: &Cx) -> Result<Value, Failure> {
        let metastore = world.metastore()?;
        match self {
            Self::Record {
                databases,
                tables,
                to,
            } => {
                let hdfs = world.hdfs()?;
                world.guard.hdfs(&to.staged)?;
                record(metastore, hdfs, databases, tables, &to.staged, cx).await
            }
            Self::Relocate {
                database,
                table,
                moves,
                ..
            } => {
                let mut changed = 0;
                for (from, to) in moves {
                    world.guard.hdfs(to)?;
                    changed += metastore
                        .change_table_location(database, table, from, to)
                        .await?;
                }
                Ok(json!({ "locations": changed }))
            }
            Self::ChangeOwner {
                database,
                table,
                to,
                ..
            } => {
                metastore.change_table_owner(database, table, to).await?;
                Ok(Value::Null)
            }
            Self::DropDatabase { was, proof } => {
                world.guard.database(&was.name)?;
                if world.hdfs()?.stat(proof).await?.is_none() {
                    return Err(Failure::drifted(format!("the proof {proof} is gone")));
                }
                metastore.drop_database(&was.name).await?;
                Ok(Value::Null)
            }
            Self::CreateDatabase(action) => action.apply(world, cx).await,
            Self::MoveTable(action) => action.apply(world).await.map(|()| Value::Null),
        }
    }

    pub(super) fn summary(&self) -> String {
        match self {
            Self::Record {
                databases,
                tables,
                to,
            } => {
                let mut what = String::new();
                if !databases.is_empty() {
                    let _ = write!(what, " of the databases {}", databases.join(", "));
                }
                if !tables.is_empty() {
                    let names: Vec<String> = tables
                        .iter()
                        .map(|(db, table)| format!("{db}.{table}"))
                        .collect();
                    let _ = write!(what, " of the tables {}", names.join(", "));
                }
                format!("record all definitions{what} in {}", to.settled)
            }
            Self::Relocate {
                database,
                table,
                moves,
                ..
            } => {
                let to: Vec<&str> = moves.iter().map(|(_, to)| to.as_str()).collect();
                format!("point {database}.{table} to {}", to.join(", "))
            }
            Self::ChangeOwner {
                database,
                table,
                from,
                to,
                ..
            } => format!("give {database}.{table} of {from} to {to}"),
            Self::DropDatabase { was, .. } => format!(
                "drop the database {} and its {} tables; no file is deleted",
                was.name, was.tables
            ),
            Self::CreateDatabase(action) => action.summary(),
            Self::MoveTable(action) => action.summary(),
        }
    }

    pub(super) fn targets(&self) -> Vec<String> {
        match self {
            Self::Record { to, .. } => vec![format!("hdfs:{}", to.settled)],
            Self::Relocate {
                database, table, ..
            } => vec![format!("hive:location of {database}.{table}")],
            Self::ChangeOwner {
                database, table, ..
            } => vec![format!("hive:owner of {database}.{table}")],
            Self::DropDatabase { was, .. } => vec![format!("hive:{}", was.name)],
            Self::CreateDatabase(action) => vec![format!("hive:{}", action.name)],
            Self::MoveTable(action) => action.targets(),
        }
    }

    pub(super) fn destroys(&self) -> Option<Vec<String>> {
        match self {
            Self::DropDatabase { proof, .. } => Some(vec![proof.clone()]),
            _ => None,
        }
    }

    pub(super) fn proves(&self) -> Vec<String> {
        match self {
            Self::Record { to, .. } => vec![to.settled.clone()],
            _ => Vec::new(),
        }
    }

    pub(super) fn faults(&self) -> Vec<String> {
        let paths: Vec<&str> = match self {
            Self::Record { to, .. } => vec![&to.staged, &to.settled],
            Self::Relocate { moves, .. } => moves
                .iter()
                .flat_map(|(from, to)| [from.as_str(), to])
                .collect(),
            Self::ChangeOwner { .. } => Vec::new(),
            Self::DropDatabase { proof, .. } => vec![proof],
            Self::CreateDatabase(action) => action.paths(),
            Self::MoveTable(action) => action.paths(),
        };
        paths.into_iter().filter_map(path_fault).collect()
    }
}

/// The table, if it is still the one that was planned on; else why not.
pub(super) async fn same(
    metastore: &Metastore,
    database: &str,
    table: &str,
    was: &TableEvidence,
) -> Result<Result<Table, String>, Failure> {
    Ok(match metastore.table(database, table).await? {
        None => Err(format!("{database}.{table} is gone")),
        Some(now) if now.create_time != was.created => {
            Err(format!("{database}.{table} was dropped and made again"))
        }
        Some(now) => Ok(now),
    })
}

/// Whether the table or one of its partitions has its files under one of `folders`.
pub(super) async fn points_into(
    metastore: &Metastore,
    table: &Table,
    folders: &[&str],
) -> Result<bool, Failure> {
    let inside = |location: Option<&str>| {
        let path = location.and_then(path_of);
        path.is_some_and(|path| folders.iter().any(|folder| lies_in(path, folder)))
    };
    if inside(table.location.as_deref()) {
        return Ok(true);
    }
    let folders = metastore.partition_folders(&table.database, &table.name, &table.partition_keys);
    let mut folders = std::pin::pin!(folders);
    while let Some(partition) = folders.try_next().await? {
        if inside(partition.location.as_deref()) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// The path in a location: of `hdfs://nn:8020/user/elvis`, `/user/elvis`. `None` for other
/// file systems.
pub fn path_of(location: &str) -> Option<&str> {
    let path = match location.split_once("://") {
        Some(("hdfs" | "viewfs", rest)) => &rest[rest.find('/')?..],
        Some(_) => return None,
        None => location,
    };
    path.starts_with('/')
        .then(|| match path.trim_end_matches('/') {
            "" => "/",
            path => path,
        })
}

async fn record(
    metastore: &Metastore,
    hdfs: &Hdfs,
    databases: &[String],
    tables: &[(String, String)],
    to: &str,
    cx: &Cx,
) -> Result<Value, Failure> {
    let (mut lines, source) = Lines::new()?;
    let produce = async {
        let produced = record_lines(metastore, databases, tables, &mut lines, cx).await;
        lines.end(produced).await
    };
    let write = hdfs.write(to, 0o640, Existing::Refuse, body(source));
    let (produced, written) = tokio::join!(produce, write);
    let (count, written) = both(produced, written)?;
    Ok(json!({ "definitions": count, "bytes": written.bytes, "sha256": written.sha256 }))
}

async fn record_lines(
    metastore: &Metastore,
    databases: &[String],
    tables: &[(String, String)],
    lines: &mut Lines,
    cx: &Cx,
) -> Result<(), Failure> {
    for name in databases {
        let Some(database) = metastore.database(name).await? else {
            return Err(Failure::drifted(format!("database {name} is gone")));
        };
        let thrift = metastore.database_thrift(name).await?;
        lines
            .line(&json!({ "database": database, "thrift": thrift }))
            .await?;
        for table in metastore.table_names(name).await? {
            record_table(metastore, name, &table, lines, cx).await?;
        }
        for function in metastore.functions_thrift(name).await? {
            lines
                .line(&json!({ "database": name, "function": function }))
                .await?;
        }
    }
    for (database, table) in tables {
        record_table(metastore, database, table, lines, cx).await?;
    }
    Ok(())
}

async fn record_table(
    metastore: &Metastore,
    database: &str,
    table: &str,
    lines: &mut Lines,
    cx: &Cx,
) -> Result<(), Failure> {
    let Some(definition) = metastore.definition(database, table).await? else {
        return Err(Failure::drifted(format!("{database}.{table} is gone")));
    };
    lines.line(&json!({ "table": definition })).await?;
    let mut partitions = std::pin::pin!(metastore.partitions(database, table));
    while let Some(partition) = partitions.try_next().await? {
        if cx.cancel().is_cancelled() {
            return Err(Failure::interrupted());
        }
        lines
            .line(&json!({ "database": database, "table": table, "partition": partition }))
            .await?;
    }
    cx.progress(lines.count(), None, "definitions");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_of_a_database_has_nothing_new() {
        let database = Database {
            name: "elvis".into(),
            location: "hdfs://nn/user/hive/warehouse/elvis.db".into(),
            owner: "elvis".into(),
            owner_type: "USER".into(),
            description: String::new(),
            parameters: std::collections::BTreeMap::new(),
        };
        let with =
            |tables: &[(&str, i64)]| DatabaseEvidence::with(&database, tables.iter().copied());
        let was = with(&[("a", 7), ("b", 9), ("c", 8)]);
        for rest in [&[][..], &[("c", 8)], &[("a", 7), ("b", 9)]] {
            assert!(with(rest).is_rest_of(&was), "{rest:?}");
        }
        for other in [
            &[("a", 10)][..],
            &[("a", 7), ("b", 10)],
            &[("a", 7), ("b", 9), ("c", 8)],
        ] {
            assert!(!with(other).is_rest_of(&was), "{other:?}");
        }
        let mut moved = with(&[("a", 7)]);
        moved.location = "hdfs://nn/user/azy".into();
        assert!(!moved.is_rest_of(&was));
        let role = Database {
            owner_type: "ROLE".into(),
            ..database.clone()
        };
        assert!(!role.is_of("elvis") && database.is_of("elvis"));
        let given = DatabaseEvidence::with(&role, [("a", 7)].into_iter());
        assert!(!given.is_rest_of(&was));
    }

    #[test]
    fn locations() {
        for (location, path) in [
            ("hdfs://nn:8020/user/elvis", Some("/user/elvis")),
            ("hdfs://ns/user/elvis/", Some("/user/elvis")),
            ("hdfs:///user/elvis", Some("/user/elvis")),
            ("/user/elvis", Some("/user/elvis")),
            ("hdfs://ns/", Some("/")),
            ("hdfs://ns", None),
            ("s3a://bucket/user/elvis", None),
            ("file:/tmp", None),
            ("", None),
        ] {
            assert_eq!(path_of(location), path, "{location}");
        }
    }
}
