//! Loads a server with sockets and events and prints, as JSON, what that costs it.
//!
//! Starts a Redis and the server itself (the binary beside its own folder, unless `--binary` names
//! another), or measures one that runs: `--port`, `--redis-port` and `--pid`.

use std::error::Error;
use std::io::Cursor;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use clap::Parser;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use redis::aio::MultiplexedConnection;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::{Semaphore, mpsc};
use tokio::time::{sleep, timeout};
use tungstenite::protocol::frame::coding::{Control, OpCode};
use tungstenite::protocol::frame::{Frame, FrameHeader};

type Failure = Box<dyn Error + Send + Sync>;

const SECRET: &str = "a secret of the load driver, 32 bytes or more";
/// Sockets of one source address, below the number of ephemeral ports.
const PER_ADDRESS: usize = 20_000;
/// Open files that are asked for.
const FILES: u64 = 100_000;
/// Bytes read from a socket at a time.
const READ: usize = 4096;
/// Handshakes under way at a time.
const HANDSHAKES: usize = 64;

#[derive(Parser)]
struct Options {
    /// Sockets to open
    #[arg(long, default_value_t = 5000)]
    sockets: usize,
    /// Sockets of one channel
    #[arg(long, default_value_t = 1)]
    per_channel: usize,
    /// Events a second
    #[arg(long, default_value_t = 1000)]
    rate: u64,
    /// How long to send them
    #[arg(long, default_value_t = 20)]
    seconds: u64,
    /// Events of a blast after that, as fast as Redis takes them
    #[arg(long, default_value_t = 50_000)]
    blast: u64,
    /// Bytes that each event is padded with
    #[arg(long, default_value_t = 100)]
    padding: usize,
    /// The server's binary
    #[arg(long)]
    binary: Option<PathBuf>,
    /// The port of a server that runs
    #[arg(long, requires_all = ["redis_port", "pid"])]
    port: Option<u16>,
    /// The port of its Redis
    #[arg(long)]
    redis_port: Option<u16>,
    /// Its process
    #[arg(long)]
    pid: Option<u32>,
}

/// What was received.
#[derive(Default)]
struct Counts {
    open: AtomicU64,
    deliveries: AtomicU64,
}

fn main() -> Result<(), Failure> {
    let options = Options::parse();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let report = runtime.block_on(run(&options))?;
    show(&report);
    Ok(())
}

#[expect(clippy::print_stdout, reason = "the report is what the driver is for")]
fn show(report: &Value) {
    println!("{report:#}");
}

/// A child that ends with the driver.
struct Process(Child);

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

async fn run(options: &Options) -> Result<Value, Failure> {
    raise_file_limit(u64::try_from(options.sockets)?)?;
    let folder =
        std::env::temp_dir().join(format!("superset-websocket-load-{}", std::process::id()));
    std::fs::create_dir_all(&folder)?;
    let mut processes = Vec::new();
    let redis_port = if let Some(port) = options.redis_port {
        port
    } else {
        let port = free_port().await?;
        processes.push(start_redis(port, &folder)?);
        port
    };
    let mut redis = connect_redis(redis_port).await?;
    let (port, pid) = if let (Some(port), Some(pid)) = (options.port, options.pid) {
        (port, pid)
    } else {
        let port = free_port().await?;
        let server = start_server(options, port, redis_port, &folder)?;
        let pid = server.0.id();
        processes.push(server);
        (port, pid)
    };
    wait_until_ready(port).await?;
    sleep(Duration::from_secs(1)).await;
    let idle = memory(pid, "VmRSS")?;

    let counts = Arc::new(Counts::default());
    let (latencies, mut received) = mpsc::unbounded_channel();
    let began = Instant::now();
    open_sockets(options, port, &counts, &latencies, began).await?;
    let connecting = began.elapsed();
    sleep(Duration::from_secs(1)).await;
    let connected = memory(pid, "VmRSS")?;

    let channels = u64::try_from(options.sockets.div_ceil(options.per_channel))?;
    let steady_events = options.rate * options.seconds;
    let steady = Phase {
        options,
        counts: &counts,
        received: &mut received,
        pid,
        channels,
        began,
    };
    let steady = steady
        .run(&mut redis, steady_events, Some(options.rate))
        .await?;
    let blast = if options.blast > 0 {
        let blast = Phase {
            options,
            counts: &counts,
            received: &mut received,
            pid,
            channels,
            began,
        };
        blast.run(&mut redis, options.blast, None).await?
    } else {
        Value::Null
    };
    let report = json!({
        "sockets": counts.open.load(Ordering::Relaxed),
        "per_channel": options.per_channel,
        "padding": options.padding,
        "connects_per_second": rate(options.sockets as u64, connecting),
        "rss_idle_kib": idle,
        "rss_connected_kib": connected,
        "rss_after_kib": memory(pid, "VmRSS")?,
        "rss_peak_kib": memory(pid, "VmHWM")?,
        "rss_per_socket_bytes": (connected.saturating_sub(idle) * 1024) / options.sockets.max(1) as u64,
        "steady": steady,
        "blast": blast,
    });
    drop(processes);
    std::fs::remove_dir_all(&folder)?;
    Ok(report)
}

