//! The configuration: the config.json and the environment variables of the Node.js server.

mod error;
mod keys;
mod sources;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::fmt::{self, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

pub use error::ConfigError;
use sources::Settings;
pub use sources::Source;

/// The file that is read when none is named, if it exists.
pub const DEFAULT_FILE: &str = "config.json";
/// The least length of a secret, in UTF-16 units as JavaScript counts them.
const SECRET_LENGTH: usize = 32;

/// Which of Superset's protocols is served.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Redis Streams: Superset 1.2 to 6.
    Streams,
    /// Redis Pub/Sub: Superset 7.
    Realtime,
}

/// How an upgrade is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// By an HTTP status.
    Status,
    /// By closing the connection without a byte, as the Node.js server does.
    Destroy,
}

/// A string that is never shown.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// The secret itself.
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// Whether none is set.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    fn is_short(&self) -> bool {
        self.0.encode_utf16().count() < SECRET_LENGTH
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(********)")
    }
}

/// What the command line overrides.
#[derive(Debug, Clone, Default)]
pub struct Flags {
    /// `--mode`.
    pub mode: Option<String>,
    /// `--refusal`.
    pub refusal: Option<String>,
}

/// The effective configuration.
#[derive(Debug, Clone)]
pub struct Config {
    /// The address to listen on; `::` takes IPv4 as well.
    pub host: String,
    /// The port to listen on; 0 takes a free one.
    pub port: u16,
    /// Which protocol is served.
    pub mode: Mode,
    /// How upgrades are refused.
    pub refusal: Refusal,
    /// How long sockets have to close when the server stops.
    pub shutdown_timeout: Duration,
    /// What is logged where.
    pub log: LogConfig,
    /// How tokens are judged.
    pub jwt: JwtConfig,
    /// Where events are read.
    pub streams: StreamsConfig,
    /// How sockets are kept and bounded.
    pub sockets: SocketConfig,
    /// Where the counters go.
    pub statsd: StatsdConfig,
    /// The Redis server.
    pub redis: RedisConfig,
}

/// What is logged where.
#[derive(Debug, Clone)]
pub struct LogConfig {
    /// A level of the Node.js library winston: error, warn, info, http, verbose, debug or silly.
    pub level: String,
    /// A file that gets every line as well as the standard output.
    pub file: Option<PathBuf>,
}

/// How tokens are judged.
#[derive(Debug, Clone)]
pub struct JwtConfig {
    /// Names of RFC 7518: HS, RS, ES and PS with 256, 384 and 512.
    pub algorithms: Vec<String>,
    /// A shared secret, or a public key as PEM.
    pub secret: Secret,
    /// What `secret` was before it was changed; tokens signed with it are still taken.
    pub previous_secret: Secret,
    /// The cookie that holds the token.
    pub cookie: String,
    /// The claim that names the channel (streams only).
    pub channel_claim: String,
}

/// Where events are read (streams only).
#[derive(Debug, Clone)]
pub struct StreamsConfig {
    /// The prefix of the streams' keys.
    pub prefix: String,
    /// The most entries of one read.
    pub count: u64,
    /// How long a read waits; zero is for ever.
    pub block: Duration,
}

/// How sockets are kept and bounded.
#[derive(Debug, Clone)]
pub struct SocketConfig {
    /// How long a socket may owe a pong.
    pub response_timeout: Duration,
    /// How often sockets are pinged.
    pub ping_interval: Duration,
    /// How often memory of closed channels is given back.
    pub gc_interval: Duration,
    /// The values an `Origin` may have; empty or `*` is any.
    pub allowed_origins: Vec<String>,
    /// Sockets of one channel; 0 is any number.
    pub max_per_channel: usize,
    /// Sockets in all; 0 is any number.
    pub max_total: usize,
    /// Bytes that may wait for a slow client; 0 is any number.
    pub max_buffer: usize,
}

/// Where the counters go.
#[derive(Debug, Clone)]
pub struct StatsdConfig {
    /// The daemon's host.
    pub host: String,
    /// The daemon's UDP port.
    pub port: u16,
    /// Tags of every metric, and labels of /metrics.
    pub tags: Vec<String>,
    /// What a metric's name begins with.
    pub prefix: String,
    /// What a metric's name ends with.
    pub suffix: String,
    /// Send nothing.
    pub mock: bool,
}

