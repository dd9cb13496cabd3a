//! Another's table out of a database that goes, with its files.

use serde::{Deserialize, Serialize};

use super::World;
use super::hdfs::made_in;
use super::hive::{TableEvidence, points_into, same};
use crate::engine::{Failure, State};

/// Moves a table to another database; its owner, properties and partitions stay.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MoveTable {
    /// The database it is in.
    pub database: String,
    /// The table.
    pub table: String,
    /// The database it moves to.
    pub to: String,
    /// Its folder and the new one; `None` when its files stay where they are.
    pub files: Option<(String, String)>,
    /// The table as it was found.
    pub was: TableEvidence,
}

impl MoveTable {
    pub(super) async fn observe(&self, world: &World) -> Result<State, Failure> {
        let (metastore, hdfs) = (world.metastore()?, world.hdfs()?);
        let id = format!("{}.{}", self.database, self.table);
        if let Some(there) = metastore.table(&self.to, &self.table).await? {
            if there.create_time != self.was.created {
                return Ok(State::Drifted(format!(
                    "there is a table {}.{} already",
                    self.to, self.table
                )));
            }
            // Only its partitions may be missing: a run that ended before they followed.
            return Ok(match &self.files {
                Some((from, _)) if points_into(metastore, &there, &[from]).await? => State::Pending,
                _ => State::Done,
            });
        }
        let now = match same(metastore, &self.database, &self.table, &self.was).await? {
            Ok(now) => now,
            Err(why) => return Ok(State::Drifted(why)),
        };
        if now.owner != self.was.owner {
            return Ok(State::Drifted(format!("{id} is {}'s by now", now.owner)));
        }
        if now.location != self.was.location {
            let location = now.location.as_deref().unwrap_or("nowhere");
            let why = format!("the files of {id} are in {location} by now");
            return Ok(State::Drifted(why));
        }
        let Some((from, to)) = &self.files else {
            return Ok(State::Pending);
        };
        let (here, there) = (hdfs.stat(from).await?, hdfs.stat(to).await?);
        Ok(match (here, there) {
            (Some(_), Some(_)) => State::Drifted(format!("{from} and {to} both exist")),
            (None, None) => State::Drifted(format!("{from} is gone")),
            _ => match made_in(hdfs, to).await? {
                State::Waiting(folder) => State::Drifted(format!("there is no folder {folder}")),
                state => state,
            },
        })
    }

    /// The files first: then the metastore, told of the new place, sees no reason to move any.
    pub(super) async fn apply(&self, world: &World) -> Result<(), Failure> {
        world.guard.database(&self.database)?;
        world.guard.database(&self.to)?;
        let (metastore, hdfs) = (world.metastore()?, world.hdfs()?);
        let files = self
            .files
            .as_ref()
            .map(|(from, to)| (from.as_str(), to.as_str()));
        if let Some((from, to)) = files {
            world.guard.hdfs(from)?;
            world.guard.hdfs(to)?;
            if hdfs.stat(from).await?.is_some() {
                hdfs.rename(from, to).await?;
            }
        }
        if metastore.table(&self.to, &self.table).await?.is_none() {
            metastore
                .move_table(&self.database, &self.table, &self.to, files)
                .await?;
        }
        if let Some((from, to)) = files {
            metastore
                .change_table_location(&self.to, &self.table, from, to)
                .await?;
        }
        Ok(())
    }

    pub(super) fn summary(&self) -> String {
        let files = self.files.as_ref().map_or_else(
            || ", its files stay".to_owned(),
            |(_, to)| format!(", its files to {to}"),
        );
        format!(
            "move {}.{} of {} to the database {}{files}",
            self.database, self.table, self.was.owner, self.to
        )
    }

    pub(super) fn targets(&self) -> Vec<String> {
        vec![format!("hive:database of {}.{}", self.database, self.table)]
    }

    pub(super) fn paths(&self) -> Vec<&str> {
        let paths = self.files.iter().flat_map(|(from, to)| [from, to]);
        paths.map(String::as_str).collect()
    }
}
