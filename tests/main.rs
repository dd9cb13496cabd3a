//! End-to-end tests: the real binaries against the sandbox's real servers, judged by the
//! servers' own clients. `cargo verify` starts the servers and runs them.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test fails by a panic, in its helpers too"
)]

mod db_sync;
mod newwiki;
mod offboard;
mod private;
mod support;
