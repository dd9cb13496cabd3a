//! The counters: by statsd as the Node.js server counts, and for Prometheus under the same names.

use std::convert::Infallible;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use cadence::prelude::*;
use cadence::{StatsdClient, UdpMetricSink};
use metrics::{Counter, Gauge, Key, Label, Metadata, Recorder};
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle, PrometheusRecorder};
use tokio::net::lookup_host;
use tracing::error;

use crate::config::StatsdConfig;

/// How long to wait after the first failure to find statsd, and at most.
const RETRY: (Duration, Duration) = (Duration::from_secs(1), Duration::from_mins(1));

/// A counter that goes to statsd too.
struct Both {
    name: String,
    counter: Counter,
    /// What was counted before statsd was found.
    unsent: AtomicI64,
}

/// What the server counts.
pub(crate) struct Metrics {
    statsd: OnceLock<StatsdClient>,
    prometheus: PrometheusHandle,
    connected: Both,
    send_error: Both,
    rejected: Both,
    upgrade_rejected: Both,
    backpressure: Both,
    expired: Both,
    /// Sockets that are open now.
    pub(crate) open: Gauge,
    /// 1 while Redis answers.
    pub(crate) redis_up: Gauge,
    /// Events read from Redis.
    pub(crate) events: Counter,
    /// Events handed to sockets, once a socket.
    pub(crate) deliveries: Counter,
    /// Times the connection to Redis was lost or gave an error.
    pub(crate) redis_errors: Counter,
    /// Events sent again after a reconnect.
    pub(crate) caught_up: Counter,
}

impl Metrics {
    /// Sets the counters up; [`Metrics::reach_statsd`] does the rest.
    pub(crate) fn new(config: &StatsdConfig) -> Self {
        let recorder = PrometheusBuilder::new().build_recorder();
        let labels = labels(&config.tags);
        let make = Registrar {
            recorder: &recorder,
            labels,
        };
        let both = |name: &'static str, help: &'static str| Both {
            name: format!("{}{name}{}", config.prefix, config.suffix),
            counter: make.counter(name, help),
            unsent: AtomicI64::new(0),
        };
        Self {
            statsd: OnceLock::new(),
            connected: both("ws_connected_client", "Connections accepted."),
            send_error: both("ws_client_send_error", "Sends that failed."),
            rejected: both("ws_connection_rejected", "Connections closed over a limit."),
            upgrade_rejected: both("ws_upgrade_rejected", "Upgrades refused."),
            backpressure: both(
                "ws_client_backpressure_disconnect",
                "Slow clients disconnected.",
            ),
            expired: both(
                "ws_token_expired_disconnect",
                "Clients disconnected when their token expired.",
            ),
            open: make.gauge("ws_open_sockets", "Sockets open now."),
            redis_up: make.gauge("ws_redis_up", "1 while Redis answers."),
            events: make.counter("ws_events_read", "Events read from Redis."),
            deliveries: make.counter("ws_deliveries", "Events handed to sockets."),
            redis_errors: make.counter("ws_redis_errors", "Failures of the connection to Redis."),
            caught_up: make.counter(
                "ws_caught_up_events",
                "Events sent again after a reconnect.",
            ),
            prometheus: recorder.handle(),
        }
    }

    /// The text of GET /metrics.
    pub(crate) fn render(&self) -> String {
        self.prometheus.render()
    }

    /// Finds the statsd daemon, however long it takes, and sends it what was counted so far. Never
    /// ends.
    pub(crate) async fn reach_statsd(&self, config: &StatsdConfig) -> Infallible {
        if config.mock {
            return std::future::pending().await;
        }
        let (mut pause, longest) = RETRY;
        loop {
            match statsd(config).await {
                Ok(statsd) => {
                    let statsd = self.statsd.get_or_init(|| statsd);
                    for both in [
                        &self.connected,
                        &self.send_error,
                        &self.rejected,
                        &self.upgrade_rejected,
                        &self.backpressure,
                        &self.expired,
                    ] {
                        let count = both.unsent.swap(0, Ordering::Relaxed);
                        if count > 0 {
                            send(statsd, both, count);
                        }
                    }
                    break;
                }
                Err(error) => error!(
                    "statsd at {}:{} can't be used: {error}",
                    config.host, config.port
                ),
            }
            tokio::time::sleep(pause).await;
            pause = longest.min(pause * 2);
        }
        std::future::pending().await
    }

