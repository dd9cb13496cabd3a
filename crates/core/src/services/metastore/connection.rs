//! One blocking connection to a metastore, each call under an absolute deadline.

use std::io::{self, Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use thrift::TConfiguration;
use thrift::protocol::{TBinaryInputProtocol, TBinaryOutputProtocol};
use thrift::transport::{TBufferedReadTransport, TBufferedWriteTransport};

use super::error::Error;
use super::gen_hive::{TThriftHiveMetastoreSyncClient, ThriftHiveMetastoreSyncClient};

/// More names than any table has partitions; a container is read element by element, so an
/// answer that lies about its size costs nothing.
const LARGEST_CONTAINER: usize = 50_000_000;

/// How long a server may take to accept a connection: one that is down may say nothing.
const CONNECT: Duration = Duration::from_secs(10);

pub(super) type Client = ThriftHiveMetastoreSyncClient<
    TBinaryInputProtocol<TBufferedReadTransport<Timed>>,
    TBinaryOutputProtocol<TBufferedWriteTransport<Timed>>,
>;

/// A connection, and the clock that its reads and writes share.
pub(super) struct Connection {
    pub(super) client: Client,
    deadline: Arc<Mutex<Instant>>,
}

impl Connection {
    /// Connects to the first of `uris` that lets it, as `user`.
    pub(super) fn open(uris: &[String], user: &str, within: Duration) -> Result<Self, Error> {
        let mut last = Error::Address { uri: String::new() };
        for uri in uris {
            match Self::to(uri, user, within) {
                Ok(connection) => return Ok(connection),
                Err(error) => last = error,
            }
        }
        Err(last)
    }

    fn to(uri: &str, user: &str, within: Duration) -> Result<Self, Error> {
        let address = uri.strip_prefix("thrift://").unwrap_or_default();
        let unreachable = |source| Error::Unreachable {
            uri: uri.to_owned(),
            source,
        };
        if !address.contains(':') {
            return Err(Error::Address {
                uri: uri.to_owned(),
            });
        }
        let end = Instant::now() + within;
        let mut stream = Err(io::Error::other("the name has no address"));
        for address in address.to_socket_addrs().map_err(unreachable)? {
            let left = end.saturating_duration_since(Instant::now());
            let left = left.clamp(Duration::from_millis(1), CONNECT);
            stream = TcpStream::connect_timeout(&address, left);
            if stream.is_ok() {
                break;
            }
        }
        let stream = stream.map_err(unreachable)?;
        stream.set_nodelay(true).map_err(unreachable)?;
        let deadline = Arc::new(Mutex::new(end));
        let timed = |stream| Timed {
            stream,
            deadline: deadline.clone(),
        };
        let read = timed(stream.try_clone().map_err(unreachable)?);
        let configuration = TConfiguration::builder()
            .max_container_size(Some(LARGEST_CONTAINER))
            .build()
            .map_err(|error| unreachable(io::Error::other(error)))?;
        let input = TBinaryInputProtocol::with_config(
            TBufferedReadTransport::new(read),
            true,
            configuration,
        );
        let output = TBinaryOutputProtocol::new(TBufferedWriteTransport::new(timed(stream)), true);
        let mut connection = Self {
            client: ThriftHiveMetastoreSyncClient::new(input, output),
            deadline,
        };
        connection
            .client
            .set_ugi(user.to_owned(), Vec::new())
            .map_err(|source| failed("log in", source, within))?;
        Ok(connection)
    }

    /// Gives the next call this long in all.
    pub(super) fn allow(&mut self, within: Duration) {
        *self.deadline.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now() + within;
    }
}

/// A stream whose every read and write ends by one deadline.
pub(super) struct Timed {
    stream: TcpStream,
    deadline: Arc<Mutex<Instant>>,
}

impl Timed {
    fn left(&self) -> io::Result<Duration> {
        let end = *self.deadline.lock().unwrap_or_else(PoisonError::into_inner);
        let left = end.saturating_duration_since(Instant::now());
        if left.is_zero() {
            Err(io::ErrorKind::TimedOut.into())
        } else {
            Ok(left)
        }
    }
}

impl Read for Timed {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let mut read = || {
            self.stream.set_read_timeout(Some(self.left()?))?;
            (&self.stream).read(buffer)
        };
        match uninterrupted(&mut read)? {
            // thrift reads on at an end that it does not expect.
            0 if !buffer.is_empty() => Err(io::ErrorKind::UnexpectedEof.into()),
            n => Ok(n),
        }
    }
}

