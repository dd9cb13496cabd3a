//! The server's binary, run in a folder of its own.

use std::io::{BufRead, BufReader, Read};
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use jsonwebtoken::{Algorithm, EncodingKey, Header};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use tempfile::TempDir;

use super::{PATIENCE, Redis, eventually};

/// The secret that the tests' tokens are signed with.
pub(crate) const SECRET: &str = "a secret of the tests, 32 bytes or more";

/// Signs claims with a secret.
pub(crate) fn token(claims: &Value, secret: &str) -> String {
    jsonwebtoken::encode(
        &Header::new(Algorithm::HS256),
        claims,
        &EncodingKey::from_secret(secret.as_bytes()),
    )
    .unwrap()
}

/// A running server. It ends with the test.
pub(crate) struct Server {
    pub(crate) port: u16,
    child: Child,
    log: Arc<Mutex<Vec<String>>>,
    _folder: TempDir,
}

impl Server {
    /// Starts a server for a Redis, with the settings of `config` on top, and waits until it is
    /// ready.
    pub(crate) async fn start(redis: &Redis, config: Value) -> Self {
        let server = Self::start_unready(redis.port, config, &[]).await;
        server.ready().await;
        server
    }

    /// Starts a server without waiting for Redis.
    pub(crate) async fn start_unready(redis_port: u16, config: Value, arguments: &[&str]) -> Self {
        let mut settings = json!({
            "port": 0, "host": "127.0.0.1", "jwtSecret": SECRET, "statsd": {"mock": true},
            "redis": {"host": "127.0.0.1", "port": redis_port}
        });
        merge(&mut settings, config);
        Self::spawn(&settings, arguments, &[]).await
    }

    /// Starts a server with exactly these settings.
    pub(crate) async fn spawn(
        settings: &Value,
        arguments: &[&str],
        environment: &[(&str, &str)],
    ) -> Self {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("config.json"), settings.to_string()).unwrap();
        let mut child = Command::new(env!("CARGO_BIN_EXE_superset-websocket"))
            .args(arguments)
            .env_clear()
            .envs(environment.iter().copied())
            .current_dir(folder.path())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let log = Arc::new(Mutex::new(Vec::new()));
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let target = Arc::clone(&log);
        thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                target.lock().unwrap().push(line);
            }
        });
        let mut server = Self {
            port: 0,
            child,
            log,
            _folder: folder,
        };
        server.port = server.logged_port().await;
        server
    }

    async fn logged_port(&self) -> u16 {
        let mut port = None;
        eventually("the server's start", async || {
            port = self
                .messages()
                .iter()
                .find_map(|line| line.strip_prefix("Server started on port ")?.parse().ok());
            port.is_some()
        })
        .await;
        port.unwrap()
    }

    /// Waits until it reads from Redis.
    pub(crate) async fn ready(&self) {
        eventually("readiness", async || self.status("/ready").await == 200).await;
    }

    /// The status of a GET.
    pub(crate) async fn status(&self, path: &str) -> u16 {
        let response = super::http(
            self.port,
            &format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"),
        )
        .await;
        response
            .split(' ')
            .nth(1)
            .and_then(|status| status.parse().ok())
            .unwrap_or_default()
    }

    /// The messages logged so far.
    pub(crate) fn messages(&self) -> Vec<String> {
        let lines = self.log.lock().unwrap();
        lines
            .iter()
            .map(|line| {
                let entry: Value = serde_json::from_str(line).expect("the log is JSON lines");
                let level = entry["level"].as_str().unwrap();
                assert!(["error", "warn", "info", "debug", "silly"].contains(&level));
                assert!(entry["timestamp"].is_string(), "{line}");
                entry["message"].as_str().unwrap().to_owned()
            })
            .collect()
    }

    /// The level of the first message with this part.
    pub(crate) fn level_of(&self, part: &str) -> Option<String> {
        let lines = self.log.lock().unwrap();
        let line = lines.iter().find(|line| line.contains(part))?;
        let entry: Value = serde_json::from_str(line).unwrap();
        Some(entry["level"].as_str().unwrap().to_owned())
    }

    /// Waits until a message with this part is logged.
    pub(crate) async fn logs(&self, part: &str) {
        eventually(part, async || {
            self.messages().iter().any(|message| message.contains(part))
        })
        .await;
    }

    /// The value of a metric, by name.
    pub(crate) async fn metric(&self, name: &str) -> f64 {
        let text = super::http(
            self.port,
            "GET /metrics HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
        )
        .await;
        let line = text
            .lines()
            .find(|line| line.split([' ', '{']).next() == Some(name));
        line.and_then(|line| line.rsplit(' ').next()?.parse().ok())
            .unwrap_or_else(|| panic!("no {name} in {text}"))
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Whether the process runs.
    pub(crate) fn is_running(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }

    /// Asks it to stop and waits for that.
    pub(crate) async fn stop(&mut self) -> ExitStatus {
        kill_process(
            Pid::from_raw(self.child.id().cast_signed()).unwrap(),
            Signal::TERM,
        )
        .unwrap();
        let end = Instant::now() + PATIENCE;
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                assert_eq!(status.signal(), None);
                return status;
            }
            assert!(Instant::now() < end, "the server doesn't stop");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if thread::panicking() {
            for line in self.log.lock().unwrap().iter().rev().take(40).rev() {
                eprintln!("server: {line}");
            }
        }
    }
}

/// Runs the binary to its end; gives its code, standard output and standard error.
pub(crate) fn run_to_end(
    arguments: &[&str],
    environment: &[(&str, &str)],
    config: Option<&str>,
) -> (i32, String, String) {
    let folder = tempfile::tempdir().unwrap();
    if let Some(text) = config {
        std::fs::write(folder.path().join("config.json"), text).unwrap();
    }
    let mut child = Command::new(env!("CARGO_BIN_EXE_superset-websocket"))
        .args(arguments)
        .env_clear()
        .envs(environment.iter().copied())
        .current_dir(folder.path())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let (mut out, mut err) = (String::new(), String::new());
    child
        .stdout
        .take()
        .unwrap()
        .read_to_string(&mut out)
        .unwrap();
    child
        .stderr
        .take()
        .unwrap()
        .read_to_string(&mut err)
        .unwrap();
    (child.wait().unwrap().code().unwrap(), out, err)
}

fn merge(base: &mut Value, other: Value) {
    match (base, other) {
        (Value::Object(base), Value::Object(other)) => {
            for (name, value) in other {
                merge(base.entry(name).or_insert(Value::Null), value);
            }
        }
        (base, other) => *base = other,
    }
}
