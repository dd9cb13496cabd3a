//! A real browser, with a page that does what Superset's does.

use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};

use rustix::process::{Pid, Signal, kill_process_group};
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use crate::support::{Redis, SECRET, Server, eventually, free_port, token};

/// Connects with the cookie, keeps the last id, comes back after a close, reports each event.
const PAGE: &str = r#"<!doctype html><title>events</title><script>
let report = Promise.resolve();
const tell = (path) => { report = report.then(() => fetch(path)); };
function connect() {
  const last = localStorage.getItem("last_async_event_id");
  const socket = new WebSocket("ws://127.0.0.1:PORT/" + (last ? "?last_id=" + last : ""));
  socket.onopen = () => tell("/open");
  socket.onclose = () => setTimeout(connect, 200);
  socket.onmessage = (message) => {
    const event = JSON.parse(message.data);
    localStorage.setItem("last_async_event_id", event.id);
    tell("/job/" + event.job_id);
  };
}
connect();
</script>"#;

/// A browser with a folder of its own. It ends with the test, and so do its processes.
struct Browser {
    child: Child,
    _folder: tempfile::TempDir,
}

impl Browser {
    fn open(url: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let child = Command::new(opsweek_sandbox::packages::browser(&|_| ()).unwrap())
            .args([
                "--headless",
                "--no-sandbox",
                "--disable-gpu",
                "--disable-quic",
                "--no-first-run",
            ])
            .args([
                "--disable-background-networking",
                "--disable-component-update",
                "--disable-sync",
            ])
            .args(["--disable-dev-shm-usage", "--remote-debugging-port=0"])
            .arg(format!("--user-data-dir={}", folder.path().display()))
            .arg(url)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .process_group(0)
            .spawn()
            .unwrap();
        Self {
            child,
            _folder: folder,
        }
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        let _ = kill_process_group(Pid::from_child(&self.child), Signal::KILL);
        let _ = self.child.wait();
    }
}

/// Serves the page with its cookie and notes what it asks for.
async fn serve(
    listener: TcpListener,
    page: String,
    cookie: String,
    asked: Arc<Mutex<Vec<String>>>,
) {
    loop {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut request = Vec::new();
        while !request.ends_with(b"\r\n\r\n") {
            match stream.read_u8().await {
                Ok(byte) => request.push(byte),
                Err(_) => break,
            }
        }
        let path = String::from_utf8_lossy(&request)
            .split(' ')
            .nth(1)
            .unwrap_or_default()
            .to_owned();
        let body = if path == "/" { page.as_str() } else { "" };
        asked.lock().unwrap().push(path);
        let answer = format!(
            "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nConnection: close\r\nContent-Length: {}\r\n\
             Set-Cookie: async-token={cookie}; HttpOnly; Path=/\r\n\r\n{body}",
            body.len()
        );
        // A browser that went away is judged by what it asked for.
        let _ = stream.write_all(answer.as_bytes()).await;
    }
}

#[tokio::test]
async fn a_browser_that_loses_its_connection_has_every_event_once() {
    let redis = Redis::start().await;
    let mut publisher = redis.connect().await;
    let config = json!({"port": free_port()});
    let mut server = Server::start(&redis, config.clone()).await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!(
        "http://127.0.0.1:{}/",
        listener.local_addr().unwrap().port()
    );
    let asked: Arc<Mutex<Vec<String>>> = Arc::default();
    let cookie = token(&json!({"channel": "browser", "sub": "1"}), SECRET);
    let page = PAGE.replace("PORT", &server.port.to_string());
    tokio::spawn(serve(listener, page, cookie, Arc::clone(&asked)));
    let asked_for = |path: &str| {
        asked
            .lock()
            .unwrap()
            .iter()
            .filter(|one| one.as_str() == path)
            .count()
    };

    let _browser = Browser::open(&url);
    eventually("the first connection", async || asked_for("/open") == 1).await;
    for job in 0..5 {
        publisher.event("browser", &job.to_string()).await.unwrap();
    }
    eventually("the first events", async || asked_for("/job/4") == 1).await;
    for connection in 2..4 {
        // The server goes away, events happen, another one comes.
        let from = (connection - 1) * 10;
        assert_eq!(server.stop().await.code(), Some(0));
        for job in from..from + 3 {
            publisher.event("browser", &job.to_string()).await.unwrap();
        }
        server = Server::start(&redis, config.clone()).await;
        eventually("a reconnect", async || asked_for("/open") == connection).await;
        for job in from + 3..from + 5 {
            publisher.event("browser", &job.to_string()).await.unwrap();
        }
        eventually("the events since", async || {
            asked_for(&format!("/job/{}", from + 4)) == 1
        })
        .await;
    }
    let jobs: Vec<String> = asked
        .lock()
        .unwrap()
        .iter()
        .filter_map(|path| Some(path.strip_prefix("/job/")?.to_owned()))
        .collect();
    let expected: Vec<String> = [0..5, 10..15, 20..25]
        .into_iter()
        .flatten()
        .map(|job| job.to_string())
        .collect();
    assert_eq!(jobs, expected);
}
