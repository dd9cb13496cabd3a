//! One client's socket: what waits to be written to it, and the task that reads from it.
//!
//! Whoever has a frame for a socket writes it at once, without waking the socket's task: that task
//! only steps in when the client's side is full, and for what the client sends. So a delivery
//! costs one system call, and a socket that waits costs its task and a few hundred bytes.

use std::collections::VecDeque;
use std::future::Future;
use std::io::{ErrorKind, IoSlice};
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use bytes::{Buf, Bytes};
use tokio::io::Interest;
use tokio::net::TcpStream;
use tokio::sync::Notify;
use tracing::warn;
use tungstenite::protocol::frame::coding::CloseCode;
use uuid::Uuid;

use crate::frame::{self, Decoder, Incoming};
use crate::gate::{Gate, Live};

/// How much is read from a client at a time; what it sends is dropped, so this is not kept.
const READ: usize = 4096;
/// How many frames one system call writes at most.
const BATCH: usize = 32;
/// How long a client may take to answer a close.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(5);
/// Below how many waiting bytes a client counts as keeping up.
const LOW_WATER: usize = 64 * 1024;

/// A socket's identity and its two ends.
pub(crate) struct Socket {
    /// The payload of its pings.
    pub(crate) id: Uuid,
    /// The client's address.
    pub(crate) peer: IpAddr,
    /// The routes that events reach it by; the first is its channel.
    pub(crate) routes: Vec<Arc<str>>,
    /// When its token ends, in seconds since 1970.
    pub(crate) expires: Option<f64>,
    stream: TcpStream,
    outbox: Mutex<Outbox>,
    wake: Notify,
    drained: Notify,
    opened: Instant,
    /// Milliseconds from `opened` to the last pong.
    last_pong: AtomicU64,
}

/// What waits to be written.
#[derive(Default)]
struct Outbox {
    queue: VecDeque<Bytes>,
    bytes: usize,
    /// How much of that a catch-up queued, a page at a time: no sign of a slow client.
    caught_up: usize,
    /// Holds live events back while the socket catches up.
    gate: Gate,
    ending: Option<Ending>,
}

/// How a socket is to end.
#[derive(Debug, Clone, Copy)]
enum Ending {
    /// By a close frame, which is in the queue, and the client's answer to it.
    Close,
    /// By closing the TCP connection.
    Terminate,
}

/// What became of a frame handed to a socket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Offer {
    /// It waits to be flushed, the first to do so.
    Queued,
    /// It waits behind others, or was not for this socket.
    Taken,
    /// More waits than may; the socket was terminated.
    Overflow,
}

impl Socket {
    pub(crate) fn new(
        stream: TcpStream,
        peer: IpAddr,
        routes: Vec<Arc<str>>,
        expires: Option<f64>,
        gate: Gate,
    ) -> Self {
        Self {
            id: Uuid::new_v4(),
            peer,
            routes,
            expires,
            stream,
            outbox: Mutex::new(Outbox {
                gate,
                ..Outbox::default()
            }),
            wake: Notify::new(),
            drained: Notify::new(),
            opened: Instant::now(),
            last_pong: AtomicU64::new(0),
        }
    }

    fn outbox(&self) -> MutexGuard<'_, Outbox> {
        self.outbox.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How long ago the client last answered a ping.
    pub(crate) fn silence(&self) -> Duration {
        self.opened.elapsed().saturating_sub(Duration::from_millis(
            self.last_pong.load(Ordering::Relaxed),
        ))
    }

    /// Hands it a live event; [`Socket::flush`] writes it. `limit` bounds the waiting bytes, 0
    /// does not.
    pub(crate) fn offer(&self, event: &Live<'_>, limit: usize) -> Offer {
        let mut outbox = self.outbox();
        if outbox.ending.is_some() {
            return Offer::Taken;
        }
        if limit > 0 && outbox.live_bytes() > limit {
            outbox.end(Ending::Terminate);
            drop(outbox);
            self.wake.notify_one();
            return Offer::Overflow;
        }
        if !outbox.gate.admit(event) {
            return Offer::Taken;
        }
        let first = outbox.queue.is_empty();
        outbox.push(event.frame.clone());
        if first { Offer::Queued } else { Offer::Taken }
    }

    /// Queues a frame that is not a live event and writes what it can.
    pub(crate) fn send(&self, frame: Bytes) {
        let mut outbox = self.outbox();
        if outbox.ending.is_none() {
            outbox.push(frame);
            self.write(&mut outbox);
        }
    }

    /// Writes what it can of what waits; whether the connection still takes it.
    pub(crate) fn flush(&self) -> bool {
        let mut outbox = self.outbox();
        let ended = outbox.ending.is_some();
        self.write(&mut outbox);
        ended || !matches!(outbox.ending, Some(Ending::Terminate))
    }

