//! WebSocket frames (RFC 6455), headers by `tungstenite`.
//!
//! The server reads nothing from its clients but pings, pongs and closes. So a client's messages
//! are checked as they stream by and dropped: a socket never holds more than one control frame of
//! input, whatever its client sends. Outgoing frames are encoded once and shared by all sockets.

use std::io::Cursor;

use bytes::Bytes;
use tungstenite::protocol::frame::FrameHeader;
use tungstenite::protocol::frame::coding::{CloseCode, Control, Data, OpCode};

/// The largest message a client may send, in bytes (the limit of the Node.js library `ws`).
pub(crate) const MAX_MESSAGE: u64 = 100 * 1024 * 1024;
/// The largest payload of a control frame, in bytes (RFC 6455, 5.5).
const MAX_CONTROL: u64 = 125;
/// The longest frame header, in bytes.
const MAX_HEADER: usize = 14;

/// An unmasked, final frame: text, ready to be written to any number of sockets. `write` appends
/// the text, which has about `length` bytes.
pub(crate) fn text(length: usize, write: impl FnOnce(&mut Vec<u8>)) -> Bytes {
    let mut frame = Vec::with_capacity(MAX_HEADER + length);
    frame.resize(MAX_HEADER, 0);
    write(&mut frame);
    let length = (frame.len() - MAX_HEADER) as u64;
    let header = FrameHeader {
        opcode: OpCode::Data(Data::Text),
        ..FrameHeader::default()
    };
    // The header goes right before the text; what is free before it stays unused.
    let start = MAX_HEADER - header.len(length);
    // Writing to a slice that is long enough cannot fail.
    let _ = header.format(length, &mut &mut frame[start..MAX_HEADER]);
    Bytes::from(frame).slice(start..)
}

/// A ping frame; the payload must have at most 125 bytes.
pub(crate) fn ping(payload: &[u8]) -> Bytes {
    encode(OpCode::Control(Control::Ping), payload)
}

/// A pong frame; the payload must have at most 125 bytes.
pub(crate) fn pong(payload: &[u8]) -> Bytes {
    encode(OpCode::Control(Control::Pong), payload)
}

/// A close frame with a code and a short reason.
pub(crate) fn close(code: CloseCode, reason: &str) -> Bytes {
    let mut payload = u16::from(code).to_be_bytes().to_vec();
    payload.extend_from_slice(reason.as_bytes());
    close_echo(&payload)
}

/// A close frame with a payload as the client sent it.
pub(crate) fn close_echo(payload: &[u8]) -> Bytes {
    encode(OpCode::Control(Control::Close), payload)
}

fn encode(opcode: OpCode, payload: &[u8]) -> Bytes {
    let header = FrameHeader {
        opcode,
        ..FrameHeader::default()
    };
    let mut frame = Vec::with_capacity(payload.len() + MAX_HEADER);
    // Writing to a Vec cannot fail.
    let _ = header.format(payload.len() as u64, &mut frame);
    frame.extend_from_slice(payload);
    Bytes::from(frame)
}

/// What a client sent that the server answers.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Incoming {
    /// To be answered by a pong with this payload.
    Ping(Vec<u8>),
    /// The payload of a ping, back.
    Pong(Vec<u8>),
    /// To be echoed. Nothing that follows is looked at.
    Close(Vec<u8>),
}

/// A breach of the protocol: the code and reason to close with.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Violation {
    pub(crate) code: CloseCode,
    pub(crate) reason: &'static str,
}

const fn breach(reason: &'static str) -> Violation {
    Violation {
        code: CloseCode::Protocol,
        reason,
    }
}

const INVALID_TEXT: Violation = Violation {
    code: CloseCode::Invalid,
    reason: "invalid UTF-8",
};

/// The state of a client's byte stream between two reads.
#[derive(Debug, Default)]
pub(crate) struct Decoder {
    header: [u8; MAX_HEADER],
    header_len: u8,
    frame: Option<Frame>,
    message: Option<Message>,
    control: Vec<u8>,
}

/// The frame whose payload is being read.
#[derive(Debug)]
struct Frame {
    kind: Kind,
    last: bool,
    remaining: u64,
    mask: [u8; 4],
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Data,
    Control(Control),
}

/// A message of which at least one frame has begun.
#[derive(Debug)]
struct Message {
    text: bool,
    len: u64,
    /// The bytes of a character that the next chunk goes on with, and how many.
    partial: ([u8; 4], u8),
}

