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
                 the name in it; tls = false goes without, in clear text"
            }
            Self::Login { .. } => {
                "does the account exist for this client's address, and is its password right?"
            }
            Self::Deadline { .. } => "the server is slow or hangs; look at it, then run again",
            Self::Lost { .. } => "the server was restarted or ended the connection; run again",
            Self::Refused { .. } | Self::Unexpected { .. } => return None,
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
