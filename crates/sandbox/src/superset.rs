//! A real Superset that reads a database of the sandbox: the judge of what a copy left
//! there.

use std::path::Path;
use std::process::Command;

use crate::cache::Cache;
use crate::error::Error;
use crate::sandbox::{Progress, Sandbox, Service};
use crate::servers::mariadb::superset::{PRODUCTION, STAGING, key_file};
use crate::servers::mariadb::{DBSYNC, Server, password_file};
use crate::{files, packages, process};

/// Superset, what it needs to read `MariaDB`, the drivers of the dump's connections, and
/// those of its own dependencies whose later versions it does not work with.
const PACKAGES: &[&str] = &[
    "apache-superset==6.1.0",
    "Flask-Caching==2.3.1",
    "PyHive==0.7.0",
    "PyMySQL==1.2.4",
    "cachetools==8.0.0",
    "pydruid==0.6.9",
    "thrift==0.25.0",
    "trino==0.340.0",
];

const CONFIG: &str = include_str!("../superset/config.py");
const CHECK: &str = include_str!("../superset/check.py");

impl Sandbox {
    /// A command that reads `database` on `metadata` (`superset_production`, or a name
    /// that begins with `superset_staging`) by Superset's own models, with the
    /// `SECRET_KEY` of production or staging. It prints connections, the number of
    /// decrypted secrets and dashboards, changes nothing, and ends with 1 when something
    /// could not be read. Superset (800 MB) is installed into the cache when first asked
    /// for, which takes minutes.
    pub fn superset_check_command(
        &self,
        database: &str,
        progress: Progress<'_>,
    ) -> Result<Command, Error> {
        self.require_server(Service::MariaDb, Server::Metadata.name())?;
        let rest = database.strip_prefix(STAGING);
        let plain = |c: char| c.is_ascii_alphanumeric() || c == '_';
        let of = if database == PRODUCTION {
            PRODUCTION
        } else if rest.is_some_and(|rest| rest.chars().all(plain)) {
            STAGING
        } else {
            return Err(Error::Unknown {
                kind: "database of Superset",
                name: database.to_owned(),
                known: format!("{PRODUCTION}, {STAGING}..."),
            });
        };
        packages::ensure_python(progress)?;
        let cache = Cache::from_env()?;
        let mark = self.tool_mark();
        let superset = cache.entry("superset", PACKAGES, |folder| {
            progress("installing Superset, which takes minutes");
            install(folder, &mark)
        })?;
        let home = self.dir().join("superset");
        files::folder(&home)?;
        files::write(&home.join("config.py"), 0o644, CONFIG)?;
        files::write(&home.join("check.py"), 0o644, CHECK)?;
        let mut command = Command::new(superset.join("bin/python"));
        command
            .arg(home.join("check.py"))
            .env("SUPERSET_CONFIG_PATH", home.join("config.py"))
            .env("SUPERSET_HOME", &home)
            .env("KEY_FILE", key_file(self.dir(), of))
            .env("PASSWORD_FILE", password_file(self.dir(), DBSYNC))
            .env("ACCOUNT", DBSYNC)
            .env("DATABASE", database)
            .env("SOCKET", Server::Metadata.socket(self.dir()));
        Ok(command)
    }
}

/// A Python environment with Superset; it is used by its `python` alone, so it may be
/// moved.
fn install(folder: &Path, mark: &(String, String)) -> Result<(), Error> {
    let mut venv = process::tool("python3", mark);
    files::run(venv.args(["-m", "venv"]).arg(folder), "python3 -m venv")?;
    let mut pip = process::tool(folder.join("bin/python"), mark);
    pip.args([
        "-m",
        "pip",
        "install",
        "--quiet",
        "--disable-pip-version-check",
    ])
    .args(PACKAGES);
    files::run(&mut pip, "pip install apache-superset").map(drop)
}