impl Decoder {
    /// Takes the next bytes, unmasking them in place, and appends what they complete to `found`.
    pub(crate) fn feed(
        &mut self,
        mut input: &mut [u8],
        found: &mut Vec<Incoming>,
    ) -> Result<(), Violation> {
        loop {
            let frame = match &mut self.frame {
                Some(frame) => frame,
                None => match self.read_header(input)? {
                    Some((frame, used)) => {
                        input = &mut input[used..];
                        self.frame.insert(frame)
                    }
                    None => return Ok(()),
                },
            };
            let len = usize::try_from(frame.remaining)
                .unwrap_or(usize::MAX)
                .min(input.len());
            let (payload, rest) = input.split_at_mut(len);
            for (index, byte) in payload.iter_mut().enumerate() {
                *byte ^= frame.mask[index % 4];
            }
            frame.mask.rotate_left(len % 4);
            frame.remaining -= len as u64;
            input = rest;
            match (frame.kind, &mut self.message) {
                (Kind::Control(_), _) => self.control.extend_from_slice(payload),
                (Kind::Data, Some(message)) if message.text => message.check(payload)?,
                (Kind::Data, _) => {}
            }
            if frame.remaining > 0 {
                return Ok(());
            }
            let (kind, last) = (frame.kind, frame.last);
            self.frame = None;
            match kind {
                Kind::Data if last => {
                    if self
                        .message
                        .take()
                        .is_some_and(|message| message.partial.1 > 0)
                    {
                        return Err(INVALID_TEXT);
                    }
                }
                Kind::Data => {}
                Kind::Control(opcode) => {
                    let payload = std::mem::take(&mut self.control);
                    match opcode {
                        Control::Ping => found.push(Incoming::Ping(payload)),
                        Control::Pong => found.push(Incoming::Pong(payload)),
                        _ => {
                            check_close(&payload)?;
                            found.push(Incoming::Close(payload));
                            return Ok(());
                        }
                    }
                }
            }
        }
    }

    /// Completes a header from the input's first bytes and says how many those are; `None` when
    /// all of them don't suffice.
    fn read_header(&mut self, input: &[u8]) -> Result<Option<(Frame, usize)>, Violation> {
        let before = usize::from(self.header_len);
        let taken = input.len().min(MAX_HEADER - before);
        self.header[before..before + taken].copy_from_slice(&input[..taken]);
        let available = before + taken;
        let mut cursor = Cursor::new(&self.header[..available]);
        let parsed = FrameHeader::parse(&mut cursor).map_err(|_| breach("invalid opcode"))?;
        let Some((header, length)) = parsed else {
            self.header_len = u8::try_from(available).unwrap_or_default();
            return Ok(None);
        };
        // The header's length is beyond what earlier reads gave, else they had completed it.
        let used = usize::try_from(cursor.position())
            .unwrap_or(available)
            .saturating_sub(before);
        self.header_len = 0;
        self.begin(&header, length).map(|frame| Some((frame, used)))
    }

    fn begin(&mut self, header: &FrameHeader, length: u64) -> Result<Frame, Violation> {
        if header.rsv1 || header.rsv2 || header.rsv3 {
            return Err(breach("reserved bits must be clear"));
        }
        let Some(mask) = header.mask else {
            return Err(breach("frames must be masked"));
        };
        let kind = match header.opcode {
            OpCode::Control(_) if !header.is_final => {
                return Err(breach("fragmented control frame"));
            }
            OpCode::Control(_) if length > MAX_CONTROL => {
                return Err(breach("control frame too long"));
            }
            OpCode::Control(opcode) => Kind::Control(opcode),
            OpCode::Data(Data::Continue) if self.message.is_none() => {
                return Err(breach("continuation of no message"));
            }
            OpCode::Data(Data::Continue) => Kind::Data,
            OpCode::Data(_) if self.message.is_some() => {
                return Err(breach("message within a message"));
            }
            OpCode::Data(opcode) => {
                self.message = Some(Message {
                    text: opcode == Data::Text,
                    len: 0,
                    partial: ([0; 4], 0),
                });
                Kind::Data
            }
        };
        if let (Kind::Data, Some(message)) = (kind, &mut self.message) {
            message.len = message.len.saturating_add(length);
            if message.len > MAX_MESSAGE {
                return Err(Violation {
                    code: CloseCode::Size,
                    reason: "message too big",
                });
            }
        }
        Ok(Frame {
            kind,
            last: header.is_final,
            remaining: length,
            mask,
        })
    }
}

impl Message {
    /// Checks that the text goes on as UTF-8.
    fn check(&mut self, mut chunk: &[u8]) -> Result<(), Violation> {
        let (bytes, len) = &mut self.partial;
        while *len > 0 {
            let Some((byte, rest)) = chunk.split_first() else {
                return Ok(());
            };
            chunk = rest;
            let end = usize::from(*len);
            bytes[end] = *byte;
            *len += 1;
            match std::str::from_utf8(&bytes[..=end]) {
                Ok(_) => *len = 0,
                Err(error) if error.error_len().is_some() => return Err(INVALID_TEXT),
                Err(_) => {}
            }
        }
        match std::str::from_utf8(chunk) {
            Ok(_) => Ok(()),
            Err(error) if error.error_len().is_some() => Err(INVALID_TEXT),
            Err(error) => {
                let tail = &chunk[error.valid_up_to()..];
                bytes[..tail.len()].copy_from_slice(tail);
                *len = u8::try_from(tail.len()).unwrap_or_default();
                Ok(())
            }
        }
    }
}

/// Checks the payload of a close frame: empty, or an allowed code and UTF-8 (RFC 6455, 5.5.1).
fn check_close(payload: &[u8]) -> Result<(), Violation> {
    match payload {
        [] => Ok(()),
        [high, low, reason @ ..] => {
            // Those that the npm package `ws` takes; `CloseCode` knows no 1014.
            let code = u16::from_be_bytes([*high, *low]);
            if !matches!(code, 1000..=1003 | 1007..=1014 | 3000..=4999) {
                return Err(breach("invalid close code"));
            }
            std::str::from_utf8(reason)
                .map(drop)
                .map_err(|_| INVALID_TEXT)
        }
        [_] => Err(breach("invalid close payload")),
    }
}

#[cfg(test)]
mod tests;
