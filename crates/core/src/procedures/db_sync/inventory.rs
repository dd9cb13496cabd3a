//! What a look at both databases finds.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::Serialize;

use crate::actions::sql::{Neutralise, Place, Reading, Secrets};
use crate::services::sql::Object;
use crate::services::sql::schema::Obstacle;

/// One database.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Side {
    /// Which.
    pub place: Place,
    /// The server's version.
    pub server: String,
    /// What it holds.
    pub objects: Vec<Object>,
    /// What it is: `empty`, `half copy`, the number of a copy, or a digest of its names.
    pub fingerprint: String,
    /// Superset's schema version, where there is one.
    pub alembic: Option<String>,
    /// How it was read, where it is a copy.
    pub reading: Option<Reading>,
    /// What of it cannot be copied, or moved by a rename.
    pub obstacles: Vec<Obstacle>,
}

impl Side {
    /// Bytes of all objects.
    pub fn bytes(&self) -> u64 {
        self.objects.iter().map(|object| object.bytes).sum()
    }

    /// When it was last written to, where the server still knows.
    pub fn written(&self) -> Option<&str> {
        let times = self.objects.iter().filter_map(|one| one.written.as_deref());
        times.max()
    }
}

/// Who uses the Superset of a database; nothing where it has no such tables.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Usage {
    /// Users of the last week, of the last 10,000 entries of its log.
    pub users: u64,
    /// The time of the last of these entries, UTC.
    pub last: Option<String>,
    /// Its active reports.
    pub reports: u64,
}

/// The server that is written to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Host {
    /// Where its data is; `None` where that cannot be seen.
    pub disk: Option<Disk>,
    /// Whether it keeps a binary log: what is written there is as large as what is copied.
    pub logs: bool,
    /// Whether it is to be read only.
    pub read_only: bool,
}

/// A file system.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Disk {
    /// A folder in it.
    pub path: PathBuf,
    /// Free bytes.
    pub free: u64,
}

/// A transaction that somebody has open.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Transaction {
    /// The number of its connection.
    pub connection: u64,
    /// Whose: `superset@10.64.21.1:51934`.
    pub account: String,
    /// For how long, in seconds.
    pub seconds: u64,
}

/// How an object differs between the two databases.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Difference {
    /// The object.
    pub name: String,
    /// How.
    pub how: String,
}

/// What there is to do with one profile's databases.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Databases {
    /// Production.
    pub source: Side,
    /// The digest of production's definitions.
    pub schema: String,
    /// Staging.
    pub target: Side,
    /// Where the copy is made.
    pub new: Side,
    /// Where what was replaced is kept.
    pub previous: Side,
    /// Whether source and target are on one server.
    pub same_server: bool,
    /// Tables with rows too large for one packet.
    pub wide: Vec<String>,
    /// Who uses production, and staging.
    pub usage: (Usage, Usage),
    /// Staging's server.
    pub host: Host,
    /// The transactions that the cut-over would wait for; `None` where they cannot be seen.
    pub transactions: Option<Vec<Transaction>>,
    /// Tables of other databases with a foreign key into the target or what is kept beside it;
    /// `None` where they cannot be seen.
    pub pointing: Option<Vec<String>>,
    /// The active reports of what a restore puts back.
    pub kept_reports: u64,
    /// GRANT statements without which not all of both databases is seen.
    pub unseeing: Vec<String>,
    /// Production's secrets and principals.
    pub secrets: Secrets,
    /// The encrypted columns that production has.
    pub encrypted: Vec<(String, String)>,
    /// How many of staging's secrets do not open with its key.
    pub unreadable: usize,
    /// What of the profile's neutralisations applies.
    pub neutralise: Vec<Neutralise>,
    /// Whether keys are configured: source's, target's.
    pub keys: (bool, bool),
    /// How the two differ; asked for by a diff alone.
    pub differences: Vec<Difference>,
}

/// Everything that a look finds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Inventory {
    /// The time of the look, in seconds since the epoch.
    pub now: i64,
    /// The nanosecond of that second: two looks at one world differ by it.
    pub nanosecond: i32,
    /// The identities of the servers.
    pub world: BTreeMap<String, String>,
    /// GRANT statements that somebody has to run before a change.
    pub missing: Vec<String>,
    /// The databases; `None` when only the profiles were asked for, or privileges are missing.
    pub databases: Option<Databases>,
}
