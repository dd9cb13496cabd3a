//! The ways to Redis: TLS, client certificates, ACL users, Unix sockets, Sentinel.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use opsweek_sandbox::redis::MASTER;
use opsweek_sandbox::{Sandbox, Service, UpOptions};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;

use crate::support::{Redis, Server, connect, eventually, free_port};

/// Sends an event through and fails if it doesn't arrive, by live and by catch-up.
async fn works(server: &Server, redis: &Redis) {
    server.ready().await;
    let mut publisher = redis.connect().await;
    let mut client = connect(server, "a", "").await;
    publisher.event("a", "1").await.unwrap();
    let id = client.event().await["id"].as_str().unwrap().to_owned();
    publisher.event("a", "2").await.unwrap();
    assert_eq!(client.jobs(1).await, ["2"]);
    assert_eq!(
        connect(server, "a", &format!("?last_id={id}"))
            .await
            .jobs(1)
            .await,
        ["2"]
    );
}

/// Writes a CA and a server and client certificate; the server's is for `name`.
fn write_certificates(folder: &Path, name: &str) {
    let mut authority = CertificateParams::new(Vec::new()).unwrap();
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    authority
        .distinguished_name
        .push(DnType::CommonName, "authority of the tests");
    let authority = CertifiedIssuer::self_signed(authority, KeyPair::generate().unwrap()).unwrap();
    std::fs::write(folder.join("ca.pem"), authority.pem()).unwrap();
    for (file, name) in [("server", name), ("client", "client.example.org")] {
        let key = KeyPair::generate().unwrap();
        let certificate = CertificateParams::new(vec![name.to_owned()])
            .unwrap()
            .signed_by(&key, &authority)
            .unwrap();
        std::fs::write(folder.join(format!("{file}.pem")), certificate.pem()).unwrap();
        std::fs::write(folder.join(format!("{file}.key")), key.serialize_pem()).unwrap();
    }
}

/// A Redis that speaks TLS on a port of its own, beside the plain one.
async fn tls_redis(name: &str, client_certificates: bool) -> (Redis, u16) {
    let wanted = if client_certificates { "yes" } else { "no" };
    let redis = Redis::stopped(&[
        "--tls-port",
        "{tls-port}",
        "--tls-cert-file",
        "{dir}/server.pem",
        "--tls-key-file",
        "{dir}/server.key",
        "--tls-ca-cert-file",
        "{dir}/ca.pem",
        "--tls-auth-clients",
        wanted,
    ]);
    write_certificates(redis.folder(), name);
    let redis = redis.start_anywhere().await;
    let port = redis.tls_port;
    (redis, port)
}

async fn over_tls(port: u16, settings: Value) -> Server {
    let mut settings = settings;
    settings["ssl"] = json!(true);
    Server::start_unready(port, json!({"redis": settings}), &[]).await
}

#[tokio::test]
async fn tls_checks_the_chain_and_the_name() {
    let (redis, port) = tls_redis("127.0.0.1", false).await;
    let ca = redis.folder().join("ca.pem");
    works(&over_tls(port, json!({"caFile": ca})).await, &redis).await;
    let untrusting = over_tls(port, json!({})).await;
    untrusting
        .logs("invalid peer certificate: UnknownIssuer")
        .await;
    assert_eq!(untrusting.status("/ready").await, 503);
    // The variables of Node.js.
    let settings = json!({
        "port": 0, "host": "127.0.0.1", "jwtSecret": crate::support::SECRET, "statsd": {"mock": true},
        "redis": {"port": port, "ssl": true}
    });
    let extra = [("NODE_EXTRA_CA_CERTS", ca.to_str().unwrap())];
    works(&Server::spawn(&settings, &[], &extra).await, &redis).await;
    let mut settings = settings;
    settings["redis"]["caFile"] = json!(ca);
    let gone = [("NODE_EXTRA_CA_CERTS", "/nonexistent/ca.pem")];
    let server = Server::spawn(&settings, &[], &gone).await;
    server.logs("going on without redis.extraCaFile").await;
    works(&server, &redis).await;
    settings["redis"]["caFile"] = json!(null);
    let blind = [("NODE_TLS_REJECT_UNAUTHORIZED", "0")];
    works(&Server::spawn(&settings, &[], &blind).await, &redis).await;
}

#[tokio::test]
async fn the_name_check_can_be_switched_off_but_not_the_chain() {
    let (redis, port) = tls_redis("redis.example.org", false).await;
    let ca = redis.folder().join("ca.pem");
    over_tls(port, json!({"caFile": ca}))
        .await
        .logs("certificate not valid for name")
        .await;
    works(
        &over_tls(port, json!({"caFile": ca, "validateHostname": false})).await,
        &redis,
    )
    .await;
    over_tls(port, json!({"validateHostname": false}))
        .await
        .logs("UnknownIssuer")
        .await;
    // A certificate that is trusted itself, as a self-signed one is.
    let own = redis.folder().join("server.pem");
    works(
        &over_tls(port, json!({"caFile": own, "validateHostname": false})).await,
        &redis,
    )
    .await;
    over_tls(port, json!({"caFile": own}))
        .await
        .logs("certificate not valid for name")
        .await;
}

