//! A sandbox: its folder, and the servers in it going up and down.

use std::fmt;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Child;
use std::str::FromStr;
use std::sync::Mutex;
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::Pid;
use serde::Serialize;

use crate::cache::Cache;
use crate::error::{Context, Error};
use crate::hosts::{self, Host};
use crate::java::Java;
use crate::servers::metastore::Backend;
use crate::servers::{self, Ports, hdfs, mariadb, metastore};
use crate::state::State;
use crate::{admins, config, files, packages, process};

/// How long a server may take until it can be used, on a loaded machine.
const PATIENCE: Duration = Duration::from_secs(180);
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
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UpOptions {
    /// The servers. The metastore brings HDFS with it.
    pub with: Vec<Service>,
    /// How many hosts, 1 to 50.
    pub hosts: usize,
    /// The `DataNode` in its own JVM, so that a test can take it away.
    pub split_datanode: bool,
    /// The metastore in its own JVM, so that a test can take HDFS or it away.
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
        let result = Start {
            sandbox: self,
            options,
            progress,
            children: Mutex::default(),
        }
        .run(&wanted, &mut state);
        if result.is_err() {
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
        hosts::down(&self.dir.join("hosts"), &|unit| self.mark(unit))?;
        // The metastore before what it stands on.
        self.stop(&|server| server != "mariadb")?;
        self.stop(&|_| true)
    }

    /// Ends one server, with whatever shares its process: `hdfs` (with the `DataNode`),
    /// `datanode`, `metastore`, `mariadb`. A test that must keep the others splits them
    /// at the start.
    pub fn stop_server(&self, name: &str) -> Result<(), Error> {
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
        let up = match service {
            Service::Hosts => !self.hosts().is_empty(),
            _ => {
                let runs = self
                    .processes()
                    .iter()
                    .any(|found| roles(&found.server).any(|role| role == service.name()));
                runs && self.is_healthy(service.name(), &state.ports)
            }
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

    fn processes(&self) -> Vec<process::Marked> {
        process::of_sandbox(&self.dir)
    }

    /// Ends the processes whose server passes `test`.
    fn stop(&self, test: &dyn Fn(&str) -> bool) -> Result<(), Error> {
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

    fn is_healthy(&self, role: &str, ports: &Ports) -> bool {
        match role {
            "hdfs" | "datanode" => hdfs::is_healthy(ports),
            "metastore" => metastore::is_healthy(ports),
            "mariadb" => mariadb::is_healthy(&self.dir),
            _ => false,
        }
    }
}

/// The servers in one process, from its mark.
fn roles(server: &str) -> impl Iterator<Item = &str> {
    server.split('+')
}

fn ports_of(role: &str, backend: Option<Backend>) -> Option<&'static [&'static str]> {
    match role {
        "hdfs" | "datanode" => Some(hdfs::PORTS),
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

/// One call of [`Sandbox::up`], which holds the lock.
struct Start<'a> {
    sandbox: &'a Sandbox,
    options: &'a UpOptions,
    progress: Progress<'a>,
    /// Kept so that the end of a server is noticed while it is awaited.
    children: Mutex<Vec<(String, PathBuf, Child)>>,
}

impl Start<'_> {
    fn run(&self, wanted: &[Service], state: &mut State) -> Result<(), Error> {
        let dir = &self.sandbox.dir;
        for folder in [
            "hdfs",
            "metastore",
            "mariadb",
            "hosts",
            "admins",
            "secrets",
            "state",
        ] {
            files::folder(&dir.join(folder))?;
        }
        files::restrict(&dir.join("secrets"))?;
        let has = |service: Service| wanted.contains(&service);
        let missing = self.replace_broken(state)?;
        let missing: Vec<&str> = {
            let running: Vec<String> = self.running_roles();
            let mut roles: Vec<&str> = missing;
            for service in [Service::MariaDb, Service::Hdfs, Service::Metastore] {
                if has(service) {
                    roles.push(service.name());
                }
            }
            if roles.contains(&"hdfs") || roles.contains(&"datanode") {
                roles.push("datanode");
            }
            roles.sort_unstable();
            roles.dedup();
            roles.retain(|role| !running.iter().any(|runs| runs == role));
            roles
        };
        if missing.contains(&"hdfs") {
            state.split_datanode = self.options.split_datanode;
        }
        if missing.contains(&"metastore") {
            state.split_metastore = self.options.split_metastore;
            state.backend.get_or_insert(if has(Service::MariaDb) {
                Backend::MariaDb
            } else {
                Backend::Derby
            });
        }
        if has(Service::Hosts) {
            state.hosts = self.options.hosts;
        }
        self.assign_ports(state, &missing)?;
        state.save(dir)?;

        thread::scope(|scope| {
            let hosts = has(Service::Hosts).then(|| {
                scope.spawn(|| {
                    hosts::up(
                        &dir.join("hosts"),
                        self.options.hosts,
                        &|unit| self.sandbox.mark(unit),
                        &|line| (self.progress)(line),
                    )
                })
            });
            let servers = self.start_servers(&missing, state);
            let hosts = hosts.map(thread::ScopedJoinHandle::join);
            servers?;
            match hosts {
                Some(Ok(result)) => result.map(drop).map_err(Error::from),
                Some(Err(panic)) => std::panic::resume_unwind(panic),
                None => Ok(()),
            }
        })?;

        admins::write(dir)?;
        let running = self.running_roles();
        let hosts = self.sandbox.hosts().len();
        let up: Vec<Service> = Service::ALL
            .into_iter()
            .filter(|service| match service {
                Service::Hosts => hosts > 0,
                _ => running.iter().any(|role| role == service.name()),
            })
            .collect();
        config::write(dir, &up, &state.ports, hosts)
    }

    fn running_roles(&self) -> Vec<String> {
        let found = self.sandbox.processes();
        found
            .iter()
            .flat_map(|found| roles(&found.server).map(str::to_owned))
            .collect()
    }

    /// Ends processes that run without being of use; gives the servers that were in
    /// them, which are wanted again.
    fn replace_broken(&self, state: &State) -> Result<Vec<&'static str>, Error> {
        const ROLES: [&str; 4] = ["hdfs", "datanode", "metastore", "mariadb"];
        let mut missing = Vec::new();
        for found in self.sandbox.processes() {
            let mut inside = roles(&found.server).filter_map(|role| {
                let role = ROLES.into_iter().find(|known| *known == role)?;
                let whole = self.was_ready(&found.server, role)
                    && self.sandbox.is_healthy(role, &state.ports);
                Some((role, whole))
            });
            if inside.any(|(_, whole)| !whole) {
                (self.progress)(&format!(
                    "replacing {}, which does not answer",
                    found.server
                ));
                self.sandbox.stop(&|server| server == found.server)?;
                missing.extend(
                    roles(&found.server)
                        .filter_map(|role| ROLES.into_iter().find(|known| *known == role)),
                );
            }
        }
        Ok(missing)
    }

    /// Whether a JVM once said that it was ready: it may answer before its start is
    /// complete. A DataNode's JVM says so before the NameNode knows it.
    fn was_ready(&self, server: &str, role: &str) -> bool {
        role == "mariadb" || is_ready(&self.log(server))
    }

    fn log(&self, server: &str) -> PathBuf {
        let folder = match roles(server).next() {
            Some("datanode") | None => "hdfs",
            Some(role) => role,
        };
        self.sandbox.dir.join(folder).join(format!("{server}.log"))
    }

    fn assign_ports(&self, state: &mut State, missing: &[&str]) -> Result<(), Error> {
        let dir = &self.sandbox.dir;
        let fixed = state.ports.get("namenode").copied();
        for role in missing {
            // The NameNode's JVM knows all of HDFS's ports.
            if *role == "datanode" && !missing.contains(&"hdfs") {
                continue;
            }
            if let Some(names) = ports_of(role, state.backend) {
                servers::assign(&mut state.ports, dir, names);
            }
        }
        match fixed {
            Some(port) if state.backend.is_some() && state.ports.get("namenode") != Some(&port) => {
                Err(Error::Port {
                    port,
                    dir: dir.clone(),
                })
            }
            _ => Ok(()),
        }
    }

    fn start_servers(&self, missing: &[&str], state: &State) -> Result<(), Error> {
        let dir = &self.sandbox.dir;
        let tool = self.sandbox.tool_mark();
        let has = |role: &str| missing.contains(&role);
        if has("mariadb") {
            mariadb::make_data(dir, &tool, self.progress)?;
            (self.progress)("starting mariadb");
            self.spawn("mariadb", "mariadbd", |command| {
                mariadb::arguments(dir, &state.ports, command);
            })?;
            self.wait("mariadb", || mariadb::is_healthy(dir))?;
            mariadb::secure(dir)?;
        }
        if !["hdfs", "datanode", "metastore"].into_iter().any(has) {
            return Ok(());
        }
        let cache = Cache::from_env()?;
        let java = Java::prepare(&cache, &tool, self.progress)?;
        if has("hdfs") {
            hdfs::write_conf(dir, &state.ports)?;
        }
        if let (true, Some(backend)) = (has("metastore"), state.backend) {
            metastore::make_database(dir, backend, &java, &cache, &tool, self.progress)?;
            metastore::write_conf(dir, &state.ports, backend)?;
        }

        // A JVM each, with the servers in it.
        let mut jvms: Vec<Vec<&str>> = Vec::new();
        for role in ["hdfs", "datanode", "metastore"] {
            let alone = match role {
                "datanode" => state.split_datanode,
                "metastore" => state.split_metastore,
                _ => false,
            };
            match jvms.first_mut().filter(|_| !alone) {
                _ if !has(role) => {}
                Some(first) => first.push(role),
                None => jvms.push(vec![role]),
            }
        }
        let names: Vec<String> = jvms.iter().map(|roles| roles.join("+")).collect();
        for name in &names {
            (self.progress)(&format!("starting {name}"));
            self.spawn(name, java.program(), |command| {
                command.env("HADOOP_USER_NAME", "hdfs").current_dir(dir);
                self.jvm(command, &java, name, state);
            })?;
            if name == "hdfs" && has("datanode") {
                // A DataNode that finds no NameNode waits long before it tries again.
                self.wait(name, || {
                    state
                        .ports
                        .get("namenode")
                        .is_some_and(|&port| servers::accepts(port))
                })?;
            }
        }
        for name in &names {
            self.wait(name, || is_ready(&self.log(name)))?;
        }
        if has("hdfs") || has("datanode") {
            let name = names.first().map_or("hdfs", String::as_str);
            self.wait(name, || hdfs::is_healthy(&state.ports))?;
        }
        Ok(())
    }

    /// The class that serves, and what it is to serve.
    fn jvm(&self, command: &mut std::process::Command, java: &Java, name: &str, state: &State) {
        let dir = &self.sandbox.dir;
        command
            .arg(format!(
                "-Djava.io.tmpdir={}",
                dir.join("hdfs/tmp").display()
            ))
            .arg(format!(
                "-Dderby.stream.error.file={}",
                dir.join("metastore/derby.log").display()
            ));
        let conf = [hdfs::conf(dir), metastore::conf(dir)];
        let log = conf[0].join(hdfs::SERVERS_LOG);
        java.class(command, 640, &log, &conf, "opsweek.Servers");
        let port = |name: &str| state.ports.get(name).copied().unwrap_or(0);
        for role in roles(name) {
            match role {
                "hdfs" => command.arg("namenode"),
                "metastore" => {
                    if state.backend == Some(Backend::Derby) {
                        command.arg(format!("derby={}", port("derby")));
                    }
                    command.arg(format!("metastore={}", port("metastore")))
                }
                role => command.arg(role),
            };
        }
    }

    fn spawn(
        &self,
        server: &str,
        program: impl AsRef<std::ffi::OsStr>,
        prepare: impl FnOnce(&mut std::process::Command),
    ) -> Result<(), Error> {
        let log = self.log(server);
        let program = program.as_ref();
        let child = process::start(program, &self.sandbox.mark(server), &log, prepare).map_err(
            |source| Error::Run {
                program: program.display().to_string(),
                source,
            },
        )?;
        if let Ok(mut children) = self.children.lock() {
            children.push((server.to_owned(), log, child));
        }
        Ok(())
    }

    /// Waits until `ready`, or says with the last lines of which server's log why not.
    fn wait(&self, server: &str, ready: impl Fn() -> bool) -> Result<(), Error> {
        let deadline = Instant::now() + PATIENCE;
        while !ready() {
            let ended = self.children.lock().ok().and_then(|mut children| {
                children.iter_mut().find_map(|(server, log, child)| {
                    let status = child.try_wait().ok().flatten()?;
                    Some((server.clone(), log.clone(), status))
                })
            });
            if let Some((server, log, status)) = ended {
                return Err(Error::Start {
                    server,
                    what: format!("ended while it started ({status})"),
                    log: files::tail(&log, 15),
                });
            }
            if Instant::now() > deadline {
                return Err(Error::Start {
                    server: server.to_owned(),
                    what: format!("was not ready within {} s", PATIENCE.as_secs()),
                    log: files::tail(&self.log(server), 15),
                });
            }
            thread::sleep(Duration::from_millis(50));
        }
        Ok(())
    }
}

/// Whether our class in a JVM has said that all it was to start can be used.
fn is_ready(log: &Path) -> bool {
    fs::read(log).is_ok_and(|text| {
        text.split(|byte| *byte == b'\n')
            .any(|line| line == b"READY")
    })
}
