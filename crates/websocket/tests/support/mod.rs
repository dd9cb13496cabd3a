//! A Redis and a server of a test's own, and clients for both.

mod client;
mod redis;
mod server;

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

pub(crate) use client::{Client, connect, http};
pub(crate) use redis::{Redis, event, free_port};
pub(crate) use server::{SECRET, Server, run_to_end, token};

/// How long anything may take to come about.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// Waits until a condition holds.
pub(crate) async fn eventually(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let end = Instant::now() + PATIENCE;
    while !holds().await {
        assert!(Instant::now() < end, "in vain waited for: {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Milliseconds since 1970.
pub(crate) fn now() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap()
        .as_millis()
        .try_into()
        .unwrap()
}
