//! Reconnects with a last id: nothing is missing, nothing comes twice, the order is kept.

use serde_json::json;

use crate::support::{Redis, Server, connect, event, eventually};

#[tokio::test]
async fn what_was_missed_comes_to_the_new_socket_only_at_once_and_with_channel_ids() {
    let redis = Redis::start().await;
    // A catch-up behind a blocked read would take as long as that.
    let server = Server::start(&redis, json!({"redisStreamReadBlockMs": 60_000})).await;
    let mut publisher = redis.connect().await;
    let mut stays = connect(&server, "a", "").await;
    publisher.event("a", "1").await.unwrap();
    let last = stays.event().await["id"].as_str().unwrap().to_owned();
    let (second, _) = publisher.event("a", "2").await.unwrap();
    publisher.event("b", "other").await.unwrap();
    publisher.event("a", "3").await.unwrap();
    assert_eq!(stays.jobs(2).await, ["2", "3"]);

    let mut back = connect(&server, "a", &format!("?last_id={last}")).await;
    let first = back.event().await;
    assert_eq!(
        (first["id"].as_str(), first["job_id"].as_str()),
        (Some(second.as_str()), Some("2"))
    );
    assert_eq!(back.jobs(1).await, ["3"]);
    publisher.event("a", "4").await.unwrap();
    assert_eq!(back.jobs(1).await, ["4"]);
    assert_eq!(
        stays.jobs(1).await,
        ["4"],
        "the other socket gets nothing again"
    );
}

/// The channel's name is the token's, and so may be any; what counts is whom an event is for.
#[tokio::test]
async fn events_for_others_are_not_caught_up() {
    let redis = Redis::start().await;
    let server = Server::start(&redis, json!({})).await;
    let mut publisher = redis.connect().await;
    publisher.event("victim", "1").await.unwrap();
    for data in [&event("other", "2"), r#"{"job_id": "3"}"#, "[]", "no JSON"] {
        publisher.add("me", "*", data).await.unwrap();
    }
    for channel in ["full", "me"] {
        let mut client = connect(&server, channel, "?last_id=0-0").await;
        client.nothing_comes().await;
        publisher.event(channel, "4").await.unwrap();
        assert_eq!(client.jobs(1).await, ["4"], "{channel}");
    }
    let nameless = r#"{"job_id": "5"}"#;
    publisher.add("undefined", "*", nameless).await.unwrap();
    let mut client = connect(&server, "undefined", "?last_id=0-0").await;
    assert_eq!(client.jobs(1).await, ["5"]);
}

/// The events of one millisecond, whose sequence runs ahead in the global stream.
#[tokio::test]
async fn ids_of_both_streams_lead_to_the_same_place() {
    let redis = Redis::start().await;
    let server = Server::start(&redis, json!({})).await;
    let mut publisher = redis.connect().await;
    // Two writers: b's event is first in the channel's stream, c's in the global one.
    for (stream, id, job) in [
        ("a", "5000-0", "a"),
        ("full", "5000-7", "a"),
        ("a", "5000-1", "b"),
        ("a", "5000-2", "c"),
        ("full", "5000-8", "c"),
        ("full", "5001-0", "b"),
        ("a", "5100-0", "d"),
        ("full", "5100-0", "d"),
        ("a", "9000-0", "e"),
        ("full", "9000-3", "e"),
    ] {
        publisher.add(stream, id, &event("a", job)).await.unwrap();
    }
    let read = async || server.metric("ws_events_read").await > 4.5;
    eventually("that all is past", read).await;
    for (last, expected) in [
        ("5000-7", &["b", "c", "d", "e"][..]),
        ("5000-8", &["b", "d", "e"]),
        ("5001-0", &["d", "e"]),
        ("5000-0", &["b", "c", "d", "e"]),
        ("5000-1", &["c", "d", "e"]),
        ("5100-0", &["e"]),
        ("9000-3", &[]),
        ("9000-0", &[]),
        ("9000", &["e"]),
        ("0", &["a", "b", "c", "d", "e"]),
        ("0-0", &["a", "b", "c", "d", "e"]),
        ("5100-0-x", &["e"]),
        ("nonsense", &[]),
        ("", &[]),
        ("99999999999999-0", &[]),
    ] {
        let mut client = connect(&server, "a", &format!("?last_id={last}")).await;
        let jobs = client.jobs(expected.len()).await;
        assert_eq!(jobs, expected, "after {last}");
        publisher.add("full", "*", &event("a", last)).await.unwrap();
        assert_eq!(client.jobs(1).await, [last], "after {last}");
    }
}

