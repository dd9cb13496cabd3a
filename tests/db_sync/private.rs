//! A server of these tests' own: it is killed, filled, and everybody's tables on it are locked.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use opsweek_sandbox::{Sandbox, Size};

/// The server's name.
const METADATA: &str = "metadata";

/// Taken down with the last test that uses it.
pub(super) struct Private(pub(super) Sandbox);

impl Drop for Private {
    fn drop(&mut self) {
        self.0.down(&quiet).unwrap();
    }
}

fn quiet(_: &str) {}

/// The one private sandbox, of one server, for one test at a time.
pub(super) fn private() -> Arc<Mutex<Private>> {
    static SLOT: Mutex<Weak<Mutex<Private>>> = Mutex::new(Weak::new());
    let mut slot = SLOT.lock().unwrap_or_else(PoisonError::into_inner);
    slot.upgrade().unwrap_or_else(|| {
        let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("db-sync");
        let sandbox = Sandbox::open(&folder).unwrap();
        sandbox.down(&quiet).unwrap();
        if folder.exists() {
            std::fs::remove_dir_all(&folder).unwrap();
        }
        let made = Arc::new(Mutex::new(Private(sandbox)));
        *slot = Arc::downgrade(&made);
        made
    })
}

/// Whatever a test before has left: the server is up.
pub(super) fn alone(world: &Mutex<Private>) -> MutexGuard<'_, Private> {
    let world = world.lock().unwrap_or_else(PoisonError::into_inner);
    world.0.start_server(METADATA, &quiet).unwrap();
    world
}

impl Private {
    /// Superset's databases as they are after the first start.
    pub(super) fn seed(&self) {
        self.0.seed_superset(Size(500_000)).unwrap();
    }

    /// What the client prints.
    #[track_caller]
    pub(super) fn sql(&self, statements: &str) -> String {
        self.0.mariadb(METADATA, statements).unwrap()
    }

    /// The first row's first field, a number.
    #[track_caller]
    pub(super) fn number(&self, query: &str) -> u64 {
        let text = self.sql(query);
        text.trim()
            .parse()
            .unwrap_or_else(|_| panic!("{query}: {text}"))
    }
}
