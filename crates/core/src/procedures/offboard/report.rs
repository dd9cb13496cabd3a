//! What a look found, as tables.

use jiff::Timestamp;

use super::inventory::{Account, DatabaseInside, Inventory, TableKind};
use crate::actions::hdfs::Tree;
use crate::actions::host::places::{Kind, Places};
use crate::engine::render::{Document, Table, bytes};
use crate::fold::{alike, fold};
use crate::procedures::Report;

pub(super) fn report(found: &Inventory) -> Report {
    let mut rows = Rows::default();
    hdfs(found, &mut rows);
    hive(found, &mut rows);
    hosts(found, &mut rows);
    let mut tables = Vec::new();
    let columns = vec![
        "place",
        "what",
        "path",
        "owner",
        "files",
        "bytes",
        "newest change",
    ];
    let mut push = |title: &str, rows: Vec<Vec<String>>| {
        if !rows.is_empty() {
            tables.push(Table {
                title: title.to_owned(),
                columns: columns.clone(),
                rows,
            });
        }
    };
    let leftovers = !rows.left.is_empty();
    push("left over", rows.left);
    push("of others, in the way", rows.others);
    push("archived or kept", rows.kept);
    let mut notes = rows.notes;
    let unasked = found.places.unasked().join(", ");
    if !unasked.is_empty() {
        notes.push(format!("not asked for: {unasked}"));
    }
    let account = match found.account {
        Account::Present => Some("is active in the admins' data file"),
        Account::Absent => None,
        Account::Unlisted => Some("is not in the admins' data file"),
        Account::Unknown => Some("may be active: the admins' data file could not be used"),
    };
    notes.extend(account.map(|account| format!("{} {account}", found.user)));
    let logins = found.logins();
    if !logins.is_empty() {
        notes.push(format!("{} is logged in on {}", found.user, fold(logins)));
    }
    notes.extend(
        found
            .applications
            .iter()
            .map(|application| format!("{} runs the YARN application {application}", found.user)),
    );
    let title = match (leftovers, found.gaps.is_empty()) {
        (true, _) => format!("{} has left things behind", found.user),
        (false, true) if unasked.is_empty() => format!("nothing of {} is left", found.user),
        (false, true) => {
            let places = found.places.names().join(", ");
            format!("nothing of {} is left in {places}", found.user)
        }
        (false, false) => format!(
            "nothing of {} was found, but not everything could be looked at",
            found.user
        ),
    };
    Report {
        document: Document {
            title,
            tables,
            notes,
        },
        leftovers,
        gaps: found.gaps.clone(),
    }
}

#[derive(Default)]
struct Rows {
    left: Vec<Vec<String>>,
    others: Vec<Vec<String>>,
    kept: Vec<Vec<String>>,
    notes: Vec<String>,
}

fn tree_row(place: &str, what: &str, tree: &Tree, newest: Option<i64>) -> Vec<String> {
    vec![
        place.to_owned(),
        what.to_owned(),
        tree.path.clone(),
        tree.owner.clone(),
        tree.files.to_string(),
        bytes(tree.bytes),
        newest.map(day).unwrap_or_default(),
    ]
}

fn row(place: &str, what: &str, path: &str, owner: &str) -> Vec<String> {
    let mut row = vec![
        place.to_owned(),
        what.to_owned(),
        path.to_owned(),
        owner.to_owned(),
    ];
    row.resize(7, String::new());
    row
}

fn hdfs(found: &Inventory, rows: &mut Rows) {
    let Some(hdfs) = &found.hdfs else { return };
    if let Some(home) = &hdfs.home {
        let what = if home.tree.owner == found.user.as_str() {
            "home"
        } else {
            "home, somebody else's by now"
        };
        rows.left
            .push(tree_row("hdfs", what, &home.tree, Some(home.newest)));
    }
    for (path, there) in &hdfs.included {
        let what = "data elsewhere, as asked";
        rows.left.push(match there {
            Some(found) => tree_row("hdfs", what, &found.tree, Some(found.newest)),
            None => row("hdfs", "data elsewhere: NOT THERE", path, ""),
        });
    }
    for part in &hdfs.parts {
        rows.kept.push(tree_row(
            "hdfs",
            "trash or staging, in the home",
            part,
            None,
        ));
    }
    for stage in &hdfs.stages {
        let what = "records of a run that moved nothing";
        rows.left.push(tree_row("hdfs", what, stage, None));
    }
    for records in &hdfs.restoring {
        let what = "records of a restore that is not finished";
        rows.left.push(row("hdfs", what, records, ""));
    }
    for archive in &hdfs.archives {
        let what = if archive.deletion {
            "records of a deletion"
        } else {
            "archive"
        };
        let waits = archive.closed.unasked().join(", ");
        let (section, what) = if archive.complete {
            (&mut rows.kept, what.to_owned())
        } else if archive.closed.covers(&found.places) {
            (&mut rows.kept, format!("{what}, waiting for {waits}"))
        } else {
            (&mut rows.left, format!("{what} that is not complete"))
        };
        section.push(tree_row("hdfs", &what, &archive.tree, None));
        for kept in &archive.kept {
            rows.kept.push(row("hdfs", "kept where it is", kept, ""));
        }
    }
    for path in &hdfs.snapshottable {
        rows.notes.push(format!("{path} has snapshots allowed"));
    }
    if let Some(path) = &hdfs.encrypted {
        rows.notes.push(format!("{path} is in an encryption zone"));
    }
}

