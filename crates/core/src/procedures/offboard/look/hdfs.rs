//! The user's places in HDFS.

use futures::TryStreamExt;
use serde::Deserialize;

use super::super::Request;
use super::super::inventory::{Archive, Found, HdfsFindings};
use super::super::manifest;
use super::super::policy::Policy;
use super::super::scope::{Place, Scope};
use crate::actions::guard::UserName;
use crate::actions::hdfs::Tree;
use crate::engine::{Cx, Failure};
use crate::services::hdfs::Hdfs;

pub(in super::super) async fn hdfs(
    hdfs: &Hdfs,
    request: &Request,
    policy: &Policy,
    cx: &Cx,
) -> Result<HdfsFindings, Failure> {
    let user = &request.user;
    let home = format!("{}/{user}", policy.homes);
    let mut found = HdfsFindings {
        archive_folder: hdfs.stat(&policy.archive).await?.is_some(),
        ..HdfsFindings::default()
    };
    if found.archive_folder {
        archives(hdfs, user, policy, &mut found).await?;
    }
    if !request.places.has(Place::Hdfs) {
        found.unmoved = hdfs.stat(&home).await?.map(|_| home);
        return Ok(found);
    }
    if let Some(tree) = Tree::look(hdfs, &home).await? {
        let newest = newest(hdfs, &tree, cx).await?;
        found.home = Some(Found { tree, newest });
        let reserved = format!("{home}/.opsweek");
        found.reserved = hdfs.stat(&reserved).await?.map(|_| reserved);
    }
    for path in &request.include {
        let Some(tree) = Tree::look(hdfs, path).await? else {
            found.included.push((path.clone(), None));
            continue;
        };
        let newest = newest(hdfs, &tree, cx).await?;
        found
            .included
            .push((path.clone(), Some(Found { tree, newest })));
    }
    let begun = found.begun().map(|archive| archive.tree.path.clone());
    for root in found.home.as_ref().map(|_| home).into_iter().chain(begun) {
        for name in &policy.hdfs_rubbish {
            let part = Tree::look(hdfs, &format!("{root}/{name}")).await?;
            found.parts.extend(part);
        }
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

async fn archives(
    hdfs: &Hdfs,
    user: &UserName,
    policy: &Policy,
    found: &mut HdfsFindings,
) -> Result<(), Failure> {
    let mut stages = Vec::new();
    for status in hdfs.list(&policy.archive).await? {
        let name = status.path.rsplit('/').next().unwrap_or_default();
        if stage_of(name).is_some_and(|name| is_archive_of(name, user)) {
            stages.push(status.path);
        } else if restored_from(name).is_some_and(|name| is_archive_of(name, user)) {
            found.restoring.push(status.path);
        } else if status.is_dir && is_archive_of(name, user) {
            let archive = archive(hdfs, &status.path).await?;
            found.archives.extend(archive);
        }
    }
    for stage in stages {
        let name = stage.rsplit('/').next().unwrap_or_default();
        let of = stage_of(name).map(|name| format!("{}/{name}", policy.archive));
        let archive = found
            .archives
            .iter_mut()
            .find(|a| Some(&a.tree.path) == of.as_ref());
        match archive {
            // The run ended between moving the home and moving its records there.
            Some(archive) if !archive.settled => archive.complete = false,
            _ => found.stages.extend(Tree::look(hdfs, &stage).await?),
        }
    }
    found.archives.sort_by(|a, b| a.tree.path.cmp(&b.tree.path));
    found.stages.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(())
}

/// The archive whose records are made in a folder of this name: `.elvis.opsweek` and, for
/// further runs, `.elvis.opsweek-2`.
fn stage_of(name: &str) -> Option<&str> {
    let (archive, again) = name.strip_prefix('.')?.rsplit_once(".opsweek")?;
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|c| c.is_ascii_digit());
    let known = again.is_empty() || again.strip_prefix('-').is_some_and(digits);
    known.then_some(archive)
}

/// The archive whose records were set aside under this name: `.elvis.restoring`.
pub(in super::super) fn restored_from(name: &str) -> Option<&str> {
    name.strip_prefix('.')?.strip_suffix(".restoring")
}

async fn archive(hdfs: &Hdfs, path: &str) -> Result<Option<Archive>, Failure> {
    let Some(tree) = Tree::look(hdfs, path).await? else {
        return Ok(None);
    };
    let records = format!("{path}/.opsweek");
    let settled = hdfs.stat(&records).await?.is_some();
    let mut archive = Archive {
        tree,
        // An archive without records was made by hand, and is what it is.
        complete: !settled,
        kept: Vec::new(),
        runs: 0,
        settled,
        deletion: false,
        closed: Scope::default(),
    };
    if !settled {
        return Ok(Some(archive));
    }
    for status in hdfs.list(&records).await? {
        let name = status.path.rsplit('/').next().unwrap_or_default();
        archive.runs = archive.runs.max(run_of(name));
        if name == "complete.json" {
            archive.complete = true;
        } else if name == "manifest.json" || name.starts_with("manifest-") {
            let text = hdfs.read_all(&status.path, manifest::LARGEST).await?;
            // One that cannot be read has kept nothing that could be told.
            let manifest = manifest::read(&text).unwrap_or_default();
            archive.deletion |= !manifest.deleted.is_empty();
            for kept in manifest.kept {
                if !archive.kept.contains(&kept) {
                    archive.kept.push(kept);
                }
            }
        } else if name.starts_with("closed") {
            let text = hdfs.read_all(&status.path, manifest::LARGEST).await?;
            // One that cannot be read proves nothing.
            let closed: Closed = serde_json::from_slice(&text).unwrap_or_default();
            archive.closed.add(&closed.places);
        }
    }
    archive.complete |= archive.closed.covers(&Scope::all());
    Ok(Some(archive))
}

/// The run that left a record of this name: 2 for `hdfs-2.jsonl.zst`.
fn run_of(name: &str) -> u32 {
    let stem = name.split_once('.').map_or(name, |(stem, _)| stem);
    let again = stem.rsplit_once('-').map(|(_, again)| again.parse());
    again.and_then(Result::ok).unwrap_or(1)
}

/// What a run of only some places leaves at its end.
#[derive(Default, Deserialize)]
struct Closed {
    places: Scope,
}

/// Whether an archive's name is the user's: `elvis`, `elvis.20231201`, `elvis.20231201-2`.
pub(in super::super) fn is_archive_of(name: &str, user: &UserName) -> bool {
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
    fn stages_by_name() {
        assert_eq!(stage_of(".elvis.opsweek"), Some("elvis"));
        assert_eq!(
            stage_of(".elvis.20231201.opsweek-12"),
            Some("elvis.20231201")
        );
        for other in [
            "elvis.opsweek",
            ".elvis.opsweek-",
            ".elvis.opsweek2",
            ".elvis",
            ".elvis.lock",
        ] {
            assert_eq!(stage_of(other), None, "{other}");
        }
    }

    #[test]
    fn runs_by_the_names_of_their_records() {
        for (name, run) in [
            ("manifest.json", 1),
            ("plan-2.json", 2),
            ("hdfs-12.jsonl.zst", 12),
            ("hive", 1),
            ("x-y.json", 1),
        ] {
            assert_eq!(run_of(name), run, "{name}");
        }
    }

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