/// A run of events, and how it is measured.
struct Phase<'a> {
    options: &'a Options,
    counts: &'a Counts,
    received: &'a mut mpsc::UnboundedReceiver<u64>,
    pid: u32,
    channels: u64,
    began: Instant,
}

impl Phase<'_> {
    async fn run(
        self,
        redis: &mut MultiplexedConnection,
        events: u64,
        per_second: Option<u64>,
    ) -> Result<Value, Failure> {
        let expected = events * self.options.per_channel as u64;
        let before = self.counts.deliveries.load(Ordering::Relaxed);
        let (cpu, start) = (cpu_micros(self.pid)?, Instant::now());
        let mut sent = 0;
        while sent < events {
            let due = per_second
                .map_or(sent + 200, |rate| {
                    micros(start.elapsed()) * rate / 1_000_000
                })
                .min(events);
            if due > sent {
                self.publish(redis, sent, due).await?;
                sent = due;
            }
            if per_second.is_some() {
                sleep(Duration::from_millis(1)).await;
            }
        }
        let arrived = || self.counts.deliveries.load(Ordering::Relaxed) - before;
        let patience = Instant::now() + Duration::from_mins(1);
        while arrived() < expected && Instant::now() < patience {
            sleep(Duration::from_millis(5)).await;
        }
        let (took, used) = (start.elapsed(), cpu_micros(self.pid)? - cpu);
        let mut latencies: Vec<u64> =
            std::iter::from_fn(|| self.received.try_recv().ok()).collect();
        latencies.sort_unstable();
        let percentile = |share: usize| {
            latencies.get((latencies.len() * share / 100).min(latencies.len().saturating_sub(1)))
        };
        let millis = |micros: Option<&u64>| micros.map(|micros| float(*micros) / 1000.0);
        Ok(json!({
            "events": events,
            "expected": expected,
            "deliveries": arrived(),
            "deliveries_per_second": rate(arrived(), took),
            "cpu_micros_per_delivery": float(used) / float(arrived().max(1)),
            "p50_ms": millis(percentile(50)),
            "p99_ms": millis(percentile(99)),
        }))
    }

    /// Writes events as Superset does, to the channel's stream and to the global one.
    async fn publish(
        &self,
        redis: &mut MultiplexedConnection,
        from: u64,
        to: u64,
    ) -> Result<(), Failure> {
        let mut pipeline = redis::pipe();
        let padding = "x".repeat(self.options.padding);
        for event in from..to {
            let channel = format!("channel-{}", event % self.channels);
            let data = json!({
                "channel_id": channel, "sent": micros(self.began.elapsed()), "user_id": "1", "status": "done",
                "errors": [], "result_url": padding
            })
            .to_string();
            for (stream, length) in [(channel.as_str(), 1000), ("full", 1_000_000)] {
                let add = pipeline.cmd("XADD").arg(format!("async-events-{stream}"));
                add.arg("MAXLEN")
                    .arg("~")
                    .arg(length)
                    .arg("*")
                    .arg("data")
                    .arg(&data)
                    .ignore();
            }
        }
        Ok(pipeline.query_async(redis).await?)
    }
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

