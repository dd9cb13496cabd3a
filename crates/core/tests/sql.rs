//! SQL connections on the sandbox's `MariaDB`.
#![expect(
    clippy::expect_used,
    clippy::unwrap_used,
    reason = "a test panics when it fails"
)]

use std::time::{Duration, Instant};

use opsweek_core::services::sql::{Config, Endpoint, Error, Secret, Server, Tls};
use opsweek_sandbox::Sandbox;

fn root(deadline: Duration) -> Config {
    let sandbox = Sandbox::from_env().expect("run the tests by: cargo verify");
    Config {
        endpoint: Endpoint::Socket(sandbox.dir().join("metadata/mysqld.sock")),
        user: "root".to_owned(),
        password: None,
        tls: Tls::Off,
        deadline,
    }
}

#[tokio::test]
async fn rows_come_typed_and_in_utf8() {
    let server = Server::new(root(Duration::from_secs(30)));
    let mut connection = server.connect().await.unwrap();
    let row: (String, Option<i64>, Vec<u8>) = connection
        .row("a row", "SELECT CONCAT(?, '☃'), NULL, x'00ff'", ("naïve ",))
        .await
        .unwrap();
    assert_eq!(row, ("naïve ☃".to_owned(), None, vec![0, 0xff]));
    let wrong = connection.row::<(u8,)>("a row", "SELECT 1000", ()).await;
    assert!(matches!(wrong, Err(Error::Unexpected { .. })));
    let refused = connection
        .execute("a statement", "SELECT * FROM mysql.nothing", ())
        .await
        .unwrap_err();
    assert_eq!(refused.code(), Some(1146));
    assert_eq!(
        connection.identity().await.unwrap(),
        server.identity().await.unwrap()
    );
    connection.close().await;
}

#[tokio::test]
async fn a_statement_ends_at_its_deadline() {
    let server = Server::new(root(Duration::from_secs(1)));
    let mut connection = server.connect().await.unwrap();
    let begun = Instant::now();
    let late = connection.execute("sleeping", "DO SLEEP(30)", ()).await;
    assert!(matches!(late, Err(Error::Deadline { .. })));
    assert!(begun.elapsed() < Duration::from_secs(10));
}

#[tokio::test]
async fn who_is_not_let_in_is_told_so_without_the_password() {
    let config = Config {
        user: "nobody_of_that_name".to_owned(),
        password: Some(Secret::new("hunter2")),
        ..root(Duration::from_secs(30))
    };
    let error = Server::new(config).connect().await.err().unwrap();
    assert!(matches!(error, Error::Login { .. }), "{error:?}");
    assert!(!format!("{error:?}").contains("hunter2"));
}

#[tokio::test]
async fn a_server_that_is_not_there_is_named() {
    let config = Config {
        endpoint: Endpoint::Tcp {
            host: "127.0.0.1".to_owned(),
            port: 1,
        },
        ..root(Duration::from_secs(30))
    };
    let error = Server::new(config).connect().await.err().unwrap();
    assert!(matches!(error, Error::Unreachable { .. }), "{error:?}");
    assert_eq!(error.to_string(), "root@127.0.0.1:1 cannot be reached");
}

/// The account on a server of the sandbox over the network, with its password.
fn over_tls(server: &str, user: &str) -> Config {
    let sandbox = Sandbox::from_env().expect("run the tests by: cargo verify");
    let secret = sandbox.dir().join(format!("secrets/mariadb-{user}"));
    let password = std::fs::read_to_string(secret).unwrap();
    Config {
        endpoint: Endpoint::Tcp {
            host: "127.0.0.1".to_owned(),
            port: sandbox.port(server).unwrap().unwrap(),
        },
        user: user.to_owned(),
        password: Some(Secret::new(password.trim_end())),
        tls: Tls::Verified {
            ca_file: Some(sandbox.dir().join("tls/ca.pem")),
        },
        deadline: Duration::from_secs(30),
    }
}

#[tokio::test]
async fn every_kind_of_account_is_let_in() {
    // Native passwords, ed25519, and a native one behind unix_socket.
    let on_socket = Config {
        endpoint: root(Duration::from_secs(30)).endpoint,
        tls: Tls::Off,
        ..over_tls("metadata", "dbsync")
    };
    for config in [
        over_tls("target", "dbsync"),
        over_tls("cloud", "s53272"),
        over_tls("prod-replica", "research"),
        on_socket,
    ] {
        let user = config.user.clone();
        let mut connection = Server::new(config).connect().await.unwrap();
        let (account,): (String,) = connection
            .row("the account", "SELECT CURRENT_USER()", ())
            .await
            .unwrap();
        assert!(account.starts_with(&user), "{account}");
        connection.close().await;
    }
}

/// A driver that misreads one nonce in 256 would fail here at two of three runs.
#[tokio::test]
async fn a_right_password_is_never_refused() {
    let server = Server::new(over_tls("prod-replica", "research"));
    for _ in 0..300 {
        let connection = server.connect().await.unwrap();
        connection.close().await;
    }
}

#[tokio::test]
async fn a_server_of_another_authority_is_not_talked_to() {
    for tls in [Tls::Verified { ca_file: None }, Tls::Off] {
        let config = Config {
            tls,
            ..over_tls("cloud", "s53272")
        };
        assert!(Server::new(config).connect().await.is_err());
    }
}