    /// Closes it with a code, once what waits is written.
    pub(crate) fn close(&self, code: CloseCode, reason: &str) {
        let mut outbox = self.outbox();
        if outbox.ending.is_none() {
            outbox.push(frame::close(code, reason));
            outbox.ending = Some(Ending::Close);
            self.write(&mut outbox);
            drop(outbox);
            self.wake.notify_one();
        }
    }

    /// Closes the TCP connection, without a word.
    pub(crate) fn terminate(&self) {
        self.outbox().end(Ending::Terminate);
        self.wake.notify_one();
    }

    /// Keeps events from it that are older than a time in milliseconds since 1970.
    pub(crate) fn open_since(&self, time: u64) {
        self.outbox().gate = Gate::since(time);
    }

    /// Works on the gate and queues the frames that come out.
    pub(crate) fn with_gate(&self, work: impl FnOnce(&mut Gate) -> Vec<Bytes>) {
        let mut outbox = self.outbox();
        let frames = work(&mut outbox.gate);
        if outbox.ending.is_none() {
            for frame in frames {
                outbox.caught_up += frame.len();
                outbox.push(frame);
            }
            self.write(&mut outbox);
        }
    }

    /// Waits until little waits.
    pub(crate) async fn drained(&self) {
        loop {
            let notified = self.drained.notified();
            if self.outbox().bytes <= LOW_WATER {
                return;
            }
            notified.await;
        }
    }