/// The Redis server.
#[derive(Debug, Clone)]
pub struct RedisConfig {
    /// Its host.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// A Unix socket instead of host and port.
    pub path: Option<PathBuf>,
    /// The database.
    pub db: u64,
    /// The ACL user; sent only together with a password.
    pub username: String,
    /// The password; empty is no AUTH at all.
    pub password: Secret,
    /// TLS, if it is spoken.
    pub tls: TlsConfig,
    /// Whether the server speaks TLS.
    pub ssl: bool,
    /// Sentinels that know the server's address, as `host:port`; empty is none.
    pub sentinels: Vec<String>,
    /// The sentinels' name of the server.
    pub sentinel_name: String,
    /// The ACL user at the sentinels.
    pub sentinel_username: String,
    /// The password at the sentinels; empty is no AUTH.
    pub sentinel_password: Secret,
    /// Whether the sentinels speak TLS.
    pub sentinel_ssl: bool,
}

/// How a TLS peer is judged and what it is shown.
#[derive(Debug, Clone)]
pub struct TlsConfig {
    /// Whether the certificate must be for the host's name.
    pub validate_hostname: bool,
    /// Whether the certificate is judged at all (`NODE_TLS_REJECT_UNAUTHORIZED=0` is not).
    pub verify: bool,
    /// PEM file of the authorities to trust instead of Mozilla's.
    pub ca_file: Option<PathBuf>,
    /// PEM file of authorities to trust as well.
    pub extra_ca_file: Option<PathBuf>,
    /// PEM file of the client's certificate chain.
    pub cert_file: Option<PathBuf>,
    /// PEM file of the client's key.
    pub key_file: Option<PathBuf>,
}

/// A configuration with what is to be told about it.
#[derive(Debug)]
pub struct Loaded {
    /// The configuration.
    pub config: Config,
    /// What was ignored or replaced, a line each.
    pub warnings: Vec<String>,
    /// Every key with its value (secrets masked) and its source, a line each.
    pub rendered: String,
}

