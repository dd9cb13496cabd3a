//! Ids of stream entries: `<milliseconds>-<sequence>`.

use std::fmt;

/// The id of a stream entry, in Redis's order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub(crate) struct StreamId {
    pub(crate) ms: u64,
    pub(crate) seq: u64,
}

impl StreamId {
    /// Reads an id as Redis writes it.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let (ms, seq) = text.split_once('-')?;
        Some(Self {
            ms: digits(ms)?,
            seq: digits(seq)?,
        })
    }

    /// The least id that comes after.
    pub(crate) fn next(self) -> Self {
        match self.seq.checked_add(1) {
            Some(seq) => Self { seq, ..self },
            None => Self {
                ms: self.ms.saturating_add(1),
                seq: 0,
            },
        }
    }

    /// Reads the `last_id` of a client. As with the Node.js server a lone time stands for all of
    /// its millisecond, which is then still to come, and what follows a second dash is dropped.
    pub(crate) fn parse_last(text: &str) -> Option<Self> {
        let mut parts = text.split('-');
        let ms = digits(parts.next()?)?;
        match parts.next() {
            Some("") => Some(Self { ms, seq: 0 }),
            Some(seq) => Some(Self {
                ms,
                seq: digits(seq)?,
            }),
            None => Some(match ms.checked_sub(1) {
                Some(before) => Self {
                    ms: before,
                    seq: u64::MAX,
                },
                None => Self::default(),
            }),
        }
    }
}

/// Digits only: `u64::from_str` would take a sign.
fn digits(text: &str) -> Option<u64> {
    text.bytes()
        .all(|byte| byte.is_ascii_digit())
        .then(|| text.parse().ok())
        .flatten()
}

impl fmt::Display for StreamId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.ms, self.seq)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const fn id(ms: u64, seq: u64) -> StreamId {
        StreamId { ms, seq }
    }

    #[test]
    fn a_last_id_is_read_as_the_node_server_reads_it() {
        for (text, expected) in [
            ("1700000000000-5", Some(id(1_700_000_000_000, 5))),
            ("7-3-9", Some(id(7, 3))),
            ("7-", Some(id(7, 0))),
            ("7", Some(id(6, u64::MAX))),
            ("0", Some(id(0, 0))),
            ("1-x", None),
            ("-1", None),
            ("+1-2", None),
            ("$", None),
            ("", None),
            ("99999999999999999999999-0", None),
        ] {
            assert_eq!(StreamId::parse_last(text), expected, "{text}");
        }
    }

    proptest! {
        #[test]
        fn ids_come_back_and_noise_is_harmless(ms: u64, seq: u64, noise: String) {
            prop_assert_eq!(StreamId::parse(&id(ms, seq).to_string()), Some(id(ms, seq)));
            let _ = (StreamId::parse(&noise), StreamId::parse_last(&noise));
        }
    }
}
