//! Changes of HDFS.

mod swap;

use futures::{TryStreamExt, future};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::delete::Delete;
use super::guard::path_fault;
use super::lines::{Lines, body, both};
use super::restore::attributes::Attributes;
use super::restore::put_back::{GiveUp, PutBack, SetAside};
use super::{Artefact, World};
use crate::engine::render::bytes as humane;
use crate::engine::{Cx, Failure, State};
use crate::services::hdfs::{AclEntry, Existing, Hdfs, Status, TreeChange};
pub use swap::{Swap, visible};

/// A folder and all under it, as a plan remembers it. An overwrite by the same number of
/// bytes goes unseen.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tree {
    /// Its path.
    pub path: String,
    /// The root's owner.
    pub owner: String,
    /// The root's group.
    pub group: String,
    /// The root's mode.
    pub mode: u16,
    /// Files under it.
    pub files: u64,
    /// Folders under it, itself included when it is one.
    pub folders: u64,
    /// The files' lengths summed.
    pub bytes: u64,
    /// Trees in it that earlier steps take away; they are in none of these numbers.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub leaves: Vec<String>,
}

impl Tree {
    /// Looks at `path`; `None` when there is nothing.
    pub async fn look(hdfs: &Hdfs, path: &str) -> Result<Option<Self>, Failure> {
        let (status, summary) = future::try_join(hdfs.stat(path), hdfs.summary(path)).await?;
        let (Some(status), Some(summary)) = (status, summary) else {
            return Ok(None);
        };
        Ok(Some(Self {
            path: path.to_owned(),
            owner: status.owner,
            group: status.group,
            mode: status.mode,
            files: summary.files,
            folders: summary.folders,
            bytes: summary.bytes,
            leaves: Vec::new(),
        }))
    }

    /// Takes a tree that lies in it, and will be gone, out of its totals.
    pub fn without(&mut self, inner: &Self) {
        self.files = self.files.saturating_sub(inner.files);
        self.folders = self.folders.saturating_sub(inner.folders);
        self.bytes = self.bytes.saturating_sub(inner.bytes);
        self.leaves.push(inner.path.clone());
    }

    /// Its size for people.
    pub fn size(&self) -> String {
        format!("{} files, {}", self.files, humane(self.bytes))
    }
}

/// One change of HDFS.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "verb", rename_all = "snake_case", deny_unknown_fields)]
pub enum Action {
    /// Writes a manifest of trees: a compressed line of JSON for every path under `roots`.
    Record {
        /// The trees.
        roots: Vec<String>,
        /// The manifest.
        to: Artefact,
    },
    /// Writes a small file.
    Put {
        /// The file.
        to: Artefact,
        /// What it holds.
        content: String,
    },
    /// Makes a folder.
    MakeFolder {
        /// The folder.
        to: Artefact,
        /// Its owner.
        owner: String,
        /// Its group.
        group: String,
        /// Its mode.
        mode: u16,
    },
    /// Renames a tree onto a path where nothing is.
    Move {
        /// Its path now.
        from: String,
        /// Its path then.
        to: String,
        /// What is to be moved; `None` for what the plan itself made.
        was: Option<Tree>,
    },
    /// Changes owner, group and mode of a tree.
    Own {
        /// The tree.
        root: String,
        /// How.
        change: TreeChange,
        /// How many paths it is about, for people.
        paths: u64,
    },
    /// Moves a tree to the acting user's trash.
    Trash {
        /// The tree as it was found, wherever it was then.
        was: Tree,
        /// Where it is by now.
        path: String,
    },
    /// Renames a tree back out of an archive.
    PutBack(PutBack),
    /// Gives paths back the attributes that an archive has recorded.
    Attributes(Attributes),
    /// Takes an archive's records out of it.
    SetAside(SetAside),
    /// Moves an archive's records to the trash.
    GiveUp(GiveUp),
    /// Keeps a copy of a small file.
    Keep {
        /// The file.
        from: String,
        /// The copy; its folder is made where there is none.
        to: String,
        /// The SHA-256 of what it holds.
        sha256: String,
    },
    /// Puts a file of this machine in the place of the only file of a folder, in one rename.
    Swap(Swap),
    /// Deletes a tree past the trash.
    Delete(Delete),
}

/// A line of the manifest that [`Action::Record`] writes.
#[derive(Debug, Serialize, Deserialize)]
pub struct Line {
    /// The absolute path.
    pub path: String,
    /// Whether it is a folder.
    pub folder: bool,
    /// Its length in bytes.
    pub len: u64,
    /// Its owner.
    pub owner: String,
    /// Its group.
    pub group: String,
    /// Its mode, `07777`.
    pub mode: u16,
    /// Its last change, in milliseconds since the epoch.
    pub modified: u64,
    /// Its ACL beyond the mode, in the text form of `hdfs dfs -getfacl`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub acl: Vec<String>,
}

