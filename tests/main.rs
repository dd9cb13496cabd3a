//! End-to-end tests: the real binaries against the sandbox's real servers, judged by the
//! servers' own clients. `cargo verify` starts the servers and runs them.

mod offboard;
mod support;
