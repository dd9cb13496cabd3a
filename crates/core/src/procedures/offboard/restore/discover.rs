//! The look for what an archive holds, and for what of it is back already. Reads only.

use std::collections::{BTreeMap, BTreeSet};

use futures::TryStreamExt;

use super::super::discover::{gap, identities};
use super::super::inventory::{Account, Inventory};
use super::super::manifest::{self, Manifest};
use super::super::policy::Policy;
use super::super::scope::Place;
use super::super::{Request, look};
use super::{Back, Findings, GivenBack, Source, Trashed, hosts};
use crate::actions::guard::lies_in;
use crate::actions::hdfs::{Line, Tree};
use crate::actions::hive::{TableEvidence, path_of};
use crate::actions::restore::database::CreateDatabase;
use crate::actions::restore::records::{Definitions, lines};
use crate::actions::{Artefact, World};
use crate::engine::{Cx, Failure, Gap, State};
use crate::services::hdfs::Hdfs;
use crate::services::metastore::Metastore;

/// Looks for archives of the user, and compares the chosen one with the world.
pub(in super::super) async fn discover(
    request: &Request,
    policy: &Policy,
    world: &World,
    cx: &Cx,
) -> Result<Inventory, Failure> {
    let now = jiff::Timestamp::now().as_second();
    let mut gaps = Vec::new();
    let look = Look {
        request,
        policy,
        world,
        cx,
    };
    let found = look.look(&mut gaps).await.unwrap_or_else(|failure| {
        gaps.push(gap("hdfs", Some("cluster"), &failure));
        Findings {
            from: request.from.clone(),
            ..Findings::default()
        }
    });
    if cx.cancel().is_cancelled() {
        return Err(Failure::interrupted());
    }
    let source = found.source.as_ref();
    let names: Vec<String> = source
        .map(|source| source.hosts.keys().cloned().collect())
        .unwrap_or_default();
    let (identities, _) = identities(world, &names).await;
    Ok(Inventory {
        user: request.user.clone(),
        now,
        account: Account::Unlisted,
        applications: Vec::new(),
        places: request.places.clone(),
        hdfs: None,
        hive: None,
        hosts: BTreeMap::new(),
        gaps,
        world: identities,
        restore: Some(found),
    })
}

struct Look<'a> {
    request: &'a Request,
    policy: &'a Policy,
    world: &'a World,
    cx: &'a Cx,
}

/// Records of an archive: its name and the folder they are in.
type Records = BTreeMap<String, String>;

