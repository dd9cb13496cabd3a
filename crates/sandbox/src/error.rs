//! What can go wrong with a sandbox.

use std::io;
use std::path::{Path, PathBuf};

use crate::hosts;
use crate::sandbox::Service;

/// Why the sandbox could not do what was asked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A file or folder of the sandbox or its cache.
    #[error("{action} {path}", path = path.display())]
    File {
        /// What was tried, such as `write`.
        action: &'static str,
        /// On which path.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A file that the sandbox wrote is not what it writes.
    #[error("read {path}", path = path.display())]
    State {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: serde_json::Error,
    },
    /// A program could not be started.
    #[error("run {program}")]
    Run {
        /// The program.
        program: String,
        /// What the system said.
        source: io::Error,
    },
    /// A program ended with an error.
    #[error("{program} failed{said}", said = quoted(said))]
    Failed {
        /// The program and what it was to do.
        program: String,
        /// The end of what it wrote.
        said: String,
    },
    /// A server ended, or was not ready in time.
    #[error("server {server} {what}{log}", log = quoted(log))]
    Start {
        /// The server, or those that share one process, joined by `+`.
        server: String,
        /// `ended while it started` or `was not ready within 120 s`.
        what: String,
        /// The last lines of its log.
        log: String,
    },
    /// Processes are left that KILL did not end.
    #[error("processes {pids:?} of the sandbox outlive KILL")]
    Unkillable {
        /// Their ids.
        pids: Vec<i32>,
    },
    /// Something was asked of a server that is not up.
    #[error("{server} is not up in {dir}{log}", dir = dir.display(), log = quoted(log))]
    NotUp {
        /// The service that the server is a part of.
        service: Service,
        /// The server.
        server: String,
        /// The sandbox.
        dir: PathBuf,
        /// The last lines of its log: it may have died of itself.
        log: String,
    },
    /// The `NameNode`'s port is in every table's location, so it cannot change.
    #[error("port {port} of the NameNode in {dir} is used by another process", dir = dir.display())]
    Port {
        /// The port.
        port: u16,
        /// The sandbox.
        dir: PathBuf,
    },
    /// Hadoop and ssh cannot write this path into their configuration.
    #[error("the folder {dir:?} cannot be named in Hadoop's configuration")]
    Folder {
        /// The sandbox.
        dir: PathBuf,
    },
    /// `MariaDB`'s socket lies in the sandbox, and a socket's path has 107 bytes at most.
    #[error("the path {path} is too long for a socket", path = path.display())]
    SocketPath {
        /// The socket.
        path: PathBuf,
    },
    /// There is no such package manager here.
    #[error("these Debian packages are missing: {packages}")]
    Packages {
        /// Their names.
        packages: String,
    },
    /// `OPSWEEK_SANDBOX` is not set.
    #[error("OPSWEEK_SANDBOX is not set")]
    NoSandbox,
    /// There is no folder to keep jars in.
    #[error("none of OPSWEEK_CACHE, XDG_CACHE_HOME and HOME is set")]
    NoCache,
    /// A name that is none of those there are.
    #[error("unknown {kind} {name:?}, known: {known}")]
    Unknown {
        /// What kind of name, such as `benchmark`.
        kind: &'static str,
        /// The name given.
        name: String,
        /// Those there are.
        known: String,
    },
    /// Not a name of a person's account.
    #[error("user {user:?} cannot be seeded: {why}")]
    User {
        /// The name.
        user: String,
        /// Why not.
        why: &'static str,
    },
    /// The sshd hosts.
    #[error("hosts")]
    Hosts(#[from] hosts::Error),
}

impl Error {
    /// The way out, where there is one.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Run { program, .. } => Some(format!("is {program} installed and in PATH?")),
            Self::NotUp { service, dir, .. } => Some(format!(
                "sandbox up --dir {} --with {service}",
                dir.display()
            )),
            Self::Port { dir, .. } => Some(format!(
                "end that process, or `sandbox down --dir {0}` and remove {0}",
                dir.display()
            )),
            Self::Folder { .. } => {
                Some("choose a --dir of letters, digits and `/._-+@`".to_owned())
            }
            Self::SocketPath { .. } => Some("choose a shorter --dir".to_owned()),
            Self::Packages { .. } => Some("install them; only apt-get is known here".to_owned()),
            Self::NoSandbox => {
                Some("export OPSWEEK_SANDBOX=DIR after `sandbox up --dir DIR`".to_owned())
            }
            Self::NoCache => Some("export OPSWEEK_CACHE=DIR".to_owned()),
            Self::State { .. } => Some("`sandbox down`, then remove the folder".to_owned()),
            Self::Hosts(error) => error.hint(),
            _ => None,
        }
    }

    /// The exit code: 2 for what was asked wrongly, else 1.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Unknown { .. } | Self::User { .. } => 2,
            _ => 1,
        }
    }
}

fn quoted(text: &str) -> String {
    text.lines()
        .fold(String::new(), |text, line| text + "\n    " + line)
}

/// Says on which path an input or output failed.
pub(crate) trait Context<T> {
    /// `action` is an imperative such as `write`.
    fn context(self, action: &'static str, path: impl AsRef<Path>) -> Result<T, Error>;
}

impl<T> Context<T> for io::Result<T> {
    fn context(self, action: &'static str, path: impl AsRef<Path>) -> Result<T, Error> {
        self.map_err(|source| Error::File {
            action,
            path: path.as_ref().to_owned(),
            source,
        })
    }
}
