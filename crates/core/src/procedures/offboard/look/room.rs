//! What keeps trees from going where they are to go.

use futures::stream::{self, StreamExt, TryStreamExt};

use super::super::Intent;
use super::super::inventory::{HdfsFindings, HiveFindings, Limit, Quota, Weight};
use super::super::policy::Policy;
use crate::actions::guard::lies_in;
use crate::engine::Failure;
use crate::services::hdfs::Hdfs;

/// How many trees are asked about at once.
const CONCURRENCY: usize = 8;

/// Fills in what keeps trees from going where they are to go: snapshots, encryption zones, quotas,
/// and that there is no trash.
pub(in super::super) async fn room(
    hdfs: &Hdfs,
    intent: Intent,
    policy: &Policy,
    found: &mut HdfsFindings,
    hive: Option<&HiveFindings>,
) -> Result<(), Failure> {
    let home = found.home.iter().map(|home| &home.tree.path);
    let databases = hive.into_iter().flat_map(|hive| &hive.databases);
    let folders = databases.filter_map(|database| Some(&database.data.as_ref()?.tree.path));
    let elsewhere = found.elsewhere().map(|tree| &tree.path);
    let trees: Vec<String> = home.chain(folders).chain(elsewhere).cloned().collect();
    let snapshottable = async {
        if trees.is_empty() {
            return Ok(Vec::new());
        }
        hdfs.snapshottable("/").await
    };
    // The trash is in no zone.
    let target = async {
        match intent {
            Intent::Delete => Ok(None),
            _ => hdfs.encrypted(&policy.archive).await,
        }
    };
    let zones = stream::iter(0..trees.len())
        .map(|index| hdfs.encrypted(&trees[index]))
        .buffered(CONCURRENCY)
        .try_collect::<Vec<_>>();
    let (all, target, zones) = tokio::try_join!(snapshottable, target, zones)?;
    let in_the_way = |folder: &String| trees.iter().any(|tree| lies_in(folder, tree));
    found.snapshottable = all.into_iter().filter(in_the_way).collect();
    let target = target.unwrap_or_default();
    // In a zone both may be in the same: the NameNode knows.
    let mut differ = trees.iter().zip(zones);
    found.encrypted = differ.find_map(|(tree, zone)| {
        let encrypted = zone.unwrap_or_default();
        let zone = if encrypted { tree } else { &policy.archive };
        (encrypted != target).then(|| zone.clone())
    });
    if intent == Intent::Look {
        return Ok(());
    }
    found.defaults = Some(hdfs.defaults().await?);
    // The home becomes the archive, and keeps its quota.
    let home = found.home.as_ref().filter(|_| intent == Intent::Archive);
    let home = home.map(|home| home.tree.path.clone());
    let begun = found.begun().map(|archive| archive.tree.path.clone());
    let mut folders: Vec<String> = home.into_iter().chain(begun).collect();
    // A root and what is above it is not asked: without a quota there the `NameNode` would count
    // everything.
    let mut folder = policy.archive.as_str();
    while policy.guard().hdfs(folder).is_ok() {
        folders.push(folder.to_owned());
        let Some((parent, _)) = folder.rsplit_once('/') else {
            break;
        };
        folder = parent;
    }
    quotas(hdfs, found, &folders, &trees).await
}

/// The quotas of these folders, in which the archive will be; with any, the weight of each tree
/// that may go there.
async fn quotas(
    hdfs: &Hdfs,
    found: &mut HdfsFindings,
    folders: &[String],
    trees: &[String],
) -> Result<(), Failure> {
    for folder in folders {
        if let Some(summary) = hdfs.summary(folder).await? {
            let names = summary.files + summary.folders;
            let space = summary.bytes_replicated;
            let limits = [
                (Limit::Names, summary.quota, names),
                (Limit::Space, summary.space_quota, space),
            ];
            let limits = limits.into_iter().filter_map(|(what, limit, used)| {
                Some(Quota {
                    folder: folder.to_owned(),
                    what,
                    limit: limit?,
                    used,
                })
            });
            found.quotas.extend(limits);
        }
    }
    if found.quotas.is_empty() {
        return Ok(());
    }
    for path in trees {
        if let Some(summary) = hdfs.summary(path).await? {
            let weight = Weight {
                names: summary.files + summary.folders,
                space: summary.bytes_replicated,
            };
            found.weights.insert(path.clone(), weight);
        }
    }
    Ok(())
}
