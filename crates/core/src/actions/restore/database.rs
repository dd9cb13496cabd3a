//! A database with all that was in it, from an archive's record.

use std::collections::HashSet;

use futures::{StreamExt, TryStreamExt};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::super::{Artefact, World};
use super::records::{Definitions, lines};
use crate::engine::{Cx, Failure, State};
use crate::services::hdfs::Hdfs;
use crate::services::metastore::{
    DatabaseRecord, FunctionRecord, Likeness, Metastore, PartitionRecord, TableRecord,
};

/// How many partitions are asked for or made in one call.
const BATCH: usize = 500;

/// Makes a database again, its tables, partitions and functions. The metastore touches no file.
/// What is there and the same is left; what is there and is not, is a drift.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CreateDatabase {
    /// Its name.
    pub name: String,
    /// Its owner.
    pub owner: String,
    /// How many tables it had, for people.
    pub tables: u64,
    /// The last record of its definitions.
    pub record: Artefact,
    /// Earlier ones, the latest of them first: a drop that was cut short may have left the last
    /// one little.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub earlier: Vec<Artefact>,
    /// A folder that exists, which the metastore may have for the database's own until it has
    /// been told of that.
    pub shelter: String,
}

/// One of the things in the record.
enum Thing {
    Database(DatabaseRecord),
    Table(Box<TableRecord>),
    /// Partitions of the table before.
    Partitions(Vec<PartitionRecord>),
    Function(FunctionRecord),
}

/// What the records had so far. A table goes with its partitions, in one transaction: a later
/// record that has it has them all.
#[derive(Default)]
struct Known {
    database: bool,
    tables: HashSet<String>,
    functions: HashSet<String>,
    /// The table that partitions are now of.
    table: Option<TableRecord>,
    /// Whether it had not been seen before.
    new: bool,
}

/// What is done with the things, one after the other.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Pass {
    Begin,
    End,
}

/// What is there of the things so far.
enum Seen {
    Whole,
    Part,
    Other(String),
}

impl CreateDatabase {
    pub(crate) async fn observe(&self, world: &World) -> Result<State, Failure> {
        let (hdfs, metastore) = (world.hdfs()?, world.metastore()?);
        let records = match self.find(hdfs).await? {
            Ok(records) => records,
            Err(missing) => {
                // The plan's last step gives the records up.
                let made = metastore.database(&self.name).await?.is_some();
                return Ok(if made && missing.given_up(hdfs).await? {
                    State::Done
                } else {
                    State::Waiting(missing.settled.clone())
                });
            }
        };
        Ok(match self.compare(hdfs, metastore, &records).await? {
            Seen::Whole => State::Done,
            Seen::Part => State::Pending,
            Seen::Other(why) => State::Drifted(why),
        })
    }

    /// Where its records are now, the last one first; the inner error: the first that is not there.
    async fn find(&self, hdfs: &Hdfs) -> Result<Result<Vec<&str>, &Artefact>, Failure> {
        let mut found = Vec::new();
        for record in self.records() {
            match record.find(hdfs).await? {
                Some(path) => found.push(path),
                None => return Ok(Err(record)),
            }
        }
        Ok(Ok(found))
    }

    /// All its records, the last one first.
    pub(crate) fn records(&self) -> impl Iterator<Item = &Artefact> {
        std::iter::once(&self.record).chain(&self.earlier)
    }