impl Action {
    pub(super) async fn observe(&self, world: &World, _: &Cx) -> Result<State, Failure> {
        let hdfs = world.hdfs()?;
        match self {
            Self::Record { to, .. } => Ok(match to.find(hdfs).await? {
                Some(_) => State::Done,
                None => made_in(hdfs, &to.staged).await?,
            }),
            Self::Put { to, content } => Ok(match to.find(hdfs).await? {
                Some(path) if holds(hdfs, path, content).await? => State::Done,
                Some(path) => State::Drifted(format!("{path} is there, of another plan")),
                None => made_in(hdfs, &to.staged).await?,
            }),
            Self::MakeFolder {
                to, owner, group, ..
            } => {
                let Some(path) = to.find(hdfs).await? else {
                    return made_in(hdfs, &to.staged).await;
                };
                // A run may have ended before it gave the folder away; later steps leave it its owner.
                let whole = |found: Status| found.owner == *owner && found.group == *group;
                Ok(if hdfs.stat(path).await?.is_none_or(whole) {
                    State::Done
                } else {
                    State::Pending
                })
            }
            Self::Move { from, to, was } => {
                let (here, there) = (hdfs.stat(from).await?, hdfs.stat(to).await?);
                match (here, there) {
                    (None, Some(_)) => Ok(State::Done),
                    (None, None) => Ok(State::Waiting(from.clone())),
                    (Some(_), Some(_)) => Ok(State::Drifted(format!("{from} and {to} both exist"))),
                    (Some(_), None) => match was {
                        Some(was) => match as_planned(hdfs, from, was).await? {
                            State::Pending => made_in(hdfs, to).await,
                            state => Ok(state),
                        },
                        None => made_in(hdfs, to).await,
                    },
                }
            }
            Self::Own { root, change, .. } => {
                if hdfs.stat(root).await?.is_none() {
                    return Ok(State::Waiting(root.clone()));
                }
                Ok(match hdfs.check_tree(root, change).await? {
                    Some(_) => State::Pending,
                    None => State::Done,
                })
            }
            Self::Keep { from, to, sha256 } => swap::observe_keep(hdfs, from, to, sha256).await,
            Self::Swap(swap) => swap.observe(world, hdfs).await,
            Self::Trash { was, path } => match hdfs.stat(path).await? {
                Some(_) => as_planned(hdfs, path, was).await,
                None => Ok(match made_in(hdfs, path).await? {
                    State::Pending => State::Done,
                    waiting => waiting,
                }),
            },
            Self::PutBack(action) => action.observe(world).await,
            Self::Attributes(action) => action.observe(world).await,
            Self::SetAside(action) => action.observe(world).await,
            Self::GiveUp(action) => action.observe(world).await,
            Self::Delete(action) => action.observe(world).await,
        }
    }

    pub(super) async fn apply(&self, world: &World, cx: &Cx) -> Result<Value, Failure> {
        let hdfs = world.hdfs()?;
        for path in self.paths() {
            world.guard.hdfs(path)?;
        }
        match self {
            Self::Record { roots, to } => record(hdfs, roots, &to.staged, cx).await,
            Self::Put { to, content } => {
                let written = hdfs
                    .put_bytes(&to.staged, content.as_bytes(), 0o640, Existing::Refuse)
                    .await?;
                Ok(json!({ "sha256": written.sha256 }))
            }
            Self::MakeFolder {
                to,
                owner,
                group,
                mode,
            } => {
                let path = to.find(hdfs).await?.unwrap_or(&to.staged);
                hdfs.mkdir(path, *mode).await?;
                hdfs.set_owner(path, Some(owner), Some(group)).await?;
                // mkdir's mode passes through the server's umask.
                hdfs.set_mode(path, *mode).await?;
                Ok(Value::Null)
            }
            Self::Move { from, to, .. } => {
                hdfs.rename(from, to).await?;
                Ok(Value::Null)
            }
            Self::Own {
                root,
                change,
                paths,
            } => {
                let progress = |seen| cx.progress(seen, Some(*paths), "paths");
                let counts = hdfs.set_tree(root, change, &progress, cx.cancel()).await?;
                if counts.cancelled {
                    return Err(Failure::interrupted());
                }
                Ok(json!({ "seen": counts.seen, "changed": counts.changed }))
            }
            Self::Trash { path, .. } => Ok(json!({ "trash": hdfs.trash(path).await? })),
            Self::PutBack(action) => action.apply(world).await.map(|()| Value::Null),
            Self::Attributes(action) => action.apply(world, cx).await,
            Self::SetAside(action) => action.apply(world).await.map(|()| Value::Null),
            Self::GiveUp(action) => Ok(json!({ "trash": action.apply(world).await? })),
            Self::Keep { from, to, sha256 } => swap::keep(hdfs, from, to, sha256).await,
            Self::Swap(swap) => swap.apply(world, hdfs).await,
            Self::Delete(action) => action.apply(world).await.map(|()| Value::Null),
        }
    }

