//! Compressed lines of JSON on their way out of HDFS, in bounded memory.

use std::io::{self, BufRead, BufReader, Read};

use bytes::Bytes;
use futures::StreamExt;
use futures::stream::Stream;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use tokio::sync::mpsc;

use crate::engine::Failure;
use crate::services::hdfs::Hdfs;
use crate::services::metastore::{Database, Definition, Partition};

/// More than any line has: a table of ten thousand columns with statistics has 2 MiB.
const LONGEST: u64 = 32 << 20;

/// A line of the record of definitions.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
pub enum Definitions {
    /// A partition; it follows its table.
    Partition {
        /// The table's database.
        database: String,
        /// The table.
        table: String,
        /// All of it.
        partition: Partition,
    },
    /// A database; its tables follow.
    Database {
        /// What people want to know of it.
        database: Database,
        /// All of it, in thrift's form.
        thrift: Option<String>,
    },
    /// A table.
    Table {
        /// All of it.
        table: Definition,
    },
    /// A function, in thrift's form.
    Function {
        /// Its database.
        database: String,
        /// All of it.
        function: String,
    },
}

/// The chunks of a channel as a blocking reader.
pub(in crate::actions) struct Chunks {
    pub(in crate::actions) receiver: mpsc::Receiver<Bytes>,
    pub(in crate::actions) left: Bytes,
}

impl Chunks {
    pub(in crate::actions) fn new(receiver: mpsc::Receiver<Bytes>) -> Self {
        Self {
            receiver,
            left: Bytes::new(),
        }
    }
}

impl Read for Chunks {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.left.is_empty() {
            match self.receiver.blocking_recv() {
                Some(chunk) => self.left = chunk,
                None => return Ok(0),
            }
        }
        let n = self.left.len().min(buffer.len());
        buffer[..n].copy_from_slice(&self.left.split_to(n));
        Ok(n)
    }
}

/// The lines of the record at `path`, as they come.
///
/// # Errors
/// In the stream, and then it ends: HDFS's own, or a line that is none, or is longer than 32 MiB.
pub fn lines<T: DeserializeOwned + Send + 'static>(
    hdfs: &Hdfs,
    path: &str,
) -> impl Stream<Item = Result<T, Failure>> + Send + use<T> {
    let (sender, receiver) = mpsc::channel::<Bytes>(4);
    let (to_reader, lines) = mpsc::channel::<Result<T, Failure>>(64);
    let damaged = format!("{path} is not a record that can be read; look at it");
    let pump = {
        let (hdfs, path, failed) = (hdfs.clone(), path.to_owned(), to_reader.clone());
        async move {
            let pumped = async {
                let mut chunks = std::pin::pin!(hdfs.read(&path).await?);
                while let Some(chunk) = chunks.next().await {
                    // A reader that has seen enough, or too much, says so itself.
                    if sender.send(chunk?).await.is_err() {
                        break;
                    }
                }
                Ok::<(), Failure>(())
            };
            if let Err(failure) = pumped.await {
                // Nobody may be left who wants to know.
                let _ = failed.send(Err(failure)).await;
            }
        }
    };
    tokio::spawn(pump);
    tokio::task::spawn_blocking(move || {
        let parsed = parse(Chunks::new(receiver), |line| {
            to_reader.blocking_send(Ok(line)).is_ok()
        });
        if let Err(error) = parsed {
            let _ = to_reader.blocking_send(Err(Failure::new(error, damaged)));
        }
    });
    futures::stream::unfold(Some(lines), |lines| async move {
        let mut lines = lines?;
        let line = lines.recv().await?;
        let rest = line.is_ok().then_some(lines);
        Some((line, rest))
    })
}

/// Hands every line on until `take` has enough.
fn parse<T: DeserializeOwned>(
    compressed: impl Read,
    mut take: impl FnMut(T) -> bool,
) -> io::Result<()> {
    let decoder = zstd::stream::read::Decoder::new(compressed)?;
    let mut reader = BufReader::new(decoder);
    let mut line = Vec::new();
    loop {
        line.clear();
        let read = (&mut reader).take(LONGEST).read_until(b'\n', &mut line)?;
        if read == 0 {
            return Ok(());
        }
        if line.last() != Some(&b'\n') {
            return Err(io::Error::other("a line is cut short, or too long"));
        }
        if !take(serde_json::from_slice(&line)?) {
            return Ok(());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::actions::hdfs::Line;
    use proptest::prelude::*;

    fn compressed(text: &[u8]) -> Vec<u8> {
        zstd::encode_all(text, 1).unwrap()
    }

    #[test]
    fn lines_are_read_to_the_end_and_a_torn_one_is_an_error() {
        let read = |text: &str| {
            let mut all = Vec::new();
            parse(compressed(text.as_bytes()).as_slice(), |line: u32| {
                all.push(line);
                true
            })
            .map(|()| all)
        };
        assert_eq!(read("1\n2\n").unwrap(), [1, 2]);
        assert!(read("1\n2").is_err());
        assert!(read("1\nx\n").is_err());
        let whole = compressed(b"1\n2\n");
        assert!(parse(&whole[..whole.len() - 1], |_: u32| true).is_err());
    }

    #[test]
    fn the_kinds_of_definitions_are_told_apart() {
        let kind = |text: &str| match serde_json::from_str(text).unwrap() {
            Definitions::Partition { .. } => "partition",
            Definitions::Database { .. } => "database",
            Definitions::Table { .. } => "table",
            Definitions::Function { .. } => "function",
        };
        let database = r#"{"database":{"name":"d","owner":"o","owner_type":"USER","location":"l",
            "description":"","parameters":{}},"thrift":"AA=="}"#;
        assert_eq!(kind(database), "database");
        let partition = r#"{"database":"d","table":"t","partition":
            {"name":"a=1","location":null,"parameters":{},"thrift":"AA=="}}"#;
        assert_eq!(kind(partition), "partition");
        assert_eq!(kind(r#"{"database":"d","function":"AA=="}"#), "function");
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            let _ = parse(bytes.as_slice(), |_: Line| true);
            let _ = parse(compressed(&bytes).as_slice(), |_: Line| true);
            let _ = parse(compressed(&bytes).as_slice(), |_: Definitions| true);
        }
    }
}
