//! The files that tell opsweek's tools where the sandbox's servers are.

use std::path::{Path, PathBuf};

use serde::Serialize;

use crate::error::Error;
use crate::files;
use crate::sandbox::Service;
use crate::servers::{self, Ports, hdfs};

#[derive(Serialize)]
struct Config<'a> {
    state_dir: &'a Path,
    hdfs: Option<Hdfs<'a>>,
    metastore: Option<Metastore<'a>>,
    fleet: Option<Fleet<'a>>,
    admins: Admins<'a>,
    offboard: Offboard<'a>,
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

/// Writes `DIR/config.toml` with a section for each server in `up`. `hosts` is how
/// many hosts are up.
pub(crate) fn write(dir: &Path, up: &[Service], ports: &Ports, hosts: usize) -> Result<(), Error> {
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
        }),
        fleet: has(Service::Hosts).then_some(Fleet {
            ssh_config: dir.join("hosts/ssh_config"),
            hosts: [&set],
        }),
        admins: Admins {
            data_file: &dir.join("admins/data.yaml"),
        },
        offboard: Offboard {
            archive: "/wmf/data/archive/user",
        },
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
