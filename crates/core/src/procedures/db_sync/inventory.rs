//! What a look at both databases finds.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::actions::sql::{Neutralise, Place, Secrets};
use crate::services::sql::Object;

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
    /// Its triggers.
    pub triggers: Vec<String>,
    /// Foreign keys to other databases: table and key.
    pub outward: Vec<String>,
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
    /// GRANT statements that somebody has to run.
    pub missing: Vec<String>,
    /// Tables with rows too large for one packet.
    pub wide: Vec<String>,
    /// Users of the last week, in production and in staging.
    pub users: (u64, u64),
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
    /// What the account may not see.
    pub unseen: Vec<String>,
    /// How the two differ; asked for by a diff alone.
    pub differences: Vec<Difference>,
}

/// Everything that a look finds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Inventory {
    /// The time of the look, in seconds since the epoch.
    pub now: i64,
    /// The identities of the servers.
    pub world: BTreeMap<String, String>,
    /// The databases; `None` when only the profiles were asked for.
    pub databases: Option<Databases>,
}