/// As `openssl req -x509` makes them: an authority of its own.
#[tokio::test]
async fn a_self_signed_certificate_is_taken_as_long_as_it_is_valid() {
    let (redis, port) = tls_redis("127.0.0.1", false).await;
    let file = redis.folder().join("own.pem");
    let key = redis.folder().join("own.key");
    for (end, valid) in [(2400, true), (2020, false)] {
        let mut certificate = CertificateParams::new(vec!["127.0.0.1".to_owned()]).unwrap();
        certificate.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        certificate.not_before = rcgen::date_time_ymd(2000, 1, 1);
        certificate.not_after = rcgen::date_time_ymd(end, 1, 1);
        let pair = KeyPair::generate().unwrap();
        std::fs::write(&file, certificate.self_signed(&pair).unwrap().pem()).unwrap();
        std::fs::write(&key, pair.serialize_pem()).unwrap();
        let shown = [
            "CONFIG",
            "SET",
            "tls-cert-file",
            file.to_str().unwrap(),
            "tls-key-file",
            key.to_str().unwrap(),
        ];
        redis.connect().await.run(&shown).await.unwrap();
        for setting in ["caFile", "extraCaFile"] {
            let server = over_tls(port, json!({setting: file})).await;
            if valid {
                works(&server, &redis).await;
            } else {
                server.logs("certificate expired").await;
                assert_eq!(server.status("/ready").await, 503, "{setting}");
            }
        }
    }
}

#[tokio::test]
async fn a_client_certificate_is_shown() {
    let (redis, port) = tls_redis("127.0.0.1", true).await;
    let file = |name: &str| redis.folder().join(name);
    let with = json!({"caFile": file("ca.pem"), "certFile": file("client.pem"), "keyFile": file("client.key")});
    works(&over_tls(port, with).await, &redis).await;
    let without = over_tls(port, json!({"caFile": file("ca.pem")})).await;
    without.logs("Redis connection error").await;
    assert_eq!(without.status("/ready").await, 503);
}

#[tokio::test]
async fn a_unix_socket_is_a_way_too() {
    let redis = Redis::start_with(&["--unixsocket", "{dir}/redis.sock"]).await;
    let path = redis.folder().join("redis.sock");
    works(
        &Server::start_unready(1, json!({"redis": {"path": path}}), &[]).await,
        &redis,
    )
    .await;
}

#[tokio::test]
async fn passwords_and_users_are_sent_as_the_node_server_sends_them() {
    let redis = Redis::start_with(&["--requirepass", "the password"]).await;
    let start = async |settings: Value| {
        Server::start_unready(redis.port, json!({"redis": settings}), &[]).await
    };
    works(&start(json!({"password": "the password"})).await, &redis).await;
    start(json!({})).await.logs("NOAUTH").await;
    let wrong = start(json!({"password": "wrong"})).await;
    wrong.logs("authentication failed").await;
    // Without a password the user's name is not sent either.
    start(json!({"username": "someone"}))
        .await
        .logs("NOAUTH")
        .await;
    let mut publisher = redis.connect().await;
    let rights = [
        "on",
        ">secret",
        "~async-events-*",
        "+xread",
        "+xrange",
        "+xrevrange",
    ];
    publisher
        .run(&[&["ACL", "SETUSER", "websocket"][..], &rights].concat())
        .await
        .unwrap();
    works(
        &start(json!({"username": "websocket", "password": "secret"})).await,
        &redis,
    )
    .await;
}

/// Its commands are XREAD and XRANGE, and those of a connection's beginning.
#[tokio::test]
async fn a_user_made_for_the_node_server_is_enough() {
    let redis = Redis::start().await;
    let rights = [
        "on",
        ">secret",
        "~async-events-*",
        "+xread",
        "+xrange",
        "+select",
        "+info",
        "+ping",
    ];
    let mut publisher = redis.connect().await;
    publisher
        .run(&[&["ACL", "SETUSER", "websocket"][..], &rights].concat())
        .await
        .unwrap();
    let user = json!({"redis": {"username": "websocket", "password": "secret"}});
    let server = Server::start_unready(redis.port, user, &[]).await;
    works(&server, &redis).await;
    let mut client = connect(&server, "b", "").await;
    publisher
        .run(&["CLIENT", "KILL", "USER", "websocket"])
        .await
        .unwrap();
    publisher.event("b", "1").await.unwrap();
    assert_eq!(client.jobs(1).await, ["1"]);
}

