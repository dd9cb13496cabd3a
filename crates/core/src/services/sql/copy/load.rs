//! Writing a piece of a table, by LOAD DATA LOCAL or, where the server does not have it, by
//! INSERT.

use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use futures::StreamExt;
use mysql_async::Value;
use mysql_async::prelude::Queryable;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::time::{sleep, timeout};

use super::super::schema::qualified;
use super::super::{Connection, Error, Server, quote_identifier};
use super::encode::{NULL, escape_field, insert_row, warns};
use super::read::{Form, STALL, Shape, Sink};

/// How rows are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    /// LOAD DATA LOCAL.
    Load,
    /// INSERT of many rows: the server's `local_infile` is off.
    Insert,
}

/// What is sent at once.
const CHUNK: usize = 128 << 10;
/// What is escaped at once: values may be large, their text twice as large.
const WINDOW: usize = 32 << 10;

/// A connection that writes, and what it may hold in memory.
pub(super) struct Loader {
    connection: Connection,
    budget: Arc<Semaphore>,
    /// How much the budget is.
    most: usize,
    /// The most bytes of values in one INSERT, unless a single row has more.
    statement: usize,
}

/// What comes from the reader.
enum Message {
    Chunk(Bytes, Option<OwnedSemaphorePermit>),
    /// All was sent: so many rows, of which so many values warn.
    End(Totals),
}

#[derive(Clone, Copy, Debug, Default)]
struct Totals {
    rows: u64,
    warnings: u64,
}

impl Loader {
    /// A connection to `server` that may hold `budget` bytes.
    pub(super) async fn open(server: &Server, budget: usize) -> Result<Self, Error> {
        let mut connection = server.connect().await?;
        connection
            .execute(
                "setting up the session",
                // What the source accepted in its time, this one shall not judge anew. Several
                // that write to one table wait for each other's automatic numbers.
                "SET SESSION sql_mode = 'NO_AUTO_VALUE_ON_ZERO,ALLOW_INVALID_DATES', \
                 time_zone = '+00:00', foreign_key_checks = 0, check_constraint_checks = 0, \
                 innodb_lock_wait_timeout = 3600, net_read_timeout = 3600, \
                 max_statement_time = 0",
                (),
            )
            .await?;
        let packet: usize = connection
            .row(
                "asking for max_allowed_packet",
                "SELECT @@max_allowed_packet",
                (),
            )
            .await?;
        let most = budget.max(4 * CHUNK);
        Ok(Self {
            connection,
            budget: Arc::new(Semaphore::new(most)),
            most,
            statement: CHUNK.min(packet / 4),
        })
    }

    /// Whether the server takes LOAD DATA LOCAL.
    pub(super) async fn method(&mut self) -> Result<Method, Error> {
        let on: bool = self
            .connection
            .row("asking for local_infile", "SELECT @@local_infile", ())
            .await?;
        Ok(if on { Method::Load } else { Method::Insert })
    }

    pub(super) async fn close(self) {
        self.connection.close().await;
    }

    /// The two ends of a pipe: rows put into the first are what the second lets be written.
    pub(super) fn pipe(&self, method: Method, shape: &Arc<Shape>) -> (Inlet, Outlet) {
        let (sender, receiver) = mpsc::unbounded_channel();
        let inlet = Inlet {
            sender,
            buffer: Vec::new(),
            budget: self.budget.clone(),
            most: self.most,
            shape: shape.clone(),
            method,
            statement: self.statement,
            totals: Totals::default(),
        };
        (inlet, Outlet(receiver))
    }

    /// Writes what comes through the pipe into `database`.
    pub(super) async fn write(
        &mut self,
        method: Method,
        (database, shape): (&str, &Shape),
        outlet: Outlet,
    ) -> Result<(), Error> {
        let (sent, kept, warnings) = match method {
            Method::Load => self.load(database, shape, outlet).await?,
            Method::Insert => self.insert(database, shape, outlet).await?,
        };
        if sent.rows == kept && sent.warnings == warnings {
            return Ok(());
        }
        Err(Error::Inexact {
            server: self.connection.server().name(),
            table: format!("{database}.{}", shape.table),
            sent: sent.rows,
            kept,
            warnings: warnings.saturating_sub(sent.warnings),
        })
    }

