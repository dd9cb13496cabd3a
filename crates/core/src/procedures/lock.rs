//! A lock that lies beside what a run works on, until the run has ended or somebody takes it
//! away. The same plan of the same holder takes it over: a run of it was killed.

use serde::{Deserialize, Serialize};

use crate::engine::Failure;
use crate::services::hdfs::{Error, Hdfs};

/// More than any lock has, in bytes.
const LONGEST: u64 = 64 << 10;

/// What a lock says.
#[derive(PartialEq, Eq, Deserialize, Serialize)]
pub(super) struct Lock {
    holder: String,
    plan: String,
}

impl Lock {
    /// Of this holder's run of the plan with this hash.
    pub(super) fn of(holder: &str, plan: &str) -> Self {
        Self {
            holder: holder.to_owned(),
            plan: plan.to_owned(),
        }
    }

    /// What is written where the lock lies.
    pub(super) fn text(&self) -> Result<String, Failure> {
        serde_json::to_string(self).map_err(|error| Failure::new(error, None))
    }

    /// Whether what lies there is this lock.
    pub(super) fn is(&self, found: &[u8]) -> bool {
        serde_json::from_slice::<Self>(found).is_ok_and(|found| found == *self)
    }

    /// Fails, saying whose it is, unless what lies at `place` is this lock. `remove` is the
    /// command that takes another's away.
    pub(super) fn check(&self, place: &str, found: &[u8], remove: &str) -> Result<(), Failure> {
        if self.is(found) {
            return Ok(());
        }
        let by = serde_json::from_slice::<Self>(found).map_or_else(
            |_| "an unreadable lock".to_owned(),
            |found| format!("{} with the plan {}", found.holder, found.plan),
        );
        Err(Failure::new(
            format!("{place} is held by {by}"),
            format!(
                "wait for that run, or go on with its plan on that host as that user; if it is \
                 dead and its plan is lost: {remove}"
            ),
        ))
    }

    /// Takes the lock by the file `path`, whose folder is there.
    pub(super) async fn take(&self, hdfs: &Hdfs, path: &str) -> Result<(), Failure> {
        if hdfs.create_exclusive(path, self.text()?.as_bytes()).await? {
            return Ok(());
        }
        let found = found(hdfs, path).await?.unwrap_or_default();
        self.check(path, &found, &format!("hdfs dfs -rm {path}"))
    }

    /// Gives the file back if it is still this lock: somebody may have taken the run for dead.
    pub(super) async fn give_back(&self, hdfs: &Hdfs, path: &str) -> Result<(), Failure> {
        if let Some(found) = found(hdfs, path).await?
            && self.is(&found)
        {
            hdfs.delete(path, false).await?;
        }
        Ok(())
    }
}

/// What the file holds; `None` when it is not there.
async fn found(hdfs: &Hdfs, path: &str) -> Result<Option<Vec<u8>>, Failure> {
    match hdfs.read_all(path, LONGEST).await {
        Err(Error::NotFound { .. }) => Ok(None),
        found => Ok(Some(found?.to_vec())),
    }
}
