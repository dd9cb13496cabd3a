//! The swap of the only file in a folder that is itself a table: at every moment a reader
//! sees exactly one, the old or the new.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::super::guard::{lies_in, path_fault};
use super::super::{World, file};
use super::made_in;
use crate::engine::plan::sha256_hex;
use crate::engine::{Failure, State};
use crate::services::hdfs::{Error, Existing, Hdfs, Status};

/// The longest file that is kept or swapped: these are lists, not data.
const LONGEST: u64 = 64 << 20;
/// Everybody may read it.
const READABLE: u16 = 0o444;

/// A file of this machine in the place of the only file of a folder.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Swap {
    /// The file on this machine, absolute.
    pub from: String,
    /// The file in HDFS; no other visible one is in its folder, before and after.
    pub to: String,
    /// The SHA-256 of what it holds before.
    pub was: String,
    /// The SHA-256 of what it holds after.
    pub becomes: String,
    /// Its mode after.
    pub mode: u16,
    /// The copy of what it held before, in another folder: without it nothing is done.
    pub kept: String,
}

/// The names that a query sees in a folder. Source: Hive, `FileUtils.HIDDEN_FILES_PATH_FILTER`.
pub fn visible(listing: &[Status]) -> Vec<String> {
    let names = listing
        .iter()
        .filter_map(|one| one.path.rsplit('/').next())
        .filter(|name| !name.starts_with(['_', '.']));
    let mut names: Vec<String> = names.map(str::to_owned).collect();
    names.sort_unstable();
    names
}

/// What a file holds, by its SHA-256; `None` where there is none.
async fn digest(hdfs: &Hdfs, path: &str) -> Result<Option<String>, Failure> {
    match hdfs.sha256(path).await {
        Ok(found) => Ok(Some(found.sha256)),
        Err(Error::NotFound { .. }) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

pub(super) async fn observe_keep(
    hdfs: &Hdfs,
    from: &str,
    to: &str,
    sha256: &str,
) -> Result<State, Failure> {
    Ok(match digest(hdfs, to).await? {
        Some(found) if found == sha256 => State::Done,
        Some(_) => State::Drifted(format!("{to} holds something else")),
        None => match digest(hdfs, from).await? {
            Some(found) if found == sha256 => State::Pending,
            Some(_) => State::Drifted(format!("{from} was changed by somebody else")),
            None => State::Drifted(format!("{from} is gone")),
        },
    })
}

pub(super) async fn keep(
    hdfs: &Hdfs,
    from: &str,
    to: &str,
    sha256: &str,
) -> Result<Value, Failure> {
    let bytes = hdfs.read_all(from, LONGEST).await?;
    if sha256_hex(&bytes) != sha256 {
        return Err(Failure::drifted(format!("{from} is being changed")));
    }
    if let Some((folder, _)) = to.rsplit_once('/')
        && hdfs.stat(folder).await?.is_none()
    {
        if let State::Waiting(parent) = made_in(hdfs, folder).await? {
            return Err(Failure::new(
                format!("there is no folder {parent}"),
                "make it, or name another place: newwiki.allowlist.backup_dir".to_owned(),
            ));
        }
        hdfs.mkdir(folder, 0o755).await?;
    }
    let written = hdfs.put_bytes(to, &bytes, 0o644, Existing::Refuse).await?;
    Ok(json!({ "bytes": written.bytes, "sha256": written.sha256 }))
}

impl Swap {
    fn folder_and_name(&self) -> (&str, &str) {
        self.to.rsplit_once('/').unwrap_or_default()
    }

    pub(super) async fn observe(&self, world: &World, hdfs: &Hdfs) -> Result<State, Failure> {
        world.guard.file(&self.from)?;
        let (folder, name) = self.folder_and_name();
        let listing = hdfs.list(folder).await?;
        let seen = visible(&listing);
        if seen != [name] {
            return Ok(State::Drifted(format!(
                "{folder} must hold {name} and nothing else that is visible, and holds: {}",
                seen.join(", ")
            )));
        }
        let now = digest(hdfs, &self.to).await?.unwrap_or_default();
        if now == self.becomes {
            let status = hdfs.stat(&self.to).await?;
            let readable = status.is_some_and(|status| status.mode & READABLE == READABLE);
            return Ok(if readable {
                State::Done
            } else {
                State::Pending
            });
        }
        if now != self.was {
            let why = format!("{} was changed by somebody else", self.to);
            return Ok(State::Drifted(why));
        }
        let local = file::read_in_background(self.from.clone()).await?;
        if sha256_hex(&local) != self.becomes {
            return Ok(State::Waiting(format!("the edit of {}", self.from)));
        }
        Ok(match digest(hdfs, &self.kept).await? {
            Some(kept) if kept == self.was => State::Pending,
            Some(_) => State::Drifted(format!("{} holds something else", self.kept)),
            None => State::Waiting(self.kept.clone()),
        })
    }

    pub(super) async fn apply(&self, world: &World, hdfs: &Hdfs) -> Result<Value, Failure> {
        world.guard.file(&self.from)?;
        if digest(hdfs, &self.to).await?.as_ref() == Some(&self.becomes) {
            hdfs.set_mode(&self.to, self.mode | READABLE).await?;
            return Ok(Value::Null);
        }
        if digest(hdfs, &self.kept).await?.as_ref() != Some(&self.was) {
            return Err(Failure::drifted(format!(
                "{} is no copy of what is to be replaced",
                self.kept
            )));
        }
        let bytes = file::read_in_background(self.from.clone()).await?;
        if sha256_hex(&bytes) != self.becomes {
            return Err(Failure::drifted(format!("{} is being edited", self.from)));
        }
        // Under a name that begins with `_`, read back, then one rename over the old one.
        let written = hdfs
            .put_bytes(&self.to, &bytes, self.mode | READABLE, Existing::Replace)
            .await?;
        let mode = hdfs.stat(&self.to).await?.map(|status| status.mode);
        if mode.is_some_and(|mode| mode & READABLE != READABLE) {
            hdfs.set_mode(&self.to, self.mode | READABLE).await?;
        }
        Ok(json!({ "bytes": written.bytes, "sha256": written.sha256, "kept": self.kept }))
    }

    pub(super) fn faults(&self) -> Vec<String> {
        let (folder, name) = self.folder_and_name();
        let mut faults: Vec<String> = path_fault(&self.kept).into_iter().collect();
        if lies_in(&self.kept, folder) {
            let kept = &self.kept;
            faults.push(format!("{kept} would be read together with {}", self.to));
        }
        if name.starts_with(['_', '.']) {
            faults.push(format!("{} is read by nobody", self.to));
        }
        faults
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_copy_beside_the_file_would_be_counted() {
        let faults = |to: &str, kept: &str| {
            let swap = Swap {
                from: "/srv/list".into(),
                to: to.into(),
                was: sha256_hex(b"a"),
                becomes: sha256_hex(b"b"),
                mode: 0o644,
                kept: kept.into(),
            };
            swap.faults()
        };
        assert!(faults("/wmf/list/list.tsv", "/wmf/kept/list.tsv").is_empty());
        for kept in ["/wmf/list/old.tsv", "/wmf/list/old/list.tsv", "/kept", "x"] {
            assert_eq!(faults("/wmf/list/list.tsv", kept).len(), 1, "{kept}");
        }
        assert_eq!(faults("/wmf/list/_list", "/wmf/kept/list").len(), 1);
    }
}
