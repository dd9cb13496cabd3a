//! What forbids a plan, and what must have been seen for one.

use super::delete;
use crate::actions::guard::{Guard, lies_in};
use crate::engine::Gap;
use crate::procedures::offboard::inventory::{
    Account, Archive, DatabaseFound, DatabaseInside, HdfsFindings, Inside, Inventory, TableKind,
};
use crate::procedures::offboard::policy::Policy;
use crate::procedures::offboard::scope::Place;
use crate::procedures::offboard::steps::CLUSTER;
use crate::procedures::offboard::{Intent, Request};
use crate::procedures::{Refusal, Unplanned};

/// Who makes databases' folders for others: the metastore, or Hive, as itself, and HDFS's own
/// account.
const MAKERS: [&str; 2] = ["hive", "hdfs"];

/// Whatever tells that the user is still here.
pub(in super::super) fn in_use(found: &Inventory) -> Vec<Refusal> {
    const HINT: &str = "wait until the account is closed, or plan again with --even-if-active";
    let user = &found.user;
    let present = (found.account == Account::Present)
        .then(|| format!("{user} is active: ensure: present in the admins' data file"));
    let logins = found.logins().into_iter();
    let logins = logins.map(|host| format!("{user} is logged in on {host}"));
    let applications = found.applications.iter();
    let applications = applications.map(|one| format!("{user} runs the YARN application {one}"));
    let all = present.into_iter().chain(logins).chain(applications);
    all.map(|what| Refusal::new(what, HINT)).collect()
}

/// That a database of somebody else has its folder in a tree that goes.
pub(in super::super) fn database_inside(name: &str, owner: &str, path: &str) -> String {
    format!("database {name} of {owner} has its folder inside: {path}")
}

/// That a table of somebody else, or partitions of it, have files in a tree that goes.
pub(in super::super) fn table_inside(table: &str, owner: &str, paths: &[String]) -> String {
    format!(
        "table {table} of {owner} has its files inside: {}",
        paths.join(", ")
    )
}

