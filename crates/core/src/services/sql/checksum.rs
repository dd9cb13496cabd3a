//! What rows add up to, whatever their order.

use data_encoding::HEXLOWER;
use mysql_async::Value;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// What a table's rows add up to.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Sum {
    /// How many rows.
    pub rows: u64,
    /// How many bytes their values have, as they are sent.
    pub bytes: u64,
    /// 32 hexadecimal digits: the sum modulo 2^128 of the rows' own checksums, each the first
    /// half of the SHA-256 of all its values (generated ones too), every value led by its
    /// length. Equal rows in another order make the same; a row lost, doubled or changed does
    /// not.
    pub checksum: String,
}

/// A sum that is being made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Tally {
    pub(super) rows: u64,
    pub(super) bytes: u64,
    sum: u128,
}

/// The length of NULL; no value has it.
const NULL: u64 = u64::MAX;

impl Tally {
    /// Adds a row as the text protocol brings it. Gives `None` for values that it never brings.
    pub(super) fn add(&mut self, row: &[Value]) -> Option<()> {
        let mut hasher = Sha256::new();
        for value in row {
            match value {
                Value::NULL => hasher.update(NULL.to_le_bytes()),
                Value::Bytes(bytes) => {
                    hasher.update((bytes.len() as u64).to_le_bytes());
                    hasher.update(bytes);
                    self.bytes += bytes.len() as u64;
                }
                _ => return None,
            }
        }
        let hash: [u8; 32] = hasher.finalize().into();
        let (half, _) = hash.split_first_chunk::<16>()?;
        self.sum = self.sum.wrapping_add(u128::from_be_bytes(*half));
        self.rows += 1;
        Some(())
    }

    /// Adds what another part of the same table adds up to.
    pub(super) fn merge(&mut self, other: &Self) {
        self.rows += other.rows;
        self.bytes += other.bytes;
        self.sum = self.sum.wrapping_add(other.sum);
    }

    pub(super) fn finish(&self) -> Sum {
        Sum {
            rows: self.rows,
            bytes: self.bytes,
            checksum: HEXLOWER.encode(&self.sum.to_be_bytes()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sum(rows: &[&[Option<&str>]]) -> Sum {
        let mut tally = Tally::default();
        for row in rows {
            let values: Vec<_> = row
                .iter()
                .map(|value| value.map_or(Value::NULL, |text| Value::Bytes(text.into())))
                .collect();
            tally.add(&values).unwrap();
        }
        tally.finish()
    }

    #[test]
    fn order_does_not_count_and_all_else_does() {
        let (a, b): (&[_], &[_]) = (&[Some("a"), None], &[Some("b"), Some("")]);
        assert_eq!(sum(&[a, b]), sum(&[b, a]));
        let others: [&[&[_]]; 6] = [
            &[a],
            &[a, b, b],
            &[a, a],
            &[a, &[Some("b"), None]],
            &[&[Some("a"), Some("")], b],
            &[a, &[Some(""), Some("b")]],
        ];
        for other in others {
            assert_ne!(sum(other).checksum, sum(&[a, b]).checksum);
        }
        // The same bytes, cut elsewhere.
        assert_ne!(
            sum(&[&[Some("ab"), Some("c")]]),
            sum(&[&[Some("a"), Some("bc")]])
        );
    }

    #[test]
    fn parts_add_up_to_the_whole() {
        let (a, b) = (
            vec![Value::Bytes(vec![0, 255])],
            vec![Value::Bytes(Vec::new())],
        );
        let (mut first, mut second, mut whole) =
            (Tally::default(), Tally::default(), Tally::default());
        first.add(&a).unwrap();
        second.add(&b).unwrap();
        whole.add(&b).unwrap();
        whole.add(&a).unwrap();
        first.merge(&second);
        assert_eq!(first.finish(), whole.finish());
        assert_eq!((first.rows, first.bytes), (2, 2));
    }
}
