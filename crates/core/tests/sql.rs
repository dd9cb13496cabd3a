//! SQL connections on the sandbox's `MariaDB`.
#![expect(clippy::expect_used, reason = "a test panics when it fails")]

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
