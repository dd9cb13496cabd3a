//! From what a look found to what is to be done. Pure: no I/O, no clock.
//!
//! The order, and why: first the record that makes a restore exact, before any change.
//! Then the renames, which are reversible and freeze the data. Then what takes long: owners,
//! and the hosts' streams, each host for itself. Then the removal on hosts, each behind its
//! own proof. Last, when all else is done everywhere, the databases.

mod cluster;
mod delete;
mod hosts;
mod quotas;
mod refusals;

use super::inventory::{HdfsFindings, Inventory, TableFound};
use super::policy::Policy;
use super::scope::{Place, Scope};
use super::steps::{CLUSTER, Steps};
use super::{EVEN_IF_ACTIVE, Intent, Request};
use crate::actions::{Action, Artefact, hdfs};
use crate::engine::plan::FORMAT;
use crate::engine::{Gap, Plan, Risk, Wave};
use crate::procedures::{Heading, Unplanned};
pub(super) use delete::{deletes, unfit};
pub(super) use refusals::{database_inside, in_use, table_inside};
use refusals::{incomplete, refusals};

/// The waves' indices.
const RECORD: usize = 0;
const ARCHIVE: usize = 1;
const COLLECT: usize = 2;
const REMOVE: usize = 3;
const DROP: usize = 4;
const CLOSE: usize = 5;

/// Their names, and whether they wait for every lane.
const WAVES: [(&str, bool); 6] = [
    ("record what is", false),
    ("move into the archive", true),
    ("collect from hosts, change owners", true),
    ("remove from hosts", false),
    ("drop databases", true),
    ("close the archive", true),
];

pub(super) fn plan(
    request: &Request,
    policy: &Policy,
    found: &Inventory,
    heading: &Heading,
) -> Result<Plan<Action>, Unplanned> {
    let refusals = refusals(request, policy, found);
    if !refusals.is_empty() {
        return Err(Unplanned::Refused(refusals));
    }
    incomplete(request, found)?;
    let mut planner = Planner::new(request, policy, found);
    planner.steps()?;
    let mut refusals = planner.steps.refusals(&policy.guard());
    refusals.extend(planner.over_quota());
    if !refusals.is_empty() {
        return Err(Unplanned::Refused(refusals));
    }
    let lanes: Vec<&str> = planner
        .steps
        .0
        .iter()
        .map(|step| step.lane.as_str())
        .collect();
    let hosts = found
        .hosts
        .keys()
        .filter(|host| lanes.contains(&host.as_str()))
        .count();
    let mut coverage = found.gaps.clone();
    coverage.append(&mut planner.gaps);
    Ok(Plan {
        format: FORMAT,
        tool: "offboard".to_owned(),
        version: heading.version.clone(),
        subject: found.user.to_string(),
        title: format!(
            "{}{}: {} steps, {hosts} hosts",
            if planner.deletes() {
                "delete, records in "
            } else {
                "archive to "
            },
            planner.archive,
            planner.steps.0.len(),
        ),
        created: found.now,
        task: heading.task.clone(),
        reason: heading.reason.clone(),
        safety: policy.digest(),
        world: found.world.clone(),
        coverage,
        unasked: request.places.unasked(),
        overruled: request
            .even_if_active
            .then(|| EVEN_IF_ACTIVE.to_owned())
            .into_iter()
            .collect(),
        notes: planner.notes,
        pace: None,
        waves: if request.intent == Intent::Delete {
            delete::WAVES
        } else {
            WAVES
        }
        .map(|(name, gate)| Wave {
            name: name.to_owned(),
            gate,
        })
        .into(),
        steps: planner.steps.0,
    })
}

struct Planner<'a> {
    request: &'a Request,
    policy: &'a Policy,
    found: &'a Inventory,
    /// The archive's folder.
    archive: String,
    /// Where its own records are made before it exists; for an archive that was begun, in
    /// their place.
    stage: String,
    /// What sets this run's records apart from earlier ones' of the same archive: "-2".
    suffix: String,
    /// Whether an earlier run has begun the archive.
    begun: bool,
    /// Renames: from, to.
    moves: Vec<(String, String)>,
    steps: Steps,
    notes: Vec<String>,
    gaps: Vec<Gap>,
}

