//! A connection to a host: the socket, the key exchange, the check of the host key.
//!
//! libssh2's own timeouts hold for each call and its destructors may block, so a session is never
//! in blocking mode: every call is repeated until it goes through, with `poll` in between and one
//! absolute deadline over all of them; and the socket is shut down before the session is dropped.

use std::io::{self, Read as _};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt as _;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::net::{Shutdown, shutdown, sockopt};
use ssh2::{BlockDirections, Channel, ErrorCode, MethodType, Session};
use tokio::net::TcpStream;
use tokio_util::sync::CancellationToken;

use super::Config;
use super::error::{Error, clean};
use super::hostset::HostName;
use super::known_hosts::{Record, Verdict};
use super::settings::{Proxy, Settings};

/// How soon a cancellation is noticed.
const TICK: Duration = Duration::from_millis(200);
/// Between keepalives while a command is silent.
const KEEPALIVE_SECONDS: u32 = 15;
/// How long the network may leave what we sent unacknowledged.
const UNACKNOWLEDGED_MILLIS: u32 = 45_000;
/// `LIBSSH2_ERROR_EAGAIN`
const EAGAIN: ErrorCode = ErrorCode::Session(-37);

/// Until when, and for whom, blocking work goes on.
#[derive(Debug, Clone)]
pub(super) struct Limits {
    pub(super) host: HostName,
    pub(super) end: Instant,
    pub(super) after: Duration,
    /// What has not come about when the time is up.
    what: &'static str,
    /// Whether the command may have been started.
    running: bool,
    pub(super) cancel: CancellationToken,
}

impl Limits {
    /// For the way to an open channel.
    pub(super) fn connecting(host: &HostName, after: Duration, cancel: &CancellationToken) -> Self {
        Self::new(host, after, "the connection was not made", false, cancel)
    }

    /// For a command.
    pub(super) fn running(host: &HostName, after: Duration, cancel: &CancellationToken) -> Self {
        Self::new(host, after, "the command did not end", true, cancel)
    }

    fn new(
        host: &HostName,
        after: Duration,
        what: &'static str,
        running: bool,
        cancel: &CancellationToken,
    ) -> Self {
        let now = Instant::now();
        Self {
            host: host.clone(),
            // A deadline beyond what the clock can hold is a day.
            end: now
                .checked_add(after)
                .unwrap_or(now + Duration::from_hours(24)),
            after,
            what,
            running,
            cancel: cancel.clone(),
        }
    }

    /// The time left, or why to stop.
    pub(super) fn left(&self) -> Result<Duration, Error> {
        if self.cancel.is_cancelled() {
            return Err(Error::Cancelled {
                host: self.host.clone(),
            });
        }
        let left = self.end.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(self.expired());
        }
        Ok(left)
    }

    fn expired(&self) -> Error {
        let (host, what, after) = (self.host.clone(), self.what, self.after);
        if self.running {
            Error::Deadline { host, what, after }
        } else {
            Error::Hung { host, what, after }
        }
    }
}

/// A byte stream to the host's sshd.
pub(super) struct Stream {
    socket: Arc<OwnedFd>,
    proxy: Option<ProxyProcess>,
    /// For messages: address and port.
    address: String,
}

/// Opens the stream, directly or through the proxy.
pub(super) async fn open(
    config: &Config,
    settings: &Settings,
    limits: &Limits,
) -> Result<Stream, Error> {
    let address = format!("{}:{}", settings.hostname, settings.port);
    let work = async {
        match &settings.proxy {
            Some(proxy) => ProxyProcess::start(config, settings, proxy, &limits.host, address),
            None => direct(settings, &limits.host, address).await,
        }
    };
    tokio::select! {
        stream = work => stream,
        () = limits.cancel.cancelled() => Err(Error::Cancelled { host: limits.host.clone() }),
        () = tokio::time::sleep_until(limits.end.into()) => Err(Error::Unreachable {
            host: limits.host.clone(),
            reason: format!(
                "{}:{} did not answer within {:?}", settings.hostname, settings.port, limits.after
            ),
            source: None,
        }),
    }
}

