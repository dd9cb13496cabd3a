//! Events by Redis Streams (Superset 1.2 to 6): one reader of the global stream for all sockets.

mod catch_up;
mod id;

use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use ::redis::{Cmd, Value as Reply, cmd};
pub(crate) use catch_up::CatchUp;
pub(crate) use id::StreamId;
use tokio::sync::Semaphore;
use tracing::{debug, error, info};

use crate::config::StreamsConfig;
use crate::frame;
use crate::gate::Live;
use crate::hub::Hub;
use crate::js::{self, Value};
use crate::redis::{Commands, Connection, Link, LinkError, backoff};
use crate::server::Health;
use crate::socket::Socket;

/// The longest time one read waits when it may wait for ever, so that a dead connection shows.
const LONGEST_BLOCK: Duration = Duration::from_secs(30);
/// How much longer than a read waits Redis may take to say that there is nothing.
const BLOCK_GRACE: Duration = Duration::from_secs(10);

/// How many pages of catch-ups are worked on at a time.
const PAGES: usize = 32;

/// An entry of a stream.
pub(crate) struct Entry {
    pub(crate) id: StreamId,
    /// The value of its first field, whatever the field's name.
    pub(crate) data: Vec<u8>,
}

/// Where events are read and what they are turned into.
pub(crate) struct Streams {
    config: StreamsConfig,
    pub(crate) commands: Commands,
    link: Arc<Link>,
    prints: RandomState,
    /// Bounds the memory that pages of catch-ups take.
    pages: Semaphore,
}

impl Streams {
    pub(crate) fn new(config: StreamsConfig, link: Arc<Link>) -> Self {
        Self { config, commands: Commands::new(Arc::clone(&link)), link, prints: RandomState::new(), pages: Semaphore::new(PAGES) }
    }

    fn key(&self, channel: &str) -> String {
        format!("{}{channel}", self.config.prefix)
    }

    fn print(&self, data: &[u8]) -> u64 {
        self.prints.hash_one(data)
    }

    /// Reads the global stream for ever and hands its events out.
    pub(crate) async fn read(&self, hub: &Hub, health: &Health) {
        let mut failures = 0;
        let mut cursor = None;
        loop {
            let Err(error) = self.read_connection(hub, health, &mut cursor, &mut failures).await;
            health.set(false);
            hub.metrics.redis_up.set(0.0);
            hub.metrics.redis_errors.increment(1);
            failures += 1;
            error!("Redis connection error: {}", error.chain());
            tokio::time::sleep(backoff(failures)).await;
        }
    }

    async fn read_connection(
        &self,
        hub: &Hub,
        health: &Health,
        cursor: &mut Option<StreamId>,
        failures: &mut u32,
    ) -> Result<std::convert::Infallible, LinkError> {
        let mut connection = self.link.connect().await?;
        let mut position = self.position(&mut connection, hub, *cursor).await?;
        hub.begin(position);
        *cursor = Some(position);
        let mut dirty = Vec::new();
        let mut announced = false;
        let block = if self.config.block.is_zero() { LONGEST_BLOCK } else { self.config.block };
        loop {
            if !announced {
                // Before the first read, which may wait long: the stream answered already.
                announced = true;
                info!("reading events from Redis at {} after {position}", connection.address());
                health.set(true);
                hub.metrics.redis_up.set(1.0);
            }
            let reply = connection.query(&self.read_command(position, block), block + BLOCK_GRACE).await?;
            *failures = 0;
            for entry in entries_of_read(reply) {
                position = entry.id;
                *cursor = Some(position);
                self.hand_out(&entry, hub, &mut dirty);
            }
            hub.flush(&mut dirty).await;
        }
    }

    fn read_command(&self, after: StreamId, block: Duration) -> Cmd {
        let mut command = cmd("XREAD");
        command
            .arg("COUNT")
            .arg(self.config.count)
            .arg("BLOCK")
            .arg(u64::try_from(block.as_millis()).unwrap_or(u64::MAX))
            .arg("STREAMS")
            .arg(self.key("full"))
            .arg(after.to_string());
        command
    }

