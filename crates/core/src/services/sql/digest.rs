//! Whether two tables hold the same rows, asked of the servers themselves.

use serde::{Deserialize, Serialize};

use super::{Connection, Error, quote_identifier};

/// The columns that are stored and not computed.
async fn columns(
    connection: &mut Connection,
    database: &str,
    table: &str,
) -> Result<Vec<String>, Error> {
    connection
        .rows(
            &format!("the columns of {database}.{table}"),
            "SELECT COLUMN_NAME FROM information_schema.COLUMNS \
             WHERE TABLE_SCHEMA = ? AND TABLE_NAME = ? AND IS_GENERATED = 'NEVER' \
             ORDER BY ORDINAL_POSITION",
            (database, table),
        )
        .await
}

/// What tells the rows of one table from those of another, whatever order they lie in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Digest {
    /// How many there are.
    pub rows: u64,
    /// The sum of 60 bits of each row's MD5, decimal.
    pub sum: String,
}

impl Connection {
    /// The digest of a table as the connection sees it; computed columns are left out.
    pub async fn digest(&mut self, database: &str, table: &str) -> Result<Digest, Error> {
        let parts: Vec<String> = columns(self, database, table)
            .await?
            .iter()
            .map(|column| {
                let column = quote_identifier(column);
                // Each with its length: no two rows give the same bytes.
                format!("COALESCE(CONCAT(LENGTH({column}), ':', CAST({column} AS BINARY)), 'N')")
            })
            .collect();
        let (rows, sum): (u64, Option<String>) = self
            .row(
                &format!("the digest of {database}.{table}"),
                &format!(
                    "SELECT COUNT(*), CAST(SUM(CAST(CONV(LEFT(MD5(CONCAT({})), 15), 16, 10) \
                 AS UNSIGNED)) AS CHAR) FROM {}.{}",
                    parts.join(", "),
                    quote_identifier(database),
                    quote_identifier(table)
                ),
                (),
            )
            .await?;
        Ok(Digest {
            rows,
            sum: sum.unwrap_or_else(|| "0".to_owned()),
        })
    }
}
