//! Every key of the configuration: its default, its environment variable, what it takes.

use serde_json::{Value, json};

/// What a key takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// A whole number from 0; in the environment whatever JavaScript's `Number()` reads.
    Number,
    /// The same above 0: an interval of 0 would keep a core busy.
    Interval,
    /// A TCP port.
    Port,
    Text,
    /// Text that is never shown.
    Secret,
    Bool,
    /// A list of strings; in the environment separated by commas.
    List,
}

/// One key.
#[derive(Debug, Clone, Copy)]
pub(super) struct Key {
    /// Its place in config.json, objects and members joined by dots.
    pub(super) path: &'static str,
    pub(super) env: Option<&'static str>,
    pub(super) kind: Kind,
    default: Default,
}

#[derive(Debug, Clone, Copy)]
enum Default {
    Number(u64),
    Text(&'static str),
    Bool(bool),
    List(&'static [&'static str]),
}

impl Key {
    pub(super) fn default(&self) -> Value {
        match self.default {
            Default::Number(value) => json!(value),
            Default::Text(value) => json!(value),
            Default::Bool(value) => json!(value),
            Default::List(value) => json!(value),
        }
    }
}

const fn key(path: &'static str, env: Option<&'static str>, kind: Kind, default: Default) -> Key {
    Key {
        path,
        env,
        kind,
        default,
    }
}

