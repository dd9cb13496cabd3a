//! The protocol of Superset 7.

use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;

use crate::support::{Client, Redis, SECRET, Server, eventually, free_port, now, token};

fn claims(user: u32) -> Value {
    json!({
        "channel": format!("user:{user}"), "sub": user.to_string(), "principal_type": "user",
        "aud": "superset-websocket", "iss": "superset", "exp": now() / 1000 + 600
    })
}

async fn connect(server: &Server, claims: &Value, query: &str) -> Client {
    Client::with_cookie(
        server.port,
        query,
        &format!("superset-ws-token={}", token(claims, SECRET)),
    )
    .await
    .unwrap()
}

async fn publish(redis: &Redis, message: &Value) {
    let text = message.to_string();
    redis
        .connect()
        .await
        .run(&["PUBLISH", "realtime", &text])
        .await
        .unwrap();
}

#[tokio::test]
async fn messages_go_to_their_routes() {
    let redis = Redis::start().await;
    let server = Server::start(&redis, json!({"mode": "realtime"})).await;
    let mut tab = connect(&server, &claims(1), "?tab_id=tab-1").await;
    let mut same = connect(&server, &claims(1), "?tab_id=no%20tab").await;
    let mut other = connect(&server, &claims(2), "").await;
    eventually("three sockets", async || {
        (server.metric("ws_open_sockets").await - 3.0).abs() < 0.1
    })
    .await;
    publish(&redis, &json!({"topic": "t", "scope": "user", "routes": ["user:1", "user:1:tab-1", "user:1"], "payload": 1})).await;
    publish(
        &redis,
        &json!({"topic": "t", "scope": "tab", "routes": ["user:1:tab-1"], "payload": {"n": 2}}),
    )
    .await;
    publish(
        &redis,
        &json!({"topic": "t", "scope": "nobody", "payload": 3}),
    )
    .await;
    publish(
        &redis,
        &json!({"topic": "", "scope": "authenticated_global", "payload": 4}),
    )
    .await;
    publish(
        &redis,
        &json!({"topic": "t", "scope": "authenticated_global", "routes": [], "payload": 5}),
    )
    .await;
    assert_eq!(tab.text().await, r#"{"topic":"t","payload":1}"#);
    assert_eq!(tab.text().await, r#"{"topic":"t","payload":{"n":2}}"#);
    assert_eq!(tab.text().await, r#"{"topic":"t","payload":5}"#);
    assert_eq!(same.text().await, r#"{"topic":"t","payload":1}"#);
    assert_eq!(same.text().await, r#"{"topic":"t","payload":5}"#);
    assert_eq!(other.text().await, r#"{"topic":"t","payload":5}"#);
    server.logs("message is dropped: it has no topic").await;
}

#[tokio::test]
async fn without_redis_sockets_close_with_1012_and_upgrades_are_refused() {
    let mut redis = Redis::start().await;
    let server = Server::start(&redis, json!({"mode": "realtime"})).await;
    let mut client = connect(&server, &claims(1), "").await;
    redis.kill();
    assert_eq!(
        client.closed().await.map(|(code, _)| code),
        Some(CloseCode::Restart)
    );
    assert_eq!(
        (
            server.status("/health").await,
            server.status("/ready").await
        ),
        (200, 503)
    );
    let cookie = format!("superset-ws-token={}", token(&claims(1), SECRET));
    match Client::with_cookie(server.port, "", &cookie).await {
        Err(tokio_tungstenite::tungstenite::Error::Http(response)) => {
            assert_eq!(response.status(), 503);
        }
        _ => panic!("an upgrade without Redis"),
    }
    redis.run().await;
    server.ready().await;
    let mut client = connect(&server, &claims(1), "").await;
    eventually("a socket", async || {
        server.metric("ws_open_sockets").await > 0.5
    })
    .await;
    publish(
        &redis,
        &json!({"topic": "t", "scope": "x", "routes": ["user:1"], "payload": []}),
    )
    .await;
    assert_eq!(client.text().await, r#"{"topic":"t","payload":[]}"#);
}

#[tokio::test]
async fn sockets_close_with_1012_when_redis_says_nothing_any_more() {
    let redis = Redis::start().await;
    let server = Server::start(&redis, json!({"mode": "realtime"})).await;
    let mut client = connect(&server, &claims(1), "").await;
    redis.pause();
    assert_eq!(
        client.closed().await.map(|(code, _)| code),
        Some(CloseCode::Restart)
    );
    redis.resume();
    server.ready().await;
}

#[tokio::test]
async fn sockets_end_with_their_token() {
    let redis = Redis::start().await;
    let server = Server::start(
        &redis,
        json!({"mode": "realtime", "pingSocketsIntervalMs": 100}),
    )
    .await;
    let mut short = claims(1);
    short["exp"] = json!(now() / 1000 + 2);
    let mut ends = connect(&server, &short, "").await;
    let mut stays = connect(&server, &claims(2), "").await;
    assert_eq!(ends.closed().await, None);
    assert!(now() / 1000 >= short["exp"].as_u64().unwrap());
    stays.nothing_comes().await;
    assert!(server.metric("ws_token_expired_disconnect").await > 0.5);
}

#[tokio::test]
async fn tokens_of_streams_are_refused_and_the_flag_wins() {
    let server = Server::start_unready(
        free_port(),
        json!({"mode": "streams"}),
        &["--mode", "realtime"],
    )
    .await;
    let cookie = format!(
        "superset-ws-token={}",
        token(&json!({"channel": "user:1"}), SECRET)
    );
    assert!(Client::with_cookie(server.port, "", &cookie).await.is_err());
    let redis = Redis::start().await;
    let server = Server::start(&redis, json!({"mode": "realtime"})).await;
    assert!(Client::with_cookie(server.port, "", &cookie).await.is_err());
    server.logs("JWT claim aud is missing or wrong").await;
}
