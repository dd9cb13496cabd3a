//! What a database consists of, and what of it cannot be copied and swapped by renaming.

mod definition;
mod obstacles;

use std::collections::{BTreeMap, BTreeSet};

use data_encoding::HEXLOWER;
use sha2::{Digest, Sha256};

use super::{Connection, Error, Object, marker, quote_identifier};
pub(super) use definition::without_next_number;
use definition::{databases_named, has_directory, with_collation};
pub use obstacles::Obstacle;

/// A database: its tables and sequences, with the text that makes each anew.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Schema {
    /// Its name.
    pub database: String,
    /// The server's version, such as `10.11.19-MariaDB`.
    pub version: String,
    /// The character set that new tables have.
    pub charset: String,
    /// The collation that new tables have.
    pub collation: String,
    /// In the order of their names; without the marks of a copy.
    pub tables: Vec<Table>,
    /// In the order of their names.
    pub sequences: Vec<Sequence>,
    /// Why it cannot be copied or renamed; empty for one that can.
    pub obstacles: Vec<Obstacle>,
    /// All that it holds, views and the marker included.
    pub objects: Vec<Object>,
}

/// A table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Table {
    /// Its name.
    pub name: String,
    /// What SHOW CREATE TABLE says, the next automatic number included.
    pub create: String,
    /// In their order, generated ones included.
    pub columns: Vec<Column>,
    /// The primary key's columns in its order; empty without one.
    pub primary_key: Vec<String>,
    /// Bytes of data, as the server estimates it; without indexes.
    pub data_bytes: u64,
}

/// A column.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Column {
    /// Its name.
    pub name: String,
    /// The type without length and options, lower case: `varchar`.
    pub kind: String,
    /// The type as it is declared: `varchar(64)`.
    pub declared: String,
    /// The collation of one that holds text.
    pub collation: Option<String>,
    /// The most bytes that a value of text or binary may have.
    pub octets: Option<u64>,
    /// Whether the server computes it.
    pub generated: bool,
}

impl Column {
    /// Whether values may be long: what is stored beside the row, which has 64 KiB itself. Of
    /// spatial ones no length is declared. Source: `MariaDB`, "Data Type Storage Requirements".
    pub fn is_long(&self) -> bool {
        let kind = self.kind.as_str();
        kind.ends_with("blob")
            || kind.ends_with("text")
            || kind.ends_with("polygon")
            || kind.ends_with("linestring")
            || kind == "multipoint"
            || kind.starts_with("geometry")
    }
}

/// A sequence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sequence {
    /// Its name.
    pub name: String,
    /// What SHOW CREATE SEQUENCE says.
    pub create: String,
}

impl Schema {
    /// Looks at `database`; `None` when there is none of that name that the account may see.
    /// What the account may not see (triggers, without TRIGGER) is not in the answer.
    pub async fn read(connection: &mut Connection, database: &str) -> Result<Option<Self>, Error> {
        let about = format!("looking at {database}");
        let found: Vec<(String, String, String)> = connection
            .rows(
                &about,
                "SELECT DEFAULT_CHARACTER_SET_NAME, DEFAULT_COLLATION_NAME, VERSION() \
                 FROM information_schema.SCHEMATA WHERE SCHEMA_NAME = ?",
                (database,),
            )
            .await?;
        let Some((charset, collation, version)) = found.into_iter().next() else {
            return Ok(None);
        };
        plain_session(connection).await?;
        let objects = connection.sized_objects(database).await?;
        let mut schema = Self {
            database: database.to_owned(),
            version,
            charset,
            collation,
            tables: Vec::new(),
            sequences: Vec::new(),
            obstacles: obstacles::beside_tables(connection, database).await?,
            objects: Vec::new(),
        };
        let mut columns = columns(connection, database).await?;
        let mut keys = primary_keys(connection, database).await?;
        for object in objects.iter().filter(|one| !marker::is_mark(&one.name)) {
            let Object { name, kind, .. } = object;
            schema.obstacles.extend(Obstacle::of(object));
            if kind.ends_with("VIEW") {
                continue;
            }
            let create = show_create(connection, database, name, kind).await?;
            if object.is_sequence() {
                let name = name.clone();
                schema.sequences.push(Sequence { name, create });
                continue;
            }
            if has_directory(&create) {
                let table = name.clone();
                schema.obstacles.push(Obstacle::Directory { table });
            }
            for database in databases_named(&create) {
                let table = name.clone();
                schema.obstacles.push(Obstacle::Names { table, database });
            }
            schema.tables.push(Table {
                create: with_collation(create, object.collation.as_deref()),
                columns: columns.remove(name).unwrap_or_default(),
                primary_key: keys.remove(name).unwrap_or_default(),
                name: name.clone(),
                data_bytes: object.data_bytes,
            });
        }
        schema.objects = objects;
        schema.obstacles.sort();
        Ok(Some(schema))
    }

