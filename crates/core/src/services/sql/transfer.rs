//! Definitions and rows from one database to another, on the same or another server.
//!
//! Rows go through prepared statements on both sides: numbers, dates and floats stay
//! binary, and no digit is lost on the way through text.

use mysql_async::prelude::Queryable;
use mysql_async::{Row, Value};
use serde::{Deserialize, Serialize};

use super::{Connection, Error, quote_identifier};

/// How many bytes one INSERT carries, about.
const BATCH_BYTES: usize = 1 << 20;
/// How many placeholders one statement may have. Source: the protocol's 16-bit count.
const PLACEHOLDERS: usize = 65_535;
/// How many rows one INSERT carries at most.
const BATCH_ROWS: usize = 500;

fn name(database: &str, object: &str) -> String {
    format!(
        "{}.{}",
        quote_identifier(database),
        quote_identifier(object)
    )
}

/// Makes a connection fit for writing copies: rows come in any order, zeroes and dates as
/// they are.
pub async fn prepare(writer: &mut Connection) -> Result<(), Error> {
    writer
        .execute(
            "preparing for a copy",
            "SET SESSION foreign_key_checks = 0, unique_checks = 0, check_constraint_checks = 0, \
             sql_mode = 'NO_AUTO_VALUE_ON_ZERO', time_zone = '+00:00'",
            (),
        )
        .await
        .map(drop)
}

/// Makes an empty table like the one that `reader` sees: foreign keys, checks and counter
/// kept.
pub async fn definition(
    reader: &mut Connection,
    from: &str,
    writer: &mut Connection,
    to: &str,
    table: &str,
) -> Result<(), Error> {
    let (_, text): (String, String) = reader
        .row(
            &format!("the definition of {from}.{table}"),
            &format!("SHOW CREATE TABLE {}", name(from, table)),
            (),
        )
        .await?;
    create(writer, to, table, &text).await
}

/// Makes a sequence like the one that `reader` sees, which goes on from the same value.
pub async fn sequence(
    reader: &mut Connection,
    from: &str,
    writer: &mut Connection,
    to: &str,
    sequence: &str,
) -> Result<(), Error> {
    let what = format!("the sequence {from}.{sequence}");
    let (_, text): (String, String) = reader
        .row(
            &what,
            &format!("SHOW CREATE SEQUENCE {}", name(from, sequence)),
            (),
        )
        .await?;
    let (next,): (i64,) = reader
        .row(
            &what,
            &format!("SELECT next_not_cached_value FROM {}", name(from, sequence)),
            (),
        )
        .await?;
    create(writer, to, sequence, &text).await?;
    writer
        .execute(
            &format!("setting {to}.{sequence}"),
            &format!("DO SETVAL({}, {next}, 0)", name(to, sequence)),
            (),
        )
        .await
        .map(drop)
}

/// Runs a CREATE of an unqualified name inside the database.
async fn create(
    writer: &mut Connection,
    database: &str,
    object: &str,
    statement: &str,
) -> Result<(), Error> {
    let what = format!("making {database}.{object}");
    let inside = format!("USE {}", quote_identifier(database));
    writer.execute(&what, &inside, ()).await?;
    writer.execute(&what, statement, ()).await.map(drop)
}

/// The columns that are stored and not computed, and whether each is a number.
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

/// Copies all rows of a table; gives their number. `go_on` is told how many are done and
/// says whether to go on: `None` when it said no.
pub async fn rows(
    reader: &mut Connection,
    from: &str,
    writer: &mut Connection,
    to: &str,
    table: &str,
    go_on: &mut (dyn FnMut(u64) -> bool + Send),
) -> Result<Option<u64>, Error> {
    let columns = columns(reader, from, table).await?;
    let list: Vec<String> = columns.iter().map(|one| quote_identifier(one)).collect();
    let list = list.join(", ");
    let head = format!("INSERT INTO {} ({list}) VALUES ", name(to, table));
    let marks = format!("({})", vec!["?"; columns.len()].join(", "));
    let most = BATCH_ROWS.min(PLACEHOLDERS / columns.len().max(1)).max(1);
    let full = format!("{head}{}", vec![&*marks; most].join(", "));

    let reading = format!("reading {from}.{table}");
    let select = format!("SELECT {list} FROM {}", name(from, table));
    let server = reader.server().clone();
    let fault = |error| Error::asking(server.name(), &reading, error);
    let mut result = reader
        .driver()
        .exec_iter(select, ())
        .await
        .map_err(&fault)?;
    let (mut count, mut batch, mut size) = (0_u64, Vec::new(), 0);
    loop {
        let row: Option<Row> = result.next().await.map_err(&fault)?;
        let end = row.is_none();
        if let Some(row) = row {
            size += row_size(&row);
            batch.extend(row.unwrap());
            count += 1;
            if !go_on(count) {
                return Ok(None);
            }
        }
        let waiting = batch.len() / columns.len().max(1);
        if waiting == most || waiting > 0 && (end || size >= BATCH_BYTES) {
            let values = std::mem::take(&mut batch);
            size = 0;
            if waiting == most {
                insert(writer, to, table, &full, values, waiting).await?;
            } else {
                let statement = format!("{head}{}", vec![&*marks; waiting].join(", "));
                insert(writer, to, table, &statement, values, waiting).await?;
            }
        }
        if end {
            return Ok(Some(count));
        }
    }
}

fn row_size(row: &Row) -> usize {
    (0..row.len())
        .map(|index| match row.as_ref(index) {
            Some(Value::Bytes(bytes)) => bytes.len(),
            _ => 8,
        })
        .sum()
}

async fn insert(
    writer: &mut Connection,
    to: &str,
    table: &str,
    statement: &str,
    values: Vec<Value>,
    rows: usize,
) -> Result<(), Error> {
    let what = format!("writing {to}.{table}");
    let written = writer.execute(&what, statement, values).await?;
    // A warning is a value that was changed on its way.
    if written == rows as u64 && writer.driver().get_warnings() == 0 {
        Ok(())
    } else {
        Err(Error::Unexpected {
            server: writer.server().name(),
            what,
        })
    }
}

/// What tells the rows of one table from those of another, whatever order they lie in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Digest {
    /// How many there are.
    pub rows: u64,
    /// The sum of 60 bits of each row's MD5, decimal.
    pub sum: String,
}

/// The digest of a table as the connection sees it; computed columns are left out.
pub async fn digest(
    connection: &mut Connection,
    database: &str,
    table: &str,
) -> Result<Digest, Error> {
    let parts: Vec<String> = columns(connection, database, table)
        .await?
        .iter()
        .map(|column| {
            let column = quote_identifier(column);
            // Each with its length: no two rows give the same bytes.
            format!("COALESCE(CONCAT(LENGTH({column}), ':', CAST({column} AS BINARY)), 'N')")
        })
        .collect();
    let (rows, sum): (u64, Option<String>) = connection
        .row(
            &format!("the digest of {database}.{table}"),
            &format!(
                "SELECT COUNT(*), CAST(SUM(CAST(CONV(LEFT(MD5(CONCAT({})), 15), 16, 10) \
                 AS UNSIGNED)) AS CHAR) FROM {}",
                parts.join(", "),
                name(database, table)
            ),
            (),
        )
        .await?;
    Ok(Digest {
        rows,
        sum: sum.unwrap_or_else(|| "0".to_owned()),
    })
}
