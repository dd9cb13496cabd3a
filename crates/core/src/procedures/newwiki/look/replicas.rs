//! Whether the wikis' databases are on both replicas: one connection a server.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::time::Duration;

use futures::stream::{self, StreamExt};
use mysql_async::{Params, Value};

use crate::engine::{Cx, Failure, Gap};
use crate::procedures::Identities;
use crate::procedures::newwiki::Passwords;
use crate::procedures::newwiki::inventory::{Readiness, Replicas};
use crate::procedures::newwiki::names::Name;
use crate::procedures::newwiki::policy::{Policy, Replica};
use crate::services::dns::{Dns, Place};
use crate::services::sql::{self, Connection, Endpoint, Secret, Server, Tls};

/// How long DNS may take to answer one question.
const DNS: Duration = Duration::from_secs(10);
/// How many servers are asked at once.
const SERVERS: usize = 16;
/// How many names one statement asks about.
const NAMES: usize = 500;

/// A place of a section's replica, or why it is not known.
type Places = BTreeMap<String, Result<Place, String>>;
/// What one server said of its databases and of itself, or why it said nothing.
type Said = Result<(Tables, String), String>;
/// The tables of databases.
type Tables = BTreeMap<String, BTreeSet<String>>;

/// One of the two.
#[derive(Clone, Copy)]
struct Side<'a> {
    title: &'static str,
    /// What stands behind a wiki's name in the name of its database.
    ending: &'static str,
    replica: &'a Replica,
    password: Option<&'a Secret>,
}

/// What the replicas said.
#[derive(Default)]
pub(in super::super) struct Asked {
    /// By the wikis' names.
    pub(in super::super) ready: BTreeMap<String, Replicas>,
    /// The identities of the servers, by side and section.
    pub(in super::super) world: BTreeMap<String, String>,
    /// What could not be asked.
    pub(in super::super) gaps: Vec<Gap>,
}

/// Stands between side and section in the name of a server in the world.
const OF: &str = " replica of ";

/// Asks about the wikis, whose sections are given. What could not be asked is a gap, and
/// [`Readiness::Unknown`].
pub(in super::super) async fn replicas(
    wikis: &BTreeMap<Name, String>,
    policy: &Policy,
    passwords: &Passwords,
    cx: &Cx,
) -> Asked {
    let mut asked = Asked::default();
    if wikis.is_empty() {
        return asked;
    }
    let dns = resolver(policy);
    let sections: BTreeSet<&str> = wikis.values().map(String::as_str).collect();
    let places = places(&sections, policy, dns.as_ref()).await;
    let mut found = Vec::new();
    for (title, side) in sides(policy, passwords) {
        let Some(side) = side else {
            asked.gaps.push(Gap {
                place: format!("{title} replica"),
                why: format!("newwiki.{title} is not configured"),
                lane: None,
            });
            found.push(BTreeMap::new());
            continue;
        };
        let (ready, world, missed) = side.ask(wikis, policy, &places, dns.as_ref(), cx).await;
        found.push(ready);
        asked.world.extend(world);
        asked.gaps.extend(missed);
    }
    let [production, cloud] = [0, 1].map(|side| {
        let found = &found[side];
        move |name: &Name| found.get(name).cloned().unwrap_or(Readiness::Unknown)
    });
    let all = wikis.iter().map(|(name, section)| {
        let both = Replicas {
            section: section.clone(),
            production: production(name),
            cloud: cloud(name),
        };
        (name.to_string(), both)
    });
    asked.ready = all.collect();
    asked
}

/// Asks the servers among `names` (of systems of a world) again who they are.
pub(in super::super) async fn identities(
    names: impl Iterator<Item = &str>,
    policy: &Policy,
    passwords: &Passwords,
) -> Identities {
    let names: Vec<(&str, &str, &str)> = names
        .filter_map(|name| {
            let (title, section) = name.split_once(OF)?;
            Some((name, title, section))
        })
        .collect();
    let sections: BTreeSet<&str> = names.iter().map(|&(_, _, section)| section).collect();
    let dns = resolver(policy);
    let places = places(&sections, policy, dns.as_ref()).await;
    let sides = sides(policy, passwords);
    let mut servers: BTreeMap<(&str, Place), Result<String, String>> = BTreeMap::new();
    let (mut known, mut gaps) = (BTreeMap::new(), Vec::new());
    for (name, title, section) in names {
        let side = sides.iter().find(|(other, _)| *other == title);
        let Some(side) = side.and_then(|(_, side)| *side) else {
            continue;
        };
        let said = match side.place(section, &places) {
            Err(fault) => Err(fault),
            Ok(place) => {
                let server = (title, place);
                if !servers.contains_key(&server) {
                    let said = side.identity(&server.1, dns.as_ref()).await;
                    servers.insert(server.clone(), said);
                }
                servers[&server].clone()
            }
        };
        match said {
            Ok(identity) => {
                known.insert(name.to_owned(), identity);
            }
            Err(why) => gaps.push(Gap {
                place: name.to_owned(),
                why,
                lane: None,
            }),
        }
    }
    (known, gaps)
}

