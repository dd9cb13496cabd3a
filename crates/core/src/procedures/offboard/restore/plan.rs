//! From what an archive holds and what is back already to what is to be done. Pure.
//!
//! The order, and why: the records first, out of the archive that becomes a home again. Then the
//! renames, inner trees first, and others' tables right behind them. Then definitions, and last in
//! HDFS the attributes, since everything before may touch them. Hosts each for themselves, meanwhile.
//! The records go to the trash when everything else is done everywhere.

use std::collections::BTreeSet;

use super::super::inventory::Inventory;
use super::super::policy::Policy;
use super::super::scope::{Place, Scope};
use super::super::steps::{CLUSTER, Steps};
use super::{Findings, Source};
use crate::actions::guard::lies_in;
use crate::actions::restore::attributes::Attributes;
use crate::actions::restore::host::Linger;
use crate::actions::restore::put_back::{GiveUp, PutBack, SetAside};
use crate::actions::{Action, Artefact, hdfs, hive, host};
use crate::engine::plan::FORMAT;
use crate::engine::{Gap, Plan, Risk, Wave};
use crate::procedures::{Heading, Refusal, Unplanned, once};

/// The waves' indices.
const ASIDE: usize = 0;
const BACK: usize = 1;
const CLOSE: usize = 2;

/// The plan; no steps where there is nothing to restore.
pub(in super::super) fn plan(
    policy: &Policy,
    inventory: &Inventory,
    found: &Findings,
    heading: &Heading,
) -> Result<Plan<Action>, Unplanned> {
    let refusals = refusals(policy, inventory, found);
    if !refusals.is_empty() {
        return Err(Unplanned::Refused(refusals));
    }
    let gaps = inventory.gaps.iter();
    let cluster = gaps.filter(|gap| gap.lane.as_deref() == Some(CLUSTER));
    let cluster: Vec<Gap> = cluster.cloned().collect();
    if !cluster.is_empty() {
        return Err(Unplanned::Incomplete(cluster));
    }
    let mut planner = Planner {
        user: inventory.user.as_str(),
        steps: Steps::default(),
        notes: Vec::new(),
        coverage: inventory.gaps.clone(),
        places: &inventory.places,
    };
    if let Some(source) = &found.source {
        planner.source(source);
    }
    let refusals = planner.steps.refusals(&policy.guard());
    if !refusals.is_empty() {
        return Err(Unplanned::Refused(refusals));
    }
    planner.steps.0.sort_by_key(|step| step.wave);
    let archive = found.source.as_ref().map(|source| source.archive.clone());
    let hosts: BTreeSet<&str> = planner
        .steps
        .0
        .iter()
        .map(|step| step.lane.as_str())
        .collect();
    let hosts = hosts
        .iter()
        .filter(|lane| !matches!(**lane, CLUSTER | "close"))
        .count();
    Ok(Plan {
        format: FORMAT,
        tool: "offboard".to_owned(),
        version: heading.version.clone(),
        subject: inventory.user.to_string(),
        title: format!(
            "restore from {}: {} steps, {hosts} hosts",
            archive.unwrap_or_default(),
            planner.steps.0.len()
        ),
        created: heading.now,
        task: heading.task.clone(),
        reason: heading.reason.clone(),
        safety: policy.digest(),
        world: inventory.world.clone(),
        coverage: planner.coverage,
        unasked: inventory.places.unasked(),
        overruled: Vec::new(),
        notes: planner.notes,
        pace: None,
        waves: [
            ("set the records aside", false),
            ("put back", true),
            ("give the records up", true),
        ]
        .map(|(name, gate)| Wave {
            name: name.to_owned(),
            gate,
        })
        .into(),
        steps: planner.steps.0,
    })
}

