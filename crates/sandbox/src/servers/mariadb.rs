//! A private `MariaDB`: root without a password over the socket in the sandbox's
//! folder, everybody else over the loopback address.

use std::fs;
use std::io::{ErrorKind, Read, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use super::Ports;
use crate::error::{Context, Error};
use crate::{files, process};

/// What listens.
pub(crate) const PORTS: &[&str] = &["mariadb"];

/// The server; not every account has /usr/sbin in its PATH.
pub(crate) const PROGRAM: &str = "/usr/sbin/mariadbd";

/// Where root connects.
pub(crate) fn socket(dir: &Path) -> PathBuf {
    dir.join("mariadb/mysqld.sock")
}

/// Whether it greets who connects: the first packet's payload begins with the
/// protocol's version, 10.
pub(crate) fn is_healthy(dir: &Path) -> bool {
    let greeting = || {
        let mut stream = UnixStream::connect(socket(dir)).ok()?;
        stream.set_read_timeout(Some(Duration::from_secs(5))).ok()?;
        let mut start = [0; 5];
        stream.read_exact(&mut start).ok()?;
        Some(start[4])
    };
    greeting() == Some(10)
}

/// Makes the empty data folder, if there is none yet.
pub(crate) fn make_data(
    dir: &Path,
    mark: &(String, String),
    progress: &(dyn Fn(&str) + Sync),
) -> Result<(), Error> {
    let path = socket(dir);
    // sun_path of unix(7): 108 bytes with the final NUL.
    if path.as_os_str().as_bytes().len() > 107 {
        return Err(Error::SocketPath { path });
    }
    let home = dir.join("mariadb");
    files::folder(&home.join("tmp"))?;
    // Whoever reaches the socket is root in the database.
    files::restrict(&home)?;
    let data = home.join("data");
    if data.exists() {
        return Ok(());
    }
    progress("making MariaDB's data folder");
    let new = home.join("data.new");
    files::remove(&new)?;
    // The installation would leave root without a password on 127.0.0.1 too.
    let only_socket = home.join("only-socket.sql");
    files::write(
        &only_socket,
        0o644,
        "DELETE FROM mysql.global_priv WHERE User = 'root' AND Host <> 'localhost';\n",
    )?;
    let mut install = process::tool("mariadb-install-db", mark);
    install
        .args(["--no-defaults", "--skip-test-db"])
        .args(["--auth-root-authentication-method=normal"])
        .arg(option("--datadir=", &new))
        .arg(option("--extra-file=", &only_socket))
        .args(user());
    files::run(&mut install, "mariadb-install-db")?;
    fs::rename(&new, &data).context("write", &data)
}

/// The server's arguments.
pub(crate) fn arguments(dir: &Path, ports: &Ports, command: &mut Command) {
    let home = dir.join("mariadb");
    command
        .arg("--no-defaults")
        .args(user())
        .arg(option("--datadir=", &home.join("data")))
        .arg(option("--socket=", &socket(dir)))
        .arg(option("--tmpdir=", &home.join("tmp")))
        .arg(option("--pid-file=", &home.join("mysqld.pid")))
        .arg("--bind-address=127.0.0.1")
        .arg(format!("--port={}", ports.get("mariadb").unwrap_or(&0)))
        // So that root@localhost is never somebody on the network side.
        .arg("--skip-name-resolve")
        .arg("--innodb-buffer-pool-size=128M");
}

/// An account that may do everything in one database, with its password in
/// `DIR/secrets`.
pub(crate) fn make_account(dir: &Path, account: &str, database: &str) -> Result<(), Error> {
    let password = password(dir, account)?;
    sql(
        dir,
        &format!(
            "CREATE DATABASE IF NOT EXISTS {database} CHARACTER SET latin1; \
             CREATE OR REPLACE USER {account}@'127.0.0.1' IDENTIFIED BY '{password}'; \
             GRANT ALL ON {database}.* TO {account}@'127.0.0.1'"
        ),
    )
    .map(drop)
}

/// The password of an account, 32 hexadecimal digits, made when first asked for.
pub(crate) fn password(dir: &Path, account: &str) -> Result<String, Error> {
    let path = dir.join(format!("secrets/mariadb-{account}"));
    match fs::read_to_string(&path) {
        Ok(password) => return Ok(password.trim_end().to_owned()),
        Err(error) if error.kind() == ErrorKind::NotFound => {}
        Err(error) => return Err(error).context("read", &path),
    }
    let random = "/dev/urandom";
    let mut bytes = [0; 16];
    fs::File::open(random)
        .and_then(|mut file| file.read_exact(&mut bytes))
        .context("read", random)?;
    let password = format!("{:032x}", u128::from_le_bytes(bytes));
    files::write(&path, 0o600, &format!("{password}\n"))?;
    Ok(password)
}

/// The client, connected as root; the caller adds arguments.
pub(crate) fn client(dir: &Path) -> Command {
    let mut command = Command::new("mariadb");
    command
        .args(["--no-defaults", "--user=root"])
        .arg(option("--socket=", &socket(dir)));
    command
}

/// Runs statements as root; gives the rows as the client's --batch prints them, a
/// line of column names first.
pub(crate) fn sql(dir: &Path, statements: &str) -> Result<String, Error> {
    let run = |source| Error::Run {
        program: "mariadb".to_owned(),
        source,
    };
    let mut child = client(dir)
        .arg("--batch")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(run)?;
    if let Some(mut input) = child.stdin.take() {
        // A client that ends early says why on its standard error.
        let _ = input.write_all(statements.as_bytes());
    }
    let output = child.wait_with_output().map_err(run)?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    Err(Error::Failed {
        program: "mariadb".to_owned(),
        said: files::last_lines(&String::from_utf8_lossy(&output.stderr), 15),
    })
}

/// mariadbd refuses to run as root unless it is told so.
fn user() -> Option<&'static str> {
    rustix::process::geteuid()
        .is_root()
        .then_some("--user=root")
}

fn option(name: &str, path: &Path) -> std::ffi::OsString {
    let mut option = std::ffi::OsString::from(name);
    option.push(path);
    option
}
