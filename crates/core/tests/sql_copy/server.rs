//! A server of a test's own.

use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use opsweek_core::services::sql::{Config, Endpoint, Server, Tls};
use tempfile::TempDir;

/// Ends with the value.
pub(crate) struct MariaDb {
    child: Child,
    dir: TempDir,
}

impl MariaDb {
    /// Starts a server with further `options`.
    pub(crate) fn start(options: &[&str]) -> Self {
        // Outside of the checkout: a socket's path has at most 107 bytes.
        let dir = TempDir::with_prefix("sql").unwrap();
        let data = format!("--datadir={}", dir.path().join("data").display());
        let installed = Command::new("mariadb-install-db")
            .args(["--no-defaults", "--skip-test-db", "--user=root", &data])
            .arg("--auth-root-authentication-method=normal")
            // Two that share one remove each other's tables.
            .arg(format!("--tmpdir={}", dir.path().display()))
            .output()
            .expect("MariaDB is installed");
        assert!(installed.status.success(), "{installed:?}");
        let log = std::fs::File::create(dir.path().join("log")).unwrap();
        let child = Command::new("/usr/sbin/mariadbd")
            .args(["--no-defaults", "--user=root", "--skip-networking", &data])
            .arg(format!("--socket={}", dir.path().join("s").display()))
            .arg(format!("--tmpdir={}", dir.path().display()))
            .args([
                "--innodb-buffer-pool-size=32M",
                "--innodb-flush-log-at-trx-commit=2",
            ])
            .args(["--local-infile=ON", "--performance-schema=OFF"])
            .args(options)
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .unwrap();
        let mut server = Self { child, dir };
        let begun = Instant::now();
        while !server.client("SELECT 1").status.success() {
            assert!(begun.elapsed() < Duration::from_mins(2), "no server");
            assert_eq!(server.child.try_wait().unwrap(), None, "the server ended");
            sleep(Duration::from_millis(100));
        }
        server
    }

    /// The folder of its databases.
    pub(crate) fn data(&self) -> std::path::PathBuf {
        self.dir.path().join("data")
    }

    fn client(&self, statements: &str) -> std::process::Output {
        Command::new("mariadb")
            .args([
                "--no-defaults",
                "--user=root",
                "--batch",
                "--skip-column-names",
            ])
            .args(["--default-character-set=utf8mb4", "--execute", statements])
            .arg(format!("--socket={}", self.dir.path().join("s").display()))
            .output()
            .expect("MariaDB's client is installed")
    }

    /// What the real client prints for statements.
    pub(crate) fn sql(&self, statements: &str) -> String {
        let output = self.client(statements);
        assert!(output.status.success(), "{statements}: {output:?}");
        String::from_utf8(output.stdout).unwrap()
    }

    /// Whether the server refuses a statement.
    pub(crate) fn refuses(&self, statement: &str) -> bool {
        !self.client(statement).status.success()
    }

    /// The server for an account without a password.
    pub(crate) fn account(&self, user: &str) -> Server {
        Server::new(Config {
            endpoint: Endpoint::Socket(self.dir.path().join("s")),
            user: user.to_owned(),
            password: None,
            tls: Tls::Off,
            deadline: Duration::from_mins(1),
        })
    }

    pub(crate) fn root(&self) -> Server {
        self.account("root")
    }
}

impl Drop for MariaDb {
    fn drop(&mut self) {
        // It is gone already, then.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