    /// Where to read on. At first that is the stream's end, or the time of the first socket's
    /// arrival, should that have been while Redis was away. Later it is where the last connection
    /// stopped, unless the stream ends before that: then Redis lost its last entries, and whatever
    /// comes after its end is new.
    async fn position(
        &self,
        connection: &mut Connection,
        hub: &Hub,
        cursor: Option<StreamId>,
    ) -> Result<StreamId, LinkError> {
        let mut command = cmd("XREVRANGE");
        command.arg(self.key("full")).arg("+").arg("-").arg("COUNT").arg(1);
        let reply = connection.query(&command, BLOCK_GRACE).await?;
        let end = entries(reply).first().map_or(StreamId::default(), |entry| entry.id);
        let wanted = cursor.or_else(|| hub.first_arrival().map(|ms| StreamId { ms, seq: 0 }));
        Ok(wanted.map_or(end, |wanted| wanted.min(end)))
    }

    fn hand_out(&self, entry: &Entry, hub: &Hub, dirty: &mut Vec<Arc<Socket>>) {
        hub.metrics.events.increment(1);
        debug!("event {} read, {} bytes", entry.id, entry.data.len());
        match parse(&entry.data) {
            Ok(data) => {
                let channel = data.get("channel_id").and_then(Value::to_text);
                let encode = || Live { frame: encode(entry.id, &data), id: entry.id, print: self.print(&entry.data) };
                hub.publish(channel.as_deref().unwrap_or("undefined"), entry.id, encode, dirty);
            }
            Err(reason) => {
                error!("event {} is dropped: {reason}", entry.id);
                hub.advance(entry.id);
            }
        }
    }
}

/// Parses an event's data. The parser's own message could show parts of it.
fn parse(data: &[u8]) -> Result<Value<'_>, &'static str> {
    match Value::parse(data) {
        Ok(Value::Null) => Err("it is null"),
        Ok(value) => Ok(value),
        Err(_) => Err("it is not JSON"),
    }
}

/// The frame of an event, as every socket of its channel gets it.
fn encode(id: StreamId, data: &Value<'_>) -> Bytes {
    let mut text = Vec::with_capacity(512);
    js::write_with_id(&id.to_string(), data, &mut text);
    frame::text(&text)
}

/// The entries of a reply to XRANGE or XREVRANGE; what isn't one is left out.
fn entries(reply: Reply) -> Vec<Entry> {
    let Reply::Array(items) = reply else { return Vec::new() };
    items.into_iter().filter_map(entry).collect()
}

/// The entries of a reply to XREAD of one stream.
fn entries_of_read(reply: Reply) -> Vec<Entry> {
    let Reply::Array(streams) = reply else { return Vec::new() };
    let Some(Reply::Array(mut stream)) = streams.into_iter().next() else { return Vec::new() };
    stream.pop().map(entries).unwrap_or_default()
}

fn entry(reply: Reply) -> Option<Entry> {
    let Reply::Array(parts) = reply else { return None };
    let mut parts = parts.into_iter();
    let Reply::BulkString(id) = parts.next()? else { return None };
    let id = StreamId::parse(std::str::from_utf8(&id).ok()?)?;
    let mut data = Vec::new();
    if let Some(Reply::Array(fields)) = parts.next()
        && let Some(Reply::BulkString(first)) = fields.into_iter().nth(1)
    {
        data = first;
    }
    Some(Entry { id, data })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn bulk(text: &str) -> Reply {
        Reply::BulkString(text.as_bytes().to_vec())
    }

    #[test]
    fn the_first_field_is_the_event_whatever_its_name() {
        let fields = Reply::Array(vec![bulk("any"), bulk("{}"), bulk("data"), bulk("[]")]);
        let reply = Reply::Array(vec![Reply::Array(vec![
            bulk("async-events-full"),
            Reply::Array(vec![Reply::Array(vec![bulk("7-1"), fields])]),
        ])]);
        let found = entries_of_read(reply);
        assert_eq!(found.len(), 1);
        assert_eq!((found[0].id.to_string().as_str(), found[0].data.as_slice()), ("7-1", &b"{}"[..]));
        assert!(entries_of_read(Reply::Nil).is_empty());
    }

    proptest! {
        #[test]
        fn any_data_is_an_event_or_an_error(data: Vec<u8>, text in "[\\[\\]{}\",:0-9a-z\\\\]{0,40}") {
            for data in [data.as_slice(), text.as_bytes()] {
                if let Ok(value) = parse(data) {
                    let frame = encode(StreamId::default(), &value);
                    let payload = if frame[1] == 126 { &frame[4..] } else { &frame[2..] };
                    let read = serde_json::from_slice::<serde::de::IgnoredAny>(payload);
                    prop_assert!(read.is_ok());
                }
            }
        }
    }
}
