//! The one reader of the global stream.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::{Duration, Instant};

use ::redis::{Cmd, cmd};
use tracing::{debug, error, info, warn};

use super::{Entry, StreamId, Streams, channel_of, encode, entries, entries_of_read, parse};
use crate::gate::Live;
use crate::hub::{Hub, now};
use crate::redis::{Connection, LinkError, backoff, is_forbidden};
use crate::server::Health;
use crate::socket::Socket;

/// The longest time one read waits when it may wait for ever, so that a dead connection shows.
const LONGEST_BLOCK: Duration = Duration::from_secs(30);
/// How much longer than a read waits Redis may take to say that there is nothing.
const GRACE: Duration = Duration::from_secs(10);
/// How long events may gather between two reads while they come in close succession. Every read
/// wakes this process and Redis, whatever it brings; 1,000 reads a second cost more than their
/// events. An event that comes alone is never held up.
const GATHER: Duration = Duration::from_millis(5);
/// How many ids are remembered, to find the place in a stream that lost its end.
const REMEMBERED: usize = 1024;
/// By how many milliseconds Redis's clock may be behind this one's.
pub(crate) const CLOCK_SLACK: u64 = 1000;

/// Where the reader is in the stream.
#[derive(Default)]
struct Place {
    /// The last entry that was read, once the reader has begun.
    cursor: Option<StreamId>,
    recent: VecDeque<StreamId>,
    /// When the last connection was lost, in milliseconds since 1970.
    lost: u64,
}

/// Reads the global stream for ever and hands its events out.
pub(crate) async fn read(streams: &Streams, hub: &Hub, health: &Health) {
    let mut failures = 0;
    let mut place = Place::default();
    loop {
        let Err(error) = read_connection(streams, hub, health, &mut place, &mut failures).await;
        if health.is_up() {
            place.lost = now();
        }
        health.set(false);
        hub.metrics.redis_up.set(0.0);
        hub.metrics.redis_errors.increment(1);
        failures += 1;
        error!("Redis connection error: {}", error.chain());
        tokio::time::sleep(backoff(failures)).await;
    }
}

async fn read_connection(
    streams: &Streams,
    hub: &Hub,
    health: &Health,
    place: &mut Place,
    failures: &mut u32,
) -> Result<Infallible, LinkError> {
    let mut connection = streams.link.connect().await?;
    let mut cursor = find_place(streams, &mut connection, hub, place).await?;
    place.cursor = Some(cursor);
    hub.begin(cursor);
    info!(
        "reading events from Redis at {} after {cursor}",
        connection.address()
    );
    health.set(true);
    hub.metrics.redis_up.set(1.0);
    let block = Some(streams.config.block)
        .filter(|block| !block.is_zero())
        .unwrap_or(LONGEST_BLOCK);
    let read_after = read_command(streams, block);
    let mut dirty = Vec::new();
    loop {
        let mut read = read_after.clone();
        read.arg(cursor.to_string());
        let begun = Instant::now();
        let entries = entries_of_read(connection.query(&read, block + GRACE).await?);
        let waited = begun.elapsed();
        *failures = 0;
        let count = entries.len();
        for entry in entries {
            cursor = entry.id;
            place.advance(cursor);
            hand_out(streams, &entry, hub, &mut dirty);
        }
        hub.flush(&mut dirty).await;
        if gathers(count, streams.config.count, waited) {
            tokio::time::sleep(GATHER).await;
        }
    }
}

/// Whether events come so closely that the next ones may gather: a read brought some after a
/// short wait, or several, but not as many as one may bring, for then more are there already.
fn gathers(count: usize, limit: u64, waited: Duration) -> bool {
    let full = u64::try_from(count).is_ok_and(|count| limit > 0 && count >= limit);
    !full && (count > 1 || count == 1 && waited < GATHER / 2)
}

/// The command to read with, but for the last argument: the id after which to.
fn read_command(streams: &Streams, block: Duration) -> Cmd {
    let mut command = cmd("XREAD");
    command
        .arg("COUNT")
        .arg(streams.config.count)
        .arg("BLOCK")
        .arg(u64::try_from(block.as_millis()).unwrap_or(u64::MAX))
        .arg("STREAMS")
        .arg(streams.key("full"));
    command
}

impl Place {
    fn advance(&mut self, id: StreamId) {
        self.cursor = Some(id);
        if self.recent.len() == REMEMBERED {
            self.recent.pop_front();
        }
        self.recent.push_back(id);
    }
}

/// Where to read on. At first that is the stream's end, or the time of the first socket's arrival,
/// should that have been while Redis was away; later it is where the last connection stopped.
///
/// A stream that ends before that lost its last entries, in a failover for example. Then it is
/// the last entry that is left of those that were read, and else the time of the loss.
async fn find_place(
    streams: &Streams,
    connection: &mut Connection,
    hub: &Hub,
    place: &mut Place,
) -> Result<StreamId, LinkError> {
    let key = streams.key("full");
    let mut command = cmd("XREVRANGE");
    command.arg(&key).arg("+").arg("-").arg("COUNT").arg(1);
    let end = match connection.query(&command, GRACE).await {
        Ok(reply) => entries(reply)
            .first()
            .map_or(StreamId::default(), |entry| entry.id),
        // A user made for the Node.js server may read, but not from the end.
        Err(error) if is_forbidden(&error) => {
            if let Some(cursor) = place.cursor {
                return Ok(cursor);
            }
            warn!(
                "the end of the global stream is not shown: {}",
                error.chain()
            );
            StreamId {
                ms: now().saturating_sub(CLOCK_SLACK),
                seq: 0,
            }
        }
        Err(error) => return Err(error),
    };
    let Some(cursor) = place.cursor else {
        let arrival = hub.first_arrival().map(|ms| StreamId { ms, seq: 0 });
        return Ok(arrival.map_or(end, |arrival| arrival.min(end)));
    };
    if end >= cursor {
        return Ok(cursor);
    }
    let oldest = place.recent.front().copied().unwrap_or(cursor);
    let mut command = cmd("XRANGE");
    command.arg(&key).arg(oldest.to_string()).arg("+");
    let left = entries(connection.query(&command, GRACE).await?);
    let known = left
        .iter()
        .rev()
        .map(|entry| entry.id)
        .find(|id| place.recent.contains(id));
    let lost = StreamId {
        ms: place.lost.saturating_sub(CLOCK_SLACK),
        seq: 0,
    };
    warn!("the global stream ends at {end}, before the last event read, {cursor}");
    place.recent.clear();
    Ok(known.unwrap_or(lost))
}

fn hand_out(streams: &Streams, entry: &Entry, hub: &Hub, dirty: &mut Vec<Arc<Socket>>) {
    hub.metrics.events.increment(1);
    debug!("event {} read, {} bytes", entry.id, entry.data.len());
    match parse(&entry.data) {
        Ok(data) => {
            let print = || streams.print(&entry.data);
            let encode = || Live {
                frame: encode(entry, &data),
                id: entry.id,
                print: &print,
            };
            hub.publish(&channel_of(&data), entry.id, encode, dirty);
        }
        Err(reason) => {
            error!("event {} is dropped: {reason}", entry.id);
            hub.advance(entry.id);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_close_events_gather() {
        let (at_once, long) = (Duration::ZERO, Duration::from_secs(1));
        assert!(!gathers(1, 100, long), "one alone");
        assert!(!gathers(0, 100, at_once), "none");
        assert!(gathers(1, 100, at_once), "one right after another");
        assert!(gathers(2, 100, long), "two together");
        assert!(!gathers(100, 100, at_once), "more wait");
    }
}
