//! What a SQL server, or the way to it, says when it says no.

use mysql_async::{DriverError, IoError};

/// Something that was asked of a SQL server and not done.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The server cannot be reached.
    #[error("{server} cannot be reached")]
    Unreachable {
        /// Account and place.
        server: String,
        /// Why not.
        source: mysql_async::Error,
    },
    /// The server's certificate is not good, or it has none.
    #[error("{server}: no trusted TLS connection")]
    Tls {
        /// Account and place.
        server: String,
        /// Why not.
        source: mysql_async::Error,
    },
    /// The server does not let the account in.
    #[error("{server}: the login is refused")]
    Login {
        /// Account and place.
        server: String,
        /// What the server said.
        source: mysql_async::ServerError,
    },
    /// No answer in time.
    #[error("{server}: {what}: no answer within {seconds} s")]
    Deadline {
        /// Account and place.
        server: String,
        /// What was asked, about which object.
        what: String,
        /// How long it was waited for.
        seconds: u64,
    },
    /// The server refuses a statement.
    #[error("{server}: {what}: refused")]
    Refused {
        /// Account and place.
        server: String,
        /// What was asked, about which object.
        what: String,
        /// What the server said.
        source: mysql_async::ServerError,
    },
    /// The connection broke.
    #[error("{server}: {what}: the connection broke")]
    Lost {
        /// Account and place.
        server: String,
        /// What was asked, about which object.
        what: String,
        /// What the system said.
        source: mysql_async::Error,
    },
    /// The answer is not of the expected form.
    #[error("{server}: {what}: the answer cannot be understood")]
    Unexpected {
        /// Account and place.
        server: String,
        /// What was asked, about which object.
        what: String,
    },
    /// It was told to stop, and did at a safe point.
    #[error("{what}: stopped at a safe point")]
    Cancelled {
        /// What was being done, to which object.
        what: String,
    },
    /// A database that should be empty, or a copy that was begun here, is neither.
    #[error("{server}: the database {database} has tables, and none of a copy's marks")]
    NotOurs {
        /// Account and place.
        server: String,
        /// The database.
        database: String,
    },
    /// A database is not the one that was looked at before.
    #[error("{server}: the definitions in {database} have changed since they were looked at")]
    Changed {
        /// Account and place.
        server: String,
        /// The database.
        database: String,
    },
    /// A query runs too long for all of a server's tables to be locked.
    #[error("{server}: connection {connection} runs a query since {seconds} s: nothing is locked")]
    LongQuery {
        /// Account and place.
        server: String,
        /// The number of its connection.
        connection: u64,
        /// For how long.
        seconds: u64,
    },
    /// Rows did not go in as they were sent.
    #[error("{server}: {table}: {sent} rows sent, {kept} kept, {warnings} warnings")]
    Inexact {
        /// Account and place.
        server: String,
        /// The table with its database.
        table: String,
        /// Rows sent.
        sent: u64,
        /// Rows that the server says it has written.
        kept: u64,
        /// Warnings that the values do not explain.
        warnings: u64,
    },
    /// A copy is not like its source.
    #[error("{server}: the copy {database} differs from its source: {}", differences.join("; "))]
    Differs {
        /// Account and place.
        server: String,
        /// The copy's database.
        database: String,
        /// Table by table, how.
        differences: Vec<String>,
    },
}

/// "Access denied for user", with and without a database; "not allowed to connect". Source:
/// MariaDB, "MariaDB Error Code Reference".
const LOGIN: [u16; 4] = [1044, 1045, 1130, 1698];

impl Error {
    /// The number of the server's error, when it was the server that said no. Source:
    /// `MariaDB`, "`MariaDB` Error Code Reference".
    pub fn code(&self) -> Option<u16> {
        match self {
            Self::Login { source, .. } | Self::Refused { source, .. } => Some(source.code),
            _ => None,
        }
    }

    /// What to do about it, where that is known.
    pub fn hint(&self) -> Option<String> {
        let hint = match self {
            Self::Unreachable { .. } => "is the server running, and are host and port right?",
            Self::Tls { .. } => {
                "ca_file must be the authority that signed the server's certificate, and host \
                 the name in it"
            }
            Self::Login { .. } => {
                "does the account exist for this client's address, and is its password right?"
            }
            Self::Deadline { .. } => "the server is slow or hangs; look at it, then run again",
            Self::Lost { .. } => "the server was restarted or ended the connection; run again",
            Self::NotOurs { .. } => "look at what is in it, and drop it by hand if it may go",
            Self::Changed { .. } => "look again and make a new plan",
            Self::LongQuery { .. } => {
                "wait for its end, or take the snapshot by single or tables instead"
            }
            Self::Inexact { .. } | Self::Differs { .. } => {
                "the copy is kept for a look; nothing else was changed"
            }
            Self::Refused { .. } | Self::Unexpected { .. } | Self::Cancelled { .. } => return None,
        };
        Some(hint.to_owned())
    }

    /// Of an error that came up while connecting.
    pub(super) fn connecting(server: String, error: mysql_async::Error) -> Self {
        match error {
            mysql_async::Error::Server(source) if LOGIN.contains(&source.code) => {
                Self::Login { server, source }
            }
            source @ (mysql_async::Error::Io(IoError::Tls(_))
            | mysql_async::Error::Driver(DriverError::NoClientSslFlagFromServer)) => {
                Self::Tls { server, source }
            }
            // How the rustls errors of a handshake come out: as the socket's.
            mysql_async::Error::Io(IoError::Io(source))
                if source.kind() == std::io::ErrorKind::InvalidData =>
            {
                Self::Tls {
                    server,
                    source: source.into(),
                }
            }
            source => Self::Unreachable { server, source },
        }
    }

    /// Of an error that came up while a statement ran.
    pub(super) fn asking(server: String, what: &str, error: mysql_async::Error) -> Self {
        let what = what.to_owned();
        match error {
            mysql_async::Error::Server(source) => Self::Refused {
                server,
                what,
                source,
            },
            source => Self::Lost {
                server,
                what,
                source,
            },
        }
    }
}
