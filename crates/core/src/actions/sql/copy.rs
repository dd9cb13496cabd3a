//! The copy: one snapshot of production, into the database beside staging. All or nothing,
//! and begun anew when it was cut short.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use futures::future::try_join_all;
use serde_json::{Map, Value, json};
use tokio::sync::Mutex;

use super::mark::{self, MARK, Stage};
use super::swap::{clear, fingerprint, make};
use super::{Databases, Place, Snapshot, Sync};
use crate::engine::{Cx, Failure, State};
use crate::services::sql::{Connection, Error, Object, Server, quote_identifier, transfer};

/// How long taking the locks of a snapshot may wait for writers: others queue meanwhile.
const LOCK_WAIT: u64 = 2;
/// How often it is tried.
const TRIES: u32 = 10;
/// "Lock wait timeout exceeded". Source: `MariaDB`, "Error Code Reference".
const LOCK_TIMEOUT: u16 = 1205;
/// Missing privileges: on a database, on a table, of the whole server. Same source.
const DENIED: [u16; 3] = [1044, 1142, 1227];

/// What is copied: all but a mark that an earlier copy brought along.
fn wanted(objects: Vec<Object>) -> Vec<Object> {
    objects
        .into_iter()
        .filter(|object| object.name != MARK)
        .collect()
}

/// The digest of the definitions of everything that would be copied.
pub async fn schema(connection: &mut Connection, from: &Place) -> Result<String, Error> {
    let objects = wanted(connection.objects(&from.database).await?);
    connection.schema_hash(&from.database, &objects).await
}

pub(super) async fn observe(
    databases: &Databases,
    sync: &Sync,
    from: &Place,
    was: &str,
) -> Result<State, Failure> {
    let mut connection = databases.connect(&sync.target).await?;
    let done = mark::anywhere(&mut connection, sync, Stage::Copied).await?;
    let found = fingerprint(&mut connection, &sync.target.new()).await?;
    connection.close().await;
    if done {
        return Ok(State::Done);
    }
    if found.starts_with("names ") {
        return Ok(State::Drifted(format!(
            "{} holds what is no copy of ours",
            sync.target.new()
        )));
    }
    let mut source = databases.connect(from).await?;
    let now = schema(&mut source, from).await?;
    source.close().await;
    Ok(if now == was {
        State::Pending
    } else {
        State::Drifted(format!("the tables of {from} are not defined as they were"))
    })
}

pub(super) async fn apply(
    databases: &Databases,
    sync: &Sync,
    from: &Place,
    schema_only: &[String],
    (snapshot, connections): (Snapshot, usize),
    cx: &Cx,
) -> Result<Value, Failure> {
    let new = sync.target.new();
    let source = databases.server(&from.server)?;
    let target = databases.server(&new.server)?;
    let mut writer = target.connect().await?;
    make(&mut writer, &new).await?;
    clear(&mut writer, &new).await?;
    mark::begin(&mut writer, &new, &sync.id).await?;

    let mut reader = source.connect().await?;
    let objects = wanted(reader.objects(&from.database).await?);
    reader.close().await;
    let (readers, moment) = open(source, from, &objects, snapshot, connections.max(1)).await?;
    let held = u64::try_from(moment.as_millis()).unwrap_or(u64::MAX);
    let count = readers.len();

    transfer::prepare(&mut writer).await?;
    // Defaults of tables may name sequences.
    let (sequences, tables): (Vec<&Object>, Vec<&Object>) =
        objects.iter().partition(|object| object.is_sequence());
    let mut readers = readers;
    if let Some(reader) = readers.first_mut() {
        for sequence in &sequences {
            let (from, to) = (&from.database, &new.database);
            transfer::sequence(reader, from, &mut writer, to, &sequence.name).await?;
        }
        for table in &tables {
            let (from, to) = (&from.database, &new.database);
            transfer::definition(reader, from, &mut writer, to, &table.name).await?;
        }
    }

    let full = tables
        .iter()
        .filter(|table| !schema_only.contains(&table.name));
    let mut full: Vec<&Object> = full.copied().collect();
    // The largest first, so that none is left for the end alone.
    full.sort_by_key(|table| std::cmp::Reverse(table.bytes));
    let total = full.iter().map(|table| table.bytes).sum();
    let work = Work {
        queue: Mutex::new(full.into()),
        done: AtomicU64::new(0),
        total,
        from,
        to: &new,
        cx,
    };
    let lanes = readers.into_iter().map(|reader| work.lane(reader, target));
    let copied = try_join_all(lanes).await?;
    let mut told: Vec<(String, Value)> = copied.into_iter().flatten().collect();
    told.sort_by(|a, b| a.0.cmp(&b.0));
    let tables: Map<String, Value> = told.into_iter().collect();
    let told = json!({
        "connections": count,
        "snapshot_held_milliseconds": held,
        "tables": tables,
        "sequences": sequences.len(),
    });
    mark::set(&mut writer, &new, &sync.id, Stage::Copied, &told).await?;
    writer.close().await;
    Ok(told)
}

/// Tables to be copied, by several connections at once.
struct Work<'a> {
    queue: Mutex<VecDeque<&'a Object>>,
    /// Bytes of tables that are done, as the engine estimates them.
    done: AtomicU64,
    total: u64,
    from: &'a Place,
    to: &'a Place,
    cx: &'a Cx,
}

