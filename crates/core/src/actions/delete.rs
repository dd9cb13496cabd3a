//! Deleting from HDFS for good, past the trash, behind the record of what was there.

use serde::{Deserialize, Serialize};

use super::World;
use super::hdfs::{Tree, as_planned};
use crate::engine::{Failure, State};

/// Deletes a tree for good.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Delete {
    /// The tree as it was found.
    pub was: Tree,
    /// The record of every path in it, in HDFS.
    pub proof: String,
}

impl Delete {
    pub(super) async fn observe(&self, world: &World) -> Result<State, Failure> {
        let hdfs = world.hdfs()?;
        if hdfs.stat(&self.was.path).await?.is_none() {
            return Ok(State::Done);
        }
        if hdfs.stat(&self.proof).await?.is_none() {
            return Ok(State::Waiting(self.proof.clone()));
        }
        as_planned(hdfs, &self.was.path, &self.was).await
    }

    pub(super) async fn apply(&self, world: &World) -> Result<(), Failure> {
        let hdfs = world.hdfs()?;
        match hdfs.stat(&self.proof).await? {
            Some(record) if record.len > 0 => {}
            _ => {
                let what = format!("the proof {} is gone", self.proof);
                return Err(Failure::drifted(what));
            }
        }
        hdfs.delete(&self.was.path, true).await?;
        Ok(())
    }

    pub(super) fn summary(&self) -> String {
        format!("delete {} ({}) for good", self.was.path, self.was.size())
    }
}
