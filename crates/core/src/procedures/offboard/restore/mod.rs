//! The way back: everything that an archive holds, to where it came from, as it was.
//!
//! What is to be done is found by comparing the archive's records with the world, so it does not
//! matter how far an archive had got, an earlier restore, or somebody's hands: what is right is
//! done, what is missing is put back, and what is in the way and different is refused.

mod discover;
mod hosts;
mod plan;
mod report;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use serde::Serialize;

use super::look;
use super::manifest::{self, Manifest};
use crate::actions::hdfs::Tree;
use crate::actions::hive::TableEvidence;
use crate::actions::restore::database::CreateDatabase;
use crate::actions::restore::host::Restore;
use crate::actions::{Action, hdfs, hive, host};
use crate::engine::Plan;

pub(super) use discover::discover;
pub(super) use plan::plan;
pub(super) use report::report;

/// What a look for archives of a user found.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Findings {
    /// Whether HDFS could be looked at.
    pub seen: bool,
    /// The names of archives that could be restored.
    pub archives: Vec<String>,
    /// Archives without records.
    pub bare: Vec<String>,
    /// The name that was asked for.
    pub from: Option<String>,
    /// The one that is to be restored.
    pub source: Option<Source>,
}

/// An archive compared with the world.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Source {
    /// Its name: `elvis`, `elvis.20231201`.
    pub name: String,
    /// Its path.
    pub archive: String,
    /// The folder of its records, where it is now.
    pub records: String,
    /// Why its manifests are not believed.
    pub faults: Vec<String>,
    /// Each run's manifest, with what is told apart by its records' names: "", "-2".
    pub runs: Vec<(String, Manifest)>,
    /// Trees to be moved back, inner ones first; those that are back already are not here.
    pub moves: Vec<Back>,
    /// What went to the trash and is there still.
    pub trash: Vec<Trashed>,
    /// What went to the trash and was not found there.
    pub lost: Vec<String>,
    /// Databases that are not there, or not whole.
    pub databases: Vec<CreateDatabase>,
    /// Databases that are there and differ: why.
    pub different: Vec<String>,
    /// Tables that point into the archive.
    pub inside: Vec<(String, String, TableEvidence)>,
    /// Tables that were given away and are the user's no longer.
    pub given: Vec<GivenBack>,
    /// Folders of given tables whose files go with them, by run.
    pub given_folders: BTreeMap<String, Vec<String>>,
    /// Runs whose attributes are restored: the records' suffixes.
    pub attributes_done: Vec<String>,
    /// Runs whose given tables' files are restored.
    pub owners_done: Vec<String>,
    /// Hosts, with what is to be done there.
    pub hosts: BTreeMap<String, HostBack>,
    /// Whether the records cannot be moved to a trash in the end.
    pub trashless: bool,
    /// What the reader should know.
    pub notes: Vec<String>,
}

/// A tree's way back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Back {
    /// Where it is, below the archive, as the manifest has it.
    pub from: String,
    /// Where it came from.
    pub to: String,
    /// What is there to be moved, without the archive's records; `None` when it is gone.
    pub was: Option<Tree>,
    /// Whether anything is where it came from.
    pub in_the_way: bool,
}

/// A part of the home that is in the trash.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Trashed {
    /// Where it came from.
    pub path: String,
    /// The tree in the trash.
    pub tree: Tree,
}

/// A table that goes back to the user.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct GivenBack {
    /// Its database.
    pub database: String,
    /// Its name.
    pub table: String,
    /// The table as it is now.
    pub was: TableEvidence,
}

/// What is to be done on a host.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct HostBack {
    /// Tarballs that have places that are missing.
    pub restore: Vec<Restore>,
    /// Whether services are to run without a login again.
    pub linger: bool,
    /// Why nothing is done there.
    pub spared: Option<String>,
    /// What cannot come back.
    pub notes: Vec<String>,
}

impl Source {
    /// Where the records are while a home that they lay in is being moved back.
    pub(super) fn aside(&self) -> String {
        let folder = self
            .archive
            .rsplit_once('/')
            .map_or("", |(folder, _)| folder);
        format!("{folder}/.{}.restoring", self.name)
    }

    /// Whether the archive is a home that was moved there.
    pub(super) fn has_home(&self) -> bool {
        self.runs
            .iter()
            .any(|(_, manifest)| manifest.home.is_some())
    }

    /// Where the records will be for all but the first step.
    pub(super) fn settled(&self) -> String {
        if self.has_home() {
            self.aside()
        } else {
            self.records.clone()
        }
    }

    /// Where a path of the archive came from.
    pub(super) fn origin(&self, path: &str) -> Option<String> {
        let moves = self.runs.iter().flat_map(|(_, manifest)| &manifest.moves);
        let covers = |to: &str| crate::actions::guard::lies_in(path, to);
        moves
            .filter(|(_, to)| covers(to))
            // The archive holds the databases' folders.
            .max_by_key(|(_, to)| to.len())
            .map(|(from, to)| format!("{from}{}", &path[to.len()..]))
    }
}

/// Whether the plan restores: it has a step that only a restore has, or changes tables without the
/// manifest that an archive would write first.
pub(super) fn restores(plan: &Plan<Action>) -> bool {
    let of_a_restore = |action: &Action| match action {
        Action::Hdfs(action) => matches!(
            action,
            hdfs::Action::PutBack(_)
                | hdfs::Action::Attributes(_)
                | hdfs::Action::SetAside(_)
                | hdfs::Action::GiveUp(_)
        ),
        Action::Hive(hive::Action::CreateDatabase(_)) => true,
        Action::Host(action) => {
            matches!(action, host::Action::Restore(_) | host::Action::Linger(_))
        }
        _ => false,
    };
    let of_both = |action: &Action| {
        matches!(
            action,
            Action::Hive(hive::Action::ChangeOwner { .. } | hive::Action::Relocate { .. })
        )
    };
    let any = |test: &dyn Fn(&Action) -> bool| plan.steps.iter().any(|step| test(&step.action));
    any(&of_a_restore) || any(&of_both) && !any(&manifest::is_written_by)
}

/// The name of the archive that a plan restores, by where its steps find the records; `None` where
/// none of them needs any.
pub(super) fn archive_of(plan: &Plan<Action>) -> Option<String> {
    plan.steps.iter().find_map(|step| {
        let path = match &step.action {
            Action::Hdfs(hdfs::Action::SetAside(action)) => &action.records.settled,
            Action::Hdfs(hdfs::Action::Attributes(action)) => &action.record.settled,
            Action::Hdfs(hdfs::Action::GiveUp(action)) => &action.folder.settled,
            Action::Hive(hive::Action::CreateDatabase(action)) => &action.record.settled,
            Action::Host(host::Action::Restore(action)) => &action.file.settled,
            _ => return None,
        };
        let mut names = path.split('/').rev();
        let folder = names.find_map(look::restored_from);
        let around = || {
            path.split_once("/.opsweek")
                .map_or(path.as_str(), |(archive, _)| archive)
        };
        let name = folder.or_else(|| around().rsplit('/').next());
        name.map(str::to_owned)
    })
}