    /// The paths that it writes.
    pub(crate) fn paths(&self) -> Vec<&str> {
        match self {
            Self::Record { to, .. }
            | Self::Put { to, .. }
            | Self::MakeFolder { to, .. }
            | Self::SetAside(SetAside { records: to })
            | Self::GiveUp(GiveUp { folder: to, .. }) => vec![&to.staged, &to.settled],
            Self::Move { from, to, .. } => vec![from, to],
            Self::Own { root, .. } => vec![root],
            Self::Trash { path, .. } => vec![path],
            Self::PutBack(action) => action.paths().into(),
            Self::Attributes(action) => action.paths(),
            Self::Keep { to, .. } => vec![to],
            Self::Swap(swap) => vec![&swap.to],
            Self::Delete(action) => vec![&action.was.path],
        }
    }

    pub(super) fn summary(&self) -> String {
        match self {
            Self::Record { roots, to } => format!(
                "record owner, group, mode and ACL of every path in {} in {}",
                roots.join(", "),
                to.settled
            ),
            Self::Put { to, .. } => format!("write {}", to.settled),
            Self::MakeFolder { to, mode, .. } => {
                format!("make the folder {} ({mode:04o})", to.settled)
            }
            Self::Move { from, to, was } => match was {
                Some(was) => format!("move {from} ({}) to {to}", was.size()),
                None => format!("move {from} to {to}"),
            },
            Self::Own {
                root,
                change,
                paths,
            } => {
                let mut what = Vec::new();
                match (&change.owner, &change.group) {
                    (Some(owner), Some(group)) => what.push(format!("chown {owner}:{group}")),
                    (Some(owner), None) => what.push(format!("chown {owner}")),
                    (None, Some(group)) => what.push(format!("chgrp {group}")),
                    (None, None) => {}
                }
                if change.clear_mode != 0 {
                    what.push(format!("clear mode bits {:04o}", change.clear_mode));
                }
                if change.strip_acls {
                    what.push("drop ACLs".to_owned());
                }
                let keep = if change.keep.is_empty() {
                    String::new()
                } else {
                    format!(", but not {}", change.keep.join(", "))
                };
                let of = change.only_of.as_ref();
                let of = of.map_or_else(String::new, |of| format!(", only what is {of}'s"));
                format!("{} in {root} ({paths} paths){keep}{of}", what.join(", "))
            }
            Self::Trash { was, path } => format!("move {path} ({}) to the trash", was.size()),
            Self::PutBack(action) => action.summary(),
            Self::Attributes(action) => action.summary(),
            Self::SetAside(action) => action.summary(),
            Self::GiveUp(action) => action.summary(),
            Self::Keep { from, to, .. } => format!("keep a copy of {from} in {to}"),
            Self::Swap(swap) => format!("put {} in the place of {}", swap.from, swap.to),
            Self::Delete(action) => action.summary(),
        }
    }

    pub(super) fn targets(&self) -> Vec<String> {
        match self {
            Self::Record { to, .. } | Self::Put { to, .. } | Self::MakeFolder { to, .. } => {
                vec![format!("hdfs:{}", to.settled)]
            }
            Self::Move { from, .. } => vec![format!("hdfs:place of {from}")],
            Self::Own { root, .. } => vec![format!("hdfs:owner of {root}")],
            Self::Trash { path, .. } => vec![format!("hdfs:place of {path}")],
            Self::PutBack(action) => vec![format!("hdfs:place of {}", action.from)],
            Self::Attributes(action) => vec![format!("hdfs:{}", action.marker.settled)],
            Self::SetAside(action) => vec![format!("hdfs:place of {}", action.records.staged)],
            Self::GiveUp(action) => vec![format!("hdfs:{} given up", action.folder.settled)],
            Self::Keep { to, .. } => vec![format!("hdfs:{to}")],
            Self::Swap(swap) => vec![format!("hdfs:content of {}", swap.to)],
            Self::Delete(action) => vec![format!("hdfs:place of {}", action.was.path)],
        }
    }

    pub(super) fn destroys(&self) -> Option<Vec<String>> {
        match self {
            Self::Delete(action) => Some(vec![action.proof.clone()]),
            _ => None,
        }
    }

