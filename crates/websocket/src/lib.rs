//! Superset's WebSocket server: pushes the results of asynchronous queries to browsers.
//!
//! A drop-in replacement of the server that comes with Superset: same configuration, same
//! protocols, for Superset 1.2 to 6 ([`config::Mode::Streams`]) and 7 ([`config::Mode::Realtime`]).
//! No input of a client can end it, no event is lost on a reconnect, and a refusal says why.
//!
//! ```no_run
//! use std::collections::BTreeMap;
//!
//! use superset_websocket::config::{Config, Flags};
//! use tokio_util::sync::CancellationToken;
//!
//! # async fn run() -> Result<(), Box<dyn std::error::Error>> {
//! let environment = BTreeMap::from([("JWT_SECRET".to_owned(), "shared with Superset, 32 or longer".to_owned())]);
//! let loaded = Config::load(None, &environment, &Flags::default())?;
//! superset_websocket::serve(loaded.config, CancellationToken::new()).await?;
//! # Ok(())
//! # }
//! ```

mod auth;
pub mod config;
mod frame;
mod gate;
mod http;
mod hub;
mod js;
pub mod log;
mod metrics;
mod realtime;
mod redis;
mod server;
mod socket;
mod streams;

pub use self::redis::LinkError;
pub use self::server::{ServerError, check, serve};
