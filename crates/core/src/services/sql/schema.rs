//! What a database consists of, and what of it cannot be copied and swapped by renaming.

use std::collections::BTreeMap;
use std::fmt::{self, Write as _};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::{Connection, Error, marker, quote_identifier};

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
    /// In the order of their names; without the marker of a copy.
    pub tables: Vec<Table>,
    /// In the order of their names.
    pub sequences: Vec<Sequence>,
    /// Why it cannot be copied or renamed; empty for one that can.
    pub obstacles: Vec<Obstacle>,
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

/// A sequence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sequence {
    /// Its name.
    pub name: String,
    /// What SHOW CREATE SEQUENCE says.
    pub create: String,
}

/// Something in a database that cannot be copied, or that a rename would not take along.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Obstacle {
    /// A view: it names its database, and RENAME TABLE refuses it (error 1450).
    View {
        /// The view.
        name: String,
    },
    /// A trigger: RENAME TABLE refuses its table (error 1435).
    Trigger {
        /// The trigger.
        name: String,
        /// Its table.
        table: String,
    },
    /// A procedure or function.
    Routine {
        /// The routine.
        name: String,
    },
    /// An event.
    Event {
        /// The event.
        name: String,
    },
    /// A table without transactions: no snapshot holds it still.
    Engine {
        /// The table.
        table: String,
        /// Its engine.
        engine: String,
    },
    /// A table that keeps its history: the former rows cannot be written anew.
    Versioned {
        /// The table.
        table: String,
    },
    /// A table or sequence that names a database: by a foreign key to another one, or by a
    /// default from a sequence.
    Names {
        /// The table.
        table: String,
        /// What it names.
        database: String,
    },
}