/// The keys of the Node.js server, then those it hasn't (from `host` on).
pub(super) const KEYS: &[Key] = &[
    key("port", Some("PORT"), Kind::Port, Default::Number(8080)),
    key(
        "logLevel",
        Some("LOG_LEVEL"),
        Kind::Text,
        Default::Text("info"),
    ),
    key(
        "logToFile",
        Some("LOG_TO_FILE"),
        Kind::Bool,
        Default::Bool(false),
    ),
    key(
        "logFilename",
        Some("LOG_FILENAME"),
        Kind::Text,
        Default::Text("app.log"),
    ),
    key(
        "redisStreamPrefix",
        Some("REDIS_STREAM_PREFIX"),
        Kind::Text,
        Default::Text("async-events-"),
    ),
    key(
        "redisStreamReadCount",
        Some("REDIS_STREAM_READ_COUNT"),
        Kind::Number,
        Default::Number(100),
    ),
    key(
        "redisStreamReadBlockMs",
        Some("REDIS_STREAM_READ_BLOCK_MS"),
        Kind::Number,
        Default::Number(5000),
    ),
    key("jwtAlgorithms", None, Kind::List, Default::List(&["HS256"])),
    key(
        "jwtSecret",
        Some("JWT_SECRET"),
        Kind::Secret,
        Default::Text(""),
    ),
    key(
        "previousJwtSecret",
        Some("PREVIOUS_JWT_SECRET"),
        Kind::Secret,
        Default::Text(""),
    ),
    key(
        "jwtCookieName",
        Some("JWT_COOKIE_NAME"),
        Kind::Text,
        Default::Text("async-token"),
    ),
    key(
        "jwtChannelIdKey",
        None,
        Kind::Text,
        Default::Text("channel"),
    ),
    key(
        "socketResponseTimeoutMs",
        Some("SOCKET_RESPONSE_TIMEOUT_MS"),
        Kind::Number,
        Default::Number(60_000),
    ),
    key(
        "pingSocketsIntervalMs",
        Some("PING_SOCKETS_INTERVAL_MS"),
        Kind::Interval,
        Default::Number(20_000),
    ),
    key(
        "gcChannelsIntervalMs",
        Some("GC_CHANNELS_INTERVAL_MS"),
        Kind::Interval,
        Default::Number(120_000),
    ),
    key(
        "statsd.host",
        Some("STATSD_HOST"),
        Kind::Text,
        Default::Text("127.0.0.1"),
    ),
    key(
        "statsd.port",
        Some("STATSD_PORT"),
        Kind::Port,
        Default::Number(8125),
    ),
    key(
        "statsd.globalTags",
        Some("STATSD_GLOBAL_TAGS"),
        Kind::List,
        Default::List(&[]),
    ),
    key("statsd.prefix", None, Kind::Text, Default::Text("")),
    key("statsd.suffix", None, Kind::Text, Default::Text("")),
    key("statsd.mock", None, Kind::Bool, Default::Bool(false)),
    key(
        "redis.host",
        Some("REDIS_HOST"),
        Kind::Text,
        Default::Text("127.0.0.1"),
    ),
    key(
        "redis.port",
        Some("REDIS_PORT"),
        Kind::Port,
        Default::Number(6379),
    ),
    key(
        "redis.db",
        Some("REDIS_DB"),
        Kind::Number,
        Default::Number(0),
    ),
    key(
        "redis.username",
        Some("REDIS_USERNAME"),
        Kind::Text,
        Default::Text("default"),
    ),
    key(
        "redis.password",
        Some("REDIS_PASSWORD"),
        Kind::Secret,
        Default::Text(""),
    ),
    key(
        "redis.ssl",
        Some("REDIS_SSL"),
        Kind::Bool,
        Default::Bool(false),
    ),
    key(
        "redis.validateHostname",
        None,
        Kind::Bool,
        Default::Bool(true),
    ),
    key(
        "allowedOrigins",
        Some("ALLOWED_ORIGINS"),
        Kind::List,
        Default::List(&[]),
    ),
    key(
        "maxConnectionsPerChannel",
        Some("MAX_CONNECTIONS_PER_CHANNEL"),
        Kind::Number,
        Default::Number(0),
    ),
    key(
        "maxTotalConnections",
        Some("MAX_TOTAL_CONNECTIONS"),
        Kind::Number,
        Default::Number(0),
    ),
    key(
        "maxSocketBufferBytes",
        Some("MAX_SOCKET_BUFFER_BYTES"),
        Kind::Number,
        Default::Number(0),
    ),
    key(
        "eventYieldBatchSize",
        Some("EVENT_YIELD_BATCH_SIZE"),
        Kind::Number,
        Default::Number(100),
    ),
    key("host", None, Kind::Text, Default::Text("::")),
    key("mode", Some("MODE"), Kind::Text, Default::Text("streams")),
    key("refusal", None, Kind::Text, Default::Text("status")),
    key(
        "shutdownTimeoutMs",
        None,
        Kind::Number,
        Default::Number(5000),
    ),
    key(
        "redis.path",
        Some("REDIS_PATH"),
        Kind::Text,
        Default::Text(""),
    ),
    key(
        "redis.caFile",
        Some("REDIS_CA_FILE"),
        Kind::Text,
        Default::Text(""),
    ),
    key(
        "redis.certFile",
        Some("REDIS_CERT_FILE"),
        Kind::Text,
        Default::Text(""),
    ),
    key(
        "redis.keyFile",
        Some("REDIS_KEY_FILE"),
        Kind::Text,
        Default::Text(""),
    ),
    key(
        "redis.extraCaFile",
        Some("NODE_EXTRA_CA_CERTS"),
        Kind::Text,
        Default::Text(""),
    ),
    key(
        "redis.sentinels",
        Some("REDIS_SENTINELS"),
        Kind::List,
        Default::List(&[]),
    ),
    key(
        "redis.sentinelName",
        Some("REDIS_SENTINEL_NAME"),
        Kind::Text,
        Default::Text("mymaster"),
    ),
    key(
        "redis.sentinelUsername",
        Some("REDIS_SENTINEL_USERNAME"),
        Kind::Text,
        Default::Text(""),
    ),
    key(
        "redis.sentinelPassword",
        Some("REDIS_SENTINEL_PASSWORD"),
        Kind::Secret,
        Default::Text(""),
    ),
    key(
        "redis.sentinelSsl",
        Some("REDIS_SENTINEL_SSL"),
        Kind::Bool,
        Default::Bool(false),
    ),
];
