//! Commands and byte streams on many hosts over ssh.
//!
//! Hosts are named by sets ([`hostset`]), reached as the operator's ssh configuration says
//! (`ssh -G`, jump hosts, agent, certificates), and only when their key is on record. Each command
//! has one absolute deadline and can be cancelled; what it prints is bounded. Commands are made
//! from arguments ([`Command`]), never from shell text.
//!
//! libssh2 blocks, so its work runs on tokio's blocking threads, at most
//! [`Config::concurrency`] at once. Dropping a future cancels its work, which then ends within a
//! second; what it started on the host may go on there.

mod auth;
mod command;
mod error;
mod exchange;
pub mod hostset;
mod known_hosts;
mod link;
mod settings;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures::stream::{Stream, StreamExt as _};
use ssh2::Channel;
use tokio::sync::{OnceCell, OwnedSemaphorePermit, Semaphore, mpsc};
use tokio_util::sync::CancellationToken;

pub use self::command::{Command, Exit, Finished, OUTPUT_LIMIT, Output, quote};
pub use self::error::{Error, KeyOffer};
use self::exchange::{Done, Exchange, Input, Sink};
pub use self::hostset::{HostName, fold};
use self::link::{Limits, Link};
use self::settings::{Answer, Class, Settings};

/// How the fleet is reached. Nothing is taken from the environment or the home folder.
#[derive(Debug, Clone)]
pub struct Config {
    /// The ssh configuration file (`ssh -F`); the system-wide one is not read.
    pub ssh_config: PathBuf,
    /// What `~` in that file stands for; `None`: settings that hold it are left out.
    pub home: Option<PathBuf>,
    /// The host set used when none is given.
    pub hosts: String,
    /// Named host sets: name without `@` -> expression.
    pub groups: BTreeMap<String, String>,
    /// The socket of the ssh agent.
    pub agent: Option<PathBuf>,
    /// Hosts worked on at once, 1 at least.
    pub concurrency: usize,
    /// From the first packet to the open channel.
    pub connect_deadline: Duration,
    /// The ssh program, for settings and jump hosts.
    pub ssh_program: PathBuf,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            ssh_config: PathBuf::from("/etc/ssh/ssh_config"),
            home: None,
            hosts: String::new(),
            groups: BTreeMap::new(),
            agent: None,
            concurrency: 32,
            connect_deadline: Duration::from_secs(20),
            ssh_program: PathBuf::from("ssh"),
        }
    }
}

/// How [`Fleet::run_all`] goes over the hosts, as cumin does.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Batches {
    /// Hosts at once; `None`: as many as [`Config::concurrency`].
    pub size: Option<usize>,
    /// The pause between the end of one host and the start of the next in its place.
    pub sleep: Duration,
    /// The percentage of hosts, 0 to 100, that must succeed; once it can no longer be had, no
    /// further host is started.
    pub success: u8,
}

impl Default for Batches {
    fn default() -> Self {
        Self {
            size: None,
            sleep: Duration::ZERO,
            success: 100,
        }
    }
}

/// How long a transfer may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Deadlines {
    /// The longest time without a byte from or to the host. A slow consumer or source of ours
    /// doesn't count.
    pub idle: Duration,
    /// The whole transfer.
    pub total: Duration,
}

/// Connections kept for further commands: this many, this long.
const IDLE_LINKS: usize = 256;
const IDLE_TIME: Duration = Duration::from_mins(1);

/// The hosts and the connections to them. Clones share both.
#[derive(Clone)]
pub struct Fleet(Arc<Inner>);

struct Inner {
    config: Config,
    permits: Arc<Semaphore>,
    /// What ssh said, by class or else by host; asked once even when many hosts start at once.
    answers: Mutex<HashMap<String, Arc<OnceCell<Answer>>>>,
    idle: Mutex<HashMap<HostName, Link>>,
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Both maps are whole between any two statements.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl std::fmt::Debug for Fleet {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Fleet").field(&self.0.config).finish()
    }
}

impl Fleet {
    /// A fleet reached as the configuration says; contacts nothing.
    pub fn new(config: Config) -> Self {
        Self(Arc::new(Inner {
            permits: Arc::new(Semaphore::new(
                config.concurrency.clamp(1, Semaphore::MAX_PERMITS),
            )),
            config,
            answers: Mutex::default(),
            idle: Mutex::default(),
        }))
    }

    /// The hosts of an expression (see [`hostset`]), or of [`Config::hosts`]; none is an error.
    pub fn hosts(&self, expression: Option<&str>) -> Result<Vec<HostName>, Error> {
        let config = &self.0.config;
        hostset::expand(expression.unwrap_or(&config.hosts), &config.groups)
    }

