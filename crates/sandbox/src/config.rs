//! The files that tell opsweek's tools where the sandbox's servers are.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::Serialize;

use crate::error::Error;
use crate::files;
use crate::sandbox::Service;
use crate::seed::newwiki;
use crate::servers::mariadb::{
    CLOUD_USER, DBSYNC, METASTORE_READER, RESEARCH, Server, password_file, superset,
};
use crate::servers::metastore::{self, Backend};
use crate::servers::{self, Ports, dns, hdfs, tls};

#[derive(Serialize)]
struct Config<'a> {
    state_dir: &'a Path,
    hdfs: Option<Hdfs<'a>>,
    metastore: Option<Metastore<'a>>,
    fleet: Option<Fleet<'a>>,
    admins: Admins<'a>,
    sql: Option<BTreeMap<&'static str, Sql>>,
    offboard: Offboard<'a>,
    newwiki: Option<NewWiki>,
    #[serde(rename = "db-sync")]
    db_sync: Option<DbSync>,
}

#[derive(Serialize)]
struct Hdfs<'a> {
    conf_dir: PathBuf,
    user: &'a str,
    webhdfs: [String; 1],
}

#[derive(Serialize)]
struct Metastore<'a> {
    uris: [String; 1],
    user: &'a str,
    sql: Option<Database>,
}

#[derive(Serialize)]
struct Fleet<'a> {
    ssh_config: PathBuf,
    hosts: [&'a str; 1],
}

#[derive(Serialize)]
struct Admins<'a> {
    data_file: &'a Path,
}

#[derive(Serialize)]
struct Offboard<'a> {
    archive: &'a str,
}

/// Where a `MariaDB` server is, and who asks.
#[derive(Serialize)]
struct Sql {
    #[serde(skip_serializing_if = "Option::is_none")]
    socket: Option<PathBuf>,
    #[serde(skip_serializing_if = "Option::is_none")]
    host: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    port: Option<u16>,
    user: &'static str,
    password_file: PathBuf,
    #[serde(skip_serializing_if = "Option::is_none")]
    ca_file: Option<PathBuf>,
}

#[derive(Serialize)]
struct NewWiki {
    refinery: PathBuf,
    dblists: PathBuf,
    dns: Dns,
    production: Sql,
    cloud: Sql,
    allowlist: Allowlist,
}

#[derive(Serialize)]
struct Dns {
    domain: &'static str,
    server: String,
}

#[derive(Serialize)]
struct Allowlist {
    folder: &'static str,
    backup_dir: &'static str,
}

#[derive(Serialize)]
struct DbSync {
    profiles: BTreeMap<&'static str, Profile>,
}

#[derive(Serialize)]
struct Profile {
    source: Database,
    target: Database,
    source_key_file: PathBuf,
    target_key_file: PathBuf,
}

#[derive(Serialize)]
struct Database {
    server: &'static str,
    database: &'static str,
}

/// The server of the metastore's tables, as the account that reads them.
const METASTORE: &str = "metastore";

/// The servers that the tools know by name.
fn sql(dir: &Path, ports: &Ports) -> BTreeMap<&'static str, Sql> {
    let metadata = |user| Sql {
        socket: Some(Server::Metadata.socket(dir)),
        user,
        password_file: password_file(dir, user),
        host: None,
        port: None,
        ca_file: None,
    };
    let target = Sql {
        host: Some("127.0.0.1"),
        port: ports.get(Server::Target.name()).copied(),
        ..over_tls(dir, DBSYNC)
    };
    [
        (Server::Metadata.name(), metadata(DBSYNC)),
        (METASTORE, metadata(METASTORE_READER)),
        (Server::Target.name(), target),
    ]
    .into()
}

/// An account on a server whose host and port are found elsewhere.
fn over_tls(dir: &Path, user: &'static str) -> Sql {
    Sql {
        socket: None,
        host: None,
        port: None,
        user,
        password_file: password_file(dir, user),
        ca_file: Some(tls::ca(dir)),
    }
}

