//! A server of these tests' own: it is killed, filled, and everybody's tables on it are locked.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use opsweek_sandbox::Size;

use crate::private::{Ending, Slots, quiet};

/// The server's name.
const METADATA: &str = "metadata";

/// One server.
pub(super) struct Private(pub(super) Ending);

impl From<Ending> for Private {
    fn from(sandbox: Ending) -> Self {
        Self(sandbox)
    }
}

/// The only one.
pub(super) fn private() -> Arc<Mutex<Private>> {
    static SLOTS: Slots<Private, 1> = Slots::new("db-sync");
    SLOTS.one()
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
