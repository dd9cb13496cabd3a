//! SQL servers: `MariaDB` and what speaks its protocol.

pub mod checksum;
mod config;
mod connection;
pub mod copy;
mod database;
mod digest;
mod error;
mod grants;
pub mod marker;
pub mod schema;
pub mod snapshot;

use std::net::IpAddr;
use std::sync::Arc;

use mysql_async::{Opts, OptsBuilder, SslOpts};

pub use config::{Config, Endpoint, Secret, Settings, Tls};
pub use connection::Connection;
pub use database::{ForeignKey, Object};
pub use digest::Digest;
pub use error::Error;
pub use grants::{EVERYWHERE, missing};

/// One server and the account there. Clones are the same.
#[derive(Clone, Debug)]
pub struct Server {
    config: Arc<Config>,
    /// Of its host; asked of the system where there is none.
    addresses: Vec<IpAddr>,
}

impl Server {
    /// Contacts nothing.
    pub fn new(config: Config) -> Self {
        Self::at(config, Vec::new())
    }

    /// The same, its host being at these addresses whatever the system's resolver says. The
    /// certificate is checked against the host's name all the same.
    pub fn at(config: Config, addresses: Vec<IpAddr>) -> Self {
        Self {
            config: Arc::new(config),
            addresses,
        }
    }

    /// Account and place, for messages: `ops@db.example.org:3306`.
    pub fn name(&self) -> String {
        format!("{}@{}", self.config.user, self.config.endpoint)
    }

    /// How it is reached.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// A connection of one's own, its character set utf8mb4.
    pub async fn connect(&self) -> Result<Connection, Error> {
        Connection::open(self.clone()).await
    }

    /// What tells this server from all others, however it is reached: its host's name, its
    /// port, its number in replication and the place of its data.
    pub async fn identity(&self) -> Result<String, Error> {
        let mut connection = self.connect().await?;
        let identity = connection.identity().await;
        connection.close().await;
        identity
    }

    fn options(&self) -> Opts {
        let config = &*self.config;
        let options = OptsBuilder::default()
            .user(Some(&config.user))
            .pass(config.password.as_ref().map(Secret::reveal))
            // Else a loopback address is silently left for whatever socket the server names.
            .prefer_socket(false)
            .stmt_cache_size(0)
            // Debian's servers talk latin1 to whoever does not ask. And what is held, a lock above
            // all, lies idle for as long as a copy takes.
            .init(vec!["SET NAMES utf8mb4, SESSION wait_timeout = 86400"]);
        let options = match &config.endpoint {
            Endpoint::Tcp { host, port } => options
                .ip_or_hostname(host)
                .tcp_port(*port)
                .resolved_ips((!self.addresses.is_empty()).then(|| self.addresses.clone())),
            Endpoint::Socket(path) => options.socket(Some(path.to_string_lossy())),
        };
        let ssl = match &config.tls {
            Tls::Off => None,
            Tls::Verified { ca_file: None } => Some(SslOpts::default()),
            Tls::Verified {
                ca_file: Some(path),
            } => Some(
                SslOpts::default()
                    .with_root_certs(vec![path.clone().into()])
                    .with_disable_built_in_roots(true),
            ),
        };
        options.ssl_opts(ssl).into()
    }
}

/// A name as SQL writes it whatever is in it: between backticks, its own doubled. Source:
/// `MariaDB`, "Identifier Names".
pub fn quote_identifier(name: &str) -> String {
    format!("`{}`", name.replace('`', "``"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_cannot_leave_its_quotes() {
        assert_eq!(quote_identifier("azywiki"), "`azywiki`");
        assert_eq!(quote_identifier("a`; DROP b"), "`a``; DROP b`");
    }
}