    fn write(&self, outbox: &mut Outbox) {
        while !outbox.queue.is_empty() {
            let result = if let [only] = outbox.queue.make_contiguous() {
                self.stream.try_write(only)
            } else {
                let mut slices = [IoSlice::new(&[]); BATCH];
                let count = slices
                    .iter_mut()
                    .zip(&outbox.queue)
                    .map(|(slice, frame)| *slice = IoSlice::new(frame))
                    .count();
                self.stream.try_write_vectored(&slices[..count])
            };
            match result {
                Ok(written) => outbox.consume(written),
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    self.wake.notify_one();
                    return;
                }
                Err(_) => {
                    outbox.end(Ending::Terminate);
                    self.wake.notify_one();
                    return;
                }
            }
        }
        if outbox.queue.capacity() > BATCH {
            outbox.queue.shrink_to_fit();
        }
        self.drained.notify_one();
    }

    /// Serves the socket until it ends or begins to; [`Socket::finish`] then does the rest.
    /// `begun` holds bytes that came with the handshake, `catch_up` is driven alongside.
    pub(crate) async fn serve(
        &self,
        mut begun: Vec<u8>,
        mut catch_up: Option<Pin<Box<dyn Future<Output = ()> + Send + '_>>>,
    ) -> End {
        let mut decoder = Decoder::default();
        let mut warned = false;
        if !begun.is_empty()
            && let Some(end) = self.take(&mut begun, &mut decoder, &mut warned)
        {
            return end;
        }
        loop {
            let (interest, ending) = {
                let outbox = self.outbox();
                let interest = if outbox.queue.is_empty() {
                    Interest::READABLE
                } else {
                    Interest::READABLE | Interest::WRITABLE
                };
                (interest, outbox.ending)
            };
            match ending {
                Some(Ending::Terminate) => return End::Gone,
                Some(Ending::Close) => return End::Closing(Some(decoder)),
                None => {}
            }
            let ready = tokio::select! {
                ready = self.stream.ready(interest) => ready,
                () = self.wake.notified() => continue,
                () = async { match &mut catch_up { Some(work) => work.await, None => std::future::pending().await } } => {
                    catch_up = None;
                    continue;
                }
            };
            let Ok(ready) = ready else { return End::Gone };
            if ready.is_writable() {
                self.flush();
            }
            if (ready.is_readable() || ready.is_read_closed())
                && let Some(end) = self.receive(&mut decoder, &mut warned)
            {
                return end;
            }
        }
    }

    /// Queues the last frame.
    fn answer(&self, frame: &Bytes) {
        let mut outbox = self.outbox();
        outbox.push(frame.clone());
        outbox.end(Ending::Close);
        self.write(&mut outbox);
    }

    /// Reads what there is and answers it.
    fn receive(&self, decoder: &mut Decoder, warned: &mut bool) -> Option<End> {
        let mut buffer = [0; READ];
        let mut all = None;
        let result = self.stream.try_io(Interest::READABLE, || {
            let read = rustix::io::read(&self.stream, &mut buffer)?;
            if (1..READ).contains(&read) {
                // Nothing is left: asking for it would cost one more system call a pong.
                all = Some(read);
                return Err(ErrorKind::WouldBlock.into());
            }
            Ok(read)
        });
        match all.map_or(result, Ok) {
            Ok(0) => Some(End::Gone),
            Ok(read) => self.take(&mut buffer[..read], decoder, warned),
            Err(error) if error.kind() == ErrorKind::WouldBlock => None,
            Err(_) => Some(End::Gone),
        }
    }

    /// Answers what the client sent.
    fn take(&self, input: &mut [u8], decoder: &mut Decoder, warned: &mut bool) -> Option<End> {
        let mut found = Vec::new();
        let result = decoder.feed(input, &mut found);
        for incoming in found {
            match incoming {
                // A client that sends pings but reads no pongs must not make them pile up.
                Incoming::Ping(payload) if self.outbox().bytes <= LOW_WATER => {
                    self.send(frame::pong(&payload));
                }
                Incoming::Ping(_) => {}
                Incoming::Pong(payload) => self.pong(&payload, warned),
                Incoming::Close(payload) => {
                    self.answer(&frame::close_echo(&payload));
                    return Some(End::Closing(None));
                }
            }
        }
        let violation = result.err()?;
        self.answer(&frame::close(violation.code, violation.reason));
        Some(End::Closing(None))
    }

    fn pong(&self, payload: &[u8], warned: &mut bool) {
        if std::str::from_utf8(payload)
            .ok()
            .and_then(|text| Uuid::try_parse(text).ok())
            == Some(self.id)
        {
            let elapsed = u64::try_from(self.opened.elapsed().as_millis()).unwrap_or(u64::MAX);
            self.last_pong.store(elapsed, Ordering::Relaxed);
        } else if !std::mem::replace(warned, true) {
            // Once a socket: a client must not be able to fill a disk.
            warn!(
                "pong received for nonexistent socket {}",
                String::from_utf8_lossy(payload).escape_debug()
            );
        }
    }

    /// Writes what waits, ends the outgoing direction and waits a while for the client to end its
    /// own; closing while the client's bytes come in would reset the connection under the close
    /// frame. With a decoder, the client's close frame ends the wait.
    pub(crate) async fn finish(&self, mut decoder: Option<Decoder>) {
        let wait = async {
            let mut buffer = [0; READ];
            let mut ended = false;
            loop {
                let waiting = !self.outbox().queue.is_empty();
                if !waiting && decoder.is_none() && !std::mem::replace(&mut ended, true) {
                    let _ = rustix::net::shutdown(&self.stream, rustix::net::Shutdown::Write);
                }
                let interest = if waiting {
                    Interest::READABLE | Interest::WRITABLE
                } else {
                    Interest::READABLE
                };
                let ready = tokio::select! {
                    ready = self.stream.ready(interest) => ready,
                    () = self.wake.notified() => {
                        if matches!(self.outbox().ending, Some(Ending::Terminate)) {
                            return;
                        }
                        continue;
                    }
                };
                let Ok(ready) = ready else { return };
                if ready.is_writable() {
                    self.flush();
                }
                match self.stream.try_read(&mut buffer) {
                    Ok(0) => return,
                    Ok(read) => {
                        let mut found = Vec::new();
                        if let Some(reader) = &mut decoder
                            && (reader.feed(&mut buffer[..read], &mut found).is_err()
                                || found.iter().any(|one| matches!(one, Incoming::Close(_))))
                        {
                            decoder = None;
                        }
                    }
                    Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                    Err(_) => return,
                }
            }
        };
        let _ = tokio::time::timeout(CLOSE_TIMEOUT, wait).await;
        self.outbox().end(Ending::Terminate);
    }
}

/// How [`Socket::serve`] ended.
pub(crate) enum End {
    /// Nothing is left to do.
    Gone,
    /// A close frame was queued; with a decoder, the client's is awaited.
    Closing(Option<Decoder>),
}

impl Outbox {
    fn push(&mut self, frame: Bytes) {
        self.bytes += frame.len();
        self.queue.push_back(frame);
    }

    /// Bytes of live events that wait, those behind a catch-up too.
    fn live_bytes(&self) -> usize {
        self.bytes.saturating_sub(self.caught_up) + self.gate.held_bytes()
    }

    fn consume(&mut self, mut written: usize) {
        self.bytes -= written;
        // What a catch-up queues is before all live events.
        self.caught_up = self.caught_up.saturating_sub(written);
        while let Some(front) = self.queue.front_mut() {
            if front.len() > written {
                front.advance(written);
                return;
            }
            written -= front.len();
            self.queue.pop_front();
        }
    }

    fn end(&mut self, ending: Ending) {
        if matches!(ending, Ending::Terminate) {
            self.queue = VecDeque::new();
            self.bytes = 0;
            self.caught_up = 0;
            self.gate = Gate::default();
        }
        self.ending = Some(ending);
    }
}
