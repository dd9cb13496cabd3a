//! The name server that knows where the replicas are: Debian's dnsmasq, which answers
//! for `eqiad.wmnet` only and asks nobody else.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::Ports;
use crate::error::Error;
use crate::files;

/// What listens, by UDP and TCP.
pub(crate) const PORTS: &[&str] = &["dns"];

/// The program; not every account has /usr/sbin in its PATH.
pub(crate) const PROGRAM: &str = "/usr/sbin/dnsmasq";

/// The domain that it answers for.
pub(crate) const DOMAIN: &str = "eqiad.wmnet";

/// Where the cloud replica is.
pub(crate) const CLOUD_HOST: &str = "an-redacteddb1001.eqiad.wmnet";

/// The SRV records of the sections as they are in the platform's zone, with the ports
/// of its many servers.
const ZONE: &str = include_str!("../../../../fixtures/newwiki/sections/wmnet-analytics.zone");

/// The names and targets of [`ZONE`]'s SRV records.
fn services() -> impl Iterator<Item = (&'static str, &'static str)> {
    ZONE.lines().filter_map(|line| {
        // _s5-analytics._tcp 5M IN SRV 0 100 3315 dbstore1008.eqiad.wmnet.
        let fields: Vec<&str> = line.split_whitespace().collect();
        match fields[..] {
            [name, _, "IN", "SRV", _, _, _, target] => Some((name, target.trim_end_matches('.'))),
            _ => None,
        }
    })
}

/// The hosts that production's replicas are on.
pub(crate) fn replica_hosts() -> Vec<&'static str> {
    let hosts: BTreeSet<&str> = services().map(|(_, target)| target).collect();
    hosts.into_iter().collect()
}

/// Its configuration.
pub(crate) fn conf(dir: &Path) -> PathBuf {
    dir.join("dns/dnsmasq.conf")
}

/// The configuration: every section is on the one `prod-replica`.
pub(crate) fn text(ports: &Ports) -> String {
    let port = |name: &str| ports.get(name).copied().unwrap_or(0);
    let mut text = vec![format!(
        "port={}\nlisten-address=127.0.0.1\nbind-interfaces\nno-resolv\nno-hosts\n\
         local=/{DOMAIN}/\nhost-record={CLOUD_HOST},127.0.0.1\n",
        port("dns")
    )];
    for host in replica_hosts() {
        text.push(format!("host-record={host},127.0.0.1\n"));
    }
    for (name, target) in services() {
        let replica = port("prod-replica");
        text.push(format!(
            "srv-host={name}.{DOMAIN},{target},{replica},0,100\n"
        ));
    }
    text.concat()
}

/// Writes the configuration.
pub(crate) fn write_conf(dir: &Path, ports: &Ports) -> Result<(), Error> {
    files::folder(&dir.join("dns"))?;
    files::write(&conf(dir), 0o644, &text(ports))
}

/// Whether the configuration was written for these ports.
pub(crate) fn is_current(dir: &Path, ports: &Ports) -> bool {
    std::fs::read_to_string(conf(dir)).is_ok_and(|written| written == text(ports))
}

/// The server's arguments.
pub(crate) fn arguments(dir: &Path, command: &mut Command) {
    let mut option = std::ffi::OsString::from("--conf-file=");
    option.push(conf(dir));
    // Not a daemon, so that it does not change its account and leaves no pid file.
    command.arg("--no-daemon").arg(option);
}

/// Whether it accepts connections.
pub(crate) fn is_healthy(ports: &Ports) -> bool {
    ports.get("dns").is_some_and(|&port| super::accepts(port))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_section_leads_to_the_replica() {
        let ports = [("dns".to_owned(), 5300), ("prod-replica".to_owned(), 3300)].into();
        let text = text(&ports);
        assert!(text.starts_with("port=5300\n"));
        assert!(
            text.contains("srv-host=_s5-analytics._tcp.eqiad.wmnet,dbstore1008.eqiad.wmnet,3300,")
        );
        for section in 1..=8 {
            assert!(
                text.contains(&format!("=_s{section}-analytics._tcp.")),
                "{section}"
            );
        }
        assert!(text.contains("host-record=dbstore1008.eqiad.wmnet,127.0.0.1\n"));
    }
}
