//! HTTP, refusals, and what a client may send.

use std::time::{Duration, Instant};

use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::{Config, TestRunner};
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::{Bytes, Message};

use crate::support::{PATIENCE, Redis, SECRET, Server, connect, free_port, http, token};

/// A server whose Redis is away, which none of these tests needs.
async fn server(config: serde_json::Value) -> Server {
    Server::start_unready(free_port(), config, &[]).await
}

fn cookie() -> String {
    format!(
        "Cookie: theme=caf\u{e9}; async-token={}\r\n",
        token(&json!({"channel": "a"}), SECRET)
    )
}

fn upgrade(line: &str, headers: &str) -> String {
    format!("{line}\r\nHost: x\r\nConnection: keep-alive, Upgrade\r\n{headers}\r\n")
}

const WEBSOCKET: &str = "Upgrade: websocket\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n";

#[tokio::test]
async fn health_is_liveness_and_ready_is_redis() {
    let server = server(json!({})).await;
    let ask = async |line: &str| {
        http(
            server.port,
            &format!("{line} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"),
        )
        .await
    };
    let health = ask("GET /health?x=1").await;
    assert!(
        health.starts_with("HTTP/1.1 200 OK\r\n") && health.ends_with("\r\n\r\nOK"),
        "{health}"
    );
    assert!(!health.to_lowercase().contains("content-type"), "{health}");
    let head = ask("HEAD /health").await;
    assert!(
        head.starts_with("HTTP/1.1 200 OK\r\n") && head.ends_with("\r\n\r\n"),
        "{head}"
    );
    assert!(ask("GET /ready").await.starts_with("HTTP/1.1 503 "));
    // A client that ends its side with the request gets the answer all the same.
    let mut stream = TcpStream::connect(("127.0.0.1", server.port))
        .await
        .unwrap();
    stream
        .write_all(b"GET /ready HTTP/1.1\r\nHost: x\r\n\r\n")
        .await
        .unwrap();
    stream.shutdown().await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 503 "), "{answer}");
    assert!(ask("GET /metrics").await.contains("ws_connected_client 0"));
    for line in [
        "GET /x/../health",
        "GET /./health",
        "GET http://other.example.org/health",
    ] {
        assert!(ask(line).await.starts_with("HTTP/1.1 200 "), "{line}");
    }
    for line in [
        "POST /health",
        "GET //health",
        "GET /Health",
        "GET /%68ealth",
        "GET /",
        "GET /healthz",
        "GET /health/",
        "DELETE /ready",
    ] {
        let answer = ask(line).await;
        assert!(
            answer.starts_with("HTTP/1.1 404 ") && answer.ends_with("Not Found"),
            "{line}: {answer}"
        );
    }
    server
        .logs("Received unexpected request: POST /health")
        .await;
}

