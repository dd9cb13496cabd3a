//! From what a look found to what is to be done. Pure: no I/O, no clock.
//!
//! The order, and why: first the record that makes a restore exact, before any change.
//! Then the renames, which are reversible and freeze the data. Then what takes long: owners,
//! and the hosts' streams, each host for itself. Then the removal on hosts, each behind its
//! own proof. Last, when all else is done everywhere, the databases.

use super::inventory::{Account, DatabaseFound, Inside, Inventory, TableFound, TableKind};
use super::policy::Policy;
use super::{Homes, Request};
use crate::actions::guard::{Guard, lies_in};
use crate::actions::host::{self, Content};
use crate::actions::{Action, Artefact, hdfs, hive};
use crate::engine::plan::FORMAT;
use crate::engine::{Gap, Plan, Risk, Step, Wave};
use crate::procedures::{Heading, Refusal, Unplanned};
use crate::services::hdfs::TreeChange;

/// The waves' indices.
const RECORD: usize = 0;
const ARCHIVE: usize = 1;
const COLLECT: usize = 2;
const REMOVE: usize = 3;
const DROP: usize = 4;
const CLOSE: usize = 5;

/// The lane of everything in HDFS and the metastore: their steps need one another's order.
const CLUSTER: &str = "cluster";

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
    let lanes: Vec<&str> = planner
        .steps
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
            "archive to {}: {} steps, {hosts} hosts",
            planner.archive,
            planner.steps.len(),
        ),
        created: found.now,
        task: heading.task.clone(),
        reason: heading.reason.clone(),
        safety: policy.digest(),
        world: found.world.clone(),
        coverage,
        notes: planner.notes,
        waves: [
            ("record what is", false),
            ("move into the archive", true),
            ("collect from hosts, change owners", true),
            ("remove from hosts", false),
            ("drop databases", true),
            ("close the archive", true),
        ]
        .map(|(name, gate)| Wave {
            name: name.to_owned(),
            gate,
        })
        .into(),
        steps: planner.steps,
    })
}

/// Every safety rule that forbids it.
fn refusals(request: &Request, policy: &Policy, found: &Inventory) -> Vec<Refusal> {
    let user = &found.user;
    let mut all = Vec::new();
    let mut refuse = |what: String, hint: &str| {
        all.push(Refusal {
            what,
            hint: hint.to_owned(),
        });
    };
    if !request.even_if_active {
        const HINT: &str = "wait until the account is closed, or say --even-if-active";
        if found.account == Account::Present {
            refuse(
                format!("{user} is active: ensure: present in the admins' data file"),
                HINT,
            );
        }
        for host in found.logins() {
            refuse(format!("{user} is logged in on {host}"), HINT);
        }
        for application in &found.applications {
            refuse(
                format!("{user} runs the YARN application {application}"),
                HINT,
            );
        }
    }
    let guard = policy.guard();
    for (host, places) in &found.hosts {
        if let Some(Err(error)) = places.uid.map(|uid| guard.uid(user, uid)) {
            refuse(
                format!("{host}: {error}"),
                "system accounts are never offboarded",
            );
        }
    }
    if let Some(hdfs) = &found.hdfs {
        if !hdfs.archive_folder {
            refuse(
                format!("there is no folder {}", policy.archive),
                "make it: hdfs dfs -mkdir -p, or set offboard.archive to the one that is meant",
            );
        }
        for path in &hdfs.snapshottable {
            refuse(
                format!("{path} has snapshots allowed: it cannot be moved away with them"),
                "delete its snapshots and disallow them: hdfs dfsadmin -disallowSnapshot",
            );
        }
        if let Some(path) = &hdfs.encrypted {
            refuse(
                format!("{path} is in an encryption zone: it cannot be renamed out of it"),
                "copy what is worth keeping out of the zone, then remove it by hand",
            );
        }
        let unfinished = hdfs.archives.iter().filter(|archive| !archive.complete);
        for path in unfinished
            .map(|archive| &archive.tree.path)
            .chain(&hdfs.stages)
        {
            refuse(
                format!("{path} was begun by an earlier run and is not complete"),
                "go on with that run's plan: offboard --plan FILE --yes; the file is under \
                 state_dir/plans where it ran; move the folder away if it is not an archive \
                 of this tool",
            );
        }
    }
    if let Some(hive) = &found.hive {
        for database in &hive.databases {
            database_refusals(&guard, user.as_str(), database, &mut refuse);
        }
        for Inside { table, paths } in &hive.inside {
            let what = format!(
                "table {} of {} has its files inside: {}",
                table.id(),
                table.was.owner,
                paths.join(", ")
            );
            if table.kind == TableKind::Iceberg {
                refuse(
                    format!("{what}; it is an Iceberg table, whose metadata names every file"),
                    "move it with Iceberg's own procedures first",
                );
            } else if !request.relocate {
                refuse(
                    what,
                    "--relocate points it to the archive, and leaves it its owner",
                );
            }
        }
    }
    all
}

