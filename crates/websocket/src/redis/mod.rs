//! Connections to Redis: TCP, TLS, Unix socket, by address or by way of Sentinel.

mod subscription;
mod tls;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use ::redis::aio::MultiplexedConnection;
use ::redis::{AsyncConnectionConfig, Cmd, ErrorKind, RedisConnectionInfo, RedisError, Value, cmd};
pub(crate) use subscription::Subscription;
use thiserror::Error;
use tokio::io::{AsyncRead, AsyncWrite, BufReader};
use tokio::net::{TcpStream, UnixStream};
use tokio::sync::Mutex;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tracing::warn;

use crate::config::RedisConfig;

/// How much is read from Redis at a time, in bytes. The library's buffer starts small and grows
/// with the reply, which takes a system call each time.
const READ: usize = 64 * 1024;
/// How long a connection may take to be made.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// How long a sentinel may take to answer, so that a dead one costs little.
const SENTINEL_TIMEOUT: Duration = Duration::from_secs(2);
/// How long a command that doesn't block may take.
const COMMAND_TIMEOUT: Duration = Duration::from_secs(10);

/// Why Redis can't be used.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum LinkError {
    /// The connection can't be made.
    #[error("can't connect to Redis at {address}")]
    Connect {
        /// Host and port, or path.
        address: String,
        /// Why.
        source: std::io::Error,
    },
    /// Redis refused a command or broke the connection.
    #[error("Redis at {address} failed")]
    Redis {
        /// Host and port, or path.
        address: String,
        /// Its error.
        source: RedisError,
    },
    /// Redis didn't answer in time.
    #[error("Redis at {address} doesn't answer")]
    Timeout {
        /// Host and port, or path.
        address: String,
    },
    /// More is published than can be handed out.
    #[error("messages of Redis at {address} come faster than they can be handed out")]
    Overrun {
        /// Host and port, or path.
        address: String,
    },
    /// No sentinel named the server.
    #[error("no sentinel of {sentinels} knows the address of {name}")]
    NoMaster {
        /// The sentinels asked.
        sentinels: String,
        /// The server's name there.
        name: String,
    },
    /// A file for TLS can't be used.
    #[error("TLS file {file} can't be used: {reason}")]
    TlsFile {
        /// The file.
        file: String,
        /// Why.
        reason: String,
    },
}

impl LinkError {
    /// What the operator can do about it.
    pub fn hint(&self) -> Option<String> {
        match self {
            LinkError::Connect { source, .. } if source.kind() == std::io::ErrorKind::InvalidData => {
                Some("check redis.caFile, and redis.validateHostname when the certificate has another name".to_owned())
            }
            LinkError::Connect { .. } | LinkError::Timeout { .. } => {
                Some("check redis.host, redis.port and redis.ssl".to_owned())
            }
            LinkError::NoMaster { .. } => Some("check redis.sentinels and redis.sentinelName".to_owned()),
            LinkError::TlsFile { .. } => Some("it must be PEM and readable by the server's user".to_owned()),
            error if is_authentication(error) => Some("check redis.username and redis.password".to_owned()),
            LinkError::Redis { .. } | LinkError::Overrun { .. } => None,
        }
    }

    /// The error with its causes on one line, for the log.
    pub(crate) fn chain(&self) -> String {
        let mut text = self.to_string();
        let mut source = std::error::Error::source(self);
        while let Some(cause) = source {
            let said = cause.to_string();
            // An error reply of Redis is its own cause.
            if !text.ends_with(&said) {
                text = format!("{text}: {said}");
            }
            source = cause.source();
        }
        text
    }
}

/// A stream to Redis, whatever it runs over.
trait Transport: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Transport for T {}

/// Where a connection goes.
#[derive(Clone)]
enum Address {
    Tcp(String, u16),
    Unix(std::path::PathBuf),
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Address::Tcp(host, port) => write!(f, "{host}:{port}"),
            Address::Unix(path) => write!(f, "{}", path.display()),
        }
    }
}

/// Makes connections to the configured Redis.
pub(crate) struct Link {
    config: RedisConfig,
    tls: Option<TlsConnector>,
    /// What of the configuration it goes on without.
    pub(crate) warnings: Vec<String>,
}

impl Link {
    /// Reads the files for TLS, if it is spoken.
    pub(crate) fn new(config: &RedisConfig) -> Result<Self, LinkError> {
        let mut warnings = Vec::new();
        let tls = if config.ssl || config.sentinel_ssl {
            Some(tls::connector(&config.tls, &mut warnings)?)
        } else {
            None
        };
        Ok(Self {
            config: config.clone(),
            tls,
            warnings,
        })
    }

    /// A connection for commands; responses are waited for without a limit.
    pub(crate) async fn connect(&self) -> Result<Connection, LinkError> {
        let address = self.locate().await?;
        match self.connect_to(&address, &self.credentials()).await {
            Err(error) if is_authentication(&error) => {
                self.connect_unasked(&address).await.ok_or(error)
            }
            other => other,
        }
    }