#[tokio::test]
async fn a_last_id_of_another_session_brings_nothing_old_and_all_that_is_new() {
    let redis = Redis::start().await;
    let server = Server::start(&redis, json!({})).await;
    let mut publisher = redis.connect().await;
    let (_, last) = publisher.event("before", "1").await.unwrap();
    let mut client = connect(&server, "after", &format!("?last_id={last}")).await;
    client.nothing_comes().await;
    publisher.event("after", "2").await.unwrap();
    assert_eq!(client.jobs(1).await, ["2"]);
}

/// Superset writes to the channel's stream first; a reconnect in between sees the event there and
/// later by live as well.
#[tokio::test]
async fn an_event_between_its_two_writes_comes_once() {
    let redis = Redis::start().await;
    let server = Server::start(&redis, json!({})).await;
    let mut publisher = redis.connect().await;
    // Long ago: within a millisecond the second event could seem to be before the first.
    for stream in ["a", "full"] {
        publisher
            .add(stream, "100-0", &event("a", "1"))
            .await
            .unwrap();
    }
    let data = event("a", "2");
    let id = publisher.add("a", "*", &data).await.unwrap();
    let mut client = connect(&server, "a", "?last_id=100-0").await;
    assert_eq!(client.jobs(1).await, ["2"]);
    // It reconnects once more, now with the channel's id of that event.
    let mut again = connect(&server, "a", &format!("?last_id={id}")).await;
    again.nothing_comes().await;
    publisher.add("full", "*", &data).await.unwrap();
    publisher.event("a", "3").await.unwrap();
    assert_eq!(client.jobs(1).await, ["3"]);
    assert_eq!(again.jobs(1).await, ["3"]);
    // The same payload once more is another event.
    publisher.add("full", "*", &data).await.unwrap();
    assert_eq!(client.jobs(1).await, ["2"]);
}

/// One id, two events: the second's in the channel's stream is the first's in the global one.
#[tokio::test]
async fn an_id_of_two_events_is_that_of_the_one_the_client_was_sent() {
    let redis = Redis::start().await;
    let server = Server::start(&redis, json!({})).await;
    let mut publisher = redis.connect().await;
    for (stream, id, job) in [
        ("a", "99-0", "1"),
        ("full", "100-0", "1"),
        ("a", "100-0", "2"),
        ("full", "101-0", "2"),
    ] {
        publisher.add(stream, id, &event("a", job)).await.unwrap();
    }
    let read = async || server.metric("ws_events_read").await > 1.5;
    eventually("that all is past", read).await;
    // Nobody was sent the second one by a catch-up: it is the first that the client has.
    assert_eq!(
        connect(&server, "a", "?last_id=100-0").await.jobs(1).await,
        ["2"]
    );
    // Now somebody was.
    connect(&server, "a", "?last_id=100-0")
        .await
        .nothing_comes()
        .await;
}

/// Two writers of one channel are between their two writes when a client reconnects, and again.
#[tokio::test]
async fn writers_that_overlap_lose_nothing_and_repeat_nothing() {
    let redis = Redis::start().await;
    let server = Server::start(&redis, json!({})).await;
    let mut publisher = redis.connect().await;
    for late in [false, true] {
        let channel = format!("late {late}");
        let base = if late { 3000 } else { 1000 };
        let id = |ms: u64| format!("{}-0", base + ms);
        let mut live = connect(&server, &channel, "").await;
        let mut add = async |stream: &str, ms: u64, job: &str| {
            let data = event(&channel, job);
            publisher.add(stream, &id(ms), &data).await.unwrap();
        };
        for (stream, ms, job) in [
            (channel.as_str(), 100, "A"),
            (&channel, 200, "B"),
            ("full", 200, "B"),
            (&channel, 300, "D"),
        ] {
            add(stream, ms, job).await;
        }
        assert_eq!(live.jobs(1).await, ["B"]);
        let back =
            async |last: String| connect(&server, &channel, &format!("?last_id={last}")).await;
        assert_eq!(back(id(200)).await.jobs(1).await, ["D"]);
        // The two second writes come while the next one is open, or before.
        let mut client = if late {
            back(id(300)).await
        } else {
            add("full", 400, "A").await;
            add("full", 401, "D").await;
            assert_eq!(live.jobs(2).await, ["A", "D"]);
            back(id(300)).await
        };
        if late {
            client.nothing_comes().await;
            add("full", 400, "A").await;
            add("full", 401, "D").await;
        }
        assert_eq!(client.jobs(1).await, ["A"], "{late}");
        client.nothing_comes().await;
        if !late {
            // A was sent after D, though it is before it in the stream.
            back(id(100)).await.nothing_comes().await;
        }
    }
}