    fn count(&self, both: &Both) {
        both.counter.increment(1);
        match self.statsd.get() {
            Some(statsd) => send(statsd, both, 1),
            None => {
                both.unsent.fetch_add(1, Ordering::Relaxed);
            }
        }
    }

    pub(crate) fn connected(&self) {
        self.count(&self.connected);
    }

    pub(crate) fn send_error(&self) {
        self.count(&self.send_error);
    }

    pub(crate) fn rejected(&self) {
        self.count(&self.rejected);
    }

    pub(crate) fn upgrade_rejected(&self) {
        self.count(&self.upgrade_rejected);
    }

    pub(crate) fn backpressure(&self) {
        self.count(&self.backpressure);
    }

    pub(crate) fn expired(&self) {
        self.count(&self.expired);
    }
}

/// The labels that tags become. Prometheus allows letters, digits and underscores in a name, keeps
/// names that begin with two of these for itself, and takes none twice (its data model); the first
/// tag of a name wins.
fn labels(tags: &[String]) -> Vec<Label> {
    let mut labels: Vec<Label> = Vec::new();
    for tag in tags {
        let (name, value) = tag.split_once(':').unwrap_or((tag, "true"));
        let allowed = |letter: char| letter.is_ascii_alphanumeric() || letter == '_';
        let mut name = name.replace(|letter| !allowed(letter), "_");
        if name.starts_with(|first: char| first.is_ascii_digit()) {
            name.replace_range(..1, "_");
        }
        if !name.is_empty()
            && !name.starts_with("__")
            && labels.iter().all(|label| label.key() != name)
        {
            labels.push(Label::new(name, value.to_owned()));
        }
    }
    labels
}

/// Registers metrics with the labels that all of them have.
struct Registrar<'a> {
    recorder: &'a PrometheusRecorder,
    labels: Vec<Label>,
}

impl Registrar<'_> {
    fn counter(&self, name: &'static str, help: &'static str) -> Counter {
        self.recorder
            .describe_counter(name.into(), None, help.into());
        self.recorder
            .register_counter(&Key::from_parts(name, self.labels.clone()), &METADATA)
    }

    fn gauge(&self, name: &'static str, help: &'static str) -> Gauge {
        self.recorder.describe_gauge(name.into(), None, help.into());
        self.recorder
            .register_gauge(&Key::from_parts(name, self.labels.clone()), &METADATA)
    }
}

static METADATA: Metadata<'_> = Metadata::new(module_path!(), metrics::Level::INFO, None);

fn send(statsd: &StatsdClient, both: &Both, count: i64) {
    if let Err(error) = statsd.count(&both.name, count) {
        error!("statsd: {error}");
    }
}

async fn statsd(config: &StatsdConfig) -> std::io::Result<StatsdClient> {
    let mut addresses: Vec<_> = lookup_host((config.host.as_str(), config.port))
        .await?
        .collect();
    // hot-shots sends by IPv4, where `localhost` is often IPv6 first.
    addresses.sort_by_key(SocketAddr::is_ipv6);
    let address = *addresses
        .first()
        .ok_or_else(|| std::io::Error::other("the name has no address"))?;
    let socket = if address.is_ipv4() {
        UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0))?
    } else {
        UdpSocket::bind((Ipv6Addr::UNSPECIFIED, 0))?
    };
    // A full send buffer drops a metric rather than hold up every client.
    socket.set_nonblocking(true)?;
    let sink = UdpMetricSink::from(address, socket).map_err(std::io::Error::other)?;
    let mut builder =
        StatsdClient::builder("", sink).with_error_handler(|error| error!("statsd: {error}"));
    for tag in &config.tags {
        builder = builder.with_tag_value(tag);
    }
    Ok(builder.build())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_become_labels_that_prometheus_takes() {
        let tags = [
            "a-b:1",
            "a_b:2",
            "__name__:x",
            ":y",
            "",
            "plain",
            "env:a:b",
            "9x:1",
        ];
        let found: Vec<_> = labels(&tags.map(str::to_owned))
            .iter()
            .map(|label| format!("{}={}", label.key(), label.value()))
            .collect();
        assert_eq!(found, ["a_b=1", "plain=true", "env=a:b", "_x=1"]);
    }
}
