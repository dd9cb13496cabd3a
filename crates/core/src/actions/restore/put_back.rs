//! A tree's way back out of an archive, and that of the archive's records.

use serde::{Deserialize, Serialize};

use super::super::hdfs::{Tree, made_in, unlike};
use super::super::{Artefact, World};
use crate::engine::{Failure, State};

/// Renames a tree out of the archive, onto a path where nothing is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PutBack {
    /// Its path in the archive.
    pub from: String,
    /// The path that it came from.
    pub to: String,
    /// What is to be moved, without what is in `without`.
    pub was: Tree,
    /// Paths in it that earlier steps take away.
    pub without: Vec<String>,
}

impl PutBack {
    pub(in crate::actions) async fn observe(&self, world: &World) -> Result<State, Failure> {
        let hdfs = world.hdfs()?;
        let (here, there) = (hdfs.stat(&self.from).await?, hdfs.stat(&self.to).await?);
        match (here, there) {
            (None, Some(_)) => Ok(State::Done),
            (None, None) => Ok(State::Waiting(self.from.clone())),
            (Some(_), Some(_)) => Ok(State::Drifted(format!(
                "{} is in the way: it is not what the archive has",
                self.to
            ))),
            (Some(_), None) => {
                for path in &self.without {
                    if hdfs.stat(path).await?.is_some() {
                        return Ok(State::Waiting(format!("{path} elsewhere")));
                    }
                }
                match unlike(hdfs, &self.from, &self.was).await? {
                    Some(why) => Ok(State::Drifted(why)),
                    None => made_in(hdfs, &self.to).await,
                }
            }
        }
    }

    pub(in crate::actions) async fn apply(&self, world: &World) -> Result<(), Failure> {
        for path in self.paths() {
            world.guard.hdfs(path)?;
        }
        Ok(world.hdfs()?.rename(&self.from, &self.to).await?)
    }

    pub(in crate::actions) fn paths(&self) -> [&str; 2] {
        [&self.from, &self.to]
    }

    pub(in crate::actions) fn summary(&self) -> String {
        format!(
            "move {} ({}) back to {}",
            self.from,
            self.was.size(),
            self.to
        )
    }
}

/// Takes an archive's records out of it, before the archive becomes a home again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SetAside {
    /// Where they are, and where they will be.
    pub records: Artefact,
}

impl SetAside {
    pub(in crate::actions) async fn observe(&self, world: &World) -> Result<State, Failure> {
        let hdfs = world.hdfs()?;
        let Artefact { staged, settled } = &self.records;
        // Later steps give them up: what counts is that they are out of the way.
        match (hdfs.stat(staged).await?, hdfs.stat(settled).await?) {
            (None, _) => Ok(State::Done),
            (Some(_), Some(_)) => Ok(State::Drifted(format!("{staged} and {settled} both exist"))),
            (Some(_), None) => made_in(hdfs, settled).await,
        }
    }

    pub(in crate::actions) async fn apply(&self, world: &World) -> Result<(), Failure> {
        let Artefact { staged, settled } = &self.records;
        for path in [staged, settled] {
            world.guard.hdfs(path)?;
        }
        Ok(world.hdfs()?.rename(staged, settled).await?)
    }

    pub(in crate::actions) fn summary(&self) -> String {
        let Artefact { staged, settled } = &self.records;
        format!("set the records {staged} aside as {settled}")
    }
}

/// Moves an archive's records, or what is left of an archive without a home, to the trash, once
/// all that they are about is back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GiveUp {
    /// The folder: where it may be yet, and where it will be.
    pub folder: Artefact,
    /// A folder in it in which no file may be left, as a path relative to it.
    pub emptied: String,
}

impl GiveUp {
    pub(in crate::actions) async fn observe(&self, world: &World) -> Result<State, Failure> {
        let hdfs = world.hdfs()?;
        let Artefact { staged, settled } = &self.folder;
        if hdfs.stat(settled).await?.is_none() {
            return Ok(match hdfs.stat(staged).await? {
                Some(_) => State::Waiting(settled.clone()),
                None => State::Done,
            });
        }
        let emptied = format!("{settled}/{}", self.emptied);
        Ok(match hdfs.summary(&emptied).await? {
            Some(data) if data.files > 0 => State::Waiting(format!("the data in {emptied} back")),
            _ => State::Pending,
        })
    }

    /// Gives its place in the trash.
    pub(in crate::actions) async fn apply(&self, world: &World) -> Result<String, Failure> {
        world.guard.hdfs(&self.folder.settled)?;
        Ok(world.hdfs()?.trash(&self.folder.settled).await?)
    }

    pub(in crate::actions) fn summary(&self) -> String {
        format!("move {} to the trash", self.folder.settled)
    }
}