fn database_refusals(
    guard: &Guard,
    user: &str,
    database: &DatabaseFound,
    refuse: &mut impl FnMut(String, &str),
) {
    let name = &database.was.name;
    if let Err(error) = guard.database(name) {
        refuse(
            format!("{user} owns {name}: {error}"),
            "give the database another owner",
        );
    }
    let others: Vec<String> = database
        .tables
        .iter()
        .filter(|table| table.was.owner != user)
        .map(|table| format!("{} of {}", table.name, table.was.owner))
        .collect();
    if !others.is_empty() {
        refuse(
            format!(
                "database {name} holds others' tables: {}",
                others.join(", ")
            ),
            "move them to another database, or give them to the user, first",
        );
    }
    if let Some(why) = &database.shared {
        refuse(
            format!("database {name}: {why}"),
            "give it a folder of its own first",
        );
    }
}

/// An archive needs the whole of HDFS and the metastore in view; each host stands alone.
fn incomplete(request: &Request, found: &Inventory) -> Result<(), Unplanned> {
    let unknown = found.account == Account::Unknown && !request.even_if_active;
    let blocks = |gap: &&Gap| match gap.lane.as_deref() {
        Some(lane) => lane == CLUSTER,
        None => unknown,
    };
    let gaps: Vec<Gap> = found.gaps.iter().filter(blocks).cloned().collect();
    if gaps.is_empty() {
        Ok(())
    } else {
        Err(Unplanned::Incomplete(gaps))
    }
}

struct Planner<'a> {
    request: &'a Request,
    policy: &'a Policy,
    found: &'a Inventory,
    /// The archive's folder.
    archive: String,
    /// Where its own records are made before it exists.
    stage: String,
    /// Renames: from, to.
    moves: Vec<(String, String)>,
    steps: Vec<Step<Action>>,
    notes: Vec<String>,
    gaps: Vec<Gap>,
}

