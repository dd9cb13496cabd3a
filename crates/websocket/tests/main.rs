//! The server as its clients see it: the real binary, a real Redis, a real browser.

mod browser;
mod catch_up;
mod delivery;
mod handshake;
mod links;
mod process;
mod realtime;
mod soak;
mod support;
