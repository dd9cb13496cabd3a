//! Redis and its Sentinel, judged by their own client.
#![expect(clippy::unwrap_used, reason = "a test's helpers fail as the test does")]

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use opsweek_sandbox::{Sandbox, Service, UpOptions, redis::MASTER};

fn quiet(_: &str) {}

/// The answer to a command, by way of one of the ports.
fn ask(sandbox: &Sandbox, name: &str, words: &[&str]) -> String {
    let servers = sandbox.status().unwrap().servers;
    let port = servers.iter().find_map(|server| server.ports.get(name));
    let mut client = Command::new("redis-cli");
    client.args(["-h", "127.0.0.1", "-p", &port.unwrap().to_string()]);
    if name.ends_with("-tls") {
        client
            .args(["--tls", "--cacert"])
            .arg(sandbox.dir().join("tls/ca.pem"));
    }
    let output = client.args(words).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

fn pids(sandbox: &Sandbox) -> Vec<(String, i32)> {
    let servers = sandbox.status().unwrap().servers;
    assert!(servers.iter().all(|server| server.healthy), "{servers:?}");
    let pids = servers.into_iter().map(|server| (server.name, server.pid));
    let mut pids: Vec<_> = pids.collect();
    pids.sort();
    pids
}

#[test]
fn redis_keeps_what_it_acknowledged_and_a_sentinel_knows_it() {
    let dir = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("redis");
    let sandbox = Sandbox::open(&dir).unwrap();
    sandbox.down(&quiet).unwrap();
    if dir.exists() {
        fs::remove_dir_all(&dir).unwrap();
    }
    let options = UpOptions {
        with: vec![Service::Redis],
        ..UpOptions::default()
    };
    sandbox.up(&options, &quiet).unwrap();
    let first = pids(&sandbox);
    let names: Vec<&str> = first.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["redis", "redis-sentinel"]);
    sandbox.up(&options, &quiet).unwrap();
    assert_eq!(pids(&sandbox), first, "what runs is left alone");

    assert_eq!(ask(&sandbox, "redis", &["SET", "a", "kept"]), "OK");
    sandbox.kill_server("redis").unwrap();
    sandbox.start_server("redis", &quiet).unwrap();
    assert_eq!(ask(&sandbox, "redis-tls", &["GET", "a"]), "kept");
    let port = ask(&sandbox, "redis", &["CONFIG", "GET", "port"]);
    let master = ["SENTINEL", "GET-MASTER-ADDR-BY-NAME", MASTER];
    for name in ["redis-sentinel", "redis-sentinel-tls"] {
        let address = ask(&sandbox, name, &master);
        assert_eq!(address, port.replace("port", "127.0.0.1"), "{name}");
    }
    sandbox.down(&quiet).unwrap();
    assert!(pids(&sandbox).is_empty());
}
