//! Redis and the server, and what the system says of them.

use std::net::Ipv4Addr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use redis::aio::MultiplexedConnection;
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::sleep;

use crate::{Failure, Options, SECRET};

/// Open files that are asked for.
const FILES: u64 = 100_000;

/// A child that ends with the driver.
pub(crate) struct Process(pub(crate) Child);

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

pub(crate) fn start_redis(port: u16, folder: &Path) -> Result<Process, Failure> {
    // The disk is not what is measured.
    let child = opsweek_sandbox::redis::server(folder, port)?
        .args(["--appendonly", "no"])
        .stdout(Stdio::null())
        .spawn()?;
    Ok(Process(child))
}

pub(crate) async fn connect_redis(port: u16) -> Result<MultiplexedConnection, Failure> {
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

pub(crate) fn start_server(
    options: &Options,
    port: u16,
    redis_port: u16,
    folder: &Path,
) -> Result<Process, Failure> {
    if let Some(node) = &options.node {
        return start_node(node, port, redis_port);
    }
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

/// The server for Node.js, by its environment: its configuration lies beside its program.
fn start_node(program: &Path, port: u16, redis_port: u16) -> Result<Process, Failure> {
    let child = Command::new("node")
        .arg(program)
        .arg("start")
        .env("PORT", port.to_string())
        .env("REDIS_HOST", "127.0.0.1")
        .env("REDIS_PORT", redis_port.to_string())
        .env("JWT_SECRET", SECRET)
        .stdout(Stdio::null())
        .spawn()?;
    Ok(Process(child))
}

pub(crate) async fn wait_until_ready(port: u16) -> Result<(), Failure> {
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

/// Raises the limit of open files, beyond the hard one where this may be; the server inherits it.
pub(crate) fn raise_file_limit(sockets: u64) -> Result<(), Failure> {
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
pub(crate) fn memory(pid: u32, name: &str) -> Result<u64, Failure> {
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
pub(crate) fn cpu_micros(pid: u32) -> Result<u64, Failure> {
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