    /// What the tables and sequences are made by, in one word: SHA-256 in hexadecimal. It
    /// changes with any definition; not with rows, the next automatic number, or the
    /// database's name.
    pub fn hash(&self) -> String {
        let mut hasher = Sha256::new();
        for (name, create) in self.definitions() {
            for part in [name, &create] {
                hasher.update(part.len().to_le_bytes());
                hasher.update(part);
            }
        }
        HEXLOWER.encode(&hasher.finalize())
    }

    /// Every table's and sequence's definition by its name, without the next automatic number.
    pub fn definitions(&self) -> BTreeMap<&str, String> {
        let tables = self
            .tables
            .iter()
            .map(|table| (table.name.as_str(), without_next_number(&table.create)));
        let sequences = self
            .sequences
            .iter()
            .map(|sequence| (sequence.name.as_str(), sequence.create.clone()));
        tables.chain(sequences).collect()
    }

    /// The names that only one of the two has, or that both define in different ways. Servers
    /// of different versions write one definition differently: then columns are compared.
    pub fn differing(&self, other: &Self) -> BTreeSet<String> {
        let (ours, theirs) = (self.definitions(), other.definitions());
        let columns = |schema: &Self, name: &str| {
            let table = schema.table(name);
            table.map(|table| table.columns.clone())
        };
        let differ = |name: &str| match (ours.get(name), theirs.get(name)) {
            (Some(here), Some(there)) if self.version == other.version => here != there,
            (Some(_), Some(_)) => columns(self, name) != columns(other, name),
            _ => true,
        };
        let names = ours.keys().chain(theirs.keys()).copied();
        names
            .filter(|name| differ(name))
            .map(str::to_owned)
            .collect()
    }

    /// The table of that name.
    pub fn table(&self, name: &str) -> Option<&Table> {
        self.tables.iter().find(|table| table.name == name)
    }
}

/// Makes definitions come in one form whatever the server's settings.
async fn plain_session(connection: &mut Connection) -> Result<(), Error> {
    connection
        .execute(
            "setting up the session",
            "SET SESSION sql_mode = '', sql_quote_show_create = 1",
            (),
        )
        .await
        .map(drop)
}

async fn columns(
    connection: &mut Connection,
    database: &str,
) -> Result<BTreeMap<String, Vec<Column>>, Error> {
    type Line = (
        String,
        String,
        String,
        String,
        Option<String>,
        Option<u64>,
        bool,
    );
    let lines: Vec<Line> = connection
        .rows(
            &format!("listing the columns of {database}"),
            "SELECT TABLE_NAME, COLUMN_NAME, DATA_TYPE, COLUMN_TYPE, COLLATION_NAME, \
             CHARACTER_OCTET_LENGTH, IS_GENERATED = 'ALWAYS' FROM information_schema.COLUMNS \
             WHERE TABLE_SCHEMA = ? ORDER BY TABLE_NAME, ORDINAL_POSITION",
            (database,),
        )
        .await?;
    let mut tables = BTreeMap::<_, Vec<_>>::new();
    for (table, name, kind, declared, collation, octets, generated) in lines {
        tables.entry(table).or_default().push(Column {
            name,
            kind: kind.to_lowercase(),
            declared,
            collation,
            octets,
            generated,
        });
    }
    Ok(tables)
}

async fn primary_keys(
    connection: &mut Connection,
    database: &str,
) -> Result<BTreeMap<String, Vec<String>>, Error> {
    let lines: Vec<(String, String)> = connection
        .rows(
            &format!("listing the primary keys of {database}"),
            "SELECT TABLE_NAME, COLUMN_NAME FROM information_schema.STATISTICS \
             WHERE TABLE_SCHEMA = ? AND INDEX_NAME = 'PRIMARY' ORDER BY TABLE_NAME, SEQ_IN_INDEX",
            (database,),
        )
        .await?;
    let mut keys = BTreeMap::<_, Vec<_>>::new();
    for (table, column) in lines {
        keys.entry(table).or_default().push(column);
    }
    Ok(keys)
}

async fn show_create(
    connection: &mut Connection,
    database: &str,
    name: &str,
    kind: &str,
) -> Result<String, Error> {
    let what = if kind == "SEQUENCE" { kind } else { "TABLE" };
    let (_, create): (String, String) = connection
        .row(
            &format!("reading the definition of {database}.{name}"),
            &format!("SHOW CREATE {what} {}", qualified(database, name)),
            (),
        )
        .await?;
    Ok(create)
}

/// The next number of a sequence that none of its numbers given out so far equals.
pub async fn next_number(
    connection: &mut Connection,
    database: &str,
    sequence: &str,
) -> Result<i64, Error> {
    connection
        .row(
            &format!("reading the sequence {database}.{sequence}"),
            &format!(
                "SELECT next_not_cached_value FROM {}",
                qualified(database, sequence)
            ),
            (),
        )
        .await
}

/// A table's name with its database's.
pub(super) fn qualified(database: &str, table: &str) -> String {
    format!("{}.{}", quote_identifier(database), quote_identifier(table))
}