async fn direct(settings: &Settings, host: &HostName, address: String) -> Result<Stream, Error> {
    let fault = |e: io::Error| match e.kind() {
        io::ErrorKind::ConnectionRefused => Error::Refused {
            host: host.clone(),
            address: address.clone(),
            source: e,
        },
        _ => Error::Unreachable {
            host: host.clone(),
            reason: format!("no connection to {address}"),
            source: Some(e),
        },
    };
    let tcp = TcpStream::connect((settings.hostname.as_str(), settings.port))
        .await
        .and_then(TcpStream::into_std)
        .map_err(fault)?;
    // Without these a connection merely is slower to start, or to be found dead.
    let _ = tcp.set_nodelay(true);
    let _ = sockopt::set_tcp_user_timeout(&tcp, UNACKNOWLEDGED_MILLIS);
    Ok(Stream {
        socket: Arc::new(tcp.into()),
        proxy: None,
        address,
    })
}

/// The ssh process (or other `ProxyCommand`) that carries a stream over a socket pair.
struct ProxyProcess {
    child: Child,
    stderr: UnixStream,
}

impl ProxyProcess {
    fn start(
        config: &Config,
        settings: &Settings,
        proxy: &Proxy,
        host: &HostName,
        address: String,
    ) -> Result<Stream, Error> {
        let mut command = match proxy {
            Proxy::Jump(hosts) => {
                let mut command = Command::new(&config.ssh_program);
                command.arg("-F").arg(&config.ssh_config);
                // Ours is the host key check and the deadline; nobody is there to answer.
                command.args(["-o", "BatchMode=yes", "-o", "StrictHostKeyChecking=yes"]);
                let last = match hosts.rsplit_once(',') {
                    Some((before, last)) => {
                        command.arg("-J").arg(before);
                        last
                    }
                    None => hosts,
                };
                let target = if settings.hostname.contains(':') {
                    format!("[{}]:{}", settings.hostname, settings.port)
                } else {
                    address.clone()
                };
                command.arg("-W").arg(target).arg("--");
                // A URI is the one form in which ssh takes a destination with a port.
                command.arg(if last.starts_with("ssh://") {
                    last.to_owned()
                } else {
                    format!("ssh://{last}")
                });
                command
            }
            Proxy::Command(line) => {
                let mut command = Command::new("sh");
                command.arg("-c").arg(format!("exec {line}"));
                command
            }
        };
        match &config.agent {
            Some(socket) => command.env("SSH_AUTH_SOCK", socket),
            None => command.env_remove("SSH_AUTH_SOCK"),
        };
        let mut start = || -> io::Result<(UnixStream, Self)> {
            let (ours, theirs) = UnixStream::pair()?;
            let (stderr, their_stderr) = UnixStream::pair()?;
            stderr.set_nonblocking(true)?;
            command
                .stdin(OwnedFd::from(theirs.try_clone()?))
                .stdout(OwnedFd::from(theirs))
                .stderr(Stdio::from(OwnedFd::from(their_stderr)))
                // A Ctrl-C at the terminal is ours to handle, not the proxy's.
                .process_group(0);
            let child = command.spawn()?;
            Ok((ours, Self { child, stderr }))
        };
        let (socket, proxy) = start().map_err(|e| Error::Unreachable {
            host: host.clone(),
            reason: "the proxy of its ssh settings did not start".to_owned(),
            source: Some(e),
        })?;
        Ok(Stream {
            socket: Arc::new(socket.into()),
            proxy: Some(proxy),
            address,
        })
    }

    fn message(&mut self) -> String {
        let mut said = vec![0; 4096];
        let length = self.stderr.read(&mut said).unwrap_or(0);
        clean(&said[..length])
    }
}

