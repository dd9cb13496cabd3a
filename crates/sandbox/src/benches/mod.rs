//! Comparisons and long runs that need more than a few lines.

pub(crate) mod db_sync;
pub(crate) mod newwiki;
pub(crate) mod offboard;
pub(crate) mod websocket;