impl<'a> Planner<'a> {
    fn new(request: &'a Request, policy: &'a Policy, found: &'a Inventory) -> Self {
        let begun = found.hdfs.as_ref().and_then(HdfsFindings::begun);
        let (archive, stage, suffix) = if let Some(begun) = begun {
            let path = begun.tree.path.clone();
            let records = format!("{path}/.opsweek");
            (path, records, format!("-{}", begun.runs + 1))
        } else {
            let name = archive_name(policy, found);
            let archive = format!("{}/{name}", policy.archive);
            let stage = free_stage(&format!("{}/.{name}.opsweek", policy.archive), found);
            (archive, stage, String::new())
        };
        Self {
            request,
            policy,
            found,
            archive,
            stage,
            suffix,
            begun: begun.is_some(),
            moves: Vec::new(),
            steps: Steps::default(),
            notes: Vec::new(),
            gaps: Vec::new(),
        }
    }

    /// A path below the archive's own records.
    fn artefact(&self, name: &str) -> Artefact {
        let slash = if name.is_empty() { "" } else { "/" };
        Artefact {
            staged: format!("{}{slash}{name}", self.stage),
            settled: format!("{}/.opsweek{slash}{name}", self.archive),
        }
    }

    /// A record's name, apart from those of earlier runs.
    fn numbered(&self, name: &str, ending: &str) -> String {
        format!("{name}{}{ending}", self.suffix)
    }

    /// A step in HDFS or the metastore.
    fn cluster(
        &mut self,
        wave: usize,
        risk: Risk,
        id: impl Into<String>,
        why: &str,
        action: impl Into<Action>,
    ) {
        self.steps.add((wave, CLUSTER), risk, id, why, action);
    }

    fn steps(&mut self) -> Result<(), Unplanned> {
        let hive = self.found.hive.clone().unwrap_or_default();
        let new_owner = match (&self.request.new_owner, hive.tables.is_empty()) {
            (Some(owner), _) => owner.to_string(),
            (None, true) => String::new(),
            (None, false) => {
                let tables: Vec<String> = hive.tables.iter().map(TableFound::id).collect();
                return Err(Unplanned::Needs {
                    flag: "--new-owner",
                    question: format!(
                        "who shall own {} ({}) from now on?",
                        if tables.len() == 1 {
                            "the table"
                        } else {
                            "the tables"
                        },
                        tables.join(", ")
                    ),
                    default: "analytics".to_owned(),
                });
            }
        };
        if !hive.tables.is_empty() && !hive.owners.contains(&new_owner) {
            self.notes.push(format!(
                "{new_owner}, who gets tables, owns no database so far: is the name right?"
            ));
        }
        let hosts: Vec<String> = self.found.hosts.keys().cloned().collect();
        let home = self.found.hdfs.as_ref().and_then(|hdfs| hdfs.home.clone());
        let collects = hosts.iter().any(|host| self.collects(host));
        let stale = self.found.hdfs.iter().flat_map(|hdfs| hdfs.stages.clone());
        for stage in stale.collect::<Vec<_>>() {
            if self.trashless() {
                self.notes.push(format!(
                    "{0} stays, a run that moved nothing left it: HDFS has no trash, and \
                     hdfs dfs -rm -r {0} removes it",
                    stage.path
                ));
                continue;
            }
            let name = stage.path.rsplit('/').next().unwrap_or_default();
            let id = format!("trash-{name}");
            let action = hdfs::Action::Trash {
                path: stage.path.clone(),
                was: stage,
            };
            let why = "a run that moved nothing left it";
            self.cluster(RECORD, Risk::Reversible, id, why, action);
        }
        let places = &self.request.places;
        let begun = self.found.hdfs.as_ref().and_then(HdfsFindings::begun);
        let goes_on = begun.is_some_and(|archive| !archive.closed.covers(places));
        self.move_tables(&hive.moving);
        let included = self
            .found
            .hdfs
            .as_ref()
            .is_some_and(|hdfs| hdfs.elsewhere().next().is_some());
        if goes_on
            || included
            || home.is_some()
            || !hive.databases.is_empty()
            || !hive.tables.is_empty()
            || collects
        {
            if !self.deletes() {
                self.renames(home.as_ref().map(|home| &home.tree.path), &hive.databases);
            }
            self.record(&hive);
            self.archive_home();
            self.archive_databases(&hive.databases);
            self.archive_elsewhere();
            if !self.deletes() {
                self.relocate(&hive.inside);
            }
            // Without the metastore it is not known which of it belongs to others' tables.
            if places.has(Place::Hive) {
                self.own_archive(&hive.inside);
            }
            self.give(&hive.tables, &new_owner);
        }
        for host in &hosts {
            self.host(host);
        }
        if !self.request.skip_trash {
            self.delete_from_hdfs();
        }
        for database in &hive.databases {
            self.drop_database(database);
        }
        if self.request.skip_trash {
            self.delete_from_hdfs();
        }
        if !self.steps.0.is_empty() && self.moves_anything() {
            self.close();
        }
        for elsewhere in &hive.elsewhere {
            self.notes.push(format!(
                "kept where it is: {} of {}",
                elsewhere.location, elsewhere.table
            ));
        }
        for view in &hive.views {
            self.notes.push(format!(
                "the view {view} will no longer work: it names a database that goes"
            ));
        }
        // Within a lane the order is that of the waves; sort_by_key is stable.
        self.steps.0.sort_by_key(|step| step.wave);
        Ok(())
    }

