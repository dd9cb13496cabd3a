//! Whether the wikis' databases are on both replicas: one connection a server.

mod places;
mod tables;

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use futures::stream::{self, StreamExt};

use crate::engine::{Cx, Failure, Gap};
use crate::procedures::Identities;
use crate::procedures::newwiki::Passwords;
use crate::procedures::newwiki::inventory::{Readiness, Replicas};
use crate::procedures::newwiki::names::Name;
use crate::procedures::newwiki::policy::{Policy, Replica};
use crate::services::dns::{Dns, Place};
use crate::services::sql::{self, Endpoint, Secret, Server, Tls};
use places::{Places, by_server, places, resolver};
use tables::{Tables, readiness, tables};

/// How many servers are asked at once.
const SERVERS: usize = 16;
/// What one server said of its databases and of itself, or why it said nothing.
type Said = Result<(Tables, String), String>;
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

/// Asks the servers among `names` (of systems of a world) again who they are: each by one
/// connection.
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
    let (mut known, mut gaps) = (BTreeMap::new(), Vec::new());
    let gap = |place: String, why: String| Gap {
        place,
        why,
        lane: None,
    };
    for (title, side) in sides(policy, passwords) {
        let Some(side) = side else { continue };
        let mut servers: BTreeMap<Place, Vec<String>> = BTreeMap::new();
        for &(name, _, section) in names.iter().filter(|&&(_, of, _)| of == title) {
            match side.place(section, &places) {
                Ok(place) => servers.entry(place).or_default().push(name.to_owned()),
                Err(why) => gaps.push(gap(name.to_owned(), why)),
            }
        }
        let mut asked = stream::iter(by_server(servers, dns.as_ref()).await)
            .map(|(place, addresses, names)| async move {
                let said = match addresses {
                    Ok(addresses) => side.identity(&place, addresses).await,
                    Err(why) => Err(why),
                };
                (names, said)
            })
            .buffer_unordered(SERVERS);
        while let Some((names, said)) = asked.next().await {
            for name in names {
                match said.clone() {
                    Ok(identity) => {
                        known.insert(name, identity);
                    }
                    Err(why) => gaps.push(gap(name, why)),
                }
            }
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

fn told(failure: &Failure) -> String {
    super::gap("", failure).why
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
    async fn identity(self, place: &Place, addresses: Vec<IpAddr>) -> Result<String, String> {
        let identity = self.at(place, addresses).identity().await;
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
