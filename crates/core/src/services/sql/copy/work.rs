//! The pieces of all tables, and the tasks that share them.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use mysql_async::Value;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::super::checksum::{Sum, Tally};
use super::super::schema::Table;
use super::super::{Connection, Error, Server, snapshot};
use super::load::{Loader, Method};
use super::read::{Range, Shape, Sink, ranges, read};
use super::{Job, Phase, Progress, Watch};

/// What all writers together may hold of rows that are under way. A quarter of it is more than a
/// piece of a table: a single reader goes on to the next meanwhile. It leaves room for what the
/// driver holds of a large row: its last packet of 16 MiB, all of them together, and the row.
const BUDGET: usize = 16 << 20;

/// After how many rows progress is told.
const TELL: u64 = 2048;

/// A table and how it is cut.
pub(super) struct Pieces {
    shape: Arc<Shape>,
    ranges: Vec<Range>,
}

impl Pieces {
    /// Cuts `table`, as `connection` sees it in `database`.
    pub(super) async fn of(
        connection: &mut Connection,
        database: &str,
        table: &Table,
    ) -> Result<Self, Error> {
        Ok(Self {
            shape: Arc::new(Shape::of(table)),
            ranges: ranges(connection, database, table).await?,
        })
    }
}

/// A piece of a table.
type Piece = (Arc<Shape>, Range);

/// What is to be done, shared by its tasks.
pub(super) struct Work {
    source: (Server, String),
    target: (Server, String),
    streams: usize,
    watch: Watch,
    pieces: Vec<Piece>,
}

/// What the tasks of one phase share.
struct Shared {
    phase: Phase,
    database: String,
    left: Mutex<VecDeque<Piece>>,
    tallies: Mutex<BTreeMap<String, Tally>>,
    /// What was told so far, by table.
    told: Mutex<BTreeMap<String, (u64, u64)>>,
    failed: Mutex<Option<Error>>,
    /// Cancelled by the first failure, and with the watch's.
    stop: CancellationToken,
    watch: Watch,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Work {
    pub(super) fn new(job: &Job, watch: &Watch, tables: Vec<Pieces>) -> Self {
        let mut pieces = Vec::new();
        for Pieces { shape, ranges } in tables {
            let parts = ranges.len();
            for (part, range) in ranges.into_iter().enumerate() {
                pieces.push(((2 * part + 1, 2 * parts), (shape.clone(), range)));
            }
        }
        // Tables next to each other, each at its own pace: two that write to the same one wait
        // for each other when it numbers its rows.
        pieces.sort_by(|((a, of_a), _), ((b, of_b), _)| (a * of_b).cmp(&(b * of_a)));
        Self {
            source: (job.source.clone(), job.schema.database.clone()),
            target: (job.target.clone(), job.database.clone()),
            streams: job.streams.max(1),
            watch: watch.clone(),
            pieces: pieces.into_iter().map(|(_, piece)| piece).collect(),
        }
    }

    fn shared(&self, phase: Phase, database: &str) -> Arc<Shared> {
        Arc::new(Shared {
            phase,
            database: database.to_owned(),
            left: Mutex::new(self.pieces.iter().cloned().collect()),
            tallies: Mutex::new(
                self.pieces
                    .iter()
                    .map(|(shape, _)| (shape.table.clone(), Tally::default()))
                    .collect(),
            ),
            told: Mutex::default(),
            failed: Mutex::default(),
            stop: self.watch.cancel.child_token(),
            watch: self.watch.clone(),
        })
    }

    /// Copies all pieces as `readers` see them; gives what each table adds up to.
    pub(super) async fn copy(
        &self,
        readers: Vec<Connection>,
    ) -> Result<(BTreeMap<String, Sum>, Method), Error> {
        let shared = self.shared(Phase::Copy, &self.source.1);
        let (give_back, idle) = mpsc::channel(self.streams);
        let mut method = Method::Load;
        for _ in 0..self.streams {
            let mut loader = Loader::open(&self.target.0, BUDGET / self.streams).await?;
            method = loader.method().await?;
            // There is room for all.
            let _ = give_back.send(loader).await;
        }
        let idle = Arc::new(tokio::sync::Mutex::new(idle));
        let mut tasks = JoinSet::new();
        for reader in readers {
            let pool = Pool {
                idle: idle.clone(),
                give_back: give_back.clone(),
                database: self.target.1.clone(),
                method,
            };
            tasks.spawn(copy_pieces(shared.clone(), reader, pool));
        }
        drop(give_back);
        join(tasks, &shared).await;
        let sums = shared.result(&self.source.1)?;
        let mut idle = idle.lock().await;
        while let Some(loader) = idle.recv().await {
            loader.close().await;
        }
        Ok((sums, method))
    }

    /// Reads all pieces of the target again; gives how they differ from `expected`.
    pub(super) async fn check(
        &self,
        expected: &BTreeMap<String, Sum>,
    ) -> Result<Vec<String>, Error> {
        let (server, database) = &self.target;
        let shared = self.shared(Phase::Check, database);
        let mut tasks = JoinSet::new();
        for _ in 0..self.streams {
            let mut connection = server.connect().await?;
            for statement in snapshot::session() {
                let about = "setting up the session";
                connection.execute(about, statement, ()).await?;
            }
            tasks.spawn(check_pieces(shared.clone(), connection));
        }
        join(tasks, &shared).await;
        let found = shared.result(database)?;
        let nothing = Sum::default();
        Ok(expected
            .iter()
            .filter_map(|(table, expected)| {
                let found = found.get(table).unwrap_or(&nothing);
                if found.rows != expected.rows {
                    return Some(format!(
                        "{table} has {} rows, not {}",
                        found.rows, expected.rows
                    ));
                }
                (found != expected).then(|| format!("{table} has other values in its rows"))
            })
            .collect())
    }
}

/// Waits for all tasks; a panic in one is a failure of all.
async fn join(mut tasks: JoinSet<()>, shared: &Shared) {
    while let Some(ended) = tasks.join_next().await {
        if ended.is_err() {
            shared.fail(Error::Cancelled {
                what: format!("a task on {}", shared.database),
            });
        }
    }
}

impl Shared {
    fn next(&self) -> Option<Piece> {
        lock(&self.left).pop_front()
    }

