//! What a look found about several users, as one table.

use super::inventory::{Account, Inventory};
use super::report::day;
use crate::engine::render::{Document, Table, bytes};
use crate::fold::fold;

/// A row a user; those that have left something behind come first.
pub(super) fn overview(all: &[(&Inventory, bool)]) -> Document {
    let mut all = all.to_vec();
    all.sort_by_key(|(_, leftovers)| !leftovers);
    let left = all.iter().filter(|(_, leftovers)| *leftovers).count();
    Document {
        title: format!("{left} of {} users have left things behind", all.len()),
        tables: vec![Table {
            title: String::new(),
            columns: vec![
                "user",
                "account",
                "left over",
                "hdfs files",
                "hdfs bytes",
                "newest change",
                "databases",
                "other tables",
                "hosts",
                "in the way",
                "archives",
            ],
            rows: all.into_iter().map(row).collect(),
        }],
        notes: Vec::new(),
    }
}

fn row((found, leftovers): (&Inventory, bool)) -> Vec<String> {
    let account = match found.account {
        Account::Present => "ACTIVE",
        Account::Absent => "absent",
        Account::Unlisted => "not listed",
        Account::Unknown => "unknown",
    };
    let home = found.hdfs.iter().filter_map(|hdfs| hdfs.home.as_ref());
    let folders = found.hive.iter().flat_map(|hive| &hive.databases);
    let folders = folders.filter_map(|database| database.data.as_ref());
    let folders = folders.filter(|data| {
        // A database in the home is counted with it.
        let home = found.hdfs.iter().filter_map(|hdfs| hdfs.home.as_ref());
        !home
            .into_iter()
            .any(|home| crate::actions::guard::lies_in(&data.tree.path, &home.tree.path))
    });
    let trees: Vec<_> = home.chain(folders).collect();
    let files: u64 = trees.iter().map(|found| found.tree.files).sum();
    let size: u64 = trees.iter().map(|found| found.tree.bytes).sum();
    let hive = found.hive.as_ref();
    let databases = hive.iter().flat_map(|hive| &hive.databases);
    let databases: Vec<&str> = databases.map(|one| one.was.name.as_str()).collect();
    let of_others = hive.map_or(0, |hive| {
        let user = found.user.as_str();
        let tables = hive.databases.iter().flat_map(|database| &database.tables);
        hive.databases_inside.len()
            + hive.inside.len()
            + tables.filter(|table| table.was.owner != user).count()
    });
    let hosts = found.hosts.iter().filter(|(_, places)| !places.is_empty());
    let archives = found.hdfs.iter().flat_map(|hdfs| &hdfs.archives);
    let archives = archives.filter(|archive| archive.complete && !archive.deletion);
    vec![
        found.user.to_string(),
        account.to_owned(),
        if leftovers { "yes" } else { "" }.to_owned(),
        counted(files),
        if trees.is_empty() {
            String::new()
        } else {
            bytes(size)
        },
        trees
            .iter()
            .map(|found| found.newest)
            .max()
            .map(day)
            .unwrap_or_default(),
        databases.join(", "),
        counted(hive.map_or(0, |hive| hive.tables.len() as u64)),
        fold(hosts.map(|(host, _)| host.as_str())),
        counted(of_others as u64),
        counted(archives.count() as u64),
    ]
}

/// Nothing is shown as nothing.
fn counted(count: u64) -> String {
    match count {
        0 => String::new(),
        count => count.to_string(),
    }
}
