//! Where the sections' replicas are: as DNS knows, or a file.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::time::Duration;

use super::told;
use crate::engine::Failure;
use crate::procedures::newwiki::policy::Policy;
use crate::services::dns::{Dns, Place};

/// How long DNS may take to answer one question.
const DNS: Duration = Duration::from_secs(10);

/// A place of a section's replica, or why it is not known.
pub(super) type Places = BTreeMap<String, Result<Place, String>>;

/// The name servers' client; `None` where places are not looked up. The error is for later:
/// it matters only where something must be looked up.
pub(super) fn resolver(policy: &Policy) -> Option<Result<Dns, String>> {
    let settings = policy.dns.as_ref()?;
    let server = match &settings.server {
        None => None,
        Some(text) => match address(text) {
            Some(address) => Some(address),
            None => return Some(Err(format!("newwiki.dns.server: {text:?} is no address"))),
        },
    };
    Some(Dns::new(server, DNS).map_err(|error| told(&Failure::from(error))))
}

/// `127.0.0.1`, `127.0.0.1:5353`, `[::1]:53`.
fn address(text: &str) -> Option<SocketAddr> {
    let bare = || text.parse().ok().map(|ip: IpAddr| SocketAddr::new(ip, 53));
    text.parse().ok().or_else(bare)
}

/// Where the sections' replicas are.
pub(super) async fn places(
    sections: &BTreeSet<&str>,
    policy: &Policy,
    dns: Option<&Result<Dns, String>>,
) -> Places {
    let ports = match &policy.section_ports {
        None => Ok(BTreeMap::new()),
        Some(path) => section_ports(path).await,
    };
    let mut places = BTreeMap::new();
    for &section in sections {
        let place = match (dns, &policy.dns, &policy.section_ports) {
            (Some(Ok(dns)), Some(settings), _) => {
                let name = format!("_{section}-analytics._tcp.{}", settings.domain);
                let found = dns.service(&name).await;
                found.map_err(|error| told(&Failure::from(error)))
            }
            (Some(Err(fault)), ..) => Err(fault.clone()),
            (_, _, Some(path)) => match &ports {
                Err(fault) => Err(fault.clone()),
                Ok(ports) => ports
                    .get(section)
                    .map(|&port| Place {
                        host: String::new(),
                        port,
                    })
                    .ok_or_else(|| format!("{} has no {section}", path.display())),
            },
            _ => Err("neither newwiki.dns nor newwiki.section_ports is configured".to_owned()),
        };
        places.insert(section.to_owned(), place);
    }
    places
}

/// The addresses of a host, and why there are none; none where finding them is left to the
/// system.
pub(super) type Addresses = Result<Vec<IpAddr>, String>;

async fn addresses(host: &str, dns: Option<&Result<Dns, String>>) -> Addresses {
    match dns {
        Some(Ok(dns)) => {
            let found = dns.addresses(host).await;
            let mut found = found.map_err(|error| told(&Failure::from(error)))?;
            found.sort_unstable();
            Ok(found)
        }
        _ => Ok(Vec::new()),
    }
}

/// Places with their addresses and whatever is to be asked there. Those that are one server
/// under several names, of the same addresses and port, are one place, by the first of these
/// names.
pub(super) async fn by_server<T>(
    places: BTreeMap<Place, Vec<T>>,
    dns: Option<&Result<Dns, String>>,
) -> Vec<(Place, Addresses, Vec<T>)> {
    let mut servers: Vec<(Place, Addresses, Vec<T>)> = Vec::new();
    for (place, asked) in places {
        let found = addresses(&place.host, dns).await;
        let same = servers.iter_mut().find(|(other, at, _)| {
            let known = found.as_ref().is_ok_and(|found| !found.is_empty());
            known && *at == found && other.port == place.port
        });
        match same {
            Some((_, _, all)) => all.extend(asked),
            None => servers.push((place, found, asked)),
        }
    }
    servers
}

/// Reads lines `s5, 3315`.
async fn section_ports(path: &Path) -> Result<BTreeMap<String, u16>, String> {
    let text = tokio::fs::read_to_string(path)
        .await
        .map_err(|error| format!("{}: {error}", path.display()))?;
    parse_ports(&text)
        .map_err(|line| format!("{}: not a section and a port: {line:?}", path.display()))
}

fn parse_ports(text: &str) -> Result<BTreeMap<String, u16>, &str> {
    text.lines()
        .filter(|line| !line.trim().is_empty() && !line.starts_with('#'))
        .map(|line| {
            let (section, port) = line.split_once(',').ok_or(line)?;
            let port = port.trim().parse().map_err(|_| line)?;
            Ok((section.trim().to_owned(), port))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_of_sections() {
        let ports = parse_ports("s1, 3311\n\n# none\nx1,3320\n").unwrap();
        assert_eq!(ports, [("s1".into(), 3311), ("x1".into(), 3320)].into());
        for bad in ["s1\n", "s1, x\n", "s1, 70000\n"] {
            assert_eq!(parse_ports(bad), Err(bad.trim_end()));
        }
    }

    #[test]
    fn name_servers_have_a_port_or_the_usual_one() {
        let is = |text: &str| address(text).map(|address| address.to_string());
        assert_eq!(is("127.0.0.1"), Some("127.0.0.1:53".into()));
        assert_eq!(is("127.0.0.1:5353"), Some("127.0.0.1:5353".into()));
        assert_eq!(is("::1"), Some("[::1]:53".into()));
        assert_eq!(is("ns.example.org"), None);
    }
}
