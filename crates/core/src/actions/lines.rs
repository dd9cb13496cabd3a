//! Compressed lines of JSON on their way into HDFS, in bounded memory.

use std::io::{self, Write};

use bytes::Bytes;
use futures::stream::{self, Stream};
use serde::Serialize;
use tokio::sync::mpsc;

use crate::engine::Failure;
use crate::services::hdfs::Written;

/// How many compressed bytes are put together before they are sent.
const CHUNK: usize = 256 << 10;

/// The writing end.
pub(super) struct Lines {
    sender: mpsc::Sender<io::Result<Bytes>>,
    encoder: zstd::stream::write::Encoder<'static, Vec<u8>>,
    count: u64,
    /// The other end has gone: it knows why.
    gone: bool,
}

/// A channel's chunks as the body of a file: bytes, or the word that they will never be whole.
pub(super) fn body<T: Send>(
    receiver: mpsc::Receiver<io::Result<T>>,
) -> impl Stream<Item = io::Result<T>> + Send {
    stream::unfold(receiver, |mut receiver| async move {
        receiver.recv().await.map(|chunk| (chunk, receiver))
    })
}

impl Lines {
    /// Both ends; the other is for [`body`].
    pub(super) fn new() -> Result<(Self, mpsc::Receiver<io::Result<Bytes>>), Failure> {
        let (sender, source) = mpsc::channel(4);
        let encoder = zstd::stream::write::Encoder::new(Vec::new(), 3).map_err(broken)?;
        let lines = Self {
            sender,
            encoder,
            count: 0,
            gone: false,
        };
        Ok((lines, source))
    }

    /// How many lines there are.
    pub(super) fn count(&self) -> u64 {
        self.count
    }

    /// Adds a line.
    pub(super) async fn line(&mut self, value: &impl Serialize) -> Result<(), Failure> {
        serde_json::to_writer(&mut self.encoder, value).map_err(|error| broken(error.into()))?;
        self.encoder.write_all(b"\n").map_err(broken)?;
        self.count += 1;
        if self.encoder.get_ref().len() >= CHUNK {
            let chunk = std::mem::take(self.encoder.get_mut());
            self.send(Ok(chunk.into())).await?;
        }
        Ok(())
    }

    async fn send(&mut self, chunk: io::Result<Bytes>) -> Result<(), Failure> {
        self.sender.send(chunk).await.map_err(|_| {
            self.gone = true;
            Failure::new("the file's writer has stopped", None)
        })
    }

    /// Ends the file after `produced`, or spoils it when that failed, so that it can never
    /// be taken for a whole one; then puts together how both ends fared.
    pub(super) async fn end(
        mut self,
        produced: Result<(), Failure>,
    ) -> Result<u64, Option<Failure>> {
        let finished = match produced {
            Ok(()) => self.finish().await,
            Err(failure) => Err(failure),
        };
        match finished {
            Ok(()) => Ok(self.count),
            Err(_) if self.gone => Err(None),
            Err(failure) => {
                // Whether or not it arrives, the other end does not see a proper end.
                let _ = self.sender.send(Err(io::Error::other("spoilt"))).await;
                Err(Some(failure))
            }
        }
    }

    async fn finish(&mut self) -> Result<(), Failure> {
        self.encoder.do_finish().map_err(broken)?;
        let chunk = std::mem::take(self.encoder.get_mut());
        self.send(Ok(chunk.into())).await
    }
}

/// The outcome of both ends: the lines' own failure first, as it is the cause.
pub(super) fn both<E: Into<Failure>>(
    lines: Result<u64, Option<Failure>>,
    written: Result<Written, E>,
) -> Result<(u64, Written), Failure> {
    match (lines, written) {
        (Ok(count), Ok(written)) => Ok((count, written)),
        (Err(Some(failure)), _) => Err(failure),
        (_, Err(error)) => Err(error.into()),
        (Err(None), Ok(_)) => Err(Failure::new("the file's writer stopped early", None)),
    }
}

fn broken(error: io::Error) -> Failure {
    Failure::new(error, None)
}
