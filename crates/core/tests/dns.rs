//! Lookups on the sandbox's name server.
#![expect(
    clippy::expect_used,
    clippy::unwrap_used,
    reason = "a test panics when it fails"
)]

use std::net::{SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

use opsweek_core::services::dns::{Dns, Error, Place};
use opsweek_sandbox::Sandbox;

const SECTION: &str = "_s5-analytics._tcp.eqiad.wmnet";

fn server() -> SocketAddr {
    let sandbox = Sandbox::from_env().expect("run the tests by: cargo verify");
    let text = std::fs::read_to_string(sandbox.config_path()).unwrap();
    let config: toml::Table = text.parse().unwrap();
    let server = config["newwiki"]["dns"]["server"].as_str().unwrap();
    server.parse().unwrap()
}

fn dns(server: SocketAddr, deadline: Duration) -> Dns {
    Dns::new(Some(server), deadline).unwrap()
}

#[tokio::test]
async fn a_service_has_a_host_and_a_port_and_the_host_an_address() {
    let dns = dns(server(), Duration::from_secs(20));
    let Place { host, port } = dns.service(SECTION).await.unwrap();
    assert_eq!(host, "dbstore1008.eqiad.wmnet");
    assert!(port > 0);
    let loopback: Vec<std::net::IpAddr> = vec!["127.0.0.1".parse().unwrap()];
    assert_eq!(dns.addresses(&host).await.unwrap(), loopback);
    assert_eq!(dns.addresses("127.0.0.1").await.unwrap(), loopback);
}

#[tokio::test]
async fn what_is_not_there_is_told_apart_from_no_answer() {
    let known = dns(server(), Duration::from_secs(20));
    let absent = known.service("_s99-analytics._tcp.eqiad.wmnet").await;
    assert!(matches!(absent, Err(Error::NoRecord { .. })), "{absent:?}");
    // Bound, and silent.
    let silent = UdpSocket::bind("127.0.0.1:0").unwrap();
    let begun = Instant::now();
    let late = dns(silent.local_addr().unwrap(), Duration::from_secs(1));
    let error = late.service(SECTION).await.unwrap_err();
    assert!(
        matches!(error, Error::Deadline { .. } | Error::Unanswered { .. }),
        "{error:?}"
    );
    assert!(error.hint().is_some());
    assert!(begun.elapsed() < Duration::from_secs(10));
}