fn new_wiki(dir: &Path, ports: &Ports) -> NewWiki {
    NewWiki {
        refinery: dir.join("refinery"),
        dblists: dir.join("dblists"),
        dns: Dns {
            domain: dns::DOMAIN,
            server: servers::address(ports.get("dns").copied().unwrap_or(0)).to_string(),
        },
        // Its host and port are what the name server says.
        production: over_tls(dir, RESEARCH),
        cloud: Sql {
            host: Some(dns::CLOUD_HOST),
            port: ports.get(Server::Cloud.name()).copied(),
            ..over_tls(dir, CLOUD_USER)
        },
        allowlist: Allowlist {
            folder: newwiki::ALLOWLIST,
            backup_dir: newwiki::BACKUP,
        },
    }
}

fn db_sync(dir: &Path) -> DbSync {
    let profile = |server, target| Profile {
        source: Database {
            server: Server::Metadata.name(),
            database: superset::PRODUCTION,
        },
        target: Database {
            server,
            database: target,
        },
        source_key_file: superset::key_file(dir, superset::PRODUCTION),
        target_key_file: superset::key_file(dir, superset::STAGING),
    };
    DbSync {
        profiles: [
            (
                "prod-to-staging",
                profile(Server::Metadata.name(), superset::STAGING),
            ),
            (
                "prod-to-target",
                profile(Server::Target.name(), superset::STAGING),
            ),
        ]
        .into(),
    }
}

/// Writes `DIR/config.toml` with a section for each server in `up`. `hosts` is how
/// many hosts are up, `backend` where the metastore
/// keeps its tables.
pub(crate) fn write(
    dir: &Path,
    up: &[Service],
    ports: &Ports,
    hosts: usize,
    backend: Option<Backend>,
) -> Result<(), Error> {
    let at = |name: &str| servers::address(ports.get(name).copied().unwrap_or(0));
    let has = |service: Service| up.contains(&service);
    let set = host_set(hosts);
    let config = Config {
        state_dir: &dir.join("state"),
        hdfs: has(Service::Hdfs).then_some(Hdfs {
            conf_dir: hdfs::conf(dir),
            user: "hdfs",
            webhdfs: [format!("http://{}", at("namenode-http"))],
        }),
        metastore: has(Service::Metastore).then(|| Metastore {
            uris: [format!("thrift://{}", at("metastore"))],
            user: "hdfs",
            sql: (backend == Some(Backend::MariaDb)).then_some(Database {
                server: METASTORE,
                database: metastore::DATABASE,
            }),
        }),
        fleet: has(Service::Hosts).then_some(Fleet {
            ssh_config: dir.join("hosts/ssh_config"),
            hosts: [&set],
        }),
        admins: Admins {
            data_file: &dir.join("admins/data.yaml"),
        },
        sql: has(Service::MariaDb).then(|| sql(dir, ports)),
        offboard: Offboard {
            archive: "/wmf/data/archive/user",
        },
        newwiki: has(Service::MariaDb).then(|| new_wiki(dir, ports)),
        db_sync: has(Service::MariaDb).then(|| db_sync(dir)),
    };
    let path = dir.join("config.toml");
    let text = toml::to_string(&config).map_err(|error| Error::Failed {
        program: format!("writing {}", path.display()),
        said: error.to_string(),
    })?;
    files::folder(&dir.join("state"))?;
    files::write(&path, 0o644, &text)
}

/// `stat[1008-1013].eqiad.wmnet` for six hosts.
fn host_set(count: usize) -> String {
    match count {
        0 | 1 => "stat1008.eqiad.wmnet".to_owned(),
        _ => format!("stat[1008-{}].eqiad.wmnet", 1007 + count),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_are_folded() {
        assert_eq!(host_set(1), "stat1008.eqiad.wmnet");
        assert_eq!(host_set(6), "stat[1008-1013].eqiad.wmnet");
    }
}
