//! Starting servers: which are missing, what each needs, and when it can be used.

use std::fs;
use std::path::Path;
use std::process::{Child, Command};
use std::sync::Mutex;
use std::thread;
use std::time::{Duration, Instant};

use crate::cache::Cache;
use crate::error::Error;
use crate::java::Java;
use crate::sandbox::{Progress, Sandbox, Service, UpOptions, ports_of, roles};
use crate::seed::newwiki;
use crate::servers::mariadb::Server;
use crate::servers::metastore::Backend;
use crate::servers::{self, dns, hdfs, mariadb, metastore, redis, tls};
use crate::state::State;
use crate::{admins, config, files, hosts, process};

/// How long a server may take until it can be used, on a loaded machine.
const PATIENCE: Duration = Duration::from_mins(3);

/// The servers that are processes here, in the order they depend on each other.
pub(crate) const ROLES: [&str; 10] = [
    "metadata",
    "target",
    "prod-replica",
    "cloud",
    "dns",
    "redis",
    "redis-sentinel",
    "hdfs",
    "datanode",
    "metastore",
];

/// What every sandbox's folder has in it.
const FOLDERS: [&str; 6] = ["admins", "hdfs", "hosts", "metastore", "secrets", "state"];

/// One call of [`Sandbox::up`], which holds the lock.
pub(crate) struct Start<'a> {
    sandbox: &'a Sandbox,
    options: &'a UpOptions,
    progress: Progress<'a>,
    /// Kept so that the end of a server is noticed while it is awaited.
    children: Mutex<Vec<(String, Child)>>,
}

impl<'a> Start<'a> {
    pub(crate) fn new(
        sandbox: &'a Sandbox,
        options: &'a UpOptions,
        progress: Progress<'a>,
    ) -> Self {
        Self {
            sandbox,
            options,
            progress,
            children: Mutex::default(),
        }
    }

