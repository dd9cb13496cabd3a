//! Live events.

use serde_json::json;

use crate::support::{Redis, Server, connect, event, eventually, now};

#[tokio::test]
async fn an_event_reaches_every_socket_of_its_channel_and_no_other() {
    let redis = Redis::start().await;
    let server = Server::start(&redis, json!({})).await;
    let mut publisher = redis.connect().await;
    let (mut first, mut second) = (
        connect(&server, "a", "").await,
        connect(&server, "a", "").await,
    );
    let mut other = connect(&server, "b", "").await;
    eventually("three sockets", async || {
        (server.metric("ws_open_sockets").await - 3.0).abs() < 0.1
    })
    .await;
    let (_, id) = publisher.event("a", "1").await.unwrap();
    let expected = format!(
        r#"{{"id":"{id}","channel_id":"a","errors":[],"job_id":"1","result_url":"/r","status":"done","user_id":"1"}}"#
    );
    assert_eq!(first.text().await, expected);
    assert_eq!(second.text().await, expected);
    other.nothing_comes().await;
}

#[tokio::test]
async fn events_that_are_none_hold_up_nothing() {
    let redis = Redis::start().await;
    let server = Server::start(&redis, json!({})).await;
    let mut publisher = redis.connect().await;
    let mut client = connect(&server, "4711", "").await;
    for data in [
        "{",
        "null",
        "17",
        "[]",
        "\"text\"",
        r#"{"channel_id": {}}"#,
        r#"{"channel_id": "nobody"}"#,
        "\u{0}",
    ] {
        publisher.add("full", "*", data).await.unwrap();
    }
    // A number names the same channel as its text does, and any first field is the event.
    publisher
        .run(&[
            "XADD",
            "async-events-full",
            "9999999999999-1",
            "any",
            r#"{"channel_id": 4711.0, "id": "own"}"#,
            "data",
            "no",
        ])
        .await
        .unwrap();
    assert_eq!(client.text().await, r#"{"id":"own","channel_id":4711}"#);
    server.logs("is dropped: it is not JSON").await;
    server.logs("is dropped: it is null").await;
}

/// What `JSON.parse` and `JSON.stringify` make of it.
#[tokio::test]
async fn what_only_javascript_reads_is_an_event_too() {
    let redis = Redis::start().await;
    let server = Server::start(&redis, json!({})).await;
    let mut publisher = redis.connect().await;
    let mut client = connect(&server, "a", "").await;
    for (value, expected) in [
        ("1e400".to_owned(), "null".to_owned()),
        ("\"\\ud800z\"".to_owned(), "\"\\ud800z\"".to_owned()),
        (
            format!("{}{}", "[".repeat(1900), "]".repeat(1900)),
            format!("{}{}", "[".repeat(1900), "]".repeat(1900)),
        ),
    ] {
        let data = format!(r#"{{"channel_id":"a","x":{value}}}"#);
        let id = publisher.add("full", "*", &data).await.unwrap();
        let expected = format!(r#"{{"id":"{id}","channel_id":"a","x":{expected}}}"#);
        assert_eq!(client.text().await, expected);
    }
}

/// What came before a socket is not for it, whoever else waits for Redis since when.
#[tokio::test]
async fn a_socket_gets_nothing_older_than_itself_when_redis_lets_the_server_in_late() {
    let redis = Redis::start().await;
    let mut publisher = redis.connect().await;
    let user = json!({"redis": {"username": "late", "password": "secret"}});
    let server = Server::start_unready(redis.port, user, &[]).await;
    let open = async |count: f64| {
        eventually("the sockets", async || {
            (server.metric("ws_open_sockets").await - count).abs() < 0.1
        })
        .await;
    };
    let mut first = connect(&server, "a", "").await;
    open(1.0).await;
    let old = now();
    for (job, channel) in [("old", "b"), ("for the first", "a")] {
        let data = event(channel, job);
        let id = format!("{}-*", old + 1);
        publisher.add("full", &id, &data).await.unwrap();
    }
    eventually("some seconds", async || now() > old + 2000).await;
    let mut second = connect(&server, "b", "").await;
    open(2.0).await;
    let rights = ["on", ">secret", "~*", "+@all"];
    let user = [&["ACL", "SETUSER", "late"][..], &rights].concat();
    publisher.run(&user).await.unwrap();
    publisher.event("b", "new").await.unwrap();
    assert_eq!(second.jobs(1).await, ["new"]);
    assert_eq!(first.jobs(1).await, ["for the first"]);
}

#[tokio::test]
async fn nothing_is_lost_when_redis_restarts() {
    let mut redis = Redis::start().await;
    // Each read ends long before the next event, so that a cursor of "$" would lose some.
    let mut server = Server::start(&redis, json!({"redisStreamReadBlockMs": 20})).await;
    let mut client = connect(&server, "a", "").await;
    for round in 0..3 {
        redis.kill();
        eventually("the loss", async || server.status("/ready").await == 503).await;
        assert_eq!(server.status("/health").await, 200);
        redis.run().await;
        redis
            .connect()
            .await
            .event("a", &round.to_string())
            .await
            .unwrap();
        assert_eq!(client.jobs(1).await, [round.to_string()]);
    }
    server.ready().await;
    assert!(server.is_running());
}

#[tokio::test]
async fn events_from_before_the_first_connection_to_redis_reach_those_who_wait() {
    let mut redis = Redis::stopped(&[]);
    let server = Server::start_unready(redis.port, json!({}), &[]).await;
    let mut client = connect(&server, "a", "").await;
    redis.run().await;
    redis.connect().await.event("a", "early").await.unwrap();
    assert_eq!(client.jobs(1).await, ["early"]);
}

#[tokio::test]
async fn a_redis_that_lost_its_end_is_read_on_from_where_it_ends() {
    let mut redis = Redis::start().await;
    let server = Server::start(&redis, json!({})).await;
    let mut publisher = redis.connect().await;
    let mut client = connect(&server, "a", "").await;
    publisher
        .add("full", "9999999999999-0", &event("a", "1"))
        .await
        .unwrap();
    assert_eq!(client.jobs(1).await, ["1"]);
    redis.kill();
    std::fs::remove_dir_all(redis.folder().join("appendonlydir")).unwrap();
    redis.run().await;
    redis.connect().await.event("a", "2").await.unwrap();
    assert_eq!(client.jobs(1).await, ["2"]);
}

#[tokio::test]
async fn error_replies_are_retried_with_patience() {
    let redis = Redis::start().await;
    let mut publisher = redis.connect().await;
    publisher
        .run(&["SET", "async-events-full", "no stream"])
        .await
        .unwrap();
    let server = Server::start_unready(redis.port, json!({}), &[]).await;
    server.logs("WRONGTYPE").await;
    tokio::time::sleep(std::time::Duration::from_millis(1500)).await;
    // 50, 100, 150 ms ... between tries: seven of them fit in.
    let tries = server
        .messages()
        .iter()
        .filter(|message| message.contains("WRONGTYPE"))
        .count();
    assert!((2..=9).contains(&tries), "{tries} tries");
    assert_eq!(server.status("/ready").await, 503);
    publisher.run(&["DEL", "async-events-full"]).await.unwrap();
    server.ready().await;
}
