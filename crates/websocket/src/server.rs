//! The server: accepts connections, takes over upgraded ones, stops in order.

use std::io;
use std::net::{IpAddr, SocketAddr, ToSocketAddrs};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper_util::rt::{TokioIo, TokioTimer};
use thiserror::Error;
use tokio::net::{TcpListener, TcpSocket, TcpStream, lookup_host};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{debug, error, info, warn};
use tungstenite::protocol::frame::coding::CloseCode;

use crate::auth::Verifier;
use crate::config::{Config, ConfigError, Mode};
use crate::gate::Gate;
use crate::hub::{Full, Hub, now};
use crate::metrics::Metrics;
use crate::redis::{Commands, Link, LinkError};
use crate::socket::{End, Socket};
use crate::streams::{CatchUp, StreamId, Streams};
use crate::{http, log, realtime, streams};

/// How many connections may wait to be accepted; reconnects come in storms.
const BACKLOG: u32 = 4096;
/// How long a client may take to send a request's head, also the next one on a kept connection.
const HEAD_TIMEOUT: Duration = Duration::from_secs(15);
/// The longest head of a request, in bytes (Node.js's limit).
const HEAD_LENGTH: usize = 16 * 1024;
/// The most headers of a request (Node.js's limit).
const HEADERS: usize = 2000;
/// How long to wait when no connection can be accepted, most likely for lack of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// How long Redis may take to answer a readiness check.
const READY_TIMEOUT: Duration = Duration::from_secs(1);

