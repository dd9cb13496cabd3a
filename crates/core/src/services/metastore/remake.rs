//! Databases, tables, partitions and functions made again from their records.
//!
//! The metastore makes a folder for whatever it creates with a location. So everything is
//! created without one (tables as views, which have none, databases at a folder that is there)
//! and then altered to what it was, which touches no file. Until then a mark among its
//! parameters says that it is not whole.

use std::collections::BTreeMap;

use super::change::as_it_is;
use super::gen_hive::{self as wire, TThriftHiveMetastoreSyncClient};
use super::read::{absent, encoded};
use super::record::{DatabaseRecord, FunctionRecord, PartitionRecord, TableRecord};
use super::text::partition_name;
use super::types::keys;
use super::{Error, Metastore};

/// The parameter of what is not whole yet.
const MARK: &str = "opsweek.restoring";
/// The parameter that says when a definition was last changed: not part of it.
const CHANGED: &str = "transient_lastDdlTime";
const VIEW: &str = "VIRTUAL_VIEW";

/// What there is, compared with a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Likeness {
    /// Nothing of that name.
    Missing,
    /// Something that an earlier restore has begun.
    Unfinished,
    /// The same, but for when it was made.
    Same,
    /// Something else; says what differs first.
    Different(&'static str),
}

impl TableRecord {
    /// The same table without files: a view of nothing, marked.
    fn shell(&self) -> wire::Table {
        let mut table = self.0.clone();
        table.table_type = Some(VIEW.to_owned());
        if let Some(sd) = &mut table.sd {
            sd.location = None;
        }
        mark(&mut table.parameters);
        table
    }

    pub(super) fn keys(&self) -> Vec<String> {
        keys(&self.0)
    }

    fn like(&self, found: Option<&wire::Table>) -> Likeness {
        let Some(found) = found else {
            return Likeness::Missing;
        };
        if is_marked(found.parameters.as_ref()) {
            return Likeness::Unfinished;
        }
        let record = &self.0;
        first([
            (found.owner == record.owner, "owner"),
            (found.table_type == record.table_type, "kind"),
            (
                same_storage(found.sd.as_ref(), record.sd.as_ref()),
                "storage",
            ),
            (
                found.partition_keys == record.partition_keys,
                "partition keys",
            ),
            (
                map(found.parameters.as_ref()) == map(record.parameters.as_ref()),
                "properties",
            ),
            (
                text(found.view_original_text.as_ref()) == text(record.view_original_text.as_ref()),
                "text",
            ),
            (found.retention == record.retention, "retention"),
        ])
    }

    /// A table whose files the metastore never makes, unless it is created as what it is.
    fn is_view(&self) -> bool {
        self.0.table_type.as_deref() == Some(VIEW)
    }
}

/// What a record needs that only [`DatabaseRecord`] and [`FunctionRecord`] read.
impl Metastore {
    /// A database as thrift's binary protocol has it, in base64; `None` when there is none of
    /// that name.
    pub async fn database_thrift(&self, name: &str) -> Result<Option<String>, Error> {
        let database = self.wire_database(name).await?;
        let encode = |database| encoded(&database, || format!("database {name}"));
        database.map(encode).transpose()
    }

    /// A database's functions, each in thrift's form; none for a database that is not there.
    pub async fn functions_thrift(&self, database: &str) -> Result<Vec<String>, Error> {
        let name = database.to_owned();
        let names = self.call(format!("functions of {database}"), move |client| {
            client.get_functions(name.clone(), "*".to_owned())
        });
        let mut all = Vec::new();
        for name in absent(names.await)?.unwrap_or_default() {
            if let Some(function) = self.wire_function(database, &name).await? {
                all.push(encoded(&function, || {
                    format!("function {database}.{name}")
                })?);
            }
        }
        Ok(all)
    }

    async fn wire_database(&self, name: &str) -> Result<Option<wire::Database>, Error> {
        let database = name.to_owned();
        let found = self.call(format!("database {name}"), move |client| {
            client.get_database(database.clone())
        });
        absent(found.await)
    }

    async fn wire_function(
        &self,
        database: &str,
        name: &str,
    ) -> Result<Option<wire::Function>, Error> {
        let what = format!("function {database}.{name}");
        let (database, name) = (database.to_owned(), name.to_owned());
        let found = self.call(what, move |client| {
            client.get_function(database.clone(), name.clone())
        });
        absent(found.await)
    }

    /// How the database of that name is like the record; its tables are not looked at.
    pub async fn like_database(&self, record: &DatabaseRecord) -> Result<Likeness, Error> {
        let Some(found) = self.wire_database(record.name()).await? else {
            return Ok(Likeness::Missing);
        };
        if is_marked(found.parameters.as_ref()) {
            return Ok(Likeness::Unfinished);
        }
        let record = &record.0;
        Ok(first([
            (found.owner_name == record.owner_name, "owner"),
            (found.owner_type == record.owner_type, "kind of owner"),
            (found.location_uri == record.location_uri, "location"),
            (
                text(found.description.as_ref()) == text(record.description.as_ref()),
                "comment",
            ),
            (
                map(found.parameters.as_ref()) == map(record.parameters.as_ref()),
                "properties",
            ),
        ]))
    }

