//! A sandbox: its folder, and the servers in it going up and down.

use std::fmt;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use serde::Serialize;

use crate::error::{Context, Error};
use crate::hosts::{self, Host};
use crate::servers::mariadb::Server;
use crate::servers::metastore::Backend;
use crate::servers::{Ports, dns, hdfs, metastore, redis};
use crate::start::{ROLES, Start};
use crate::state::State;
use crate::{files, packages, process};

/// How long a server may take to end by itself.
const GRACE: Duration = Duration::from_secs(20);
/// What marks the processes of downloads and compilers.
const TOOL: &str = "tool";

/// A server that can be asked for by name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Service {
    /// `NameNode` and `DataNode`.
    Hdfs,
    /// The Hive metastore, with its warehouse in that HDFS.
    Metastore,
    /// Machines with sshd.
    Hosts,
    /// `MariaDB` servers: the platform's, one to copy to, the two replicas of the wikis'
    /// databases, and the name server that knows where these are.
    MariaDb,
    /// Redis by TCP and TLS, and a Sentinel.
    Redis,
}

impl Service {
    /// All of them.
    pub const ALL: [Self; 5] = [
        Self::Hdfs,
        Self::Metastore,
        Self::Hosts,
        Self::MariaDb,
        Self::Redis,
    ];

    /// The name on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::Hdfs => "hdfs",
            Self::Metastore => "metastore",
            Self::Hosts => "hosts",
            Self::MariaDb => "mariadb",
            Self::Redis => "redis",
        }
    }

    /// The servers that it is made of, by the names that [`Sandbox::stop_server`] takes;
    /// of hosts there are as many as wanted.
    pub(crate) fn roles(self) -> &'static [&'static str] {
        match self {
            Self::Hdfs => &["hdfs", "datanode"],
            Self::Metastore => &["metastore"],
            Self::Hosts => &[],
            Self::MariaDb => &["metadata", "target", "prod-replica", "cloud", "dns"],
            Self::Redis => &["redis", "redis-sentinel"],
        }
    }

    /// The service that a server is a part of.
    pub(crate) fn of(role: &str) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|service| service.roles().contains(&role))
    }
}

impl fmt::Display for Service {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Service {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self, Error> {
        Self::ALL
            .into_iter()
            .find(|service| service.name() == name)
            .ok_or_else(|| Error::Unknown {
                kind: "server",
                name: name.to_owned(),
                known: Self::ALL.map(Self::name).join(", "),
            })
    }
}

/// What to bring up.
#[derive(Debug, Clone, PartialEq, Eq, clap::Args)]
pub struct UpOptions {
    /// Which servers; the metastore brings HDFS with it
    #[arg(long, value_delimiter = ',', default_values_t = Service::ALL)]
    pub with: Vec<Service>,
    /// How many hosts, 1 to 50
    #[arg(long, default_value_t = 6, value_parser = clap::value_parser!(u8).range(1..=50))]
    pub hosts: u8,
    /// A JVM of its own for the `DataNode`, so that a test can take it away
    #[arg(long)]
    pub split_datanode: bool,
    /// A JVM of its own for the metastore, so that a test can take it or HDFS away
    #[arg(long)]
    pub split_metastore: bool,
    /// A cluster without trash: `fs.trash.interval` is 0
    #[arg(long)]
    pub no_trash: bool,
}

impl Default for UpOptions {
    /// Everything, six hosts, one JVM.
    fn default() -> Self {
        Self {
            with: Service::ALL.to_vec(),
            hosts: 6,
            split_datanode: false,
            split_metastore: false,
            no_trash: false,
        }
    }
}

/// A sandbox's folder. Nothing happens to its servers when this value is dropped.
#[derive(Debug, Clone)]
pub struct Sandbox {
    dir: PathBuf,
}

/// What runs in a sandbox.
#[derive(Debug, Clone, Serialize)]
pub struct Status {
    /// The folder.
    pub dir: PathBuf,
    /// The tools' configuration; set once something was up.
    pub config: Option<PathBuf>,
    /// The servers' processes.
    pub servers: Vec<ServerStatus>,
    /// The hosts.
    pub hosts: Vec<HostStatus>,
}

/// A server's process.
#[derive(Debug, Clone, Serialize)]
pub struct ServerStatus {
    /// As [`Sandbox::stop_server`] takes it; servers in one process are listed one by one.
    pub name: String,
    /// The process.
    pub pid: i32,
    /// Whether it can be used.
    pub healthy: bool,
    /// What listens on which port of 127.0.0.1.
    pub ports: Ports,
}

/// A host.
#[derive(Debug, Clone, Serialize)]
pub struct HostStatus {
    /// Full name.
    pub name: String,
    /// Where its sshd listens.
    pub address: std::net::Ipv4Addr,
    /// The port.
    pub port: u16,
}

/// What a line of progress is told to.
pub type Progress<'a> = &'a (dyn Fn(&str) + Sync);

impl Sandbox {
    /// The sandbox in `dir`, which need not exist yet.
    pub fn open(dir: impl AsRef<Path>) -> Result<Self, Error> {
        let dir = canonical(dir.as_ref())?;
        // Hadoop takes a folder's name for a URI, and a list of them is joined by commas.
        let plain = |c: char| c.is_ascii_alphanumeric() || "/._-+@".contains(c);
        if !dir.to_str().is_some_and(|name| name.chars().all(plain)) {
            return Err(Error::Folder { dir });
        }
        Ok(Self { dir })
    }