impl fmt::Display for Obstacle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::View { name } => write!(f, "{name} is a view"),
            Self::Trigger { name, table } => write!(f, "{table} has the trigger {name}"),
            Self::Routine { name } => write!(f, "{name} is a stored routine"),
            Self::Event { name } => write!(f, "{name} is an event"),
            Self::Engine { table, engine } => {
                write!(f, "{table} is a table of the engine {engine}, not InnoDB")
            }
            Self::Versioned { table } => write!(f, "{table} is a system-versioned table"),
            Self::Names { table, database } => {
                write!(f, "{table} names the database {database} in its definition")
            }
        }
    }
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
        let mut schema = Self {
            database: database.to_owned(),
            version,
            charset,
            collation,
            tables: Vec::new(),
            sequences: Vec::new(),
            obstacles: other_obstacles(connection, database).await?,
        };
        let mut columns = columns(connection, database).await?;
        let mut keys = primary_keys(connection, database).await?;
        for object in objects(connection, database).await? {
            let Object { name, kind, .. } = &object;
            if name == marker::TABLE {
                continue;
            }
            if kind == "VIEW" {
                schema.obstacles.push(Obstacle::View { name: name.clone() });
                continue;
            }
            let create = show_create(connection, database, name, kind).await?;
            if kind == "SEQUENCE" {
                let name = name.clone();
                schema.sequences.push(Sequence { name, create });
                continue;
            }
            if kind == "SYSTEM VERSIONED" {
                let table = name.clone();
                schema.obstacles.push(Obstacle::Versioned { table });
            } else if object.engine.as_deref() != Some("InnoDB") {
                schema.obstacles.push(Obstacle::Engine {
                    table: name.clone(),
                    engine: object.engine.clone().unwrap_or_default(),
                });
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
        hex(&hasher.finalize())
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

struct Object {
    name: String,
    kind: String,
    engine: Option<String>,
    collation: Option<String>,
    data_bytes: u64,
}

/// What a database holds; the sizes of tables alone, each asked for by its name, for the reason
/// told in [`Connection::objects`].
async fn objects(connection: &mut Connection, database: &str) -> Result<Vec<Object>, Error> {
    type Line = (String, String, Option<String>, Option<String>);
    let lines: Vec<Line> = connection
        .rows(
            &format!("listing the tables of {database}"),
            "SELECT TABLE_NAME, TABLE_TYPE, ENGINE, TABLE_COLLATION \
             FROM information_schema.TABLES WHERE TABLE_SCHEMA = ? ORDER BY TABLE_NAME",
            (database,),
        )
        .await?;
    let mut objects = Vec::new();
    for (name, kind, engine, collation) in lines {
        let data_bytes = if kind == "BASE TABLE" {
            connection.size(database, &name).await?.data
        } else {
            0
        };
        objects.push(Object {
            name,
            kind,
            engine,
            collation,
            data_bytes,
        });
    }
    Ok(objects)
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

async fn other_obstacles(
    connection: &mut Connection,
    database: &str,
) -> Result<Vec<Obstacle>, Error> {
    let about = format!("looking for triggers and routines of {database}");
    let lines: Vec<(String, String, String)> = connection
        .rows(
            &about,
            "SELECT 'trigger', TRIGGER_NAME, EVENT_OBJECT_TABLE FROM information_schema.TRIGGERS \
             WHERE TRIGGER_SCHEMA = ? \
             UNION ALL SELECT 'routine', ROUTINE_NAME, '' FROM information_schema.ROUTINES \
             WHERE ROUTINE_SCHEMA = ? \
             UNION ALL SELECT 'event', EVENT_NAME, '' FROM information_schema.EVENTS \
             WHERE EVENT_SCHEMA = ?",
            (database, database, database),
        )
        .await?;
    Ok(lines
        .into_iter()
        .map(|(kind, name, other)| match kind.as_str() {
            "trigger" => Obstacle::Trigger { name, table: other },
            "routine" => Obstacle::Routine { name },
            _ => Obstacle::Event { name },
        })
        .collect())
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
pub(super) async fn next_number(
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

/// The table's collation said in its definition: what a character set's collation is by
/// default differs between servers.
fn with_collation(create: String, collation: Option<&str>) -> String {
    let options = create.rfind("\n)").unwrap_or(0);
    match collation {
        Some(collation) if !create[options..].contains("COLLATE=") => {
            format!("{create} COLLATE={collation}")
        }
        _ => create,
    }
}

/// A piece of a definition's text.
enum Token<'a> {
    /// A name in backticks, as it is written.
    Name(&'a str),
    /// Anything else.
    Other(&'a str),
}

/// Cuts a definition into names, texts in quotes, and the single characters between. It was
/// written with an empty `sql_mode`, in which backslashes escape.
fn tokens(text: &str) -> impl Iterator<Item = Token<'_>> {
    let mut rest = text;
    std::iter::from_fn(move || {
        let quote = rest.chars().next()?;
        let end = match quote {
            '`' | '\'' | '"' => end_of_quotes(rest, quote),
            other => other.len_utf8(),
        };
        let (token, after) = rest.split_at(end);
        rest = after;
        Some(match quote {
            '`' => Token::Name(token),
            _ => Token::Other(token),
        })
    })
}

/// Where what begins with a quote ends, the closing quote included.
fn end_of_quotes(text: &str, quote: char) -> usize {
    let mut chars = text.char_indices().skip(1).peekable();
    while let Some((at, char)) = chars.next() {
        if char == '\\' && quote != '`' {
            chars.next();
        } else if char == quote {
            if chars.peek().is_some_and(|(_, next)| *next == quote) {
                chars.next();
            } else {
                return at + quote.len_utf8();
            }
        }
    }
    text.len()
}

/// The databases that a definition names, each once: a name before a dot is one's, as columns
/// stand in definitions without their table.
fn databases_named(create: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut tokens = tokens(create).peekable();
    while let Some(token) = tokens.next() {
        if let (Token::Name(name), Some(Token::Other("."))) = (token, tokens.peek()) {
            let name = name[1..name.len() - 1].replace("``", "`");
            if !found.contains(&name) {
                found.push(name);
            }
            tokens.next();
            tokens.next();
        }
    }
    found
}

/// A definition without ` AUTO_INCREMENT=7`.
pub(super) fn without_next_number(create: &str) -> String {
    const OPTION: &str = " AUTO_INCREMENT=";
    let mut kept = String::with_capacity(create.len());
    let mut rest = create;
    let mut plain = String::new();
    for token in tokens(create) {
        let (Token::Name(text) | Token::Other(text)) = token;
        if text.len() > 1 {
            kept.push_str(&plain);
            kept.push_str(text);
            plain.clear();
        } else {
            plain.push_str(text);
        }
        rest = &rest[text.len()..];
        if plain.ends_with(OPTION) {
            let digits = rest.len() - rest.trim_start_matches(|c: char| c.is_ascii_digit()).len();
            plain.truncate(plain.len() - OPTION.len());
            kept.push_str(&plain);
            kept.push_str(&without_next_number(&rest[digits..]));
            return kept;
        }
    }
    kept + &plain
}

pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        // Writing to a String cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_databases_are_found_outside_of_texts_only() {
        let named = |text: &str| databases_named(text);
        assert_eq!(
            named("CREATE TABLE `a` (`b` int REFERENCES `o``x`.`t` (`c`))"),
            ["o`x"]
        );
        assert_eq!(
            named("DEFAULT nextval(`prod`.`s`), x nextval(`prod`.`s`)"),
            ["prod"]
        );
        assert!(named("COMMENT 'see `prod`.`t` \\' `prod`.x' `a` '' `b`").is_empty());
        assert!(named("COMMENT 'it''s `prod`.`t`'").is_empty());
    }

    #[test]
    fn the_next_number_is_no_part_of_a_definition() {
        let create = "CREATE TABLE `x AUTO_INCREMENT=1` (\n  `id` int AUTO_INCREMENT COMMENT \
                      ' AUTO_INCREMENT=5'\n) ENGINE=InnoDB AUTO_INCREMENT=71 COMMENT='a'";
        let expected = "CREATE TABLE `x AUTO_INCREMENT=1` (\n  `id` int AUTO_INCREMENT COMMENT \
                        ' AUTO_INCREMENT=5'\n) ENGINE=InnoDB COMMENT='a'";
        assert_eq!(without_next_number(create), expected);
        assert_eq!(without_next_number(expected), expected);
    }

    #[test]
    fn a_collation_is_said_once() {
        let create = "CREATE TABLE `t` (\n  `a` text COLLATE=x\n) ENGINE=InnoDB".to_owned();
        let said = with_collation(create, Some("utf8mb4_bin"));
        assert!(said.ends_with("ENGINE=InnoDB COLLATE=utf8mb4_bin"));
        assert_eq!(with_collation(said.clone(), Some("utf8mb4_bin")), said);
    }
}