    /// Makes the database, or marks the one that is there, as not whole. `shelter`: the URI of a
    /// folder that exists, for the moment until it has its own location.
    pub async fn begin_database(
        &self,
        record: &DatabaseRecord,
        shelter: &str,
    ) -> Result<(), Error> {
        let mut marked = record.0.clone();
        mark(&mut marked.parameters);
        if self.wire_database(record.name()).await?.is_none() {
            let mut created = marked.clone();
            created.location_uri = Some(shelter.to_owned());
            let what = format!("making the database {}", record.name());
            let made = self.call(what, move |client| client.create_database(created.clone()));
            if let Err(error) = made.await {
                // A call that was made twice finds what the first made.
                if self.like_database(record).await? != Likeness::Unfinished {
                    return Err(error);
                }
            }
        }
        self.alter_database(marked).await
    }

    /// Says that the database is whole.
    pub async fn end_database(&self, record: &DatabaseRecord) -> Result<(), Error> {
        self.alter_database(record.0.clone()).await
    }

    async fn alter_database(&self, database: wire::Database) -> Result<(), Error> {
        let name = database.name.clone().unwrap_or_default();
        self.call(format!("change of the database {name}"), move |client| {
            client.alter_database(name.clone(), database.clone())
        })
        .await
    }

    /// How the table of that name is like the record; its partitions are not looked at.
    pub async fn like_table(&self, record: &TableRecord) -> Result<Likeness, Error> {
        let found = self.wire_table(record.database(), record.name()).await?;
        Ok(record.like(found.as_ref()))
    }

    /// The same of many tables of one database, in the records' order, by few calls.
    pub async fn like_tables(
        &self,
        database: &str,
        records: &[TableRecord],
    ) -> Result<Vec<Likeness>, Error> {
        let names: Vec<String> = records.iter().map(|one| one.name().to_owned()).collect();
        let found = self.wire_tables(database, &names).await?;
        let by_name = |table: wire::Table| Some((table.table_name.clone()?, table));
        let found: BTreeMap<String, wire::Table> = found.into_iter().filter_map(by_name).collect();
        let like = |record: &TableRecord| record.like(found.get(record.name()));
        Ok(records.iter().map(like).collect())
    }

    /// Makes the table without files; a view is whole at once.
    pub async fn begin_table(&self, record: &TableRecord) -> Result<(), Error> {
        let table = if record.is_view() {
            record.0.clone()
        } else {
            record.shell()
        };
        let what = format!("making the table {}.{}", record.database(), record.name());
        let made = self.call(what, move |client| client.create_table(table.clone()));
        match made.await {
            // A call that was made twice finds what the first made.
            Err(error) if self.like_table(record).await? == Likeness::Missing => Err(error),
            Err(error) if matches!(self.like_table(record).await?, Likeness::Different(_)) => {
                Err(error)
            }
            _ => Ok(()),
        }
    }

    /// Gives a table that was begun its kind, location and properties.
    pub async fn end_table(&self, record: &TableRecord) -> Result<(), Error> {
        self.alter_table(record.database(), record.name(), record.0.clone())
            .await
    }

    /// How those partitions that are there are like their records, in the records' order.
    pub async fn like_partitions(
        &self,
        table: &TableRecord,
        records: &[PartitionRecord],
    ) -> Result<Vec<Likeness>, Error> {
        let keys = table.keys();
        let names: Vec<String> = records
            .iter()
            .map(|record| partition_name(&keys, &record.0))
            .collect();
        let asked = names.clone();
        let (database, name) = (table.database().to_owned(), table.name().to_owned());
        let found = self.call(format!("partitions of {database}.{name}"), move |client| {
            client.get_partitions_by_names(database.clone(), name.clone(), asked.clone())
        });
        let found = absent(found.await)?.unwrap_or_default();
        let found: BTreeMap<String, wire::Partition> = found
            .into_iter()
            .map(|partition| (partition_name(&keys, &partition), partition))
            .collect();
        let like = |(name, record): (&String, &PartitionRecord)| {
            let Some(found) = found.get(name) else {
                return Likeness::Missing;
            };
            let location = found.sd.as_ref().and_then(|sd| sd.location.as_ref());
            if location.is_none_or(String::is_empty) && !table.is_view() {
                return Likeness::Unfinished;
            }
            let record = &record.0;
            first([
                (
                    same_storage(found.sd.as_ref(), record.sd.as_ref()),
                    "storage",
                ),
                (
                    map(found.parameters.as_ref()) == map(record.parameters.as_ref()),
                    "properties",
                ),
            ])
        };
        Ok(names.iter().zip(records).map(like).collect())
    }

