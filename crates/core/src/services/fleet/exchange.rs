//! One command on one channel: its stdin, stdout and stderr in turn, under the caller's limits.

use std::io::{self, Read as _, Write as _};
use std::time::{Duration, Instant};

use bytes::{Buf as _, Bytes, BytesMut};
use ssh2::Channel;
use tokio::runtime::Handle;
use tokio::sync::mpsc;
use tokio::time::timeout;

use super::command::Exit;
use super::error::Error;
use super::link::{Limits, Link};

/// What the command reads.
pub(super) enum Input {
    All(Bytes),
    Stream(mpsc::Receiver<Bytes>),
}

/// Where its stdout goes.
pub(super) enum Sink {
    Collect,
    Stream(mpsc::Sender<Bytes>),
}

/// What to run, and what is allowed to it.
pub(super) struct Exchange {
    pub(super) line: String,
    pub(super) input: Input,
    pub(super) sink: Sink,
    /// Bytes collected of stdout and of stderr.
    pub(super) limit: usize,
    /// The longest silence of a streaming command.
    pub(super) idle: Option<Duration>,
}

/// What became of it.
pub(super) struct Done {
    pub(super) exit: Exit,
    pub(super) stdout: Vec<u8>,
    pub(super) stderr: Vec<u8>,
    pub(super) received: u64,
    pub(super) sent: u64,
}

/// How long the waits on our own channels last before the connection is looked at again.
const OWN_TICK: Duration = Duration::from_millis(20);

/// How much of a stream is put together before it is handed on: ssh brings it in pieces of
/// 32 KiB, and each that is handed on wakes others.
const CHUNK: usize = 256 << 10;
/// How much is read at once of what is collected.
const COLLECT: usize = 32 << 10;
/// How long a part of a chunk may lie about.
const LINGER: Duration = Duration::from_millis(100);

struct Running<'a> {
    link: &'a Link,
    channel: Channel,
    limits: &'a Limits,
    limit: usize,
    input: Input,
    sink: Sink,
    /// Taken from the input, not yet sent.
    unsent: Bytes,
    input_ended: bool,
    eof_sent: bool,
    /// What is read next; of a stream, what was read already comes first.
    buffer: BytesMut,
    filled: usize,
    done: Done,
}

/// Runs the command to its end. On an error the link is of no further use.
pub(super) fn run(
    link: &Link,
    mut channel: Channel,
    exchange: Exchange,
    limits: &Limits,
) -> Result<Done, Error> {
    let started = link.retry(limits, || channel.exec(&exchange.line))?;
    started.map_err(|e| lost(limits, "the command was not started", e.into()))?;
    let room = match exchange.sink {
        Sink::Stream(_) => CHUNK,
        Sink::Collect => COLLECT,
    };
    let mut running = Running {
        link,
        channel,
        limits,
        limit: exchange.limit,
        input: exchange.input,
        sink: exchange.sink,
        unsent: Bytes::new(),
        input_ended: false,
        eof_sent: false,
        buffer: BytesMut::zeroed(room),
        filled: 0,
        done: Done {
            exit: Exit::Status(0),
            stdout: Vec::new(),
            stderr: Vec::new(),
            received: 0,
            sent: 0,
        },
    };
    let mut last = Instant::now();
    loop {
        limits.left()?;
        let mut moved = running.send()?;
        moved |= running.receive(Source::Stdout)?;
        moved |= running.receive(Source::Stderr)?;
        if moved {
            last = Instant::now();
            continue;
        }
        // Only its close ends a command: one that closed its stdout may still read its stdin.
        if running.channel.eof() && running.closed()? {
            running.deliver()?;
            break;
        }
        if last.elapsed() > LINGER && running.deliver()? {
            last = Instant::now();
        }
        if let Some(idle) = exchange.idle
            && last.elapsed() > idle
        {
            return Err(Error::Deadline {
                host: limits.host.clone(),
                what: "no data moved",
                after: idle,
            });
        }
        if running.wants_input() {
            // A slow source is not the host's silence.
            if running.await_input() {
                last = Instant::now();
            }
            link.keep_alive();
        } else {
            link.wait(limits)?;
        }
    }
    running.finish()
}

#[derive(Clone, Copy)]
enum Source {
    Stdout,
    Stderr,
}

