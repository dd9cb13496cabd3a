//! HDFS: `NameNode` and `DataNode`.

use std::path::{Path, PathBuf};

use super::{Ports, http_get};
use crate::error::Error;
use crate::files;

/// What listens.
pub(crate) const PORTS: &[&str] = &[
    "namenode",
    "namenode-http",
    "datanode",
    "datanode-http",
    "datanode-ipc",
];

/// The folder of the client's and servers' configuration.
pub(crate) fn conf(dir: &Path) -> PathBuf {
    dir.join("hdfs/conf")
}

/// `hdfs://127.0.0.1:PORT`.
pub(crate) fn uri(ports: &Ports) -> String {
    format!("hdfs://{}", at(ports, "namenode"))
}

fn at(ports: &Ports, name: &str) -> String {
    super::address(ports.get(name).copied().unwrap_or(0)).to_string()
}

/// Writes `core-site.xml`, `hdfs-site.xml` and `log4j.properties`.
pub(crate) fn write_conf(dir: &Path, ports: &Ports) -> Result<(), Error> {
    let conf = conf(dir);
    files::folder(&conf)?;
    files::folder(&dir.join("hdfs/tmp"))?;
    let path = |name: &str| dir.join("hdfs").join(name).display().to_string();
    let core = files::site_xml(&[
        ("fs.defaultFS", &uri(ports)),
        ("fs.permissions.umask-mode", "022"),
        ("fs.trash.interval", "60"),
        ("hadoop.security.group.mapping", "opsweek.Groups"),
        ("hadoop.tmp.dir", &path("tmp")),
        // A client should learn within seconds that the NameNode is down.
        ("ipc.client.connect.max.retries", "2"),
    ]);
    files::write(&conf.join("core-site.xml"), 0o644, &core)?;
    let hdfs = files::site_xml(&[
        ("dfs.namenode.name.dir", &path("name")),
        ("dfs.datanode.data.dir", &path("data")),
        ("dfs.namenode.rpc-address", &at(ports, "namenode")),
        ("dfs.namenode.http-address", &at(ports, "namenode-http")),
        ("dfs.datanode.address", &at(ports, "datanode")),
        ("dfs.datanode.http.address", &at(ports, "datanode-http")),
        ("dfs.datanode.ipc.address", &at(ports, "datanode-ipc")),
        ("dfs.datanode.hostname", "127.0.0.1"),
        ("dfs.replication", "1"),
        ("dfs.permissions.enabled", "true"),
        ("dfs.permissions.superusergroup", "supergroup"),
        ("dfs.namenode.acls.enabled", "true"),
        ("dfs.webhdfs.enabled", "true"),
        // Out of safe mode as soon as the one DataNode has reported.
        ("dfs.namenode.safemode.extension", "0"),
        ("dfs.namenode.safemode.min.datanodes", "1"),
        // A DataNode that is gone counts as dead after 2 * 5 s + 10 * 1 s.
        ("dfs.heartbeat.interval", "1"),
        ("dfs.namenode.heartbeat.recheck-interval", "5000"),
        // 127.0.0.1 need not have a name.
        (
            "dfs.namenode.datanode.registration.ip-hostname-check",
            "false",
        ),
    ]);
    files::write(&conf.join("hdfs-site.xml"), 0o644, &hdfs)?;
    files::write(
        &conf.join("log4j.properties"),
        0o644,
        "log4j.rootLogger=${opsweek.log},stderr\n\
         opsweek.log=WARN\n\
         log4j.appender.stderr=org.apache.log4j.ConsoleAppender\n\
         log4j.appender.stderr.target=System.err\n\
         log4j.appender.stderr.layout=org.apache.log4j.PatternLayout\n\
         log4j.appender.stderr.layout.ConversionPattern=%d{ISO8601} %p %c{2}: %m%n\n\
         log4j.logger.org.apache.hadoop.util.NativeCodeLoader=ERROR\n",
    )
}

/// Whether the `NameNode` answers, knows a living `DataNode` and takes writes.
pub(crate) fn is_healthy(ports: &Ports) -> bool {
    let Some(&port) = ports.get("namenode-http") else {
        return false;
    };
    // The beans' names are part of Hadoop's documented metrics.
    let has = |bean: &str, text: &str| {
        http_get(
            port,
            &format!("/jmx?qry=Hadoop:service=NameNode,name={bean}"),
        )
        .is_some_and(|answer| answer.contains(text))
    };
    has("FSNamesystemState", "\"NumLiveDataNodes\" : 1")
        && has("NameNodeInfo", "\"Safemode\" : \"\"")
}