    async fn compare(
        &self,
        hdfs: &Hdfs,
        metastore: &Metastore,
        records: &[&str],
    ) -> Result<Seen, Failure> {
        let mut seen = Seen::Whole;
        let mut table: Option<(Box<TableRecord>, Likeness)> = None;
        let mut things = std::pin::pin!(self.things(hdfs, records));
        while let Some(thing) = things.try_next().await? {
            let (like, what) = match thing {
                Thing::Database(record) => {
                    let like = metastore.like_database(&record).await?;
                    // Nothing in it can be there, or all of it is the business of a restore.
                    if matches!(like, Likeness::Missing | Likeness::Unfinished) {
                        return Ok(Seen::Part);
                    }
                    (like, format!("the database {}", self.name))
                }
                Thing::Table(record) => {
                    let like = metastore.like_table(&record).await?;
                    let what = format!("{}.{}", self.name, record.name());
                    table = Some((record, like));
                    (like, what)
                }
                Thing::Partitions(records) => {
                    let Some((table, Likeness::Same)) = &table else {
                        continue;
                    };
                    let like = metastore.like_partitions(table, &records).await?;
                    let what = format!("partitions of {}.{}", self.name, table.name());
                    let different = like.iter().find_map(|like| match like {
                        // One that is missing in a whole table was dropped by somebody.
                        Likeness::Missing => Some("their number"),
                        Likeness::Different(what) => Some(what),
                        _ => None,
                    });
                    let unfinished = like.contains(&Likeness::Unfinished);
                    let like = match different {
                        Some(different) => Likeness::Different(different),
                        None if unfinished => Likeness::Unfinished,
                        None => Likeness::Same,
                    };
                    (like, what)
                }
                Thing::Function(record) => {
                    let like = metastore.like_function(&record).await?;
                    (
                        like,
                        format!("the function {}.{}", self.name, record.name()),
                    )
                }
            };
            match like {
                Likeness::Same => {}
                Likeness::Missing | Likeness::Unfinished => seen = Seen::Part,
                Likeness::Different(how) => {
                    return Ok(Seen::Other(format!(
                        "{what} is there, and differs from the record: {how}"
                    )));
                }
            }
        }
        Ok(seen)
    }

    pub(in crate::actions) async fn apply(&self, world: &World, cx: &Cx) -> Result<Value, Failure> {
        let (hdfs, metastore) = (world.hdfs()?, world.metastore()?);
        world.guard.database(&self.name)?;
        let gone = |record: &Artefact| Failure::drifted(format!("{} is gone", record.settled));
        let records = self.find(hdfs).await?.map_err(gone)?;
        let mut database = None;
        let mut count = 0;
        for pass in [Pass::Begin, Pass::End] {
            let mut table: Option<Box<TableRecord>> = None;
            let mut things = std::pin::pin!(self.things(hdfs, &records));
            while let Some(thing) = things.try_next().await? {
                if cx.cancel().is_cancelled() {
                    return Err(Failure::interrupted());
                }
                match thing {
                    Thing::Database(record) => {
                        if pass == Pass::Begin {
                            metastore.begin_database(&record, &self.shelter).await?;
                        }
                        database = Some(record);
                    }
                    Thing::Table(record) => {
                        let open = self.table(metastore, &record, pass).await?;
                        table = open.then_some(record);
                    }
                    Thing::Partitions(records) => {
                        if let Some(table) = &table {
                            match pass {
                                Pass::Begin => metastore.begin_partitions(table, &records).await?,
                                Pass::End => metastore.end_partitions(table, &records).await?,
                            }
                        }
                    }
                    Thing::Function(record) => {
                        if metastore.like_function(&record).await? == Likeness::Missing {
                            metastore.make_function(&record).await?;
                        }
                    }
                }
                count += 1;
                cx.progress(count, None, "definitions");
            }
        }
        let database = database.ok_or_else(|| gone(&self.record))?;
        metastore.end_database(&database).await?;
        Ok(json!({ "definitions": count / 2 }))
    }

    /// Makes the table, or makes it whole; whether its partitions are to be dealt with as well.
    async fn table(
        &self,
        metastore: &Metastore,
        record: &TableRecord,
        pass: Pass,
    ) -> Result<bool, Failure> {
        let like = metastore.like_table(record).await?;
        match (pass, like) {
            (_, Likeness::Different(how)) => Err(Failure::drifted(format!(
                "{}.{} is there, and differs from the record: {how}",
                self.name,
                record.name()
            ))),
            (Pass::Begin, Likeness::Missing) => {
                metastore.begin_table(record).await?;
                Ok(true)
            }
            // Partitions of a whole table are made with it, or are somebody else's business.
            (Pass::Begin, Likeness::Same) => Ok(false),
            (Pass::End, Likeness::Unfinished) => {
                metastore.end_table(record).await?;
                Ok(true)
            }
            (Pass::Begin, Likeness::Unfinished)
            | (Pass::End, Likeness::Missing | Likeness::Same) => Ok(true),
        }
    }

