//! Redis, as Superset's events need it: what it acknowledged is on the disk. By TCP, by
//! TLS and by a Unix socket, and a Sentinel that knows where it is.

use std::fs;
use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use super::{Ports, tls};
use crate::error::{Context, Error};
use crate::sandbox::Service;
use crate::{files, packages};

/// What the server listens on.
pub(crate) const PORTS: &[&str] = &["redis", "redis-tls"];
/// What the Sentinel listens on.
pub(crate) const SENTINEL_PORTS: &[&str] = &["redis-sentinel", "redis-sentinel-tls"];
/// The name that the Sentinel knows the server by.
pub const MASTER: &str = "mymaster";
/// The server: it is what it is called, and Debian has it by this name without the
/// package that starts a server of the machine's own.
const PROGRAM: &str = "/usr/bin/redis-check-rdb";

/// A title is written over the environment, where the sandbox's mark is.
const NO_TITLE: [&str; 2] = ["--set-proc-title", "no"];

/// A redis-server of its own for a test or a driver, ready to be spawned: in `dir`, on
/// `port` of the loopback address, every write on the disk before it is acknowledged.
/// Arguments that the caller adds win. Installs the Debian package if it is missing.
pub fn server(dir: &Path, port: u16) -> Result<Command, Error> {
    let mut command = Command::new(private(dir)?);
    arguments(dir, port, &mut command);
    Ok(command)
}

/// The same for a Sentinel that watches the server on port `master` as [`MASTER`], and
/// takes it for gone after half a second.
pub fn sentinel(dir: &Path, port: u16, master: u16) -> Result<Command, Error> {
    let program = private(dir)?;
    let conf = write_sentinel(dir, port, master, "")?;
    let mut command = Command::new(program);
    sentinel_arguments(&conf, &mut command);
    Ok(command)
}

fn private(dir: &Path) -> Result<PathBuf, Error> {
    packages::ensure(&[Service::Redis], &|_| ())?;
    program(dir)
}

/// The program, under the name by which it is the server.
pub(crate) fn program(dir: &Path) -> Result<PathBuf, Error> {
    let path = dir.join("redis-server");
    match symlink(PROGRAM, &path) {
        Err(error) if error.kind() != ErrorKind::AlreadyExists => {
            Err(error).context("create", &path)
        }
        _ => Ok(path),
    }
}

fn arguments(dir: &Path, port: u16, command: &mut Command) {
    command
        .args(["--port", &port.to_string(), "--bind", "127.0.0.1"])
        .args(["--save", "", "--appendonly", "yes"])
        .args(NO_TITLE)
        .args(["--appendfsync", "always", "--dir"])
        .arg(dir);
}

/// The folder of the sandbox `dir` that the server works in.
pub(crate) fn home(dir: &Path) -> PathBuf {
    dir.join("redis")
}

/// The Sentinel's folder.
pub(crate) fn sentinel_home(dir: &Path) -> PathBuf {
    dir.join("redis-sentinel")
}

/// The arguments of the server of the sandbox `dir`.
pub(crate) fn sandbox_arguments(dir: &Path, ports: &Ports, command: &mut Command) {
    let home = home(dir);
    arguments(&home, port(ports, "redis"), command);
    command.arg("--unixsocket").arg(home.join("redis.sock"));
    let (certificate, key) = tls::of_server(dir, "redis");
    command
        .args(["--tls-port", &port(ports, "redis-tls").to_string()])
        .args(["--tls-auth-clients", "no", "--tls-cert-file"])
        .arg(certificate)
        .arg("--tls-key-file")
        .arg(key)
        .arg("--tls-ca-cert-file")
        .arg(tls::ca(dir));
}

/// The arguments of the sandbox's Sentinel, with its configuration written.
pub(crate) fn sandbox_sentinel(dir: &Path, ports: &Ports) -> Result<PathBuf, Error> {
    let (certificate, key) = tls::of_server(dir, "redis");
    let tls = format!(
        "tls-port {}\ntls-auth-clients no\ntls-cert-file {}\ntls-key-file {}\ntls-ca-cert-file {}\n",
        port(ports, "redis-sentinel-tls"),
        certificate.display(),
        key.display(),
        tls::ca(dir).display()
    );
    let listens = port(ports, "redis-sentinel");
    write_sentinel(&sentinel_home(dir), listens, port(ports, "redis"), &tls)
}

/// The arguments of a Sentinel with that configuration.
pub(crate) fn sentinel_arguments(conf: &Path, command: &mut Command) {
    command.arg(conf).arg("--sentinel").args(NO_TITLE);
}

/// Writes a Sentinel's configuration, which it will write in itself.
fn write_sentinel(dir: &Path, port: u16, master: u16, more: &str) -> Result<PathBuf, Error> {
    let conf = dir.join("sentinel.conf");
    let text = format!(
        "port {port}\nbind 127.0.0.1\ndir {}\nsentinel monitor {MASTER} 127.0.0.1 {master} 1\n\
         sentinel down-after-milliseconds {MASTER} 500\nsentinel failover-timeout {MASTER} 5000\n{more}",
        dir.display()
    );
    fs::write(&conf, text).context("write", &conf)?;
    Ok(conf)
}

/// Makes the folders, and certificates if there are none yet.
pub(crate) fn prepare(dir: &Path, mark: &(String, String)) -> Result<(), Error> {
    files::folder(&home(dir))?;
    files::folder(&sentinel_home(dir))?;
    tls::make(dir, mark)
}

/// Whether what listens on a port answers as Redis and Sentinel do; neither does while it
/// reads its data.
pub(crate) fn is_healthy(ports: &Ports, name: &str) -> bool {
    let ask = || {
        let mut stream = TcpStream::connect(super::address(port(ports, name))).ok()?;
        stream.set_read_timeout(Some(Duration::from_secs(5))).ok()?;
        stream.write_all(b"PING\r\n").ok()?;
        let mut answer = [0; 7];
        stream.read_exact(&mut answer).ok()?;
        Some(answer)
    };
    ask() == Some(*b"+PONG\r\n")
}

fn port(ports: &Ports, name: &str) -> u16 {
    ports.get(name).copied().unwrap_or(0)
}
