//! The steps of `--delete`, and what such a plan must have before it may be run.
//!
//! The order is an archive's: records first, hosts next, HDFS and the metastore last, when
//! every host is done. Trees go to the trash before the databases are dropped, as that can be
//! taken back; for good they go after, since a database that drifted keeps its files.

use super::{DROP, Planner};
use crate::actions::delete::Delete;
use crate::actions::guard::lies_in;
use crate::actions::hdfs::Tree;
use crate::actions::host::Content;
use crate::actions::{Action, hdfs, host};
use crate::engine::{Plan, Risk};
use crate::procedures::Refusal;
use crate::procedures::offboard::inventory::{HdfsFindings, Inventory};
use crate::procedures::offboard::{Intent, manifest};

/// The waves of an archive, as they are called here.
pub(super) const WAVES: [(&str, bool); 6] = [
    ("record what is", false),
    ("make the folder of the records", true),
    ("list what hosts have, change owners", true),
    ("remove from hosts", false),
    ("delete from HDFS, drop databases", true),
    ("close the records", true),
];

/// Whether the plan is one of `--delete`: its manifest, by which a look will know the records that
/// it leaves, says that something was deleted.
pub(in super::super) fn deletes(plan: &Plan<Action>) -> bool {
    plan.steps.iter().any(|step| match &step.action {
        Action::Hdfs(hdfs::Action::Put { content, .. }) => {
            manifest::is_written_by(&step.action)
                && manifest::read(content.as_bytes()).is_some_and(|one| !one.deleted.is_empty())
        }
        _ => false,
    })
}

/// Whether the action keeps no more than a listing.
fn lists(action: &Action) -> bool {
    let listing = Content::Listing;
    matches!(action, Action::Host(host::Action::Collect { content, .. }) if *content == listing)
}

/// Hosts have no trash: what goes there was read by somebody as a plan, and somebody has
/// asked for it.
pub(in super::super) fn unfit(plan: &Plan<Action>, reviewed: bool) -> Option<Refusal> {
    let removes = |action: &Action| matches!(action, Action::Host(host::Action::Remove { .. }));
    let hosts = plan.steps.iter().filter(|step| removes(&step.action));
    let hosts: Vec<&str> = hosts.map(|step| step.lane.as_str()).collect();
    // An archive may be told to keep no more of homes than a deletion does.
    let for_good = deletes(plan) || plan.steps.iter().any(|step| lists(&step.action));
    if !for_good || hosts.is_empty() || (reviewed && plan.task.is_some()) {
        return None;
    }
    let (wants, hint) = if reviewed {
        (
            "the task that asks for it",
            "plan again with --task T123456",
        )
    } else {
        (
            "a reviewed plan",
            "--save-plan FILE --task T123456, read it, then --plan FILE; --host-homes archive \
             keeps what hosts have, --host-homes keep leaves it there",
        )
    };
    Some(Refusal {
        what: format!(
            "hosts have no trash: deleting from {} for good wants {wants}",
            hosts.join(", ")
        ),
        hint: hint.to_owned(),
    })
}

/// The trees in HDFS that a deletion takes away: the home, and what folders of databases are
/// not in it.
pub(super) fn doomed(found: &Inventory) -> Vec<&Tree> {
    let home = found.hdfs.iter().filter_map(|hdfs| hdfs.home.as_ref());
    let mut trees: Vec<&Tree> = home.map(|home| &home.tree).collect();
    let databases = found.hive.iter().flat_map(|hive| &hive.databases);
    let mut folders: Vec<&Tree> = databases
        .filter_map(|database| database.data.as_ref())
        .map(|data| &data.tree)
        .collect();
    // A folder sorts before what lies in it.
    folders.sort_by(|a, b| a.path.cmp(&b.path));
    folders.extend(found.hdfs.iter().flat_map(HdfsFindings::elsewhere));
    for folder in folders {
        if !trees.iter().any(|tree| lies_in(&folder.path, &tree.path)) {
            trees.push(folder);
        }
    }
    trees
}

impl<'a> Planner<'a> {
    /// Whether things are removed, not archived.
    pub(super) fn deletes(&self) -> bool {
        self.request.intent == Intent::Delete
    }

    /// The trees in HDFS that are to be deleted.
    pub(super) fn doomed(&self) -> Vec<&'a Tree> {
        if self.deletes() {
            doomed(self.found)
        } else {
            Vec::new()
        }
    }

    /// Everything that is deleted, for the manifest: paths of HDFS, `HOST:PATH`, databases.
    pub(super) fn deleted(&self) -> Vec<String> {
        if !self.deletes() {
            return Vec::new();
        }
        let trees = self.doomed().into_iter().map(|tree| tree.path.clone());
        let hosts = self.found.hosts.iter();
        let hosts = hosts
            .filter(|(host, _)| self.collects(host))
            .flat_map(|(host, places)| {
                let paths = places.kept.paths().into_iter();
                paths.map(move |path| format!("{host}:{path}"))
            });
        let databases = self.found.hive.iter().flat_map(|hive| &hive.databases);
        let databases = databases.map(|database| format!("database {}", database.was.name));
        trees.chain(hosts).chain(databases).collect()
    }

    /// The home and the databases' folders go.
    pub(super) fn delete_from_hdfs(&mut self) {
        let record = self.numbered("hdfs", ".jsonl.zst");
        let proof = self.artefact(&record).settled;
        for was in self.doomed().into_iter().cloned() {
            let id = format!("delete-{}", was.path.trim_start_matches('/'));
            if self.request.skip_trash {
                let action = hdfs::Action::Delete(Delete {
                    was,
                    proof: proof.clone(),
                });
                let why = "as asked, past the trash";
                self.cluster(DROP, Risk::Irreversible, id, why, action);
            } else {
                let action = hdfs::Action::Trash {
                    path: was.path.clone(),
                    was,
                };
                let why = "the trash keeps it for a while";
                self.cluster(DROP, Risk::Reversible, id, why, action);
            }
        }
        if self.deletes() {
            let archives = self.found.hdfs.iter().flat_map(|hdfs| &hdfs.archives);
            for archive in archives.filter(|archive| archive.complete && !archive.deletion) {
                self.notes.push(format!(
                    "{} stays: an archive was made to be kept; hdfs dfs -rm -r removes it",
                    archive.tree.path
                ));
            }
        }
    }
}