    /// Keeps the first error; what comes of stopping the others is none.
    fn fail(&self, error: Error) {
        lock(&self.failed).get_or_insert(error);
        self.stop.cancel();
    }

    fn result(&self, database: &str) -> Result<BTreeMap<String, Sum>, Error> {
        if let Some(error) = lock(&self.failed).take() {
            return Err(error);
        }
        let what = match self.phase {
            Phase::Copy => format!("copying {database}"),
            Phase::Check => format!("checking {database}"),
        };
        self.watch.stop(&what)?;
        let tallies = lock(&self.tallies);
        Ok(tallies
            .iter()
            .map(|(table, tally)| (table.clone(), tally.finish()))
            .collect())
    }

    fn add(&self, table: &str, tally: &Tally) {
        if let Some(all) = lock(&self.tallies).get_mut(table) {
            all.merge(tally);
        }
    }

    fn tell(&self, table: &str, (rows, bytes): (u64, u64)) {
        let (rows, bytes) = {
            let mut told = lock(&self.told);
            let all = told.entry(table.to_owned()).or_default();
            *all = (all.0 + rows, all.1 + bytes);
            *all
        };
        (self.watch.progress)(&Progress {
            phase: self.phase,
            table,
            rows,
            bytes,
        });
    }
}

/// Rows that are counted on their way to where they go.
struct Counted<'a, S> {
    sink: S,
    shared: &'a Shared,
    table: &'a str,
    new: (u64, u64),
}

impl<S: Sink> Sink for Counted<'_, S> {
    async fn row(&mut self, row: Vec<Value>) -> Result<(), Error> {
        self.new.0 += 1;
        self.new.1 += row
            .iter()
            .map(|value| match value {
                Value::Bytes(bytes) => bytes.len() as u64,
                _ => 0,
            })
            .sum::<u64>();
        if self.new.0 == TELL {
            self.shared.tell(self.table, std::mem::take(&mut self.new));
        }
        self.sink.row(row).await
    }
}

/// The writers that readers share.
struct Pool {
    idle: Arc<tokio::sync::Mutex<mpsc::Receiver<Loader>>>,
    give_back: mpsc::Sender<Loader>,
    database: String,
    method: Method,
}

/// Reads piece after piece, each handed to a writer of its own; waits for them all.
async fn copy_pieces(shared: Arc<Shared>, mut reader: Connection, pool: Pool) {
    let mut writers = JoinSet::new();
    while let Some(piece) = shared.next() {
        let loader = tokio::select! {
            loader = async { pool.idle.lock().await.recv().await } => loader,
            () = shared.stop.cancelled() => None,
        };
        let Some(mut loader) = loader else { break };
        let (shape, range) = piece;
        let (inlet, outlet) = loader.pipe(pool.method, &shape);
        let writing = {
            let (shared, shape) = (shared.clone(), shape.clone());
            let (database, method) = (pool.database.clone(), pool.method);
            let give_back = pool.give_back.clone();
            async move {
                let written = tokio::select! {
                    written = loader.write(method, (&database, &shape), outlet) => written,
                    () = shared.stop.cancelled() => return,
                };
                match written {
                    // There is room for all.
                    Ok(()) => drop(give_back.send(loader).await),
                    Err(error) => shared.fail(error),
                }
            }
        };
        writers.spawn(writing);
        let mut counted = Counted {
            sink: inlet,
            shared: &shared,
            table: &shape.table,
            new: (0, 0),
        };
        let done = tokio::select! {
            done = async {
                let tally = read(&mut reader, &shared.database, (&shape, &range), &mut counted).await?;
                shared.tell(&shape.table, counted.new);
                counted.sink.finish().await?;
                Ok(tally)
            } => done,
            () = shared.stop.cancelled() => break,
        };
        match done {
            Ok(tally) => shared.add(&shape.table, &tally),
            // The writer of this piece knows better why.
            Err(Error::Cancelled { .. }) => break,
            Err(error) => {
                shared.fail(error);
                break;
            }
        }
    }
    while writers.join_next().await.is_some() {}
    if !shared.stop.is_cancelled() {
        reader.close().await;
    }
}

/// Reads piece after piece, only to add them up.
async fn check_pieces(shared: Arc<Shared>, mut reader: Connection) {
    while let Some((shape, range)) = shared.next() {
        let mut counted = Counted {
            sink: (),
            shared: &shared,
            table: &shape.table,
            new: (0, 0),
        };
        let done = tokio::select! {
            done = read(&mut reader, &shared.database, (&shape, &range), &mut counted) => done,
            () = shared.stop.cancelled() => return,
        };
        match done {
            Ok(tally) => {
                shared.tell(&shape.table, counted.new);
                shared.add(&shape.table, &tally);
            }
            Err(error) => {
                shared.fail(error);
                return;
            }
        }
    }
    reader.close().await;
}