#[tokio::test]
async fn refusals_have_a_status_and_a_reason_in_the_log() {
    let server = server(json!({"allowedOrigins": ["https://superset.example.org"]})).await;
    let good = format!(
        "{}Origin: https://superset.example.org\r\n{WEBSOCKET}",
        cookie()
    );
    let other = token(
        &json!({"channel": "a"}),
        "some other secret of the tests, 32 bytes",
    );
    for (line, headers, status) in [
        ("GET / HTTP/1.1", WEBSOCKET.to_owned(), 403),
        (
            "GET / HTTP/1.1",
            format!(
                "Origin: https://evil.example.org\r\n{}{WEBSOCKET}",
                cookie()
            ),
            403,
        ),
        ("GET / HTTP/1.1", good.replace("Cookie", "X-Cookie"), 401),
        ("GET / HTTP/1.1", good.replace("async-token", "other"), 401),
        (
            "GET / HTTP/1.1",
            format!(
                "Origin: https://superset.example.org\r\nCookie: async-token={other}\r\n{WEBSOCKET}"
            ),
            401,
        ),
        ("POST / HTTP/1.1", good.clone(), 405),
        (
            "GET / HTTP/1.1",
            good.replace("Upgrade: websocket", "Upgrade: h2c"),
            400,
        ),
        (
            "GET / HTTP/1.1",
            good.replace("dGhlIHNhbXBsZSBub25jZQ==", "short"),
            400,
        ),
        (
            "GET / HTTP/1.1",
            good.replace("Version: 13", "Version: 12"),
            400,
        ),
        (
            "GET / HTTP/1.1",
            format!("{good}Sec-WebSocket-Protocol: a,,b\r\n"),
            400,
        ),
        (
            "GET / HTTP/1.1",
            format!("{good}Sec-WebSocket-Protocol: a, b, a\r\n"),
            400,
        ),
        (
            "GET / HTTP/1.1",
            format!("{good}Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"),
            400,
        ),
        ("GET / HTTP/1.0", good.clone(), 400),
    ] {
        let answer = http(server.port, &upgrade(line, &headers)).await;
        assert_eq!(
            answer.split(' ').nth(1),
            Some(status.to_string().as_str()),
            "{headers}: {answer}"
        );
        assert!(
            answer.to_lowercase().contains("connection: close"),
            "{answer}"
        );
    }
    server
        .logs("Rejected WebSocket upgrade from 127.0.0.1: Origin not allowed")
        .await;
    server
        .logs("Rejected WebSocket upgrade from 127.0.0.1: JWT not present")
        .await;
    server
        .logs("Rejected WebSocket upgrade from 127.0.0.1: invalid signature")
        .await;
    assert!(server.metric("ws_upgrade_rejected").await >= 10.0);
    assert!(
        !server
            .messages()
            .iter()
            .any(|message| message.contains(&other)),
        "a token in the log"
    );
}

#[tokio::test]
async fn a_refusal_can_be_silent() {
    let server = Server::start_unready(free_port(), json!({}), &["--refusal", "destroy"]).await;
    assert_eq!(
        http(server.port, &upgrade("GET / HTTP/1.1", WEBSOCKET)).await,
        ""
    );
    let bad = format!("{}Upgrade: websocket\r\n", cookie());
    assert!(
        http(server.port, &upgrade("GET / HTTP/1.1", &bad))
            .await
            .starts_with("HTTP/1.1 400 ")
    );
}

#[tokio::test]
async fn an_accepted_upgrade_answers_as_the_rfc_wants() {
    let server = server(json!({})).await;
    let mut stream = TcpStream::connect(("127.0.0.1", server.port))
        .await
        .unwrap();
    let headers = format!(
        "{}{WEBSOCKET}Sec-WebSocket-Protocol: one, two\r\nSec-WebSocket-Extensions: permessage-deflate\r\n",
        cookie()
    );
    // A frame that comes with the handshake is not lost.
    let mut request = upgrade("GET //any/path?x HTTP/1.1", &headers).into_bytes();
    request.extend([0x89, 0x82, 0, 0, 0, 0, b'h', b'i']);
    stream.write_all(&request).await.unwrap();
    let mut answer = Vec::new();
    while !answer.ends_with(b"\x8a\x02hi") {
        answer.push(
            tokio::time::timeout(PATIENCE, stream.read_u8())
                .await
                .unwrap()
                .unwrap(),
        );
    }
    let answer = String::from_utf8_lossy(&answer).to_lowercase();
    for part in [
        "http/1.1 101 switching protocols\r\n",
        "\r\nupgrade: websocket\r\n",
        "\r\nconnection: upgrade\r\n",
        "\r\nsec-websocket-accept: s3pplmbitxaq9kygzzhzrbk+xoo=\r\n",
        "\r\nsec-websocket-protocol: one\r\n",
    ] {
        assert!(answer.contains(part), "{part} in {answer}");
    }
    assert!(!answer.contains("extensions"), "{answer}");
}

