//! The steps in HDFS and in the metastore.

use super::{ARCHIVE, COLLECT, DROP, Planner, RECORD};
use crate::actions::guard::lies_in;
use crate::actions::hdfs::Tree;
use crate::actions::move_table::MoveTable;
use crate::actions::{Artefact, hdfs, hive};
use crate::engine::Risk;
use crate::engine::plan::sha256_hex;
use crate::procedures::offboard::elsewhere;
use crate::procedures::offboard::inventory::{
    DatabaseFound, HdfsFindings, HiveFindings, Inside, TableFound,
};
use crate::procedures::offboard::manifest::{self, Given, Manifest};
use crate::procedures::offboard::moving::Moving;
use crate::services::hdfs::TreeChange;

impl Planner<'_> {
    /// What will be where: decided first, since records and relocations need all of it.
    pub(super) fn renames(&mut self, home: Option<&String>, databases: &[DatabaseFound]) {
        if let Some(home) = home {
            self.moves.push((home.clone(), self.archive.clone()));
        }
        for database in databases.iter().filter(|database| database.data.is_some()) {
            let Some(path) = &database.path else { continue };
            if home.is_none_or(|home| !lies_in(path, home)) {
                let to = self
                    .artefact(&format!("hive/{}{}.db", database.was.name, self.suffix))
                    .settled;
                self.moves.push((path.clone(), to));
            }
        }
        let elsewhere = self.found.hdfs.iter().flat_map(HdfsFindings::elsewhere);
        for tree in elsewhere {
            let name = elsewhere::name(&tree.path);
            let to = self
                .artefact(&format!("hive/{name}{}", self.suffix))
                .settled;
            self.moves.push((tree.path.clone(), to));
        }
    }

    /// Others' tables leave first: what is recorded and moved afterwards is the user's.
    pub(super) fn move_tables(&mut self, moving: &[Moving]) {
        for Moving {
            table, to, files, ..
        } in moving
        {
            let action = hive::Action::MoveTable(MoveTable {
                database: table.database.clone(),
                table: table.name.clone(),
                to: to.clone(),
                files: files.clone(),
                was: table.was.clone(),
            });
            let id = format!("move-table-{}", table.id());
            self.cluster(
                RECORD,
                Risk::Reversible,
                id,
                "somebody else needs it",
                action,
            );
        }
    }

    /// What lies elsewhere and was asked for goes beside the databases' folders.
    pub(super) fn archive_elsewhere(&mut self) {
        let trees = self.found.hdfs.iter().flat_map(HdfsFindings::elsewhere);
        for tree in trees {
            let Some((from, to)) = self
                .moves
                .iter()
                .find(|(from, _)| *from == tree.path)
                .cloned()
            else {
                continue;
            };
            let id = format!("move-{}", from.trim_start_matches('/'));
            let action = hdfs::Action::Move {
                from,
                to,
                was: Some(tree.clone()),
            };
            self.cluster(ARCHIVE, Risk::Reversible, id, "as asked", action);
        }
    }

    /// Where `path` will be after the renames.
    pub(super) fn moved(&self, path: &str) -> Option<String> {
        self.moves.iter().find_map(|(from, to)| {
            let inside = lies_in(path, from).then(|| &path[from.len()..]);
            inside.map(|rest| format!("{to}{rest}"))
        })
    }

    pub(super) fn record(&mut self, hive: &HiveFindings) {
        let folders = [("", 0o750), ("hive", 0o750), ("hosts", 0o700)];
        for (name, mode) in folders {
            let action = hdfs::Action::MakeFolder {
                to: self.artefact(name),
                owner: self.policy.archive_owner.clone(),
                group: self.policy.archive_group.clone(),
                mode,
            };
            let id = format!("make-{}", if name.is_empty() { "records" } else { name });
            self.cluster(
                RECORD,
                Risk::Reversible,
                id,
                "the archive's own records",
                action,
            );
        }
        let moved = self.moves.iter().map(|(from, _)| from.clone());
        let doomed = self.doomed().into_iter().map(|tree| tree.path.clone());
        let mut roots: Vec<String> = moved.chain(doomed).collect();
        for table in &hive.tables {
            if let Some((path, _)) = self.files(table)
                && !roots.iter().any(|root| lies_in(path, root))
            {
                roots.push(path.clone());
            }
        }
        let databases: Vec<String> = hive.databases.iter().map(|d| d.was.name.clone()).collect();
        let manifest = manifest::write(&self.manifest(hive, roots.clone(), databases.clone()));
        let began = serde_json::json!({
            "user": self.found.user,
            "looked": self.found.now,
            "manifest": sha256_hex(manifest.as_bytes()),
        });
        let put = |planner: &mut Self, name: &str, content: String, why: &str| {
            let action = hdfs::Action::Put {
                to: planner.artefact(&planner.numbered(name, ".json")),
                content,
            };
            let id = format!("record-{name}");
            planner.cluster(RECORD, Risk::Reversible, id, why, action);
        };
        // Records are known by their names: those that another plan has left here, made before
        // this one's were there to be seen, are not taken for its own.
        let why = "no other plan goes on from here";
        put(self, "plan", format!("{began}\n"), why);
        if !roots.is_empty() {
            let to = self.artefact(&self.numbered("hdfs", ".jsonl.zst"));
            let action = hdfs::Action::Record { roots, to };
            let why = "makes a restore exact";
            self.cluster(RECORD, Risk::Reversible, "record-hdfs", why, action);
        }
        let tables: Vec<(String, String)> = hive
            .tables
            .iter()
            .chain(hive.inside.iter().map(|inside| &inside.table))
            .map(|table| (table.database.clone(), table.name.clone()))
            .collect::<std::collections::BTreeSet<_>>()
            .into_iter()
            .collect();
        if !databases.is_empty() || !tables.is_empty() {
            let action = hive::Action::Record {
                databases,
                tables,
                to: self.artefact(&self.numbered("hive", ".jsonl.zst")),
            };
            let why = "makes a restore exact";
            self.cluster(RECORD, Risk::Reversible, "record-hive", why, action);
        }
        let why = "says what the archive is, and what was kept elsewhere";
        put(self, "manifest", manifest, why);
    }

    /// What a restore needs to know beside the records.
    fn manifest(
        &self,
        hive: &HiveFindings,
        recorded: Vec<String>,
        databases: Vec<String>,
    ) -> Manifest {
        let hosts = &self.found.hosts;
        let collected = || hosts.iter().filter(|(host, _)| self.collects(host));
        Manifest {
            format: manifest::FORMAT,
            user: self.found.user.to_string(),
            looked: self.found.now,
            home: self
                .moves
                .iter()
                .find(|(_, to)| *to == self.archive)
                .map(|(from, _)| from.clone()),
            moves: self.moves.clone(),
            deleted: self.deleted(),
            kept: hive.elsewhere.iter().map(|e| e.location.clone()).collect(),
            hosts: collected().map(|(host, _)| host.clone()).collect(),
            recorded,
            databases,
            included: self
                .found
                .hdfs
                .iter()
                .flat_map(HdfsFindings::elsewhere)
                .map(|tree| tree.path.clone())
                .collect(),
            moved_tables: hive
                .moving
                .iter()
                .map(|moving| (moving.table.id(), moving.to.clone()))
                .collect(),
            given: hive
                .tables
                .iter()
                .map(|table| Given {
                    database: table.database.clone(),
                    table: table.name.clone(),
                    created: table.was.created,
                    path: self.files(table).map(|(path, _)| path.clone()),
                })
                .collect(),
            new_owner: self.request.new_owner.as_ref().map(ToString::to_string),
            others: hive.inside.iter().flat_map(|i| i.paths.clone()).collect(),
            trashed: self
                .found
                .hdfs
                .iter()
                .filter(|hdfs| !self.deletes() && !hdfs.trashless())
                .flat_map(|hdfs| &hdfs.parts)
                .map(|part| part.path.clone())
                .collect(),
            lingered: hosts
                .iter()
                .filter(|(_, places)| self.request.stop_processes && places.linger)
                .map(|(host, _)| host.clone())
                .collect(),
            left_out: collected()
                .filter(|(_, places)| !places.secrets.is_empty())
                .map(|(host, places)| (host.clone(), places.secrets.clone()))
                .collect(),
        }
    }

    pub(super) fn archive_home(&mut self) {
        let found = self.found.hdfs.as_ref();
        let records = self.artefact("");
        let home = found.and_then(|hdfs| hdfs.home.as_ref());
        if let Some(home) = home.filter(|_| !self.deletes()) {
            let action = hdfs::Action::Move {
                from: home.tree.path.clone(),
                to: self.archive.clone(),
                was: Some(home.tree.clone()),
            };
            self.cluster(
                ARCHIVE,
                Risk::Reversible,
                "move-home",
                "the home's content is kept",
                action,
            );
        } else if !self.begun {
            let action = hdfs::Action::MakeFolder {
                to: Artefact {
                    staged: self.archive.clone(),
                    settled: self.archive.clone(),
                },
                owner: self.policy.archive_owner.clone(),
                group: self.policy.archive_group.clone(),
                mode: 0o750,
            };
            self.cluster(
                ARCHIVE,
                Risk::Reversible,
                "make-archive",
                if self.deletes() {
                    "for the records of what is deleted"
                } else {
                    "there is no home to become the archive"
                },
                action,
            );
        }
        let settle = hdfs::Action::Move {
            from: records.staged,
            to: records.settled,
            was: None,
        };
        if !self.begun {
            let why = "the records belong to the archive";
            self.cluster(ARCHIVE, Risk::Reversible, "settle-records", why, settle);
        }
        let parts = found.filter(|_| !self.deletes());
        for part in parts.map(|hdfs| hdfs.parts.clone()).unwrap_or_default() {
            if self.trashless() {
                let note = format!("{} is archived too: HDFS has no trash", part.path);
                self.notes.push(note);
                continue;
            }
            let path = self.moved(&part.path).unwrap_or_else(|| part.path.clone());
            let name = part.path.rsplit('/').next().unwrap_or_default();
            let id = format!("trash-{name}");
            let action = hdfs::Action::Trash {
                was: part.clone(),
                path,
            };
            self.cluster(ARCHIVE, Risk::Reversible, id, "not worth keeping", action);
        }
    }

    pub(super) fn archive_databases(&mut self, databases: &[DatabaseFound]) {
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
            self.cluster(
                ARCHIVE,
                Risk::Reversible,
                id,
                "managed data is kept",
                action,
            );
        }
    }

    pub(super) fn relocate(&mut self, inside: &[Inside]) {
        for Inside { table, paths } in inside {
            let moves: Vec<(String, String)> = self
                .moves
                .iter()
                .filter(|(from, _)| paths.iter().any(|path| lies_in(path, from)))
                .cloned()
                .collect();
            if moves.is_empty() {
                // An earlier run has done it.
                continue;
            }
            let action = hive::Action::Relocate {
                database: table.database.clone(),
                table: table.name.clone(),
                moves,
                was: table.was.clone(),
            };
            let id = format!("relocate-{}", table.id());
            self.cluster(
                ARCHIVE,
                Risk::Reversible,
                id,
                "somebody else needs it where it is now",
                action,
            );
        }
    }

    /// The archive belongs to the archive's owner, and is nobody else's to read; but others'
    /// tables in it stay theirs, and reachable.
    pub(super) fn own_archive(&mut self, inside: &[Inside]) {
        let others: Vec<String> = inside
            .iter()
            .flat_map(|inside| &inside.paths)
            .map(|path| self.moved(path).unwrap_or_else(|| path.clone()))
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
        let begun = self.found.hdfs.as_ref().and_then(HdfsFindings::begun);
        let trees = self.found.hdfs.iter().filter_map(|hdfs| hdfs.home.as_ref());
        let databases = self.found.hive.iter().flat_map(|hive| &hive.databases);
        let elsewhere = self.found.hdfs.iter().flat_map(HdfsFindings::elsewhere);
        let paths = trees
            .chain(databases.filter_map(|database| database.data.as_ref()))
            .filter(|_| !self.deletes())
            .map(|found| &found.tree)
            .chain(elsewhere.filter(|_| !self.deletes()))
            .chain(begun.map(|archive| &archive.tree))
            .map(|tree| tree.files + tree.folders)
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
                only_of: None,
            },
            paths,
        };
        self.cluster(
            COLLECT,
            Risk::Costly,
            "own-archive",
            "the archive is readable by its group only",
            action,
        );
    }

    /// A table's folder, if its files may be given away with it.
    fn files<'t>(&self, table: &'t TableFound) -> Option<(&'t String, &'t Tree)> {
        let files = table.path.as_ref().zip(table.data.as_ref())?;
        let guard = self.policy.guard();
        guard.hdfs(files.0).is_ok().then_some(files)
    }

    pub(super) fn give(&mut self, tables: &[TableFound], new_owner: &str) {
        let mut given: Vec<String> = Vec::new();
        for table in tables {
            let action = hive::Action::ChangeOwner {
                database: table.database.clone(),
                table: table.name.clone(),
                from: table.was.owner.clone(),
                to: new_owner.to_owned(),
                was: table.was.clone(),
            };
            self.cluster(
                COLLECT,
                Risk::Reversible,
                format!("owner-{}", table.id()),
                "others need it",
                action,
            );
            let Some((path, data)) = self.files(table) else {
                if let (Some(path), Some(_)) = (&table.path, &table.data) {
                    let (id, owner) = (table.id(), &table.was.owner);
                    let note = format!(
                        "files of {id} in {path} stay {owner}'s: outside offboard.hdfs_roots"
                    );
                    self.notes.push(note);
                }
                continue;
            };
            let root = self.moved(path).unwrap_or_else(|| path.clone());
            if given.iter().any(|known| lies_in(&root, known)) {
                continue;
            }
            let action = hdfs::Action::Own {
                root: root.clone(),
                // Anybody's table may have its location anywhere: what lies there may be others'.
                change: TreeChange {
                    owner: Some(new_owner.to_owned()),
                    only_of: Some(table.was.owner.clone()),
                    ..TreeChange::default()
                },
                paths: data.files + data.folders,
            };
            given.push(root);
            self.cluster(
                COLLECT,
                Risk::Reversible,
                format!("owner-files-{}", table.id()),
                "its files go with it",
                action,
            );
        }
    }

    pub(super) fn drop_database(&mut self, database: &DatabaseFound) {
        let action = hive::Action::DropDatabase {
            was: database.was.clone(),
            proof: self.artefact(&self.numbered("hive", ".jsonl.zst")).settled,
        };
        let id = format!("drop-{}", database.was.name);
        self.cluster(
            DROP,
            Risk::Irreversible,
            id,
            if self.deletes() {
                "its definition is recorded"
            } else {
                "its definition is recorded, its data is in the archive; no file is deleted"
            },
            action,
        );
    }
}
