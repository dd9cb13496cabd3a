//! A run of events, and what it cost the server.

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use redis::aio::MultiplexedConnection;
use serde_json::{Value, json};
use tokio::sync::mpsc;
use tokio::time::sleep;

use crate::process::cpu_micros;
use crate::{Counts, Failure, Options, float, micros, rate};

/// A run of events, and how it is measured.
pub(crate) struct Phase<'a> {
    pub(crate) options: &'a Options,
    pub(crate) counts: &'a Counts,
    pub(crate) received: &'a mut mpsc::UnboundedReceiver<u64>,
    pub(crate) pid: u32,
    pub(crate) channels: u64,
    pub(crate) began: Instant,
}

impl Phase<'_> {
    /// Sends events, at a rate or as fast as Redis takes them, and waits for their deliveries.
    pub(crate) async fn run(
        &mut self,
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
