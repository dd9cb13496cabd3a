//! The user's places in HDFS.

use futures::TryStreamExt;
use serde::Deserialize;

use super::super::inventory::{Archive, Found, HdfsFindings};
use super::super::policy::Policy;
use crate::actions::guard::UserName;
use crate::actions::hdfs::Tree;
use crate::engine::{Cx, Failure};
use crate::services::hdfs::Hdfs;

/// More than the head of any archive's manifest has.
const MANIFEST: u64 = 64 << 20;

pub(in super::super) async fn hdfs(
    hdfs: &Hdfs,
    user: &UserName,
    policy: &Policy,
    cx: &Cx,
) -> Result<HdfsFindings, Failure> {
    let home = format!("{}/{user}", policy.homes);
    let mut found = HdfsFindings {
        archive_folder: hdfs.stat(&policy.archive).await?.is_some(),
        ..HdfsFindings::default()
    };
    if let Some(tree) = Tree::look(hdfs, &home).await? {
        let newest = newest(hdfs, &tree, cx).await?;
        let encrypted = hdfs.encrypted(&home).await?.unwrap_or_default();
        found.encrypted = encrypted.then(|| home.clone());
        found.home = Some(Found { tree, newest });
        for name in &policy.hdfs_rubbish {
            let part = Tree::look(hdfs, &format!("{home}/{name}")).await?;
            found.parts.extend(part);
        }
        found.snapshottable = hdfs.snapshottable(&home).await?;
        // The archive's own records will stand there.
        let reserved = format!("{home}/.opsweek");
        if hdfs.stat(&reserved).await?.is_some() {
            found.stages.push(reserved);
        }
    }
    if found.archive_folder {
        archives(hdfs, user, policy, &mut found).await?;
    }
    Ok(found)
}

/// The newest change of anything in the tree, in seconds since the epoch.
pub(super) async fn newest(hdfs: &Hdfs, tree: &Tree, cx: &Cx) -> Result<i64, Failure> {
    let cx = cx.for_step(&tree.path);
    let total = tree.files + tree.folders;
    let (mut newest, mut seen) = (0, 0_u64);
    let mut walk = std::pin::pin!(hdfs.walk(&tree.path));
    while let Some(status) = walk.try_next().await? {
        newest = newest.max(status.modified_ms);
        seen += 1;
        if seen.is_multiple_of(1024) {
            if cx.cancel().is_cancelled() {
                return Err(Failure::interrupted());
            }
            cx.progress(seen, Some(total), "paths");
        }
    }
    Ok(i64::try_from(newest / 1000).unwrap_or(i64::MAX))
}

/// The part of an archive's `manifest.json` that a look needs.
#[derive(Default, Deserialize)]
struct Manifest {
    #[serde(default)]
    kept: Vec<String>,
}

async fn archives(
    hdfs: &Hdfs,
    user: &UserName,
    policy: &Policy,
    found: &mut HdfsFindings,
) -> Result<(), Failure> {
    for status in hdfs.list(&policy.archive).await? {
        let name = status.path.rsplit('/').next().unwrap_or_default();
        let stage = name
            .strip_prefix('.')
            .and_then(|name| name.strip_suffix(".opsweek"));
        if stage.is_some_and(|name| is_archive_of(name, user)) {
            found.stages.push(status.path);
            continue;
        }
        if !status.is_dir || !is_archive_of(name, user) {
            continue;
        }
        let Some(tree) = Tree::look(hdfs, &status.path).await? else {
            continue;
        };
        let records = format!("{}/.opsweek", status.path);
        let manifest = format!("{records}/manifest.json");
        let kept = if hdfs.stat(&manifest).await?.is_some() {
            let text = hdfs.read_all(&manifest, MANIFEST).await?;
            serde_json::from_slice::<Manifest>(&text)
                .unwrap_or_default()
                .kept
        } else {
            Vec::new()
        };
        // An archive without records was made by hand, and is what it is.
        let complete = hdfs.stat(&records).await?.is_none()
            || hdfs
                .stat(&format!("{records}/complete.json"))
                .await?
                .is_some();
        found.archives.push(Archive {
            tree,
            complete,
            kept,
        });
    }
    found.archives.sort_by(|a, b| a.tree.path.cmp(&b.tree.path));
    found.stages.sort();
    Ok(())
}

/// Whether an archive's name is the user's: `elvis`, `elvis.20231201`, `elvis.20231201-2`.
fn is_archive_of(name: &str, user: &UserName) -> bool {
    let Some(rest) = name.strip_prefix(user.as_str()) else {
        return false;
    };
    let Some(dated) = rest.strip_prefix('.') else {
        return rest.is_empty();
    };
    let (day, again) = dated.split_at_checked(8).unwrap_or(("", ""));
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|c| c.is_ascii_digit());
    digits(day) && (again.is_empty() || again.strip_prefix('-').is_some_and(digits))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn archives_by_name() {
        let elvis = UserName::try_from("elvis".to_owned()).unwrap();
        for mine in ["elvis", "elvis.20231201", "elvis.20231201-2"] {
            assert!(is_archive_of(mine, &elvis), "{mine}");
        }
        for other in [
            "elvis2",
            "elvis.presley",
            "elvis.2023120",
            "elvis.20231201-",
            "elvis.20231201x",
            "elv",
            "elvis.é2345678",
        ] {
            assert!(!is_archive_of(other, &elvis), "{other}");
        }
    }
}
