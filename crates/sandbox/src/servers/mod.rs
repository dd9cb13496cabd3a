//! The servers, one module each: their configuration, and whether they can be used.

pub(crate) mod dns;
pub(crate) mod hdfs;
pub(crate) mod mariadb;
pub(crate) mod metastore;
pub mod redis;
pub(crate) mod tls;

use std::collections::BTreeMap;
use std::hash::{BuildHasher, DefaultHasher, Hash, Hasher, RandomState};
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddrV4, TcpListener, TcpStream};
use std::path::Path;
use std::time::Duration;

/// Ports by what listens there, such as `namenode`.
pub(crate) type Ports = BTreeMap<String, u16>;

/// Loopback.
pub(crate) fn address(port: u16) -> SocketAddrV4 {
    SocketAddrV4::new(Ipv4Addr::LOCALHOST, port)
}

/// Whether nothing uses the port.
pub(crate) fn is_free(port: u16) -> bool {
    TcpListener::bind(address(port)).is_ok()
}

/// Keeps the known ports of `names` that are free and finds new ones for the others.
///
/// They are looked for below the range that the system takes outgoing connections'
/// ports from, so that they are as good as always free at the next start; and from
/// a place of the sandbox's own, so that two sandboxes that start together differ.
pub(crate) fn assign(ports: &mut Ports, dir: &Path, names: &[&str]) {
    for &name in names {
        if ports.get(name).is_some_and(|&port| is_free(port)) {
            continue;
        }
        let mut hasher = DefaultHasher::new();
        (dir, name).hash(&mut hasher);
        let start = hasher.finish();
        let port = candidates(start)
            .find(|port| !ports.values().any(|other| other == port) && is_free(*port));
        if let Some(port) = port {
            ports.insert(name.to_owned(), port);
        }
    }
}

/// A port of the loopback address where nothing listens, for a server that is about to be
/// started; `None` when there is none. As with a sandbox's own, no outgoing connection takes
/// it meanwhile.
pub fn free_port() -> Option<u16> {
    candidates(RandomState::new().build_hasher().finish()).find(|port| is_free(*port))
}

/// All ports that may be a server's, from one of them on.
fn candidates(start: u64) -> impl Iterator<Item = u16> {
    let start = u16::try_from(start % 20_000).unwrap_or(0);
    (0..20_000).map(move |step| 10_000 + (start + step) % 20_000)
}

/// Whether something accepts connections there.
pub(crate) fn accepts(port: u16) -> bool {
    TcpStream::connect_timeout(&address(port).into(), Duration::from_secs(5)).is_ok()
}

/// The answer to a GET, headers and all; `None` when there is none within 5 s.
pub(crate) fn http_get(port: u16, path: &str) -> Option<String> {
    let patience = Duration::from_secs(5);
    let mut stream = TcpStream::connect_timeout(&address(port).into(), patience).ok()?;
    stream.set_read_timeout(Some(patience)).ok()?;
    write!(stream, "GET {path} HTTP/1.0\r\nHost: localhost\r\n\r\n").ok()?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).ok()?;
    Some(String::from_utf8_lossy(&answer).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_are_kept_while_free() {
        let dir = Path::new("/nowhere/ports");
        let mut ports = Ports::new();
        assign(&mut ports, dir, &["a", "b"]);
        let first = ports.clone();
        assert_ne!(first["a"], first["b"]);
        assign(&mut ports, dir, &["a", "b"]);
        assert_eq!(ports, first);

        let taken = TcpListener::bind(address(first["a"])).unwrap();
        assign(&mut ports, dir, &["a", "b"]);
        assert_ne!(ports["a"], first["a"]);
        assert_eq!(ports["b"], first["b"]);
        drop(taken);
    }
}
