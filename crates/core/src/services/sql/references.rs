//! Foreign keys that point to nothing: loading does not look at them.

use super::schema::qualified;
use super::{Connection, Error, quote_identifier};

/// A foreign key with rows that point to nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Orphans {
    /// The table whose rows they are.
    pub table: String,
    /// The foreign key.
    pub constraint: String,
    /// How many.
    pub rows: u64,
}

/// The foreign keys of `database` that do not hold.
pub async fn orphans(connection: &mut Connection, database: &str) -> Result<Vec<Orphans>, Error> {
    type Line = (String, String, String, String, String);
    let lines: Vec<Line> = connection
        .rows(
            &format!("listing the foreign keys of {database}"),
            "SELECT TABLE_NAME, CONSTRAINT_NAME, COLUMN_NAME, REFERENCED_TABLE_NAME, \
             REFERENCED_COLUMN_NAME FROM information_schema.KEY_COLUMN_USAGE \
             WHERE TABLE_SCHEMA = ? AND REFERENCED_TABLE_SCHEMA = ? \
             ORDER BY TABLE_NAME, CONSTRAINT_NAME, ORDINAL_POSITION",
            (database, database),
        )
        .await?;
    let mut found = Vec::new();
    for key in lines.chunk_by(|a, b| (&a.0, &a.1) == (&b.0, &b.1)) {
        let Some((table, constraint, _, parent, _)) = key.first() else {
            continue;
        };
        let pairs: Vec<_> = key
            .iter()
            .map(|(_, _, column, _, referenced)| {
                (quote_identifier(column), quote_identifier(referenced))
            })
            .collect();
        let joined: Vec<_> = pairs
            .iter()
            .map(|(a, b)| format!("c.{a} = p.{b}"))
            .collect();
        // A key with a NULL in it points nowhere, and may.
        let set: Vec<_> = pairs
            .iter()
            .map(|(a, _)| format!("c.{a} IS NOT NULL"))
            .collect();
        let rows: u64 = connection
            .row(
                &format!("checking the foreign key {constraint} of {database}.{table}"),
                &format!(
                    "SELECT COUNT(*) FROM {} c WHERE {} AND NOT EXISTS \
                     (SELECT 1 FROM {} p WHERE {})",
                    qualified(database, table),
                    set.join(" AND "),
                    qualified(database, parent),
                    joined.join(" AND ")
                ),
                (),
            )
            .await?;
        if rows > 0 {
            found.push(Orphans {
                table: table.clone(),
                constraint: constraint.clone(),
                rows,
            });
        }
    }
    Ok(found)
}
