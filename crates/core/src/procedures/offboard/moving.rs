//! Others' tables in the user's databases, and which database they are to move to.

use std::str::FromStr;

use serde::Serialize;

use super::inventory::TableFound;

/// A table and where it is to go, as it is asked for: `elvis.reports=shared`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TableMove {
    /// The table's database.
    pub database: String,
    /// The table.
    pub table: String,
    /// The database that it is to move to.
    pub to: String,
}

/// Not a table and a database.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not DATABASE.TABLE=DATABASE, of a-z 0-9 _")]
pub struct NotAMove(String);

impl FromStr for TableMove {
    type Err = NotAMove;

    fn from_str(text: &str) -> Result<Self, NotAMove> {
        let name = |text: &str| {
            let sound = |c: u8| c.is_ascii_lowercase() || c.is_ascii_digit() || c == b'_';
            (!text.is_empty() && text.bytes().all(sound)).then(|| text.to_owned())
        };
        let parsed = text.split_once('=').and_then(|(table, to)| {
            let (database, table) = table.split_once('.')?;
            Some(Self {
                database: name(database)?,
                table: name(table)?,
                to: name(to)?,
            })
        });
        parsed.ok_or_else(|| NotAMove(text.chars().take(80).collect()))
    }
}

impl TableMove {
    /// `database.table`.
    pub fn id(&self) -> String {
        format!("{}.{}", self.database, self.table)
    }
}

/// What a look found about such a table.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Moving {
    /// The table.
    pub table: TableFound,
    /// The database that it is to move to.
    pub to: String,
    /// Its folder and the new one, where its files are in the user's places and move too.
    pub files: Option<(String, String)>,
    /// Why it cannot move.
    pub fault: Option<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_and_databases_by_name() {
        let asked: TableMove = "elvis.reports_2=shared".parse().unwrap();
        assert_eq!(
            (asked.id().as_str(), asked.to.as_str()),
            ("elvis.reports_2", "shared")
        );
        for bad in [
            "", "elvis", "elvis.t", "t=shared", "elvis.t=", "elvis.=x", ".t=x", "a.b.c=x",
            "a.b=x.y", "a.b=../x", "A.b=x",
        ] {
            assert!(bad.parse::<TableMove>().is_err(), "{bad}");
        }
    }
}
