//! A redis-server in a folder of its own, on a free port of the loopback interface.

use std::path::Path;
use std::process::{Child, Stdio};

use opsweek_sandbox::redis as sandbox;
use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Client};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::json;
use tempfile::TempDir;

use super::eventually;

/// A port that nobody listens on at this moment.
pub(crate) fn free_port() -> u16 {
    opsweek_sandbox::free_port().unwrap()
}

/// A running redis-server. It ends with the test.
pub(crate) struct Redis {
    pub(crate) port: u16,
    /// What `{tls-port}` stands for in its arguments.
    pub(crate) tls_port: u16,
    pub(crate) folder: TempDir,
    arguments: Vec<String>,
    /// The port of the server that a Sentinel watches.
    master: Option<u16>,
    child: Option<Child>,
    password: Option<String>,
}

impl Redis {
    /// Starts one that keeps what it acknowledged.
    pub(crate) async fn start() -> Self {
        Self::start_with(&[]).await
    }

    /// Starts one with further arguments, of which `{dir}` is its folder.
    pub(crate) async fn start_with(arguments: &[&str]) -> Self {
        Self::stopped(arguments).start_anywhere().await
    }

    /// One that is yet to be run.
    pub(crate) fn stopped(arguments: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let place = folder.path().to_str().unwrap().to_owned();
        let arguments: Vec<String> = arguments
            .iter()
            .map(|text| text.replace("{dir}", &place))
            .collect();
        let password = arguments
            .iter()
            .position(|argument| argument == "--requirepass")
            .map(|index| arguments[index + 1].clone());
        Self {
            port: free_port(),
            tls_port: free_port(),
            folder,
            arguments,
            master: None,
            child: None,
            password,
        }
    }

    /// A Sentinel that watches the server on a port.
    pub(crate) async fn sentinel(master: u16) -> Self {
        let mut sentinel = Self::stopped(&[]);
        sentinel.master = Some(master);
        sentinel.start_anywhere().await
    }

    /// Runs it, on other ports if its own were taken by somebody else meanwhile.
    pub(crate) async fn start_anywhere(mut self) -> Self {
        eventually("redis-server", async || {
            if self.has_ended() {
                (self.port, self.tls_port) = (free_port(), free_port());
                self.spawn();
            }
            self.answers().await
        })
        .await;
        self
    }

    /// Runs it and waits until it answers.
    pub(crate) async fn run(&mut self) {
        eventually("redis-server", async || {
            if self.has_ended() {
                self.spawn();
            }
            self.answers().await
        })
        .await;
    }

    fn has_ended(&mut self) -> bool {
        match &mut self.child {
            Some(child) => child.try_wait().unwrap().is_some(),
            None => true,
        }
    }

    fn spawn(&mut self) {
        let mut command = match self.master {
            Some(master) => sandbox::sentinel(self.folder(), self.port, master),
            None => sandbox::server(self.folder(), self.port),
        }
        .unwrap();
        let tls_port = self.tls_port.to_string();
        let arguments = self.arguments.iter();
        command
            .args(arguments.map(|argument| argument.replace("{tls-port}", &tls_port)))
            .stdout(Stdio::null());
        self.child = Some(command.spawn().unwrap());
    }

    async fn answers(&self) -> bool {
        match self.try_connect().await {
            Ok(mut connection) => redis::cmd("PING")
                .query_async::<redis::Value>(&mut connection)
                .await
                .is_ok(),
            Err(error) => error.code() == Some("NOAUTH"),
        }
    }

    /// Ends it as a power failure would.
    pub(crate) fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }

    /// Makes it hang: connections stay, but nothing is answered.
    pub(crate) fn pause(&self) {
        self.signal(Signal::STOP);
    }

    /// Ends a pause.
    pub(crate) fn resume(&self) {
        self.signal(Signal::CONT);
    }

    fn signal(&self, signal: Signal) {
        let child = self.child.as_ref().expect("a running server");
        kill_process(Pid::from_child(child), signal).unwrap();
    }

    /// A connection to the one at a port.
    pub(crate) async fn connect_to(port: u16) -> redis::RedisResult<Publisher> {
        Ok(Publisher {
            connection: open(port, None).await?,
        })
    }

    async fn try_connect(&self) -> redis::RedisResult<MultiplexedConnection> {
        open(self.port, self.password.as_deref()).await
    }

    /// A connection of the test.
    pub(crate) async fn connect(&self) -> Publisher {
        Publisher {
            connection: self.try_connect().await.unwrap(),
        }
    }

    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }
}

async fn open(port: u16, password: Option<&str>) -> redis::RedisResult<MultiplexedConnection> {
    let auth = password
        .map(|password| format!(":{password}@"))
        .unwrap_or_default();
    let client = Client::open(format!("redis://{auth}127.0.0.1:{port}/"))?;
    let config = AsyncConnectionConfig::new().set_response_timeout(None);
    client
        .get_multiplexed_async_connection_with_config(&config)
        .await
}

impl Drop for Redis {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Writes what Superset writes.
#[derive(Clone)]
pub(crate) struct Publisher {
    pub(crate) connection: MultiplexedConnection,
}

impl Publisher {
    /// Runs a command given as words.
    pub(crate) async fn run(&mut self, words: &[&str]) -> redis::RedisResult<redis::Value> {
        let mut command = redis::cmd(words[0]);
        for word in &words[1..] {
            command.arg(word);
        }
        command.query_async(&mut self.connection).await
    }

    /// Adds an entry to a stream and gives its id. `stream` comes after the prefix.
    pub(crate) async fn add(
        &mut self,
        stream: &str,
        id: &str,
        data: &str,
    ) -> redis::RedisResult<String> {
        let key = format!("async-events-{stream}");
        redis::cmd("XADD")
            .arg(key)
            .arg(id)
            .arg("data")
            .arg(data)
            .query_async(&mut self.connection)
            .await
    }

    /// Writes an event as Superset does: to the channel's stream, then to the global one. Gives
    /// both ids.
    pub(crate) async fn event(
        &mut self,
        channel: &str,
        job: &str,
    ) -> redis::RedisResult<(String, String)> {
        let data = event(channel, job);
        let first = self.add(channel, "*", &data).await?;
        Ok((first, self.add("full", "*", &data).await?))
    }
}

/// An event's JSON as Superset writes it.
pub(crate) fn event(channel: &str, job: &str) -> String {
    json!({
        "channel_id": channel, "job_id": job, "user_id": "1", "status": "done", "errors": [], "result_url": "/r"
    })
    .to_string()
}
