//! Real sshd hosts on this machine: 127.0.1.1 is `stat1008.eqiad.wmnet`, 127.0.1.2
//! `stat1009.eqiad.wmnet`, and so on up to fifty.
//!
//! Each host is a folder `DIR/stat1008/root` seen as the whole file system by an
//! sshd in its own mount, PID and UTS namespaces: own host key, accounts, homes
//! and crontabs, `/usr` of the machine read-only, nothing else of its disks. The
//! account `ops` may `sudo -n` everything. The network is the machine's, loopback.
//! This keeps a mistaken `rm` or `chown` off the machine; it is no wall against
//! someone who, as root of a host, wants to break out.
//!
//! A test may look straight into [`Host::root`], but should write there through
//! ssh only: a link in it, such as a home's, points to the machine's own files
//! when it is followed from outside.
//!
//! A running host is found by the environment variable that [`up`]'s `marker`
//! gives for `hosts/stat1008`: `unshare`, the parent of the host's first process,
//! keeps it, and the kernel kills the whole host when that parent dies.

mod client;
mod error;
mod folder;
mod lifecycle;
mod parallel;
mod seed;
#[cfg(test)]
mod tests;

use std::net::{Ipv4Addr, SocketAddrV4};
use std::path::{Path, PathBuf};

pub use client::ssh_command;
pub use error::Error;
pub use lifecycle::{down, running, up};
pub use seed::{HostSeed, seed};

/// The most hosts that [`up`] makes.
pub const MAX_HOSTS: usize = 50;

/// The account that ssh logs in to on every host.
pub const OPS: &str = "ops";

/// UID and GID of [`OPS`]; seeded users come after it.
const OPS_ID: u32 = 2000;

/// One host.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Host {
    /// Fully qualified name, `stat1008.eqiad.wmnet`.
    pub name: String,
    /// 127.0.1.1 and up; sshd listens there and nowhere else.
    pub address: Ipv4Addr,
    /// Port of sshd, the same on all hosts of one sandbox.
    pub port: u16,
    /// The host's root file system as seen from the machine.
    pub root: PathBuf,
}

impl Host {
    /// The host number `index` (from 0) of the sandbox in `dir`.
    fn new(dir: &Path, index: usize, port: u16) -> Self {
        let short = format!("stat{}", 1008 + index);
        Self {
            name: format!("{short}.eqiad.wmnet"),
            address: Ipv4Addr::from_bits(
                Ipv4Addr::new(127, 0, 1, 1).to_bits() + u32::try_from(index).unwrap_or(0),
            ),
            port,
            root: dir.join(short).join("root"),
        }
    }

    /// The first `count` hosts of the sandbox in `dir`.
    fn first(dir: &Path, count: usize, port: u16) -> Vec<Self> {
        (0..count)
            .map(|index| Self::new(dir, index, port))
            .collect()
    }

    /// The name up to its first dot.
    pub fn short(&self) -> &str {
        self.name.split('.').next().unwrap_or(&self.name)
    }

    /// Where sshd listens.
    pub fn socket(&self) -> SocketAddrV4 {
        SocketAddrV4::new(self.address, self.port)
    }

    /// What sshd and the set-up of the host wrote to their standard error.
    pub fn log(&self) -> PathBuf {
        self.folder().with_extension("log")
    }

    /// What this host is called where processes are marked.
    fn unit(&self) -> String {
        format!("hosts/{}", self.short())
    }

    fn folder(&self) -> &Path {
        self.root.parent().unwrap_or(&self.root)
    }
}

/// The Debian packages that the hosts take their programs from.
pub fn debian_packages() -> &'static [&'static str] {
    &[
        "acl",
        "cron",
        "hostname",
        "openssh-client",
        "openssh-server",
        "passwd",
        "procps",
        "sudo",
        "tar",
        "util-linux",
        "zstd",
    ]
}
