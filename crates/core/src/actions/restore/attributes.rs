//! Owner, group, mode and ACL of every path of a tree, as an archive's record has them.

use futures::{StreamExt, TryStreamExt};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::super::guard::{lies_in, path_fault};
use super::super::hdfs::Line;
use super::super::{Artefact, World};
use super::records::lines;
use crate::engine::{Cx, Failure, State};
use crate::services::hdfs::{AclEntry, Existing, Hdfs, Status};

/// How many paths at once; the client has its own bound on calls.
const CONCURRENCY: usize = 32;
/// How many of the paths that are gone are named.
const NAMED: usize = 3;

/// Gives paths their recorded attributes back. All or nothing: its marker says that it is done,
/// whatever becomes of the paths afterwards.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Attributes {
    /// The record.
    pub record: Artefact,
    /// The trees; recorded paths outside them are left alone.
    pub roots: Vec<String>,
    /// Trees in them that are left alone: others' tables, which the archive did not change.
    pub keep: Vec<String>,
    /// Only the owner, and only of paths that belong to this account now: trees that are in use
    /// by those who got them.
    pub only_of: Option<String>,
    /// The marker.
    pub marker: Artefact,
}

/// What became of a path.
enum Became {
    Changed,
    Right,
    /// It is no longer there, or is something else.
    Gone(String),
}

impl Attributes {
    pub(in crate::actions) async fn observe(&self, world: &World) -> Result<State, Failure> {
        let hdfs = world.hdfs()?;
        if self.marker.find(hdfs).await?.is_some() {
            return Ok(State::Done);
        }
        for root in &self.roots {
            if hdfs.stat(root).await?.is_none() {
                return Ok(State::Waiting(root.clone()));
            }
        }
        Ok(match self.record.find(hdfs).await? {
            Some(_) => State::Pending,
            // The plan's last step gives the records up.
            None if self.record.given_up(hdfs).await? => State::Done,
            None => State::Waiting(self.record.settled.clone()),
        })
    }

    pub(in crate::actions) async fn apply(&self, world: &World, cx: &Cx) -> Result<Value, Failure> {
        let hdfs = world.hdfs()?;
        for path in self.paths() {
            world.guard.hdfs(path)?;
        }
        let Some(record) = self.record.find(hdfs).await? else {
            return Err(Failure::drifted(format!("{} is gone", self.record.settled)));
        };
        let (mut seen, mut changed, mut gone) = (0_u64, 0_u64, 0_u64);
        let mut named = Vec::new();
        let mine = |line: &Line| {
            let inside = |root: &String| lies_in(&line.path, root);
            self.roots.iter().any(inside) && !self.keep.iter().any(inside)
        };
        let mut done = std::pin::pin!(
            lines::<Line>(hdfs, record)
                .try_filter(|line| std::future::ready(mine(line)))
                .map(|line| async { self.conform(hdfs, &line?).await })
                .buffer_unordered(CONCURRENCY)
        );
        while let Some(became) = done.try_next().await? {
            seen += 1;
            match became {
                Became::Changed => changed += 1,
                Became::Right => {}
                Became::Gone(path) => {
                    gone += 1;
                    if named.len() < NAMED {
                        named.push(path);
                    }
                }
            }
            if seen.is_multiple_of(256) {
                if cx.cancel().is_cancelled() {
                    return Err(Failure::interrupted());
                }
                cx.progress(seen, None, "paths");
            }
        }
        let effect = json!({ "paths": seen, "changed": changed, "gone": gone, "of these": named });
        // Beside the record, wherever that is by now.
        let marker = if *record == self.record.settled {
            &self.marker.settled
        } else {
            &self.marker.staged
        };
        hdfs.put_bytes(
            marker,
            format!("{effect}\n").as_bytes(),
            0o640,
            Existing::Refuse,
        )
        .await?;
        Ok(effect)
    }

    async fn conform(&self, hdfs: &Hdfs, line: &Line) -> Result<Became, Failure> {
        // That it lies in a root is told by its text.
        if let Some(fault) = path_fault(&line.path) {
            return Err(Failure::new(fault, damaged(&self.record)));
        }
        let Some(status) = hdfs.stat(&line.path).await? else {
            return Ok(Became::Gone(line.path.clone()));
        };
        if status.is_dir != line.folder {
            return Ok(Became::Gone(line.path.clone()));
        }
        if let Some(of) = &self.only_of {
            if status.owner != *of || line.owner == *of {
                return Ok(Became::Right);
            }
            hdfs.set_owner(&line.path, Some(&line.owner), None).await?;
            return Ok(Became::Changed);
        }
        if !self.change(hdfs, line, &status).await? {
            return Ok(Became::Right);
        }
        let now = hdfs.stat(&line.path).await?;
        let right = now.is_some_and(|now| {
            now.owner == line.owner && now.group == line.group && now.mode == line.mode
        });
        if right {
            Ok(Became::Changed)
        } else {
            Err(Failure::new(
                format!("{} does not keep its attributes", line.path),
                "somebody else may be changing it; look, then run again".to_owned(),
            ))
        }
    }

    /// Whether anything had to be changed.
    async fn change(&self, hdfs: &Hdfs, line: &Line, now: &Status) -> Result<bool, Failure> {
        let path = &line.path;
        let parsed: Result<Vec<AclEntry>, _> = line.acl.iter().map(|entry| entry.parse()).collect();
        let mut wanted = parsed.map_err(|error| Failure::new(error, damaged(&self.record)))?;
        let mut has = hdfs.acl(path).await?;
        wanted.sort();
        has.sort();
        let mut changed = false;
        if has != wanted && wanted.is_empty() {
            hdfs.remove_acl(path).await?;
            changed = true;
        }
        // Taking an ACL away changes the mode, and setting one sets it.
        if changed || now.mode != line.mode {
            hdfs.set_mode(path, line.mode).await?;
            changed = true;
        }
        if has != wanted && !wanted.is_empty() {
            hdfs.set_acl(path, &wanted).await?;
            changed = true;
        }
        if now.owner != line.owner || now.group != line.group {
            hdfs.set_owner(path, Some(&line.owner), Some(&line.group))
                .await?;
            changed = true;
        }
        // The archive never writes a file; a root loses and gets entries on the way.
        if self.roots.contains(path) && now.modified_ms != line.modified && line.folder {
            hdfs.set_modified(path, line.modified).await?;
            changed = true;
        }
        Ok(changed)
    }

    pub(in crate::actions) fn paths(&self) -> Vec<&str> {
        let roots = self.roots.iter().map(String::as_str);
        let records = [&self.record, &self.marker]
            .into_iter()
            .flat_map(|artefact| [artefact.staged.as_str(), &artefact.settled]);
        roots.chain(records).collect()
    }

    pub(in crate::actions) fn summary(&self) -> String {
        let roots = self.roots.join(", ");
        match &self.only_of {
            Some(of) => {
                format!("give {roots} back the owners that were recorded, where it is {of}'s")
            }
            None => {
                format!("give {roots} back the owners, groups, modes and ACLs that were recorded")
            }
        }
    }
}

fn damaged(record: &Artefact) -> String {
    format!("the record {} is damaged; look at it", record.settled)
}
