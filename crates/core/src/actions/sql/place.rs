//! Databases by server and name, and who may write to which.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};
use tokio::sync::Mutex;

use crate::engine::Failure;
use crate::services::sql::{Connection, Server};
use crate::services::superset::SecretKey;

/// A database on a server that the configuration names.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Place {
    /// The server's name in the configuration.
    pub server: String,
    /// The database.
    pub database: String,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.server, self.database)
    }
}

impl Place {
    fn beside(&self, suffix: &str) -> Self {
        Self {
            server: self.server.clone(),
            database: format!("{}{suffix}", self.database),
        }
    }

    /// Where the copy of this database is made.
    #[must_use]
    pub fn new(&self) -> Self {
        self.beside("_new")
    }

    /// Where what the last copy replaced is kept.
    #[must_use]
    pub fn previous(&self) -> Self {
        self.beside("_previous")
    }

    /// Why no copy may ever replace this database: its name must say that it is staging's,
    /// and not production's.
    pub fn fault(&self) -> Option<String> {
        let name = self.database.to_ascii_lowercase();
        // MariaDB's names have 64 characters, and the suffix is ours.
        if name.len() + "_previous".len() > 64 {
            Some(format!(
                "the name of {self} is too long to keep a copy beside it"
            ))
        } else if name.contains("prod") {
            Some(format!("{self} has production's name"))
        } else if name.contains("staging") {
            None
        } else {
            Some(format!("the name of {self} does not say staging"))
        }
    }
}

/// One copy: its number and whom it is for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Sync {
    /// The profile.
    pub profile: String,
    /// Tells the copy from every other one.
    pub id: String,
    /// The database that it will replace.
    pub target: Place,
}

impl Sync {
    /// The name of the proof that the copy is complete.
    pub fn proof(&self) -> String {
        format!("checked copy {} of {}", self.id, self.target.new())
    }
}

/// The database servers, the keys of what is encrypted there, and what may be written.
#[derive(Default)]
pub struct Databases {
    /// By their names in the configuration.
    pub servers: BTreeMap<String, Server>,
    /// The databases that may be replaced; of each, those beside it may be written as well.
    pub writable: Vec<Place>,
    /// The key of the secrets in the source, where there is one.
    pub source_key: Option<SecretKey>,
    /// The key that they shall have in the target.
    pub target_key: Option<SecretKey>,
    /// Holds the lock on a target as long as it is open.
    pub(crate) lock: Mutex<Option<Connection>>,
}

impl Databases {
    /// Of these servers, nothing writable, no keys.
    pub fn new(servers: BTreeMap<String, Server>) -> Self {
        Self {
            servers,
            ..Self::default()
        }
    }

    /// The server of that name.
    pub fn server(&self, name: &str) -> Result<&Server, Failure> {
        self.servers.get(name).ok_or_else(|| {
            Failure::new(
                format!("the plan needs sql.{name}, which is not configured"),
                format!("add a [sql.{name}] section to the configuration"),
            )
        })
    }

    /// A connection to the server of that place.
    pub(crate) async fn connect(&self, place: &Place) -> Result<Connection, Failure> {
        Ok(self.server(&place.server)?.connect().await?)
    }

    /// Whether the configuration lets the database be replaced.
    pub(super) fn may_write(&self, place: &Place) -> Result<(), Failure> {
        let why = match place.fault() {
            Some(fault) => fault,
            None if self.writable.contains(place) => return Ok(()),
            None => format!("{place} is not the target of the profile"),
        };
        Err(Failure::new(
            format!("refused: {why}"),
            "the plan asks for more than the configuration allows".to_owned(),
        ))
    }

    /// Takes the lock on a target, which lasts until [`Databases::unlock`] or the end of
    /// the connection.
    pub(crate) async fn take_lock(&self, target: &Place) -> Result<(), Failure> {
        let mut connection = self.connect(target).await?;
        let what = format!("locking {target}");
        // The connection lies idle for as long as a copy takes.
        let session = "SET SESSION wait_timeout = 604800";
        connection.execute(&what, session, ()).await?;
        let (taken,): (Option<u8>,) = connection
            .row(&what, "SELECT GET_LOCK(?, 5)", (lock_name(target),))
            .await?;
        if taken != Some(1) {
            return Err(Failure::new(
                format!("another run is at work on {target}"),
                format!(
                    "wait for it; on the server, SELECT IS_USED_LOCK('{}') tells its connection",
                    lock_name(target)
                ),
            ));
        }
        *self.lock.lock().await = Some(connection);
        Ok(())
    }

    /// Gives the lock back.
    pub(crate) async fn unlock(&self) {
        if let Some(connection) = self.lock.lock().await.take() {
            connection.close().await;
        }
    }

    /// Fails unless the lock is still ours: a server that was restarted has forgotten it.
    pub(super) async fn holds_lock(&self, target: &Place) -> Result<(), Failure> {
        let mut lock = self.lock.lock().await;
        let lost = || {
            Failure::new(
                format!("the lock on {target} is lost"),
                "the server was restarted, or ended the connection; run again".to_owned(),
            )
        };
        let connection = lock.as_mut().ok_or_else(lost)?;
        let held: (Option<u8>,) = connection
            .row(
                &format!("asking for the lock on {target}"),
                "SELECT IS_USED_LOCK(?) = CONNECTION_ID()",
                (lock_name(target),),
            )
            .await?;
        if held.0 == Some(1) {
            Ok(())
        } else {
            Err(lost())
        }
    }
}

/// Locks have 64 characters at most, as databases have.
fn lock_name(target: &Place) -> String {
    format!("opsweek:{}", target.database)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_says_staging_may_be_replaced() {
        let place = |database: &str| Place {
            server: "metadata".to_owned(),
            database: database.to_owned(),
        };
        assert_eq!(place("superset_staging").fault(), None);
        for name in [
            "superset",
            "superset_production",
            "superset_prod_staging",
            "metastore",
            &format!("staging{}", "x".repeat(50)),
        ] {
            assert!(place(name).fault().is_some(), "{name}");
        }
    }
}
