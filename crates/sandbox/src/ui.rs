//! The one place of the library that prints.
#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "the sandbox is a command-line tool"
)]

use std::error::Error as _;
use std::time::Instant;

use crate::error::Error;
use crate::measure::Measured;
use crate::sandbox::Status;

/// Tells on standard error what goes on, with the seconds since now.
pub fn progress() -> impl Fn(&str) + Sync {
    let start = Instant::now();
    move |line| eprintln!("[{:6.1} s] {line}", start.elapsed().as_secs_f64())
}

/// A line on standard output.
pub fn line(text: &str) {
    println!("{text}");
}

/// An error with its causes and the way out, on standard error.
pub fn error(error: &Error) {
    eprintln!("error: {error}");
    let mut cause = error.source();
    while let Some(error) = cause {
        eprintln!("caused by: {error}");
        cause = error.source();
    }
    if let Some(hint) = error.hint() {
        eprintln!("hint: {hint}");
    }
}

/// What the next lines are about.
pub fn heading(text: &str) {
    println!("\n== {text} ==");
}

/// Comparisons: a table, or JSON.
pub fn measured(results: &[Measured], json: bool) {
    if json {
        println!("{}", serde_json::json!({ "results": results }));
        return;
    }
    for result in results {
        println!(
            "{}: ours {:.2} s, theirs {:.2} s, ratio {:.2}",
            result.name, result.ours_s, result.theirs_s, result.ratio
        );
    }
}

/// What runs: a table, or JSON.
pub fn status(status: &Status, json: bool) {
    if json {
        println!("{:#}", serde_json::json!(status));
        return;
    }
    for server in &status.servers {
        let state = if server.healthy { "up" } else { "not ready" };
        println!("{:<12} {state}, pid {}", server.name, server.pid);
        for (name, port) in &server.ports {
            println!("             127.0.0.1:{port:<5} {name}");
        }
    }
    for host in &status.hosts {
        println!("{:<22} {}:{}", host.name, host.address, host.port);
    }
    if status.servers.is_empty() && status.hosts.is_empty() {
        println!("nothing is up");
    }
}
