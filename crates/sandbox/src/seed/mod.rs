//! What the tools are to work on, made by the servers' own clients: a realistic leaver,
//! Superset's databases, the lists of wikis.

pub(crate) mod newwiki;
mod world;

use std::io::Write;
use std::process::Stdio;

use crate::error::Error;
use crate::hosts::{self, HostSeed};
use crate::sandbox::{Sandbox, Service};
use crate::servers::mariadb::Server;
use crate::servers::mariadb::superset::{self, Size};
use crate::{admins, files};

/// How much of a leaver.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::Args)]
pub struct SeedOptions {
    /// Further files in the HDFS home and in a host's home, under `many/`
    #[arg(long, default_value_t = 0)]
    pub files: usize,
    /// Further managed tables in the user's database
    #[arg(long, default_value_t = 0)]
    pub tables: usize,
    /// Nothing on hosts
    #[arg(long)]
    pub hdfs_only: bool,
    /// A mount point inside a host's home
    #[arg(long)]
    pub mount: bool,
    /// Still active: `ensure: present` in the admins' data file
    #[arg(long)]
    pub active: bool,
}

impl Sandbox {
    /// Makes a realistic leaver `user` on those servers that are up. A second time it
    /// brings back what is gone and leaves alone what nobody made here.
    ///
    /// HDFS: the home `/user/USER` (awkward names, modes and ACLs, a trash, staging
    /// folders), data in `/wmf/data/research/USER`. Metastore: database `USER` (dots and
    /// dashes as `_`) with the managed tables `events` and `sessions` (one partition of
    /// which lies in `/wmf/data/research`) and the external ones `editors` (at home) and
    /// `clicks` (far from it); in database `shared`, which is `analytics`'s, the tables
    /// `USER_reports` and `USER_daily`, and azy's view `USER_top` of `USER.events`; in
    /// database `azy` azy's table `referrers_of_USER`, which lies in the leaver's home.
    /// Hosts: [`hosts::seed`].
    pub fn seed(&self, user: &str, options: &SeedOptions) -> Result<(), Error> {
        check_name(user)?;
        let up = |service| self.require(service).is_ok();
        let has_hosts = up(Service::Hosts) && !options.hdfs_only;
        self.require(Service::Hdfs)
            .map(drop)
            .or_else(|missing| if has_hosts { Ok(()) } else { Err(missing) })?;
        let mut ops = Vec::new();
        if up(Service::Hdfs) {
            ops.extend(world::files(user, options.files));
            if up(Service::Metastore) {
                ops.extend(world::tables(user));
                ops.extend(world::many_tables(user, options.tables));
            }
            self.make(&ops)?;
        }
        if has_hosts {
            let seed = HostSeed {
                mount: options.mount,
                files: options.files,
            };
            hosts::seed(&self.dir().join("hosts"), user, &seed)?;
        }
        admins::set(self.dir(), user, options.active)
    }

    /// Makes Superset's databases on the server `metadata` as they are after the first
    /// start: `superset_production`, with about `size` of generated rows (six tenths of
    /// it in `logs`, three in `query`), and `superset_staging`, an older copy; the latter
    /// on `target` too if that is up. Removes `superset_staging_new` and
    /// `superset_staging_previous` on both.
    pub fn seed_superset(&self, size: Size) -> Result<(), Error> {
        let (metadata, target) = (Server::Metadata, Server::Target);
        self.require_server(Service::MariaDb, metadata.name())?;
        let has_target = self.require_server(Service::MariaDb, target.name()).is_ok();
        let dir = self.dir();
        let _lock = self.lock(&|_| ())?;
        metadata.anew(dir, || superset::seed(dir, size))?;
        if has_target {
            target.anew(dir, || superset::seed_staging(dir, target))?;
        }
        Ok(())
    }

    fn make(&self, ops: &[world::Op]) -> Result<(), Error> {
        let failed = |said: String| Error::Failed {
            program: "making files and tables".to_owned(),
            said,
        };
        let mut lines = String::new();
        for op in ops {
            lines.push_str(&serde_json::to_string(op).map_err(|error| failed(error.to_string()))?);
            lines.push('\n');
        }
        let mut child = self
            .java()?
            .client(self.dir(), "opsweek.World")
            .env_remove("HADOOP_USER_NAME")
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(|error| failed(error.to_string()))?;
        if let Some(mut input) = child.stdin.take() {
            // Whoever ends early says why on its standard error.
            let _ = input.write_all(lines.as_bytes());
        }
        let output = child
            .wait_with_output()
            .map_err(|error| failed(error.to_string()))?;
        if output.status.success() {
            return Ok(());
        }
        let said = String::from_utf8_lossy(&output.stderr);
        Err(failed(files::last_lines(&said, 15)))
    }
}

/// The form of the platform's account names, and none that the sandbox itself uses.
fn check_name(user: &str) -> Result<(), Error> {
    let refuse = |why| {
        Err(Error::User {
            user: user.to_owned(),
            why,
        })
    };
    let mut chars = user.chars();
    let start = chars
        .next()
        .is_some_and(|first| first.is_ascii_lowercase() || first == '_');
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "_.-".contains(c);
    if !start || user.len() > 32 || !chars.all(plain) {
        return refuse("a name is a lower-case letter or `_`, then up to 31 of a-z 0-9 _ . -");
    }
    if [
        "default",
        "hdfs",
        "hive",
        "newwiki",
        "root",
        "shared",
        "superset",
        world::OTHER,
        world::SYSTEM,
    ]
    .contains(&user)
    {
        return refuse("it belongs to the sandbox itself");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_checked() {
        for name in ["elvis", "_x", "a.b-c_9", &"a".repeat(32)] {
            check_name(name).unwrap();
        }
        for name in [
            "",
            "..",
            "/",
            "*",
            "-rf",
            "Elvis",
            "hdfs",
            "azy",
            "a\nb",
            &"a".repeat(33),
        ] {
            assert!(
                matches!(check_name(name), Err(Error::User { .. })),
                "{name:?}"
            );
        }
    }
}
