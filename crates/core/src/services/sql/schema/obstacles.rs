//! What of a database cannot be copied, or swapped by renaming.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::super::{Connection, Error, Object};

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
    /// A table whose files lie in a folder of their own: renamed, it is lost when the server
    /// starts again (seen with 10.11.19).
    Directory {
        /// The table.
        table: String,
    },
    /// A table that names a database: by a foreign key to another one, or by a default from a
    /// sequence.
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
            Self::Directory { table } => {
                write!(f, "{table} has a DATA DIRECTORY of its own")
            }
            Self::Names { table, database } => {
                write!(f, "{table} names the database {database} in its definition")
            }
        }
    }
}

impl Obstacle {
    /// What to do about it, in a few words.
    pub fn way_out(&self) -> &'static str {
        match self {
            Self::View { .. } => "keep views in a database of their own, or drop them",
            Self::Trigger { .. } => "drop the triggers: no table that has one can be renamed",
            Self::Routine { .. } => "keep routines in a database of their own, or drop them",
            Self::Event { .. } => "keep events in a database of their own, or drop them",
            Self::Engine { .. } => "ALTER TABLE ... ENGINE=InnoDB, or move it away",
            Self::Versioned { .. } => "ALTER TABLE ... DROP SYSTEM VERSIONING, or move it away",
            Self::Directory { .. } => "make the table anew without DATA DIRECTORY, or drop it",
            Self::Names { .. } => "drop the foreign key, or the default, that names a database",
        }
    }

    /// Whether RENAME TABLE refuses or loses it: even what is only put aside cannot be then.
    pub fn stays(&self) -> bool {
        matches!(
            self,
            Self::View { .. } | Self::Trigger { .. } | Self::Directory { .. }
        )
    }

    /// What is in the way of an object by what it is itself.
    pub(super) fn of(object: &Object) -> Option<Self> {
        let name = object.name.clone();
        match (&*object.kind, object.engine.as_deref()) {
            ("VIEW" | "SYSTEM VIEW", _) => Some(Self::View { name }),
            ("SYSTEM VERSIONED", _) => Some(Self::Versioned { table: name }),
            (_, Some("InnoDB")) => None,
            (_, engine) => Some(Self::Engine {
                table: name,
                engine: engine.unwrap_or("none").to_owned(),
            }),
        }
    }
}

/// What belongs to a database and is no table; of what the account has no right to there is
/// nothing in the answer.
pub(super) async fn beside_tables(
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
