//! The server as its clients see it: the real binary, a real Redis, a real browser.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stderr,
    reason = "helpers of tests fail tests"
)]

mod browser;
mod catch_up;
mod delivery;
mod handshake;
mod links;
mod process;
mod realtime;
mod soak;
mod support;