/// A wrong password must not turn into the rights of everybody.
#[tokio::test]
async fn a_refused_user_is_not_replaced_by_the_default_one() {
    let redis = Redis::start().await;
    for mode in ["streams", "realtime"] {
        let user = json!({"username": "websocket", "password": "wrong"});
        let settings = json!({"mode": mode, "redis": user});
        let server = Server::start_unready(redis.port, settings, &[]).await;
        server.logs("authentication failed").await;
        let rights = ["on", ">wrong", "~*", "&*", "+@all"];
        let mut publisher = redis.connect().await;
        assert_eq!(server.status("/ready").await, 503, "{mode}");
        let words = [&["ACL", "SETUSER", "websocket"][..], &rights].concat();
        publisher.run(&words).await.unwrap();
        server.ready().await;
        publisher
            .run(&["ACL", "DELUSER", "websocket"])
            .await
            .unwrap();
    }
}

/// Redis before version 6, as far as a connection's beginning goes; its replies to commands are
/// those of a server without events.
async fn old_redis() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            tokio::spawn(async move {
                let mut lines = BufReader::new(stream);
                while let Some(words) = read_command(&mut lines).await {
                    let reply = match words[0].as_str() {
                        "AUTH" if words.len() > 2 => {
                            "-ERR wrong number of arguments for 'auth' command\r\n"
                        }
                        "AUTH" => "-ERR Client sent AUTH, but no password is set\r\n",
                        "SUBSCRIBE" => "*3\r\n$9\r\nsubscribe\r\n$8\r\nrealtime\r\n:1\r\n",
                        "PING" => "+PONG\r\n",
                        "XREAD" => std::future::pending().await,
                        _ => "*0\r\n",
                    };
                    if lines.write_all(reply.as_bytes()).await.is_err() {
                        return;
                    }
                }
            });
        }
    });
    port
}

/// The words of the next command; `None` at the end.
async fn read_command(stream: &mut BufReader<TcpStream>) -> Option<Vec<String>> {
    let mut line = String::new();
    let mut words = Vec::new();
    stream.read_line(&mut line).await.ok()?;
    let count: usize = line.trim().strip_prefix('*')?.parse().ok()?;
    for _ in 0..count {
        for _ in 0..2 {
            line.clear();
            stream.read_line(&mut line).await.ok()?;
        }
        words.push(line.trim().to_owned());
    }
    Some(words)
}

#[tokio::test]
async fn a_password_that_an_old_redis_has_not_is_left_out() {
    for mode in ["streams", "realtime"] {
        let settings = json!({"mode": mode, "redis": {"password": "the password"}});
        let server = Server::start_unready(old_redis().await, settings, &[]).await;
        server.logs("Redis has no password set").await;
        server.ready().await;
    }
}

#[tokio::test]
async fn a_redis_that_hangs_is_not_ready_and_may_come_back() {
    for mode in ["streams", "realtime"] {
        let redis = Redis::start().await;
        let server = Server::start(&redis, json!({"mode": mode})).await;
        redis.pause();
        assert_eq!(server.status("/ready").await, 503, "{mode}");
        assert_eq!(server.status("/health").await, 200, "{mode}");
        redis.resume();
        server.ready().await;
    }
}

/// Forwards connections to a port; those open when `hang` is notified transfer nothing more, nor
/// do they end.
async fn relay(to: u16, hang: Arc<Notify>) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        loop {
            let (mut near, _) = listener.accept().await.unwrap();
            let mut far = TcpStream::connect(("127.0.0.1", to)).await.unwrap();
            let hang = Arc::clone(&hang);
            tokio::spawn(async move {
                tokio::select! {
                    _ = copy_bidirectional(&mut near, &mut far) => {}
                    () = hang.notified() => std::future::pending().await,
                }
            });
        }
    });
    port
}

#[tokio::test]
async fn a_connection_that_hangs_is_replaced() {
    for mode in ["streams", "realtime"] {
        let redis = Redis::start().await;
        let hang = Arc::new(Notify::new());
        let port = relay(redis.port, Arc::clone(&hang)).await;
        let server = Server::start_unready(port, json!({"mode": mode}), &[]).await;
        server.ready().await;
        hang.notify_waiters();
        assert_eq!(server.status("/ready").await, 503, "{mode}");
        server.ready().await;
    }
}

#[tokio::test]
async fn another_database_is_selected() {
    let redis = Redis::start().await;
    let server = Server::start(&redis, json!({"redis": {"db": 3}})).await;
    let mut client = connect(&server, "a", "").await;
    let mut publisher = redis.connect().await;
    publisher.event("a", "in 0").await.unwrap();
    publisher.run(&["SELECT", "3"]).await.unwrap();
    publisher.event("a", "in 3").await.unwrap();
    assert_eq!(client.jobs(1).await, ["in 3"]);
}