#[tokio::test]
async fn what_killed_the_node_server_does_not_kill_this_one() {
    let mut server = server(json!({"pingSocketsIntervalMs": 50})).await;
    for request in [
        "GET // HTTP/1.1\r\nHost: x",
        "GET / HTTP/1.1\r\nHost: a b",
        "GET / HTTP/1.1\r\nHost: [",
    ] {
        http(
            server.port,
            &format!("{request}\r\nConnection: close\r\n\r\n"),
        )
        .await;
        http(
            server.port,
            &format!(
                "{request}\r\nConnection: Upgrade\r\n{}{WEBSOCKET}\r\n",
                "Cookie: x\r\n"
            ),
        )
        .await;
    }
    for channel in ["constructor", "__proto__", "toString"] {
        let mut client = connect(&server, channel, "").await;
        client.send(Message::Pong("__proto__".into())).await;
        client.send(Message::Ping("still there?".into())).await;
        client.nothing_comes().await;
    }
    server
        .logs("pong received for nonexistent socket __proto__")
        .await;
    assert!(server.is_running());
    assert_eq!(server.status("/health").await, 200);
}

#[tokio::test]
async fn noise_is_survived() {
    let mut server = server(json!({})).await;
    let port = server.port;
    let mut runner = TestRunner::new(Config {
        cases: 150,
        ..Config::default()
    });
    let noise = (
        proptest::collection::vec(any::<u8>(), 0..200),
        "[ -~]{0,60}",
        "[ -~]{0,60}",
        proptest::collection::vec(any::<u8>(), 0..200),
    );
    let requests: Vec<Vec<u8>> = (0..150)
        .map(|_| {
            let (bytes, url, host, frames) = noise.new_tree(&mut runner).unwrap().current();
            match bytes.first().copied().unwrap_or(0) % 4 {
                0 => bytes,
                1 => format!("GET {url} HTTP/1.1\r\nHost: {host}\r\nCookie: {host}\r\n{WEBSOCKET}Connection: Upgrade\r\n\r\n").into_bytes(),
                kind => {
                    let mut request = upgrade("GET / HTTP/1.1", &format!("{}{WEBSOCKET}", cookie())).into_bytes();
                    if kind == 2 {
                        request.extend(frames);
                    } else {
                        // A pong, masked with zeros.
                        request.extend([0x8a, 0x80 | u8::try_from(url.len()).unwrap(), 0, 0, 0, 0]);
                        request.extend(url.bytes());
                    }
                    request
                }
            }
        })
        .collect();
    for request in requests {
        let mut stream = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
        stream.write_all(&request).await.unwrap();
        let _ = tokio::time::timeout(Duration::from_millis(5), stream.read(&mut [0; 512])).await;
    }
    assert!(server.is_running());
    assert_eq!(server.status("/health").await, 200);
}

#[tokio::test]
async fn client_frames_are_ignored_and_breaches_closed_with_their_code() {
    let server = server(json!({})).await;
    let mut client = connect(&server, "a", "").await;
    client.send(Message::text("x".repeat(70_000))).await;
    client.send(Message::binary(vec![0; 70_000])).await;
    client
        .send(Message::Close(Some(CloseFrame {
            code: CloseCode::Library(4321),
            reason: "bye".into(),
        })))
        .await;
    assert_eq!(
        client.closed().await,
        Some((CloseCode::Library(4321), "bye".to_owned()))
    );
    let unmasked = [0x81, 1, b'x'];
    let mut huge = vec![0x82, 0xff];
    huge.extend((100 * 1024 * 1024_u64 + 1).to_be_bytes());
    huge.extend([0; 4]);
    let bad_text = [0x81, 0x81, 0, 0, 0, 0, 0xff];
    for (bytes, code) in [(&unmasked[..], 1002_u16), (&huge, 1009), (&bad_text, 1007)] {
        let mut client = connect(&server, "a", "").await;
        client.socket.get_mut().write_all(bytes).await.unwrap();
        assert_eq!(
            client.closed().await.map(|(code, _)| u16::from(code)),
            Some(code)
        );
    }
    let mut quiet = connect(&server, "a", "").await;
    quiet.send(Message::Close(None)).await;
    assert_eq!(quiet.closed().await, None);
}

