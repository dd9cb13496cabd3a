//! The Hive metastore, on Derby inside its own JVM or on the sandbox's
//! `MariaDB` server `metadata`.

use std::fs;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::mariadb::Server;
use super::{Ports, hdfs, mariadb};
use crate::cache::Cache;
use crate::error::{Context, Error};
use crate::java::Java;
use crate::{files, process};

/// Where the metastore keeps its tables; fixed when a sandbox's metastore first starts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Backend {
    Derby,
    MariaDb,
}

/// The account of the metastore in `MariaDB` and its database.
const ACCOUNT: &str = "hive";
pub(crate) const DATABASE: &str = "metastore";

impl Backend {
    /// What listens.
    pub(crate) fn ports(self) -> &'static [&'static str] {
        match self {
            Self::Derby => &["metastore", "derby"],
            Self::MariaDb => &["metastore"],
        }
    }
}

/// The folder of the metastore's configuration.
pub(crate) fn conf(dir: &Path) -> PathBuf {
    dir.join("metastore/conf")
}

/// Whether it accepts connections: it listens only when its database is open.
pub(crate) fn is_healthy(ports: &Ports) -> bool {
    ports
        .get("metastore")
        .is_some_and(|&port| super::accepts(port))
}

/// Where a JDBC client of another process finds Derby.
pub(crate) fn derby_url(dir: &Path, ports: &Ports) -> Option<String> {
    let address = super::address(*ports.get("derby")?);
    Some(format!(
        "jdbc:derby://{address}/{};user=APP;password=APP",
        dir.join("metastore/derby").display()
    ))
}

/// Writes `metastore-site.xml`; for `MariaDB` it holds the account's password.
pub(crate) fn write_conf(dir: &Path, ports: &Ports, backend: Backend) -> Result<(), Error> {
    let folder = conf(dir);
    files::folder(&folder)?;
    let (url, driver, user, password) = match backend {
        Backend::Derby => (
            embedded_url(&dir.join("metastore/derby")),
            DERBY,
            "APP",
            "APP".to_owned(),
        ),
        Backend::MariaDb => (
            mariadb_url(ports, DATABASE),
            MARIADB,
            ACCOUNT,
            mariadb::password(dir, ACCOUNT)?,
        ),
    };
    let uri = super::address(ports.get("metastore").copied().unwrap_or(0));
    let xml = site(
        &url,
        driver,
        user,
        &password,
        &[
            ("metastore.thrift.uris", &format!("thrift://{uri}")),
            (
                "metastore.warehouse.dir",
                &format!("{}/user/hive/warehouse", hdfs::uri(ports)),
            ),
        ],
    );
    files::write(&folder.join("metastore-site.xml"), 0o600, &xml)
}

const DERBY: &str = "org.apache.derby.jdbc.EmbeddedDriver";
const MARIADB: &str = "org.mariadb.jdbc.Driver";

fn embedded_url(folder: &Path) -> String {
    format!("jdbc:derby:;databaseName={};create=true", folder.display())
}

fn mariadb_url(ports: &Ports, database: &str) -> String {
    let address = super::address(ports.get(Server::Metadata.name()).copied().unwrap_or(0));
    // Without useMysqlMetadata the metastore does not take MariaDB for MySQL.
    format!("jdbc:mariadb://{address}/{database}?useMysqlMetadata=true")
}

fn site(url: &str, driver: &str, user: &str, password: &str, more: &[(&str, &str)]) -> String {
    let mut properties = vec![
        ("javax.jdo.option.ConnectionURL", url),
        ("javax.jdo.option.ConnectionDriverName", driver),
        ("javax.jdo.option.ConnectionUserName", user),
        ("javax.jdo.option.ConnectionPassword", password),
        // The defaults of these two are classes of Hive itself, not of the metastore.
        (
            "metastore.expression.proxy",
            "org.apache.hadoop.hive.metastore.DefaultPartitionExpressionProxy",
        ),
        (
            "metastore.task.threads.always",
            "org.apache.hadoop.hive.metastore.events.EventCleanerTask",
        ),
    ];
    properties.extend_from_slice(more);
    files::site_xml(&properties)
}

/// Makes the metastore's empty database, if the sandbox has none yet.
pub(crate) fn make_database(
    dir: &Path,
    backend: Backend,
    java: &Java,
    cache: &Cache,
    mark: &(String, String),
    progress: &(dyn Fn(&str) + Sync),
) -> Result<(), Error> {
    files::folder(&dir.join("metastore"))?;
    match backend {
        Backend::Derby => make_derby(dir, java, cache, mark, progress),
        Backend::MariaDb => make_mariadb(dir, java, progress),
    }
}

fn make_derby(
    dir: &Path,
    java: &Java,
    cache: &Cache,
    mark: &(String, String),
    progress: &(dyn Fn(&str) + Sync),
) -> Result<(), Error> {
    let derby = dir.join("metastore/derby");
    if derby.exists() {
        return Ok(());
    }
    let schema = cache.entry("metastore-derby", java.metastore_home(), |folder| {
        progress("making the metastore's schema on Derby");
        let conf = folder.join("conf");
        files::folder(&conf)?;
        let xml = site(
            &embedded_url(&folder.join("derby")),
            DERBY,
            "APP",
            "APP",
            &[],
        );
        files::write(&conf.join("metastore-site.xml"), 0o600, &xml)?;
        let mut tool = process::tool(java.program(), mark);
        tool.current_dir(folder);
        let log = hdfs::conf(dir).join("log4j.properties");
        java.class(&mut tool, 512, &log, &[conf], SCHEMA_TOOL);
        files::run(
            tool.args(["-initSchema", "-dbType", "derby"]),
            "the metastore's schema tool",
        )
        .map(drop)
    })?;
    let new = dir.join("metastore/derby.new");
    files::remove(&new)?;
    files::copy_folder(&schema.join("derby"), &new)?;
    fs::rename(&new, &derby).context("write", &derby)
}

const SCHEMA_TOOL: &str = "org.apache.hadoop.hive.metastore.tools.MetastoreSchemaTool";

/// Loads the schema's own script. Its last statement fills table VERSION, so a
/// database without that row was left half made.
fn make_mariadb(dir: &Path, java: &Java, progress: &(dyn Fn(&str) + Sync)) -> Result<(), Error> {
    mariadb::make_account(dir, ACCOUNT, DATABASE)?;
    let version = format!("SELECT SCHEMA_VERSION FROM {DATABASE}.VERSION");
    if Server::Metadata
        .sql(dir, &version)
        .is_ok_and(|rows| rows.lines().count() == 1)
    {
        return Ok(());
    }
    progress("making the metastore's schema on MariaDB");
    let script = java
        .metastore_home()
        .join("scripts/metastore/upgrade/mysql/hive-schema-3.1.0.mysql.sql");
    let script = fs::read_to_string(&script).context("read", &script)?;
    // The script's indexes are longer than utf8mb4 would allow.
    Server::Metadata
        .sql(
            dir,
            &format!(
                "DROP DATABASE IF EXISTS {DATABASE};\n\
             CREATE DATABASE {DATABASE} CHARACTER SET latin1;\n\
             USE {DATABASE};\n{script}"
            ),
        )
        .map(drop)
}