    async fn load(
        &mut self,
        database: &str,
        shape: &Shape,
        outlet: Outlet,
    ) -> Result<(Totals, u64, u64), Error> {
        let about = format!("loading {database}.{}", shape.table);
        let ended = Arc::new(Mutex::new(None));
        let (told, end) = tokio::sync::oneshot::channel::<()>();
        let state = (outlet.0, ended.clone(), Some(told));
        let stream = futures::stream::unfold(state, |(mut receiver, ended, mut told)| async move {
            let item = match receiver.recv().await {
                Some(Message::Chunk(chunk, _permit)) => Ok(chunk),
                Some(Message::End(totals)) => {
                    *ended.lock().unwrap_or_else(PoisonError::into_inner) = Some(totals);
                    // The one who listens may have gone.
                    let _ = told.take().map(|told| told.send(()));
                    return None;
                }
                // The reader failed: breaking the line off makes the server forget the piece.
                None => Err(std::io::ErrorKind::BrokenPipe.into()),
            };
            Some((item, (receiver, ended, told)))
        });
        let handler = async move { Ok(stream.boxed()) };
        let driver = self.connection.driver();
        driver.set_infile_handler(handler);
        let statement = load_statement(database, shape);
        let written = tokio::select! {
            written = driver.query_drop(statement) => Some(written),
            () = async {
                // Without an end the statement fails of itself.
                if end.await.is_err() {
                    std::future::pending::<()>().await;
                }
                sleep(STALL).await;
            } => None,
        };
        let server = self.connection.server();
        match written {
            None => return Err(late(server, about)),
            Some(Err(error)) => return Err(self.connection.fault(&about, error)),
            Some(Ok(())) => {}
        }
        let sent = ended.lock().unwrap_or_else(PoisonError::into_inner).take();
        let driver = self.connection.driver();
        let (kept, warnings) = (driver.affected_rows(), u64::from(driver.get_warnings()));
        let mut sent = sent.unwrap_or_default();
        // The server's count ends there.
        sent.warnings = sent.warnings.min(u64::from(u16::MAX));
        Ok((sent, kept, warnings))
    }

    async fn insert(
        &mut self,
        database: &str,
        shape: &Shape,
        mut outlet: Outlet,
    ) -> Result<(Totals, u64, u64), Error> {
        let about = format!("filling {database}.{}", shape.table);
        let columns: Vec<_> = shape
            .written
            .iter()
            .map(|(name, _)| quote_identifier(name))
            .collect();
        let start = format!(
            "INSERT INTO {} ({}) VALUES ",
            qualified(database, &shape.table),
            columns.join(",")
        );
        let (mut kept, mut warnings) = (0, 0);
        loop {
            match outlet.0.recv().await {
                None => return Err(Error::Cancelled { what: about }),
                Some(Message::End(totals)) => return Ok((totals, kept, warnings)),
                Some(Message::Chunk(rows, _permit)) => {
                    // In place: they may be one large row.
                    let mut statement = Vec::from(rows);
                    statement.splice(..0, start.bytes());
                    let driver = self.connection.driver();
                    match timeout(STALL, driver.query_drop(statement)).await {
                        Err(_) => return Err(late(self.connection.server(), about)),
                        Ok(Err(error)) => return Err(self.connection.fault(&about, error)),
                        Ok(Ok(())) => {}
                    }
                    kept += driver.affected_rows();
                    warnings += u64::from(driver.get_warnings());
                }
            }
        }
    }
}

fn late(server: &Server, what: String) -> Error {
    Error::Deadline {
        server: server.name(),
        what,
        seconds: STALL.as_secs(),
    }
}

