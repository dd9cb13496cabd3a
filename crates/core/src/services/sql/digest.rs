//! Whether two tables hold the same rows, asked of the servers themselves.

use serde::{Deserialize, Serialize};

use super::copy::Form;
use super::schema::{Column, Table, qualified};
use super::{Connection, Error};

/// What tells the rows of one table from those of another, whatever order they lie in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Digest {
    /// How many there are.
    pub rows: u64,
    /// The sum of 60 bits of each row's MD5, decimal.
    pub sum: String,
}

impl Connection {
    /// The digest of a table as the connection sees it; computed columns are left out. Makes the
    /// session's moments those of UTC, so that one of another server compares.
    pub async fn digest(&mut self, database: &str, table: &Table) -> Result<Digest, Error> {
        let about = format!("the digest of {database}.{}", table.name);
        let session = "SET SESSION sql_mode = '', time_zone = '+00:00'";
        self.execute(&about, session, ()).await?;
        let stored = table.columns.iter().filter(|column| !column.generated);
        let parts: Vec<String> = stored.map(part).collect();
        let (rows, sum): (u64, Option<String>) = self
            .row(
                &about,
                &format!(
                    "SELECT COUNT(*), CAST(SUM(CAST(CONV(LEFT(MD5(CONCAT('', {})), 15), 16, 10) \
                     AS UNSIGNED)) AS CHAR) FROM {}",
                    parts.join(", "),
                    qualified(database, &table.name)
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

/// What of a value goes into its row's digest, in the form in which it is copied.
fn part(column: &Column) -> String {
    let value = Form::of(column).select(&column.name);
    if column.is_long() {
        // Together they may be more than a packet, which gives NULL.
        format!("COALESCE(MD5({value}), 'N')")
    } else {
        // Each with its length: no two rows give the same bytes.
        let value = format!("CAST({value} AS BINARY)");
        format!("COALESCE(CONCAT(LENGTH({value}), ':', {value}), 'N')")
    }
}
