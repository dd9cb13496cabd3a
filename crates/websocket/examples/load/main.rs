//! Loads a server with sockets and events and prints, as JSON, what that costs it.
//!
//! Starts a Redis and the server itself (the binary beside its own folder, unless `--binary` names
//! another, or `--node` the one for Node.js), or measures one that runs: `--port`, `--redis-port`
//! and `--pid`.

mod phase;
mod process;
mod sockets;

use std::error::Error;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use clap::Parser;
use opsweek_sandbox::free_port;
use phase::Phase;
use process::{
    connect_redis, memory, raise_file_limit, start_redis, start_server, wait_until_ready,
};
use serde_json::{Value, json};
use sockets::open_sockets;
use tokio::sync::mpsc;
use tokio::time::sleep;

type Failure = Box<dyn Error + Send + Sync>;

const SECRET: &str = "a secret of the load driver, 32 bytes or more";

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
    /// The Node.js server, built, such as `superset-websocket/dist/index.js`; instead of ours
    #[arg(long, value_name = "FILE", conflicts_with = "binary")]
    node: Option<PathBuf>,
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

async fn run(options: &Options) -> Result<Value, Failure> {
    raise_file_limit(u64::try_from(options.sockets)?)?;
    let folder =
        std::env::temp_dir().join(format!("superset-websocket-load-{}", std::process::id()));
    std::fs::create_dir_all(&folder)?;
    let mut processes = Vec::new();
    let redis_port = if let Some(port) = options.redis_port {
        port
    } else {
        let port = free_port().ok_or("there is no free port")?;
        processes.push(start_redis(port, &folder)?);
        port
    };
    let mut redis = connect_redis(redis_port).await?;
    let (port, pid) = if let (Some(port), Some(pid)) = (options.port, options.pid) {
        (port, pid)
    } else {
        let port = free_port().ok_or("there is no free port")?;
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
    let mut phase = Phase {
        options,
        counts: &counts,
        received: &mut received,
        pid,
        channels,
        began,
    };
    let steady = phase
        .run(&mut redis, steady_events, Some(options.rate))
        .await?;
    let blast = if options.blast > 0 {
        phase.run(&mut redis, options.blast, None).await?
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