#[tokio::test]
async fn silent_clients_are_terminated_and_answering_ones_stay() {
    let server = server(json!({"pingSocketsIntervalMs": 50, "socketResponseTimeoutMs": 400})).await;
    let mut answering = connect(&server, "a", "").await;
    let mut silent = connect(&server, "b", "").await;
    let began = Instant::now();
    let driver = tokio::spawn(async move {
        assert!(
            tokio::time::timeout(Duration::from_millis(1500), answering.next())
                .await
                .is_err(),
            "it answers pings"
        );
        answering
    });
    // It reads the pings without the library that would answer them.
    let mut pings = Vec::new();
    silent.socket.get_mut().read_to_end(&mut pings).await.ok();
    assert!(began.elapsed() >= Duration::from_millis(400));
    assert_eq!(&pings[..2], [0x89, 36], "a ping of a UUID");
    assert!(
        !pings.windows(2).any(|pair| pair == [0x88, 2]),
        "no close frame"
    );
    let mut answering = driver.await.unwrap();
    answering.send(Message::Close(None)).await;
    assert_eq!(answering.closed().await, None);
}

#[tokio::test]
async fn a_stop_closes_every_socket_and_exits_with_0() {
    let redis = Redis::start().await;
    let mut server = Server::start(&redis, json!({})).await;
    let mut clients = vec![
        connect(&server, "a", "").await,
        connect(&server, "b", "").await,
    ];
    let mut deaf = TcpStream::connect(("127.0.0.1", server.port))
        .await
        .unwrap();
    deaf.write_all(upgrade("GET / HTTP/1.1", &format!("{}{WEBSOCKET}", cookie())).as_bytes())
        .await
        .unwrap();
    let closing = tokio::spawn(async move {
        for client in &mut clients {
            assert_eq!(
                client.closed().await.map(|(code, _)| code),
                Some(CloseCode::Away)
            );
        }
    });
    let began = Instant::now();
    assert_eq!(server.stop().await.code(), Some(0));
    assert!(began.elapsed() < Duration::from_secs(10));
    closing.await.unwrap();
}

#[tokio::test]
async fn limits_close_with_1013_and_count_open_sockets_only() {
    let server = server(json!({"maxConnectionsPerChannel": 2, "maxTotalConnections": 3})).await;
    let mut first = connect(&server, "a", "").await;
    let _second = connect(&server, "a", "").await;
    let mut third = connect(&server, "a", "").await;
    let (code, reason) = third.closed().await.unwrap();
    assert_eq!(code, CloseCode::Again);
    assert!(!reason.is_empty());
    let _other = connect(&server, "b", "").await;
    assert_eq!(
        connect(&server, "c", "")
            .await
            .closed()
            .await
            .map(|(code, _)| code),
        Some(CloseCode::Again)
    );
    first.send(Message::Close(None)).await;
    first.closed().await;
    let mut again = connect(&server, "a", "").await;
    again.send(Message::Ping(Bytes::new())).await;
    again.nothing_comes().await;
    assert!((server.metric("ws_connection_rejected").await - 2.0).abs() < 0.1);
}

#[tokio::test]
async fn a_request_may_have_many_headers() {
    let server = server(json!({})).await;
    let many = "x: a\r\n".repeat(1000);
    let request = format!("GET /health HTTP/1.1\r\nConnection: close\r\nHost: x\r\n{many}\r\n");
    let answer = http(server.port, &request).await;
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
}

/// A browser takes a 503 for what it is, and the Node.js server answers with it too.
#[tokio::test]
async fn no_redis_is_said_even_where_refusals_are_silent() {
    let settings = json!({"mode": "realtime", "refusal": "destroy"});
    let server = server(settings).await;
    let request = upgrade("GET / HTTP/1.1", WEBSOCKET);
    let answer = http(server.port, &request).await;
    assert!(answer.starts_with("HTTP/1.1 503 "), "{answer}");
}

#[tokio::test]
async fn a_refused_origin_is_an_error_and_a_refused_token_a_warning() {
    let server = server(json!({"allowedOrigins": ["https://superset.example.org"]})).await;
    let origin = format!("Origin: https://superset.example.org\r\n{WEBSOCKET}");
    for (headers, reason, level) in [
        (WEBSOCKET, "Origin not allowed", "error"),
        (&origin, "JWT not present", "warn"),
    ] {
        http(server.port, &upgrade("GET / HTTP/1.1", headers)).await;
        server.logs(reason).await;
        assert_eq!(server.level_of(reason).as_deref(), Some(level));
    }
}