/// Every safety rule that forbids it.
fn refusals(policy: &Policy, inventory: &Inventory, found: &Findings) -> Vec<Refusal> {
    let user = &inventory.user;
    let mut all = Vec::new();
    let mut refuse = |what: String, hint: &str| all.push(Refusal::new(what, hint));
    if !found.seen && inventory.gaps.is_empty() {
        refuse(
            "there is no HDFS to restore from".to_owned(),
            "add a section [hdfs] to the configuration",
        );
    }
    let Some(source) = &found.source else {
        let names = found.archives.join(", ");
        match &found.from {
            Some(from) if found.seen => refuse(
                format!("there is no archive {from} of {user} in {}", policy.archive),
                &if names.is_empty() {
                    "there is none that could be restored".to_owned()
                } else {
                    format!("these can be restored: {names}")
                },
            ),
            None if !names.is_empty() => refuse(
                format!("there are several archives of {user}: {names}"),
                "choose one: --from NAME",
            ),
            None if !found.bare.is_empty() => refuse(
                format!(
                    "{}: no records in {}",
                    found.bare.join(", "),
                    policy.archive
                ),
                "go on with the plan of the run that ended right after moving the home; or it was \
                 made by hand: move it back by hand",
            ),
            _ => {}
        }
        return all;
    };
    for fault in &source.faults {
        refuse(
            fault.clone(),
            "it was changed, or is none of this tool's: restore by hand what is to be believed",
        );
    }
    for back in &source.moves {
        if back.was.is_none() {
            refuse(
                format!("neither {} nor {} is there", back.from, back.to),
                "look for it in the trash and put it back where it was in the archive",
            );
        } else if back.in_the_way {
            refuse(
                format!("{} is in the way of {}", back.to, back.from),
                "move it away; nothing is overwritten or merged",
            );
        }
    }
    for what in &source.different {
        refuse(
            what.clone(),
            "rename or drop it without its files, or restore the rest by hand",
        );
    }
    let guard = policy.guard();
    for database in &source.databases {
        if let Err(error) = guard.database(&database.name) {
            refuse(error.to_string(), "no protected database is ever made");
        }
    }
    all
}

struct Planner<'a> {
    user: &'a str,
    steps: Steps,
    notes: Vec<String>,
    coverage: Vec<Gap>,
    places: &'a Scope,
}