    pub(super) fn proves(&self) -> Vec<String> {
        match self {
            Self::Record { to, .. } => vec![to.settled.clone()],
            Self::Keep { to, .. } => vec![to.clone()],
            _ => Vec::new(),
        }
    }

    pub(super) fn faults(&self) -> Vec<String> {
        let proof = match self {
            Self::Delete(action) => Some(action.proof.as_str()),
            _ => None,
        };
        let paths = self.paths().into_iter().chain(proof);
        let mut faults: Vec<String> = paths.filter_map(path_fault).collect();
        if let Self::Swap(swap) = self {
            faults.extend(swap.faults());
        }
        faults
    }
}

/// Whether the file at `path` has exactly this content.
async fn holds(hdfs: &Hdfs, path: &str, content: &str) -> Result<bool, Failure> {
    let length = content.len() as u64;
    let found = hdfs.stat(path).await?;
    if found.is_none_or(|found| found.is_dir || found.len != length) {
        return Ok(false);
    }
    Ok(hdfs.read_all(path, length).await? == content.as_bytes())
}

/// Pending when the folder that `path` is to be made in exists, else waiting for it.
pub(super) async fn made_in(hdfs: &Hdfs, path: &str) -> Result<State, Failure> {
    let parent = match path.rsplit_once('/') {
        Some((parent, _)) if !parent.is_empty() => parent,
        _ => "/",
    };
    Ok(match hdfs.stat(parent).await? {
        Some(status) if status.is_dir => State::Pending,
        Some(_) => State::Drifted(format!("{parent} is not a folder")),
        None => State::Waiting(parent.to_owned()),
    })
}

/// Pending when the tree at `path` is what was planned on; waiting for what is to leave it first.
pub(super) async fn as_planned(hdfs: &Hdfs, path: &str, was: &Tree) -> Result<State, Failure> {
    for leaving in &was.leaves {
        if hdfs.stat(leaving).await?.is_some() {
            return Ok(State::Waiting(format!("{leaving} to be moved away")));
        }
    }
    Ok(match unlike(hdfs, path, was).await? {
        Some(why) => State::Drifted(why),
        None => State::Pending,
    })
}

/// How the tree at `path` differs from what was planned on.
pub(super) async fn unlike(hdfs: &Hdfs, path: &str, was: &Tree) -> Result<Option<String>, Failure> {
    let Some(now) = Tree::look(hdfs, path).await? else {
        return Ok(Some(format!("{path} is gone")));
    };
    let differs = |what: &str, then: &dyn std::fmt::Display, now: &dyn std::fmt::Display| {
        Ok(Some(format!("{path}: {what} was {then}, is {now}")))
    };
    if now.owner != was.owner {
        differs("owner", &was.owner, &now.owner)
    } else if now.mode != was.mode {
        let octal = |mode| format!("{mode:04o}");
        differs("mode", &octal(was.mode), &octal(now.mode))
    } else if now.files != was.files {
        differs("number of files", &was.files, &now.files)
    } else if now.folders != was.folders {
        differs("number of folders", &was.folders, &now.folders)
    } else if now.bytes != was.bytes {
        differs("number of bytes", &was.bytes, &now.bytes)
    } else {
        Ok(None)
    }
}

async fn record(hdfs: &Hdfs, roots: &[String], to: &str, cx: &Cx) -> Result<Value, Failure> {
    let (mut lines, source) = Lines::new()?;
    let produce = async {
        let produced = record_lines(hdfs, roots, &mut lines, cx).await;
        lines.end(produced).await
    };
    let write = hdfs.write(to, 0o640, Existing::Refuse, body(source));
    let (produced, written) = tokio::join!(produce, write);
    let (count, written) = both(produced, written)?;
    Ok(json!({ "paths": count, "bytes": written.bytes, "sha256": written.sha256 }))
}

async fn record_lines(
    hdfs: &Hdfs,
    roots: &[String],
    lines: &mut Lines,
    cx: &Cx,
) -> Result<(), Failure> {
    for root in roots {
        let mut walk = std::pin::pin!(hdfs.walk_with_acls(root));
        while let Some((status, acl)) = walk.try_next().await? {
            lines.line(&line(status, &acl)).await?;
            if lines.count().is_multiple_of(1024) {
                if cx.cancel().is_cancelled() {
                    return Err(Failure::interrupted());
                }
                cx.progress(lines.count(), None, "paths");
            }
        }
    }
    Ok(())
}

fn line(status: Status, acl: &[AclEntry]) -> Line {
    Line {
        path: status.path,
        folder: status.is_dir,
        len: status.len,
        owner: status.owner,
        group: status.group,
        mode: status.mode,
        modified: status.modified_ms,
        acl: acl.iter().map(ToString::to_string).collect(),
    }
}
