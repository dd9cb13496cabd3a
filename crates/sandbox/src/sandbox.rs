//! A sandbox: its folder, and the servers in it going up and down.

use std::fmt;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use rustix::process::Pid;
use serde::Serialize;

use crate::error::{Context, Error};
use crate::hosts::{self, Host};
use crate::servers::metastore::Backend;
use crate::servers::{Ports, hdfs, mariadb, metastore};
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
    /// A private `MariaDB`.
    MariaDb,
}

impl Service {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Hdfs, Self::Metastore, Self::Hosts, Self::MariaDb];

    /// The name on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::Hdfs => "hdfs",
            Self::Metastore => "metastore",
            Self::Hosts => "hosts",
            Self::MariaDb => "mariadb",
        }
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
}

impl Default for UpOptions {
    /// Everything, six hosts, one JVM.
    fn default() -> Self {
        Self {
            with: Service::ALL.to_vec(),
            hosts: 6,
            split_datanode: false,
            split_metastore: false,
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
    /// `hdfs`, `datanode`, `metastore` or `mariadb`; servers in one process are listed
    /// one by one.
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

    /// The configuration for opsweek's tools.
    pub fn config_path(&self) -> PathBuf {
        self.dir.join("config.toml")
    }

    /// Brings up what `options` ask for: what can be used is left alone, what died or
    /// was left half started is replaced. When a server does not start, what this call
    /// started is ended again.
    pub fn up(&self, options: &UpOptions, progress: Progress<'_>) -> Result<(), Error> {
        let mut wanted = options.with.clone();
        if wanted.contains(&Service::Metastore) {
            wanted.push(Service::Hdfs);
        }
        files::folder(&self.dir)?;
        let _lock = self.lock(progress)?;
        let mut state = State::load(&self.dir)?;
        if wanted.contains(&Service::Metastore) && state.backend == Some(Backend::MariaDb) {
            wanted.push(Service::MariaDb);
        }
        wanted.sort_unstable();
        wanted.dedup();
        packages::ensure(&wanted, progress)?;
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
        self.stop(&|server| server != "mariadb")?;
        self.stop(&|_| true)
    }

    /// Ends one server, with whatever shares its process: `hdfs` (with the `DataNode`),
    /// `datanode`, `metastore`, `mariadb`. A test that must keep the others splits them
    /// at the start.
    pub fn stop_server(&self, name: &str) -> Result<(), Error> {
        if !ROLES.contains(&name) {
            return Err(Error::Unknown {
                kind: "server",
                name: name.to_owned(),
                known: ROLES.join(", "),
            });
        }
        let _lock = self.lock(&|_| ())?;
        self.stop(&|server| {
            roles(server).any(|role| role == name || (name == "hdfs" && role == "datanode"))
        })
    }

    /// Starts again what [`Sandbox::stop_server`] ended (and whatever shared its
    /// process), as it was.
    pub fn start_server(&self, name: &str, progress: Progress<'_>) -> Result<(), Error> {
        let state = State::load(&self.dir)?;
        let service = if name == "datanode" { "hdfs" } else { name };
        let mut with = vec![service.parse()?];
        if service == "hdfs" && state.backend.is_some() && !state.split_metastore {
            with.push(Service::Metastore);
        }
        self.up(
            &UpOptions {
                with,
                hosts: state.hosts,
                split_datanode: state.split_datanode,
                split_metastore: state.split_metastore,
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

    /// Fails unless the server can be used.
    pub(crate) fn require(&self, service: Service) -> Result<State, Error> {
        let state = State::load(&self.dir)?;
        let up = if service == Service::Hosts {
            !self.hosts().is_empty()
        } else {
            self.is_healthy(service.name(), &state.ports)
                && self
                    .processes()
                    .iter()
                    .any(|found| roles(&found.server).any(|role| role == service.name()))
        };
        if up {
            Ok(state)
        } else {
            Err(Error::NotUp {
                service,
                dir: self.dir.clone(),
            })
        }
    }

    fn stop_hosts(&self) -> Result<(), Error> {
        let hosts = self.dir.join("hosts");
        if hosts.exists() {
            hosts::down(&hosts, &|unit| self.mark(unit))?;
        }
        Ok(())
    }

    fn lock(&self, progress: Progress<'_>) -> Result<File, Error> {
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
        let find = || {
            let found = self.processes().into_iter();
            found
                .filter(|found| test(&found.server))
                .map(|found| found.pid)
                .collect()
        };
        let left = process::stop(find, GRACE);
        if left.is_empty() {
            return Ok(());
        }
        Err(Error::Unkillable {
            pids: left.iter().map(|pid| pid.as_raw_pid()).collect(),
        })
    }

    pub(crate) fn is_healthy(&self, role: &str, ports: &Ports) -> bool {
        match role {
            "hdfs" => hdfs::answers(ports),
            "datanode" => hdfs::has_datanode(ports),
            "metastore" => metastore::is_healthy(ports),
            "mariadb" => mariadb::is_healthy(&self.dir),
            _ => false,
        }
    }
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
        "mariadb" => Some(mariadb::PORTS),
        _ => None,
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