impl Running<'_> {
    /// Sends what there is to send; whether anything moved.
    fn send(&mut self) -> Result<bool, Error> {
        if self.unsent.is_empty() && !self.input_ended {
            match &mut self.input {
                Input::All(bytes) => {
                    self.unsent = std::mem::take(bytes);
                    self.input_ended = true;
                }
                Input::Stream(source) => match source.try_recv() {
                    Ok(bytes) => self.unsent = bytes,
                    Err(mpsc::error::TryRecvError::Empty) => {}
                    Err(mpsc::error::TryRecvError::Disconnected) => self.input_ended = true,
                },
            }
        }
        if !self.unsent.is_empty() {
            return match self.channel.write(&self.unsent) {
                Ok(written) => {
                    self.unsent.advance(written);
                    self.done.sent += written as u64;
                    Ok(written > 0)
                }
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => Ok(false),
                Err(e) => Err(lost(self.limits, "while sending to the command", e)),
            };
        }
        if self.input_ended && !self.eof_sent {
            match self.channel.send_eof().map_err(io::Error::from) {
                Ok(()) => self.eof_sent = true,
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => {}
                Err(e) => return Err(lost(self.limits, "while ending the command's input", e)),
            }
            return Ok(self.eof_sent);
        }
        Ok(false)
    }

    fn receive(&mut self, source: Source) -> Result<bool, Error> {
        let free = &mut self.buffer[self.filled..];
        let read = match source {
            Source::Stdout => self.channel.read(free),
            Source::Stderr => self.channel.stderr().read(free),
        };
        let length = match read {
            Ok(0) => return Ok(false),
            Ok(length) => length,
            Err(e) if e.kind() == io::ErrorKind::WouldBlock => return Ok(false),
            Err(e) => return Err(lost(self.limits, "while the command ran", e)),
        };
        let data = &free[..length];
        let (kept, stream) = match (source, &self.sink) {
            (Source::Stdout, Sink::Stream(_)) => {
                self.done.received += length as u64;
                self.filled += length;
                if self.filled == self.buffer.len() {
                    self.deliver()?;
                }
                return Ok(true);
            }
            (Source::Stdout, Sink::Collect) => (&mut self.done.stdout, "stdout"),
            (Source::Stderr, _) => (&mut self.done.stderr, "stderr"),
        };
        if kept.len() + data.len() > self.limit {
            return Err(Error::OutputTooLarge {
                host: self.limits.host.clone(),
                stream,
                limit: self.limit,
            });
        }
        kept.extend_from_slice(data);
        Ok(true)
    }

    /// Hands what was read of the stream to a consumer that may be slow: meanwhile nothing is
    /// read, so that the host waits too. Whether there was anything.
    fn deliver(&mut self) -> Result<bool, Error> {
        let Sink::Stream(sink) = &self.sink else {
            return Ok(false);
        };
        if self.filled == 0 {
            return Ok(false);
        }
        loop {
            self.limits.left()?;
            match Handle::current().block_on(timeout(OWN_TICK, sink.reserve())) {
                Ok(Ok(place)) => {
                    let mut data = std::mem::replace(&mut self.buffer, BytesMut::zeroed(CHUNK));
                    data.truncate(std::mem::take(&mut self.filled));
                    place.send(data.freeze());
                    return Ok(true);
                }
                Ok(Err(_)) => {
                    return Err(Error::Cancelled {
                        host: self.limits.host.clone(),
                    });
                }
                Err(_) => self.link.keep_alive(),
            }
        }
    }

    fn wants_input(&self) -> bool {
        self.unsent.is_empty() && !self.input_ended && matches!(self.input, Input::Stream(_))
    }

    /// Waits a moment for the source; whether the silence is the source's.
    fn await_input(&mut self) -> bool {
        let Input::Stream(source) = &mut self.input else {
            return false;
        };
        match Handle::current().block_on(timeout(OWN_TICK, source.recv())) {
            Ok(Some(bytes)) => self.unsent = bytes,
            Ok(None) => self.input_ended = true,
            Err(_) => {}
        }
        true
    }

    fn closed(&mut self) -> Result<bool, Error> {
        match self.channel.wait_close().map_err(io::Error::from) {
            Ok(()) => Ok(true),
            Err(e) if e.kind() == io::ErrorKind::WouldBlock => Ok(false),
            Err(e) => Err(lost(self.limits, "while the command ended", e)),
        }
    }

    fn finish(mut self) -> Result<Done, Error> {
        let ended = |e: ssh2::Error| lost(self.limits, "while the command ended", e.into());
        self.link
            .retry(self.limits, || self.channel.close())?
            .map_err(ended)?;
        let signal = self.channel.exit_signal().map_err(ended)?.exit_signal;
        let status = self.channel.exit_status().map_err(ended)?;
        match Exit::from_wire(status, signal) {
            Some(exit) => {
                self.done.exit = exit;
                Ok(self.done)
            }
            None => Err(Error::Lost {
                host: self.limits.host.clone(),
                what: "the host closed the command's channel without telling how it ended",
                source: None,
            }),
        }
    }
}

fn lost(limits: &Limits, what: &'static str, source: io::Error) -> Error {
    Error::Lost {
        host: limits.host.clone(),
        what,
        source: Some(source),
    }
}
