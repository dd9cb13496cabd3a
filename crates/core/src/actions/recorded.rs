//! Whether a database still is what an archive's record says of it: what is dropped can only be
//! made again by that.

use std::collections::{BTreeSet, HashSet};

use futures::TryStreamExt;

use super::restore::records::{Definitions, lines};
use crate::engine::Failure;
use crate::services::hdfs::Hdfs;
use crate::services::metastore::{
    DatabaseRecord, Likeness, Metastore, PartitionRecord, TableRecord,
};

/// How many tables, or partitions, are compared by one call.
const BATCH: usize = 500;

/// What there is in the database `name` that its record at `path` in HDFS does not have, or has
/// differently; `None` when there is nothing. `names`: the tables that are there. That there are
/// fewer than were recorded is no matter: a drop may have been cut short.
pub(super) async fn change(
    hdfs: &Hdfs,
    metastore: &Metastore,
    name: &str,
    names: &[String],
    path: &str,
) -> Result<Option<String>, Failure> {
    let mut compared = Compared {
        metastore,
        name,
        unrecorded: names.iter().cloned().collect(),
        tables: Vec::new(),
        table: None,
        partitions: Vec::new(),
        same: 0,
    };
    let mut database = Likeness::Missing;
    let mut functions = HashSet::new();
    let mut lines = std::pin::pin!(lines::<Definitions>(hdfs, path));
    while let Some(line) = lines.try_next().await? {
        let change = match line {
            Definitions::Database {
                database: of,
                thrift,
            } if of.name == name => {
                let record = thrift.as_deref().map(DatabaseRecord::decode).transpose()?;
                if let Some(record) = record {
                    database = metastore.like_database(&record).await?;
                }
                None
            }
            Definitions::Table { table } if table.database == name => {
                let change = compared.end_of_table().await?;
                if compared.unrecorded.remove(&table.name) {
                    compared.begin_table(TableRecord::decode(&table.thrift)?);
                }
                match change {
                    None if compared.tables.len() == BATCH => compared.end_of_tables().await?,
                    change => change,
                }
            }
            Definitions::Partition {
                database,
                partition,
                ..
            } if database == name => {
                let record = PartitionRecord::decode(&partition.thrift)?;
                compared.partition(record).await?
            }
            Definitions::Function { database, function } if database == name => {
                functions.insert(function);
                None
            }
            _ => None,
        };
        if change.is_some() {
            return Ok(change);
        }
    }
    if let Some(change) = compared.end_of_table().await? {
        return Ok(Some(change));
    }
    if let Some(change) = compared.end_of_tables().await? {
        return Ok(Some(change));
    }
    if database != Likeness::Same {
        return Ok(Some(format!("the database {name}")));
    }
    if let Some(table) = compared.unrecorded.first() {
        return Ok(Some(format!("the table {name}.{table}")));
    }
    let now = metastore.functions_thrift(name).await?;
    let new = now.iter().any(|function| !functions.contains(function));
    Ok(new.then(|| format!("a function of {name}")))
}

/// The record, as far as it was read.
struct Compared<'a> {
    metastore: &'a Metastore,
    name: &'a str,
    /// Tables that are there and that no line has named so far.
    unrecorded: BTreeSet<String>,
    /// Tables that are there and yet to be compared.
    tables: Vec<TableRecord>,
    /// The table that partitions are now of, if it is there.
    table: Option<TableRecord>,
    /// Partitions of it that are yet to be compared.
    partitions: Vec<PartitionRecord>,
    /// How many of its partitions are there as they were.
    same: usize,
}

impl Compared<'_> {
    fn begin_table(&mut self, table: TableRecord) {
        self.tables.push(table.clone());
        self.table = Some(table);
    }

    async fn partition(&mut self, record: PartitionRecord) -> Result<Option<String>, Failure> {
        if self.table.is_none() {
            return Ok(None);
        }
        self.partitions.push(record);
        if self.partitions.len() == BATCH {
            return self.end_of_partitions().await;
        }
        Ok(None)
    }

    async fn end_of_partitions(&mut self) -> Result<Option<String>, Failure> {
        let records = std::mem::take(&mut self.partitions);
        let (Some(table), false) = (&self.table, records.is_empty()) else {
            return Ok(None);
        };
        for like in self.metastore.like_partitions(table, &records).await? {
            match like {
                Likeness::Same => self.same += 1,
                Likeness::Missing => {}
                Likeness::Unfinished | Likeness::Different(_) => {
                    return Ok(Some(format!(
                        "a partition of {}.{}",
                        self.name,
                        table.name()
                    )));
                }
            }
        }
        Ok(None)
    }

    async fn end_of_table(&mut self) -> Result<Option<String>, Failure> {
        if let Some(change) = self.end_of_partitions().await? {
            return Ok(Some(change));
        }
        let same = std::mem::take(&mut self.same);
        let Some(table) = self.table.take() else {
            return Ok(None);
        };
        let now = self.metastore.count_partitions(&table).await?;
        let new = now > same;
        Ok(new.then(|| format!("a partition of {}.{}", self.name, table.name())))
    }

    async fn end_of_tables(&mut self) -> Result<Option<String>, Failure> {
        let tables = std::mem::take(&mut self.tables);
        let like = self.metastore.like_tables(self.name, &tables).await?;
        let changed = |like: &Likeness| !matches!(like, Likeness::Same | Likeness::Missing);
        let changed = like.iter().position(changed);
        Ok(changed.map(|at| format!("the table {}.{}", self.name, tables[at].name())))
    }
}
