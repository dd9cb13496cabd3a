//! The start: configuration, exit codes, statsd, slow clients.

use std::net::UdpSocket;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use serde_json::json;
use tokio::io::AsyncReadExt;

use crate::support::{Redis, SECRET, Server, connect, eventually, free_port, run_to_end, token};

#[test]
fn a_short_secret_ends_the_start() {
    let (code, _, err) = run_to_end(&["start"], &[("JWT_SECRET", "short")], None);
    assert_eq!(code, 1);
    assert!(
        err.contains("ERROR: Please provide a JWT secret at least 32 bytes long"),
        "{err}"
    );
    assert!(!err.contains("short\""), "{err}");
}

#[test]
fn broken_and_missing_files_end_the_start_by_name() {
    let (code, _, err) = run_to_end(&[], &[("JWT_SECRET", SECRET)], Some("{\"port\": "));
    assert_eq!(code, 1);
    assert!(err.contains("config.json is not JSON"), "{err}");
    let (code, _, err) = run_to_end(
        &["--config", "elsewhere.json"],
        &[("JWT_SECRET", SECRET)],
        None,
    );
    assert_eq!(code, 1);
    assert!(err.contains("elsewhere.json can't be read"), "{err}");
    assert_eq!(run_to_end(&["--mode", "pubsub"], &[], None).0, 2);
}

#[test]
fn check_config_shows_values_and_sources_and_no_secret() {
    let environment = [
        ("JWT_SECRET", SECRET),
        ("REDIS_PORT", "7000"),
        ("PORT", "junk"),
    ];
    let file = r#"{"redis": {"password": "hush-hush"}, "logLevel": "debug", "typo": 1}"#;
    let (code, out, err) = run_to_end(
        &["--check-config", "--mode", "realtime"],
        &environment,
        Some(file),
    );
    assert_eq!(code, 0, "{err}");
    for line in [
        "redis.port = 7000  # environment REDIS_PORT",
        "logLevel = \"debug\"  # file config.json",
        "mode = \"realtime\"  # flag --mode",
        "jwtCookieName = \"superset-ws-token\"  # default",
        "port = 8080  # default",
        "redis.password = \"********\"  # file config.json",
    ] {
        assert!(out.lines().any(|one| one == line), "{line} in {out}");
    }
    assert!(!out.contains(SECRET) && !out.contains("hush-hush"), "{out}");
    assert!(
        err.contains("unknown key typo") && err.contains("PORT is not a number"),
        "{err}"
    );
    assert_eq!(run_to_end(&["--check-config"], &[], None).0, 1);
    let example = [("JWT_SECRET", "CHANGE-ME-CHANGE-ME-CHANGE-ME-CHANGE-ME")];
    let (code, _, err) = run_to_end(&["--check-config"], &example, None);
    assert_eq!((code, err.matches("WARNING").count()), (0, 2), "{err}");
}

#[test]
fn check_config_fails_where_the_start_would() {
    let environment = [("JWT_SECRET", SECRET)];
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("app.log");
    let unwritable = folder.path().join("missing/app.log");
    for (settings, said) in [
        (json!({"logToFile": true, "logFilename": log}), ""),
        (
            json!({"logToFile": true, "logFilename": unwritable}),
            "can't start the log",
        ),
        (
            json!({"host": "no-such-host.invalid"}),
            "can't listen on no-such-host.invalid:8080",
        ),
    ] {
        let text = settings.to_string();
        let (code, _, err) = run_to_end(&["--check-config"], &environment, Some(&text));
        assert!(err.contains(said), "{said} in {err}");
        assert_eq!(code, i32::from(!said.is_empty()), "{err}");
    }
    assert!(!log.exists(), "it only looks");
    let extra = [
        ("JWT_SECRET", SECRET),
        ("REDIS_SSL", "true"),
        ("NODE_EXTRA_CA_CERTS", "/nonexistent/ca.pem"),
    ];
    let (code, _, err) = run_to_end(&["--check-config"], &extra, None);
    assert!(
        code == 0 && err.contains("warning: going on without redis.extraCaFile"),
        "{err}"
    );
}