impl Write for Timed {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        uninterrupted(&mut || {
            self.stream.set_write_timeout(Some(self.left()?))?;
            (&self.stream).write(buffer)
        })
    }

    fn flush(&mut self) -> io::Result<()> {
        self.stream.flush()
    }
}

/// Again when a signal came in between: a socket with a timeout is interrupted even by those
/// whose handler restarts calls (signal(7)), and by an interruption thrift's buffer loses what
/// it had read of an item, so that all that follows is misread.
fn uninterrupted(call: &mut dyn FnMut() -> io::Result<usize>) -> io::Result<usize> {
    loop {
        match call() {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            answer => return answer,
        }
    }
}

/// A failed call as the operator should hear of it.
pub(super) fn failed(call: &str, error: thrift::Error, within: Duration) -> Error {
    let call = call.to_owned();
    match error {
        thrift::Error::User(said) => said_by_server(call, said.as_ref()),
        thrift::Error::Application(error) => Error::Refused {
            call,
            message: first_line(&error.message),
        },
        thrift::Error::Transport(ref transport) => match transport.kind {
            thrift::TransportErrorKind::TimedOut => Error::Deadline {
                call,
                seconds: within.as_secs(),
            },
            _ if timed_out(&transport.message) => Error::Deadline {
                call,
                seconds: within.as_secs(),
            },
            _ => Error::Lost {
                call,
                source: Box::new(error),
            },
        },
        thrift::Error::Protocol(_) => Error::Protocol {
            call,
            source: Box::new(error),
        },
    }
}

/// A socket whose time is up answers "would block"; thrift keeps the text alone.
fn timed_out(message: &str) -> bool {
    let texts = [io::ErrorKind::WouldBlock, io::ErrorKind::TimedOut].map(|kind| kind.to_string());
    texts.iter().any(|text| message.contains(text))
        || message.contains("Resource temporarily unavailable")
}

fn said_by_server(call: String, said: &(dyn std::error::Error + Send + Sync + 'static)) -> Error {
    use super::gen_hive::{
        AlreadyExistsException, InvalidObjectException, InvalidOperationException, MetaException,
        NoSuchObjectException, UnknownDBException,
    };
    if said.is::<NoSuchObjectException>() || said.is::<UnknownDBException>() {
        return Error::NotFound { call };
    }
    let message = said
        .downcast_ref::<MetaException>()
        .map(|error| &error.message)
        .or_else(|| {
            said.downcast_ref::<InvalidOperationException>()
                .map(|error| &error.message)
        })
        .or_else(|| {
            said.downcast_ref::<AlreadyExistsException>()
                .map(|error| &error.message)
        })
        .or_else(|| {
            said.downcast_ref::<InvalidObjectException>()
                .map(|error| &error.message)
        });
    let message = match message {
        Some(Some(message)) => first_line(message),
        _ => "it says no".to_owned(),
    };
    Error::Refused { call, message }
}

/// A server's message can hold a whole stack trace.
fn first_line(message: &str) -> String {
    message
        .lines()
        .next()
        .unwrap_or_default()
        .chars()
        .take(500)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signal_does_not_end_a_read() {
        let mut answers = vec![
            Ok(4),
            Err(io::ErrorKind::Interrupted.into()),
            Err(io::ErrorKind::Interrupted.into()),
        ];
        assert_eq!(uninterrupted(&mut || answers.pop().unwrap()).unwrap(), 4);
        let mut answers = vec![Ok(4), Err(io::ErrorKind::WouldBlock.into())];
        let error = uninterrupted(&mut || answers.pop().unwrap()).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::WouldBlock);
    }
}
