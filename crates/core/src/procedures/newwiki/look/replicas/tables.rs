//! What tables the wikis' databases have.

use std::collections::{BTreeMap, BTreeSet};

use mysql_async::{Params, Value};

use crate::procedures::newwiki::inventory::Readiness;
use crate::services::sql::{self, Connection};

/// How many names one statement asks about.
const NAMES: usize = 500;

/// The tables of databases.
pub(super) type Tables = BTreeMap<String, BTreeSet<String>>;

/// The tables of these databases, one that is not there having no entry. Names are only ever
/// parameters.
pub(super) async fn tables(
    connection: &mut Connection,
    databases: &[String],
) -> Result<Tables, sql::Error> {
    let mut found = Tables::new();
    for names in databases.chunks(NAMES) {
        let marks = vec!["?"; names.len()].join(", ");
        let parameters = || Params::Positional(names.iter().map(Value::from).collect());
        let statement = format!(
            "SELECT SCHEMA_NAME FROM information_schema.SCHEMATA WHERE SCHEMA_NAME IN ({marks})"
        );
        let there = connection
            .rows::<String>("looking for databases", &statement, parameters())
            .await?;
        for database in there {
            found.entry(database).or_default();
        }
        let statement = format!(
            "SELECT TABLE_SCHEMA, TABLE_NAME FROM information_schema.TABLES \
             WHERE TABLE_SCHEMA IN ({marks})"
        );
        let rows = connection
            .rows::<(String, String)>("looking for tables", &statement, parameters())
            .await?;
        for (database, table) in rows {
            found.entry(database).or_default().insert(table);
        }
    }
    Ok(found)
}

/// How ready a database with these tables is. `core`: the tables that it must have.
pub(super) fn readiness(tables: Option<&BTreeSet<String>>, core: &[String]) -> Readiness {
    let Some(tables) = tables else {
        return Readiness::Absent;
    };
    if tables.is_empty() {
        return Readiness::Empty;
    }
    let lacks: Vec<String> = core
        .iter()
        .filter(|table| !tables.contains(*table))
        .cloned()
        .collect();
    if lacks.is_empty() {
        Readiness::Ready(tables.len() as u64)
    } else {
        Readiness::Lacks(lacks)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn how_ready_a_database_is() {
        let core = ["page".to_owned(), "user".to_owned()];
        let of = |tables: &[&str]| {
            let tables = tables.iter().map(|&table| table.to_owned()).collect();
            readiness(Some(&tables), &core)
        };
        assert_eq!(readiness(None, &core), Readiness::Absent);
        assert_eq!(of(&[]), Readiness::Empty);
        assert_eq!(of(&["page"]), Readiness::Lacks(vec!["user".into()]));
        assert_eq!(of(&["page", "user", "x"]), Readiness::Ready(3));
    }
}
