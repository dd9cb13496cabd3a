//! The user's databases and tables, and whoever else has files in the user's places.

use std::collections::BTreeMap;

use futures::stream::{self, StreamExt, TryStreamExt};

use super::super::inventory::{
    DatabaseFound, DatabaseInside, Elsewhere, Found, HdfsFindings, HiveFindings, Inside,
    TableFound, TableKind,
};
use super::super::moving::TableMove;
use super::super::policy::Policy;
use super::super::shared::Shared;
use super::hdfs::newest;
use super::moving;
use crate::actions::guard::{UserName, lies_in, path_fault};
use crate::actions::hdfs::Tree;
use crate::actions::hive::{DatabaseEvidence, TableEvidence, path_of};
use crate::engine::{Cx, Failure};
use crate::services::hdfs::Hdfs;
use crate::services::metastore::{Database, Kind, Metastore, Table};

/// How many tables' folders are looked at at once.
const CONCURRENCY: usize = 16;
/// How many of the user's databases are looked at at once.
const DATABASES: usize = 4;

/// One look at the metastore.
pub(in super::super) struct Hive<'a> {
    pub(in super::super) metastore: &'a Metastore,
    pub(in super::super) hdfs: Option<&'a Hdfs>,
    pub(in super::super) user: &'a UserName,
    pub(in super::super) move_tables: &'a [TableMove],
    pub(in super::super) policy: &'a Policy,
    pub(in super::super) shared: &'a Shared,
    pub(in super::super) cx: &'a Cx,
}

/// The user's own databases, and which tables of each have partitions.
pub(in super::super) struct Own {
    databases: Vec<DatabaseFound>,
    partitioned: Vec<Partitioned>,
}

/// Tables that have partitions, with the names of their keys.
type Partitioned = BTreeMap<String, Vec<String>>;