    /// The sandbox that `OPSWEEK_SANDBOX` names.
    pub fn from_env() -> Result<Self, Error> {
        Self::open(std::env::var_os("OPSWEEK_SANDBOX").ok_or(Error::NoSandbox)?)
    }

    /// A sandbox in `dir` with servers of its own. The caller ends it with
    /// [`Sandbox::down`].
    pub fn start(
        dir: impl AsRef<Path>,
        options: &UpOptions,
        progress: Progress<'_>,
    ) -> Result<Self, Error> {
        let sandbox = Self::open(dir)?;
        sandbox.up(options, progress)?;
        Ok(sandbox)
    }

    /// The folder, canonical.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Where a server listens on 127.0.0.1, by the name that [`ServerStatus::ports`] has;
    /// none when it was never up.
    pub fn port(&self, name: &str) -> Result<Option<u16>, Error> {
        Ok(State::load(&self.dir)?.ports.get(name).copied())
    }

    /// The configuration for opsweek's tools.
    pub fn config_path(&self) -> PathBuf {
        self.dir.join("config.toml")
    }

    /// Brings up what `options` ask for: what can be used is left alone, what died or
    /// was left half started is replaced. When a server does not start, what this call
    /// started is ended again.
    pub fn up(&self, options: &UpOptions, progress: Progress<'_>) -> Result<(), Error> {
        let roles = options.with.iter().flat_map(|service| service.roles());
        self.bring_up(roles.copied().collect(), options, progress)
    }

    /// Brings up these servers, what they stand on, and the hosts if `options` want them.
    fn bring_up(
        &self,
        mut wanted: Vec<&'static str>,
        options: &UpOptions,
        progress: Progress<'_>,
    ) -> Result<(), Error> {
        if wanted.contains(&"metastore") {
            wanted.extend(Service::Hdfs.roles());
        }
        files::folder(&self.dir)?;
        let _lock = self.lock(progress)?;
        let mut state = State::load(&self.dir)?;
        if wanted.contains(&"metastore") && state.backend == Some(Backend::MariaDb) {
            wanted.push(Server::Metadata.name());
        }
        let mut services: Vec<Service> = wanted.iter().copied().filter_map(Service::of).collect();
        services.extend(options.with.iter().filter(|with| **with == Service::Hosts));
        packages::ensure(&services, progress)?;
        // What a killed start left: downloads and compilers.
        self.stop(&|server| server == TOOL)?;

        let before: Vec<Pid> = self
            .processes()
            .into_iter()
            .map(|found| found.pid)
            .collect();
        let had_hosts = !self.hosts().is_empty();
        let result = Start::new(self, options, progress).run(&wanted, &mut state);
        if result.is_err() {
            // The first error tells more than a second one would.
            if !had_hosts {
                let _ = self.stop_hosts();
            }
            let started = || {
                let now = self.processes().into_iter().map(|found| found.pid);
                now.filter(|pid| !before.contains(pid)).collect()
            };
            process::stop(started, GRACE);
        }
        result
    }

    /// Ends all servers and mounts; files stay.
    pub fn down(&self, progress: Progress<'_>) -> Result<(), Error> {
        if !self.dir.exists() {
            return Ok(());
        }
        let _lock = self.lock(progress)?;
        self.stop_hosts()?;
        // The metastore before what it stands on.
        self.stop(&|server| server != Server::Metadata.name())?;
        self.stop(&|_| true)
    }

