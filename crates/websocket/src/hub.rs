//! The sockets that are open, by the routes that events reach them by.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use tokio::sync::watch;
use tracing::{info, warn};
use tungstenite::protocol::frame::coding::CloseCode;
use uuid::Uuid;

use crate::config::SocketConfig;
use crate::frame;
use crate::gate::Live;
use crate::metrics::Metrics;
use crate::socket::{Offer, Socket};
use crate::streams::StreamId;

/// After how many sockets a pass over all of them lets others work.
const PASS: usize = 64;

/// Why a socket was not taken in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Full {
    Channel,
    Total,
}

/// The open sockets.
pub(crate) struct Hub {
    registry: Mutex<Registry>,
    limits: SocketConfig,
    pub(crate) metrics: Metrics,
    /// Where the reader of the global stream began.
    start: watch::Sender<Option<StreamId>>,
}

#[derive(Default)]
struct Registry {
    sockets: HashMap<Uuid, Arc<Socket>>,
    routes: HashMap<Arc<str>, Vec<Arc<Socket>>>,
    /// The last entry of the global stream that was handed out.
    position: Option<StreamId>,
    /// When the first socket came, in milliseconds since 1970.
    first: Option<u64>,
}

/// Milliseconds since 1970.
pub(crate) fn now() -> u64 {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or_default()
}

impl Hub {
    pub(crate) fn new(limits: SocketConfig, metrics: Metrics) -> Self {
        Self {
            registry: Mutex::default(),
            limits,
            metrics,
            start: watch::Sender::new(None),
        }
    }

    fn registry(&self) -> MutexGuard<'_, Registry> {
        self.registry.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a socket in, unless there are too many. From here on it is offered events; gives the
    /// last entry of the global stream that it is not.
    pub(crate) fn register(&self, socket: &Arc<Socket>) -> Result<Option<StreamId>, Full> {
        let mut registry = self.registry();
        if self.limits.max_total > 0 && registry.sockets.len() >= self.limits.max_total {
            return Err(Full::Total);
        }
        if let Some(channel) = socket.routes.first()
            && self.limits.max_per_channel > 0
            && registry.routes.get(channel).map_or(0, Vec::len) >= self.limits.max_per_channel
        {
            return Err(Full::Channel);
        }
        for route in &socket.routes {
            registry
                .routes
                .entry(Arc::clone(route))
                .or_default()
                .push(Arc::clone(socket));
        }
        registry.sockets.insert(socket.id, Arc::clone(socket));
        registry.first.get_or_insert_with(now);
        self.metrics.open.increment(1);
        Ok(registry.position)
    }

    /// Lets a socket go that ended or is about to.
    pub(crate) fn remove(&self, socket: &Socket) {
        let mut registry = self.registry();
        if registry.sockets.remove(&socket.id).is_none() {
            return;
        }
        self.metrics.open.decrement(1);
        for route in &socket.routes {
            if let Some(members) = registry.routes.get_mut(route) {
                members.retain(|member| member.id != socket.id);
                if members.is_empty() {
                    registry.routes.remove(route);
                }
            }
        }
    }

