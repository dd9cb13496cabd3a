//! The servers' own clients, for people and for tests that judge by them.

use std::io;
use std::process::{Command, Output};

use crate::cache::Cache;
use crate::error::Error;
use crate::hosts;
use crate::java::Java;
use crate::sandbox::{Sandbox, Service};
use crate::servers::mariadb::Server;
use crate::servers::metastore::{self, Backend};

/// The programs of `hdfs` that the sandbox has, with the class that each is.
const HDFS: [(&str, &str); 4] = [
    ("crypto", "org.apache.hadoop.hdfs.tools.CryptoAdmin"),
    ("dfs", "org.apache.hadoop.fs.FsShell"),
    ("dfsadmin", "org.apache.hadoop.hdfs.tools.DFSAdmin"),
    ("fsck", "org.apache.hadoop.hdfs.tools.DFSck"),
];

impl Sandbox {
    /// `hdfs crypto|dfs|dfsadmin|fsck ...` as `user` (`hdfs` by default), ready to run.
    pub fn hdfs_command(&self, user: Option<&str>, args: &[&str]) -> Result<Command, Error> {
        self.require(Service::Hdfs)?;
        let (program, args) = args.split_first().unwrap_or((&"", &[]));
        let class = HDFS
            .iter()
            .find_map(|(name, class)| (name == program).then_some(class))
            .ok_or_else(|| Error::Unknown {
                kind: "hdfs command",
                name: (*program).to_owned(),
                known: HDFS.map(|(name, _)| name).join(", "),
            })?;
        let mut command = self.java()?.client(self.dir(), class);
        command
            .args(args)
            .env("HADOOP_USER_NAME", user.unwrap_or("hdfs"));
        Ok(command)
    }

    /// Runs `hdfs crypto|dfs|dfsadmin|fsck ...` to its end.
    pub fn hdfs(&self, user: Option<&str>, args: &[&str]) -> Result<Output, Error> {
        output(&mut self.hdfs_command(user, args)?)
    }

    /// A query of the metastore's own tables, ready to run: prints lines of fields
    /// with tabs between them, column names first. On Derby quoted names are upper
    /// case, `SELECT "NAME" FROM "DBS"`; unquoted ones work on both databases as long
    /// as they are written in upper case.
    pub fn metastore_sql_command(&self, sql: &str) -> Result<Command, Error> {
        let state = self.require(Service::Metastore)?;
        if state.backend == Some(Backend::MariaDb) {
            let mut command = Server::Metadata.client(self.dir());
            command.args(["--batch", metastore::DATABASE, "--execute", sql]);
            return Ok(command);
        }
        let url = metastore::derby_url(self.dir(), &state.ports).unwrap_or_default();
        let mut command = self.java()?.client(self.dir(), "opsweek.Query");
        command.args([&url, sql]);
        Ok(command)
    }

    /// The rows of a query of the metastore's own tables, without the column names.
    /// NULL is `NULL`; tab, newline and backslash in a field are escaped as `\t`, `\n`
    /// and `\\`.
    pub fn metastore_sql(&self, sql: &str) -> Result<Vec<Vec<String>>, Error> {
        let output = output(&mut self.metastore_sql_command(sql)?)?;
        if !output.status.success() {
            return Err(Error::Failed {
                program: sql.to_owned(),
                said: String::from_utf8_lossy(&output.stderr).into_owned(),
            });
        }
        let text = String::from_utf8_lossy(&output.stdout);
        let rows = text.lines().skip(1);
        Ok(rows
            .map(|line| line.split('\t').map(str::to_owned).collect())
            .collect())
    }

    /// Whether the metastore keeps its tables in Derby, which quotes names in its own way.
    pub(crate) fn on_derby(&self) -> Result<bool, Error> {
        let state = self.require(Service::Metastore)?;
        Ok(state.backend != Some(Backend::MariaDb))
    }

    /// The `mariadb` client as root on a server (`metadata`, `target`, `prod-replica` or
    /// `cloud`), ready for more arguments.
    pub fn mariadb_command(&self, server: &str) -> Result<Command, Error> {
        Ok(self.mariadb_server(server)?.client(self.dir()))
    }

    /// Runs SQL statements as root on a server; gives the rows as lines of fields with
    /// tabs between them, without column names, as the client's `--batch` prints them.
    pub fn mariadb(&self, server: &str, sql: &str) -> Result<String, Error> {
        self.mariadb_server(server)?.sql(self.dir(), sql)
    }

    fn mariadb_server(&self, name: &str) -> Result<Server, Error> {
        let server = Server::find(name).ok_or_else(|| Error::Unknown {
            kind: "MariaDB server",
            name: name.to_owned(),
            known: Server::ALL.map(Server::name).join(", "),
        })?;
        self.require_server(Service::MariaDb, name)?;
        Ok(server)
    }

    /// The ssh client that logs in to `host` as the ops account, ready for a command.
    pub fn ssh_command(&self, host: &str) -> Result<Command, Error> {
        self.require(Service::Hosts)?;
        Ok(hosts::ssh_command(&self.dir().join("hosts"), host))
    }

    /// Runs a shell command on `host` as the ops account.
    pub fn ssh(&self, host: &str, command: &str) -> Result<Output, Error> {
        output(self.ssh_command(host)?.arg(command))
    }

    pub(crate) fn java(&self) -> Result<Java, Error> {
        Java::prepare(&Cache::from_env()?, &self.tool_mark(), &|_| ())
    }
}

fn output(command: &mut Command) -> Result<Output, Error> {
    command.output().map_err(|source| failed(command, source))
}

fn failed(command: &Command, source: io::Error) -> Error {
    Error::Run {
        program: command.get_program().display().to_string(),
        source,
    }
}
