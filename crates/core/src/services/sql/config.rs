//! How a server is reached, and as whom.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use serde::Deserialize;

/// A word that no message, log or journal may show.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Keeps the word.
    pub fn new(word: impl Into<String>) -> Self {
        Self(word.into())
    }

    /// The word itself, for the system that asks for it and nothing else.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret")
    }
}

/// Where a server listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Endpoint {
    /// Over the network.
    Tcp {
        /// A name, which a certificate is checked against, or an address.
        host: String,
        /// Usually 3306.
        port: u16,
    },
    /// On this machine.
    Socket(PathBuf),
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp { host, port } => write!(f, "{host}:{port}"),
            Self::Socket(path) => path.display().fmt(f),
        }
    }
}

/// How what is sent is kept from others' eyes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Tls {
    /// Not at all.
    Off,
    /// By TLS; the certificate must be good for the host's name.
    Verified {
        /// The authorities that may have signed it, PEM; Mozilla's when `None`.
        ca_file: Option<PathBuf>,
    },
}

/// How a server is reached, and as whom.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// Where it listens.
    pub endpoint: Endpoint,
    /// The account.
    pub user: String,
    /// Its password; `None` for an account that the socket tells (`unix_socket`).
    pub password: Option<Secret>,
    /// How what is sent is protected.
    pub tls: Tls,
    /// How long connecting, and one statement, may take.
    pub deadline: Duration,
}

/// The same as written in a configuration file, the password not yet read. Paths are
/// absolute.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// The host.
    pub host: Option<String>,
    /// Its port: 3306.
    pub port: Option<u16>,
    /// The server's socket, instead of a host.
    pub socket: Option<PathBuf>,
    /// The account.
    pub user: Option<String>,
    /// The file whose first line is the password.
    pub password_file: Option<PathBuf>,
    /// The environment variable that is the password.
    pub password_env: Option<String>,
    /// Whether TLS is used: yes over the network, no on a socket.
    pub tls: Option<bool>,
    /// The authorities that may have signed the server's certificate, PEM.
    pub ca_file: Option<PathBuf>,
    /// How long connecting, and one statement, may take: `30s`.
    pub deadline: Option<jiff::SignedDuration>,
}

/// The port that a server has unless told otherwise.
const PORT: u16 = 3306;
/// The deadline unless told otherwise.
const DEADLINE: Duration = Duration::from_secs(30);

impl Settings {
    /// With the password that was found. Fails with what is wrong, to be said after the
    /// section's name.
    pub fn with_password(&self, password: Option<Secret>) -> Result<Config, &'static str> {
        let endpoint = match (&self.host, &self.socket) {
            (Some(host), None) => Endpoint::Tcp {
                host: host.clone(),
                port: self.port.unwrap_or(PORT),
            },
            (None, Some(socket)) => Endpoint::Socket(socket.clone()),
            _ => return Err("either host or socket must be set"),
        };
        let tls = match (&endpoint, self.tls, &self.ca_file) {
            (Endpoint::Socket(_), Some(true), _) => return Err("a socket needs no tls"),
            (Endpoint::Socket(_), _, Some(_)) => return Err("a socket needs no ca_file"),
            (Endpoint::Tcp { .. }, Some(false), Some(_)) => {
                return Err("ca_file is set, and tls is false");
            }
            (Endpoint::Socket(_), _, _) | (_, Some(false), _) => Tls::Off,
            (Endpoint::Tcp { .. }, _, ca_file) => Tls::Verified {
                ca_file: ca_file.clone(),
            },
        };
        let deadline = match self.deadline {
            None => DEADLINE,
            Some(deadline) => Duration::try_from(deadline)
                .ok()
                .filter(|deadline| !deadline.is_zero())
                .ok_or("deadline must be above zero")?,
        };
        Ok(Config {
            endpoint,
            user: self.user.clone().ok_or("user is missing")?,
            password,
            tls,
            deadline,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(text: &str) -> Result<Config, &'static str> {
        let settings: Settings = toml::from_str(text).unwrap();
        settings.with_password(Some(Secret::new("hunter2")))
    }

    #[test]
    fn the_network_is_encrypted_unless_said_otherwise() {
        let tls = |text: &str| config(&format!("user = \"ops\"\n{text}")).map(|config| config.tls);
        let mozilla = Tls::Verified { ca_file: None };
        assert_eq!(tls("host = \"db.example.org\""), Ok(mozilla));
        assert_eq!(tls("host = \"db.example.org\"\ntls = false"), Ok(Tls::Off));
        assert_eq!(tls("socket = \"/run/db.sock\""), Ok(Tls::Off));
        assert!(tls("host = \"db\"\ntls = false\nca_file = \"/ca.pem\"").is_err());
        assert!(tls("socket = \"/run/db.sock\"\ntls = true").is_err());
    }

    #[test]
    fn one_place_and_a_user_are_needed() {
        assert!(config("user = \"ops\"").is_err());
        assert!(config("user = \"ops\"\nhost = \"db\"\nsocket = \"/run/db.sock\"").is_err());
        assert_eq!(config("host = \"db\""), Err("user is missing"));
        let zero = config("user = \"ops\"\nhost = \"db\"\ndeadline = \"0s\"");
        assert_eq!(zero, Err("deadline must be above zero"));
    }

    #[test]
    fn a_secret_is_not_shown() {
        let config = config("user = \"ops\"\nhost = \"db\"").unwrap();
        assert!(!format!("{config:?}").contains("hunter2"));
    }
}
