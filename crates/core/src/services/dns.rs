//! Where services are, as DNS knows: SRV records, and the addresses of their hosts.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use hickory_resolver::config::{
    ConnectionConfig, NameServerConfig, ResolveHosts, ResolverConfig, ResolverOpts,
};
use hickory_resolver::net::NetError;
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::proto::rr::RData;
use hickory_resolver::{Resolver, TokioResolver};
use tokio::time::timeout;

/// A question to DNS that was not answered.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// This machine's own settings (`/etc/resolv.conf`) cannot be used.
    #[error("the system's settings of DNS")]
    Settings {
        /// Why not.
        source: Box<NetError>,
    },
    /// There is no such record.
    #[error("{kind} {name}: no such record")]
    NoRecord {
        /// "SRV", "A/AAAA".
        kind: &'static str,
        /// The name that was asked for.
        name: String,
    },
    /// The server cannot be reached, or its answer is no answer.
    #[error("{kind} {name}: no answer")]
    Unanswered {
        /// "SRV", "A/AAAA".
        kind: &'static str,
        /// The name that was asked for.
        name: String,
        /// Why.
        source: Box<NetError>,
    },
    /// No answer in time.
    #[error("{kind} {name}: no answer within {seconds} s")]
    Deadline {
        /// "SRV", "A/AAAA".
        kind: &'static str,
        /// The name that was asked for.
        name: String,
        /// How long it was waited for.
        seconds: u64,
    },
}

impl Error {
    /// What to do about it.
    pub fn hint(&self) -> Option<String> {
        Some(
            match self {
                Self::Settings { .. } => "name the server: dns.server = \"ADDRESS:53\"",
                Self::NoRecord { .. } => {
                    "is the domain right, and is it the name server that knows it?"
                }
                Self::Unanswered { .. } | Self::Deadline { .. } => {
                    "is the name server right and up?"
                }
            }
            .to_owned(),
        )
    }
}

/// A host and a port that a service is at.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// The host's name, without a dot at its end.
    pub host: String,
    /// Its port.
    pub port: u16,
}

/// A client of DNS. Clones are the same.
#[derive(Clone)]
pub struct Dns {
    resolver: TokioResolver,
    deadline: Duration,
}

impl Dns {
    /// A client of `server`, or of those that the system has. One answer, all tries
    /// included, may take `deadline`. Contacts nothing.
    pub fn new(server: Option<SocketAddr>, deadline: Duration) -> Result<Self, Error> {
        let settings = |error| Error::Settings {
            source: Box::new(error),
        };
        let provider = TokioRuntimeProvider::default();
        let builder = match server {
            None => Resolver::builder(provider).map_err(settings)?,
            Some(server) => {
                let connections =
                    [ConnectionConfig::udp(), ConnectionConfig::tcp()].map(|mut way| {
                        way.port = server.port();
                        way
                    });
                let server = NameServerConfig::new(server.ip(), true, connections.into());
                let config = ResolverConfig::from_parts(None, Vec::new(), vec![server]);
                Resolver::builder_with_config(config, provider)
            }
        };
        let mut options = ResolverOpts::default();
        options.attempts = 2;
        // So that a datagram that was lost leaves time to ask once more.
        options.timeout = deadline / 3;
        options.use_hosts_file = match server {
            None => ResolveHosts::Auto,
            Some(_) => ResolveHosts::Never,
        };
        Ok(Self {
            resolver: builder.with_options(options).build().map_err(settings)?,
            deadline,
        })
    }

    /// The first place of a service, by priority, then weight: `_s5-analytics._tcp.DOMAIN`.
    /// Source: RFC 2782.
    pub async fn service(&self, name: &str) -> Result<Place, Error> {
        let found = self
            .within("SRV", name, self.resolver.srv_lookup(rooted(name)))
            .await?;
        let mut places: Vec<_> = found
            .answers()
            .iter()
            .filter_map(|record| match &record.data {
                RData::SRV(srv) => Some(srv),
                _ => None,
            })
            .collect();
        places.sort_by_key(|srv| (srv.priority, u16::MAX - srv.weight, srv.target.to_ascii()));
        let place = places.first().ok_or_else(|| absent("SRV", name))?;
        Ok(Place {
            host: place.target.to_ascii().trim_end_matches('.').to_owned(),
            port: place.port,
        })
    }

    /// The addresses of a host; of an address it is that address.
    pub async fn addresses(&self, host: &str) -> Result<Vec<IpAddr>, Error> {
        if let Ok(address) = host.parse() {
            return Ok(vec![address]);
        }
        let found = self
            .within("A/AAAA", host, self.resolver.lookup_ip(rooted(host)))
            .await?;
        let addresses: Vec<IpAddr> = found.iter().collect();
        if addresses.is_empty() {
            return Err(absent("A/AAAA", host));
        }
        Ok(addresses)
    }

    async fn within<T>(
        &self,
        kind: &'static str,
        name: &str,
        asked: impl Future<Output = Result<T, NetError>>,
    ) -> Result<T, Error> {
        match timeout(self.deadline, asked).await {
            Ok(Ok(found)) => Ok(found),
            Ok(Err(error)) if error.is_no_records_found() => Err(absent(kind, name)),
            Ok(Err(error)) => Err(Error::Unanswered {
                kind,
                name: name.to_owned(),
                source: Box::new(error),
            }),
            Err(_) => Err(Error::Deadline {
                kind,
                name: name.to_owned(),
                seconds: self.deadline.as_secs(),
            }),
        }
    }
}

fn absent(kind: &'static str, name: &str) -> Error {
    Error::NoRecord {
        kind,
        name: name.to_owned(),
    }
}

/// With a dot at the end: no domain of this machine's is tried behind it.
fn rooted(name: &str) -> String {
    format!("{}.", name.trim_end_matches('.'))
}