    async fn connect_to(
        &self,
        address: &Address,
        info: &RedisConnectionInfo,
    ) -> Result<Connection, LinkError> {
        let inner = self.multiplex(address, self.config.ssl, info).await?;
        Ok(Connection {
            inner,
            address: address.to_string(),
        })
    }

    /// A connection without the password that is configured, if Redis says that it has none.
    /// Before version 6 it refuses AUTH then; the Node.js server goes on all the same.
    async fn connect_unasked(&self, address: &Address) -> Option<Connection> {
        let mut connection = self
            .connect_to(address, &self.without_password())
            .await
            .ok()?;
        let mut auth = cmd("AUTH");
        auth.arg(self.config.password.expose());
        match connection.query(&auth, COMMAND_TIMEOUT).await {
            Err(LinkError::Redis { source, .. })
                if source
                    .detail()
                    .is_some_and(|said| said.contains("no password is set")) =>
            {
                warn!("Redis has no password set, but one is configured; going on without");
                Some(connection)
            }
            _ => None,
        }
    }

    fn credentials(&self) -> RedisConnectionInfo {
        let info = self.without_password();
        if self.config.password.is_empty() {
            return info;
        }
        info.set_username(&self.config.username)
            .set_password(self.config.password.expose())
    }

    fn without_password(&self) -> RedisConnectionInfo {
        // CLIENT SETINFO would need one more permission.
        RedisConnectionInfo::default()
            .set_db(i64::try_from(self.config.db).unwrap_or(i64::MAX))
            .set_skip_set_lib_name()
    }

    async fn locate(&self) -> Result<Address, LinkError> {
        if let Some(path) = &self.config.path {
            return Ok(Address::Unix(path.clone()));
        }
        if self.config.sentinels.is_empty() {
            return Ok(Address::Tcp(self.config.host.clone(), self.config.port));
        }
        for sentinel in &self.config.sentinels {
            match timeout(SENTINEL_TIMEOUT, self.ask(sentinel)).await {
                Ok(Ok(Some(address))) => return Ok(address),
                Ok(Ok(None)) => warn!(
                    "sentinel {sentinel} doesn't know {}",
                    self.config.sentinel_name
                ),
                Ok(Err(error)) => warn!("sentinel {sentinel} is of no help: {}", error.chain()),
                Err(_) => warn!("sentinel {sentinel} doesn't answer"),
            }
        }
        Err(LinkError::NoMaster {
            sentinels: self.config.sentinels.join(", "),
            name: self.config.sentinel_name.clone(),
        })
    }

    /// Asks one sentinel for the server's address.
    async fn ask(&self, sentinel: &str) -> Result<Option<Address>, LinkError> {
        let (host, port) = match sentinel.rsplit_once(':') {
            Some((host, port)) if port.parse::<u16>().is_ok() => {
                (host, port.parse().unwrap_or(26379))
            }
            _ => (sentinel, 26379),
        };
        let address = Address::Tcp(host.trim_matches(['[', ']']).to_owned(), port);
        let mut info = RedisConnectionInfo::default().set_skip_set_lib_name();
        if !self.config.sentinel_password.is_empty() {
            info = info.set_password(self.config.sentinel_password.expose());
            if !self.config.sentinel_username.is_empty() {
                info = info.set_username(&self.config.sentinel_username);
            }
        }
        let mut connection = self
            .multiplex(&address, self.config.sentinel_ssl, &info)
            .await?;
        let answer: Option<(String, u16)> = cmd("SENTINEL")
            .arg("get-master-addr-by-name")
            .arg(&self.config.sentinel_name)
            .query_async(&mut connection)
            .await
            .map_err(|source| LinkError::Redis {
                address: address.to_string(),
                source,
            })?;
        Ok(answer.map(|(host, port)| Address::Tcp(host, port)))
    }

    async fn multiplex(
        &self,
        address: &Address,
        ssl: bool,
        info: &RedisConnectionInfo,
    ) -> Result<MultiplexedConnection, LinkError> {
        let attempt = async {
            let stream = self.open(address, ssl).await?;
            let config = AsyncConnectionConfig::new().set_response_timeout(None);
            let (connection, driver) = MultiplexedConnection::new_with_config(info, stream, config)
                .await
                .map_err(|source| LinkError::Redis {
                    address: address.to_string(),
                    source,
                })?;
            tokio::spawn(driver);
            Ok(connection)
        };
        timeout(CONNECT_TIMEOUT, attempt)
            .await
            .map_err(|_| LinkError::Timeout {
                address: address.to_string(),
            })?
    }