/// The two, as far as they are configured.
fn sides<'a>(
    policy: &'a Policy,
    passwords: &'a Passwords,
) -> [(&'static str, Option<Side<'a>>); 2] {
    let side = |title, ending, replica: &'a Option<Replica>, password: &'a Option<Secret>| {
        let side = replica.as_ref().map(|replica| Side {
            title,
            ending,
            replica,
            password: password.as_ref(),
        });
        (title, side)
    };
    [
        side("production", "", &policy.production, &passwords.production),
        side("cloud", "_p", &policy.cloud, &passwords.cloud),
    ]
}

/// The name servers' client; `None` where places are not looked up. The error is for later:
/// it matters only where something must be looked up.
fn resolver(policy: &Policy) -> Option<Result<Dns, String>> {
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

fn told(failure: &Failure) -> String {
    super::gap("", failure).why
}

/// Where the sections' replicas are.
async fn places(
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
type Addresses = Result<Vec<IpAddr>, String>;

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

/// Places with their addresses and their wikis. Those that are one server under several
/// names, of the same addresses and port, are one place, by the first of these names.
async fn by_server(
    places: BTreeMap<Place, Vec<Name>>,
    dns: Option<&Result<Dns, String>>,
) -> Vec<(Place, Addresses, Vec<Name>)> {
    let mut servers: Vec<(Place, Addresses, Vec<Name>)> = Vec::new();
    for (place, names) in places {
        let found = addresses(&place.host, dns).await;
        let same = servers.iter_mut().find(|(other, at, _)| {
            let known = found.as_ref().is_ok_and(|found| !found.is_empty());
            known && *at == found && other.port == place.port
        });
        match same {
            Some((_, _, all)) => all.extend(names),
            None => servers.push((place, found, names)),
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

impl Side<'_> {
    /// Where the replica of a section is for this side.
    fn place(&self, section: &str, places: &Places) -> Result<Place, String> {
        if let (Some(host), Some(port)) = (&self.replica.host, self.replica.port) {
            let host = host.clone();
            return Ok(Place { host, port });
        }
        let found = match places.get(section) {
            Some(place) => place.clone()?,
            None => return Err(format!("it is not known where {section} is")),
        };
        let host = self.replica.host.clone().unwrap_or(found.host);
        if host.is_empty() {
            return Err(format!("newwiki.{}.host is not configured", self.title));
        }
        let port = self.replica.port.unwrap_or(found.port);
        Ok(Place { host, port })
    }

    async fn ask(
        self,
        wikis: &BTreeMap<Name, String>,
        policy: &Policy,
        places: &Places,
        dns: Option<&Result<Dns, String>>,
        cx: &Cx,
    ) -> (
        BTreeMap<Name, Readiness>,
        BTreeMap<String, String>,
        Vec<Gap>,
    ) {
        let mut servers: BTreeMap<Place, Vec<Name>> = BTreeMap::new();
        let mut faults: BTreeSet<String> = BTreeSet::new();
        for (name, section) in wikis {
            match self.place(section, places) {
                Ok(place) => servers.entry(place).or_default().push(name.clone()),
                Err(fault) => {
                    faults.insert(fault);
                }
            }
        }
        let mut gaps: Vec<Gap> = faults.into_iter().map(|why| self.gap("", why)).collect();
        let (mut ready, mut world) = (BTreeMap::new(), BTreeMap::new());
        let total = wikis.len() as u64;
        let progress = cx.for_step(self.title);
        let mut asked = stream::iter(by_server(servers, dns).await)
            .map(|(place, addresses, names)| async move {
                let databases: Vec<String> = names
                    .iter()
                    .map(|name| format!("{name}{}", self.ending))
                    .collect();
                let said = match addresses {
                    Ok(addresses) => self.server(&place, addresses, &databases).await,
                    Err(why) => Err(why),
                };
                (place, names, said)
            })
            .buffer_unordered(SERVERS);
        while let Some((place, names, said)) = asked.next().await {
            match said {
                Ok((tables, identity)) => {
                    for name in names {
                        let section = wikis.get(&name).map(String::as_str).unwrap_or_default();
                        world.insert(format!("{}{OF}{section}", self.title), identity.clone());
                        let database = format!("{name}{}", self.ending);
                        let is = readiness(tables.get(&database), &policy.core_tables);
                        ready.insert(name, is);
                    }
                }
                Err(why) => {
                    let place = format!(" {}:{}", place.host, place.port);
                    gaps.push(self.gap(&place, why));
                }
            }
            progress.progress(ready.len() as u64, Some(total), "wikis");
        }
        (ready, world, gaps)
    }

    fn gap(self, place: &str, why: String) -> Gap {
        Gap {
            place: format!("{} replica{place}", self.title),
            why,
            lane: None,
        }
    }

    /// What tables these databases of a server have, one that is not there having no entry;
    /// and which server it is.
    async fn server(self, place: &Place, addresses: Vec<IpAddr>, databases: &[String]) -> Said {
        let server = self.at(place, addresses);
        let asked = async {
            let mut connection = server.connect().await?;
            let tables = tables(&mut connection, databases).await;
            let identity = connection.identity().await;
            connection.close().await;
            Ok::<_, sql::Error>((tables?, identity?))
        };
        asked.await.map_err(|error| told(&Failure::from(error)))
    }

    /// Which server it is.
    async fn identity(
        self,
        place: &Place,
        dns: Option<&Result<Dns, String>>,
    ) -> Result<String, String> {
        let server = self.at(place, addresses(&place.host, dns).await?);
        let identity = server.identity().await;
        identity.map_err(|error| told(&Failure::from(error)))
    }

    fn at(self, place: &Place, addresses: Vec<IpAddr>) -> Server {
        let config = sql::Config {
            endpoint: Endpoint::Tcp {
                host: place.host.clone(),
                port: place.port,
            },
            user: self.replica.user.clone(),
            password: self.password.cloned(),
            tls: Tls::Verified {
                ca_file: self.replica.ca_file.clone(),
            },
            deadline: self.replica.deadline(),
        };
        Server::at(config, addresses)
    }
}

/// Names are only ever parameters.
async fn tables(connection: &mut Connection, databases: &[String]) -> Result<Tables, sql::Error> {
    let mut found = Tables::new();
    for names in databases.chunks(NAMES) {
        let marks = vec!["?"; names.len()].join(", ");
        let parameters = || Params::Positional(names.iter().map(Value::from).collect());
        let statement = format!(
            "SELECT SCHEMA_NAME FROM information_schema.SCHEMATA WHERE SCHEMA_NAME IN ({marks})"
        );
        let there = connection
            .rows::<String>("looking for databases", &statement, parameters())
            .await?;
        for database in there {
            found.entry(database).or_default();
        }
        let statement = format!(
            "SELECT TABLE_SCHEMA, TABLE_NAME FROM information_schema.TABLES \
             WHERE TABLE_SCHEMA IN ({marks})"
        );
        let rows = connection
            .rows::<(String, String)>("looking for tables", &statement, parameters())
            .await?;
        for (database, table) in rows {
            found.entry(database).or_default().insert(table);
        }
    }
    Ok(found)
}

fn readiness(tables: Option<&BTreeSet<String>>, core: &[String]) -> Readiness {
    let Some(tables) = tables else {
        return Readiness::Absent;
    };
    if tables.is_empty() {
        return Readiness::Empty;
    }
    let lacks: Vec<String> = core
        .iter()
        .filter(|table| !tables.contains(*table))
        .cloned()
        .collect();
    if lacks.is_empty() {
        Readiness::Ready(tables.len() as u64)
    } else {
        Readiness::Lacks(lacks)
    }
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

    #[test]
    fn how_ready_a_database_is() {
        let core = ["page".to_owned(), "user".to_owned()];
        let of = |tables: &[&str]| {
            let tables = tables.iter().map(|&table| table.to_owned()).collect();
            readiness(Some(&tables), &core)
        };
        assert_eq!(readiness(None, &core), Readiness::Absent);
        assert_eq!(of(&[]), Readiness::Empty);
        assert_eq!(of(&["page"]), Readiness::Lacks(vec!["user".into()]));
        assert_eq!(of(&["page", "user", "x"]), Readiness::Ready(3));
    }
}
