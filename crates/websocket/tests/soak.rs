//! Half a minute of what production does in a year: Redis restarts, slow clients, clients that
//! come and go by the dozen. No event that Redis acknowledged is lost, none comes twice.
//!
//! `SOAK_SECONDS` makes it longer, `SOAK_IDLE_SOCKETS` adds sockets that only stay; `sandbox soak
//! websocket` sets both.

use std::collections::{HashMap, HashSet};
use std::net::Ipv4Addr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use futures::StreamExt;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use serde_json::json;
use tokio::time::{sleep, timeout};
use tokio_tungstenite::tungstenite::Message;

use crate::support::{Client, Redis, SECRET, Server, connect, eventually, token};

/// Channels with a client each that comes and goes.
const CLIENTS: usize = 60;
/// What the pages of catch-ups take when all come at once, which on a busy machine may be late: 32
/// of 200 events.
const PAGES_KIB: u64 = 8 * 1024;

/// What a channel was sent and what arrived.
#[derive(Default)]
struct Channel {
    /// Jobs in the order of their writing; what wasn't acknowledged may or may not exist.
    sent: Vec<(String, bool)>,
    received: Vec<String>,
}

type Book = Arc<Mutex<HashMap<String, Channel>>>;

/// A number of the environment.
fn setting(name: &str, default: u32) -> u32 {
    std::env::var(name).map_or(default, |text| text.parse().expect("a number"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_lost_and_nothing_comes_twice() {
    let seconds = setting("SOAK_SECONDS", 30);
    let idle_sockets = setting("SOAK_IDLE_SOCKETS", 0);
    raise_file_limit(idle_sockets);
    let mut redis = Redis::start().await;
    // Pings of many sockets must leave the machine time for the rest.
    let interval = if idle_sockets > 1000 { 5000 } else { 500 };
    let settings =
        json!({"pingSocketsIntervalMs": interval, "socketResponseTimeoutMs": interval * 6});
    let mut server = Server::start(&redis, settings).await;
    let book: Book = Arc::default();
    let stop = Arc::new(AtomicBool::new(false));
    let port = server.port;

    let writer = tokio::spawn(write(redis.port, Arc::clone(&book), Arc::clone(&stop)));
    let mut readers = Vec::new();
    for index in 0..CLIENTS {
        let (book, stop) = (Arc::clone(&book), Arc::clone(&stop));
        readers.push(tokio::spawn(read(port, index, book, stop)));
    }
    let mut slow = Vec::new();
    for index in 0..5 {
        slow.push(connect(&server, &format!("channel-{index}"), "").await);
    }
    for index in 0..idle_sockets {
        tokio::spawn(stay(port, index).await);
    }
    let end = Instant::now() + Duration::from_secs(seconds.into());
    let mut memory = Vec::new();
    while Instant::now() < end {
        sleep(Duration::from_secs(3)).await;
        redis.kill();
        sleep(Duration::from_millis(300)).await;
        redis.run().await;
        memory.push(resident_kib(&server));
        assert!(server.is_running());
    }
    stop.store(true, Ordering::Relaxed);
    writer.await.unwrap();
    server.ready().await;
    let missing = || {
        let book = book.lock().unwrap();
        book.iter()
            .map(|(name, channel)| (name.clone(), channel.missing()))
            .find(|(_, missing)| !missing.is_empty())
    };
    eventually("every acknowledged event", async || missing().is_none()).await;
    for reader in readers {
        reader.abort();
    }
    let open = server.metric("ws_open_sockets").await;
    assert!(open >= f64::from(idle_sockets), "{open} sockets are left");
    let book = book.lock().unwrap();
    let events: usize = book.values().map(|channel| channel.received.len()).sum();
    assert!(events > 1000, "{events} events are no load");
    for (name, channel) in book.iter() {
        channel.judge(name);
    }
    // What is resident settles after the first rounds.
    let (early, late) = memory.split_at(memory.len() / 2);
    let (early, late) = (early.iter().max().unwrap(), late.iter().max().unwrap());
    assert!(
        *late < early + early / 4 + PAGES_KIB,
        "resident memory grows: {memory:?} KiB"
    );
}

impl Channel {
    /// Acknowledged jobs that haven't arrived.
    fn missing(&self) -> Vec<String> {
        let received: HashSet<&String> = self.received.iter().collect();
        self.sent
            .iter()
            .filter(|(job, acknowledged)| *acknowledged && !received.contains(job))
            .map(|(job, _)| job.clone())
            .collect()
    }

    /// All that arrived was sent, in that order and once.
    fn judge(&self, name: &str) {
        let places: HashMap<&str, usize> = self
            .sent
            .iter()
            .enumerate()
            .map(|(place, (job, _))| (job.as_str(), place))
            .collect();
        let order: Vec<usize> = self
            .received
            .iter()
            .map(|job| places[job.as_str()])
            .collect();
        assert!(
            order.windows(2).all(|pair| pair[0] < pair[1]),
            "{name}: twice or out of order: {:?}",
            self.received
        );
    }
}

/// Writes events to all channels until told to stop.
async fn write(redis_port: u16, book: Book, stop: Arc<AtomicBool>) {
    let mut publisher = None;
    for number in 0.. {
        if stop.load(Ordering::Relaxed) {
            return;
        }
        let channel = format!("channel-{}", number % CLIENTS);
        let job = number.to_string();
        book.lock()
            .unwrap()
            .entry(channel.clone())
            .or_default()
            .sent
            .push((job.clone(), false));
        if publisher.is_none() {
            publisher = Redis::connect_to(redis_port).await.ok();
        }
        let written = match &mut publisher {
            Some(publisher) => publisher.event(&channel, &job).await.is_ok(),
            None => false,
        };
        if written {
            if let Some(last) = book
                .lock()
                .unwrap()
                .get_mut(&channel)
                .and_then(|channel| channel.sent.last_mut())
            {
                last.1 = true;
            }
        } else {
            publisher = None;
            sleep(Duration::from_millis(20)).await;
        }
    }
}

/// Comes with its last id, reads for a while, leaves in one way or another, again and again.
async fn read(port: u16, index: usize, book: Book, stop: Arc<AtomicBool>) {
    let channel = format!("channel-{index}");
    let cookie = format!(
        "async-token={}",
        token(&json!({"channel": channel}), SECRET)
    );
    // Before its first event a browser has no id; this one asks for all.
    let mut last = "0-0".to_owned();
    for round in 0.. {
        let Ok(mut client) = Client::with_cookie(port, &format!("?last_id={last}"), &cookie).await
        else {
            sleep(Duration::from_millis(50)).await;
            continue;
        };
        let stay = Duration::from_millis(100 + (index as u64 * 37 + round * 211) % 1500);
        let leave = Instant::now()
            + if stop.load(Ordering::Relaxed) {
                Duration::from_secs(30)
            } else {
                stay
            };
        while let Ok(Some(Ok(message))) = timeout(
            leave.saturating_duration_since(Instant::now()),
            client.socket.next(),
        )
        .await
        {
            if let Message::Text(text) = message {
                let event: serde_json::Value = serde_json::from_str(&text).unwrap();
                event["id"].as_str().unwrap().clone_into(&mut last);
                let job = event["job_id"].as_str().unwrap().to_owned();
                book.lock()
                    .unwrap()
                    .entry(channel.clone())
                    .or_default()
                    .received
                    .push(job);
            }
        }
        if round % 2 == 0 {
            let _ = client.socket.close(None).await;
        }
    }
}

/// Connects a socket that only answers pings, from one of several addresses: each has but some
/// 28,000 ports.
async fn stay(port: u16, index: u32) -> impl Future<Output = ()> {
    let source = Ipv4Addr::new(127, 0, 0, 1 + u8::try_from(index / 20_000).unwrap());
    let channel = format!("idle-{index}");
    let cookie = format!(
        "async-token={}",
        token(&json!({"channel": channel}), SECRET)
    );
    let client = Client::from_address(source, port, "", &cookie)
        .await
        .unwrap();
    client.socket.for_each(|_| async {})
}

/// Lets this process and the server it starts have so many sockets.
fn raise_file_limit(sockets: u32) {
    let limit = getrlimit(Resource::Nofile).maximum;
    assert!(
        limit.is_none_or(|limit| limit > u64::from(sockets) + 1000),
        "{sockets} sockets need more open files than may be had: {limit:?}"
    );
    let all = Rlimit {
        current: limit,
        maximum: limit,
    };
    setrlimit(Resource::Nofile, all).unwrap();
}

fn resident_kib(server: &Server) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", server.pid())).unwrap();
    let line = status
        .lines()
        .find(|line| line.starts_with("VmRSS"))
        .unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}
