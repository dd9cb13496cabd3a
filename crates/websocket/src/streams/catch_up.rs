//! What a client missed: read from its channel's stream, sent to its new socket only.
//!
//! Superset writes an event to the channel's stream and then to the global one, so it has two ids,
//! the second never much later than the first, and a client's last id can be of either. Ids of the
//! two streams say nothing of each other within a short time, [`SLACK`]; there the events are told
//! apart by their payloads, which are the same in both.

use std::collections::HashMap;
use std::sync::Arc;

use ::redis::cmd;
use bytes::Bytes;
use tracing::{error, warn};

use super::{Entry, StreamId, Streams, encode, entries, parse};
use crate::gate::Filter;
use crate::hub::Hub;
use crate::js::Value;
use crate::redis::{LinkError, backoff, is_refusal};
use crate::socket::Socket;

/// By how many milliseconds an event can come later to the global stream than to the channel's.
const SLACK: u64 = 1000;
/// How many entries of a channel are read at a time.
const PAGE: usize = 200;

/// How often each payload occurs.
type Prints = HashMap<u64, u32>;

/// Takes one occurrence away; whether there was one.
fn take(prints: &mut Prints, print: u64) -> bool {
    match prints.get_mut(&print) {
        Some(left) if *left > 0 => {
            *left -= 1;
            true
        }
        _ => false,
    }
}

/// The catch-up of one socket.
pub(crate) struct CatchUp {
    socket: Arc<Socket>,
    channel: Arc<str>,
    /// The client's last id.
    last: StreamId,
    /// The last entry of the global stream that was handed out before the socket took part.
    position: StreamId,
    next: StreamId,
    frames: Vec<Bytes>,
    /// What the global stream has from shortly before `last` up to it: the client has that, if it
    /// had `last` by live.
    received: Option<Received>,
    /// What the global stream has from shortly before `position` up to it: it won't come by live.
    past: Option<Prints>,
    /// What the client has and will come by live.
    repeats: Prints,
    /// Up to where live events are no news to the client.
    floor: StreamId,
}

struct Received {
    prints: Prints,
    /// Whether `last` is an entry of the global stream for this channel.
    live: bool,
}

impl CatchUp {
    /// Brings a socket up to date and opens its gate. `position` is what the hub gave at its
    /// registration. While Redis is away it waits; an error reply ends it.
    pub(crate) async fn run(
        streams: &Streams,
        hub: &Hub,
        socket: Arc<Socket>,
        channel: Arc<str>,
        last: StreamId,
        position: Option<StreamId>,
    ) {
        let position = match position {
            Some(position) => position,
            None => hub.start().await,
        };
        let first = StreamId { ms: last.ms.min(position.ms).saturating_sub(SLACK), seq: 0 };
        let mut this = Self {
            socket,
            channel,
            last,
            position,
            next: first,
            frames: Vec::new(),
            received: None,
            past: None,
            repeats: Prints::new(),
            floor: StreamId::default(),
        };
        let mut failures = 0;
        loop {
            match this.page(streams).await {
                Ok(more) => {
                    failures = 0;
                    hub.metrics.caught_up.increment(this.frames.len() as u64);
                    let frames = std::mem::take(&mut this.frames);
                    this.socket.with_gate(|_| frames);
                    if !more {
                        break;
                    }
                    this.socket.drained().await;
                }
                Err(error) if is_refusal(&error) => {
                    error!("catch-up of client {} failed: {}", this.socket.peer, error.chain());
                    break;
                }
                Err(error) => {
                    failures += 1;
                    warn!("catch-up of client {} waits: {}", this.socket.peer, error.chain());
                    tokio::time::sleep(backoff(failures)).await;
                }
            }
        }
        let filter = Filter::new(this.floor, this.repeats);
        this.socket.with_gate(|gate| gate.release(filter));
    }

    /// Reads and judges the next entries; whether there can be more. After an error it can be
    /// called again.
    async fn page(&mut self, streams: &Streams) -> Result<bool, LinkError> {
        let _permit = streams.pages.acquire().await;
        let mut command = cmd("XRANGE");
        command.arg(streams.key(&self.channel)).arg(self.next.to_string()).arg("+").arg("COUNT").arg(PAGE);
        let page = entries(streams.commands.query(&command).await?);
        let more = page.len() == PAGE;
        for entry in page {
            self.judge(streams, &entry).await?;
            self.next = match entry.id.seq.checked_add(1) {
                Some(seq) => StreamId { seq, ..entry.id },
                None => StreamId { ms: entry.id.ms.saturating_add(1), seq: 0 },
            };
        }
        // Another server was ahead of this one. Only an entry that exists can tell: a last id from
        // nowhere must not silence a socket.
        if !more && self.last > self.position && self.read_prints(streams, self.last.ms, self.last).await?.1 == Some(self.last) {
            self.floor = self.last;
        }
        Ok(more)
    }

    async fn judge(&mut self, streams: &Streams, entry: &Entry) -> Result<(), LinkError> {
        let print = streams.print(&entry.data);
        let ms = entry.id.ms;
        // Both are read before either is changed, so that an error leaves all as it was.
        if self.received.is_none() && ms <= self.last.ms {
            self.received = Some(self.read_received(streams, ms).await?);
        }
        if self.past.is_none() && ms <= self.position.ms && ms.saturating_add(SLACK) >= self.position.ms {
            self.past = Some(self.read_prints(streams, ms, self.position).await?.0);
        }
        let (has, by_live) = match &mut self.received {
            Some(received) if received.live && ms <= self.last.ms => {
                let early = ms.saturating_add(SLACK) < self.last.ms;
                let has = take(&mut received.prints, print) || early;
                (has, has)
            }
            _ => (entry.id <= self.last, false),
        };
        let to_come = if ms > self.position.ms {
            true
        } else if ms.saturating_add(SLACK) < self.position.ms {
            false
        } else {
            !self.past.as_mut().is_some_and(|past| take(past, print))
        };
        if to_come && !by_live {
            *self.repeats.entry(print).or_default() += 1;
        }
        if !has {
            match parse(&entry.data) {
                Ok(data) => self.frames.push(encode(entry.id, &data)),
                Err(reason) => error!("event {} is dropped: {reason}", entry.id),
            }
        }
        Ok(())
    }

    async fn read_received(&self, streams: &Streams, from: u64) -> Result<Received, LinkError> {
        let (prints, end) = self.read_prints(streams, from, self.last).await?;
        Ok(Received { prints, live: end == Some(self.last) })
    }

    /// The payloads of this channel in the global stream from a time up to an id, and the id of
    /// the last.
    async fn read_prints(
        &self,
        streams: &Streams,
        from: u64,
        to: StreamId,
    ) -> Result<(Prints, Option<StreamId>), LinkError> {
        let mut command = cmd("XRANGE");
        command.arg(streams.key("full")).arg(StreamId { ms: from, seq: 0 }.to_string()).arg(to.to_string());
        let mut prints = Prints::new();
        let mut end = None;
        for entry in entries(streams.commands.query(&command).await?) {
            let own = parse(&entry.data)
                .is_ok_and(|data| data.get("channel_id").and_then(Value::to_text).as_deref() == Some(&*self.channel));
            if own {
                *prints.entry(streams.print(&entry.data)).or_default() += 1;
                end = Some(entry.id);
            }
        }
        Ok((prints, end))
    }
}
