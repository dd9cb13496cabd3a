//! The clients: they count events and answer pings.

use std::io::Cursor;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::sync::{Semaphore, mpsc};
use tokio::time::timeout;
use tungstenite::protocol::frame::coding::{Control, OpCode};
use tungstenite::protocol::frame::{Frame, FrameHeader};

use crate::{Counts, Failure, Options, SECRET, micros};

/// Sockets of one source address, below the number of ephemeral ports.
const PER_ADDRESS: usize = 20_000;
/// Bytes read from a socket at a time.
const READ: usize = 4096;
/// Handshakes under way at a time.
const HANDSHAKES: usize = 64;

/// Opens the sockets and lets them count.
pub(crate) async fn open_sockets(
    options: &Options,
    port: u16,
    counts: &Arc<Counts>,
    latencies: &mpsc::UnboundedSender<u64>,
    began: Instant,
) -> Result<(), Failure> {
    let handshakes = Arc::new(Semaphore::new(HANDSHAKES));
    let mut opening = Vec::new();
    for index in 0..options.sockets {
        let permit = Arc::clone(&handshakes).acquire_owned().await?;
        let source = Ipv4Addr::new(127, 0, 0, 1 + u8::try_from(index / PER_ADDRESS)?);
        let channel = format!("channel-{}", index / options.per_channel);
        let (counts, latencies) = (Arc::clone(counts), latencies.clone());
        opening.push(tokio::spawn(async move {
            let stream = open(source, port, &channel).await?;
            drop(permit);
            counts.open.fetch_add(1, Ordering::Relaxed);
            tokio::spawn(async move {
                // The report shows an early end: deliveries are missing.
                let _ = receive(stream, &counts, &latencies, began).await;
                counts.open.fetch_sub(1, Ordering::Relaxed);
            });
            Ok::<_, Failure>(())
        }));
    }
    for one in opening {
        one.await??;
    }
    Ok(())
}

async fn open(source: Ipv4Addr, port: u16, channel: &str) -> Result<TcpStream, Failure> {
    let socket = TcpSocket::new_v4()?;
    socket.bind(SocketAddr::from((source, 0)))?;
    let mut stream = socket
        .connect(SocketAddr::from((Ipv4Addr::LOCALHOST, port)))
        .await?;
    let key = EncodingKey::from_secret(SECRET.as_bytes());
    let token = jsonwebtoken::encode(
        &Header::new(Algorithm::HS256),
        &json!({"channel": channel}),
        &key,
    )?;
    let request = format!(
        "GET / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
         Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nCookie: async-token={token}\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).await?;
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(timeout(Duration::from_secs(30), stream.read_u8()).await??);
    }
    if head.starts_with(b"HTTP/1.1 101") {
        Ok(stream)
    } else {
        Err(String::from_utf8_lossy(&head).into())
    }
}

/// Counts events and answers pings until the socket ends.
async fn receive(
    mut stream: TcpStream,
    counts: &Counts,
    latencies: &mpsc::UnboundedSender<u64>,
    began: Instant,
) -> Result<(), Failure> {
    let mut waiting: Vec<u8> = Vec::new();
    loop {
        stream.readable().await?;
        let mut buffer = [0; READ];
        match stream.try_read(&mut buffer) {
            Ok(0) => return Ok(()),
            Ok(read) => waiting.extend_from_slice(&buffer[..read]),
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => continue,
            Err(error) => return Err(error.into()),
        }
        let now = micros(began.elapsed());
        let mut cursor = Cursor::new(&waiting);
        let mut done = 0;
        while let Some((header, length)) = FrameHeader::parse(&mut cursor)? {
            let start = usize::try_from(cursor.position())?;
            let end = start + usize::try_from(length)?;
            let Some(payload) = waiting.get(start..end) else {
                break;
            };
            match header.opcode {
                OpCode::Control(Control::Ping) => stream.write_all(&pong(payload)?).await?,
                OpCode::Control(_) => {}
                OpCode::Data(_) => {
                    counts.deliveries.fetch_add(1, Ordering::Relaxed);
                    if let Some(sent) = sent_at(payload) {
                        latencies.send(now.saturating_sub(sent))?;
                    }
                }
            }
            done = end;
            cursor.set_position(u64::try_from(end)?);
        }
        waiting.drain(..done);
        if waiting.is_empty() {
            waiting = Vec::new();
        }
    }
}

fn sent_at(payload: &[u8]) -> Option<u64> {
    const MARK: &[u8] = b"\"sent\":";
    let start = payload
        .windows(MARK.len())
        .position(|window| window == MARK)?
        + MARK.len();
    let digits = payload[start..]
        .iter()
        .take_while(|byte| byte.is_ascii_digit())
        .count();
    std::str::from_utf8(&payload[start..start + digits])
        .ok()?
        .parse()
        .ok()
}

fn pong(payload: &[u8]) -> Result<Vec<u8>, Failure> {
    let header = FrameHeader {
        opcode: OpCode::Control(Control::Pong),
        mask: Some([0; 4]),
        ..FrameHeader::default()
    };
    let mut frame = Vec::new();
    Frame::from_payload(header, payload.to_vec().into()).format(&mut frame)?;
    Ok(frame)
}