    /// Brings up `wanted` (with what it stands on) and writes down where it is.
    pub(crate) fn run(&self, wanted: &[&str], state: &mut State) -> Result<(), Error> {
        let dir = self.sandbox.dir();
        for folder in FOLDERS {
            files::folder(&dir.join(folder))?;
        }
        files::restrict(&dir.join("secrets"))?;
        let wants_hosts = self.options.with.contains(&Service::Hosts);

        let broken = self.replace_broken(state)?;
        let running = self.running_roles();
        let mut missing = ROLES.to_vec();
        missing.retain(|role| {
            (broken.contains(role) || wanted.contains(role))
                && !running.iter().any(|runs| runs == role)
        });
        if missing.contains(&"hdfs") {
            state.split_datanode = self.options.split_datanode;
            state.no_trash = self.options.no_trash;
        }
        if missing.contains(&"metastore") {
            state.split_metastore = self.options.split_metastore;
            state
                .backend
                .get_or_insert(if wanted.contains(&Server::Metadata.name()) {
                    Backend::MariaDb
                } else {
                    Backend::Derby
                });
        }
        if wants_hosts {
            state.hosts = self.options.hosts;
        }
        self.assign_ports(state, &missing)?;
        state.save(dir)?;
        if running.iter().any(|role| role == "dns") && !dns::is_current(dir, &state.ports) {
            self.sandbox.stop(&|server| server == "dns")?;
            missing.push("dns");
        }

        thread::scope(|scope| {
            let hosts = wants_hosts.then(|| {
                scope.spawn(|| {
                    hosts::up(
                        &dir.join("hosts"),
                        self.options.hosts.into(),
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
        let mut up = Service::ALL.to_vec();
        up.retain(|service| match service {
            Service::Hosts => hosts > 0,
            _ => running
                .iter()
                .any(|role| service.roles().contains(&role.as_str())),
        });
        config::write(dir, &up, &state.ports, hosts, state.backend)
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
        let mut broken = Vec::new();
        for found in self.sandbox.processes() {
            let inside: Vec<&str> = ROLES
                .into_iter()
                .filter(|role| roles(&found.server).any(|inside| inside == *role))
                .collect();
            let whole = inside.iter().all(|role| {
                self.was_ready(&found.server) && self.sandbox.is_healthy(role, &state.ports)
            });
            if !whole {
                (self.progress)(&format!(
                    "replacing {}, which does not answer",
                    found.server
                ));
                self.sandbox.stop(&|server| server == found.server)?;
                broken.extend(inside);
            }
        }
        Ok(broken)
    }

    /// Whether a start was completed: a JVM that has said so, a database server with
    /// accounts. It may answer before.
    fn was_ready(&self, server: &str) -> bool {
        match Server::find(server) {
            Some(server) => server.is_set_up(self.sandbox.dir()),
            None => !is_jvm(server) || is_ready(&self.sandbox.log(server)),
        }
    }

    fn assign_ports(&self, state: &mut State, missing: &[&str]) -> Result<(), Error> {
        let dir = self.sandbox.dir();
        let fixed = state.ports.get("namenode").copied();
        for role in missing {
            if let Some(names) = ports_of(role, state.backend) {
                servers::assign(&mut state.ports, dir, names);
            }
        }
        match fixed {
            Some(port) if state.backend.is_some() && state.ports.get("namenode") != Some(&port) => {
                Err(Error::Port {
                    port,
                    dir: dir.to_owned(),
                })
            }
            _ => Ok(()),
        }
    }

    fn start_servers(&self, missing: &[&str], state: &State) -> Result<(), Error> {
        let dir = self.sandbox.dir();
        if missing.contains(&"dns") {
            dns::write_conf(dir, &state.ports)?;
            (self.progress)("starting dns");
            self.spawn("dns", dns::PROGRAM, |command| dns::arguments(dir, command))?;
        }
        self.start_redis(missing, state)?;
        let mut databases = Server::ALL.to_vec();
        databases.retain(|server| missing.contains(&server.name()));
        if !databases.is_empty() {
            tls::make(dir, &self.sandbox.tool_mark())?;
        }
        // The metastore may stand on that one.
        let metadata = databases
            .first()
            .filter(|first| **first == Server::Metadata);
        let waits = missing.contains(&"metastore") && state.backend == Some(Backend::MariaDb);
        if let (true, Some(metadata)) = (waits, metadata) {
            self.start_database(*metadata, state)?;
            databases.remove(0);
        }
        thread::scope(|scope| {
            let started: Vec<_> = databases
                .into_iter()
                .map(|server| scope.spawn(move || self.start_database(server, state)))
                .collect();
            if missing.contains(&Server::ProdReplica.name()) && !newwiki::is_local(dir) {
                newwiki::local(dir)?;
            }
            self.start_jvms(missing, state)?;
            if missing.contains(&"dns") {
                self.wait("dns", || dns::is_healthy(&state.ports))?;
            }
            for started in started {
                started
                    .join()
                    .unwrap_or_else(|panic| std::panic::resume_unwind(panic))?;
            }
            Ok(())
        })
    }

    fn start_database(&self, server: Server, state: &State) -> Result<(), Error> {
        let dir = self.sandbox.dir();
        let tool = self.sandbox.tool_mark();
        let plugins = match server {
            Server::ProdReplica => mariadb::plugins(&Cache::from_env()?, &tool)?,
            _ => None,
        };
        (self.progress)(&format!("starting {}", server.name()));
        server.make_data(dir, &tool)?;
        self.spawn(server.name(), mariadb::PROGRAM, |command| {
            server.arguments(dir, &state.ports, plugins.as_deref(), command);
        })?;
        self.wait(server.name(), || server.is_healthy(dir))?;
        server.set_up(dir)
    }

    /// Starts Redis, which takes no time, and then the Sentinel that watches it.
    fn start_redis(&self, missing: &[&str], state: &State) -> Result<(), Error> {
        let dir = self.sandbox.dir();
        for name in Service::Redis.roles() {
            if !missing.contains(name) {
                continue;
            }
            redis::prepare(dir, &self.sandbox.tool_mark())?;
            (self.progress)(&format!("starting {name}"));
            let program = redis::program(&redis::home(dir))?;
            if *name == "redis" {
                self.spawn(name, program, |command| {
                    redis::sandbox_arguments(dir, &state.ports, command);
                })?;
            } else {
                let conf = redis::sandbox_sentinel(dir, &state.ports)?;
                self.spawn(name, program, |command| {
                    redis::sentinel_arguments(&conf, command);
                })?;
            }
            self.wait(name, || redis::is_healthy(&state.ports, name))?;
        }
        Ok(())
    }

    fn start_jvms(&self, missing: &[&str], state: &State) -> Result<(), Error> {
        let dir = self.sandbox.dir();
        let tool = self.sandbox.tool_mark();
        let has = |role: &str| missing.contains(&role);
        if !["hdfs", "datanode", "metastore"].into_iter().any(has) {
            return Ok(());
        }
        let cache = Cache::from_env()?;
        let java = Java::prepare(&cache, &tool, self.progress)?;
        let archive = java.archive(&cache, |folder, option| {
            (self.progress)("rehearsing a start, which makes later ones quicker");
            rehearse(folder, option, &java, &cache, &tool)
        });
        if let Err(error) = archive {
            // Only speed is lost.
            (self.progress)(&format!("going on without: {error}"));
        }
        if has("hdfs") || has("datanode") {
            hdfs::write_conf(dir, state)?;
        }
        if let (true, Some(backend)) = (has("metastore"), state.backend) {
            metastore::make_database(dir, backend, &java, &cache, &tool, self.progress)?;
            metastore::write_conf(dir, &state.ports, backend)?;
        }

        let names = jvms(missing, state);
        for name in &names {
            if name == "datanode" {
                // A DataNode that finds no NameNode waits long before it tries again.
                self.wait(name, || {
                    let port = state.ports.get("namenode");
                    port.is_some_and(|&port| servers::accepts(port))
                })?;
            }
            (self.progress)(&format!("starting {name}"));
            self.spawn(name, java.program(), |command| {
                jvm(command, dir, &java, name, state);
            })?;
        }
        for name in &names {
            self.wait(name, || is_ready(&self.sandbox.log(name)))?;
        }
        Ok(())
    }

    fn spawn(
        &self,
        server: &str,
        program: impl AsRef<std::ffi::OsStr>,
        prepare: impl FnOnce(&mut Command),
    ) -> Result<(), Error> {
        let log = self.sandbox.log(server);
        let program = program.as_ref();
        let child = process::start(program, &self.sandbox.mark(server), &log, prepare).map_err(
            |source| Error::Run {
                program: program.display().to_string(),
                source,
            },
        )?;
        if let Ok(mut children) = self.children.lock() {
            children.push((server.to_owned(), child));
        }
        Ok(())
    }

    /// Waits until `ready`, or says with the last lines of which server's log why not.
    fn wait(&self, server: &str, ready: impl Fn() -> bool) -> Result<(), Error> {
        let deadline = Instant::now() + PATIENCE;
        while !ready() {
            let ended = self.children.lock().ok().and_then(|mut children| {
                children.iter_mut().find_map(|(server, child)| {
                    let status = child.try_wait().ok().flatten()?;
                    Some((server.clone(), status))
                })
            });
            if let Some((server, status)) = ended {
                return Err(Error::Start {
                    log: files::tail(&self.sandbox.log(&server), 15),
                    server,
                    what: format!("ended while it started ({status})"),
                });
            }
            if Instant::now() > deadline {
                return Err(Error::Start {
                    server: server.to_owned(),
                    what: format!("was not ready within {} s", PATIENCE.as_secs()),
                    log: files::tail(&self.sandbox.log(server), 15),
                });
            }
            thread::sleep(Duration::from_millis(50));
        }
        Ok(())
    }
}

/// The class that serves, and what it is to serve.
fn jvm(command: &mut Command, dir: &Path, java: &Java, name: &str, state: &State) {
    command
        .env("HADOOP_USER_NAME", "hdfs")
        .current_dir(dir)
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

/// Starts all servers once in `dir` and ends them, with a further `option` for the JVM.
fn rehearse(
    dir: &Path,
    option: &str,
    java: &Java,
    cache: &Cache,
    mark: &(String, String),
) -> Result<(), Error> {
    let backend = Backend::Derby;
    let mut state = State {
        backend: Some(backend),
        ..State::default()
    };
    for names in [hdfs::NAMENODE_PORTS, hdfs::DATANODE_PORTS, backend.ports()] {
        servers::assign(&mut state.ports, dir, names);
    }
    hdfs::write_conf(dir, &state)?;
    metastore::make_database(dir, backend, java, cache, mark, &|_| ())?;
    metastore::write_conf(dir, &state.ports, backend)?;
    let mut tool = process::tool(java.program(), mark);
    tool.arg(option);
    jvm(&mut tool, dir, java, "hdfs+datanode+metastore", &state);
    files::run(tool.arg("rehearse"), "rehearsing a start").map(drop)
}

/// The JVMs to start for `missing`, as names of their servers joined by `+`: one for
/// all, except those that `state` wants to have their own.
fn jvms(missing: &[&str], state: &State) -> Vec<String> {
    let (mut joint, mut alone) = (Vec::new(), Vec::new());
    for &role in missing {
        match role {
            "datanode" if state.split_datanode => alone.push(role),
            "metastore" if state.split_metastore => alone.push(role),
            "hdfs" | "datanode" | "metastore" => joint.push(role),
            _ => {}
        }
    }
    // The DataNode last: its start waits for the NameNode.
    alone.sort_unstable_by(|a, b| b.cmp(a));
    let joint = Some(joint.join("+")).filter(|names| !names.is_empty());
    joint
        .into_iter()
        .chain(alone.into_iter().map(str::to_owned))
        .collect()
}

/// Whether a process with this mark is a JVM.
fn is_jvm(server: &str) -> bool {
    roles(server).any(|role| matches!(role, "hdfs" | "datanode" | "metastore"))
}

/// Whether our class in a JVM has said that all it was to start can be used.
fn is_ready(log: &Path) -> bool {
    fs::read(log).is_ok_and(|text| {
        text.split(|byte| *byte == b'\n')
            .any(|line| line == b"READY")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_jvm_unless_split() {
        let all = ["metadata", "dns", "hdfs", "datanode", "metastore"];
        let mut state = State::default();
        assert_eq!(jvms(&all, &state), ["hdfs+datanode+metastore"]);
        state.split_datanode = true;
        assert_eq!(jvms(&all, &state), ["hdfs+metastore", "datanode"]);
        assert_eq!(
            jvms(&["datanode", "metastore"], &state),
            ["metastore", "datanode"]
        );
        state.split_metastore = true;
        assert_eq!(jvms(&all, &state), ["hdfs", "metastore", "datanode"]);
        assert!(jvms(&["metadata"], &state).is_empty());
    }
}