    async fn open(&self, address: &Address, ssl: bool) -> Result<Box<dyn Transport>, LinkError> {
        let failed = |source| LinkError::Connect {
            address: address.to_string(),
            source,
        };
        let (host, stream) = match address {
            Address::Unix(path) => {
                return Ok(Box::new(UnixStream::connect(path).await.map_err(failed)?));
            }
            Address::Tcp(host, port) => (
                host,
                TcpStream::connect((host.as_str(), *port))
                    .await
                    .map_err(failed)?,
            ),
        };
        stream.set_nodelay(true).map_err(failed)?;
        match &self.tls {
            Some(connector) if ssl => {
                let name = rustls::pki_types::ServerName::try_from(host.clone())
                    .map_err(|error| failed(std::io::Error::other(error)))?;
                Ok(Box::new(
                    connector.connect(name, stream).await.map_err(failed)?,
                ))
            }
            _ => Ok(Box::new(BufReader::with_capacity(READ, stream))),
        }
    }
}

fn is_authentication(error: &LinkError) -> bool {
    matches!(error, LinkError::Redis { source, .. } if source.kind() == ErrorKind::AuthenticationFailed)
}

/// A connection for commands that knows where it goes.
#[derive(Clone)]
pub(crate) struct Connection {
    inner: MultiplexedConnection,
    address: String,
}

impl Connection {
    /// Runs a command that answers within `limit`.
    pub(crate) async fn query(
        &mut self,
        command: &Cmd,
        limit: Duration,
    ) -> Result<Value, LinkError> {
        match timeout(limit, self.inner.send_packed_command(command)).await {
            Ok(Ok(Value::ServerError(error))) => Err(self.failed(RedisError::from(error))),
            Ok(Ok(value)) => Ok(value),
            Ok(Err(source)) => Err(self.failed(source)),
            Err(_) => Err(LinkError::Timeout {
                address: self.address.clone(),
            }),
        }
    }

    fn failed(&self, source: RedisError) -> LinkError {
        LinkError::Redis {
            address: self.address.clone(),
            source,
        }
    }

    /// Where it goes.
    pub(crate) fn address(&self) -> &str {
        &self.address
    }
}

/// A connection for commands that don't block, shared by all who need one and made when first
/// needed, and anew after it broke.
pub(crate) struct Commands {
    link: Arc<Link>,
    connection: Arc<Mutex<Option<Connection>>>,
}

impl Commands {
    pub(crate) fn new(link: Arc<Link>) -> Self {
        Self {
            link,
            connection: Arc::default(),
        }
    }

    /// Runs a command. An error reply keeps the connection, anything else gives it up.
    pub(crate) async fn query(&self, command: &Cmd) -> Result<Value, LinkError> {
        let mut connection = self.connect().await?;
        let result = connection.query(command, COMMAND_TIMEOUT).await;
        if let Err(error) = &result
            && !is_refusal(error)
        {
            *self.connection.lock().await = None;
        }
        result
    }

    async fn connect(&self) -> Result<Connection, LinkError> {
        let mut slot = Arc::clone(&self.connection).lock_owned().await;
        if let Some(connection) = &*slot {
            return Ok(connection.clone());
        }
        let link = Arc::clone(&self.link);
        // A task of its own, as it can take longer than who needs it first will wait: past a
        // sentinel that is dead, no probe would ever succeed.
        let attempt = tokio::spawn(async move { Ok(slot.insert(link.connect().await?).clone()) });
        attempt.await.map_err(|error| LinkError::Connect {
            address: self.link.config.host.clone(),
            source: error.into(),
        })?
    }

    /// Whether Redis answers within `limit`. A connection on which it doesn't is given up: its
    /// server may be gone without a word.
    pub(crate) async fn answers(&self, limit: Duration) -> bool {
        if let Ok(reply) = timeout(limit, self.query(&cmd("PING"))).await {
            // A user that may not even ping has an answer too.
            return reply.as_ref().err().is_none_or(is_refusal);
        }
        // Locked is it by someone who makes a new one.
        if let Ok(mut slot) = self.connection.try_lock() {
            *slot = None;
        }
        false
    }
}

/// Whether the user may not run a command.
pub(crate) fn is_forbidden(error: &LinkError) -> bool {
    matches!(error, LinkError::Redis { source, .. } if source.code() == Some("NOPERM"))
}

/// Whether Redis answered, but with an error that trying again won't change by itself.
pub(crate) fn is_refusal(error: &LinkError) -> bool {
    match error {
        LinkError::Redis { source, .. } => {
            let transient = matches!(
                source.code(),
                Some("LOADING" | "MASTERDOWN" | "READONLY" | "UNBLOCKED" | "BUSY")
            );
            !transient
                && !source.is_io_error()
                && !source.is_connection_dropped()
                && source.code().is_some()
        }
        _ => false,
    }
}

/// How long to wait after the `failures`-th failure in a row: 50 ms more each time, at most 2 s.
pub(crate) fn backoff(failures: u32) -> Duration {
    Duration::from_millis((u64::from(failures) * 50).min(2000))
}