impl Config {
    /// Reads the configuration.
    ///
    /// `file` is a file that was named; without one, [`DEFAULT_FILE`] in the working directory is
    /// read if it exists. `environment` holds variables by name. Later sources win: defaults,
    /// file, environment, flags.
    pub fn load(
        file: Option<&Path>,
        environment: &BTreeMap<String, String>,
        flags: &Flags,
    ) -> Result<Loaded, ConfigError> {
        let path = file.unwrap_or(Path::new(DEFAULT_FILE));
        let root = match std::fs::read(path) {
            Ok(bytes) => {
                Some(
                    serde_json::from_slice(&bytes).map_err(|source| ConfigError::Syntax {
                        file: path.to_owned(),
                        source,
                    })?,
                )
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotFound && file.is_none() => None,
            Err(source) => {
                return Err(ConfigError::Read {
                    file: path.to_owned(),
                    source,
                });
            }
        };
        let mut settings =
            Settings::merge(root.as_ref().map(|root| (path, root)), environment, flags)?;
        let mode = choose(
            &settings,
            "mode",
            "streams or realtime",
            &[("streams", Mode::Streams), ("realtime", Mode::Realtime)],
        )?;
        if mode == Mode::Realtime {
            settings.set_default("jwtCookieName", "superset-ws-token");
        }
        let mut config = Config::from_settings(&settings, mode)?;
        if environment
            .get("NODE_TLS_REJECT_UNAUTHORIZED")
            .is_some_and(|value| value == "0")
        {
            config.redis.tls.verify = false;
            settings.warnings.push(
                "NODE_TLS_REJECT_UNAUTHORIZED=0: Redis's certificate is not checked".to_owned(),
            );
        }
        let mut rendered = settings.render();
        for (variable, tag) in datadog_tags(environment) {
            // Writing to a String cannot fail.
            let _ = writeln!(
                rendered,
                "statsd.globalTags += {tag:?}  # environment {variable}"
            );
            config.statsd.tags.push(tag);
        }
        Ok(Loaded {
            config,
            warnings: settings.warnings,
            rendered,
        })
    }

    fn from_settings(settings: &Settings, mode: Mode) -> Result<Self, ConfigError> {
        let millis = |path| Duration::from_millis(settings.number(path));
        let count = |path| usize::try_from(settings.number(path)).unwrap_or(usize::MAX);
        let port = |path| u16::try_from(settings.number(path)).unwrap_or_default();
        let secret = |path| Secret(settings.text(path));
        let file = |path| {
            Some(settings.text(path))
                .filter(|name| !name.is_empty())
                .map(PathBuf::from)
        };
        let config = Config {
            host: settings.text("host"),
            port: port("port"),
            mode,
            refusal: choose(
                settings,
                "refusal",
                "status or destroy",
                &[("status", Refusal::Status), ("destroy", Refusal::Destroy)],
            )?,
            shutdown_timeout: millis("shutdownTimeoutMs"),
            log: LogConfig {
                level: settings.text("logLevel"),
                file: settings
                    .bool("logToFile")
                    .then(|| PathBuf::from(settings.text("logFilename"))),
            },
            jwt: JwtConfig {
                algorithms: settings.list("jwtAlgorithms"),
                secret: secret("jwtSecret"),
                previous_secret: secret("previousJwtSecret"),
                cookie: settings.text("jwtCookieName"),
                channel_claim: settings.text("jwtChannelIdKey"),
            },
            streams: StreamsConfig {
                prefix: settings.text("redisStreamPrefix"),
                count: settings.number("redisStreamReadCount"),
                block: millis("redisStreamReadBlockMs"),
            },
            sockets: SocketConfig {
                response_timeout: millis("socketResponseTimeoutMs"),
                ping_interval: millis("pingSocketsIntervalMs"),
                gc_interval: millis("gcChannelsIntervalMs"),
                allowed_origins: settings.list("allowedOrigins"),
                max_per_channel: count("maxConnectionsPerChannel"),
                max_total: count("maxTotalConnections"),
                max_buffer: count("maxSocketBufferBytes"),
            },
            statsd: StatsdConfig {
                host: settings.text("statsd.host"),
                port: port("statsd.port"),
                tags: settings.list("statsd.globalTags"),
                prefix: settings.text("statsd.prefix"),
                suffix: settings.text("statsd.suffix"),
                mock: settings.bool("statsd.mock"),
            },
            redis: RedisConfig {
                host: settings.text("redis.host"),
                port: port("redis.port"),
                path: file("redis.path"),
                db: settings.number("redis.db"),
                username: settings.text("redis.username"),
                password: secret("redis.password"),
                tls: TlsConfig {
                    validate_hostname: settings.bool("redis.validateHostname"),
                    verify: true,
                    ca_file: file("redis.caFile"),
                    extra_ca_file: file("redis.extraCaFile"),
                    cert_file: file("redis.certFile"),
                    key_file: file("redis.keyFile"),
                },
                ssl: settings.bool("redis.ssl"),
                sentinels: settings.list("redis.sentinels"),
                sentinel_name: settings.text("redis.sentinelName"),
                sentinel_username: settings.text("redis.sentinelUsername"),
                sentinel_password: secret("redis.sentinelPassword"),
                sentinel_ssl: settings.bool("redis.sentinelSsl"),
            },
        };
        if config.redis.path.is_some() && (config.redis.ssl || !config.redis.sentinels.is_empty()) {
            return Err(ConfigError::Conflict(
                "redis.path excludes redis.ssl and redis.sentinels",
            ));
        }
        if config.redis.tls.cert_file.is_some() != config.redis.tls.key_file.is_some() {
            return Err(ConfigError::Conflict(
                "redis.certFile and redis.keyFile need each other",
            ));
        }
        Ok(config)
    }

    /// Whether the secrets are long enough.
    pub(crate) fn check(&self) -> Result<(), ConfigError> {
        if self.jwt.secret.is_short() {
            return Err(ConfigError::ShortSecret);
        }
        if !self.jwt.previous_secret.is_empty() && self.jwt.previous_secret.is_short() {
            return Err(ConfigError::ShortPreviousSecret);
        }
        Ok(())
    }

    /// Whether the secret is still the one of the example file.
    pub fn has_example_secret(&self) -> bool {
        self.jwt.secret.expose().starts_with("CHANGE-ME")
    }
}

/// The variables from which the Node.js library hot-shots takes tags, each with its tag.
fn datadog_tags(environment: &BTreeMap<String, String>) -> Vec<(&'static str, String)> {
    [
        ("DD_ENTITY_ID", "dd.internal.entity_id"),
        ("DD_ENV", "env"),
        ("DD_SERVICE", "service"),
        ("DD_VERSION", "version"),
    ]
    .into_iter()
    .filter_map(|(variable, tag)| {
        let value = environment.get(variable)?;
        (!value.is_empty()).then(|| (variable, format!("{tag}:{value}")))
    })
    .collect()
}

fn choose<T: Copy>(
    settings: &Settings,
    key: &'static str,
    choices: &'static str,
    options: &[(&str, T)],
) -> Result<T, ConfigError> {
    let value = settings.text(key);
    match options.iter().find(|(name, _)| *name == value) {
        Some((_, option)) => Ok(*option),
        None => Err(ConfigError::Choice {
            key,
            value,
            choices,
        }),
    }
}
