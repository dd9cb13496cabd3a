//! Changing owner, mode and ACLs of a whole tree.

use futures::stream::StreamExt;
use serde::{Deserialize, Serialize};
use tokio_util::sync::CancellationToken;

use super::{Error, Hdfs, Status, path};

/// The bit that lets others through a folder to names that they know.
const PASS: u16 = 0o001;

/// What every path of a tree shall look like.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TreeChange {
    /// Owner, if it matters.
    pub owner: Option<String>,
    /// Group, if it matters.
    pub group: Option<String>,
    /// Mode bits that no path may have, such as `0o007`.
    pub clear_mode: u16,
    /// Whether no path may have an ACL.
    pub strip_acls: bool,
    /// Trees inside that are none of this change's business.
    pub keep: Vec<String>,
    /// Folders that others may pass through, whatever `clear_mode` says: the way to what is
    /// kept. Paths in normal form.
    pub pass: Vec<String>,
    /// Only paths that belong to this account; everything else is none of this change's business.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub only_of: Option<String>,
}

impl TreeChange {
    /// Whether owner, group and mode are as wished; tells nothing of ACLs.
    pub fn conforms(&self, status: &Status) -> bool {
        !self.concerns(status)
            || self.owner_conforms(status) && status.mode == self.mode_of(&status.path, status.mode)
    }

    /// Whether the path is this change's business at all.
    fn concerns(&self, status: &Status) -> bool {
        let of = self.only_of.as_ref();
        of.is_none_or(|of| *of == status.owner)
    }

    /// The mode that `path` shall have when it has `mode`.
    fn mode_of(&self, path: &str, mode: u16) -> u16 {
        let passes = self.pass.iter().any(|folder| folder == path);
        let pass = if passes { PASS } else { 0 };
        mode & !self.clear_mode | pass
    }

    fn owner_conforms(&self, status: &Status) -> bool {
        self.owner
            .as_ref()
            .is_none_or(|owner| *owner == status.owner)
            && self
                .group
                .as_ref()
                .is_none_or(|group| *group == status.group)
    }

    /// The trees to leave out, in normal form.
    fn kept(&self) -> Result<Vec<String>, Error> {
        self.keep.iter().map(|path| path::normal(path)).collect()
    }
}

/// How far a change of a tree came.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Paths that now conform.
    pub seen: u64,
    /// Of these, the ones that had to be changed.
    pub changed: u64,
    /// Whether it was stopped before the end.
    pub cancelled: bool,
}

/// What one walk over a tree sees to.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Pass {
    /// The paths whose ACL has to go, with all else of them.
    Acls,
    /// Owner, group and mode.
    Attributes,
}

impl Hdfs {
    /// Makes every path at and below `root` conform. Changes are sent only for paths that do not
    /// conform yet, so a second run costs a listing, and with `strip_acls` another and a look at
    /// each path's ACL; an interrupted one is taken up by repeating it. `progress` gets the number
    /// of paths seen to so far, after each. When `cancel` is triggered, calls under way are
    /// finished and no new ones begun.
    ///
    /// A path that vanishes meanwhile is passed over.
    ///
    /// # Errors
    /// The first one; calls under way are finished first.
    pub async fn set_tree(
        &self,
        root: &str,
        change: &TreeChange,
        progress: &(dyn Fn(u64) + Sync),
        cancel: &CancellationToken,
    ) -> Result<Counts, Error> {
        let mut stripped = 0;
        if change.strip_acls {
            // A walk of its own: a `NameNode` is slow to answer reads between writes. Both in one
            // took twice as long for 20,000 paths as one after the other.
            let counts = self.pass(root, change, Pass::Acls, &|_| (), cancel).await?;
            stripped = counts.changed;
        }
        let mut counts = self
            .pass(root, change, Pass::Attributes, progress, cancel)
            .await?;
        counts.changed += stripped;
        Ok(counts)
    }