fn hive(found: &Inventory, rows: &mut Rows) {
    let Some(hive) = &found.hive else { return };
    let kind = |kind| match kind {
        TableKind::Managed => "managed table",
        TableKind::External => "external table",
        TableKind::View => "view",
        TableKind::Iceberg => "Iceberg table",
    };
    for database in &hive.databases {
        let what = format!(
            "database {} ({} tables, {} partitions)",
            database.was.name,
            database.tables.len(),
            database.partitions
        );
        rows.left.push(match &database.data {
            Some(data) => tree_row("hive", &what, &data.tree, Some(data.newest)),
            None => row("hive", &what, &database.was.location, &database.was.owner),
        });
        for table in &database.tables {
            let what = format!("{} {}", kind(table.kind), table.id());
            let path = table.location.clone().unwrap_or_default();
            let row = match &table.data {
                Some(data) => tree_row("hive", &what, data, None),
                None => row("hive", &what, &path, &table.was.owner),
            };
            if table.was.owner == found.user.as_str() {
                rows.left.push(row);
            } else {
                rows.others.push(row);
            }
        }
    }
    for table in &hive.tables {
        let what = format!("{} {} in another's database", kind(table.kind), table.id());
        rows.left.push(match &table.data {
            Some(data) => tree_row("hive", &what, data, None),
            None => row(
                "hive",
                &what,
                table.location.as_deref().unwrap_or_default(),
                &table.was.owner,
            ),
        });
    }
    for moving in &hive.moving {
        let what = format!("table {} that moves to {}", moving.table.id(), moving.to);
        let path = moving.table.location.as_deref().unwrap_or_default();
        rows.others
            .push(row("hive", &what, path, &moving.table.was.owner));
    }
    for DatabaseInside { name, owner, path } in &hive.databases_inside {
        let what = format!("database {name} has its folder here");
        rows.others.push(row("hive", &what, path, owner));
    }
    for inside in &hive.inside {
        for path in &inside.paths {
            let what = format!(
                "{} {} has files here",
                kind(inside.table.kind),
                inside.table.id()
            );
            rows.others
                .push(row("hive", &what, path, &inside.table.was.owner));
        }
    }
    for elsewhere in &hive.elsewhere {
        let what = format!("data of {} elsewhere: stays", elsewhere.table);
        rows.kept.push(match &elsewhere.data {
            Some(data) => tree_row("hive", &what, data, None),
            None => row("hive", &what, &elsewhere.location, ""),
        });
    }
    for view in &hive.views {
        rows.others.push(row(
            "hive",
            "view that names a database of the user",
            view,
            "",
        ));
    }
}

/// What several hosts have alike is one row.
fn hosts(found: &Inventory, rows: &mut Rows) {
    let mut left = Vec::new();
    let mut notes = Vec::new();
    for (host, places) in &found.hosts {
        let mut of = Rows::default();
        host_rows(places, &mut of);
        left.extend(of.left.into_iter().map(|row| (host.as_str(), row)));
        notes.extend(of.notes.into_iter().map(|note| (host.as_str(), note)));
    }
    for (hosts, mut row) in alike(left) {
        row[0] = hosts;
        rows.left.push(row);
    }
    let notes = alike(notes).into_iter();
    rows.notes
        .extend(notes.map(|(hosts, note)| format!("{hosts}: {note}")));
}

/// The rows and notes of one host, which is named by whoever asks.
fn host_rows(places: &Places, rows: &mut Rows) {
    for home in &places.kept.homes {
        let what = match &home.kind {
            Kind::Folder => "home".to_owned(),
            Kind::Link(target) => format!("link to {target}"),
            Kind::File => "file in a home's place".to_owned(),
        };
        rows.left.push(vec![
            String::new(),
            what,
            home.path.clone(),
            home.uid.to_string(),
            home.files.to_string(),
            bytes(home.bytes),
            day(home.newest),
        ]);
    }
    let singles = places
        .kept
        .archives
        .iter()
        .map(|file| ("archived home", file));
    for (what, file) in singles.chain(places.kept.crontab.iter().map(|file| ("crontab", file))) {
        rows.left.push(vec![
            String::new(),
            what.to_owned(),
            file.path.clone(),
            file.uid.to_string(),
            "1".to_owned(),
            bytes(file.bytes),
            day(file.newest),
        ]);
    }
    let owner = places
        .owner()
        .map(|uid| uid.to_string())
        .unwrap_or_default();
    for path in &places.by_hand {
        let what = "folder among archived homes: for hands only";
        rows.left.push(row("", what, path, ""));
    }
    for (path, _) in &places.tombs {
        rows.left
            .push(row("", "home whose removal was cut short", path, &owner));
    }
    for timer in &places.timers {
        rows.left.push(row("", "timer, in the home", timer, &owner));
    }
    if places.linger {
        rows.left
            .push(row("", "services run without a login (linger)", "", &owner));
    }
    for process in &places.processes {
        let what = format!("process {} {}", process.pid, process.command);
        rows.left.push(row("", &what, "", &owner));
    }
    for mount in &places.mounts {
        rows.notes
            .push(format!("{mount} is a mount point in a home"));
    }
    for secret in &places.secrets {
        rows.notes.push(format!("{secret} is never archived"));
    }
}

/// A time as people read it, in UTC; empty for one that cannot be.
pub(super) fn day(seconds: i64) -> String {
    Timestamp::from_second(seconds)
        .map(|time| time.strftime("%Y-%m-%d %H:%M").to_string())
        .unwrap_or_default()
}