    /// Makes partitions of a table that was begun, without their files.
    pub async fn begin_partitions(
        &self,
        table: &TableRecord,
        records: &[PartitionRecord],
    ) -> Result<(), Error> {
        let like = self.like_partitions(table, records).await?;
        let bare = |record: &PartitionRecord| {
            let mut partition = record.0.clone();
            if let Some(sd) = &mut partition.sd {
                sd.location = None;
            }
            partition
        };
        let missing: Vec<wire::Partition> = like
            .iter()
            .zip(records)
            .filter(|(like, _)| **like == Likeness::Missing)
            .map(|(_, record)| bare(record))
            .collect();
        if missing.is_empty() {
            return Ok(());
        }
        let what = format!("partitions of {}.{}", table.database(), table.name());
        let made = self.call(what, move |client| client.add_partitions(missing.clone()));
        match made.await {
            Err(error) => {
                let like = self.like_partitions(table, records).await?;
                // A call that was made twice finds what the first made.
                if like.contains(&Likeness::Missing) {
                    return Err(error);
                }
                Ok(())
            }
            Ok(_) => Ok(()),
        }
    }

    /// Gives partitions that were begun their locations and properties.
    pub async fn end_partitions(
        &self,
        table: &TableRecord,
        records: &[PartitionRecord],
    ) -> Result<(), Error> {
        let like = self.like_partitions(table, records).await?;
        let begun: Vec<wire::Partition> = like
            .iter()
            .zip(records)
            .filter(|(like, _)| **like == Likeness::Unfinished)
            .map(|(_, record)| record.0.clone())
            .collect();
        if begun.is_empty() {
            return Ok(());
        }
        let (database, name) = (table.database().to_owned(), table.name().to_owned());
        let what = format!("change of partitions of {database}.{name}");
        self.call(what, move |client| {
            client.alter_partitions_with_environment_context(
                database.clone(),
                name.clone(),
                begun.clone(),
                as_it_is(),
            )
        })
        .await
    }

    /// How the function of that name is like the record.
    pub async fn like_function(&self, record: &FunctionRecord) -> Result<Likeness, Error> {
        let found = self.wire_function(record.database(), record.name()).await?;
        let Some(found) = found else {
            return Ok(Likeness::Missing);
        };
        let record = &record.0;
        Ok(first([
            (found.class_name == record.class_name, "class"),
            (found.owner_name == record.owner_name, "owner"),
            (found.resource_uris == record.resource_uris, "resources"),
        ]))
    }

    /// Makes the function.
    pub async fn make_function(&self, record: &FunctionRecord) -> Result<(), Error> {
        let function = record.0.clone();
        let what = format!(
            "making the function {}.{}",
            record.database(),
            record.name()
        );
        let made = self.call(what, move |client| client.create_function(function.clone()));
        match made.await {
            Err(error) if self.like_function(record).await? != Likeness::Same => Err(error),
            _ => Ok(()),
        }
    }
}

fn mark(parameters: &mut Option<BTreeMap<String, String>>) {
    let parameters = parameters.get_or_insert_default();
    parameters.insert(MARK.to_owned(), "true".to_owned());
}

fn is_marked(parameters: Option<&BTreeMap<String, String>>) -> bool {
    parameters.is_some_and(|parameters| parameters.contains_key(MARK))
}

/// The first thing that is not the same.
fn first<const N: usize>(checks: [(bool, &'static str); N]) -> Likeness {
    checks
        .into_iter()
        .find(|(same, _)| !same)
        .map_or(Likeness::Same, |(_, what)| Likeness::Different(what))
}

fn text(text: Option<&String>) -> &str {
    text.map(String::as_str).unwrap_or_default()
}

fn map(parameters: Option<&BTreeMap<String, String>>) -> BTreeMap<&str, &str> {
    let parameters = parameters.into_iter().flatten();
    parameters
        .filter(|(key, _)| *key != CHANGED)
        .map(|(key, value)| (key.as_str(), value.as_str()))
        .collect()
}

/// Where an absent location and an empty one are the same.
fn same_storage(
    one: Option<&wire::StorageDescriptor>,
    other: Option<&wire::StorageDescriptor>,
) -> bool {
    let plain = |sd: &wire::StorageDescriptor| {
        let mut sd = sd.clone();
        sd.location = sd.location.filter(|location| !location.is_empty());
        sd
    };
    one.map(plain) == other.map(plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shell_has_no_files_and_says_that_it_is_one() {
        let table = TableRecord(wire::Table {
            table_type: Some("MANAGED_TABLE".into()),
            sd: Some(wire::StorageDescriptor {
                location: Some("hdfs://nn/user/elvis/t".into()),
                ..Default::default()
            }),
            ..Default::default()
        });
        let shell = table.shell();
        assert_eq!(shell.sd.unwrap().location, None);
        assert!(is_marked(shell.parameters.as_ref()));
        assert_eq!(shell.table_type.as_deref(), Some(VIEW));
    }
}