/// Every safety rule that forbids it.
pub(super) fn refusals(request: &Request, policy: &Policy, found: &Inventory) -> Vec<Refusal> {
    let user = &found.user;
    let deletes = request.intent == Intent::Delete;
    let mut all = Vec::new();
    if !request.even_if_active {
        all.extend(in_use(found));
    }
    let mut refuse = |what: String, hint: &str| all.push(Refusal::new(what, hint));
    let guard = policy.guard();
    for (host, places) in &found.hosts {
        if let Some(Err(error)) = places.uid.map(|uid| guard.uid(user, uid)) {
            refuse(
                format!("{host}: {error}"),
                "system accounts are never offboarded",
            );
        }
    }
    let unseen = found.gaps.iter().any(|gap| gap.place == "hdfs");
    if found.hdfs.is_none() && !unseen {
        refuse(
            "there is no HDFS to archive to".to_owned(),
            "add a section [hdfs] to the configuration",
        );
    }
    if let Some(hdfs) = &found.hdfs {
        if !hdfs.archive_folder {
            refuse(
                format!("there is no folder {}", policy.archive),
                "make it: hdfs dfs -mkdir -p, or set offboard.archive to the one that is meant",
            );
        }
        if let Some(home) = hdfs.home.as_ref().map(|home| &home.tree)
            && home.owner != user.as_str()
        {
            let (path, owner) = (&home.path, &home.owner);
            refuse(
                format!("{path} belongs to {owner}, not to {user}"),
                &format!(
                    "ask {owner}; where it is {user}'s after all: hdfs dfs -chown {user} {path}; \
                     else rename it"
                ),
            );
        }
        if let Some(home) = hdfs.home.as_ref().filter(|home| home.tree.folders == 0)
            && !deletes
        {
            let path = &home.tree.path;
            refuse(
                format!("{path} is a file, not a folder: no archive can be made of it"),
                "move it away by hand, into the archives' folder for example, or --delete",
            );
        }
        for path in &hdfs.snapshottable {
            refuse(
                format!("{path} has snapshots allowed: it cannot be moved away with them"),
                "delete its snapshots and disallow them: hdfs dfsadmin -disallowSnapshot",
            );
        }
        if let Some(path) = hdfs.encrypted.as_ref().filter(|_| !request.skip_trash) {
            if *path == policy.archive {
                refuse(
                    format!("{path} is in an encryption zone: nothing can be renamed into it"),
                    "set offboard.archive to a folder outside of zones",
                );
            } else {
                refuse(
                    format!("{path} is in an encryption zone: it cannot be renamed out of it"),
                    "copy what is worth keeping out of the zone, then --delete --skip-trash",
                );
            }
        }
        let doomed = delete::doomed(found);
        if deletes && !request.skip_trash && hdfs.trashless() && !doomed.is_empty() {
            let paths: Vec<&str> = doomed.iter().map(|tree| tree.path.as_str()).collect();
            refuse(
                format!(
                    "HDFS has no trash (fs.trash.interval is 0): nothing would keep {}",
                    paths.join(", ")
                ),
                "if that is meant: --skip-trash, with --save-plan FILE; read it, then --plan FILE",
            );
        }
        if let Some(path) = hdfs.reserved.as_ref().filter(|_| !deletes) {
            refuse(
                format!("{path} stands where the archive's own records will be"),
                "it is no part of this tool's: rename it",
            );
        }
        for (path, there) in &hdfs.included {
            match there {
                None => refuse(
                    format!("there is no {path}"),
                    "--include names what is there",
                ),
                Some(there) if there.tree.owner != user.as_str() => refuse(
                    format!("{path} belongs to {}, not to {user}", there.tree.owner),
                    "leave it to its owner: --include is for the user's own data",
                ),
                Some(_) => {}
            }
        }
        for records in &hdfs.restoring {
            refuse(
                format!("{user} is being restored: {records}"),
                "finish that first: offboard USER --restore",
            );
        }
        let moved = |archive: &Archive| archive.closed.has(Place::Hdfs);
        if let Some(home) = hdfs.unmoved.as_ref().filter(|_| !deletes)
            && !hdfs.begun().is_some_and(moved)
        {
            refuse(
                format!(
                    "{home} is there, and nothing proves that it was archived: hosts follow it"
                ),
                "where HDFS and the metastore are reached, first: \
                 offboard USER --archive --places hdfs,hive",
            );
        }
        if let Some(archive) = hdfs.begun() {
            let path = &archive.tree.path;
            if !archive.settled {
                refuse(
                    format!("{path} was begun by a run that ended right after moving the home"),
                    "go on with that run's plan, under state_dir/plans where it ran: \
                     offboard --plan FILE --yes",
                );
            } else if archive.deletion != deletes {
                let (was, flag) = if archive.deletion {
                    ("a deletion", "--delete")
                } else {
                    ("an archive", "--archive")
                };
                refuse(
                    format!("{path} belongs to {was} that is not complete"),
                    &format!("finish that first, with {flag}"),
                );
            } else if let Some(home) = hdfs.home.as_ref().filter(|_| !deletes) {
                let home = &home.tree.path;
                refuse(
                    format!("{home} is there again, and {path} is not complete"),
                    "move the new home away, let the archive be completed, and move it back",
                );
            }
        }
    }
    for asked in &request.move_tables {
        let mut moving = found.hive.iter().flat_map(|hive| &hive.moving);
        let here = moving.find(|moving| moving.table.id() == asked.id());
        let fault = match here {
            Some(moving) => match (&moving.fault, guard.database(&asked.to)) {
                (None, Err(error)) => Some(error.to_string()),
                (fault, _) => fault.clone(),
            },
            None => Some(format!("no database of {user} has such a table")),
        };
        if let Some(fault) = fault {
            refuse(
                format!("--move-table {}={}: {fault}", asked.id(), asked.to),
                "choose another table or database, or let its owner move it",
            );
        }
    }
    if let Some(hive) = &found.hive {
        for database in &hive.databases {
            database_refusals(&guard, user.as_str(), database, &mut refuse);
        }
        for DatabaseInside { name, owner, path } in &hive.databases_inside {
            refuse(database_inside(name, owner, path), "let its owner move it");
        }
        let begun = found.hdfs.as_ref().and_then(HdfsFindings::begun);
        for Inside { table, paths } in &hive.inside {
            let relocated =
                |path: &String| begun.is_some_and(|archive| lies_in(path, &archive.tree.path));
            if paths.iter().all(relocated) {
                continue;
            }
            let what = table_inside(&table.id(), &table.was.owner, paths);
            if deletes {
                refuse(
                    what,
                    "let its owner move them, or --archive --relocate instead",
                );
            } else if table.kind == TableKind::Iceberg {
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
            "--move-table TABLE=DATABASE moves one, its owner keeps it; or give them to the user",
        );
    }
    if let Some(why) = &database.shared {
        refuse(
            format!("database {name}: {why}"),
            "give it a folder of its own first",
        );
    }
    // Whatever else is a system account may have data of its own.
    if let Some(data) = database.data.as_ref().map(|data| &data.tree)
        && data.owner != user
        && !MAKERS.contains(&data.owner.as_str())
    {
        let (path, owner) = (&data.path, &data.owner);
        refuse(
            format!("database {name}: its folder {path} belongs to {owner}"),
            &format!(
                "ask {owner}; where it is {user}'s after all: hdfs dfs -chown {user} {path}; else \
                 give the database a folder of its own"
            ),
        );
    }
}

/// An archive needs the whole of HDFS and the metastore in view; each host stands alone.
pub(super) fn incomplete(request: &Request, found: &Inventory) -> Result<(), Unplanned> {
    let blocks = |gap: &&Gap| match gap.lane.as_deref() {
        Some(lane) => lane == CLUSTER,
        // What is not known is whether the user is active.
        None => !request.even_if_active,
    };
    let gaps: Vec<Gap> = found.gaps.iter().filter(blocks).cloned().collect();
    if gaps.is_empty() {
        Ok(())
    } else {
        Err(Unplanned::Incomplete(gaps))
    }
}
