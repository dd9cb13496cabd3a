//! Events by Redis Streams (Superset 1.2 to 6): one reader of the global stream for all sockets.

mod catch_up;
mod id;
mod reader;
mod sent;

use std::borrow::Cow;
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;

use ::redis::Value as Reply;
use bytes::Bytes;
pub(crate) use catch_up::CatchUp;
pub(crate) use id::StreamId;
pub(crate) use reader::{CLOCK_SLACK, read};
use sent::Sent;
use tokio::sync::Semaphore;

use crate::config::StreamsConfig;
use crate::frame;
use crate::js::{self, Repaired, Value};
use crate::redis::{Commands, Link};

/// How many pages of catch-ups are worked on at a time.
const PAGES: usize = 32;

/// An entry of a stream.
pub(crate) struct Entry {
    pub(crate) id: StreamId,
    /// The value of its first field, whatever the field's name.
    pub(crate) data: String,
    /// Whether [`js::restore_halves`] is to be called on what is written of it.
    halves: bool,
}

/// Where events are read and what they are turned into.
pub(crate) struct Streams {
    config: StreamsConfig,
    commands: Arc<Commands>,
    link: Arc<Link>,
    prints: RandomState,
    sent: Sent,
    /// Bounds the memory that pages of catch-ups take.
    pages: Semaphore,
}

impl Streams {
    pub(crate) fn new(config: StreamsConfig, link: Arc<Link>, commands: Arc<Commands>) -> Self {
        Self {
            config,
            commands,
            link,
            prints: RandomState::new(),
            sent: Sent::new(),
            pages: Semaphore::new(PAGES),
        }
    }

    fn key(&self, channel: &str) -> String {
        format!("{}{channel}", self.config.prefix)
    }

    fn print(&self, data: &str) -> u64 {
        self.prints.hash_one(data)
    }
}

/// Parses an event's data. The parser's own message could show parts of it.
fn parse(data: &str) -> Result<Value<'_>, &'static str> {
    match Value::read(data) {
        Ok(Value::Null) => Err("it is null"),
        Ok(value) => Ok(value),
        Err(_) => Err("it is not JSON"),
    }
}

/// The channel that an event is for, as JavaScript's `String(data.channel_id)` names it.
fn channel_of<'a>(data: &'a Value<'_>) -> Cow<'a, str> {
    data.get("channel_id")
        .map_or(Cow::Borrowed("undefined"), Value::to_text)
}

/// The frame of an event, as every socket of its channel gets it.
fn encode(entry: &Entry, data: &Value<'_>) -> Bytes {
    // Written compactly it is seldom longer than it was, but for the id.
    frame::text(entry.data.len() + 48, |text| {
        js::write_with_id(&entry.id.to_string(), data, text);
        if entry.halves {
            js::restore_halves(text);
        }
    })
}

/// The entries of a reply to XRANGE or XREVRANGE; what isn't one is left out.
fn entries(reply: Reply) -> Vec<Entry> {
    let Reply::Array(items) = reply else {
        return Vec::new();
    };
    items.into_iter().filter_map(entry).collect()
}

/// The entries of a reply to XREAD of one stream.
fn entries_of_read(reply: Reply) -> Vec<Entry> {
    let Reply::Array(streams) = reply else {
        return Vec::new();
    };
    let Some(Reply::Array(mut stream)) = streams.into_iter().next() else {
        return Vec::new();
    };
    stream.pop().map(entries).unwrap_or_default()
}

fn entry(reply: Reply) -> Option<Entry> {
    let Reply::Array(parts) = reply else {
        return None;
    };
    let mut parts = parts.into_iter();
    let Reply::BulkString(id) = parts.next()? else {
        return None;
    };
    let id = StreamId::parse(std::str::from_utf8(&id).ok()?)?;
    let mut event = Repaired::default();
    if let Some(Reply::Array(fields)) = parts.next()
        && let Some(Reply::BulkString(first)) = fields.into_iter().nth(1)
    {
        event = js::repair(first);
    }
    Some(Entry {
        id,
        data: event.text,
        halves: event.halves,
    })
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
        assert_eq!(
            (found[0].id.to_string().as_str(), found[0].data.as_str()),
            ("7-1", "{}")
        );
        assert!(entries_of_read(Reply::Nil).is_empty());
    }

    proptest! {
        #[test]
        fn any_data_is_an_event_or_an_error(data: Vec<u8>, text in "[\\[\\]{}\",:0-9a-z\\\\]{0,40}") {
            for data in [data.as_slice(), text.as_bytes()] {
                let Repaired { text, halves } = js::repair(data.to_vec());
                let entry = Entry { id: StreamId::default(), data: text, halves };
                if let Ok(value) = parse(&entry.data) {
                    let frame = encode(&entry, &value);
                    let payload = if frame[1] == 126 { &frame[4..] } else { &frame[2..] };
                    let read = serde_json::from_slice::<serde::de::IgnoredAny>(payload);
                    prop_assert!(read.is_ok());
                }
            }
        }
    }
}
