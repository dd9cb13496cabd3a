//! Connections that all see a database as it was at one moment.

use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use tokio_util::sync::CancellationToken;

use super::marker::Position;
use super::schema::qualified;
use super::{Connection, Error, Server};

/// How several connections come to see the same moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Mode {
    /// By locking the database's own tables against writing for a moment; by one connection
    /// without any lock where the account may not do so or the tables are in use.
    #[default]
    Tables,
    /// One connection, no lock.
    Single,
    /// By locking all tables of the server for a moment: never while a query runs longer than
    /// 2 s. Needs RELOAD and PROCESS.
    GlobalLock,
}

/// Connections that see one moment.
pub struct Snapshot {
    /// All the same; at least one. Their time zone is UTC, and text comes as it is stored.
    pub connections: Vec<Connection>,
    /// The moment.
    pub position: Position,
    /// How long writers may have been held up at most: from asking for the lock to letting it
    /// go, or giving up. `None` when no lock was asked for.
    pub held: Option<Duration>,
    /// Why there is one connection although more were asked for.
    pub alone: Option<String>,
}

/// How long the lock may take to be had: all who write meanwhile wait as well.
const PATIENCE: Duration = Duration::from_secs(2);
/// How long it may be held: the time in which all connections must have begun.
const LONGEST: Duration = Duration::from_secs(10);
/// How often it is tried.
const TRIES: u32 = 3;
/// How long those who waited are let through between two tries.
const PAUSE: Duration = Duration::from_millis(500);

/// Access denied (to a database, a table, an operation): source `MariaDB`, "`MariaDB` Error
/// Code Reference".
const DENIED: [u16; 3] = [1044, 1142, 1227];
/// Lock wait timeout exceeded; query interrupted for its `max_statement_time`.
const BUSY: [u16; 2] = [1205, 1969];

/// Takes a snapshot of `tables` in `database`, with `connections` connections where it can be
/// shared.
pub async fn take(
    server: &Server,
    database: &str,
    tables: &[String],
    mode: Mode,
    connections: usize,
    cancel: &CancellationToken,
) -> Result<Snapshot, Error> {
    let about = format!("taking a snapshot of {database}");
    let connections = if mode == Mode::Single {
        1
    } else {
        connections.max(1)
    };
    let mut opened = Vec::new();
    for _ in 0..connections {
        let mut connection = server.connect().await?;
        for statement in session() {
            connection.execute(&about, statement, ()).await?;
        }
        opened.push(connection);
    }
    let mut alone = None;
    let mut held = None;
    let mut shared = false;
    if opened.len() > 1 && !tables.is_empty() {
        let lock = if mode == Mode::GlobalLock {
            "FLUSH TABLES WITH READ LOCK".to_owned()
        } else {
            let tables: Vec<_> = tables
                .iter()
                .map(|table| format!("{} READ", qualified(database, table)))
                .collect();
            format!("LOCK TABLES {}", tables.join(", "))
        };
        let task = (mode, about.as_str(), cancel);
        match together(server, &mut opened, &lock, task, &mut held).await {
            Ok(()) => shared = true,
            Err(error) if mode == Mode::Tables && is_denied(&error) => {
                alone = Some("the account may not LOCK TABLES there".to_owned());
            }
            Err(error) if mode == Mode::Tables && is_busy(&error) => {
                alone = Some(format!(
                    "the tables could not be locked within {} s, {TRIES} times",
                    PATIENCE.as_secs()
                ));
            }
            Err(error) => return Err(error),
        }
    }
    if !shared {
        for extra in opened.drain(1..) {
            extra.close().await;
        }
        for connection in &mut opened {
            connection.execute(&about, START, ()).await?;
        }
    }
    let position = match opened.first_mut() {
        Some(connection) => position(connection).await?,
        None => return Err(Error::Cancelled { what: about }),
    };
    Ok(Snapshot {
        connections: opened,
        position,
        held,
        alone,
    })
}

fn is_denied(error: &Error) -> bool {
    error.code().is_some_and(|code| DENIED.contains(&code))
}

fn is_busy(error: &Error) -> bool {
    error.code().is_some_and(|code| BUSY.contains(&code))
}

const START: &str = "START TRANSACTION WITH CONSISTENT SNAPSHOT, READ ONLY";