fn rate(count: u64, took: Duration) -> f64 {
    float(count) / took.as_secs_f64()
}

#[expect(clippy::cast_precision_loss, reason = "the figures are far below 2^53")]
fn float(count: u64) -> f64 {
    count as f64
}

async fn open_sockets(
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

fn start_redis(port: u16, folder: &std::path::Path) -> Result<Process, Failure> {
    // The disk is not what is measured.
    let child = opsweek_sandbox::redis::server(folder, port)?
        .args(["--appendonly", "no"])
        .stdout(Stdio::null())
        .spawn()?;
    Ok(Process(child))
}

async fn connect_redis(port: u16) -> Result<MultiplexedConnection, Failure> {
    let client = redis::Client::open(format!("redis://127.0.0.1:{port}/"))?;
    let config = redis::AsyncConnectionConfig::new().set_response_timeout(None);
    for _ in 0..100 {
        if let Ok(connection) = client
            .get_multiplexed_async_connection_with_config(&config)
            .await
        {
            return Ok(connection);
        }
        sleep(Duration::from_millis(50)).await;
    }
    Err("Redis doesn't start".into())
}

fn start_server(
    options: &Options,
    port: u16,
    redis_port: u16,
    folder: &std::path::Path,
) -> Result<Process, Failure> {
    let beside = || {
        Some(
            std::env::current_exe()
                .ok()?
                .parent()?
                .parent()?
                .join("superset-websocket"),
        )
    };
    let binary = options
        .binary
        .clone()
        .or_else(beside)
        .ok_or("--binary is needed")?;
    let config = json!({
        "host": "127.0.0.1", "port": port, "jwtSecret": SECRET, "statsd": {"mock": true}, "redis": {"port": redis_port}
    });
    let file = folder.join("config.json");
    std::fs::write(&file, config.to_string())?;
    let child = Command::new(binary)
        .arg("--config")
        .arg(file)
        .env_clear()
        .stdout(Stdio::null())
        .spawn()?;
    Ok(Process(child))
}

async fn wait_until_ready(port: u16) -> Result<(), Failure> {
    for _ in 0..100 {
        if let Ok(mut stream) = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await {
            stream
                .write_all(b"GET /health HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
                .await?;
            let mut answer = String::new();
            stream.read_to_string(&mut answer).await?;
            if answer.starts_with("HTTP/1.1 200") {
                return Ok(());
            }
        }
        sleep(Duration::from_millis(50)).await;
    }
    Err("the server doesn't start".into())
}

async fn free_port() -> Result<u16, Failure> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
        .await?
        .local_addr()?
        .port())
}

/// Raises the limit of open files, beyond the hard one where this may be; the server inherits it.
fn raise_file_limit(sockets: u64) -> Result<(), Failure> {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    let high = Rlimit {
        current: Some(FILES),
        maximum: Some(FILES),
    };
    setrlimit(Resource::Nofile, high).or_else(|_| {
        setrlimit(
            Resource::Nofile,
            Rlimit {
                current: maximum,
                maximum,
            },
        )
    })?;
    let limit = getrlimit(Resource::Nofile).current;
    if limit.is_some_and(|limit| limit < sockets + 100) {
        return Err(
            format!("{sockets} sockets need more open files than may be had: {limit:?}").into(),
        );
    }
    Ok(())
}

/// A figure of /proc/PID/status, in KiB.
fn memory(pid: u32, name: &str) -> Result<u64, Failure> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = status
        .lines()
        .find(|line| line.starts_with(name))
        .ok_or("no such figure")?;
    Ok(line
        .split_whitespace()
        .nth(1)
        .ok_or("no such figure")?
        .parse()?)
}

/// The CPU time a process used, in microseconds. The scheduler's figure is exact where there is one.
fn cpu_micros(pid: u32) -> Result<u64, Failure> {
    let mut nanos = 0;
    for task in std::fs::read_dir(format!("/proc/{pid}/task"))? {
        let text = std::fs::read_to_string(task?.path().join("schedstat"))?;
        nanos += text
            .split_whitespace()
            .next()
            .ok_or("no schedstat")?
            .parse::<u64>()?;
    }
    Ok(nanos / 1000)
}
