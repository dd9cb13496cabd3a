//! What must not go on in staging, and how it is seen that it does not.

use mysql_async::Value as Sql;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize};

use crate::services::sql::{Connection, Error, quote_identifier};

/// Whatever the server's own mode is: a value that does not fit is an error, not another value.
pub(super) async fn set_mode(connection: &mut Connection) -> Result<(), Error> {
    let statement = "SET SESSION sql_mode = 'STRICT_ALL_TABLES,NO_ENGINE_SUBSTITUTION'";
    connection.execute("its mode", statement, ()).await?;
    Ok(())
}

/// Something that must not go on in staging.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "do", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Neutralise {
    /// A column gets one value in every row.
    Set {
        /// The table.
        table: String,
        /// The column.
        column: String,
        /// The value.
        value: i64,
    },
    /// Rows go.
    Delete {
        /// The table.
        table: String,
        /// The column that tells which.
        column: String,
        /// The values of it, as the server writes them; at least one.
        #[serde(deserialize_with = "some")]
        values: Vec<String>,
    },
}

impl Neutralise {
    /// Its table and column.
    pub fn place(&self) -> (&str, &str) {
        match self {
            Self::Set { table, column, .. } | Self::Delete { table, column, .. } => (table, column),
        }
    }

    /// In words.
    pub fn summary(&self) -> String {
        match self {
            Self::Set {
                table,
                column,
                value,
            } => format!("{table}.{column} = {value} in every row"),
            Self::Delete {
                table,
                column,
                values,
            } => format!("rows of {table} with {column} {} go", values.join(", ")),
        }
    }

    /// The rows that it is not yet true of: the condition, with what it is about. Numbers are
    /// compared with numbers and texts with texts: to the server `'active' = 0` is true.
    async fn condition(
        &self,
        connection: &mut Connection,
        database: &str,
    ) -> Result<(String, Vec<Sql>), Error> {
        let (table, column) = self.place();
        let (number,): (bool,) = connection
            .row(
                &format!("the type of {database}.{table}.{column}"),
                "SELECT NUMERIC_PRECISION IS NOT NULL FROM information_schema.COLUMNS \
                 WHERE TABLE_SCHEMA = ? AND TABLE_NAME = ? AND COLUMN_NAME = ?",
                (database, table, column),
            )
            .await?;
        let column = quote_identifier(column);
        // As a number a bit is no byte, and a decimal or one with leading zeroes has its value.
        let text = if number {
            format!("CAST({column} + 0 AS CHAR)")
        } else {
            format!("CAST({column} AS CHAR)")
        };
        Ok(match self {
            Self::Set { value, .. } if number => {
                (format!("NOT {column} <=> ?"), vec![(*value).into()])
            }
            Self::Set { value, .. } => {
                (format!("NOT {text} <=> ?"), vec![value.to_string().into()])
            }
            Self::Delete { values, .. } => {
                let marks = vec!["?"; values.len()].join(", ");
                let values = values.iter().map(Into::into).collect();
                (format!("{text} IN ({marks})"), values)
            }
        })
    }

    /// How many rows it is not yet true of.
    pub(super) async fn left(
        &self,
        connection: &mut Connection,
        database: &str,
    ) -> Result<u64, Error> {
        let (condition, values) = self.condition(connection, database).await?;
        let table = self.place().0;
        let (count,) = connection
            .row(
                &format!("counting in {database}.{table}"),
                &format!(
                    "SELECT COUNT(*) FROM {}.{} WHERE {condition}",
                    quote_identifier(database),
                    quote_identifier(table)
                ),
                values,
            )
            .await?;
        Ok(count)
    }

    /// Makes it true; gives the number of rows that were changed or deleted.
    pub(super) async fn make_true(
        &self,
        connection: &mut Connection,
        database: &str,
    ) -> Result<u64, Error> {
        let (condition, mut values) = self.condition(connection, database).await?;
        let (table, column) = self.place();
        let name = format!("{}.{}", quote_identifier(database), quote_identifier(table));
        let statement = match self {
            Self::Set { value, .. } => {
                values.insert(0, (*value).into());
                format!(
                    "UPDATE {name} SET {} = ? WHERE {condition}",
                    quote_identifier(column)
                )
            }
            Self::Delete { .. } => format!("DELETE FROM {name} WHERE {condition}"),
        };
        let what = format!("neutralising {database}.{table}");
        connection.execute(&what, &statement, values).await
    }
}

/// A list that is not empty.
fn some<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<String>, D::Error> {
    let values = Vec::deserialize(from)?;
    if values.is_empty() {
        return Err(D::Error::custom("values is empty: no row would go"));
    }
    Ok(values)
}
