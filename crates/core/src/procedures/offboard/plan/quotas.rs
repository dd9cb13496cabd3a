//! Whether the plan fits into the folder it moves things to.

use super::Planner;
use crate::actions::guard::lies_in;
use crate::actions::{Action, hdfs, hive, host};
use crate::engine::render::bytes;
use crate::procedures::Refusal;
use crate::procedures::offboard::inventory::Limit;

impl Planner<'_> {
    /// Every quota that the plan would break. The hosts' tarballs count by their names only:
    /// nobody knows how small they get.
    pub(super) fn over_quota(&self) -> Vec<Refusal> {
        let hdfs = self.found.hdfs.iter();
        let quotas = hdfs.clone().flat_map(|hdfs| &hdfs.quotas);
        let weights = || hdfs.clone().flat_map(|hdfs| &hdfs.weights);
        let made: u64 = self.steps.iter().map(|step| names(&step.action)).sum();
        let refusals = quotas.filter_map(|quota| {
            let folder = &quota.folder;
            let mut need = match quota.what {
                Limit::Names => made,
                Limit::Space => 0,
            };
            for (from, _) in self.moves.iter().filter(|(from, _)| !lies_in(from, folder)) {
                let weight = weights().find(|(path, _)| *path == from);
                need += weight.map_or(0, |(_, weight)| match quota.what {
                    Limit::Names => weight.names,
                    Limit::Space => weight.space,
                });
            }
            let total = quota.used.saturating_add(need);
            let (show, flag): (fn(u64) -> String, _) = match quota.what {
                Limit::Names => (|count| format!("{count} names"), "-setQuota"),
                Limit::Space => (|size| format!("{} of space", bytes(size)), "-setSpaceQuota"),
            };
            (need > 0 && total > quota.limit).then(|| Refusal {
                what: format!(
                    "{folder} has a quota of {}, uses {} and would need {} more",
                    show(quota.limit),
                    show(quota.used),
                    show(need)
                ),
                hint: format!(
                    "make room there, or raise it: hdfs dfsadmin {flag} {total} {folder}"
                ),
            })
        });
        refusals.collect()
    }
}

/// How many names a step makes in HDFS.
fn names(action: &Action) -> u64 {
    match action {
        Action::Hdfs(
            hdfs::Action::Record { .. }
            | hdfs::Action::Put { .. }
            | hdfs::Action::MakeFolder { .. },
        )
        | Action::Hive(hive::Action::Record { .. }) => 1,
        // What was collected, and its proof.
        Action::Host(host::Action::Collect { .. }) => 2,
        _ => 0,
    }
}