/// Why the server can't start.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ServerError {
    /// The configuration holds what can't be used.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The files for Redis's TLS can't be used.
    #[error(transparent)]
    Redis(#[from] LinkError),
    /// The log can't be written.
    #[error("can't start the log")]
    Log(#[source] io::Error),
    /// The system refuses what every program needs.
    #[error("can't start")]
    System(#[source] io::Error),
    /// The address can't be listened on.
    #[error("can't listen on {address}")]
    Listen {
        /// Host and port.
        address: String,
        /// Why.
        source: io::Error,
    },
}

impl ServerError {
    /// What the operator can do about it.
    pub fn hint(&self) -> Option<String> {
        match self {
            ServerError::Config(error) => error.hint(),
            ServerError::Redis(error) => error.hint(),
            ServerError::Listen { source, .. } if source.kind() == io::ErrorKind::AddrInUse => {
                Some("another process listens there; set port or PORT".to_owned())
            }
            ServerError::Log(_) => Some("check logFilename".to_owned()),
            ServerError::Listen { .. } | ServerError::System(_) => None,
        }
    }
}

/// Whether events come from Redis.
#[derive(Default)]
pub(crate) struct Health(AtomicBool);

impl Health {
    pub(crate) fn set(&self, up: bool) {
        self.0.store(up, Ordering::Relaxed);
    }

    pub(crate) fn is_up(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// What all connections share.
pub(crate) struct State {
    pub(crate) config: Config,
    pub(crate) verifier: Verifier,
    pub(crate) hub: Hub,
    pub(crate) health: Health,
    streams: Option<Streams>,
    link: Arc<Link>,
    commands: Arc<Commands>,
    stop: CancellationToken,
    sockets: TaskTracker,
}

/// What an upgraded connection becomes.
pub(crate) struct Plan {
    /// The routes that events reach it by, its channel first.
    pub(crate) routes: Vec<Arc<str>>,
    /// When its token ends, in seconds since 1970.
    pub(crate) expires: Option<f64>,
    /// The last event that the client has had.
    pub(crate) last: Option<StreamId>,
}

/// Finds what in a configuration would keep the server from starting: secrets, algorithms that
/// don't fit them, TLS files, the log's file, a host without an address. Gives what it would warn
/// of. Whether the port is free it doesn't look at: another server may still be there.
pub fn check(config: &Config) -> Result<Vec<String>, ServerError> {
    let (_, link) = prepare(config)?;
    log::check(&config.log).map_err(ServerError::Log)?;
    let failed = |source| ServerError::Listen {
        address: format!("{}:{}", config.host, config.port),
        source,
    };
    (config.host.as_str(), config.port)
        .to_socket_addrs()
        .map_err(failed)?
        .next()
        .ok_or_else(|| failed(io::ErrorKind::AddrNotAvailable.into()))?;
    Ok(link.warnings)
}

fn prepare(config: &Config) -> Result<(Verifier, Link), ServerError> {
    config.check()?;
    Ok((
        Verifier::new(&config.jwt, config.mode)?,
        Link::new(&config.redis)?,
    ))
}

/// Runs the server until `stop` is cancelled, then closes every socket.
///
/// Redis need not be there. Fails only at the start: when [`check`] does, or the address can't be
/// listened on.
pub async fn serve(config: Config, stop: CancellationToken) -> Result<(), ServerError> {
    let (verifier, link) = prepare(&config)?;
    for warning in &link.warnings {
        warn!("{warning}");
    }
    let link = Arc::new(link);
    raise_file_limit();
    let commands = Arc::new(Commands::new(Arc::clone(&link)));
    let streams = (config.mode == Mode::Streams).then(|| {
        let config = config.streams.clone();
        Streams::new(config, Arc::clone(&link), Arc::clone(&commands))
    });
    let hub = Hub::new(config.sockets.clone(), Metrics::new(&config.statsd));
    let (listener, port) =
        listen(&config.host, config.port)
            .await
            .map_err(|source| ServerError::Listen {
                address: format!("{}:{}", config.host, config.port),
                source,
            })?;
    info!("Server started on port {port}");
    let state = Arc::new(State {
        config,
        verifier,
        hub,
        health: Health::default(),
        streams,
        link,
        commands,
        stop,
        sockets: TaskTracker::new(),
    });
    tokio::select! {
        () = state.stop.cancelled() => {}
        () = accept(&state, &listener) => {}
        () = state.read() => {}
        () = state.hub.keep_alive() => {}
        () = state.hub.collect_garbage() => {}
        never = state.hub.metrics.reach_statsd(&state.config.statsd) => match never {},
    }
    drop(listener);
    info!("Server stops");
    state.hub.close_all(CloseCode::Away, "server stops");
    state.sockets.close();
    if timeout(state.config.shutdown_timeout, state.sockets.wait())
        .await
        .is_err()
    {
        info!("{} clients didn't close in time", state.sockets.len());
    }
    Ok(())
}

/// Sets the limit of open files to the highest allowed: every socket is one.
fn raise_file_limit() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    if let Err(error) = setrlimit(
        Resource::Nofile,
        Rlimit {
            current: maximum,
            maximum,
        },
    ) {
        error!("the limit of open files can't be raised: {error}");
    }
}

/// Listens on a host's first address. `::` takes IPv4 too, and where there is no IPv6, only that.
async fn listen(host: &str, port: u16) -> io::Result<(TcpListener, u16)> {
    let address = lookup_host((host, port))
        .await?
        .next()
        .ok_or(io::ErrorKind::AddrNotAvailable)?;
    let bind = |address: SocketAddr| {
        let socket = if address.is_ipv4() {
            TcpSocket::new_v4()
        } else {
            TcpSocket::new_v6()
        }?;
        socket.set_reuseaddr(true)?;
        socket.bind(address)?;
        socket.listen(BACKLOG)
    };
    let listener = match bind(address) {
        Err(error) if address.ip() == IpAddr::from([0_u16; 8]) && lacks_family(&error) => {
            bind(SocketAddr::from(([0, 0, 0, 0], port)))?
        }
        other => other?,
    };
    let port = listener.local_addr()?.port();
    Ok((listener, port))
}

/// Whether an error says that an address family is switched off: no such sockets, for which the
/// standard library has no kind, or no such addresses.
fn lacks_family(error: &io::Error) -> bool {
    error.raw_os_error() == Some(rustix::io::Errno::AFNOSUPPORT.raw_os_error())
        || error.kind() == io::ErrorKind::AddrNotAvailable
}

async fn accept(state: &Arc<State>, listener: &TcpListener) {
    loop {
        match listener.accept().await {
            Ok((stream, address)) => {
                let state = Arc::clone(state);
                tokio::spawn(serve_http(state, stream, address.ip().to_canonical()));
            }
            Err(error) => {
                error!("can't accept a connection: {error}");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

async fn serve_http(state: Arc<State>, stream: TcpStream, peer: IpAddr) {
    if let Err(error) = stream.set_nodelay(true) {
        debug!("client {peer} is gone: {error}");
        return;
    }
    let service = service_fn(|request| http::answer(Arc::clone(&state), peer, request));
    let result = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT)
        .max_buf_size(HEAD_LENGTH)
        .max_headers(HEADERS)
        // As Node.js writes them, for those who don't know that case means nothing here.
        .title_case_headers(true)
        // Who sends no more may still want the answer; what is not even a request yet ends.
        .half_close(true)
        .serve_connection(TokioIo::new(stream), service)
        .with_upgrades()
        .await;
    if let Err(error) = result {
        debug!("connection of client {peer} ended: {error}");
    }
}

impl State {
    /// Hands events out for ever.
    async fn read(&self) {
        match &self.streams {
            Some(streams) => streams::read(streams, &self.hub, &self.health).await,
            None => realtime::read(&self.link, &self.hub, &self.health).await,
        }
    }

    /// Whether events come from Redis, and it answers at this moment.
    pub(crate) async fn ready(&self) -> bool {
        self.health.is_up() && self.commands.answers(READY_TIMEOUT).await
    }

    /// Serves a connection as a WebSocket once its upgrade is through.
    pub(crate) fn take_over(this: &Arc<Self>, upgrade: OnUpgrade, peer: IpAddr, plan: Plan) {
        let state = Arc::clone(this);
        this.sockets.spawn(async move {
            if let Ok(Ok(parts)) = upgrade.await.map(Upgraded::downcast::<TokioIo<TcpStream>>) {
                // The buffer of the request's head, mostly empty now, must not live as long as the socket.
                let begun = parts.read_buf.to_vec();
                drop(parts.read_buf);
                state
                    .serve_socket(parts.io.into_inner(), begun, peer, plan)
                    .await;
            } else {
                debug!("client {peer} left during its upgrade");
            }
        });
    }

    async fn serve_socket(&self, stream: TcpStream, begun: Vec<u8>, peer: IpAddr, plan: Plan) {
        let gate = if plan.last.is_some() {
            Gate::held()
        } else {
            Gate::Open
        };
        let socket = Arc::new(Socket::new(stream, peer, plan.routes, plan.expires, gate));
        let end = match self.hub.register(&socket) {
            Err(full) => {
                let reason = match full {
                    Full::Channel => "too many connections of this channel",
                    Full::Total => "too many connections",
                };
                info!("client {peer} is turned away: {reason}");
                self.hub.metrics.rejected();
                socket.close(CloseCode::Again, reason);
                socket.serve(begun, None).await
            }
            Ok(position) => {
                self.hub.metrics.connected();
                if let (Some(_), None, None) = (&self.streams, position, plan.last) {
                    socket.open_since(now().saturating_sub(streams::CLOCK_SLACK));
                }
                if self.stop.is_cancelled() {
                    socket.close(CloseCode::Away, "server stops");
                } else if self.config.mode == Mode::Realtime && !self.health.is_up() {
                    socket.close(CloseCode::Restart, "no subscription");
                }
                let catch_up = plan
                    .last
                    .zip(self.streams.as_ref())
                    .zip(socket.routes.first());
                let catch_up = catch_up.map(|((last, streams), channel)| {
                    let (socket, channel) = (Arc::clone(&socket), Arc::clone(channel));
                    Box::pin(CatchUp::run(
                        streams, &self.hub, socket, channel, last, position,
                    )) as _
                });
                let end = socket.serve(begun, catch_up).await;
                self.hub.remove(&socket);
                end
            }
        };
        if let End::Closing(decoder) = end {
            Box::pin(socket.finish(decoder)).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use rustix::io::Errno;

    use super::*;

    #[test]
    fn a_host_without_ipv6_is_told_from_one_that_can_not_listen() {
        for (errno, lacks) in [
            (Errno::AFNOSUPPORT, true),
            (Errno::ADDRNOTAVAIL, true),
            (Errno::ADDRINUSE, false),
            (Errno::ACCESS, false),
        ] {
            assert_eq!(lacks_family(&errno.into()), lacks, "{errno}");
        }
    }
}