    /// Ends one server, with whatever shares its process: `hdfs` (with the `DataNode`),
    /// `datanode`, `metastore` (a test that must keep the others splits them at the
    /// start), the `MariaDB` servers `metadata`, `target`, `prod-replica` and `cloud`,
    /// `dns`, `redis` and `redis-sentinel`.
    pub fn stop_server(&self, name: &str) -> Result<(), Error> {
        known_role(name)?;
        let _lock = self.lock(&|_| ())?;
        self.stop(&|server| is_in(name, server))
    }

    /// The same by KILL, as if its machine's power had gone.
    pub fn kill_server(&self, name: &str) -> Result<(), Error> {
        known_role(name)?;
        let _lock = self.lock(&|_| ())?;
        gone(process::kill(|| self.pids(&|server| is_in(name, server))))
    }

    /// Lets a server's process answer nobody until [`Sandbox::resume_server`]: its port
    /// accepts connections, and nothing comes.
    pub fn pause_server(&self, name: &str) -> Result<(), Error> {
        self.signal(name, Signal::STOP)
    }

    /// Lets a paused server go on where it was.
    pub fn resume_server(&self, name: &str) -> Result<(), Error> {
        self.signal(name, Signal::CONT)
    }

    fn signal(&self, name: &str, signal: Signal) -> Result<(), Error> {
        known_role(name)?;
        for found in self.processes() {
            if is_in(name, &found.server) {
                // Fails only for a process that has just ended.
                let _ = kill_process(found.pid, signal);
            }
        }
        Ok(())
    }

    /// Starts again what [`Sandbox::stop_server`] ended (and whatever shared its
    /// process), as it was.
    pub fn start_server(&self, name: &str, progress: Progress<'_>) -> Result<(), Error> {
        let state = State::load(&self.dir)?;
        let mut wanted = vec![known_role(name)?];
        if Service::Hdfs.roles().contains(&name) {
            wanted = Service::Hdfs.roles().to_vec();
            if state.backend.is_some() && !state.split_metastore {
                wanted.push("metastore");
            }
        }
        self.bring_up(
            wanted,
            &UpOptions {
                with: Vec::new(),
                hosts: state.hosts,
                split_datanode: state.split_datanode,
                split_metastore: state.split_metastore,
                no_trash: state.no_trash,
            },
            progress,
        )
    }

    /// What runs.
    pub fn status(&self) -> Result<Status, Error> {
        let state = State::load(&self.dir)?;
        let mut servers = Vec::new();
        for found in self.processes() {
            for role in roles(&found.server) {
                let Some(names) = ports_of(role, state.backend) else {
                    continue;
                };
                let of_role = |(name, port): (&String, &u16)| {
                    names
                        .contains(&name.as_str())
                        .then(|| (name.clone(), *port))
                };
                servers.push(ServerStatus {
                    name: role.to_owned(),
                    pid: found.pid.as_raw_pid(),
                    healthy: self.is_healthy(role, &state.ports),
                    ports: state.ports.iter().filter_map(of_role).collect(),
                });
            }
        }
        let hosts = self.hosts().into_iter().map(|host| HostStatus {
            name: host.name,
            address: host.address,
            port: host.port,
        });
        Ok(Status {
            dir: self.dir.clone(),
            config: Some(self.config_path()).filter(|path| path.exists()),
            servers,
            hosts: hosts.collect(),
        })
    }

    /// The hosts that run, with their root folders as seen from here.
    pub fn hosts(&self) -> Vec<Host> {
        hosts::running(&self.dir.join("hosts"), &|unit| self.mark(unit))
    }

    /// Fails unless the service's servers, but for the `DataNode`, can be used.
    pub(crate) fn require(&self, service: Service) -> Result<State, Error> {
        if service == Service::Hosts {
            if self.hosts().is_empty() {
                return Err(self.not_up(service, "hosts"));
            }
            return State::load(&self.dir);
        }
        for role in service.roles() {
            if *role != "datanode" {
                self.require_server(service, role)?;
            }
        }
        State::load(&self.dir)
    }

    /// Fails unless this server, which is a part of `service`, can be used.
    pub(crate) fn require_server(&self, service: Service, role: &str) -> Result<State, Error> {
        let state = State::load(&self.dir)?;
        let runs = |found: &process::Marked| roles(&found.server).any(|runs| runs == role);
        if self.is_healthy(role, &state.ports) && self.processes().iter().any(runs) {
            return Ok(state);
        }
        Err(self.not_up(service, role))
    }