impl<'a> Planner<'a> {
    fn new(request: &'a Request, policy: &'a Policy, found: &'a Inventory) -> Self {
        let name = archive_name(policy, found);
        Self {
            request,
            policy,
            found,
            archive: format!("{}/{name}", policy.archive),
            stage: format!("{}/.{name}.opsweek", policy.archive),
            moves: Vec::new(),
            steps: Vec::new(),
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

    fn add(&mut self, wave: usize, lane: &str, id: String, risk: Risk, why: &str, action: Action) {
        self.steps.push(Step {
            id,
            lane: lane.to_owned(),
            wave,
            risk,
            why: why.to_owned(),
            action,
        });
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
        let hosts: Vec<String> = self.found.hosts.keys().cloned().collect();
        let home = self.found.hdfs.as_ref().and_then(|hdfs| hdfs.home.clone());
        let collects = hosts.iter().any(|host| self.collects(host));
        if home.is_some() || !hive.databases.is_empty() || !hive.tables.is_empty() || collects {
            self.renames(home.as_ref().map(|home| &home.tree.path), &hive.databases);
            self.record(&hive);
            self.archive_home();
            self.archive_databases(&hive.databases);
            self.relocate(&hive.inside);
            self.own_archive(&hive.inside);
            self.give(&hive.tables, &new_owner);
        }
        for host in &hosts {
            self.host(host);
        }
        for database in &hive.databases {
            self.drop_database(database);
        }
        if !self.steps.is_empty() && self.moves_anything() {
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
        self.steps.sort_by_key(|step| step.wave);
        Ok(())
    }

    fn moves_anything(&self) -> bool {
        self.steps.iter().any(|step| step.wave == RECORD)
    }

    /// What will be where: decided first, since records and relocations need all of it.
    fn renames(&mut self, home: Option<&String>, databases: &[DatabaseFound]) {
        if let Some(home) = home {
            self.moves.push((home.clone(), self.archive.clone()));
        }
        for database in databases.iter().filter(|database| database.data.is_some()) {
            let Some(path) = &database.path else { continue };
            if home.is_none_or(|home| !lies_in(path, home)) {
                let to = self
                    .artefact(&format!("hive/{}.db", database.was.name))
                    .settled;
                self.moves.push((path.clone(), to));
            }
        }
    }

    /// Where `path` will be after the renames.
    fn moved(&self, path: &str) -> Option<String> {
        self.moves.iter().find_map(|(from, to)| {
            let inside = lies_in(path, from).then(|| &path[from.len()..]);
            inside.map(|rest| format!("{to}{rest}"))
        })
    }

    fn record(&mut self, hive: &super::inventory::HiveFindings) {
        let folders = [("", 0o750), ("hive", 0o750), ("hosts", 0o700)];
        for (name, mode) in folders {
            let action = hdfs::Action::MakeFolder {
                to: self.artefact(name),
                owner: self.policy.archive_owner.clone(),
                group: self.policy.archive_group.clone(),
                mode,
            };
            let id = format!("make-{}", if name.is_empty() { "records" } else { name });
            self.add(
                RECORD,
                CLUSTER,
                id,
                Risk::Reversible,
                "the archive's own records",
                Action::Hdfs(action),
            );
        }
        let mut roots: Vec<String> = self.moves.iter().map(|(from, _)| from.clone()).collect();
        for table in &hive.tables {
            if let Some(path) = table.path.as_ref().filter(|_| table.data.is_some())
                && !roots.iter().any(|root| lies_in(path, root))
            {
                roots.push(path.clone());
            }
        }
        if !roots.is_empty() {
            let to = self.artefact("hdfs.jsonl.zst");
            let action = hdfs::Action::Record { roots, to };
            self.add(
                RECORD,
                CLUSTER,
                "record-hdfs".into(),
                Risk::Reversible,
                "makes a restore exact",
                Action::Hdfs(action),
            );
        }
        let tables: Vec<(String, String)> = hive
            .tables
            .iter()
            .chain(hive.inside.iter().map(|inside| &inside.table))
            .map(|table| (table.database.clone(), table.name.clone()))
            .collect::<std::collections::BTreeSet<_>>()
            .into_iter()
            .collect();
        let databases: Vec<String> = hive.databases.iter().map(|d| d.was.name.clone()).collect();
        if !databases.is_empty() || !tables.is_empty() {
            let action = hive::Action::Record {
                databases,
                tables,
                to: self.artefact("hive.jsonl.zst"),
            };
            self.add(
                RECORD,
                CLUSTER,
                "record-hive".into(),
                Risk::Reversible,
                "makes a restore exact",
                Action::Hive(action),
            );
        }
        let content = serde_json::json!({
            "format": 1,
            "user": self.found.user,
            "looked": self.found.now,
            "home": self.moves.iter().find(|(_, to)| *to == self.archive).map(|(from, _)| from),
            "moves": self.moves,
            "kept": hive.elsewhere.iter().map(|e| &e.location).collect::<Vec<_>>(),
            "hosts": self.found.hosts.keys().filter(|host| self.collects(host)).collect::<Vec<_>>(),
        });
        let action = hdfs::Action::Put {
            to: self.artefact("manifest.json"),
            content: format!("{content:#}\n"),
        };
        self.add(
            RECORD,
            CLUSTER,
            "record-manifest".into(),
            Risk::Reversible,
            "says what the archive is, and what was kept elsewhere",
            Action::Hdfs(action),
        );
    }

    fn archive_home(&mut self) {
        let found = self.found.hdfs.as_ref();
        let records = self.artefact("");
        if let Some(home) = found.and_then(|hdfs| hdfs.home.as_ref()) {
            let action = hdfs::Action::Move {
                from: home.tree.path.clone(),
                to: self.archive.clone(),
                was: Some(home.tree.clone()),
            };
            self.add(
                ARCHIVE,
                CLUSTER,
                "move-home".into(),
                Risk::Reversible,
                "the home's content is kept",
                Action::Hdfs(action),
            );
        } else {
            let action = hdfs::Action::MakeFolder {
                to: Artefact {
                    staged: self.archive.clone(),
                    settled: self.archive.clone(),
                },
                owner: self.policy.archive_owner.clone(),
                group: self.policy.archive_group.clone(),
                mode: 0o750,
            };
            self.add(
                ARCHIVE,
                CLUSTER,
                "make-archive".into(),
                Risk::Reversible,
                "there is no home to become the archive",
                Action::Hdfs(action),
            );
        }
        let action = hdfs::Action::Move {
            from: records.staged,
            to: records.settled,
            was: None,
        };
        self.add(
            ARCHIVE,
            CLUSTER,
            "settle-records".into(),
            Risk::Reversible,
            "the records belong to the archive",
            Action::Hdfs(action),
        );
        for part in found.map(|hdfs| hdfs.parts.clone()).unwrap_or_default() {
            let Some(path) = self.moved(&part.path) else {
                continue;
            };
            let name = part.path.rsplit('/').next().unwrap_or_default();
            let id = format!("trash-{name}");
            let action = hdfs::Action::Trash {
                was: part.clone(),
                path,
            };
            self.add(
                ARCHIVE,
                CLUSTER,
                id,
                Risk::Reversible,
                "not worth keeping",
                Action::Hdfs(action),
            );
        }
    }

    fn archive_databases(&mut self, databases: &[DatabaseFound]) {
        for database in databases {
            let (Some(path), Some(data)) = (&database.path, &database.data) else {
                continue;
            };
            let Some((from, to)) = self.moves.iter().find(|(from, _)| from == path).cloned() else {
                continue;
            };
            let action = hdfs::Action::Move {
                from,
                to,
                was: Some(data.tree.clone()),
            };
            let id = format!("move-database-{}", database.was.name);
            self.add(
                ARCHIVE,
                CLUSTER,
                id,
                Risk::Reversible,
                "managed data is kept",
                Action::Hdfs(action),
            );
        }
    }

    fn relocate(&mut self, inside: &[Inside]) {
        for Inside { table, paths } in inside {
            let moves: Vec<(String, String)> = self
                .moves
                .iter()
                .filter(|(from, _)| paths.iter().any(|path| lies_in(path, from)))
                .cloned()
                .collect();
            let action = hive::Action::Relocate {
                database: table.database.clone(),
                table: table.name.clone(),
                moves,
                was: table.was.clone(),
            };
            let id = format!("relocate-{}", table.id());
            self.add(
                ARCHIVE,
                CLUSTER,
                id,
                Risk::Reversible,
                "somebody else needs it where it is now",
                Action::Hive(action),
            );
        }
    }

    /// The archive belongs to the archive's owner, and is nobody else's to read; but others'
    /// tables in it stay theirs, and reachable.
    fn own_archive(&mut self, inside: &[Inside]) {
        let others: Vec<String> = inside
            .iter()
            .flat_map(|inside| &inside.paths)
            .filter_map(|path| self.moved(path))
            .filter(|path| lies_in(path, &self.archive))
            .collect();
        let mut keep = others.clone();
        keep.push(self.artefact("hosts").settled);
        // A path sorts before what lies in it.
        keep.sort();
        keep.dedup_by(|inner, outer| lies_in(inner, outer));
        let mut pass = Vec::new();
        for path in &others {
            let mut folder = path.as_str();
            while let Some((parent, _)) = folder.rsplit_once('/') {
                if !lies_in(parent, &self.archive) {
                    break;
                }
                pass.push(parent.to_owned());
                folder = parent;
            }
        }
        pass.sort();
        pass.dedup();
        let trees = self.found.hdfs.iter().filter_map(|hdfs| hdfs.home.as_ref());
        let databases = self.found.hive.iter().flat_map(|hive| &hive.databases);
        let paths = trees
            .chain(databases.filter_map(|database| database.data.as_ref()))
            .map(|found| found.tree.files + found.tree.folders)
            .sum();
        let action = hdfs::Action::Own {
            root: self.archive.clone(),
            change: TreeChange {
                owner: Some(self.policy.archive_owner.clone()),
                group: Some(self.policy.archive_group.clone()),
                clear_mode: 0o007,
                strip_acls: true,
                keep,
                pass,
            },
            paths,
        };
        self.add(
            COLLECT,
            CLUSTER,
            "own-archive".into(),
            Risk::Costly,
            "the archive is readable by its group only",
            Action::Hdfs(action),
        );
    }

    fn give(&mut self, tables: &[TableFound], new_owner: &str) {
        let mut given: Vec<String> = Vec::new();
        for table in tables {
            let action = hive::Action::ChangeOwner {
                database: table.database.clone(),
                table: table.name.clone(),
                from: table.was.owner.clone(),
                to: new_owner.to_owned(),
                was: table.was.clone(),
            };
            self.add(
                COLLECT,
                CLUSTER,
                format!("owner-{}", table.id()),
                Risk::Reversible,
                "others need it",
                Action::Hive(action),
            );
            let Some((path, data)) = table.path.as_ref().zip(table.data.as_ref()) else {
                continue;
            };
            let root = self.moved(path).unwrap_or_else(|| path.clone());
            if given.iter().any(|known| lies_in(&root, known)) {
                continue;
            }
            let action = hdfs::Action::Own {
                root: root.clone(),
                change: TreeChange {
                    owner: Some(new_owner.to_owned()),
                    ..TreeChange::default()
                },
                paths: data.files + data.folders,
            };
            given.push(root);
            self.add(
                COLLECT,
                CLUSTER,
                format!("owner-files-{}", table.id()),
                Risk::Reversible,
                "its files go with it",
                Action::Hdfs(action),
            );
        }
    }

    /// Whether a host's homes are to be collected or removed.
    fn collects(&self, host: &str) -> bool {
        self.request.host_homes != Homes::Keep
            && self.found.hosts.get(host).is_some_and(|places| {
                (!places.kept.is_empty() || !places.tombs.is_empty()) && places.mounts.is_empty()
            })
    }

    fn host(&mut self, host: &str) {
        let Some(places) = self.found.hosts.get(host) else {
            return;
        };
        let user = &self.found.user;
        if let Some(mount) = places.mounts.first()
            && self.request.host_homes != Homes::Keep
        {
            self.gaps.push(Gap {
                place: host.to_owned(),
                why: format!("refused: {mount} is a mount point in a home; unmount it first"),
                lane: Some(host.to_owned()),
            });
        }
        if let (true, Some(uid)) = (self.request.stop_processes, places.owner())
            && (places.linger || !places.processes.is_empty())
        {
            let action = host::Action::Stop {
                host: host.to_owned(),
                user: user.clone(),
                uid,
                processes: places.processes.len(),
            };
            self.add(
                COLLECT,
                host,
                format!("stop-{host}"),
                Risk::Costly,
                "nothing writes to the home any more",
                Action::Host(action),
            );
        } else if !places.processes.is_empty() {
            self.notes.push(format!(
                "{host}: {} processes stay; --stop-processes ends them",
                places.processes.len()
            ));
        }
        if !self.collects(host) {
            if self.request.host_homes == Homes::Keep && !places.kept.is_empty() {
                self.notes.push(format!(
                    "{host}: {} stays, as asked",
                    places.kept.paths().join(", ")
                ));
            }
            return;
        }
        let content = match self.request.host_homes {
            Homes::Delete => Content::Listing,
            _ => Content::Tarball,
        };
        let proof = self.artefact(&format!("hosts/{host}.json")).settled;
        let action = host::Action::Collect {
            host: host.to_owned(),
            user: user.clone(),
            content,
            was: places.kept.clone(),
            leave_out: self.policy.never_archive.clone(),
            folder: self.artefact("hosts").settled,
        };
        let why = match content {
            Content::Tarball => "kept in the archive",
            Content::Listing => "what was removed can be looked up",
        };
        self.add(
            COLLECT,
            host,
            format!("collect-{host}"),
            Risk::Costly,
            why,
            Action::Host(action),
        );
        let action = host::Action::Remove {
            host: host.to_owned(),
            user: user.clone(),
            was: places.kept.clone(),
            proof,
        };
        self.add(
            REMOVE,
            host,
            format!("remove-{host}"),
            Risk::Irreversible,
            "hosts have no trash",
            Action::Host(action),
        );
        if !places.secrets.is_empty() {
            self.notes.push(format!(
                "{host}: never archived, removed with the home: {}",
                places.secrets.join(", ")
            ));
        }
    }

    fn drop_database(&mut self, database: &DatabaseFound) {
        let action = hive::Action::DropDatabase {
            was: database.was.clone(),
            proof: self.artefact("hive.jsonl.zst").settled,
        };
        let id = format!("drop-{}", database.was.name);
        self.add(
            DROP,
            CLUSTER,
            id,
            Risk::Irreversible,
            "its definition is recorded, its data is in the archive; no file is deleted",
            Action::Hive(action),
        );
    }

    fn close(&mut self) {
        let done = serde_json::json!({ "complete": true, "user": self.found.user });
        let path = self.artefact("complete.json").settled;
        let action = hdfs::Action::Put {
            to: Artefact {
                staged: path.clone(),
                settled: path,
            },
            content: format!("{done}\n"),
        };
        self.add(
            CLOSE,
            "close",
            "close-archive".into(),
            Risk::Reversible,
            "a later look knows that nothing is missing",
            Action::Hdfs(action),
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
