//! One connection, every statement with its deadline.

use std::time::Duration;

use mysql_async::prelude::{FromRow, Queryable};
use mysql_async::{Conn, Params};
use tokio::time::timeout;

use super::{Error, Server};

/// A connection. A statement that missed its deadline, or a broken line, ends it: what is
/// asked afterwards fails.
pub struct Connection {
    server: Server,
    conn: Conn,
    /// How long a statement may take.
    within: Duration,
}

/// How long a statement may take that reads or changes all of a table.
pub(super) const LONG: Duration = Duration::from_mins(10);

/// "Access denied for user". Source: `MariaDB`, "`MariaDB` Error Code Reference".
const ACCESS_DENIED: u16 = 1045;

/// Three tries where the server says no: one login in 256 by ed25519 fails though the password
/// is right, since the driver cuts the last byte off a nonce that ends in 0. Source:
/// `blackbeam/rust_mysql_common`, pull request 193, not yet in a driver that was published.
async fn log_in(server: &Server) -> Result<Conn, mysql_async::Error> {
    let mut tries = 1;
    loop {
        match Conn::new(server.options()).await {
            Err(mysql_async::Error::Server(said)) if said.code == ACCESS_DENIED && tries < 3 => {
                tries += 1;
            }
            answer => return answer,
        }
    }
}

impl Connection {
    pub(super) async fn open(server: Server) -> Result<Self, Error> {
        let within = server.config().deadline;
        match timeout(within, log_in(&server)).await {
            Ok(Ok(conn)) => Ok(Self {
                server,
                conn,
                within,
            }),
            Ok(Err(error)) => Err(Error::connecting(server.name(), error)),
            Err(_) => Err(late(&server, "connecting", within)),
        }
    }

    /// The server that it leads to.
    pub fn server(&self) -> &Server {
        &self.server
    }

    /// From now on a statement may take 10 min at least, for what reads or changes all of a table.
    pub fn take_time(&mut self) {
        self.within = self.within.max(LONG);
    }

    /// The driver's connection, for what is not said here; [`Connection::fault`] names its
    /// errors.
    pub fn driver(&mut self) -> &mut Conn {
        &mut self.conn
    }

    /// The rows of one statement, all kept in memory. `what`: what is asked, about which
    /// object, for messages. With parameters (`?`) the statement is prepared.
    pub async fn rows<T: FromRow + Send + 'static>(
        &mut self,
        what: &str,
        statement: &str,
        parameters: impl Into<Params>,
    ) -> Result<Vec<T>, Error> {
        let parameters = parameters.into();
        let within = self.within;
        let asked = async {
            let rows: Vec<mysql_async::Row> = match parameters {
                Params::Empty => self.conn.query(statement).await?,
                parameters => self.conn.exec(statement, parameters).await?,
            };
            Ok(rows)
        };
        let rows = match timeout(within, asked).await {
            Ok(rows) => rows.map_err(|error| self.fault(what, error))?,
            Err(_) => return Err(late(&self.server, what, within)),
        };
        rows.into_iter()
            .map(|row| {
                T::from_row_opt(row).map_err(|_| Error::Unexpected {
                    server: self.server.name(),
                    what: what.to_owned(),
                })
            })
            .collect()
    }

    /// The only row of one statement.
    pub async fn row<T: FromRow + Send + 'static>(
        &mut self,
        what: &str,
        statement: &str,
        parameters: impl Into<Params>,
    ) -> Result<T, Error> {
        let mut rows = self.rows(what, statement, parameters).await?;
        match rows.pop() {
            Some(row) if rows.is_empty() => Ok(row),
            _ => Err(Error::Unexpected {
                server: self.server.name(),
                what: what.to_owned(),
            }),
        }
    }

    /// Runs one statement; gives the number of rows that it changed.
    pub async fn execute(
        &mut self,
        what: &str,
        statement: &str,
        parameters: impl Into<Params>,
    ) -> Result<u64, Error> {
        let _: Vec<mysql_async::Row> = self.rows(what, statement, parameters).await?;
        Ok(self.conn.affected_rows())
    }

    /// As [`Server::identity`].
    pub async fn identity(&mut self) -> Result<String, Error> {
        let (host, port, number, data): (String, u32, u32, String) = self
            .row(
                "asking who it is",
                "SELECT @@hostname, @@port, @@server_id, @@datadir",
                (),
            )
            .await?;
        Ok(format!("{host}:{port} server_id={number} {data}"))
    }

    /// The error of a call that was made on [`Connection::driver`].
    pub fn fault(&self, what: &str, error: mysql_async::Error) -> Error {
        Error::asking(self.server.name(), what, error)
    }

    /// Says goodbye; what goes wrong with that is of no interest any more.
    pub async fn close(self) {
        let _ = timeout(Duration::from_secs(5), self.conn.disconnect()).await;
    }
}

fn late(server: &Server, what: &str, within: Duration) -> Error {
    Error::Deadline {
        server: server.name(),
        what: what.to_owned(),
        seconds: within.as_secs(),
    }
}
