//! What is seen around the databases: the target's server, and who uses either of them.

use std::path::PathBuf;

use crate::actions::sql::{Place, active_reports};
use crate::services::sql::{Connection, Endpoint, Error, quote_identifier};

use super::inventory::{Disk, Host, Transaction, Usage};

/// The server that is written to.
pub(super) async fn host(target: &mut Connection) -> Result<Host, Error> {
    let (folder, logs, read_only): (String, bool, bool) = target
        .row(
            "where its data is",
            "SELECT @@datadir, @@log_bin, @@read_only",
            (),
        )
        .await?;
    // SQL does not tell; a server that is reached by its socket is on this machine.
    let disk = match target.server().config().endpoint {
        Endpoint::Socket(_) => rustix::fs::statvfs(&folder).ok().map(|found| Disk {
            path: PathBuf::from(folder),
            free: found.f_bavail.saturating_mul(found.f_frsize),
        }),
        Endpoint::Tcp { .. } => None,
    };
    Ok(Host {
        disk,
        logs,
        read_only,
    })
}

/// The transactions that are open in one of the databases, or in none that is known, the
/// oldest first; `None` without the privilege PROCESS, which is needed for nothing else.
pub(super) async fn transactions(
    target: &mut Connection,
    place: &Place,
) -> Result<Option<Vec<Transaction>>, Error> {
    let open: Result<Vec<(u64, String, i64)>, Error> = target
        .rows(
            &format!("open transactions in {place}"),
            "SELECT trx_mysql_thread_id, CONCAT(p.USER, '@', p.HOST), \
             TIMESTAMPDIFF(SECOND, trx_started, NOW()) FROM information_schema.INNODB_TRX \
             JOIN information_schema.PROCESSLIST AS p ON p.ID = trx_mysql_thread_id \
             WHERE p.ID <> CONNECTION_ID() AND COALESCE(p.DB, ?) = ? ORDER BY trx_started",
            (&place.database, &place.database),
        )
        .await;
    match open {
        Ok(open) => {
            let open = open.into_iter();
            let open = open.map(|(connection, account, seconds)| Transaction {
                connection,
                account,
                seconds: seconds.max(0).unsigned_abs(),
            });
            Ok(Some(open.collect()))
        }
        Err(error) if error.code().is_some() => Ok(None),
        Err(error) => Err(error),
    }
}

/// The tables of other databases with a foreign key into one of these, where they can be seen.
pub(super) async fn pointing(
    target: &mut Connection,
    places: &[&Place],
) -> Result<Option<Vec<String>>, Error> {
    let mut all = Vec::new();
    for place in places {
        match target.pointing_into(&place.database).await? {
            Some(tables) => all.extend(tables),
            None => return Ok(None),
        }
    }
    Ok(Some(all))
}

/// Who uses the Superset of that database. Source: Superset 6.1.0, `superset/models/core.py`
/// (`Log`, its times in UTC).
pub(super) async fn usage(connection: &mut Connection, place: &Place) -> Result<Usage, Error> {
    let database = &place.database;
    let mut usage = Usage::default();
    if has_columns(connection, database, "logs", &["id", "user_id", "dttm"]).await? {
        (usage.users, usage.last) = connection
            .row(
                &format!("who used {place}"),
                &format!(
                    "SELECT COUNT(DISTINCT IF(dttm > UTC_TIMESTAMP() - INTERVAL 7 DAY, user_id, \
                     NULL)), CAST(MAX(dttm) AS CHAR) FROM \
                     (SELECT user_id, dttm FROM {}.logs ORDER BY id DESC LIMIT 10000) AS last",
                    quote_identifier(database)
                ),
                (),
            )
            .await?;
    }
    usage.reports = active_reports(connection, database).await?;
    Ok(usage)
}

async fn has_columns(
    connection: &mut Connection,
    database: &str,
    table: &str,
    columns: &[&str],
) -> Result<bool, Error> {
    for column in columns {
        if !connection.has_column(database, table, column).await? {
            return Ok(false);
        }
    }
    Ok(true)
}
