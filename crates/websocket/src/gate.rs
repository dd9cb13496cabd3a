//! What stands between live events and a socket that catches up: first it holds them back, then
//! it lets through those that the socket hasn't had yet.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use bytes::Bytes;

use crate::streams::StreamId;

/// How long an event that was caught up may take to come by live as well. Superset writes an event
/// to the channel's stream and at once to the global one; later it is another event with the same
/// payload, whose forerunner's writer died between the two.
const REPEAT_TIMEOUT: Duration = Duration::from_secs(10);

/// A live event, encoded.
pub(crate) struct Live<'a> {
    /// The WebSocket frame.
    pub(crate) frame: Bytes,
    /// Its id in the global stream.
    pub(crate) id: StreamId,
    /// Computes the fingerprint of its payload, which is the same in the channel's stream. Few
    /// sockets need it.
    pub(crate) print: &'a dyn Fn() -> u64,
}

/// An event that waits.
#[derive(Debug)]
struct Waiting {
    frame: Bytes,
    id: StreamId,
    print: u64,
}

/// The state of a socket's catch-up.
#[derive(Debug, Default)]
pub(crate) enum Gate {
    /// There is none, or it is over.
    #[default]
    Open,
    /// Events have been caught up that can still come by live.
    Filtered(Box<Filter>),
    /// It goes on: live events wait.
    Held(Box<Held>),
}

/// Events that wait.
#[derive(Debug, Default)]
pub(crate) struct Held {
    events: Vec<Waiting>,
    bytes: usize,
}

/// Which live events the socket has had.
#[derive(Debug)]
pub(crate) struct Filter {
    /// What the global stream has up to here, the client has.
    pub(crate) floor: StreamId,
    /// How often each payload that the client has is still to come.
    pub(crate) repeats: HashMap<u64, u32>,
    until: Instant,
}

impl Filter {
    pub(crate) fn new(floor: StreamId, repeats: HashMap<u64, u32>) -> Self {
        Self {
            floor,
            repeats,
            until: Instant::now() + REPEAT_TIMEOUT,
        }
    }

    fn admits(&mut self, id: StreamId, print: u64) -> bool {
        if id <= self.floor {
            return false;
        }
        match self.repeats.get_mut(&print) {
            Some(left) => {
                *left -= 1;
                if *left == 0 {
                    self.repeats.remove(&print);
                }
                false
            }
            None => true,
        }
    }
}

impl Gate {
    /// A gate that holds events back.
    pub(crate) fn held() -> Self {
        Gate::Held(Box::default())
    }

    /// A gate for a socket without a catch-up that came at a time, in milliseconds since 1970, at
    /// which Redis was yet to be reached: what is older is read for others.
    pub(crate) fn since(arrival: u64) -> Self {
        let floor = StreamId {
            ms: arrival,
            seq: 0,
        };
        Gate::Filtered(Box::new(Filter::new(floor, HashMap::new())))
    }

    /// Whether a live event goes to the socket now.
    pub(crate) fn admit(&mut self, event: &Live<'_>) -> bool {
        match self {
            Gate::Open => true,
            Gate::Held(held) => {
                held.bytes += event.frame.len();
                held.events.push(Waiting {
                    frame: event.frame.clone(),
                    id: event.id,
                    print: (event.print)(),
                });
                false
            }
            Gate::Filtered(filter) => {
                let admitted = filter.admits(event.id, (event.print)());
                let over = filter.repeats.is_empty() || Instant::now() > filter.until;
                if over && event.id > filter.floor {
                    *self = Gate::Open;
                }
                admitted
            }
        }
    }

    /// Ends the catch-up: gives the frames of the events that waited and pass the filter.
    pub(crate) fn release(&mut self, mut filter: Filter) -> Vec<Bytes> {
        let Gate::Held(held) = std::mem::take(self) else {
            return Vec::new();
        };
        let news = held
            .events
            .into_iter()
            .filter(|event| filter.admits(event.id, event.print));
        let frames = news.map(|event| event.frame).collect();
        *self = Gate::Filtered(Box::new(filter));
        frames
    }

    /// Bytes of the events that wait.
    pub(crate) fn held_bytes(&self) -> usize {
        match self {
            Gate::Held(held) => held.bytes,
            _ => 0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn admit(gate: &mut Gate, ms: u64, print: u64) -> bool {
        let frame = Bytes::from(format!("{ms}/{print}"));
        gate.admit(&Live {
            frame,
            id: StreamId { ms, seq: 0 },
            print: &|| print,
        })
    }

    #[test]
    fn held_events_come_out_once_in_order_without_what_the_client_has() {
        let mut gate = Gate::held();
        for (ms, print) in [(5, 1), (6, 2), (7, 3), (8, 2)] {
            assert!(!admit(&mut gate, ms, print));
        }
        assert!(gate.held_bytes() > 0);
        let filter = Filter::new(StreamId { ms: 5, seq: 0 }, HashMap::from([(2, 1), (9, 1)]));
        assert_eq!(gate.release(filter), ["7/3", "8/2"]);
        assert!(!admit(&mut gate, 9, 9), "caught up, so not again");
        assert!(
            admit(&mut gate, 10, 9),
            "the same payload a second time is a new event"
        );
        assert!(matches!(gate, Gate::Open));
    }

    #[test]
    fn what_is_older_than_the_socket_is_kept_from_it_however_long_it_takes() {
        let mut gate = Gate::since(5);
        if let Gate::Filtered(filter) = &mut gate {
            filter.until = Instant::now();
        }
        assert!(!admit(&mut gate, 4, 1) && !admit(&mut gate, 5, 1));
        assert!(admit(&mut gate, 6, 1) && matches!(gate, Gate::Open));
    }

    #[test]
    fn nothing_is_released_twice() {
        let mut gate = Gate::held();
        assert!(!admit(&mut gate, 1, 1));
        let filter = || Filter::new(StreamId::default(), HashMap::new());
        assert_eq!(gate.release(filter()).len(), 1);
        assert_eq!(gate.release(filter()).len(), 0);
    }
}