    /// What the records have of this database, in their order, each thing as the first that has
    /// it says. Anything about another one that pretends to be of this one is a damaged record.
    fn things<'a>(
        &'a self,
        hdfs: &Hdfs,
        records: &[&str],
    ) -> impl futures::Stream<Item = Result<Thing, Failure>> + Send + use<'a> {
        let (hdfs, records) = (hdfs.clone(), records.iter().map(|&path| path.to_owned()));
        let lines = futures::stream::iter(records.collect::<Vec<_>>()).flat_map(move |path| {
            let at = path.clone();
            let line = move |line| (path.clone(), line);
            lines::<Definitions>(&hdfs, &at).map_ok(line)
        });
        // The last batch is handed on when they have ended, and they are asked once more.
        let lines = Box::pin(lines.fuse());
        futures::stream::try_unfold(
            (lines, Known::default(), None::<Thing>),
            move |(mut lines, mut known, next)| async move {
                if let Some(next) = next {
                    return Ok(Some((next, (lines, known, None))));
                }
                let mut batch = Vec::new();
                loop {
                    let Some((path, line)) = lines.try_next().await? else {
                        let rest = (!batch.is_empty()).then_some(Thing::Partitions(batch));
                        return Ok(rest.map(|rest| (rest, (lines, known, None))));
                    };
                    let thing = match self.thing(&path, line, &mut known)? {
                        None => continue,
                        Some(Thing::Partitions(more)) => {
                            batch.extend(more);
                            if batch.len() < BATCH {
                                continue;
                            }
                            return Ok(Some((Thing::Partitions(batch), (lines, known, None))));
                        }
                        Some(thing) => thing,
                    };
                    return Ok(Some(if batch.is_empty() {
                        (thing, (lines, known, None))
                    } else {
                        (Thing::Partitions(batch), (lines, known, Some(thing)))
                    }));
                }
            },
        )
    }

    /// One line of the record at `path`, if it is of this database and nobody has it yet.
    fn thing(
        &self,
        path: &str,
        line: Definitions,
        known: &mut Known,
    ) -> Result<Option<Thing>, Failure> {
        let damaged = |what: &str| {
            Failure::new(
                format!("{path}: {what}"),
                "the record is damaged; look at it".to_owned(),
            )
        };
        Ok(match line {
            Definitions::Database { database, .. } if database.name != self.name => None,
            Definitions::Database { thrift, .. } => {
                let thrift = thrift.ok_or_else(|| damaged("an older version wrote it"))?;
                let record = DatabaseRecord::decode(&thrift)?;
                if record.name() != self.name || record.owner() != self.owner {
                    return Err(damaged("the database is another's"));
                }
                let new = !std::mem::replace(&mut known.database, true);
                new.then_some(Thing::Database(record))
            }
            Definitions::Table { table } if table.database != self.name => None,
            Definitions::Table { table } => {
                let record = TableRecord::decode(&table.thrift)?;
                if record.database() != self.name || record.name() != table.name {
                    return Err(damaged("a table is another database's"));
                }
                known.new = known.tables.insert(table.name);
                known.table = Some(record.clone());
                known.new.then(|| Thing::Table(Box::new(record)))
            }
            Definitions::Partition { database, .. } if database != self.name => None,
            Definitions::Partition { partition, .. } => {
                let record = PartitionRecord::decode(&partition.thrift)?;
                if !known
                    .table
                    .as_ref()
                    .is_some_and(|table| record.is_of(table))
                {
                    return Err(damaged("a partition is another table's"));
                }
                known.new.then(|| Thing::Partitions(vec![record]))
            }
            Definitions::Function { database, .. } if database != self.name => None,
            Definitions::Function { function, .. } => {
                let record = FunctionRecord::decode(&function)?;
                if record.database() != self.name {
                    return Err(damaged("a function is another database's"));
                }
                let new = known.functions.insert(record.name().to_owned());
                new.then_some(Thing::Function(record))
            }
        })
    }

    pub(in crate::actions) fn paths(&self) -> Vec<&str> {
        let records = self.records();
        let paths = records.flat_map(|record| [record.staged.as_str(), &record.settled]);
        paths.chain([self.shelter.as_str()]).collect()
    }

    pub(in crate::actions) fn summary(&self) -> String {
        format!(
            "make the database {} of {} again, with its {} tables; no file is touched",
            self.name, self.owner, self.tables
        )
    }
}