#[tokio::test]
async fn what_came_by_live_does_not_come_again_after_a_catch_up_of_what_was_before_it() {
    let redis = Redis::start().await;
    let server = Server::start(&redis, json!({})).await;
    let mut publisher = redis.connect().await;
    let mut client = connect(&server, "a", "").await;
    for (stream, id, job) in [
        ("a", "100-0", "A"),
        ("a", "200-0", "B"),
        ("full", "200-0", "B"),
    ] {
        publisher.add(stream, id, &event("a", job)).await.unwrap();
    }
    assert_eq!(client.jobs(1).await, ["B"]);
    publisher
        .add("full", "300-0", &event("a", "A"))
        .await
        .unwrap();
    assert_eq!(client.jobs(1).await, ["A"]);
    let mut back = connect(&server, "a", "?last_id=200-0").await;
    assert_eq!(back.event().await["id"], "100-0");
    connect(&server, "a", "?last_id=100-0")
        .await
        .nothing_comes()
        .await;
}

/// What its writer never brought to the global stream comes by a catch-up, and only once.
#[tokio::test]
async fn an_event_of_a_writer_that_died_comes_once_at_most() {
    let redis = Redis::start().await;
    let server = Server::start(&redis, json!({})).await;
    let mut publisher = redis.connect().await;
    for (stream, id, job) in [
        ("a", "500-0", "1"),
        ("full", "500-0", "1"),
        ("a", "600-0", "orphan"),
    ] {
        publisher.add(stream, id, &event("a", job)).await.unwrap();
    }
    assert_eq!(
        connect(&server, "a", "?last_id=500-0").await.jobs(1).await,
        ["orphan"]
    );
    for (stream, id) in [("a", "700-0"), ("full", "700-0")] {
        publisher.add(stream, id, &event("a", "2")).await.unwrap();
    }
    connect(&server, "a", "?last_id=700-0")
        .await
        .nothing_comes()
        .await;
}

#[tokio::test]
async fn a_catch_up_waits_for_redis() {
    let mut redis = Redis::start().await;
    let server = Server::start(&redis, json!({})).await;
    let (_, last) = redis.connect().await.event("a", "1").await.unwrap();
    redis.connect().await.event("a", "2").await.unwrap();
    redis.kill();
    let mut client = connect(&server, "a", &format!("?last_id={last}")).await;
    client.nothing_comes().await;
    redis.run().await;
    redis.connect().await.event("a", "3").await.unwrap();
    assert_eq!(client.jobs(2).await, ["2", "3"]);
}

#[tokio::test]
async fn a_catch_up_that_redis_refuses_is_logged_and_the_socket_stays() {
    let redis = Redis::start().await;
    let server = Server::start(&redis, json!({})).await;
    let mut publisher = redis.connect().await;
    publisher
        .run(&["SET", "async-events-a", "no stream"])
        .await
        .unwrap();
    let mut client = connect(&server, "a", "?last_id=1-1").await;
    server.logs("catch-up of client 127.0.0.1 failed").await;
    publisher.add("full", "*", &event("a", "1")).await.unwrap();
    assert_eq!(client.jobs(1).await, ["1"]);
}

#[tokio::test]
async fn many_missed_events_come_in_order_while_others_go_on() {
    let redis = Redis::start().await;
    let server = Server::start(&redis, json!({})).await;
    let mut publisher = redis.connect().await;
    let (_, last) = publisher.event("a", "start").await.unwrap();
    for job in 0..900 {
        publisher.event("a", &job.to_string()).await.unwrap();
    }
    let mut writer = publisher.clone();
    let writing = tokio::spawn(async move {
        for job in 900..1300 {
            writer.event("a", &job.to_string()).await.unwrap();
        }
    });
    let mut clients = Vec::new();
    for _ in 0..5 {
        clients.push(connect(&server, "a", &format!("?last_id={last}")).await);
    }
    let expected: Vec<String> = (0..1300).map(|job| job.to_string()).collect();
    for client in &mut clients {
        assert_eq!(client.jobs(1300).await, expected);
    }
    writing.await.unwrap();
}
