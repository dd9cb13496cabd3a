//! Whole files: written under a temporary name, read back, then renamed.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::SystemTime;

use bytes::{Bytes, BytesMut};
use data_encoding::HEXLOWER;
use futures::stream::{self, Stream, StreamExt};
use hdfs_native::WriteOptions;
use sha2::{Digest, Sha256};
use tokio::sync::{mpsc, watch};
use tokio_util::task::AbortOnDropHandle;

use super::{Detail, Error, Hdfs, path};

/// How many pieces of a file are read before they are asked for.
const AHEAD: usize = 16;

/// How much more of a file must have been written before it is looked which of its blocks can be
/// read back: less than a block, as each is closed only when the next one begins.
const STEP: u64 = 32 << 20;

/// What a write does with a file that has the name already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Existing {
    /// Leaves it and fails.
    Refuse,
    /// Replaces it, in one step.
    Replace,
}

/// A file as it was read back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Written {
    /// Length in bytes.
    pub bytes: u64,
    /// SHA-256 in lower-case hexadecimal digits.
    pub sha256: String,
}

/// Length and checksum of what has passed by.
#[derive(Default)]
struct Tally {
    bytes: u64,
    hash: Sha256,
}

impl Tally {
    fn add(&mut self, chunk: &[u8]) {
        self.bytes += chunk.len() as u64;
        self.hash.update(chunk);
    }

    fn finish(self) -> Written {
        Written {
            bytes: self.bytes,
            sha256: HEXLOWER.encode(&self.hash.finalize()),
        }
    }
}

