//! A server of these tests' own: it is killed, filled, and everybody's tables on it are locked.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use opsweek_sandbox::Size;

use super::command;
use crate::private::{Ending, Slots, quiet};
use crate::support::{Ran, scratch};

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

/// The plan of a copy, in a file of that name.
#[track_caller]
pub(super) fn planned(config: &Path, name: &str) -> PathBuf {
    let plan = scratch(name);
    let mut look = command(config);
    look.args(["prod-to-staging", "--dry-run", "--save-plan"]);
    Ran::from(look.arg(&plan).output().unwrap()).expect(3);
    plan
}

/// The command that runs a plan.
pub(super) fn run_of(config: &Path, plan: &Path) -> Command {
    let mut run = command(config);
    run.arg("--plan").arg(plan).arg("--yes");
    run
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
