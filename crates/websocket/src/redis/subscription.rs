//! Subscriptions to Pub/Sub channels.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use ::redis::RedisConnectionInfo;
use ::redis::aio::PubSub;
use tokio::time::timeout;
use tokio_util::io::InspectReader;

use super::{CONNECT_TIMEOUT, Link, LinkError, is_authentication};

/// How many bytes of published messages may wait. Redis itself lets go of a subscriber that is
/// 32 MiB behind.
const BACKLOG: usize = 32 * 1024 * 1024;

/// A connection subscribed to a Pub/Sub channel.
pub(crate) struct Subscription {
    pub(crate) messages: PubSub,
    /// Where it goes.
    pub(crate) address: String,
    /// What waits in `messages`, which would take in any number.
    pub(crate) backlog: Arc<Backlog>,
}

/// How many bytes came from Redis and wait to be handed out, roughly.
#[derive(Debug, Default)]
pub(crate) struct Backlog(AtomicUsize);

impl Backlog {
    fn grow(&self, bytes: usize) {
        self.0.fetch_add(bytes, Ordering::Relaxed);
    }

    /// Takes a message away that was handed out.
    pub(crate) fn shrink(&self, bytes: usize) {
        let waiting = self.0.load(Ordering::Relaxed);
        self.0
            .store(waiting.saturating_sub(bytes), Ordering::Relaxed);
    }

    /// Nothing waits.
    pub(crate) fn clear(&self) {
        self.0.store(0, Ordering::Relaxed);
    }

    /// Whether more waits than may.
    pub(crate) fn is_too_long(&self) -> bool {
        self.0.load(Ordering::Relaxed) > BACKLOG
    }
}

impl Link {
    /// A connection subscribed to a Pub/Sub channel.
    pub(crate) async fn subscribe(&self, channel: &str) -> Result<Subscription, LinkError> {
        let address = self.locate().await?;
        let name = address.to_string();
        let failed = |source| LinkError::Redis {
            address: name.clone(),
            source,
        };
        let make = async |info: RedisConnectionInfo| {
            let backlog = Arc::new(Backlog::default());
            let counted = Arc::clone(&backlog);
            let stream = self.open(&address, self.config.ssl).await?;
            let stream = InspectReader::new(stream, move |read: &[u8]| counted.grow(read.len()));
            let mut messages = PubSub::new(&info, stream).await.map_err(failed)?;
            messages.subscribe(channel).await.map_err(failed)?;
            Ok(Subscription {
                messages,
                address: name.clone(),
                backlog,
            })
        };
        let attempt = async {
            match make(self.credentials()).await {
                Err(error) if is_authentication(&error) => {
                    match self.connect_unasked(&address).await {
                        Some(_) => make(self.without_password()).await,
                        None => Err(error),
                    }
                }
                other => other,
            }
        };
        timeout(CONNECT_TIMEOUT, attempt)
            .await
            .map_err(|_| LinkError::Timeout {
                address: name.clone(),
            })?
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_backlog_is_what_came_and_was_not_handed_out() {
        let backlog = Backlog::default();
        for _ in 0..3 {
            backlog.grow(BACKLOG - 100);
            assert!(!backlog.is_too_long());
            backlog.shrink(BACKLOG - 110);
        }
        backlog.grow(BACKLOG - 20);
        assert!(backlog.is_too_long(), "what is counted too little adds up");
        backlog.clear();
        backlog.shrink(1);
        backlog.grow(BACKLOG);
        assert!(!backlog.is_too_long());
    }
}
