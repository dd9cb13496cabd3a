//! Debian packages that the servers and the build need.

use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::{Mutex, PoisonError};

use crate::error::Error;
use crate::hosts;
use crate::java;
use crate::sandbox::{Progress, Service};

/// What compiling the workspace needs besides the Rust toolchain (ssh2, zstd).
const BUILD: &[&str] = &["gcc", "libc6-dev", "libssl-dev", "pkg-config", "zlib1g-dev"];
/// util-linux has setsid and setpriv, which are on every Debian.
const JVM: &[&str] = &["maven"];
/// Not `mariadb-server` and `dnsmasq`, which would start servers of the machine's own.
const MARIADB: &[&str] = &[
    "dnsmasq-base",
    "git",
    "mariadb-client",
    "mariadb-server-core",
    "openssl",
];

/// Not `redis-server` for the same reason: it only adds a name to what the tools have.
const REDIS: &[&str] = &["openssl", "redis-tools"];

/// Installs what the servers need and the machine lacks, after saying so.
pub(crate) fn ensure(services: &[Service], progress: Progress<'_>) -> Result<(), Error> {
    let mut packages = Vec::new();
    for service in services {
        packages.extend(match service {
            Service::Hdfs | Service::Metastore => JVM,
            Service::Hosts => hosts::debian_packages(),
            Service::MariaDb => MARIADB,
            Service::Redis => REDIS,
        });
    }
    if packages.contains(&"maven") && java::home().is_none() {
        packages.push("default-jdk-headless");
    }
    install(packages, progress)
}

/// Installs what a Python environment is made with.
pub(crate) fn ensure_python(progress: Progress<'_>) -> Result<(), Error> {
    install(vec!["python3", "python3-venv"], progress)
}

/// Installs what `db-sync` is compared with.
pub(crate) fn ensure_mydumper(progress: Progress<'_>) -> Result<(), Error> {
    install(vec!["mariadb-client", "mydumper"], progress)
}

/// Installs what the rest of the workspace needs to be built.
pub(crate) fn ensure_build(progress: Progress<'_>) -> Result<(), Error> {
    install(BUILD.to_vec(), progress)
}

/// Installs the browser that tests use, if it is missing; gives its program.
pub fn browser(progress: Progress<'_>) -> Result<&'static str, Error> {
    let chromium = "chromium";
    install(vec![chromium], progress)?;
    Ok(chromium)
}

/// Tests ask at the same time, and apt-get has a lock for which it does not wait.
static INSTALLING: Mutex<()> = Mutex::new(());

fn install(mut packages: Vec<&str>, progress: Progress<'_>) -> Result<(), Error> {
    packages.sort_unstable();
    packages.dedup();
    let _one = INSTALLING.lock().unwrap_or_else(PoisonError::into_inner);
    let missing = missing(&packages)?;
    if missing.is_empty() {
        return Ok(());
    }
    let list = missing.join(" ");
    if !Path::new("/usr/bin/apt-get").exists() {
        return Err(Error::Packages { packages: list });
    }
    progress(&format!("installing Debian packages: {list}"));
    apt_get(&["update", "--quiet=2"])?;
    let mut arguments = vec!["install", "--quiet=2", "--yes", "--no-install-recommends"];
    arguments.extend(&missing);
    apt_get(&arguments)
}

/// Those of `packages` that dpkg does not know as installed.
fn missing<'a>(packages: &[&'a str]) -> Result<Vec<&'a str>, Error> {
    if packages.is_empty() {
        return Ok(Vec::new());
    }
    // Fails for a name that dpkg never heard of, but lists the others.
    let output = Command::new("dpkg-query")
        .args(["--show", "--showformat=${db:Status-Abbrev}${Package}\\n"])
        .args(packages)
        .stderr(Stdio::null())
        .output()
        .map_err(|_| Error::Packages {
            packages: packages.join(" "),
        })?;
    let known = String::from_utf8_lossy(&output.stdout);
    Ok(packages
        .iter()
        .copied()
        .filter(|package| !known.lines().any(|line| line == format!("ii {package}")))
        .collect())
}

/// Runs apt-get as root, its words on our standard error.
fn apt_get(arguments: &[&str]) -> Result<(), Error> {
    let mut command = if rustix::process::geteuid().is_root() {
        Command::new("env")
    } else {
        let mut sudo = Command::new("sudo");
        sudo.arg("env");
        sudo
    };
    let status = command
        .args(["DEBIAN_FRONTEND=noninteractive", "apt-get"])
        .args(arguments)
        .stdin(Stdio::inherit())
        .stdout(std::io::stderr())
        .status()
        .map_err(|source| Error::Run {
            program: "apt-get".to_owned(),
            source,
        })?;
    if status.success() {
        return Ok(());
    }
    Err(Error::Failed {
        program: format!("apt-get {} ({status})", arguments.join(" ")),
        said: String::new(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dpkg_knows_what_is_installed() {
        let packages = ["dpkg", "opsweek-no-such-package"];
        assert_eq!(missing(&packages).unwrap(), ["opsweek-no-such-package"]);
    }
}
