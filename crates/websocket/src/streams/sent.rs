//! What catch-ups sent lately: whoever comes back with such an id has more than ids can tell.

use std::hash::{BuildHasher, RandomState};
use std::sync::{Mutex, PoisonError};

use indexmap::IndexMap;

use super::StreamId;

/// How many ids of caught-up events are remembered.
const REMEMBERED: usize = 8192;

/// What a client has whose last event a catch-up sent it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Known {
    /// The last id that it came with before the first catch-up.
    pub(super) root: StreamId,
    /// Up to where in the channel's stream catch-ups sent it what it had not.
    pub(super) reached: StreamId,
}

impl Known {
    /// What can be said of `id` when catch-ups of two clients sent it: rather too little, which
    /// sends an event twice, than too much, which loses one. A root before the id says that all
    /// in between was sent; of those the last one says most. Of roots behind it each says that
    /// more was had before.
    fn merge(self, other: Self, id: StreamId) -> Self {
        let root = match (self.root < id, other.root < id) {
            (true, true) => self.root.max(other.root),
            (false, false) => self.root.min(other.root),
            (true, false) => self.root,
            (false, true) => other.root,
        };
        Self {
            root,
            reached: self.reached.min(other.reached),
        }
    }
}

/// The ids that catch-ups sent lately, by their channels.
pub(super) struct Sent {
    hashes: RandomState,
    ids: Mutex<IndexMap<u64, Known>>,
}

impl Sent {
    pub(super) fn new() -> Self {
        Self {
            hashes: RandomState::new(),
            ids: Mutex::default(),
        }
    }

    /// Notes that an entry of a channel's stream is sent to a client who then has what `known` says.
    pub(super) fn note(&self, channel: &str, id: StreamId, known: Known) {
        let mut ids = self.ids.lock().unwrap_or_else(PoisonError::into_inner);
        if ids.len() >= REMEMBERED {
            ids.drain(..REMEMBERED / 2);
        }
        ids.entry(self.hashes.hash_one((channel, id)))
            .and_modify(|other| *other = other.merge(known, id))
            .or_insert(known);
    }

    /// What a client has whose last event is this entry of its channel's stream, if a catch-up
    /// sent it.
    pub(super) fn find(&self, channel: &str, id: StreamId) -> Option<Known> {
        let ids = self.ids.lock().unwrap_or_else(PoisonError::into_inner);
        ids.get(&self.hashes.hash_one((channel, id))).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn id(ms: u64) -> StreamId {
        StreamId { ms, seq: 0 }
    }

    #[test]
    fn of_two_clients_it_says_what_loses_neither_an_event() {
        for (first, second, expected) in [
            ((10, 50), (20, 60), (20, 50)),
            ((10, 50), (40, 30), (10, 30)),
            ((40, 30), (60, 30), (40, 30)),
        ] {
            let sent = Sent::new();
            let known = |(root, reached)| Known {
                root: id(root),
                reached: id(reached),
            };
            sent.note("a", id(30), known(first));
            sent.note("a", id(30), known(second));
            assert_eq!(sent.find("a", id(30)), Some(known(expected)));
            assert_eq!(sent.find("b", id(30)), None);
        }
    }

    #[test]
    fn only_the_last_ones_are_remembered() {
        let sent = Sent::new();
        for ms in 0..2 * REMEMBERED as u64 {
            let known = Known {
                root: id(0),
                reached: id(ms),
            };
            sent.note("a", id(ms), known);
        }
        assert!(sent.ids.lock().unwrap().len() <= REMEMBERED);
        assert_eq!(sent.find("a", id(0)), None);
        assert!(sent.find("a", id(2 * REMEMBERED as u64 - 1)).is_some());
    }
}