    /// One walk of [`Hdfs::set_tree`].
    async fn pass(
        &self,
        root: &str,
        change: &TreeChange,
        pass: Pass,
        progress: &(dyn Fn(u64) + Sync),
        cancel: &CancellationToken,
    ) -> Result<Counts, Error> {
        // Stops the walk on cancellation and on the first error alike.
        let stop = cancel.child_token();
        let walk = self
            .walk_without(root, change.kept()?)
            .take_until(stop.clone().cancelled_owned());
        let mut done = std::pin::pin!(
            walk.map(|status| async { self.conform(&status?, change, pass).await })
                .buffer_unordered(self.inner.config.concurrency)
        );
        let mut counts = Counts::default();
        let mut first_error = None;
        while let Some(changed) = done.next().await {
            match changed {
                Ok(changed) => {
                    counts.seen += 1;
                    counts.changed += u64::from(changed);
                    progress(counts.seen);
                }
                Err(error) => {
                    stop.cancel();
                    first_error.get_or_insert(error);
                }
            }
        }
        counts.cancelled = cancel.is_cancelled();
        first_error.map_or(Ok(counts), Err)
    }

    /// The first path found at or below `root` that does not conform; changes nothing.
    pub async fn check_tree(
        &self,
        root: &str,
        change: &TreeChange,
    ) -> Result<Option<Status>, Error> {
        let mut checked = std::pin::pin!(
            self.walk_without(root, change.kept()?)
                .map(|status| async {
                    let status = status?;
                    let off = !change.conforms(&status) || self.strips(&status, change).await?;
                    Ok(off.then_some(status))
                })
                .buffer_unordered(self.inner.config.concurrency)
        );
        while let Some(off) = checked.next().await {
            if let Some(status) = off? {
                return Ok(Some(status));
            }
        }
        Ok(None)
    }

    /// Makes one path conform, if it is this pass's business; whether anything was to do.
    async fn conform(
        &self,
        status: &Status,
        change: &TreeChange,
        pass: Pass,
    ) -> Result<bool, Error> {
        let off = match pass {
            Pass::Acls => self.strips(status, change).await?,
            Pass::Attributes => !change.conforms(status),
        };
        if !off {
            return Ok(false);
        }
        match self.change(status, change, pass).await {
            Err(Error::NotFound { .. }) => Ok(false),
            result => result.map(|()| true),
        }
    }

    async fn change(&self, status: &Status, change: &TreeChange, pass: Pass) -> Result<(), Error> {
        let path = &status.path;
        let mut mode = status.mode;
        if pass == Pass::Acls {
            self.remove_acl(path).await?;
            // The group's own bits come out from under the mask and may be more than it.
            mode = self.stat_present("look at", path).await?.mode;
        }
        let wanted = change.mode_of(path, mode);
        if mode != wanted {
            self.set_mode(path, wanted).await?;
        }
        if !change.owner_conforms(status) {
            let (owner, group) = (change.owner.as_deref(), change.group.as_deref());
            self.set_owner(path, owner, group).await?;
        }
        Ok(())
    }

    /// Whether a path has an ACL that has to go.
    async fn strips(&self, status: &Status, change: &TreeChange) -> Result<bool, Error> {
        if !change.strip_acls || !change.concerns(status) {
            return Ok(false);
        }
        match self.acl(&status.path).await {
            Err(Error::NotFound { .. }) => Ok(false),
            acl => Ok(!acl?.is_empty()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn conforming_means_every_wish_is_met() {
        let status = Status {
            path: "/user/elvis".into(),
            is_dir: true,
            len: 0,
            owner: "elvis".into(),
            group: "wikidev".into(),
            mode: 0o750,
            modified_ms: 0,
            replication: 0,
        };
        let change = TreeChange::default();
        assert!(change.conforms(&status));
        let owner = |name: &str| TreeChange {
            owner: Some(name.into()),
            ..TreeChange::default()
        };
        assert!(owner("elvis").conforms(&status));
        assert!(!owner("hdfs").conforms(&status));
        let group = |name: &str| TreeChange {
            group: Some(name.into()),
            ..owner("elvis")
        };
        assert!(group("wikidev").conforms(&status));
        assert!(!group("hdfs").conforms(&status));
        let clear = |clear_mode| TreeChange {
            clear_mode,
            ..TreeChange::default()
        };
        assert!(clear(0o007).conforms(&status));
        assert!(!clear(0o077).conforms(&status));
        let pass = |folder: &str| TreeChange {
            pass: vec![folder.into()],
            ..clear(0o007)
        };
        let of = |name: &str| TreeChange {
            only_of: Some(name.into()),
            ..owner("analytics")
        };
        assert!(of("azy").conforms(&status));
        assert!(!of("elvis").conforms(&status));
        assert!(pass("/user/azy").conforms(&status));
        assert!(!pass("/user/elvis").conforms(&status));
    }
}
