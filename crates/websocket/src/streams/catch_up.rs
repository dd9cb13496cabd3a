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
use tracing::{debug, error};

use super::sent::Known;
use super::{Entry, StreamId, Streams, channel_of, encode, entries, parse};
use crate::gate::Filter;
use crate::hub::Hub;
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

fn holds(prints: &Prints, print: u64) -> bool {
    prints.get(&print).is_some_and(|left| *left > 0)
}

/// The catch-up of one socket.
pub(crate) struct CatchUp {
    socket: Arc<Socket>,
    channel: Arc<str>,
    /// The client's last id; if a catch-up sent that, the one it came with before.
    last: StreamId,
    /// Up to where catch-ups sent the client what it had not by `last`.
    reached: StreamId,
    /// The last entry of the global stream that was handed out before the socket took part.
    position: StreamId,
    /// Where to read on, once it is clear what `last` stands for.
    next: Option<StreamId>,
    frames: Vec<Bytes>,
    /// What the global stream has from shortly before `last` up to it: the client has that, if it
    /// had `last` by live.
    received: Option<Received>,
    /// What the global stream has shortly after `last`, as far as it was handed out.
    later: Option<Prints>,
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
        let mut this = Self {
            socket,
            channel,
            last,
            reached: StreamId::default(),
            position,
            next: None,
            frames: Vec::new(),
            received: None,
            later: None,
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
                    error!(
                        "catch-up of client {} failed: {}",
                        this.socket.peer,
                        error.chain()
                    );
                    break;
                }
                Err(error) => {
                    failures += 1;
                    // The reader says it already, and louder.
                    debug!(
                        "catch-up of client {} waits: {}",
                        this.socket.peer,
                        error.chain()
                    );
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
        let next = match self.next {
            Some(next) => next,
            None => self.begin(streams).await?,
        };
        let mut command = cmd("XRANGE");
        command
            .arg(streams.key(&self.channel))
            .arg(next.to_string())
            .arg("+")
            .arg("COUNT")
            .arg(PAGE);
        let page = entries(streams.commands.query(&command).await?);
        let more = page.len() == PAGE;
        for entry in page {
            self.judge(streams, &entry).await?;
            self.next = Some(entry.id.next());
        }
        // Another server was ahead of this one. Only an entry that exists can tell: a last id from
        // nowhere must not silence a socket.
        if !more && self.last > self.position {
            let (_, end) = self.read_prints(streams, self.last, self.last).await?;
            if end.is_some() {
                self.floor = self.last;
            }
        }
        Ok(more)
    }

    /// Finds out what the client's last id stands for, and so where to begin. Where it can be that
    /// of an event that came by live as well, it is: that says less of what the client has.
    async fn begin(&mut self, streams: &Streams) -> Result<StreamId, LinkError> {
        if let Some(known) = streams.sent.find(&self.channel, self.last) {
            let (_, live) = self.read_prints(streams, self.last, self.last).await?;
            let mut command = cmd("XRANGE");
            let id = self.last.to_string();
            command.arg(streams.key(&self.channel)).arg(&id).arg(&id);
            let twin = entries(streams.commands.query(&command).await?);
            let twin = twin.first().map(|twin| streams.print(&twin.data));
            if live.is_none_or(|(_, print)| twin.is_some_and(|twin| twin != print)) {
                (self.last, self.reached) = (known.root, known.reached);
            }
        }
        let first = StreamId {
            ms: self.last.ms.min(self.position.ms).saturating_sub(SLACK),
            seq: 0,
        };
        self.next = Some(first);
        Ok(first)
    }

    async fn judge(&mut self, streams: &Streams, entry: &Entry) -> Result<(), LinkError> {
        let data = match parse(&entry.data) {
            Ok(data) => data,
            Err(reason) => {
                error!("event {} is dropped: {reason}", entry.id);
                return Ok(());
            }
        };
        // A stream's name says little: with the channel `full` it is everybody's.
        if channel_of(&data) != *self.channel {
            return Ok(());
        }
        let print = streams.print(&entry.data);
        let ms = entry.id.ms;
        // All is read before anything is changed, so that an error leaves it as it was.
        if self.received.is_none() && ms <= self.last.ms {
            self.received = Some(self.read_received(streams, ms).await?);
        }
        if self.past.is_none()
            && ms <= self.position.ms
            && ms.saturating_add(SLACK) >= self.position.ms
        {
            self.past = Some(
                self.read_prints(streams, StreamId { ms, seq: 0 }, self.position)
                    .await?
                    .0,
            );
        }
        let live = self
            .received
            .as_ref()
            .filter(|received| received.live && ms <= self.last.ms);
        let near = live.is_some();
        let unknown = live.is_some_and(|received| !holds(&received.prints, print));
        let early = ms.saturating_add(SLACK) < self.last.ms;
        if self.later.is_none() && unknown && !early && entry.id <= self.last {
            let end = self.last.ms.saturating_add(SLACK);
            let end = self.position.min(StreamId {
                ms: end,
                seq: u64::MAX,
            });
            self.later = Some(self.read_prints(streams, self.last.next(), end).await?.0);
        }
        let to_come = if ms > self.position.ms {
            true
        } else if ms.saturating_add(SLACK) < self.position.ms {
            false
        } else {
            !self.past.as_mut().is_some_and(|past| take(past, print))
        };
        // An earlier catch-up read all that comes after `last`, and of what is before it sent some.
        let sent = entry.id <= self.reached
            && (ms > self.last.ms
                || streams
                    .sent
                    .find(&self.channel, entry.id)
                    .is_some_and(|known| known.root == self.last));
        let has = match &mut self.received {
            _ if sent => true,
            Some(received) if received.live && ms <= self.last.ms => {
                // An event that is before the last one in this stream but after it in the global
                // one was missed. One that isn't there comes by live, if it is yet to come; if
                // its writer never got that far, an earlier catch-up had its chance.
                take(&mut received.prints, print)
                    || early
                    || entry.id <= self.last
                        && !self.later.as_mut().is_some_and(|later| take(later, print))
            }
            _ => entry.id <= self.last,
        };
        // What the client has by its id alone was sent to it only if that is its last one.
        if to_come && (!has || sent || !near && entry.id == self.last) {
            *self.repeats.entry(print).or_default() += 1;
        }
        if !has {
            let known = Known {
                root: self.last,
                reached: self.reached.max(entry.id),
            };
            streams.sent.note(&self.channel, entry.id, known);
            self.frames.push(encode(entry, &data));
        }
        Ok(())
    }

    async fn read_received(&self, streams: &Streams, from: u64) -> Result<Received, LinkError> {
        let (prints, end) = self
            .read_prints(streams, StreamId { ms: from, seq: 0 }, self.last)
            .await?;
        let live = end.is_some_and(|(id, _)| id == self.last);
        Ok(Received { prints, live })
    }

    /// The payloads of this channel in the global stream from an id up to another, and the last of
    /// them.
    async fn read_prints(
        &self,
        streams: &Streams,
        from: StreamId,
        to: StreamId,
    ) -> Result<(Prints, Option<(StreamId, u64)>), LinkError> {
        let mut command = cmd("XRANGE");
        command
            .arg(streams.key("full"))
            .arg(from.to_string())
            .arg(to.to_string());
        let mut prints = Prints::new();
        let mut end = None;
        for entry in entries(streams.commands.query(&command).await?) {
            if parse(&entry.data).is_ok_and(|data| channel_of(&data) == *self.channel) {
                let print = streams.print(&entry.data);
                *prints.entry(print).or_default() += 1;
                end = Some((entry.id, print));
            }
        }
        Ok((prints, end))
    }
}