#[tokio::test]
async fn a_port_in_use_ends_the_start() {
    let first = Server::start_unready(free_port(), json!({}), &[]).await;
    let port = first.port.to_string();
    let environment = [("JWT_SECRET", SECRET), ("PORT", &port)];
    let (code, _, err) = run_to_end(&[], &environment, Some(r#"{"host": "127.0.0.1"}"#));
    assert_eq!(code, 1);
    assert!(
        err.contains("can't listen on") && err.contains("hint: another process"),
        "{err}"
    );
}

#[tokio::test]
async fn the_example_secret_is_warned_of_and_the_log_goes_to_a_file_too() {
    let redis = Redis::start().await;
    let file = redis.folder().join("app.log");
    let server = Server::start(&redis, json!({"logToFile": true, "logFilename": file})).await;
    server.status("/nowhere").await;
    eventually("the file", async || {
        std::fs::read_to_string(&file)
            .unwrap_or_default()
            .contains("Received unexpected request: GET /nowhere")
    })
    .await;
    server
        .logs("Received unexpected request: GET /nowhere")
        .await;
    let secret = "CHANGE-ME-CHANGE-ME-CHANGE-ME-CHANGE-ME";
    let (_, _, err) = run_to_end(
        &[],
        &[("JWT_SECRET", secret), ("PORT", &server.port.to_string())],
        Some(r#"{"host": "127.0.0.1"}"#),
    );
    assert_eq!(err.matches("WARNING").count(), 2, "{err}");
}

#[tokio::test]
async fn no_level_of_the_log_shows_a_payload_or_a_token() {
    let redis = Redis::start().await;
    let server = Server::start(&redis, json!({"logLevel": "silly"})).await;
    let mut client = connect(&server, "a", "").await;
    let mut publisher = redis.connect().await;
    let (_, id) = publisher.event("a", "hush-hush").await.unwrap();
    assert_eq!(client.jobs(1).await, ["hush-hush"]);
    publisher.add("full", "*", "{hush-hush").await.unwrap();
    let _caught_up = connect(&server, "a", "?last_id=0-0").await.jobs(1).await;
    server.status("/nowhere?token=hush-hush").await;
    server.logs(&format!("event {id} read")).await;
    server.logs("it is not JSON").await;
    server.logs("GET /nowhere").await;
    let token = token(&json!({"channel": "a", "sub": "1"}), SECRET);
    for message in server.messages() {
        assert!(
            !message.contains("hush-hush") && !message.contains(&token),
            "{message}"
        );
    }
}

/// A library for `LD_PRELOAD` whose lookup of names begins with some lines of C.
fn lookups(folder: &Path, first: &str) -> PathBuf {
    let (source, library) = (folder.join("lookup.c"), folder.join("lookup.so"));
    let code = format!(
        "#define _GNU_SOURCE\n#include <dlfcn.h>\n#include <netdb.h>\n#include <unistd.h>\n\
         int getaddrinfo(const char *node, const char *service, const struct addrinfo *hints, struct addrinfo **found) {{\n\
         {first}\n\
         int (*next)() = (int (*)()) dlsym(RTLD_NEXT, \"getaddrinfo\");\n\
         return next(node, service, hints, found);\n}}\n"
    );
    std::fs::write(&source, code).unwrap();
    let status = Command::new("cc")
        .args(["-w", "-shared", "-fPIC", "-o"])
        .args([&library, &source])
        .status();
    assert!(status.unwrap().success());
    library
}

#[tokio::test]
async fn a_lookup_that_hangs_holds_up_neither_the_start_nor_the_end() {
    let folder = tempfile::tempdir().unwrap();
    let library = lookups(folder.path(), "sleep(60);");
    let settings = json!({
        "port": 0, "host": "127.0.0.1", "jwtSecret": SECRET,
        "statsd": {"host": "statsd.example.org"}, "redis": {"host": "redis.example.org"}
    });
    let preload = [("LD_PRELOAD", library.to_str().unwrap())];
    let mut server = Server::spawn(&settings, &[], &preload).await;
    assert_eq!(server.status("/ready").await, 503);
    // It waits for less than the lookup takes.
    assert!(server.stop().await.success());
}

#[tokio::test]
async fn statsd_counts_as_the_node_server_counts() {
    let daemon = UdpSocket::bind("127.0.0.1:0").unwrap();
    daemon
        .set_read_timeout(Some(Duration::from_secs(10)))
        .unwrap();
    // The name can be IPv6 first, where a daemon seldom listens.
    let statsd = json!({"mock": false, "host": "localhost", "port": daemon.local_addr().unwrap().port(), "globalTags": ["env:test", "b", ""]});
    let server = Server::start_unready(free_port(), json!({"statsd": statsd}), &[]).await;
    let _client = connect(&server, "a", "").await;
    let mut buffer = [0; 512];
    let length = daemon.recv(&mut buffer).unwrap();
    assert_eq!(
        std::str::from_utf8(&buffer[..length]).unwrap().trim_end(),
        "ws_connected_client:1|c|#env:test,b,"
    );
    let metrics = crate::support::http(
        server.port,
        "GET /metrics HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
    )
    .await;
    assert!(
        metrics.contains("ws_connected_client{env=\"test\",b=\"true\"} 1"),
        "{metrics}"
    );
}

#[tokio::test]
async fn a_catch_up_does_not_make_a_client_a_slow_one() {
    let redis = Redis::start().await;
    let server = Server::start(&redis, json!({"maxSocketBufferBytes": 100_000})).await;
    let mut publisher = redis.connect().await;
    let padding = "x".repeat(50_000);
    for job in 0..300 {
        publisher
            .event("a", &format!("{job} {padding}"))
            .await
            .unwrap();
    }
    let mut client = connect(&server, "a", "?last_id=0-0").await;
    let page = async || server.metric("ws_caught_up_events").await > 199.5;
    eventually("a page of 10 MB", page).await;
    for job in ["300", "301"] {
        publisher.event("a", job).await.unwrap();
    }
    let read = async || server.metric("ws_events_read").await > 301.5;
    eventually("the live events", read).await;
    for job in 0..302 {
        let found = client.jobs(1).await.remove(0);
        assert_eq!(found.split(' ').next(), Some(job.to_string().as_str()));
    }
    assert!(server.metric("ws_client_backpressure_disconnect").await < 0.5);
}

#[tokio::test]
async fn a_statsd_whose_name_is_known_late_gets_all_counts() {
    let daemon = UdpSocket::bind("127.0.0.1:0").unwrap();
    daemon
        .set_read_timeout(Some(Duration::from_secs(20)))
        .unwrap();
    let folder = tempfile::tempdir().unwrap();
    let once = "static int calls; if (!calls++) return EAI_AGAIN;";
    let library = lookups(folder.path(), once);
    let settings = json!({
        "port": 0, "host": "127.0.0.1", "jwtSecret": SECRET, "redis": {"port": free_port()},
        "statsd": {"host": "localhost", "port": daemon.local_addr().unwrap().port()}
    });
    let preload = [("LD_PRELOAD", library.to_str().unwrap())];
    let server = Server::spawn(&settings, &[], &preload).await;
    server.logs("statsd at localhost").await;
    let _clients = (
        connect(&server, "a", "").await,
        connect(&server, "a", "").await,
    );
    let mut received = 0;
    while received < 2 {
        let mut buffer = [0; 512];
        let length = daemon.recv(&mut buffer).unwrap();
        let text = std::str::from_utf8(&buffer[..length]).unwrap();
        let count = text.strip_prefix("ws_connected_client:").unwrap();
        received += count.split('|').next().unwrap().parse::<u32>().unwrap();
    }
}

#[tokio::test]
async fn a_slow_client_is_disconnected_at_its_limit_and_holds_up_nobody() {
    let redis = Redis::start().await;
    let server = Server::start(&redis, json!({"maxSocketBufferBytes": 100_000})).await;
    let mut slow = connect(&server, "a", "").await;
    let mut quick = connect(&server, "a", "").await;
    let mut publisher = redis.connect().await;
    let padding = "x".repeat(50_000);
    let mut sent = 0;
    while server.metric("ws_client_backpressure_disconnect").await < 0.5 {
        publisher.event("a", &padding).await.unwrap();
        quick.event().await;
        sent += 1;
        assert!(
            sent < 2000,
            "a client that reads nothing is never disconnected"
        );
    }
    publisher.event("a", "next").await.unwrap();
    assert_eq!(quick.jobs(1).await, ["next"]);
    let mut rest = Vec::new();
    slow.socket.get_mut().read_to_end(&mut rest).await.ok();
    assert!(rest.len() < sent * padding.len());
}