impl Drop for ProxyProcess {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A session with a host whose key was checked.
pub(super) struct Link {
    pub(super) session: Session,
    socket: Arc<OwnedFd>,
    proxy: Option<ProxyProcess>,
    /// The host key's, as ssh prints it.
    pub(super) fingerprint: String,
    /// When its last command ended.
    pub(super) used: Instant,
}

impl Drop for Link {
    fn drop(&mut self) {
        // Tells the server, when there is room to; then nothing that libssh2 does can block.
        let _ = self.session.disconnect(None, "done", None);
        let _ = shutdown(&self.socket, Shutdown::Both);
    }
}

impl Link {
    /// Exchanges keys over a stream and checks the host key.
    pub(super) fn secure(
        stream: Stream,
        settings: &Settings,
        limits: &Limits,
    ) -> Result<Self, Error> {
        let host = &limits.host;
        let broken = |source: ssh2::Error| Error::Handshake {
            host: host.clone(),
            address: stream.address.clone(),
            source,
        };
        let record = Record::read(&settings.known_hosts, &settings.key_name, settings.port)
            .map_err(|(file, source)| Error::Settings {
                host: host.clone(),
                reason: format!("{} cannot be read", file.display()),
                source: Some(source),
            })?;
        let session = Session::new().map_err(broken)?;
        let supported = session
            .supported_algs(MethodType::HostKey)
            .map_err(broken)?;
        session
            .method_pref(MethodType::HostKey, &record.algorithms(&supported))
            .map_err(broken)?;
        session.set_blocking(false);
        let address = stream.address;
        let mut link = Self {
            session,
            socket: stream.socket,
            proxy: stream.proxy,
            fingerprint: String::new(),
            used: Instant::now(),
        };
        link.session.set_tcp_stream(Arc::clone(&link.socket));
        let mut session = link.session.clone();
        let shaken = link.retry(limits, || session.handshake());
        if !matches!(shaken, Ok(Ok(()))) && session.banner_bytes().is_none() {
            return Err(match (shaken, &mut link.proxy) {
                (Err(cancelled @ Error::Cancelled { .. }), _) => cancelled,
                (_, Some(proxy)) => Error::Unreachable {
                    host: host.clone(),
                    reason: format!("{address} through its proxy: {}", proxy.message()),
                    source: None,
                },
                (_, None) => Error::NoBanner {
                    host: host.clone(),
                    address,
                },
            });
        }
        shaken?.map_err(|source| Error::Handshake {
            host: host.clone(),
            address,
            source,
        })?;
        let key = session.host_key().map(|(key, _)| key).unwrap_or_default();
        let host = host.clone();
        match record.judge(key) {
            Verdict::Known(fingerprint) => link.fingerprint = fingerprint,
            Verdict::Changed(offer) => {
                return Err(Error::KeyChanged {
                    host,
                    offer: Box::new(offer),
                });
            }
            Verdict::Unknown(offer) => {
                return Err(Error::KeyUnknown {
                    host,
                    offer: Box::new(offer),
                });
            }
        }
        Ok(link)
    }

    /// Opens a channel on an authenticated session; nothing has been run yet.
    pub(super) fn channel(&self, limits: &Limits) -> Result<Channel, Error> {
        // Before authentication the server would refuse keepalives.
        self.session.set_keepalive(true, KEEPALIVE_SECONDS);
        self.retry(limits, || self.session.channel_session())?
            .map_err(|e| Error::Lost {
                host: limits.host.clone(),
                what: "no channel was opened",
                source: Some(e.into()),
            })
    }

    /// Repeats a call until it no longer would block.
    pub(super) fn retry<T>(
        &self,
        limits: &Limits,
        mut call: impl FnMut() -> Result<T, ssh2::Error>,
    ) -> Result<Result<T, ssh2::Error>, Error> {
        loop {
            match call() {
                Err(e) if e.code() == EAGAIN => self.wait(limits)?,
                other => return Ok(other),
            }
        }
    }

    /// Waits until libssh2 can go on, for a tick at most.
    pub(super) fn wait(&self, limits: &Limits) -> Result<(), Error> {
        let left = limits.left()?.min(TICK);
        let events = match self.session.block_directions() {
            BlockDirections::Outbound => PollFlags::OUT,
            BlockDirections::Both => PollFlags::IN | PollFlags::OUT,
            BlockDirections::Inbound | BlockDirections::None => PollFlags::IN,
        };
        let timeout = Timespec {
            tv_sec: 0,
            tv_nsec: i64::from(left.subsec_nanos()),
        };
        // Interrupted or not, the caller looks again.
        let _ = poll(&mut [PollFd::new(&self.socket, events)], Some(&timeout));
        self.keep_alive();
        Ok(())
    }

    /// Sends a keepalive when one is due; a dead connection shows at the next read.
    pub(super) fn keep_alive(&self) {
        if self.session.authenticated() {
            let _ = self.session.keepalive_send();
        }
    }
}