/// What reading rows as they are stored needs. A reader waits for whoever writes what it has
/// read, longer than servers usually allow.
pub(super) fn session() -> [&'static str; 2] {
    [
        "SET SESSION sql_mode = '', time_zone = '+00:00', character_set_results = NULL, \
         net_write_timeout = 3600, max_statement_time = 0, idle_transaction_timeout = 0, \
         idle_readonly_transaction_timeout = 0",
        "SET SESSION TRANSACTION ISOLATION LEVEL REPEATABLE READ",
    ]
}

/// Locks, lets all connections begin, unlocks. `held` becomes how long a try held up writers
/// at most.
async fn together(
    server: &Server,
    readers: &mut [Connection],
    lock: &str,
    (mode, about, cancel): (Mode, &str, &CancellationToken),
    held: &mut Option<Duration>,
) -> Result<(), Error> {
    let mut locker = server.connect().await?;
    // The tables are locked one after the other, each with its own patience; the statement's
    // is that of all together. Should this program be stopped, or its machine be gone, while it
    // holds the lock, the server ends the connection.
    let session = format!(
        "SET SESSION lock_wait_timeout = {0}, max_statement_time = {0}, wait_timeout = {1}",
        PATIENCE.as_secs(),
        LONGEST.as_secs()
    );
    locker.execute(about, &session, ()).await?;
    let mut tries = TRIES;
    loop {
        if cancel.is_cancelled() {
            let what = about.to_owned();
            return Err(Error::Cancelled { what });
        }
        if mode == Mode::GlobalLock {
            refuse_long_queries(&mut locker, about).await?;
        }
        tries -= 1;
        let begun = Instant::now();
        if let Err(error) = locker.execute(about, lock, ()).await {
            if !is_denied(&error) {
                *held = (*held).max(Some(begun.elapsed()));
            }
            if !is_busy(&error) || tries == 0 {
                return Err(error);
            }
            tokio::time::sleep(PAUSE).await;
            continue;
        }
        let starts = readers
            .iter_mut()
            .map(|reader| reader.execute(about, START, ()));
        let started = futures::future::try_join_all(starts).await;
        // Dropping the connection unlocks as well, but nobody would know when.
        locker.execute(about, "UNLOCK TABLES", ()).await?;
        *held = (*held).max(Some(begun.elapsed()));
        locker.close().await;
        return started.map(drop);
    }
}

/// FLUSH TABLES WITH READ LOCK waits for every query, and all who write wait for it.
async fn refuse_long_queries(connection: &mut Connection, about: &str) -> Result<(), Error> {
    let seen: Vec<(u64, u64)> = connection
        .rows(
            about,
            "SELECT ID, CAST(TIME_MS / 1000 AS UNSIGNED) FROM information_schema.PROCESSLIST \
             WHERE COMMAND IN ('Query', 'Execute') AND ID <> CONNECTION_ID() \
             AND TIME_MS > 2000 AND USER <> 'system user' ORDER BY TIME_MS DESC LIMIT 1",
            (),
        )
        .await?;
    match seen.first() {
        None => Ok(()),
        Some((id, seconds)) => Err(Error::LongQuery {
            server: connection.server().name(),
            connection: *id,
            seconds: *seconds,
        }),
    }
}

/// The moment that a connection in its snapshot sees. Source: `MariaDB`, "Enhancements for
/// START TRANSACTION WITH CONSISTENT SNAPSHOT".
async fn position(connection: &mut Connection) -> Result<Position, Error> {
    let about = "asking for the snapshot's position";
    let taken: String = connection
        .row(about, "SELECT CAST(UTC_TIMESTAMP(6) AS CHAR)", ())
        .await?;
    let status: Vec<(String, String)> = connection
        .rows(about, "SHOW STATUS LIKE 'binlog_snapshot_%'", ())
        .await?;
    let value = |name: &str| {
        status
            .iter()
            .find(|(key, _)| key.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.as_str())
            .unwrap_or_default()
    };
    let (file, offset) = (
        value("binlog_snapshot_file"),
        value("binlog_snapshot_position"),
    );
    let binlog = (!file.is_empty()).then(|| format!("{file}:{offset}"));
    Ok(Position { taken, binlog })
}
