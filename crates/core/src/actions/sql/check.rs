//! The proof of a copy, read from the copy itself.

use serde_json::{Value, json};

use super::mark::{self, Stage};
use super::neutralise::set_mode;
use super::rewrite::look_at_secrets;
use super::{Databases, Rewriting, Sync};
use crate::engine::Failure;
use crate::services::sql::{Connection, Error, ForeignKey, quote_identifier};

/// How many faults are named.
const NAMED: usize = 20;

/// The table and the column that say which reports send mail. Source: Superset 6.1.0,
/// `superset/reports/models.py`.
pub const ACTIVE: (&str, &str) = ("report_schedule", "active");

/// How many reports of a database are active; none where it has no such table.
pub async fn active_reports(connection: &mut Connection, database: &str) -> Result<u64, Error> {
    let (table, column) = ACTIVE;
    if !connection.has_column(database, table, column).await? {
        return Ok(0);
    }
    let (count,) = connection
        .row(
            &format!("active reports in {database}"),
            &format!(
                "SELECT COUNT(*) FROM {}.{table} WHERE {column}",
                quote_identifier(database)
            ),
            (),
        )
        .await?;
    Ok(count)
}

pub(super) async fn apply(
    databases: &Databases,
    sync: &Sync,
    rewriting: &Rewriting,
    schema_only: &[String],
) -> Result<Value, Failure> {
    let new = sync.target.new();
    let mut connection = databases.connect(&new).await?;
    connection.take_time();
    set_mode(&mut connection).await?;
    let key = databases.target_key.as_ref();
    let secrets = look_at_secrets(&mut connection, &new.database, rewriting, key).await?;
    let mut faults = [&*secrets.bad, &*secrets.broken].concat();
    for found in secrets
        .principals
        .iter()
        .filter(|found| found.new.is_some())
    {
        faults.push(format!("{}: still {}", found.place, found.old));
    }
    let unreached = secrets.unreached.iter();
    faults.extend(unreached.map(|found| format!("{found} of production's")));
    for one in &rewriting.neutralise {
        let left = one.left(&mut connection, &new.database).await?;
        if left > 0 {
            faults.push(format!("not so in {left} rows: {}", one.summary()));
        }
    }
    // Whatever the profile says of them.
    let reports = active_reports(&mut connection, &new.database).await?;
    if reports > 0 {
        faults.push(format!("{reports} reports are active"));
    }
    for table in schema_only {
        if holds_rows(&mut connection, &new.database, table).await? {
            faults.push(format!("{table} is not empty"));
        }
    }
    let objects = connection.objects(&new.database).await?;
    let keys = connection.foreign_keys(&new.database, &objects).await?;
    for key in &keys {
        if has_orphan(&mut connection, &new.database, key).await? {
            faults.push(format!(
                "{}: a row's {} points nowhere",
                key.table, key.name
            ));
        }
    }
    if !faults.is_empty() {
        let more = faults.len().saturating_sub(NAMED);
        faults.truncate(NAMED);
        if more > 0 {
            faults.push(format!("{more} more"));
        }
        return Err(Failure::new(
            format!("the copy is not good: {}", faults.join("; ")),
            format!("staging is untouched; {new} is kept for a look"),
        ));
    }
    let told = json!({ "secrets": secrets.count, "foreign_keys": keys.len() });
    mark::set(&mut connection, &new, &sync.id, Stage::Checked, &told).await?;
    connection.close().await;
    Ok(told)
}

async fn holds_rows(
    connection: &mut Connection,
    database: &str,
    table: &str,
) -> Result<bool, Error> {
    let rows: Vec<u8> = connection
        .rows(
            &format!("looking into {database}.{table}"),
            &format!(
                "SELECT 1 FROM {}.{} LIMIT 1",
                quote_identifier(database),
                quote_identifier(table)
            ),
            (),
        )
        .await?;
    Ok(!rows.is_empty())
}

/// Whether a row points to none: rows with a NULL in the key point nowhere on purpose.
async fn has_orphan(
    connection: &mut Connection,
    database: &str,
    key: &ForeignKey,
) -> Result<bool, Error> {
    let mut joins = Vec::new();
    let mut given = Vec::new();
    for (here, there) in &key.columns {
        let (here, there) = (quote_identifier(here), quote_identifier(there));
        joins.push(format!("a.{here} = b.{there}"));
        given.push(format!("a.{here} IS NOT NULL"));
    }
    let first = key
        .columns
        .first()
        .map(|(_, there)| quote_identifier(there));
    let rows: Vec<u8> = connection
        .rows(
            &format!("checking {} of {database}.{}", key.name, key.table),
            &format!(
                "SELECT 1 FROM {database}.{} a LEFT JOIN {database}.{} b ON {} \
                 WHERE {} AND b.{} IS NULL LIMIT 1",
                quote_identifier(&key.table),
                quote_identifier(&key.other),
                joins.join(" AND "),
                given.join(" AND "),
                first.unwrap_or_default(),
                database = quote_identifier(database),
            ),
            (),
        )
        .await?;
    Ok(!rows.is_empty())
}
