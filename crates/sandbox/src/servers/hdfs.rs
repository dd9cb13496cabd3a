//! HDFS: `NameNode` and `DataNode`.

use std::path::{Path, PathBuf};

use super::{Ports, http_get};
use crate::error::Error;
use crate::files;
use crate::state::State;

/// What listens in the `NameNode`.
pub(crate) const NAMENODE_PORTS: &[&str] = &["namenode", "namenode-http"];
/// What listens in the `DataNode`.
pub(crate) const DATANODE_PORTS: &[&str] = &["datanode", "datanode-http", "datanode-ipc"];

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
pub(crate) fn write_conf(dir: &Path, state: &State) -> Result<(), Error> {
    let ports = &state.ports;
    let conf = conf(dir);
    files::folder(&conf)?;
    files::folder(&dir.join("hdfs/tmp"))?;
    let path = |name: &str| dir.join("hdfs").join(name).display().to_string();
    let keys = format!("jceks://file{}", path("keys.jceks"));
    // A year, in minutes. At every full interval since 1970 the NameNode renames each user's
    // `.Trash/Current` (TrashPolicyDefault.Emptier): with an hour, whatever runs at a full hour
    // sees a user's home change by itself.
    let trash = if state.no_trash { "0" } else { "525600" };
    let core = files::site_xml(&[
        ("fs.defaultFS", &uri(ports)),
        ("fs.permissions.umask-mode", "022"),
        ("fs.trash.interval", trash),
        ("hadoop.security.group.mapping", "opsweek.Groups"),
        ("hadoop.security.key.provider.path", &keys),
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
        ("dfs.namenode.handler.count", "64"),
        // Out of safe mode as soon as the one DataNode has reported.
        ("dfs.namenode.safemode.extension", "0"),
        ("dfs.namenode.safemode.min.datanodes", "1"),
        // A DataNode that is gone counts as dead after 2 * 5 s + 10 * 1 s.
        ("dfs.heartbeat.interval", "1"),
        ("dfs.namenode.heartbeat.recheck-interval", "5000"),
        // A client that closes a file a moment before the DataNode has reported its
        // block waits this long (400 ms by default) before it asks again.
        (
            "dfs.client.block.write.locateFollowingBlock.initial.delay.ms",
            "10",
        ),
        // Heartbeats older than this make a DataNode the last choice; less than above.
        ("dfs.namenode.stale.datanode.interval", "15000"),
        // 127.0.0.1 need not have a name.
        (
            "dfs.namenode.datanode.registration.ip-hostname-check",
            "false",
        ),
    ]);
    files::write(&conf.join("hdfs-site.xml"), 0o644, &hdfs)?;
    let client = format!("log4j.rootLogger=WARN,stderr\n{TO_STDERR}");
    files::write(&conf.join("log4j.properties"), 0o644, &client)?;
    let audit = |class: &str, name: &str, file: &Path| {
        format!(
            "log4j.logger.{class}=INFO,{name}\n\
             log4j.additivity.{class}=false\n\
             log4j.appender.{name}=org.apache.log4j.FileAppender\n\
             log4j.appender.{name}.file={}\n\
             log4j.appender.{name}.layout=org.apache.log4j.PatternLayout\n\
             log4j.appender.{name}.layout.ConversionPattern=%d{{ISO8601}} %m%n\n",
            file.display()
        )
    };
    let servers = format!(
        "log4j.rootLogger=INFO,stderr\n{TO_STDERR}\
         log4j.logger.BlockStateChange=WARN\n\
         log4j.logger.org.apache.hadoop.hdfs.StateChange=WARN\n{}{}",
        audit(
            "org.apache.hadoop.hdfs.server.namenode.FSNamesystem.audit",
            "hdfs",
            &dir.join("hdfs/audit.log"),
        ),
        audit(
            "org.apache.hadoop.hive.metastore.HiveMetaStore.audit",
            "metastore",
            &dir.join("metastore/audit.log"),
        ),
    );
    files::write(&conf.join(SERVERS_LOG), 0o644, &servers)
}

/// How the servers log: what they do to standard error; what is asked of them to
/// `audit.log`, by which a test can tell that nothing was changed.
pub(crate) const SERVERS_LOG: &str = "log4j-servers.properties";

const TO_STDERR: &str = "\
    log4j.appender.stderr=org.apache.log4j.ConsoleAppender\n\
    log4j.appender.stderr.target=System.err\n\
    log4j.appender.stderr.layout=org.apache.log4j.PatternLayout\n\
    log4j.appender.stderr.layout.ConversionPattern=%d{ISO8601} %p %c{2}: %m%n\n\
    log4j.logger.org.apache.hadoop.util.NativeCodeLoader=ERROR\n";

/// Whether the `NameNode` answers.
pub(crate) fn answers(ports: &Ports) -> bool {
    state(ports).is_some()
}

/// Whether the `NameNode` knows a living `DataNode`.
pub(crate) fn has_datanode(ports: &Ports) -> bool {
    state(ports).is_some_and(|answer| answer.contains("\"NumLiveDataNodes\" : 1"))
}

/// The `FSNamesystemState` bean, part of Hadoop's documented metrics, as JSON.
fn state(ports: &Ports) -> Option<String> {
    let path = "/jmx?qry=Hadoop:service=NameNode,name=FSNamesystemState";
    http_get(*ports.get("namenode-http")?, path).filter(|answer| answer.contains("LiveDataNodes"))
}