impl Work<'_> {
    async fn lane(
        &self,
        mut reader: Connection,
        target: &Server,
    ) -> Result<Vec<(String, Value)>, Failure> {
        let mut writer = target.connect().await?;
        transfer::prepare(&mut writer).await?;
        let mut told = Vec::new();
        loop {
            let Some(table) = self.queue.lock().await.pop_front() else {
                break;
            };
            let cx = self.cx.for_step(&table.name);
            let (from, to) = (&self.from.database, &self.to.database);
            let mut progress = |rows| {
                if rows % 10_000 == 0 {
                    cx.progress(rows, Some(table.rows.max(rows)), "rows");
                }
                !cx.cancel().is_cancelled()
            };
            let rows = transfer::rows(
                &mut reader,
                from,
                &mut writer,
                to,
                &table.name,
                &mut progress,
            )
            .await?
            .ok_or_else(Failure::interrupted)?;
            let there = transfer::digest(&mut reader, from, &table.name).await?;
            let here = transfer::digest(&mut writer, to, &table.name).await?;
            if here != there || here.rows != rows {
                return Err(Failure::new(
                    format!(
                        "the copy of {} differs: {} rows of digest {}, not {} of {}",
                        table.name, here.rows, here.sum, there.rows, there.sum
                    ),
                    "staging is untouched; report it".to_owned(),
                ));
            }
            let done = self.done.fetch_add(table.bytes, Ordering::Relaxed) + table.bytes;
            self.cx.progress(done, Some(self.total), "bytes");
            told.push((
                table.name.clone(),
                json!({ "rows": rows, "digest": here.sum }),
            ));
        }
        reader.close().await;
        writer.close().await;
        Ok(told)
    }
}

/// Connections that see the database as it was at one moment, and how long writers were
/// held up for that.
async fn open(
    source: &Server,
    from: &Place,
    objects: &[Object],
    snapshot: Snapshot,
    connections: usize,
) -> Result<(Vec<Connection>, Duration), Failure> {
    let tables: Vec<String> = objects
        .iter()
        .filter(|object| object.is_table())
        .map(|table| {
            let (database, name) = (quote_identifier(&from.database), &table.name);
            format!("{database}.{} READ", quote_identifier(name))
        })
        .collect();
    let lock = match snapshot {
        Snapshot::OneConnection => None,
        Snapshot::TableLocks if connections == 1 => None,
        Snapshot::TableLocks => Some(format!("LOCK TABLES {}", tables.join(", "))),
        Snapshot::GlobalLock => Some("FLUSH TABLES WITH READ LOCK".to_owned()),
    };
    let Some(lock) = lock.filter(|_| !tables.is_empty()) else {
        return Ok((vec![reader(source).await?], Duration::ZERO));
    };
    let mut locker = source.connect().await?;
    let what = format!("locking the tables of {from} for the snapshot");
    locker
        .execute(
            &what,
            &format!("SET SESSION lock_wait_timeout = {LOCK_WAIT}"),
            (),
        )
        .await?;
    for _ in 0..TRIES {
        if snapshot == Snapshot::GlobalLock {
            no_long_query(&mut locker).await?;
        }
        // Connected before, so that the locks are held for as short as can be.
        let mut readers = Vec::new();
        for _ in 0..connections {
            readers.push(source.connect().await?);
        }
        let begun = Instant::now();
        match locker.execute(&what, &lock, ()).await {
            Ok(_) => {
                let opened = try_join_all(readers.iter_mut().map(begin)).await;
                locker.execute(&what, "UNLOCK TABLES", ()).await?;
                let held = begun.elapsed();
                opened?;
                locker.close().await;
                return Ok((readers, held));
            }
            Err(error) if error.code() == Some(LOCK_TIMEOUT) => {
                tokio::time::sleep(Duration::from_millis(500)).await;
            }
            Err(error)
                if snapshot == Snapshot::TableLocks
                    && error.code().is_some_and(|code| DENIED.contains(&code)) =>
            {
                return Ok((vec![reader(source).await?], Duration::ZERO));
            }
            Err(error) => return Err(error.into()),
        }
    }
    // Writers never leave a gap: nobody is held up, it only takes longer.
    Ok((vec![reader(source).await?], Duration::ZERO))
}

async fn reader(source: &Server) -> Result<Connection, Error> {
    let mut connection = source.connect().await?;
    begin(&mut connection).await?;
    Ok(connection)
}

async fn begin(connection: &mut Connection) -> Result<(), Error> {
    let what = "opening the snapshot";
    for statement in [
        "SET SESSION TRANSACTION ISOLATION LEVEL REPEATABLE READ",
        "SET SESSION time_zone = '+00:00', net_write_timeout = 3600",
        "START TRANSACTION WITH CONSISTENT SNAPSHOT, READ ONLY",
    ] {
        connection.execute(what, statement, ()).await?;
    }
    Ok(())
}

/// FLUSH TABLES WITH READ LOCK waits for every query of the server, and every later one
/// waits behind it.
async fn no_long_query(connection: &mut Connection) -> Result<(), Failure> {
    let rows: Vec<(u64, Option<String>)> = connection
        .rows(
            "looking for long queries",
            "SELECT ID, DB FROM information_schema.PROCESSLIST \
             WHERE COMMAND IN ('Query', 'Execute') AND TIME > 2 AND ID <> CONNECTION_ID()",
            (),
        )
        .await?;
    match rows.first() {
        None => Ok(()),
        Some((id, database)) => Err(Failure::new(
            format!(
                "no snapshot by a global lock: connection {id} ({}) runs a query for more \
                 than 2 s",
                database.as_deref().unwrap_or("no database")
            ),
            "wait for it, or set snapshot = \"table-locks\" in the profile".to_owned(),
        )),
    }
}
