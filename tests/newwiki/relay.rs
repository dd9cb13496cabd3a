//! A port in front of a server, for one test: what is closed, cut or watched there is
//! so for nobody else.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

/// Is shown each piece that a client sends, before the server has it.
type Watch = Box<dyn FnMut(&[u8]) -> Fate + Send>;

/// What becomes of a piece that a client sends.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Fate {
    /// The server gets it.
    Passes,
    /// It is lost, and the server is away from then on.
    Lost,
    /// The server gets it; its answer is lost, and it is away from then on.
    Unanswered,
}

/// The port.
pub(super) struct Relay {
    pub(super) port: u16,
    shared: Arc<Shared>,
}

struct Shared {
    server: SocketAddr,
    open: AtomicBool,
    streams: Mutex<Vec<TcpStream>>,
    watch: Mutex<Watch>,
}

impl Relay {
    /// Passes everything on to the server on this port of the loopback address.
    pub(super) fn to(port: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let relay = Self {
            port: listener.local_addr().unwrap().port(),
            shared: Arc::new(Shared {
                server: SocketAddr::from(([127, 0, 0, 1], port)),
                open: AtomicBool::new(true),
                streams: Mutex::new(Vec::new()),
                watch: Mutex::new(Box::new(|_| Fate::Passes)),
            }),
        };
        let shared = Arc::clone(&relay.shared);
        thread::spawn(move || {
            // Who comes while it is closed is hung up on: the port stays this test's own.
            for client in listener.incoming().map_while(Result::ok) {
                shared.join(&client);
            }
        });
        relay
    }

    /// Shows all that clients send from now on.
    pub(super) fn watch(&self, watch: impl FnMut(&[u8]) -> Fate + Send + 'static) {
        *self.shared.watch.lock().unwrap() = Box::new(watch);
    }

    /// The server is away from now on.
    pub(super) fn close(&self) {
        self.shared.close();
    }

    /// The server is back, and nothing more happens to what is sent to it.
    pub(super) fn open(&self) {
        self.watch(|_| Fate::Passes);
        self.shared.open.store(true, Ordering::SeqCst);
    }
}

impl Shared {
    fn close(&self) {
        self.open.store(false, Ordering::SeqCst);
        let mut streams = self.streams.lock().unwrap_or_else(PoisonError::into_inner);
        for stream in streams.drain(..) {
            // It may be closed already.
            let _ = stream.shutdown(Shutdown::Both);
        }
    }

    /// Connects a client with the server.
    fn join(self: &Arc<Self>, client: &TcpStream) {
        let Ok(server) = TcpStream::connect(self.server) else {
            return;
        };
        let both = [client, &server].map(|stream| stream.try_clone().unwrap());
        self.streams.lock().unwrap().extend(both);
        if !self.open.load(Ordering::SeqCst) {
            return self.close();
        }
        let mute = Arc::new(AtomicBool::new(false));
        let (to_server, to_client) = [(client, &server), (&server, client)]
            .map(|(from, to)| (from.try_clone().unwrap(), to.try_clone().unwrap()))
            .into();
        let (shared, said) = (Arc::clone(self), Arc::clone(&mute));
        thread::spawn(move || {
            pass(to_server, |piece| {
                let fate = shared.watch.lock().unwrap()(piece);
                match fate {
                    Fate::Passes => {}
                    Fate::Lost => shared.close(),
                    Fate::Unanswered => said.store(true, Ordering::SeqCst),
                }
                fate != Fate::Lost
            });
        });
        let shared = Arc::clone(self);
        thread::spawn(move || {
            pass(to_client, |_| {
                let mute = mute.load(Ordering::SeqCst);
                if mute {
                    shared.close();
                }
                !mute
            });
        });
    }
}

/// Passes on what comes, piece by piece, as long as it may.
fn pass((mut from, mut to): (TcpStream, TcpStream), mut may: impl FnMut(&[u8]) -> bool) {
    let mut piece = vec![0; 1 << 16];
    while let Ok(count @ 1..) = from.read(&mut piece) {
        if !may(&piece[..count]) || to.write_all(&piece[..count]).is_err() {
            break;
        }
    }
    for stream in [from, to] {
        // It may be closed already.
        let _ = stream.shutdown(Shutdown::Both);
    }
}
