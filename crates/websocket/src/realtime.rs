//! Events by Redis Pub/Sub (Superset 7): one channel for all, messages that say whom they are for.

use std::borrow::Cow;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::{FutureExt, StreamExt};
use tokio::task::unconstrained;
use tokio::time::{MissedTickBehavior, interval, timeout};
use tracing::{error, info};
use tungstenite::protocol::frame::coding::CloseCode;

use crate::frame;
use crate::hub::Hub;
use crate::js::{self, Repaired, Value};
use crate::redis::{Link, LinkError, Subscription, backoff};
use crate::server::Health;
use crate::socket::Socket;

/// The Pub/Sub channel, fixed in Superset.
const CHANNEL: &str = "realtime";
/// The scope of messages that every socket gets.
const GLOBAL: &str = "authenticated_global";
/// How often the subscription is tried out, and how long Redis may take to answer.
const PROBE: Duration = Duration::from_secs(5);

/// Hands messages out for ever. While there is no subscription, there are no sockets either: what
/// is published then reaches nobody, and browsers poll.
pub(crate) async fn read(link: &Arc<Link>, hub: &Hub, health: &Health) {
    let mut failures = 0;
    loop {
        let Err(error) = read_subscription(link, hub, health, &mut failures).await;
        health.set(false);
        hub.metrics.redis_up.set(0.0);
        hub.metrics.redis_errors.increment(1);
        hub.close_all(CloseCode::Restart, "no subscription");
        failures += 1;
        error!("Redis connection error: {}", error.chain());
        tokio::time::sleep(backoff(failures)).await;
    }
}

async fn read_subscription(
    link: &Link,
    hub: &Hub,
    health: &Health,
    failures: &mut u32,
) -> Result<Infallible, LinkError> {
    let Subscription {
        messages,
        address,
        backlog,
    } = link.subscribe(CHANNEL).await?;
    info!("subscribed to {CHANNEL} of Redis at {address}");
    *failures = 0;
    health.set(true);
    hub.metrics.redis_up.set(1.0);
    let (mut sink, mut messages) = messages.split();
    let mut probe = interval(PROBE);
    probe.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut dirty = Vec::new();
    loop {
        // Not the runtime's turns are to end this, but that no message is there.
        let message = if let Some(message) = unconstrained(messages.next()).now_or_never() {
            message
        } else {
            backlog.clear();
            tokio::select! {
                message = messages.next() => message,
                _ = probe.tick() => match timeout(PROBE, sink.ping::<::redis::Value>()).await {
                    Ok(Ok(_)) => continue,
                    Ok(Err(source)) => return Err(LinkError::Redis { address, source }),
                    Err(_) => return Err(LinkError::Timeout { address }),
                },
            }
        };
        let Some(message) = message else {
            let source = std::io::ErrorKind::ConnectionReset.into();
            return Err(LinkError::Connect { address, source });
        };
        if backlog.is_too_long() {
            return Err(LinkError::Overrun { address });
        }
        let text = message.get_payload_bytes();
        backlog.shrink(text.len());
        hub.metrics.events.increment(1);
        if let Err(reason) = hand_out(text, hub, &mut dirty) {
            error!("message is dropped: {reason}");
        }
        hub.flush(&mut dirty).await;
        tokio::task::coop::consume_budget().await;
    }
}

/// Hands one message out; the reason why it can't be names no part of it.
fn hand_out(text: &[u8], hub: &Hub, dirty: &mut Vec<Arc<Socket>>) -> Result<(), &'static str> {
    let text = js::repair(text.to_vec());
    let message = Value::read(&text.text).map_err(|_| "it is not JSON")?;
    let (routes, frame) = read_message(&message, &text)?;
    hub.broadcast(routes.as_deref(), frame, dirty);
    Ok(())
}

/// The routes of a message, `None` for all sockets, and what they get.
fn read_message<'a>(
    message: &'a Value<'_>,
    text: &Repaired,
) -> Result<(Option<Vec<&'a str>>, Bytes), &'static str> {
    fn named<'a, 'b>(value: &'a Value<'b>) -> Option<&'a Cow<'b, str>> {
        match value {
            Value::Text(text) if !text.is_empty() => Some(text),
            _ => None,
        }
    }
    let topic = message
        .get("topic")
        .and_then(named)
        .ok_or("it has no topic")?;
    let scope = message
        .get("scope")
        .and_then(named)
        .ok_or("it has no scope")?;
    let payload = message.get("payload").ok_or("it has no payload")?;
    let routes = match message.get("routes") {
        None => Vec::new(),
        Some(Value::Array(routes)) => routes
            .iter()
            .map(|route| named(route).map(AsRef::as_ref))
            .collect::<Option<_>>()
            .ok_or("its routes are not all names")?,
        Some(_) => return Err("its routes are no list"),
    };
    let frame = frame::text(text.text.len(), |json| {
        json.extend_from_slice(b"{\"topic\":");
        js::write_text(topic, json);
        json.extend_from_slice(b",\"payload\":");
        payload.write(json);
        json.push(b'}');
        if text.halves {
            js::restore_halves(json);
        }
    });
    Ok((if scope == GLOBAL { None } else { Some(routes) }, frame))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_text(text: &str) -> Result<(Option<Vec<String>>, String), &'static str> {
        let text = js::repair(text.as_bytes().to_vec());
        let message = Value::read(&text.text).map_err(|_| "no JSON")?;
        let (routes, frame) = read_message(&message, &text)?;
        let routes = routes.map(|routes| routes.into_iter().map(str::to_owned).collect());
        Ok((routes, String::from_utf8(frame[2..].to_vec()).unwrap()))
    }

    #[test]
    fn only_topic_and_payload_go_out() {
        let out = "{\"topic\":\"t\",\"payload\":{\"b\":1,\"a\":1}}".to_owned();
        let text = r#"{"payload": {"b": 1.0, "a": 1}, "scope": "x", "routes": ["user:1"], "topic": "t", "more": 1}"#;
        assert_eq!(read_text(text), Ok((Some(vec!["user:1".to_owned()]), out)));
        let global =
            r#"{"topic": "t", "scope": "authenticated_global", "routes": ["x"], "payload": null}"#;
        assert_eq!(
            read_text(global),
            Ok((None, "{\"topic\":\"t\",\"payload\":null}".to_owned()))
        );
        let half = r#"{"topic": "\ud800", "scope": "x", "payload": ["\udc00", 1e999]}"#;
        assert_eq!(
            read_text(half).unwrap().1,
            r#"{"topic":"\ud800","payload":["\udc00",null]}"#
        );
        let nobody = r#"{"topic": "t", "scope": "user", "payload": 1}"#;
        assert_eq!(read_text(nobody).unwrap().0, Some(vec![]));
    }

    #[test]
    fn messages_of_another_form_are_dropped() {
        for text in [
            "[]",
            "null",
            r#"{"topic": "", "scope": "x", "payload": 1}"#,
            r#"{"topic": "t", "payload": 1}"#,
            r#"{"topic": "t", "scope": 3, "payload": 1}"#,
            r#"{"topic": "t", "scope": "x"}"#,
            r#"{"topic": "t", "scope": "x", "routes": "user:1", "payload": 1}"#,
            r#"{"topic": "t", "scope": "x", "routes": ["user:1", ""], "payload": 1}"#,
        ] {
            assert!(read_text(text).is_err(), "{text}");
        }
    }
}