impl Look<'_> {
    async fn look(&self, gaps: &mut Vec<Gap>) -> Result<Findings, Failure> {
        let mut found = Findings {
            from: self.request.from.clone(),
            ..Findings::default()
        };
        let Some(hdfs) = &self.world.hdfs else {
            return Ok(found);
        };
        found.seen = true;
        let (records, mut bare) = self.records(hdfs).await?;
        bare.retain(|name| !records.contains_key(name));
        found.bare = bare;
        found.archives = records.keys().cloned().collect();
        let chosen = match (&self.request.from, found.archives.as_slice()) {
            (Some(from), _) => records.get_key_value(from),
            (None, [only]) => records.get_key_value(only),
            (None, _) => None,
        };
        let Some((name, folder)) = chosen else {
            return Ok(found);
        };
        let mut source = Source {
            name: name.clone(),
            archive: format!("{}/{name}", self.policy.archive),
            records: folder.clone(),
            trashless: hdfs.defaults().await?.trash_interval == 0,
            ..Source::default()
        };
        self.manifests(hdfs, &mut source).await?;
        let places = &self.request.places;
        if source.faults.is_empty() && places.has(Place::Hdfs) {
            self.moves(hdfs, &mut source).await?;
            self.trash(hdfs, &mut source).await?;
            if let Some(metastore) = &self.world.metastore {
                let hive = self.hive(hdfs, metastore, &mut source).await;
                if let Err(failure) = hive {
                    gaps.push(gap("hive", Some("cluster"), &failure));
                }
            }
        }
        if source.faults.is_empty() && places.has(Place::Hosts) {
            let (world, cx) = (self.world, self.cx);
            gaps.extend(hosts::look(self.request, self.policy, world, cx, &mut source).await?);
        }
        found.source = Some(source);
        Ok(found)
    }

    /// Every archive of the user that has records, wherever these are; and the names of those
    /// that have none.
    async fn records(&self, hdfs: &Hdfs) -> Result<(Records, Vec<String>), Failure> {
        let user = &self.request.user;
        let (mut records, mut bare) = (Records::new(), Vec::new());
        if hdfs.stat(&self.policy.archive).await?.is_none() {
            return Ok((records, bare));
        }
        for status in hdfs.list(&self.policy.archive).await? {
            let name = status.path.rsplit('/').next().unwrap_or_default();
            if !status.is_dir {
                continue;
            }
            if let Some(name) = look::restored_from(name) {
                if look::is_archive_of(name, user) {
                    records.insert(name.to_owned(), status.path.clone());
                }
            } else if look::is_archive_of(name, user) {
                let folder = format!("{}/.opsweek", status.path);
                if hdfs.stat(&folder).await?.is_some() {
                    records.entry(name.to_owned()).or_insert(folder);
                } else {
                    bare.push(name.to_owned());
                }
            }
        }
        // Somebody may have moved the whole of it back by hand.
        let home = format!("{}/{user}", self.policy.homes);
        let folder = format!("{home}/.opsweek");
        let text = match hdfs.stat(&format!("{folder}/manifest.json")).await? {
            Some(status) => hdfs.read_all(&status.path, manifest::LARGEST).await?,
            None => return Ok((records, bare)),
        };
        let moves = manifest::read(&text).unwrap_or_default().moves;
        let archive = moves.iter().find(|(from, _)| *from == home);
        let name = archive
            .and_then(|(_, to)| to.strip_prefix(&self.policy.archive)?.strip_prefix('/'))
            .filter(|name| look::is_archive_of(name, user));
        if let Some(name) = name {
            records.entry(name.to_owned()).or_insert(folder);
        }
        Ok((records, bare))
    }

    /// Each run's manifest, checked.
    async fn manifests(&self, hdfs: &Hdfs, source: &mut Source) -> Result<(), Failure> {
        let mut names = Vec::new();
        for status in hdfs.list(&source.records).await? {
            let name = status.path.rsplit('/').next().unwrap_or_default();
            let suffix = name
                .strip_prefix("manifest")
                .and_then(|rest| rest.strip_suffix(".json"));
            if let Some(suffix) = suffix {
                let number = suffix.strip_prefix('-').unwrap_or("1");
                match number.parse::<u32>() {
                    Ok(number) => names.push((number, suffix.to_owned(), status.path.clone())),
                    Err(_) => source
                        .faults
                        .push(format!("{name:?} is no manifest's name")),
                }
            }
        }
        names.sort();
        if names.is_empty() {
            source
                .faults
                .push(format!("{} holds no manifest", source.records));
        }
        for (_, suffix, path) in names {
            let text = hdfs.read_all(&path, manifest::LARGEST).await?;
            let Some(manifest) = manifest::read(&text) else {
                source.faults.push(format!("{path} is not a manifest"));
                continue;
            };
            let folders = self.folders(hdfs, source, &suffix, &manifest).await?;
            let (user, policy) = (&self.request.user, self.policy);
            let faults = manifest.faults(user, policy, &source.archive, &folders);
            let faults = faults.into_iter().map(|fault| format!("{path}: {fault}"));
            source.faults.extend(faults);
            source.runs.push((suffix, manifest));
        }
        Ok(())
    }

    /// The folders of the databases of the user that the run has recorded.
    async fn folders(
        &self,
        hdfs: &Hdfs,
        source: &Source,
        suffix: &str,
        manifest: &Manifest,
    ) -> Result<Vec<String>, Failure> {
        let mut folders = Vec::new();
        if manifest.databases.is_empty() {
            return Ok(folders);
        }
        let path = format!("{}/hive{suffix}.jsonl.zst", source.records);
        let mut lines = std::pin::pin!(lines::<Definitions>(hdfs, &path));
        while let Some(line) = lines.try_next().await? {
            let Definitions::Database { database, .. } = line else {
                continue;
            };
            if database.is_of(self.request.user.as_str())
                && self.policy.guard().database(&database.name).is_ok()
            {
                folders.extend(path_of(&database.location).map(str::to_owned));
            }
        }
        Ok(folders)
    }

    /// Which trees are still in the archive.
    async fn moves(&self, hdfs: &Hdfs, source: &mut Source) -> Result<(), Failure> {
        let all: BTreeMap<String, String> = source
            .runs
            .iter()
            .flat_map(|(_, manifest)| &manifest.moves)
            .map(|(from, to)| (to.clone(), from.clone()))
            .collect();
        let inside = format!("{}/.opsweek/", source.archive);
        // An inner path sorts after the one that it lies in.
        for (from, to) in all.into_iter().rev() {
            let now = match from.strip_prefix(&inside) {
                Some(rest) => format!("{}/{rest}", source.records),
                None => from.clone(),
            };
            let mut was = Tree::look(hdfs, &now).await?;
            if let Some(tree) = was.as_mut().filter(|tree| tree.path == source.archive) {
                let records = format!("{}/.opsweek", source.archive);
                if let Some(records) = Tree::look(hdfs, &records).await? {
                    tree.files -= records.files.min(tree.files);
                    tree.folders -= records.folders.min(tree.folders);
                    tree.bytes -= records.bytes.min(tree.bytes);
                }
            }
            let in_the_way = hdfs.stat(&to).await?.is_some();
            if was.is_some() || !in_the_way {
                source.moves.push(Back {
                    from,
                    to,
                    was,
                    in_the_way,
                });
            }
        }
        for (suffix, _) in &source.runs {
            for (name, done) in [
                ("attributes", &mut source.attributes_done),
                ("owners", &mut source.owners_done),
            ] {
                let marker = format!("{}/{name}{suffix}.json", source.records);
                if hdfs.stat(&marker).await?.is_some() {
                    done.push(suffix.clone());
                }
            }
        }
        Ok(())
    }

    /// Where in the acting user's trash the parts of the home are that went there: by what the
    /// record says of them, since others may have had the same name.
    async fn trash(&self, hdfs: &Hdfs, source: &mut Source) -> Result<(), Failure> {
        let home = format!("{}/{}", self.policy.homes, self.request.user);
        let home_is_back = !source.moves.iter().any(|back| back.to == home);
        let runs = source.runs.clone();
        for (suffix, manifest) in &runs {
            if manifest.trashed.is_empty() || source.attributes_done.contains(suffix) {
                continue;
            }
            let wanted = self.recorded(hdfs, source, suffix, manifest).await?;
            for (original, (tree, modified)) in wanted {
                if home_is_back && hdfs.stat(&original).await?.is_some() {
                    continue;
                }
                let name = original.rsplit('/').next().unwrap_or_default();
                let place = format!("{}/{name}", source.archive);
                let found = self.in_trash(hdfs, &place, &tree, modified).await?;
                match found {
                    Some(tree) => source.trash.push(Trashed {
                        path: original,
                        tree,
                    }),
                    None => source.lost.push(original),
                }
            }
        }
        Ok(())
    }

    /// What the record says of the parts that went to the trash, and when each was changed.
    async fn recorded(
        &self,
        hdfs: &Hdfs,
        source: &Source,
        suffix: &str,
        manifest: &Manifest,
    ) -> Result<BTreeMap<String, (Tree, u64)>, Failure> {
        let home = format!("{}/{}", self.policy.homes, self.request.user);
        let mut parts: BTreeMap<String, (Tree, u64)> = BTreeMap::new();
        let path = format!("{}/hdfs{suffix}.jsonl.zst", source.records);
        let mut lines = std::pin::pin!(lines::<Line>(hdfs, &path));
        while let Some(line) = lines.try_next().await? {
            let trashed = |part: &&String| lies_in(&line.path, part);
            let Some(part) = manifest.trashed.iter().find(trashed) else {
                continue;
            };
            if !lies_in(part, &home) {
                continue;
            }
            if line.path == *part {
                let tree = Tree {
                    path: line.path.clone(),
                    owner: line.owner,
                    group: line.group,
                    mode: line.mode,
                    files: u64::from(!line.folder),
                    folders: u64::from(line.folder),
                    bytes: line.len,
                    leaves: Vec::new(),
                };
                parts.insert(line.path, (tree, line.modified));
            } else if let Some((tree, _)) = parts.get_mut(part) {
                tree.files += u64::from(!line.folder);
                tree.folders += u64::from(line.folder);
                tree.bytes += line.len;
            }
        }
        Ok(parts)
    }

    async fn in_trash(
        &self,
        hdfs: &Hdfs,
        place: &str,
        tree: &Tree,
        modified: u64,
    ) -> Result<Option<Tree>, Failure> {
        let trash = format!("{}/{}/.Trash", self.policy.homes, hdfs.user());
        if hdfs.stat(&trash).await?.is_none() {
            return Ok(None);
        }
        let mut found = None;
        let (folder, _) = place.rsplit_once('/').unwrap_or_default();
        // Current sorts after the times of older ones.
        for checkpoint in hdfs.list(&trash).await? {
            let folder = format!("{}{folder}", checkpoint.path);
            if hdfs
                .stat(&folder)
                .await?
                .is_none_or(|status| !status.is_dir)
            {
                continue;
            }
            // Within the folder of the archive: the part's name, or with a time appended.
            let archive = format!("{}{place}", checkpoint.path);
            for status in hdfs.list(&folder).await? {
                let time = status.path.strip_prefix(&archive);
                let namesake = time.is_some_and(|time| time.bytes().all(|b| b.is_ascii_digit()));
                if !namesake || status.modified_ms != modified {
                    continue;
                }
                let now = Tree::look(hdfs, &status.path).await?;
                let same = |now: &Tree| {
                    let there = now.path.clone();
                    *now == Tree {
                        path: there,
                        ..tree.clone()
                    }
                };
                found = now.filter(same).or(found);
            }
        }
        Ok(found)
    }

    async fn hive(
        &self,
        hdfs: &Hdfs,
        metastore: &Metastore,
        source: &mut Source,
    ) -> Result<(), Failure> {
        self.databases(hdfs, source).await?;
        self.inside(metastore, source).await?;
        self.given(hdfs, metastore, source).await
    }

    /// The databases as the last run that recorded them has them, with what only earlier ones
    /// have: a drop that was cut short leaves a later run the rest.
    async fn databases(&self, hdfs: &Hdfs, source: &mut Source) -> Result<(), Failure> {
        let mut all: BTreeMap<String, CreateDatabase> = BTreeMap::new();
        let mut tables = BTreeSet::new();
        for (suffix, manifest) in source.runs.iter().rev() {
            if manifest.databases.is_empty() {
                continue;
            }
            let name = format!("hive{suffix}.jsonl.zst");
            let record = Artefact {
                staged: format!("{}/{name}", source.records),
                settled: format!("{}/{name}", source.settled()),
            };
            let mut lines = std::pin::pin!(lines::<Definitions>(hdfs, &record.staged));
            while let Some(line) = lines.try_next().await? {
                match line {
                    Definitions::Database { database, .. } => {
                        let name = database.name.clone();
                        let earlier = all.get_mut(&name).map(|create| &mut create.earlier);
                        if let Some(earlier) = earlier {
                            earlier.push(record.clone());
                            continue;
                        }
                        let create = CreateDatabase {
                            name: database.name,
                            owner: self.request.user.to_string(),
                            tables: 0,
                            record: record.clone(),
                            earlier: Vec::new(),
                            shelter: self.policy.archive.clone(),
                        };
                        all.insert(name, create);
                    }
                    Definitions::Table { table } => {
                        if let Some(create) = all.get_mut(&table.database)
                            && tables.insert((table.database, table.name))
                        {
                            create.tables += 1;
                        }
                    }
                    _ => {}
                }
            }
        }
        for create in all.into_values() {
            match create.observe(self.world).await? {
                State::Done => {}
                State::Drifted(why) => source.different.push(why),
                State::Pending | State::Waiting(_) => source.databases.push(create),
            }
        }
        Ok(())
    }

    /// Whoever's tables they are: what points into the archive points into nothing afterwards.
    async fn inside(&self, metastore: &Metastore, source: &mut Source) -> Result<(), Failure> {
        let names = metastore.databases().await?;
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let places = [source.archive.clone()];
        let mut tables = BTreeSet::new();
        let mut locations = metastore.locations(&names, &places);
        while let Some(location) = locations.try_next().await? {
            let in_archive = path_of(&location.location).is_some_and(|path| {
                lies_in(path, &source.archive) && source.origin(path).is_some()
            });
            if in_archive {
                tables.insert((location.database, location.table));
            }
        }
        for (database, table) in tables {
            if let Some(found) = metastore.table(&database, &table).await? {
                let was = TableEvidence::of(&found);
                source.inside.push((database, table, was));
            }
        }
        Ok(())
    }

    /// Tables that were given away, if they still are whose they were given to.
    async fn given(
        &self,
        hdfs: &Hdfs,
        metastore: &Metastore,
        source: &mut Source,
    ) -> Result<(), Failure> {
        let user = self.request.user.as_str();
        for (suffix, manifest) in source.runs.clone() {
            for given in &manifest.given {
                let id = format!("{}.{}", given.database, given.table);
                let table = metastore.table(&given.database, &given.table).await?;
                let Some(table) = table.filter(|table| table.create_time == given.created) else {
                    let note = format!("{id} was dropped since, or made again: left as it is");
                    source.notes.push(note);
                    continue;
                };
                if table.owner != user && Some(&table.owner) != manifest.new_owner.as_ref() {
                    let note = format!("{id} is {}'s by now: left as it is", table.owner);
                    source.notes.push(note);
                    continue;
                }
                // It may be in the archive still, and may have been when it was given away.
                let back = |path: &str| source.origin(path).unwrap_or_else(|| path.to_owned());
                let here = table.location.as_deref().and_then(path_of);
                let here = here.filter(|path| given.path.as_deref().map(back) == Some(back(path)));
                if let Some(here) = here
                    && hdfs.stat(here).await?.is_some()
                {
                    let path = back(here);
                    let folders = source.given_folders.entry(suffix.clone()).or_default();
                    if !folders.iter().any(|known| lies_in(&path, known)) {
                        folders.push(path);
                    }
                }
                if table.owner != user {
                    source.given.push(GivenBack {
                        database: given.database.clone(),
                        table: given.table.clone(),
                        was: TableEvidence::of(&table),
                    });
                }
            }
        }
        Ok(())
    }
}
