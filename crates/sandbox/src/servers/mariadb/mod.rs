//! Private `MariaDB` servers: root over the socket in the server's folder, everybody
//! else over the loopback address.
//!
//! `metadata` is the platform's database server: it backs the metastore and holds
//! Superset's databases. `target` is another server to copy to. `prod-replica` and
//! `cloud` are the replicas of the wikis' databases.

mod accounts;
mod replicas;
pub(crate) mod superset;

use std::fs;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::{Read, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

pub(crate) use accounts::{
    CLOUD_USER, DBSYNC, METASTORE_READER, RESEARCH, make_account, password, password_file,
};

use super::{Ports, tls};
use crate::cache::Cache;
use crate::error::{Context, Error};
use crate::{files, process};

/// The program; not every account has /usr/sbin in its PATH.
pub(crate) const PROGRAM: &str = "/usr/sbin/mariadbd";

/// One of the servers. Its name is its folder's, its port's and its process's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Server {
    Metadata,
    Target,
    ProdReplica,
    Cloud,
}

impl Server {
    pub(crate) const ALL: [Self; 4] =
        [Self::Metadata, Self::Target, Self::ProdReplica, Self::Cloud];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Metadata => "metadata",
            Self::Target => "target",
            Self::ProdReplica => "prod-replica",
            Self::Cloud => "cloud",
        }
    }

    /// The server of that name.
    pub(crate) fn find(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|server| server.name() == name)
    }

    /// What listens.
    pub(crate) fn ports(self) -> &'static [&'static str] {
        match self {
            Self::Metadata => &["metadata"],
            Self::Target => &["target"],
            Self::ProdReplica => &["prod-replica"],
            Self::Cloud => &["cloud"],
        }
    }

    fn home(self, dir: &Path) -> PathBuf {
        dir.join(self.name())
    }

    /// Written when accounts and seeds are complete; what it holds tells those of one
    /// version of the sandbox from another's.
    fn stamp(self, dir: &Path) -> PathBuf {
        self.home(dir).join("set-up")
    }

    /// Where root connects.
    pub(crate) fn socket(self, dir: &Path) -> PathBuf {
        self.home(dir).join("mysqld.sock")
    }

    /// Whether it greets who connects: the first packet's payload begins with the
    /// protocol's version, 10.
    pub(crate) fn is_healthy(self, dir: &Path) -> bool {
        let greeting = || {
            let mut stream = UnixStream::connect(self.socket(dir)).ok()?;
            stream.set_read_timeout(Some(Duration::from_secs(5))).ok()?;
            let mut start = [0; 5];
            stream.read_exact(&mut start).ok()?;
            Some(start[4])
        };
        greeting() == Some(10)
    }

    /// Whether its accounts and seeds are complete.
    pub(crate) fn is_set_up(self, dir: &Path) -> bool {
        self.stamp(dir).exists()
    }

    /// Makes the empty data folder, if there is none yet.
    pub(crate) fn make_data(self, dir: &Path, mark: &(String, String)) -> Result<(), Error> {
        let path = self.socket(dir);
        // sun_path of unix(7): 108 bytes with the final NUL.
        if path.as_os_str().as_bytes().len() > 107 {
            return Err(Error::SocketPath { path });
        }
        let home = self.home(dir);
        for folder in ["tmp", "binlog"] {
            files::folder(&home.join(folder))?;
        }
        // Whoever reaches the socket may be root in the database.
        files::restrict(&home)?;
        let data = home.join("data");
        if data.exists() {
            return Ok(());
        }
        let new = home.join("data.new");
        files::remove(&new)?;
        // The installation would leave root without a password on 127.0.0.1 too.
        let only_socket = home.join("only-socket.sql");
        files::write(
            &only_socket,
            0o644,
            "DELETE FROM mysql.global_priv WHERE User = 'root' AND Host <> 'localhost';\n",
        )?;
        // Where the machine's root has no account of its own, whoever reaches the
        // socket is root in the database.
        let method = if is_root() { "socket" } else { "normal" };
        let mut install = process::tool("mariadb-install-db", mark);
        install
            .args(["--no-defaults", "--skip-test-db"])
            .arg(format!("--auth-root-authentication-method={method}"))
            .arg(option("--datadir=", &new))
            // Two that share one remove each other's tables.
            .arg(option("--tmpdir=", &home.join("tmp")))
            .arg(option("--extra-file=", &only_socket))
            .arg(self.log_size())
            .args(user());
        files::run(&mut install, "mariadb-install-db")?;
        fs::rename(&new, &data).context("write", &data)
    }

    /// The replicas have nothing much to log.
    fn log_size(self) -> &'static str {
        match self {
            Self::Metadata | Self::Target => "--innodb-log-file-size=96M",
            Self::ProdReplica | Self::Cloud => "--innodb-log-file-size=8M",
        }
    }

    /// The server's arguments. `plugins` is a folder of further plugins.
    pub(crate) fn arguments(
        self,
        dir: &Path,
        ports: &Ports,
        plugins: Option<&Path>,
        command: &mut Command,
    ) {
        let home = self.home(dir);
        let (certificate, key) = tls::of_server(dir, self.name());
        command
            .arg("--no-defaults")
            .args(user())
            .arg(option("--datadir=", &home.join("data")))
            .arg(option("--socket=", &self.socket(dir)))
            .arg(option("--tmpdir=", &home.join("tmp")))
            .arg(option("--pid-file=", &home.join("mysqld.pid")))
            .arg("--bind-address=127.0.0.1")
            .arg(format!("--port={}", ports.get(self.name()).unwrap_or(&0)))
            // So that root@localhost is never somebody on the network side.
            .arg("--skip-name-resolve")
            .arg("--performance-schema=OFF")
            .arg(option("--ssl-ca=", &tls::ca(dir)))
            .arg(option("--ssl-cert=", &certificate))
            .arg(option("--ssl-key=", &key))
            // A killed server loses nothing by these, only a machine without power.
            .arg("--innodb-flush-log-at-trx-commit=2")
            .args(["--innodb-flush-method=nosync", "--debug-no-sync"]);
        let memory = match self {
            Self::Metadata => "--innodb-buffer-pool-size=128M",
            _ => "--innodb-buffer-pool-size=64M",
        };
        command.args([memory, self.log_size()]);
        if self == Self::Metadata {
            command
                .args(["--server-id=1", "--binlog-format=ROW"])
                .arg(option("--log-bin=", &home.join("binlog/binlog")));
        } else {
            command.arg("--require-secure-transport=ON");
        }
        command.arg(match self {
            Self::Metadata | Self::Target => "--local-infile=ON",
            Self::ProdReplica | Self::Cloud => "--local-infile=OFF",
        });
        if self == Self::ProdReplica {
            command.arg(format!("--plugin-load-add={ED25519}"));
            command.args(plugins.map(|folder| option("--plugin-dir=", folder)));
        }
    }

    /// Makes the accounts, and what the databases have in them, if that was not done yet.
    pub(crate) fn set_up(self, dir: &Path) -> Result<(), Error> {
        let mut statements = accounts::statements(self, dir)?;
        statements.push_str(&replicas::statements(self));
        let mut hasher = DefaultHasher::new();
        statements.hash(&mut hasher);
        let stamp = format!("{:016x}\n", hasher.finish());
        let path = self.stamp(dir);
        if fs::read_to_string(&path).is_ok_and(|known| known == stamp) {
            return Ok(());
        }
        self.sql(dir, &statements)?;
        match self {
            Self::Metadata => superset::seed(dir, superset::Size::default())?,
            Self::Target => superset::seed_staging(dir, self)?,
            Self::ProdReplica | Self::Cloud => {}
        }
        files::write(&path, 0o600, &stamp)
    }

    /// Runs what makes databases anew; when that is cut short, the next start does it.
    pub(crate) fn anew(
        self,
        dir: &Path,
        make: impl FnOnce() -> Result<(), Error>,
    ) -> Result<(), Error> {
        let path = self.stamp(dir);
        let stamp = fs::read_to_string(&path).context("read", &path)?;
        fs::remove_file(&path).context("remove", &path)?;
        make()?;
        files::write(&path, 0o600, &stamp)
    }

    /// Makes those of the wikis' databases and tables again that are gone.
    pub(crate) fn restore(self, dir: &Path) -> Result<(), Error> {
        self.sql(dir, &replicas::statements(self)).map(drop)
    }

    /// The client, connected as root; the caller adds arguments.
    pub(crate) fn client(self, dir: &Path) -> Command {
        let mut command = Command::new("mariadb");
        command
            .args(["--no-defaults", "--user=root"])
            .arg("--default-character-set=utf8mb4")
            .arg(option("--socket=", &self.socket(dir)));
        command
    }

    /// Runs statements as root; gives the rows as the client's --batch prints them,
    /// without column names.
    pub(crate) fn sql(self, dir: &Path, statements: &str) -> Result<String, Error> {
        let run = |source| Error::Run {
            program: "mariadb".to_owned(),
            source,
        };
        let mut child = self
            .client(dir)
            .args(["--batch", "--skip-column-names"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(run)?;
        let input = child.stdin.take();
        let output = std::thread::scope(|scope| {
            // Beside reading: a client with much to say does not listen meanwhile.
            scope.spawn(|| {
                if let Some(mut input) = input {
                    // A client that ends early says why on its standard error.
                    let _ = input.write_all(statements.as_bytes());
                }
            });
            child.wait_with_output()
        })
        .map_err(run)?;
        if output.status.success() {
            return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
        }
        Err(Error::Failed {
            program: format!("mariadb on {}", self.name()),
            said: files::last_lines(&String::from_utf8_lossy(&output.stderr), 15),
        })
    }
}

const ED25519: &str = "auth_ed25519";
/// Where Debian's server looks for plugins.
const PLUGINS: &str = "/usr/lib/mysql/plugin";

/// A folder with the plugin for ed25519 accounts, where the server's own has none:
/// Debian has it in `mariadb-server`, which is not installed here since it would start
/// a server of the machine's own.
pub(crate) fn plugins(cache: &Cache, mark: &(String, String)) -> Result<Option<PathBuf>, Error> {
    let library = format!("{ED25519}.so");
    if Path::new(PLUGINS).join(&library).exists() {
        return Ok(None);
    }
    let version = files::run(
        Command::new("dpkg-query").args([
            "--show",
            "--showformat=${Version}",
            "mariadb-server-core",
        ]),
        "asking for MariaDB's version",
    )?;
    let entry = cache.entry("mariadb-plugins", &version, |folder| {
        let package = folder.join("package");
        files::folder(&package)?;
        let mut download = process::tool("apt-get", mark);
        download
            .current_dir(&package)
            .args(["download", "--quiet=2", "mariadb-server"]);
        files::run(&mut download, "downloading mariadb-server")?;
        let root = folder.join("root");
        for archive in fs::read_dir(&package).context("list", &package)? {
            let archive = archive.context("list", &package)?.path();
            let mut extract = process::tool("dpkg-deb", mark);
            extract.arg("--extract").arg(&archive).arg(&root);
            files::run(&mut extract, "unpacking mariadb-server")?;
        }
        let plugin = root.join(&PLUGINS[1..]).join(&library);
        let kept = folder.join(&library);
        fs::rename(&plugin, &kept).context("write", &kept)?;
        files::remove(&package)?;
        files::remove(&root)
    })?;
    Ok(Some(entry))
}

fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// mariadbd refuses to run as root unless it is told so.
fn user() -> Option<&'static str> {
    is_root().then_some("--user=root")
}

fn option(name: &str, path: &Path) -> std::ffi::OsString {
    let mut option = std::ffi::OsString::from(name);
    option.push(path);
    option
}