/// Values are bytes, whatever their column's character set.
fn load_statement(database: &str, shape: &Shape) -> String {
    let mut targets = Vec::new();
    let mut settings = Vec::new();
    for (at, (name, form)) in shape.written.iter().enumerate() {
        let name = quote_identifier(name);
        match form {
            Form::Enum | Form::Set => {
                targets.push(format!("@opsweek_{at}"));
                settings.push(format!("{name} = CAST(@opsweek_{at} AS UNSIGNED)"));
            }
            Form::Plain | Form::Double | Form::Bytes(_) => targets.push(name),
        }
    }
    let set = if settings.is_empty() {
        String::new()
    } else {
        format!(" SET {}", settings.join(", "))
    };
    format!(
        "LOAD DATA LOCAL INFILE 'opsweek' INTO TABLE {} CHARACTER SET binary \
         FIELDS TERMINATED BY '\\t' ESCAPED BY '\\\\' LINES TERMINATED BY '\\n' ({}){set}",
        qualified(database, &shape.table),
        targets.join(", ")
    )
}

/// The end of a pipe that rows come out of.
pub(super) struct Outlet(mpsc::UnboundedReceiver<Message>);

/// The end of a pipe that rows are put into.
pub(super) struct Inlet {
    sender: mpsc::UnboundedSender<Message>,
    buffer: Vec<u8>,
    budget: Arc<Semaphore>,
    most: usize,
    shape: Arc<Shape>,
    method: Method,
    statement: usize,
    totals: Totals,
}

impl Inlet {
    /// Says that all was put in.
    pub(super) async fn finish(mut self) -> Result<(), Error> {
        self.flush().await?;
        self.send(Message::End(self.totals))
    }

    /// Hands over what has gathered, once there is room for it.
    async fn flush(&mut self) -> Result<(), Error> {
        if self.buffer.is_empty() {
            return Ok(());
        }
        let chunk = Bytes::from(std::mem::take(&mut self.buffer));
        // A single INSERT may be larger than all that may be held: it goes alone then.
        let size = u32::try_from(chunk.len().min(self.most)).unwrap_or(u32::MAX);
        let permit = timeout(STALL, self.budget.clone().acquire_many_owned(size)).await;
        let permit = permit.map_err(|_| self.gone())?.ok();
        self.send(Message::Chunk(chunk, permit))
    }

    fn send(&self, message: Message) -> Result<(), Error> {
        self.sender.send(message).map_err(|_| self.gone())
    }

    /// The writer has failed, and says itself why.
    fn gone(&self) -> Error {
        Error::Cancelled {
            what: format!("writing {}", self.shape.table),
        }
    }
}

impl Sink for Inlet {
    async fn row(&mut self, row: Vec<Value>) -> Result<(), Error> {
        let shape = self.shape.clone();
        let forms = shape.written.iter().map(|(_, form)| *form);
        self.totals.rows += 1;
        let written = row.iter().zip(forms.clone());
        self.totals.warnings += written.filter(|(value, form)| warns(value, *form)).count() as u64;
        if self.method == Method::Insert {
            if !self.buffer.is_empty() {
                self.buffer.push(b',');
            }
            insert_row(&mut self.buffer, row.iter().zip(forms));
            if self.buffer.len() >= self.statement {
                self.flush().await?;
            }
            return Ok(());
        }
        let mut separator = None;
        for value in row.into_iter().take(shape.written.len()) {
            self.buffer.extend(separator);
            separator = Some(b'\t');
            let Value::Bytes(bytes) = value else {
                self.buffer.extend_from_slice(NULL);
                continue;
            };
            for window in bytes.chunks(WINDOW) {
                escape_field(&mut self.buffer, window);
                if self.buffer.len() >= CHUNK {
                    self.flush().await?;
                    self.buffer.reserve(CHUNK + 2 * WINDOW);
                }
            }
        }
        self.buffer.push(b'\n');
        if self.buffer.len() >= CHUNK {
            self.flush().await?;
        }
        Ok(())
    }
}