impl Hive<'_> {
    /// What can be found out before it is known what lies in HDFS: the user's databases. What
    /// all looks share is asked for meanwhile, for [`Hive::look`].
    pub(in super::super) async fn own(&self) -> Result<Own, Failure> {
        let all = self.shared.databases(self.metastore).await?;
        let own: Vec<&Database> = all
            .iter()
            .filter(|one| one.is_of(self.user.as_str()))
            .collect();
        // Whoever has no database may have nothing at all, and then nobody asks where others'
        // tables lie.
        let locations = async {
            if !own.is_empty() {
                let _ = self.shared.locations(self.metastore, self.policy).await;
            }
        };
        let databases = async {
            let found: Vec<(DatabaseFound, Partitioned)> = stream::iter(0..own.len())
                .map(|index| self.database(own[index], all))
                .buffered(DATABASES)
                .try_collect()
                .await?;
            let (databases, partitioned) = found.into_iter().unzip();
            Ok(Own {
                databases,
                partitioned,
            })
        };
        // What fails here is told to whoever needs it.
        let (databases, (), _, _) = tokio::join!(
            databases,
            locations,
            self.shared.owned(self.metastore),
            self.shared.views(self.metastore),
        );
        databases
    }

    /// Puts that together with what lies in HDFS.
    pub(in super::super) async fn look(
        &self,
        found: Own,
        hdfs: Option<&HdfsFindings>,
    ) -> Result<HiveFindings, Failure> {
        let all = self.shared.databases(self.metastore).await?;
        let user = self.user.as_str();
        let (own, others): (Vec<&Database>, Vec<&Database>) =
            all.iter().partition(|database| database.is_of(user));
        let home = match hdfs {
            Some(hdfs) => hdfs.home.as_ref().map(|home| home.tree.path.clone()),
            // Where it would be: it was not asked for.
            None => Some(format!("{}/{user}", self.policy.homes)),
        };
        let partitioned = found.partitioned;
        let mut found = HiveFindings {
            databases: found.databases,
            owners: all.iter().map(|database| database.owner.clone()).collect(),
            ..HiveFindings::default()
        };
        let included = hdfs.into_iter().flat_map(HdfsFindings::elsewhere);
        let places: Vec<String> = home
            .into_iter()
            .chain(included.map(|tree| tree.path.clone()))
            .collect();
        // What lies in the folder of a database of the user, that one tells: it is shared.
        let inside = others.iter().filter_map(|database| {
            let path = path_of(&database.location)?;
            let inside = places.iter().any(|place| lies_in(path, place));
            inside.then(|| DatabaseInside {
                name: database.name.clone(),
                owner: database.owner.clone(),
                path: path.to_owned(),
            })
        });
        found.databases_inside = inside.collect();
        let places: Vec<String> = places
            .into_iter()
            .chain(found.databases.iter().filter_map(|d| d.path.clone()))
            .collect();
        found.moving = moving::look(self, &mut found.databases, &own, all, &places).await?;
        let mut elsewhere = Vec::new();
        let mut partitions = Vec::new();
        // What was in a home that an earlier run has moved is not elsewhere.
        let moved = format!("{}/{user}", self.policy.homes);
        let own_places = [&places[..], &[moved]].concat();
        for (database, partitioned) in found.databases.iter().zip(&partitioned) {
            let (outside, count) = self.elsewhere(database, partitioned, &own_places).await?;
            elsewhere.extend(self.folder_elsewhere(database, &own_places).await?);
            elsewhere.extend(outside);
            partitions.push(count);
        }
        let others: Vec<&str> = others
            .iter()
            .map(|database| database.name.as_str())
            .collect();
        if let Some(tables) = self.shared.owned(self.metastore).await?.get(user) {
            for table in tables {
                let given = self.table(table).await?;
                if !table.partition_keys.is_empty() {
                    // The files in its folder go to whoever gets the table.
                    let with_table = [&own_places[..], given.path.as_slice()].concat();
                    let keys = [(table.name.clone(), table.partition_keys.clone())].into();
                    let (outside, _) = self.elsewhere_of(&given, &keys, &with_table).await?;
                    elsewhere.extend(outside);
                }
                found.tables.push(given);
            }
        }
        // Tables that an earlier run has pointed to the archive it began.
        let begun = hdfs
            .and_then(HdfsFindings::begun)
            .map(|archive| archive.tree.path.as_str());
        let begun = begun.map(str::to_owned);
        let places: Vec<String> = places.into_iter().chain(begun).collect();
        for (database, count) in found.databases.iter_mut().zip(partitions) {
            database.partitions = count;
        }
        found.inside = self.inside(&others, &places).await?;
        if !own.is_empty() {
            let is_own = |name: &str| own.iter().any(|database| database.name == name);
            let views = self.shared.views(self.metastore).await?.iter();
            let views = views.filter(|(view, target)| {
                let database = view.split_once('.').map_or("", |(database, _)| database);
                is_own(target) && !is_own(database)
            });
            found.views = views.map(|(view, _)| view.clone()).collect();
            found.views.dedup();
        }
        found.elsewhere = elsewhere;
        Ok(found)
    }

    /// A database of the user, and which of its tables have partitions.
    async fn database(
        &self,
        database: &Database,
        all: &[Database],
    ) -> Result<(DatabaseFound, Partitioned), Failure> {
        let names = self.metastore.table_names(&database.name).await?;
        let tables = self.metastore.tables(&database.name, &names).await?;
        let path = path_of(&database.location).filter(|path| self.is_own_folder(path));
        let shared = path.and_then(|path| {
            let shares = |other: &&Database| {
                other.name != database.name
                    && path_of(&other.location).is_some_and(|other| lies_in(other, path))
            };
            let other = all.iter().find(shares)?;
            Some(format!(
                "its folder {path} holds the database {}",
                other.name
            ))
        });
        let data = async {
            match path {
                Some(path) => self.found(path).await,
                None => Ok(None),
            }
        };
        let looks = stream::iter(0..tables.len()).map(|index| self.table(&tables[index]));
        let looks = looks.buffered(CONCURRENCY).try_collect::<Vec<_>>();
        let (data, looked) = tokio::try_join!(data, looks)?;
        let found = DatabaseFound {
            was: DatabaseEvidence::of(database, &tables),
            path: path.map(str::to_owned),
            data,
            tables: looked,
            partitions: 0,
            shared,
        };
        let keys = tables.into_iter().map(|it| (it.name, it.partition_keys));
        Ok((found, keys.filter(|(_, keys)| !keys.is_empty()).collect()))
    }

    /// Whether a database's folder can be the database's alone: one of the warehouse or of
    /// the home, not these themselves.
    fn is_own_folder(&self, path: &str) -> bool {
        let home = format!("{}/{}", self.policy.homes, self.user);
        path_fault(path).is_none()
            && [&self.policy.warehouse, &home]
                .into_iter()
                .any(|root| lies_in(path, root) && path != root)
    }

    async fn found(&self, path: &str) -> Result<Option<Found>, Failure> {
        let Some(hdfs) = self.hdfs else {
            return Ok(None);
        };
        let Some(tree) = Tree::look(hdfs, path).await? else {
            return Ok(None);
        };
        let newest = newest(hdfs, &tree, self.cx).await?;
        Ok(Some(Found { tree, newest }))
    }

    async fn table(&self, table: &Table) -> Result<TableFound, Failure> {
        let kind = match table.kind() {
            Kind::View => TableKind::View,
            Kind::Iceberg => TableKind::Iceberg,
            Kind::Managed => TableKind::Managed,
            Kind::External => TableKind::External,
        };
        let path = table
            .location
            .as_deref()
            .filter(|_| kind != TableKind::View)
            .and_then(path_of)
            .filter(|path| path_fault(path).is_none());
        let data = match (self.hdfs, path) {
            (Some(hdfs), Some(path)) => Tree::look(hdfs, path).await?,
            _ => None,
        };
        Ok(TableFound {
            database: table.database.clone(),
            name: table.name.clone(),
            kind,
            was: TableEvidence::of(table),
            path: path.map(str::to_owned),
            location: table.location.clone(),
            data,
        })
    }

    /// The database's folder, where there is one outside the user's places: whatever it holds, and
    /// whoever else has something there, it stays.
    async fn folder_elsewhere(
        &self,
        database: &DatabaseFound,
        places: &[String],
    ) -> Result<Option<Elsewhere>, Failure> {
        let location = &database.was.location;
        let path = path_of(location);
        let own = |path: &str| places.iter().any(|place| lies_in(path, place));
        let there = match (self.hdfs, path) {
            (_, Some(path)) if own(path) => false,
            (Some(hdfs), Some(path)) => hdfs.stat(path).await?.is_some(),
            _ => !location.is_empty(),
        };
        Ok(there.then(|| Elsewhere {
            table: format!("the database {}", database.was.name),
            location: location.clone(),
            data: None,
        }))
    }

    /// Data of the database's tables outside the user's places: the tables' and, each for
    /// itself, that of partitions which do not lie under their table; and how many
    /// partitions there are.
    async fn elsewhere(
        &self,
        database: &DatabaseFound,
        partitioned: &Partitioned,
        places: &[String],
    ) -> Result<(Vec<Elsewhere>, u64), Failure> {
        let looks = stream::iter(0..database.tables.len())
            .map(|index| self.elsewhere_of(&database.tables[index], partitioned, places));
        let found: Vec<(Vec<Elsewhere>, u64)> = looks.buffered(CONCURRENCY).try_collect().await?;
        let count = found.iter().map(|(_, count)| count).sum();
        let all = found.into_iter().flat_map(|(outside, _)| outside);
        Ok((all.collect(), count))
    }

    async fn elsewhere_of(
        &self,
        table: &TableFound,
        partitioned: &Partitioned,
        places: &[String],
    ) -> Result<(Vec<Elsewhere>, u64), Failure> {
        let mut all = Vec::new();
        let mut count = 0;
        let own = |path: Option<&str>| {
            path.is_some_and(|path| places.iter().any(|place| lies_in(path, place)))
        };
        let Some(location) = &table.location else {
            return Ok((all, count));
        };
        if table.kind == TableKind::View {
            return Ok((all, count));
        }
        if !own(table.path.as_deref()) {
            all.push(Elsewhere {
                table: table.id(),
                location: location.clone(),
                data: table.data.clone(),
            });
        }
        let Some(keys) = partitioned.get(&table.name) else {
            return Ok((all, count));
        };
        let partitions = self
            .metastore
            .partition_folders(&table.database, &table.name, keys);
        let mut partitions = std::pin::pin!(partitions);
        while let Some(partition) = partitions.try_next().await? {
            count += 1;
            let Some(location) = partition.location else {
                continue;
            };
            let path = path_of(&location);
            let with_table = path
                .zip(table.path.as_deref())
                .is_some_and(|(path, table)| lies_in(path, table));
            if with_table || own(path) {
                continue;
            }
            let data = match (self.hdfs, path.filter(|path| path_fault(path).is_none())) {
                (Some(hdfs), Some(path)) => Tree::look(hdfs, path).await?,
                _ => None,
            };
            all.push(Elsewhere {
                table: format!("{} partition {}", table.id(), partition.name),
                location,
                data,
            });
        }
        Ok((all, count))
    }

    /// Tables of other databases whose files, or a partition's, are in one of `places`.
    async fn inside(&self, databases: &[&str], places: &[String]) -> Result<Vec<Inside>, Failure> {
        if places.is_empty() {
            return Ok(Vec::new());
        }
        let in_places = |path: &str| places.iter().any(|place| lies_in(path, place));
        let mut found: Vec<Inside> = Vec::new();
        let locations = self.shared.locations(self.metastore, self.policy).await?;
        for location in locations {
            let Some(path) = path_of(&location.location).filter(|path| in_places(path)) else {
                continue;
            };
            if !databases.contains(&location.database.as_str()) {
                continue;
            }
            let known = found.iter_mut().find(|inside| {
                inside.table.database == location.database && inside.table.name == location.table
            });
            if let Some(inside) = known {
                inside.paths.push(path.to_owned());
                continue;
            }
            let table = self
                .metastore
                .table(&location.database, &location.table)
                .await?;
            if let Some(table) = table {
                found.push(Inside {
                    table: self.table(&table).await?,
                    paths: vec![path.to_owned()],
                });
            }
        }
        Ok(found)
    }
}