    fn not_up(&self, service: Service, server: &str) -> Error {
        Error::NotUp {
            service,
            server: server.to_owned(),
            dir: self.dir.clone(),
            log: files::tail(&self.log(server), 40),
        }
    }

    /// What a server's process writes, by the name of its mark.
    pub(crate) fn log(&self, server: &str) -> PathBuf {
        let folder = match roles(server).next() {
            Some("datanode") | None => "hdfs",
            Some(role) => role,
        };
        self.dir.join(folder).join(format!("{server}.log"))
    }

    fn stop_hosts(&self) -> Result<(), Error> {
        let hosts = self.dir.join("hosts");
        if hosts.exists() {
            hosts::down(&hosts, &|unit| self.mark(unit))?;
        }
        Ok(())
    }

    pub(crate) fn lock(&self, progress: Progress<'_>) -> Result<File, Error> {
        let path = self.dir.join("lock");
        let lock = File::create(&path).context("create", &path)?;
        if lock.try_lock().is_err() {
            progress("waiting for another command that works on this sandbox");
            lock.lock().context("lock", &path)?;
        }
        Ok(lock)
    }

    pub(crate) fn mark(&self, server: &str) -> (String, String) {
        process::mark(&self.dir, server)
    }

    pub(crate) fn tool_mark(&self) -> (String, String) {
        self.mark(TOOL)
    }

    pub(crate) fn processes(&self) -> Vec<process::Marked> {
        process::of_sandbox(&self.dir)
    }

    /// Ends the processes whose server passes `test`.
    pub(crate) fn stop(&self, test: &dyn Fn(&str) -> bool) -> Result<(), Error> {
        gone(process::stop(|| self.pids(test), GRACE))
    }

    /// The processes whose server passes `test`.
    fn pids(&self, test: &dyn Fn(&str) -> bool) -> Vec<Pid> {
        let found = self.processes().into_iter();
        found
            .filter(|found| test(&found.server))
            .map(|found| found.pid)
            .collect()
    }

    pub(crate) fn is_healthy(&self, role: &str, ports: &Ports) -> bool {
        match role {
            "hdfs" => hdfs::answers(ports),
            "datanode" => hdfs::has_datanode(ports),
            "metastore" => metastore::is_healthy(ports),
            "dns" => dns::is_healthy(ports),
            "redis" | "redis-sentinel" => redis::is_healthy(ports, role),
            _ => Server::find(role).is_some_and(|server| server.is_healthy(&self.dir)),
        }
    }
}

/// Fails when processes outlived KILL.
fn gone(left: Vec<Pid>) -> Result<(), Error> {
    if left.is_empty() {
        return Ok(());
    }
    Err(Error::Unkillable {
        pids: left.into_iter().map(Pid::as_raw_pid).collect(),
    })
}

/// The server of that name.
fn known_role(name: &str) -> Result<&'static str, Error> {
    ROLES
        .into_iter()
        .find(|role| *role == name)
        .ok_or_else(|| Error::Unknown {
            kind: "server",
            name: name.to_owned(),
            known: ROLES.join(", "),
        })
}

/// Whether the server `name` is in a process with this mark; HDFS has its `DataNode`.
fn is_in(name: &str, mark: &str) -> bool {
    roles(mark).any(|role| role == name || (name == "hdfs" && role == "datanode"))
}

/// The servers in one process, from its mark.
pub(crate) fn roles(server: &str) -> impl Iterator<Item = &str> {
    server.split('+')
}

pub(crate) fn ports_of(role: &str, backend: Option<Backend>) -> Option<&'static [&'static str]> {
    match role {
        "hdfs" => Some(hdfs::NAMENODE_PORTS),
        "datanode" => Some(hdfs::DATANODE_PORTS),
        "metastore" => Some(backend.map_or(&[][..], Backend::ports)),
        "dns" => Some(dns::PORTS),
        "redis" => Some(redis::PORTS),
        "redis-sentinel" => Some(redis::SENTINEL_PORTS),
        _ => Server::find(role).map(Server::ports),
    }
}

/// Like [`fs::canonicalize`], for a folder that need not exist.
fn canonical(dir: &Path) -> Result<PathBuf, Error> {
    match fs::canonicalize(dir) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            let dir = std::path::absolute(dir).context("find", dir)?;
            match (dir.parent(), dir.file_name()) {
                (Some(parent), Some(name)) => Ok(canonical(parent)?.join(name)),
                _ => Err(error).context("find", &dir),
            }
        }
        other => other.context("find", dir),
    }
}
