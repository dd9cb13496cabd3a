//! The mark that a copy bears, from before its first table to after its last check: so that a
//! half copy is never trusted, and a database that is no copy never overwritten.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::checksum::Sum;
use super::schema::qualified;
use super::{Connection, Error, Object, quote_identifier};

/// The table that holds the mark, in the copy itself: renaming takes it along.
pub const TABLE: &str = "opsweek_db_sync";
/// The table of what became of the copy since, which whoever puts it into its place writes.
pub const STAGES: &str = "_opsweek_sync";

/// Whether a table is a mark, and none of the database's own.
pub fn is_mark(name: &str) -> bool {
    name == TABLE || name == STAGES
}

/// What is known of a copy.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Marker {
    /// The plan that it was made for, by its hash.
    pub plan: String,
    /// How far it came.
    pub stage: Stage,
    /// The identity of the server that it was read from.
    pub source: String,
    /// The database that it was read from.
    pub database: String,
    /// The moment that it shows.
    pub position: Option<Position>,
    /// What was in the tables at that moment; schema-only ones are not there.
    pub tables: BTreeMap<String, Sum>,
    /// The next number of each sequence.
    pub sequences: BTreeMap<String, i64>,
}

/// How far a copy came.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stage {
    /// Rows are being copied, or the copying broke off.
    Copying,
    /// Copied, and found like the source.
    Copied,
    /// Rewritten and checked: may take its place.
    Ready,
}

/// The moment that a snapshot shows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Position {
    /// The source server's clock, UTC: `2026-11-21 09:30:00.123456`.
    pub taken: String,
    /// File and offset in its binary log, `binlog.000007:1234`; `None` when it keeps none.
    pub binlog: Option<String>,
}

/// What a database is to us.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Contents {
    /// There is none of that name.
    Absent,
    /// It has no tables.
    Empty,
    /// A copy that was begun or finished here.
    Copy(Box<Marker>),
    /// Tables of which nothing is known.
    Foreign,
}

/// Looks what `database` is.
pub async fn contents(connection: &mut Connection, database: &str) -> Result<Contents, Error> {
    let found: Vec<u8> = connection
        .rows(
            &format!("looking for {database}"),
            "SELECT 1 FROM information_schema.SCHEMATA WHERE SCHEMA_NAME = ?",
            (database,),
        )
        .await?;
    if found.is_empty() {
        return Ok(Contents::Absent);
    }
    let objects = connection.objects(database).await?;
    if objects.is_empty() {
        return Ok(Contents::Empty);
    }
    if !objects.iter().any(|object| object.name == TABLE) {
        return Ok(Contents::Foreign);
    }
    let documents: Vec<String> = connection
        .rows(
            &format!("reading the mark of {database}"),
            &format!("SELECT document FROM {}", qualified(database, TABLE)),
            (),
        )
        .await?;
    match documents.as_slice() {
        // Killed between making the table and writing into it.
        [] if objects.len() == 1 => Ok(Contents::Empty),
        [document] => Ok(serde_json::from_str(document)
            .map_or(Contents::Foreign, |marker| Contents::Copy(Box::new(marker)))),
        _ => Ok(Contents::Foreign),
    }
}

/// Writes the mark; the database must exist.
pub async fn write(
    connection: &mut Connection,
    database: &str,
    marker: &Marker,
) -> Result<(), Error> {
    let about = format!("marking {database}");
    let table = qualified(database, TABLE);
    connection
        .execute(
            &about,
            &format!(
                "CREATE TABLE IF NOT EXISTS {table} (id tinyint NOT NULL PRIMARY KEY, \
                 document longtext CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL) \
                 ENGINE=InnoDB"
            ),
            (),
        )
        .await?;
    let document = serde_json::to_string(marker).map_err(|_| Error::Unexpected {
        server: connection.server().name(),
        what: about.clone(),
    })?;
    connection
        .execute(
            &about,
            &format!("REPLACE INTO {table} (id, document) VALUES (1, ?)"),
            (document,),
        )
        .await
        .map(drop)
}

/// Drops a database: its tables and sequences one by one and the mark last, so that what a
/// kill leaves is still known as ours. An absent one is fine.
pub async fn drop_database(connection: &mut Connection, database: &str) -> Result<(), Error> {
    let about = format!("dropping {database}");
    let session = "SET SESSION foreign_key_checks = 0, lock_wait_timeout = 2";
    connection.execute(&about, session, ()).await?;
    let mut objects = connection.objects(database).await?;
    objects.sort_by_key(|object| object.name == TABLE);
    for Object { name, kind, .. } in objects {
        let kind = match kind.as_str() {
            "VIEW" => "VIEW",
            "SEQUENCE" => "SEQUENCE",
            _ => "TABLE",
        };
        let statement = format!("DROP {kind} IF EXISTS {}", qualified(database, &name));
        let about = format!("dropping {database}.{name}");
        connection.execute(&about, &statement, ()).await?;
    }
    let statement = format!("DROP DATABASE IF EXISTS {}", quote_identifier(database));
    connection.execute(&about, &statement, ()).await.map(drop)
}