    /// Runs a command on a host and gives what it printed, whatever its status. `deadline` counts
    /// from the start of the command; connecting has its own.
    pub async fn run(
        &self,
        host: &HostName,
        command: &Command,
        deadline: Duration,
        cancel: &CancellationToken,
    ) -> Result<Output, Error> {
        let input = Input::All(command.input());
        let work = Work {
            input,
            sink: Sink::Collect,
            idle: None,
            total: deadline,
        };
        let done = self.exchange(host, command, work, cancel).await?;
        Ok(Output {
            exit: done.exit,
            stdout: done.stdout,
            stderr: done.stderr,
        })
    }

    /// Runs a command on many hosts and gives each one's result as it comes. A host fails by an
    /// error or by another status than 0. Every host appears once, those not begun with
    /// [`Error::NotStarted`].
    pub fn run_all(
        &self,
        hosts: Vec<HostName>,
        command: &Command,
        deadline: Duration,
        batches: Batches,
        cancel: &CancellationToken,
    ) -> impl Stream<Item = (HostName, Result<Output, Error>)> + Send + 'static {
        let concurrency = self.0.config.concurrency.max(1);
        let window = batches.size.unwrap_or(concurrency).max(1);
        let share = usize::from(batches.success.min(100));
        let allowed = hosts.len() - (hosts.len() * share).div_ceil(100);
        let failed = Arc::new(AtomicUsize::new(0));
        let stop = cancel.child_token();
        let (fleet, command, cancel) = (self.clone(), command.clone(), cancel.clone());
        let one = move |(place, host): (usize, HostName)| {
            let (fleet, command, cancel) = (fleet.clone(), command.clone(), cancel.clone());
            let (failed, stop) = (Arc::clone(&failed), stop.clone());
            async move {
                if place >= window && !batches.sleep.is_zero() {
                    tokio::select! {
                        () = stop.cancelled() => {}
                        () = tokio::time::sleep(batches.sleep) => {}
                    }
                }
                if stop.is_cancelled() {
                    let result = Err(Error::NotStarted { host: host.clone() });
                    return (host, result);
                }
                let result = fleet.run(&host, &command, deadline, &cancel).await;
                let succeeded = result.as_ref().is_ok_and(Output::success);
                if !succeeded && failed.fetch_add(1, Ordering::SeqCst) >= allowed {
                    stop.cancel();
                }
                (host, result)
            }
        };
        futures::stream::iter(hosts.into_iter().enumerate())
            .map(one)
            .buffer_unordered(window)
    }

    /// Runs a command and hands its stdout on as it comes; a slow consumer slows the host down.
    /// The end of the channel alone says nothing: only a returned status 0 says that all is there.
    pub async fn download(
        &self,
        host: &HostName,
        command: &Command,
        deadlines: Deadlines,
        sink: mpsc::Sender<Bytes>,
        cancel: &CancellationToken,
    ) -> Result<Finished, Error> {
        let work = Work {
            input: Input::All(command.input()),
            sink: Sink::Stream(sink),
            idle: Some(deadlines.idle),
            total: deadlines.total,
        };
        let done = self.exchange(host, command, work, cancel).await?;
        Ok(Finished {
            bytes: done.received,
            exit: done.exit,
            stdout: done.stdout,
            stderr: done.stderr,
        })
    }

    /// Runs a command with what comes out of `source` on its stdin (after nothing else: the
    /// command's own stdin is left out) until the source ends. A source that fails must cancel:
    /// its mere end reads as the end of the data. A command that ends early leaves the rest
    /// unsent: compare [`Finished::bytes`].
    pub async fn upload(
        &self,
        host: &HostName,
        command: &Command,
        deadlines: Deadlines,
        source: mpsc::Receiver<Bytes>,
        cancel: &CancellationToken,
    ) -> Result<Finished, Error> {
        let work = Work {
            input: Input::Stream(source),
            sink: Sink::Collect,
            idle: Some(deadlines.idle),
            total: deadlines.total,
        };
        let done = self.exchange(host, command, work, cancel).await?;
        Ok(Finished {
            bytes: done.sent,
            exit: done.exit,
            stdout: done.stdout,
            stderr: done.stderr,
        })
    }

    /// The fingerprint (`SHA256:...`) of the host key that a host shows now, checked against the
    /// record: the host's identity.
    pub async fn host_key(
        &self,
        host: &HostName,
        cancel: &CancellationToken,
    ) -> Result<String, Error> {
        let cancel = cancel.child_token();
        let _stops_with_this_future = cancel.clone().drop_guard();
        let permit = self.permit(host, &cancel).await?;
        let (link, _channel) = self.connect(host, &permit, &cancel).await?;
        Ok(link.fingerprint.clone())
    }

    async fn exchange(
        &self,
        host: &HostName,
        command: &Command,
        work: Work,
        cancel: &CancellationToken,
    ) -> Result<Done, Error> {
        let exchange = Exchange {
            line: command.line()?,
            input: work.input,
            sink: work.sink,
            limit: command.limit(),
            idle: work.idle,
        };
        let cancel = cancel.child_token();
        let _stops_with_this_future = cancel.clone().drop_guard();
        let permit = self.permit(host, &cancel).await?;
        let (link, channel) = match self.reopen(host, &permit, &cancel).await {
            Some(open) => open,
            None => self.connect(host, &permit, &cancel).await?,
        };
        let limits = Limits::running(host, work.total, &cancel);
        let (mut link, done) = blocking(host, &permit, move || {
            let done = exchange::run(&link, channel, exchange, &limits)?;
            Ok((link, done))
        })
        .await?;
        link.used = Instant::now();
        let mut idle = locked(&self.0.idle);
        if idle.len() < IDLE_LINKS {
            idle.insert(host.clone(), link);
        }
        drop(idle);
        match command.sudo_refusal(host, &done.exit, &done.stderr) {
            Some(refusal) => Err(refusal),
            None => Ok(done),
        }
    }

    async fn permit(&self, host: &HostName, cancel: &CancellationToken) -> Result<Permit, Error> {
        let cancelled = || Error::Cancelled { host: host.clone() };
        tokio::select! {
            biased;
            () = cancel.cancelled() => Err(cancelled()),
            permit = Arc::clone(&self.0.permits).acquire_owned() => {
                // The semaphore is never closed.
                permit.map(Arc::new).map_err(|_| cancelled())
            }
        }
    }

    /// A channel on a connection kept from an earlier command. Should the server have closed it
    /// meanwhile, nothing has been run yet, and a new connection is safe.
    async fn reopen(
        &self,
        host: &HostName,
        permit: &Permit,
        cancel: &CancellationToken,
    ) -> Option<(Link, Channel)> {
        let link = locked(&self.0.idle).remove(host)?;
        if link.used.elapsed() > IDLE_TIME {
            return None;
        }
        let deadline = self.0.config.connect_deadline;
        let limits = Limits::connecting(host, deadline, cancel);
        let open = blocking(host, permit, move || {
            let channel = link.channel(&limits)?;
            Ok((link, channel))
        });
        open.await.ok()
    }

    async fn connect(
        &self,
        host: &HostName,
        permit: &Permit,
        cancel: &CancellationToken,
    ) -> Result<(Link, Channel), Error> {
        let deadline = self.0.config.connect_deadline;
        let limits = Limits::connecting(host, deadline, cancel);
        let settings = tokio::select! {
            settings = self.settings(host) => settings?,
            () = cancel.cancelled() => return Err(Error::Cancelled { host: host.clone() }),
        };
        let stream = link::open(&self.0.config, &settings, &limits).await?;
        let blocking_limits = limits.clone();
        let work = blocking(host, permit, move || {
            let limits = blocking_limits;
            let link = Link::secure(stream, &settings, &limits)?;
            auth::authenticate(&link, &settings, &limits)?;
            let channel = link.channel(&limits)?;
            Ok((link, channel))
        });
        // libssh2 waits for the agent without a limit. The thread that hangs there keeps its
        // permit, and runs nothing when it comes back: its time is up.
        tokio::select! {
            open = work => open,
            () = tokio::time::sleep_until((limits.end + AGENT_GRACE).into()) => {
                Err(Error::Hung {
                    host: host.clone(),
                    what: "the ssh agent did not answer",
                    after: deadline,
                })
            }
        }
    }

    async fn settings(&self, host: &HostName) -> Result<Settings, Error> {
        let config = &self.0.config;
        let text = tokio::fs::read_to_string(&config.ssh_config)
            .await
            .map_err(|e| Error::Settings {
                host: host.clone(),
                reason: format!("{} cannot be read", config.ssh_config.display()),
                source: Some(e),
            })?;
        let class = Class::of(&text, host);
        let (key, hostname) = match class {
            Some(class) => (class.lines, Some(class.hostname)),
            None => (host.to_string(), None),
        };
        let cell = Arc::clone(locked(&self.0.answers).entry(key).or_default());
        let answer = cell.get_or_try_init(|| settings::ask(config, host)).await?;
        Settings::new(answer, host, hostname.as_deref(), config)
    }
}

type Permit = Arc<OwnedSemaphorePermit>;

/// How much later than its deadline a connection that waits for the agent is given up.
const AGENT_GRACE: Duration = Duration::from_secs(1);

struct Work {
    input: Input,
    sink: Sink,
    idle: Option<Duration>,
    total: Duration,
}

/// Does blocking work with a share of the permit, so that a thread that outlives its future still
/// counts.
async fn blocking<T: Send + 'static>(
    host: &HostName,
    permit: &Permit,
    work: impl FnOnce() -> Result<T, Error> + Send + 'static,
) -> Result<T, Error> {
    let permit = Arc::clone(permit);
    let task = tokio::task::spawn_blocking(move || {
        let result = work();
        drop(permit);
        result
    });
    task.await.unwrap_or_else(|e| {
        Err(Error::Lost {
            host: host.clone(),
            what: "the thread that served it ended",
            source: Some(e.into()),
        })
    })
}