    /// Hands an entry of the global stream to its channel's sockets and notes that it was. Those
    /// that now have something to write are added to `dirty`.
    pub(crate) fn publish<'a>(
        &self,
        channel: &str,
        id: StreamId,
        encode: impl FnOnce() -> Live<'a>,
        dirty: &mut Vec<Arc<Socket>>,
    ) {
        let mut registry = self.registry();
        registry.position = Some(id);
        if let Some(members) = registry.routes.get(channel) {
            self.offer(members.iter(), &encode(), dirty);
        }
    }

    /// Notes that an entry of the global stream was dealt with.
    pub(crate) fn advance(&self, id: StreamId) {
        self.registry().position = Some(id);
    }

    /// Hands a frame to the sockets of some routes, or to all, to each once.
    pub(crate) fn broadcast(
        &self,
        routes: Option<&[&str]>,
        frame: Bytes,
        dirty: &mut Vec<Arc<Socket>>,
    ) {
        let event = Live {
            frame,
            id: StreamId::default(),
            print: &|| 0,
        };
        let registry = self.registry();
        match routes {
            None => self.offer(registry.sockets.values(), &event, dirty),
            Some([route]) => self.offer(
                registry.routes.get(*route).into_iter().flatten(),
                &event,
                dirty,
            ),
            Some(routes) => {
                let members = routes
                    .iter()
                    .filter_map(|route| registry.routes.get(*route))
                    .flatten();
                let distinct: HashMap<Uuid, &Arc<Socket>> =
                    members.map(|socket| (socket.id, socket)).collect();
                self.offer(distinct.into_values(), &event, dirty);
            }
        }
    }

    fn offer<'a>(
        &self,
        sockets: impl Iterator<Item = &'a Arc<Socket>>,
        event: &Live<'_>,
        dirty: &mut Vec<Arc<Socket>>,
    ) {
        let mut count = 0;
        for socket in sockets {
            match socket.offer(event, self.limits.max_buffer) {
                Offer::Queued => dirty.push(Arc::clone(socket)),
                Offer::Taken => {}
                Offer::Overflow => {
                    self.metrics.backpressure();
                    warn!("client {} is too slow: disconnected", socket.peer);
                    continue;
                }
            }
            count += 1;
        }
        self.metrics.deliveries.increment(count);
    }

    /// Writes what waits at the sockets, letting others work in between.
    pub(crate) async fn flush(&self, dirty: &mut Vec<Arc<Socket>>) {
        for (index, socket) in dirty.drain(..).enumerate() {
            if !socket.flush() {
                self.metrics.send_error();
            }
            if index % PASS == PASS - 1 {
                tokio::task::yield_now().await;
            }
        }
    }

    /// Notes where the reader of the global stream begins, or begins again.
    pub(crate) fn begin(&self, id: StreamId) {
        self.advance(id);
        self.start
            .send_if_modified(|start| start.is_none() && start.replace(id).is_none());
    }

    /// Where the reader of the global stream began, once it has.
    pub(crate) async fn start(&self) -> StreamId {
        let mut start = self.start.subscribe();
        let began = start
            .wait_for(Option::is_some)
            .await
            .ok()
            .and_then(|id| *id);
        match began {
            Some(id) => id,
            // The sender lives as long as the hub.
            None => std::future::pending().await,
        }
    }

    /// When the first socket came, in milliseconds since 1970.
    pub(crate) fn first_arrival(&self) -> Option<u64> {
        self.registry().first
    }

    /// Pings every socket for ever, and lets those go that are silent or whose token ended.
    pub(crate) async fn keep_alive(&self) {
        let mut interval = tokio::time::interval(self.limits.ping_interval);
        interval.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        interval.tick().await;
        loop {
            interval.tick().await;
            let now = SystemTime::now()
                .duration_since(UNIX_EPOCH)
                .unwrap_or_default()
                .as_secs_f64();
            let sockets: Vec<_> = self.registry().sockets.values().cloned().collect();
            for (index, socket) in sockets.into_iter().enumerate() {
                if socket.silence() >= self.limits.response_timeout {
                    info!("client {} answers no pings: disconnected", socket.peer);
                    socket.terminate();
                } else if socket.expires.is_some_and(|end| now >= end) {
                    self.metrics.expired();
                    socket.terminate();
                } else {
                    socket.send(frame::ping(socket.id.hyphenated().to_string().as_bytes()));
                }
                if index % PASS == PASS - 1 {
                    tokio::task::yield_now().await;
                }
            }
        }
    }

    /// Gives the memory of past sockets back from time to time, for ever. Channels without sockets
    /// need no collecting: they go with their last socket.
    pub(crate) async fn collect_garbage(&self) {
        loop {
            tokio::time::sleep(self.limits.gc_interval).await;
            let mut registry = self.registry();
            registry.sockets.shrink_to_fit();
            registry.routes.shrink_to_fit();
        }
    }

    /// Closes every socket with a code.
    pub(crate) fn close_all(&self, code: CloseCode, reason: &str) {
        let sockets: Vec<_> = self.registry().sockets.values().cloned().collect();
        for socket in sockets {
            socket.close(code, reason);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::time::Duration;

    use tokio::net::TcpListener;

    use super::*;
    use crate::config::{Config, Flags};
    use crate::gate::Gate;

    #[tokio::test]
    async fn the_memory_of_past_sockets_is_given_back_at_the_configured_interval() {
        let environment = BTreeMap::from([("GC_CHANNELS_INTERVAL_MS".to_owned(), "20".to_owned())]);
        let config = Config::load(None, &environment, &Flags::default())
            .unwrap()
            .config;
        let hub = Hub::new(config.sockets, Metrics::new(&config.statsd));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut sockets = Vec::new();
        for index in 0..60 {
            let stream = tokio::net::TcpStream::connect(listener.local_addr().unwrap());
            let peer = listener.local_addr().unwrap().ip();
            let routes = vec![index.to_string().into()];
            let socket = Socket::new(stream.await.unwrap(), peer, routes, None, Gate::Open);
            let socket = Arc::new(socket);
            hub.register(&socket).unwrap();
            sockets.push(socket);
        }
        let capacity = || {
            let registry = hub.registry();
            registry.sockets.capacity().max(registry.routes.capacity())
        };
        for socket in sockets.drain(1..) {
            hub.remove(&socket);
        }
        assert_eq!(hub.registry().routes.len(), 1, "channels go at once");
        assert!(capacity() > 30, "their memory is kept for the next ones");
        let shrunk = async {
            while capacity() > 30 {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::select! {
            () = hub.collect_garbage() => {}
            shrunk = tokio::time::timeout(Duration::from_secs(20), shrunk) => shrunk.unwrap(),
        }
        assert_eq!(hub.registry().sockets.len(), 1, "who is there stays");
    }
}
