//! What can go wrong with the hosts.

use std::io;
use std::path::PathBuf;

/// Why hosts could not be brought up, taken down or seeded.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Namespaces, mounts and other users' files need root.
    #[error("sandbox hosts need root")]
    NotRoot,
    /// 127.0.1.1 to 127.0.1.50 are the addresses there are.
    #[error("{0} hosts asked for, 1 to {max} are possible", max = super::MAX_HOSTS)]
    Count(usize),
    /// `ssh_config` has no way to write this path.
    #[error("the folder {path:?} cannot be named in an ssh_config")]
    Folder {
        /// The hosts' folder.
        path: PathBuf,
    },
    /// A program of the machine is missing.
    #[error("{program} is missing")]
    Missing {
        /// Its path.
        program: &'static str,
        /// The Debian package that has it.
        package: &'static str,
    },
    /// A file or folder of the sandbox.
    #[error("{action} {path}")]
    File {
        /// What was tried, such as `write`.
        action: &'static str,
        /// On which path.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A program could not be started.
    #[error("run {program} for {object}")]
    Run {
        /// The program.
        program: &'static str,
        /// The host or file it worked on.
        object: String,
        /// What the system said.
        source: io::Error,
    },
    /// A program ended with an error.
    #[error("{program} failed for {object}: {said}")]
    Failed {
        /// The program.
        program: &'static str,
        /// The host or file it worked on.
        object: String,
        /// The end of what it wrote to its standard error.
        said: String,
    },
    /// No port is free on all addresses.
    #[error("no port between {first} and {last} is free on 127.0.1.1 to 127.0.1.{hosts}")]
    NoPort {
        /// First port tried.
        first: u16,
        /// Last port tried.
        last: u16,
        /// How many addresses.
        hosts: usize,
    },
    /// A host's first process ended while it started.
    #[error("host {host} ended while it started: {log}")]
    Died {
        /// The host.
        host: String,
        /// The last lines of its log.
        log: String,
    },
    /// sshd did not answer in time.
    #[error("host {host} did not answer on {address} within {seconds} s: {log}")]
    Silent {
        /// The host.
        host: String,
        /// Its address and port.
        address: std::net::SocketAddrV4,
        /// How long was waited.
        seconds: u64,
        /// The last lines of its log.
        log: String,
    },
    /// A host's processes did not end after KILL.
    #[error("host {host} still runs after KILL")]
    Unkillable {
        /// The host.
        host: String,
    },
    /// Something was asked of hosts that were never brought up here.
    #[error("no hosts were brought up in {path}")]
    NeverUp {
        /// The hosts' folder.
        path: PathBuf,
    },
    /// The hosts' own account file `state.json` is not what `up` writes.
    #[error("read {path}")]
    State {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: serde_json::Error,
    },
    /// Not a name of a person's account.
    #[error("user {user:?} cannot be seeded: {why}")]
    User {
        /// The name.
        user: String,
        /// Why not.
        why: &'static str,
    },
}

impl Error {
    /// The way out, where there is one.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::NotRoot => Some("run it as root or with sudo".to_owned()),
            Self::Missing { package, .. } => Some(format!("apt-get install {package}")),
            Self::Folder { .. } => {
                Some("choose a folder without quotes, `$` and control characters".to_owned())
            }
            Self::Died { log, .. } if log.contains("unshare failed") => {
                Some("namespaces need CAP_SYS_ADMIN: a container needs --privileged".to_owned())
            }
            Self::NeverUp { .. } => Some("sandbox up --with hosts".to_owned()),
            Self::State { .. } => Some("sandbox down, then remove the folder".to_owned()),
            _ => None,
        }
    }
}

/// Says on which path an input or output failed.
pub(super) trait Context<T> {
    /// `action` is an imperative such as `write`.
    fn context(self, action: &'static str, path: impl Into<PathBuf>) -> Result<T, Error>;
}

impl<T> Context<T> for io::Result<T> {
    fn context(self, action: &'static str, path: impl Into<PathBuf>) -> Result<T, Error> {
        self.map_err(|source| Error::File {
            action,
            path: path.into(),
            source,
        })
    }
}