impl Planner<'_> {
    /// A step in HDFS or the metastore.
    fn back(&mut self, risk: Risk, id: impl Into<String>, why: &str, action: impl Into<Action>) {
        self.steps.add((BACK, CLUSTER), risk, id, why, action);
    }

    fn source(&mut self, source: &Source) {
        self.notes.extend(source.notes.clone());
        for path in &source.lost {
            self.notes
                .push(format!("{path} is no longer in the trash: it stays lost"));
        }
        if self.places.has(Place::Hdfs) {
            self.aside(source);
            self.moves(source);
            self.relocate(source);
            self.hive(source);
            self.attributes(source);
        }
        for (name, back) in &source.hosts {
            self.host(name, back);
        }
        for (_, manifest) in &source.runs {
            for (table, to) in &manifest.moved_tables {
                self.notes.push(format!(
                    "{table} was moved to the database {to}, and stays there: it is its owner's"
                ));
            }
            for (name, secrets) in &manifest.left_out {
                let secrets = secrets.join(", ");
                self.notes
                    .push(format!("{name}: never archived, and gone: {secrets}"));
            }
        }
        // Several runs of one archive may have the same to say.
        once(&mut self.notes);
        self.close(source);
    }

    fn records(source: &Source, name: &str) -> Artefact {
        Artefact {
            staged: format!("{}/{name}", source.records),
            settled: format!("{}/{name}", source.settled()),
        }
    }

    fn aside(&mut self, source: &Source) {
        if source.records == source.settled() {
            return;
        }
        let action = hdfs::Action::SetAside(SetAside {
            records: Artefact {
                staged: source.records.clone(),
                settled: source.settled(),
            },
        });
        let why = "the archive becomes a home again, and they are no part of that";
        self.steps.add(
            (ASIDE, CLUSTER),
            Risk::Reversible,
            "set-records-aside",
            why,
            action,
        );
    }

    /// The trees, inner ones first, then what was in the trash.
    fn moves(&mut self, source: &Source) {
        let inside = format!("{}/.opsweek", source.archive);
        for back in &source.moves {
            let Some(was) = &back.was else { continue };
            let is_home = back.from == source.archive;
            let from = back.from.strip_prefix(&inside).map_or_else(
                || back.from.clone(),
                |rest| format!("{}{rest}", source.settled()),
            );
            let action = hdfs::Action::PutBack(PutBack {
                from,
                to: back.to.clone(),
                was: was.clone(),
                without: is_home.then(|| inside.clone()).into_iter().collect(),
            });
            let name = back.to.rsplit('/').next().unwrap_or_default();
            let id = if is_home {
                "put-back-home".to_owned()
            } else {
                format!("put-back-{name}")
            };
            self.back(Risk::Reversible, id, "as it was before the archive", action);
        }
        for part in &source.trash {
            let action = hdfs::Action::PutBack(PutBack {
                from: part.tree.path.clone(),
                to: part.path.clone(),
                was: part.tree.clone(),
                without: Vec::new(),
            });
            let name = part.path.rsplit('/').next().unwrap_or_default();
            let why = "the archive moved it to the trash, and it is there still";
            self.back(Risk::Reversible, format!("put-back-{name}"), why, action);
        }
    }

    /// What points into the archive follows its files.
    fn relocate(&mut self, source: &Source) {
        let runs = source.runs.iter().flat_map(|(_, manifest)| &manifest.moves);
        let mut moves: Vec<(String, String)> =
            runs.map(|(from, to)| (to.clone(), from.clone())).collect();
        // The archive holds the databases' folders: theirs first.
        moves.sort_by_key(|(from, _)| std::cmp::Reverse(from.len()));
        moves.dedup();
        for (database, table, was) in &source.inside {
            let action = hive::Action::Relocate {
                database: database.clone(),
                table: table.clone(),
                moves: moves.clone(),
                was: was.clone(),
            };
            let id = format!("relocate-{database}.{table}");
            self.back(
                Risk::Reversible,
                id,
                "its files are back where they were",
                action,
            );
        }
    }

    fn hive(&mut self, source: &Source) {
        for create in &source.databases {
            let id = format!("make-database-{}", create.name);
            let why = "by its record";
            let action = hive::Action::CreateDatabase(create.clone());
            self.back(Risk::Costly, id, why, action);
        }
        for given in &source.given {
            let action = hive::Action::ChangeOwner {
                database: given.database.clone(),
                table: given.table.clone(),
                from: given.was.owner.clone(),
                to: self.user.to_owned(),
                was: given.was.clone(),
            };
            let id = format!("owner-{}.{}", given.database, given.table);
            self.back(Risk::Reversible, id, "the archive gave it away", action);
        }
    }

    /// Each run's record, for those trees that no earlier run has recorded.
    fn attributes(&mut self, source: &Source) {
        let (mut covered, mut given): (Vec<String>, Vec<String>) = (Vec::new(), Vec::new());
        let others = source.runs.iter().flat_map(|(_, run)| &run.others);
        // A run that went on with an archive found them there.
        let others = others.map(|path| source.origin(path).unwrap_or_else(|| path.clone()));
        let mut keep: Vec<String> = others.chain(source.lost.clone()).collect();
        keep.sort();
        keep.dedup();
        let kept = |path: &String| keep.iter().any(|kept| lies_in(path, kept));
        for (suffix, manifest) in &source.runs {
            let moved = |path: &&String| {
                source
                    .runs
                    .iter()
                    .any(|(_, run)| run.moves.iter().any(|(from, _)| lies_in(path, from)))
            };
            let new = |path: &&String| !covered.iter().any(|root| lies_in(path, root));
            let roots: Vec<String> = manifest
                .recorded
                .iter()
                .filter(moved)
                .filter(new)
                .cloned()
                .collect();
            covered.extend(roots.clone());
            let record = Self::records(source, &format!("hdfs{suffix}.jsonl.zst"));
            if !roots.is_empty() && !source.attributes_done.contains(suffix) {
                let action = hdfs::Action::Attributes(Attributes {
                    record: record.clone(),
                    roots,
                    keep: keep.clone(),
                    only_of: None,
                    marker: Self::records(source, &format!("attributes{suffix}.json")),
                });
                let id = format!("attributes{suffix}");
                self.back(Risk::Costly, id, "as they were before the archive", action);
            }
            let folders = source
                .given_folders
                .get(suffix)
                .cloned()
                .unwrap_or_default();
            // Tables that others kept reading where the archive was are not among its attributes.
            let left =
                |path: &String| kept(path) || !covered.iter().any(|root| lies_in(path, root));
            let new = |path: &String| !given.iter().any(|known| lies_in(path, known));
            let folders = folders.into_iter().filter(left).filter(new);
            let folders: Vec<String> = folders.collect();
            if let Some(new_owner) = &manifest.new_owner
                && !folders.is_empty()
                && !source.owners_done.contains(suffix)
            {
                let action = hdfs::Action::Attributes(Attributes {
                    record,
                    roots: folders.clone(),
                    keep: Vec::new(),
                    only_of: Some(new_owner.clone()),
                    marker: Self::records(source, &format!("owners{suffix}.json")),
                });
                given.extend(folders);
                let id = format!("owner-files{suffix}");
                self.back(Risk::Reversible, id, "its files go with a table", action);
            }
        }
    }

    fn host(&mut self, name: &str, back: &super::HostBack) {
        self.notes.extend(back.notes.clone());
        if let Some(why) = &back.spared {
            self.coverage.push(Gap {
                place: name.to_owned(),
                why: format!("refused: {why}"),
                lane: Some(name.to_owned()),
            });
            return;
        }
        for (number, restore) in back.restore.iter().enumerate() {
            let again = if number == 0 {
                String::new()
            } else {
                format!("-{}", number + 1)
            };
            let action = host::Action::Restore(restore.clone());
            let id = format!("restore-{name}{again}");
            let why = "compared with what was collected before it gets its name";
            self.steps.add((BACK, name), Risk::Costly, id, why, action);
        }
        if back.linger
            && let Ok(user) = self.user.to_owned().try_into()
        {
            let action = host::Action::Linger(Linger {
                host: name.to_owned(),
                user,
            });
            let id = format!("linger-{name}");
            self.steps.add(
                (BACK, name),
                Risk::Reversible,
                id,
                "it was so before",
                action,
            );
        }
    }

    /// The records go only when nothing is left that they are needed for.
    fn close(&mut self, source: &Source) {
        let why = if !self.coverage.is_empty() || *self.places != Scope::all() {
            "until a restore sees all places and nothing is missing"
        } else if source.trashless {
            "as HDFS has no trash; when all is well, remove them: hdfs dfs -rm -r"
        } else {
            ""
        };
        if !why.is_empty() {
            let records = if self.places.has(Place::Hdfs) {
                source.settled()
            } else {
                source.records.clone()
            };
            self.notes
                .push(format!("the records stay in {records} {why}"));
            return;
        }
        let (folder, emptied) = if source.has_home() {
            let folder = Artefact {
                staged: source.records.clone(),
                settled: source.aside(),
            };
            (folder, "hive")
        } else {
            let folder = Artefact {
                staged: source.archive.clone(),
                settled: source.archive.clone(),
            };
            (folder, ".opsweek/hive")
        };
        let action = hdfs::Action::GiveUp(GiveUp {
            folder,
            emptied: emptied.to_owned(),
        });
        let why = "everything that they are about is back";
        self.steps.add(
            (CLOSE, "close"),
            Risk::Reversible,
            "give-up-records",
            why,
            action,
        );
    }
}
