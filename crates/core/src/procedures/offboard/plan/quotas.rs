//! Whether the plan fits into the folder it moves things to.

use super::Planner;
use crate::actions::guard::lies_in;
use crate::actions::host::Content;
use crate::actions::host::places::Kept;
use crate::actions::{Action, hdfs, hive, host};
use crate::engine::render::bytes;
use crate::procedures::Refusal;
use crate::procedures::offboard::inventory::Limit;

/// More than a tarball has of an entry beside its bytes: a header, what fills up its last block,
/// and headers for a long name, an ACL and extended attributes.
const ENTRY: u64 = 4 << 10;

impl Planner<'_> {
    /// Every quota that the plan would break. What hosts' tarballs may break is noted: nobody
    /// knows how small they get.
    pub(super) fn over_quota(&mut self) -> Vec<Refusal> {
        let found = self.found.hdfs.as_ref();
        let made: u64 = self.steps.0.iter().map(|step| names(&step.action)).sum();
        let mut refusals = Vec::new();
        let mut notes = Vec::new();
        for quota in found.map_or(&[][..], |hdfs| &hdfs.quotas) {
            let folder = &quota.folder;
            let mut need = match quota.what {
                Limit::Names => made,
                // While a file is written it counts as a whole block.
                Limit::Space => self.blocks(made.min(1)),
            };
            for (from, _) in self.moves.iter().filter(|(from, _)| !lies_in(from, folder)) {
                let weight = found.and_then(|hdfs| hdfs.weights.get(from));
                need += weight.map_or(0, |weight| match quota.what {
                    Limit::Names => weight.names,
                    Limit::Space => weight.space,
                });
            }
            let total = quota.used.saturating_add(need);
            let (show, flag): (fn(u64) -> String, _) = match quota.what {
                Limit::Names => (|count| format!("{count} names"), "-setQuota"),
                Limit::Space => (|size| format!("{} of space", bytes(size)), "-setSpaceQuota"),
            };
            let (limit, used) = (show(quota.limit), show(quota.used));
            if need > 0 && total > quota.limit {
                refusals.push(Refusal {
                    what: format!(
                        "{folder} has a quota of {limit}, uses {used} and would need {} more",
                        show(need)
                    ),
                    hint: format!(
                        "make room there, or raise it: hdfs dfsadmin {flag} {total} {folder}"
                    ),
                });
                continue;
            }
            let tarballs = match quota.what {
                Limit::Names => 0,
                Limit::Space => self.tarballs(),
            };
            let most = total.saturating_add(tarballs);
            if most > quota.limit {
                notes.push(format!(
                    "{folder} has a quota of {limit} and uses {used}; the plan needs {} more, and up \
                     to {} for what hosts have, should none of it get smaller. A host that does \
                     not fit fails alone and keeps what it has; to be sure: \
                     hdfs dfsadmin {flag} {most} {folder}",
                    show(need),
                    show(tarballs),
                ));
            }
        }
        self.notes.append(&mut notes);
        refusals
    }

    /// What so many blocks, all replicas of them, take.
    fn blocks(&self, count: u64) -> u64 {
        let defaults = self.found.hdfs.as_ref().and_then(|hdfs| hdfs.defaults);
        defaults.map_or(0, |defaults| {
            let block = defaults.block_size.saturating_mul(defaults.replication);
            count.saturating_mul(block)
        })
    }

    /// The most that what hosts have can take, all of it being written at once.
    fn tarballs(&self) -> u64 {
        let defaults = self.found.hdfs.as_ref().and_then(|hdfs| hdfs.defaults);
        let block = defaults.map_or(1, |defaults| defaults.block_size.max(1));
        let sizes = self.steps.0.iter().filter_map(|step| match &step.action {
            Action::Host(host::Action::Collect {
                content: Content::Tarball,
                was,
                ..
            }) => Some(size(was)),
            _ => None,
        });
        self.blocks(sizes.map(|size| size.div_ceil(block)).sum())
    }
}

/// The most bytes that these places can have as a tarball.
fn size(places: &Kept) -> u64 {
    let (_, bytes) = places.size();
    let homes = places.homes.iter();
    let entries: u64 = homes
        .map(|home| home.files + home.folders + home.others)
        .sum();
    let singles = places.archives.len() as u64 + u64::from(places.crontab.is_some());
    bytes.saturating_add((entries + singles).saturating_mul(ENTRY))
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