#[tokio::test]
async fn a_failover_of_sentinel_is_followed_without_loss() {
    let mut first = Redis::start().await;
    let port = first.port.to_string();
    let second = Redis::start_with(&["--replicaof", "127.0.0.1", &port]).await;
    let mut replica = second.connect().await;
    eventually("replication", async || {
        let text: String = redis::cmd("INFO")
            .arg("replication")
            .query_async(&mut replica.connection)
            .await
            .unwrap();
        text.contains("master_link_status:up")
    })
    .await;
    let sentinel = start_sentinel(first.port).await;
    let dead = free_port();
    let settings = json!({"redis": {
        "sentinels": [format!("127.0.0.1:{dead}"), format!("127.0.0.1:{}", sentinel.port)], "sentinelName": MASTER
    }});
    let server = Server::start_unready(1, settings, &[]).await;
    server.ready().await;
    let mut client = connect(&server, "a", "").await;
    first.connect().await.event("a", "before").await.unwrap();
    assert_eq!(client.jobs(1).await, ["before"]);
    // It is there before the failover, else it isn't Redis's to keep.
    eventually("the replica", async || {
        let length: u64 = redis::cmd("XLEN")
            .arg("async-events-full")
            .query_async(&mut replica.connection)
            .await
            .unwrap();
        length == 1
    })
    .await;
    first.kill();
    // A new connection each time: Redis closes all when it changes its role.
    eventually("the failover", async || {
        match Redis::connect_to(second.port).await {
            Ok(mut publisher) => publisher.event("a", "after").await.is_ok(),
            Err(_) => false,
        }
    })
    .await;
    assert_eq!(client.jobs(1).await, ["after"]);
    server.ready().await;
}

/// Starts a sentinel that watches a Redis and its replica.
async fn start_sentinel(redis_port: u16) -> Redis {
    let sentinel = Redis::sentinel(redis_port).await;
    // Replicas are known only after a while.
    let mut connection = sentinel.connect().await;
    eventually("the sentinel's view", async || {
        let replicas = connection
            .run(&["SENTINEL", "replicas", MASTER])
            .await
            .unwrap();
        matches!(replicas, redis::Value::Array(replicas) if !replicas.is_empty())
    })
    .await;
    sentinel
}

/// A sentinel that is dead without a word costs two seconds a connection, a probe gets one.
#[tokio::test]
async fn a_connection_that_takes_longer_than_a_probe_comes_about() {
    let hole = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let dead = hole.local_addr().unwrap().to_string();
    let redis = Redis::start().await;
    let sentinel = Redis::sentinel(redis.port).await;
    for mode in ["streams", "realtime"] {
        let settings = json!({"mode": mode, "redis": {
            "sentinels": [&dead, format!("127.0.0.1:{}", sentinel.port)], "sentinelName": MASTER
        }});
        Server::start_unready(1, settings, &[]).await.ready().await;
    }
}

/// What `sandbox up --with redis` brings up is of use in every way.
#[tokio::test]
async fn the_sandboxs_redis_is_reached_by_tcp_tls_and_sentinel() {
    let folder = tempfile::tempdir().unwrap();
    let options = UpOptions {
        with: vec![Service::Redis],
        ..UpOptions::default()
    };
    let sandbox = Up(Sandbox::start(folder.path(), &options, &|_| ()).unwrap());
    let ports: BTreeMap<String, u16> = sandbox
        .0
        .status()
        .unwrap()
        .servers
        .into_iter()
        .flat_map(|server| server.ports)
        .collect();
    let ca = folder.path().join("tls/ca.pem");
    let sentinel = |port: u16| json!([format!("localhost:{port}")]);
    for settings in [
        json!({"port": ports["redis"]}),
        json!({"path": folder.path().join("redis/redis.sock")}),
        json!({"port": ports["redis-tls"], "ssl": true, "caFile": ca}),
        json!({"sentinels": sentinel(ports["redis-sentinel"])}),
        json!({"sentinels": sentinel(ports["redis-sentinel-tls"]), "sentinelSsl": true, "caFile": ca}),
    ] {
        let server = Server::start_unready(1, json!({"redis": settings}), &[]).await;
        server.ready().await;
        let mut client = connect(&server, "a", "").await;
        let mut publisher = Redis::connect_to(ports["redis"]).await.unwrap();
        publisher.event("a", &settings.to_string()).await.unwrap();
        assert_eq!(client.jobs(1).await, [settings.to_string()]);
    }
    sandbox.0.down(&|_| ()).unwrap();
    assert!(sandbox.0.status().unwrap().servers.is_empty());
}

/// A sandbox that ends with the test.
struct Up(Sandbox);

impl Drop for Up {
    fn drop(&mut self) {
        let _ = self.0.down(&|_| ());
    }
}