impl Hdfs {
    /// Writes `body` to the file `path` with `mode`. The bytes go to `_TMP.NAME` in the same
    /// folder, which must exist; they are read back and compared by length and SHA-256, and only
    /// then get their name. So under `path` there is the whole file or what was there before. A
    /// failed write leaves nothing; what a killed one leaves, the next one replaces. Blocks that
    /// are closed are read back while the next are written.
    ///
    /// `body` must end with an error when it is incomplete: its end without one means success.
    ///
    /// # Errors
    /// [`Error::AlreadyExists`] with [`Existing::Refuse`], [`Error::Input`] with the error of
    /// `body`, [`Error::Corrupt`] when what was read back differs.
    pub async fn write<S, E>(
        &self,
        path: &str,
        mode: u16,
        existing: Existing,
        body: S,
    ) -> Result<Written, Error>
    where
        S: Stream<Item = Result<Bytes, E>> + Send,
        E: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        self.write_shown(path, mode, existing, body, None).await
    }

    /// [`Hdfs::write`], which hands what it reads back to `shown` too, piece by piece: whoever
    /// wants to see what is really there need not read it once more. Nobody needs to take all
    /// of it. Only a success says that `shown` got the whole file.
    pub async fn write_shown<S, E>(
        &self,
        path: &str,
        mode: u16,
        existing: Existing,
        body: S,
        shown: Option<mpsc::Sender<Bytes>>,
    ) -> Result<Written, Error>
    where
        S: Stream<Item = Result<Bytes, E>> + Send,
        E: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        let path = path::below_root(path)?;
        let temporary = path::temporary(&path, None);
        self.write_as(&temporary, &path, mode, existing, body, shown)
            .await
    }

    /// [`Hdfs::write`] of bytes in memory.
    pub async fn put_bytes(
        &self,
        path: &str,
        bytes: &[u8],
        mode: u16,
        existing: Existing,
    ) -> Result<Written, Error> {
        self.write(path, mode, existing, once(bytes)).await
    }

    /// Makes the file `path` (mode 0644) with its whole content in one step, unless anything is
    /// there: then `false`. Of several who try, exactly one gets `true`; so it can serve as a lock.
    pub async fn create_exclusive(&self, path: &str, bytes: &[u8]) -> Result<bool, Error> {
        let path = path::below_root(path)?;
        let temporary = path::temporary(&path, Some(&unique()));
        let body = once(bytes);
        match self
            .write_as(&temporary, &path, 0o644, Existing::Refuse, body, None)
            .await
        {
            Ok(_) => Ok(true),
            Err(Error::AlreadyExists { .. }) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// The bytes of a file, in pieces as they come.
    ///
    /// # Errors
    /// From the call [`Error::NotFound`]; in the stream [`Error::Corrupt`] where blocks are missing
    /// or the data ends early.
    pub async fn read(
        &self,
        path: &str,
    ) -> Result<impl Stream<Item = Result<Bytes, Error>> + Send + use<>, Error> {
        self.read_from(path, 0).await
    }

    /// [`Hdfs::read`] from an offset on. Of a file that is being written, the blocks that are
    /// closed.
    async fn read_from(
        &self,
        path: &str,
        offset: u64,
    ) -> Result<impl Stream<Item = Result<Bytes, Error>> + Send + use<>, Error> {
        let path = path::normal(path)?;
        let reader = self
            .repeat("read", &path, |client, path| async move {
                client.read(&path).await
            })
            .await?;
        let offset = usize::try_from(offset).unwrap_or(usize::MAX);
        let Some(length) = reader.file_length().checked_sub(offset) else {
            return Err(Error::Corrupt {
                call: Box::new(self.call("read", &path)),
                source: Detail::of(&format!("of its first {offset} bytes some are gone")),
            });
        };
        let mut pieces = Box::pin(reader.read_range_stream(offset, length));
        // One task for all pieces: it reads on while the last ones are looked at.
        let (sender, receiver) = mpsc::channel(AHEAD);
        let hdfs = self.clone();
        let read = path.clone();
        let reader = AbortOnDropHandle::new(tokio::spawn(async move {
            loop {
                let next = async { pieces.next().await.transpose() };
                let piece = hdfs.attempt(|| hdfs.call("read", &read), next).await;
                let ended = piece.is_err();
                let Some(piece) = piece.transpose() else {
                    return;
                };
                if sender.send(piece).await.is_err() || ended {
                    return;
                }
            }
        }));
        let state = (self.clone(), path, Some((receiver, reader, length)));
        Ok(stream::unfold(state, |(hdfs, path, rest)| async move {
            let (mut receiver, reader, left) = rest?;
            let (item, rest) = match receiver.recv().await {
                Some(Ok(piece)) => {
                    let left = left.saturating_sub(piece.len());
                    (Ok(piece), Some((receiver, reader, left)))
                }
                Some(Err(error)) => (Err(error), None),
                None if left == 0 => return None,
                None => {
                    let error = Error::Corrupt {
                        call: Box::new(hdfs.call("read", &path)),
                        source: Detail::of(&format!("its last {left} bytes are missing")),
                    };
                    (Err(error), None)
                }
            };
            Some((item, (hdfs, path, rest)))
        }))
    }

    /// The whole content of a file of at most `limit` bytes.
    ///
    /// # Errors
    /// As [`Hdfs::read`], and [`Error::TooLarge`].
    pub async fn read_all(&self, path: &str, limit: u64) -> Result<Bytes, Error> {
        let status = self.stat_present("read", &path::normal(path)?).await?;
        let too_large = |bytes| Error::TooLarge {
            call: Box::new(self.call("read", &status.path)),
            bytes,
            limit,
        };
        if status.len > limit {
            return Err(too_large(status.len));
        }
        let mut pieces = std::pin::pin!(self.read(path).await?);
        let mut whole = BytesMut::new();
        while let Some(piece) = pieces.next().await {
            whole.extend_from_slice(&piece?);
            if whole.len() as u64 > limit {
                return Err(too_large(whole.len() as u64));
            }
        }
        Ok(whole.freeze())
    }

    /// Length and SHA-256 of a file, read whole.
    pub async fn sha256(&self, path: &str) -> Result<Written, Error> {
        let mut tally = Tally::default();
        self.read_on(path, &mut tally, &mut None).await?;
        Ok(tally.finish())
    }

    /// Reads a file back while it is written: a closed block does not change any more. `sent` is
    /// how many bytes were written, and ends when the file is closed.
    async fn read_back(
        &self,
        path: &str,
        mut sent: watch::Receiver<u64>,
        mut shown: Option<mpsc::Sender<Bytes>>,
    ) -> Result<Written, Error> {
        let mut tally = Tally::default();
        let mut next = STEP;
        while let Ok(sent) = sent.wait_for(|sent| *sent >= next).await.map(|sent| *sent) {
            next = sent + STEP;
            // What cannot be read yet is read at the end; then a failure counts.
            let _ = self.read_on(path, &mut tally, &mut shown).await;
        }
        self.read_on(path, &mut tally, &mut shown).await?;
        Ok(tally.finish())
    }

    /// Reads from where `tally` has got to, and hands the pieces on.
    async fn read_on(
        &self,
        path: &str,
        tally: &mut Tally,
        shown: &mut Option<mpsc::Sender<Bytes>>,
    ) -> Result<(), Error> {
        let mut pieces = std::pin::pin!(self.read_from(path, tally.bytes).await?);
        while let Some(piece) = pieces.next().await {
            let piece = piece?;
            tally.add(&piece);
            if let Some(to) = &shown
                && to.send(piece).await.is_err()
            {
                *shown = None;
            }
        }
        Ok(())
    }

    async fn write_as<S, E>(
        &self,
        temporary: &str,
        path: &str,
        mode: u16,
        existing: Existing,
        body: S,
        shown: Option<mpsc::Sender<Bytes>>,
    ) -> Result<Written, Error>
    where
        S: Stream<Item = Result<Bytes, E>> + Send,
        E: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        let refuse = existing == Existing::Refuse;
        if refuse && self.stat(path).await?.is_some() {
            return Err(Error::AlreadyExists {
                call: Box::new(self.call("write", path)),
                source: Detail::of("a file or folder has that name"),
            });
        }
        let written = Box::pin(async {
            let (progress, so_far) = watch::channel(0);
            let (sent, found) = tokio::try_join!(
                self.send(temporary, mode, body, progress),
                self.read_back(temporary, so_far, shown)
            )?;
            if found != sent {
                let message = format!(
                    "wrote {} bytes with sha256 {}, read back {} with {}",
                    sent.bytes, sent.sha256, found.bytes, found.sha256
                );
                return Err(Error::Corrupt {
                    call: Box::new(self.call("write", path)),
                    source: Detail::of(&message),
                });
            }
            self.move_to(temporary, path, !refuse).await?;
            Ok(found)
        })
        .await;
        if written.is_err() {
            // The first error is the one to tell; the next write replaces what stays.
            let _ = self.delete(temporary, false).await;
        }
        written
    }

    /// Streams `body` into the new file `path`, replacing an unfinished one; tells `progress` how
    /// many bytes were written.
    async fn send<S, E>(
        &self,
        path: &str,
        mode: u16,
        body: S,
        progress: watch::Sender<u64>,
    ) -> Result<Written, Error>
    where
        S: Stream<Item = Result<Bytes, E>> + Send,
        E: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        let call = || self.call("write", path);
        let options = WriteOptions::default()
            .permission(u32::from(mode))
            .overwrite(true)
            .create_parent(false);
        let mut writer = self
            .repeat("write", path, move |client, path| {
                let options = options.clone();
                async move { client.create(&path, options).await }
            })
            .await?;
        let mut body = std::pin::pin!(body);
        let mut tally = Tally::default();
        while let Some(piece) = body.next().await {
            let piece = piece.map_err(|error| Error::Input {
                call: Box::new(call()),
                source: error.into(),
            })?;
            tally.add(&piece);
            let sent = async move {
                // Boxed, as the library's futures are large.
                Box::pin(writer.write_bytes(piece)).await?;
                Ok(writer)
            };
            writer = self.once(call(), sent).await?;
            progress.send_replace(tally.bytes);
        }
        self.once(call(), async move { Box::pin(writer.close()).await })
            .await?;
        Ok(tally.finish())
    }
}

fn once(bytes: &[u8]) -> impl Stream<Item = Result<Bytes, std::convert::Infallible>> + Send {
    stream::iter([Ok(Bytes::copy_from_slice(bytes))])
}

/// Differs between the writers who may race for one path: by time, process and count.
fn unique() -> String {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    let now = SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default();
    format!("{}.{}.{count}", now.as_nanos(), std::process::id())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tally_is_length_and_sha256() {
        let mut tally = Tally::default();
        tally.add(b"a");
        tally.add(b"bc");
        // FIPS 180-2, appendix B.1.
        assert_eq!(
            tally.finish(),
            Written {
                bytes: 3,
                sha256: "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad".into()
            }
        );
    }

    #[test]
    fn racing_writers_have_names_of_their_own() {
        assert_ne!(unique(), unique());
    }
}