    /// Whether nothing can be moved to a trash.
    fn trashless(&self) -> bool {
        self.found
            .hdfs
            .as_ref()
            .is_some_and(HdfsFindings::trashless)
    }

    fn moves_anything(&self) -> bool {
        self.steps.0.iter().any(|step| step.id == "record-manifest")
    }

    fn close(&mut self) {
        let (user, places) = (&self.found.user, &self.request.places);
        let (name, done) = if *places == Scope::all() {
            let done = serde_json::json!({ "complete": true, "user": user });
            ("complete.json".to_owned(), done)
        } else {
            let done = serde_json::json!({ "places": places, "user": user });
            (self.numbered("closed", ".json"), done)
        };
        let path = self.artefact(&name).settled;
        let action = hdfs::Action::Put {
            to: Artefact {
                staged: path.clone(),
                settled: path,
            },
            content: format!("{done}\n"),
        };
        let why = "a later look knows that nothing is missing";
        self.steps.add(
            (CLOSE, "close"),
            Risk::Reversible,
            "close-archive",
            why,
            action,
        );
    }
}

/// The user's name, or with today's date when an archive of that name exists.
fn archive_name(policy: &Policy, found: &Inventory) -> String {
    let user = found.user.as_str();
    let plain = format!("{}/{user}", policy.archive);
    let archives = found.hdfs.iter().flat_map(|hdfs| &hdfs.archives);
    let taken: Vec<&str> = archives.map(|archive| archive.tree.path.as_str()).collect();
    if !taken.contains(&plain.as_str()) {
        return user.to_owned();
    }
    let day = jiff::Timestamp::from_second(found.now)
        .map(|now| now.strftime("%Y%m%d").to_string())
        .unwrap_or_default();
    let mut name = format!("{user}.{day}");
    let mut again = 2;
    while taken.contains(&format!("{}/{name}", policy.archive).as_str()) {
        name = format!("{user}.{day}-{again}");
        again += 1;
    }
    name
}

/// The first name for a run's records beside the archive that no other run has left.
fn free_stage(name: &str, found: &Inventory) -> String {
    let stages = found.hdfs.iter().flat_map(|hdfs| &hdfs.stages);
    let taken: Vec<&str> = stages.map(|stage| stage.path.as_str()).collect();
    let mut free = name.to_owned();
    let mut again = 2;
    while taken.contains(&free.as_str()) {
        free = format!("{name}-{again}");
        again += 1;
    }
    free
}
