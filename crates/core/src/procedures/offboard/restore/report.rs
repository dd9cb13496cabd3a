//! What an archive holds that is not back, as a table.

use super::super::inventory::Inventory;
use super::super::manifest::Manifest;
use super::{Findings, Source};
use crate::actions::hdfs::Tree;
use crate::engine::Gap;
use crate::engine::render::{Document, Table, bytes};
use crate::procedures::Report;

/// The report; leftovers are what is to be restored.
pub(in super::super) fn report(inventory: &Inventory, found: &Findings) -> Report {
    let user = &inventory.user;
    let mut rows = Vec::new();
    let mut notes = Vec::new();
    let title = match &found.source {
        Some(source) => {
            notes.extend(source.notes.clone());
            of(source, &mut rows, &mut notes);
            let spared = source.hosts.values().any(|back| back.spared.is_some());
            if rows.is_empty() && !spared && source.faults.is_empty() {
                format!("everything of {} is back", source.archive)
            } else {
                format!("{} is not all back", source.archive)
            }
        }
        None if found.archives.is_empty() => format!("there is no archive of {user}"),
        None => format!("archives of {user}: {}", found.archives.join(", ")),
    };
    // A host on which something is in the way is not done, and the rest may be.
    let hosts = found.source.iter().flat_map(|source| &source.hosts);
    let spared = hosts.filter_map(|(host, back)| Some((host, back.spared.as_ref()?)));
    let spared = spared.map(|(host, why)| Gap {
        place: host.clone(),
        why: format!("refused: {why}"),
        lane: Some(host.clone()),
    });
    let gaps: Vec<Gap> = inventory.gaps.iter().cloned().chain(spared).collect();
    let mut tables = Vec::new();
    if !rows.is_empty() {
        tables.push(Table {
            title: "to be restored".to_owned(),
            columns: vec!["place", "what", "path", "from", "files", "bytes"],
            rows,
        });
    }
    Report {
        document: Document {
            title,
            tables,
            notes,
        },
        leftovers: found.source.is_some(),
        gaps,
    }
}

fn of(source: &Source, rows: &mut Vec<Vec<String>>, notes: &mut Vec<String>) {
    let row = |place: &str, what: &str, path: &str, from: &str| {
        [place, what, path, from, "", ""]
            .map(str::to_owned)
            .to_vec()
    };
    let tree = |what: &str, path: &str, tree: &Tree| {
        let (files, size) = (tree.files.to_string(), bytes(tree.bytes));
        ["hdfs", what, path, &tree.path, &files, &size]
            .map(str::to_owned)
            .to_vec()
    };
    for back in &source.moves {
        let elsewhere = |(_, run): &(String, Manifest)| run.included.contains(&back.to);
        let what = if back.from == source.archive {
            "home"
        } else if source.runs.iter().any(elsewhere) {
            "data elsewhere"
        } else {
            "a database's folder"
        };
        rows.push(match &back.was {
            Some(was) => tree(what, &back.to, was),
            None => row("hdfs", &format!("{what}, LOST"), &back.to, &back.from),
        });
    }
    for part in &source.trash {
        rows.push(tree(
            "trash or staging, in the home",
            &part.path,
            &part.tree,
        ));
    }
    for path in &source.lost {
        notes.push(format!("{path} is no longer in the trash"));
    }
    for database in &source.databases {
        let what = format!("database {} ({} tables)", database.name, database.tables);
        let records = database.records();
        let records: Vec<&str> = records.map(|record| record.settled.as_str()).collect();
        rows.push(row("hive", &what, "", &records.join(", ")));
    }
    for (database, table, was) in &source.inside {
        let what = format!(
            "{database}.{table} of {} has files in the archive",
            was.owner
        );
        rows.push(row("hive", &what, "", ""));
    }
    for given in &source.given {
        let what = format!("{}.{} was given away", given.database, given.table);
        rows.push(row("hive", &what, "", &given.was.owner));
    }
    for (host, back) in &source.hosts {
        for restore in &back.restore {
            for place in &restore.places {
                rows.push(row(host, "tarball", &place.path, &restore.file.settled));
            }
        }
        if back.linger {
            rows.push(row(host, "services run without a login (linger)", "", ""));
        }
        notes.extend(back.notes.clone());
    }
}
