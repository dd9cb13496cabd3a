//! A database copied from one snapshot into another database, on the same server or another,
//! and compared with what was read.
//!
//! The rows of each table are read in pieces by the snapshot's connections and written by as
//! many others as there are streams: a single reader keeps them all busy, as writing is what
//! takes the time. What is held in memory is bounded whatever the sizes of tables.

mod encode;
mod load;
mod read;
mod work;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

pub use load::Method;
pub(super) use read::Form;

use super::marker::{self, Contents, Marker, Position, Stage};
use super::schema::{Schema, next_number, qualified};
use super::{Connection, Error, Server, quote_identifier, snapshot};
use work::Work;

/// What is copied to where.
#[derive(Clone, Debug)]
pub struct Job {
    /// The server to read from.
    pub source: Server,
    /// The database to read, as it was found when the plan was made.
    pub schema: Arc<Schema>,
    /// The server to write to.
    pub target: Server,
    /// The database to write: absent, empty, or an earlier copy, which is dropped.
    pub database: String,
    /// The tables whose rows stay behind.
    pub schema_only: BTreeSet<String>,
    /// The plan's hash, for the mark.
    pub plan: String,
    /// How the snapshot is taken.
    pub snapshot: snapshot::Mode,
    /// How many connections write, and read where the snapshot can be shared.
    pub streams: usize,
}

/// What a copy has become.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Copied {
    /// The mark that it bears now.
    pub marker: Marker,
    /// As [`snapshot::Snapshot::held`].
    pub held: Option<Duration>,
    /// As [`snapshot::Snapshot::alone`].
    pub alone: Option<String>,
    /// How many connections read.
    pub readers: usize,
    /// How rows were written.
    pub method: Method,
}

/// How far a copy is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress<'a> {
    /// What is being done.
    pub phase: Phase,
    /// To which table.
    pub table: &'a str,
    /// How many of its rows are done.
    pub rows: u64,
    /// How many bytes of values these have; [`super::schema::Table::data_bytes`] is about the
    /// whole.
    pub bytes: u64,
}

/// What is being done to a table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Its rows are being copied.
    Copy,
    /// Its copy is being read again.
    Check,
}

/// Who is told of progress, and who may stop it.
#[derive(Clone)]
pub struct Watch {
    /// When this is cancelled, the copy stops with [`Error::Cancelled`]; what was begun stays
    /// and is known as half.
    pub cancel: CancellationToken,
    /// Called after every piece and some thousand rows; must not block.
    pub progress: Arc<dyn Fn(&Progress<'_>) + Send + Sync>,
}

impl Watch {
    /// Nobody is told.
    pub fn silent(cancel: CancellationToken) -> Self {
        let progress = Arc::new(|_: &Progress<'_>| {});
        Self { cancel, progress }
    }

    fn stop(&self, what: &str) -> Result<(), Error> {
        if self.cancel.is_cancelled() {
            let what = what.to_owned();
            return Err(Error::Cancelled { what });
        }
        Ok(())
    }
}

/// Copies: drops what a former copy left, makes the tables, copies the rows of one snapshot,
/// reads them again, and marks the copy as [`Stage::Copied`].
///
/// # Errors
/// [`Error::NotOurs`] when the target database is none that may be dropped;
/// [`Error::Changed`] when the source's definitions are others than `job.schema`'s;
/// [`Error::Inexact`] and [`Error::Differs`] when rows did not arrive as they were.
pub async fn copy(job: &Job, watch: &Watch) -> Result<Copied, Error> {
    let about = format!("copying {}", job.schema.database);
    let mut target = job.target.connect().await?;
    target.take_time();
    if marker::contents(&mut target, &job.database).await? == Contents::Foreign {
        return Err(Error::NotOurs {
            server: job.target.name(),
            database: job.database.clone(),
        });
    }
    marker::drop_database(&mut target, &job.database).await?;
    let mut marker = Marker {
        plan: job.plan.clone(),
        stage: Stage::Copying,
        source: job.source.identity().await?,
        database: job.schema.database.clone(),
        position: None,
        tables: BTreeMap::new(),
        sequences: BTreeMap::new(),
    };
    create(&mut target, job, &marker).await?;
    watch.stop(&about)?;

    let tables: Vec<_> = job
        .schema
        .tables
        .iter()
        .filter(|table| !job.schema_only.contains(&table.name))
        .collect();
    let names: Vec<_> = tables.iter().map(|table| table.name.clone()).collect();
    let mut taken = snapshot::take(
        &job.source,
        &job.schema.database,
        &names,
        job.snapshot,
        job.streams,
        &watch.cancel,
    )
    .await?;
    // On a connection of its own: the snapshot's ask for text as it is stored.
    let mut source = job.source.connect().await?;
    let now = Schema::read(&mut source, &job.schema.database).await?;
    if now.map(|now| now.hash()) != Some(job.schema.hash()) {
        return Err(Error::Changed {
            server: job.source.name(),
            database: job.schema.database.clone(),
        });
    }
    // After the snapshot: no number in a copied row is given out again.
    for sequence in &job.schema.sequences {
        let next = next_number(&mut source, &job.schema.database, &sequence.name).await?;
        marker.sequences.insert(sequence.name.clone(), next);
        set_sequence(&mut target, &job.database, &sequence.name, next).await?;
    }
    source.close().await;

    let readers = taken.connections.len();
    let mut pieces = Vec::new();
    if let Some(first) = taken.connections.first_mut() {
        for table in tables {
            pieces.push(work::Pieces::of(first, &job.schema.database, table).await?);
        }
    }
    let work = Work::new(job, watch, pieces);
    let (sums, method) = work.copy(taken.connections).await?;
    let found = work.check(&sums).await?;
    marker.tables = sums;
    marker.position = Some(taken.position);
    marker.stage = Stage::Copied;
    let mut differences = found;
    differences.extend(definitions_differ(&mut target, job).await?);
    differences.extend(sequences_differ(&mut target, &job.database, &marker).await?);
    if !differences.is_empty() {
        return Err(Error::Differs {
            server: job.target.name(),
            database: job.database.clone(),
            differences,
        });
    }
    marker::write(&mut target, &job.database, &marker).await?;
    target.close().await;
    Ok(Copied {
        marker,
        held: taken.held,
        alone: taken.alone,
        readers,
        method,
    })
}

/// Makes the database, its mark, and all tables and sequences without rows.
async fn create(target: &mut Connection, job: &Job, marker: &Marker) -> Result<(), Error> {
    let about = format!("making {}", job.database);
    let database = quote_identifier(&job.database);
    let Schema {
        charset, collation, ..
    } = &*job.schema;
    let statements = [
        format!("CREATE DATABASE {database} CHARACTER SET {charset} COLLATE {collation}"),
        format!("USE {database}"),
        // Tables are made in the order of their names, whatever refers to what.
        // What the source once took, the target has to take: impossible dates as defaults, row
        // formats that InnoDB passes over.
        "SET SESSION sql_mode = 'NO_ENGINE_SUBSTITUTION,ALLOW_INVALID_DATES', \
         innodb_strict_mode = 0, foreign_key_checks = 0"
            .to_owned(),
    ];
    let mut statements = statements.into_iter();
    if let Some(create) = statements.next() {
        target.execute(&about, &create, ()).await?;
    }
    marker::write(target, &job.database, marker).await?;
    for statement in statements {
        target.execute(&about, &statement, ()).await?;
    }
    let sequences = job.schema.sequences.iter();
    let sequences = sequences.map(|sequence| (&sequence.name, &sequence.create));
    let tables = job.schema.tables.iter();
    let tables = tables.map(|table| (&table.name, &table.create));
    for (name, create) in sequences.chain(tables) {
        let about = format!("making {}.{name}", job.database);
        target.execute(&about, create, ()).await?;
    }
    Ok(())
}

async fn set_sequence(
    target: &mut Connection,
    database: &str,
    sequence: &str,
    next: i64,
) -> Result<(), Error> {
    let about = format!("setting the sequence {database}.{sequence}");
    let name = qualified(database, sequence);
    let statement = format!("DO SETVAL({name}, {next}, 0)");
    target.execute(&about, &statement, ()).await?;
    if next_number(target, database, sequence).await? == next {
        return Ok(());
    }
    // SETVAL never goes back, and one that has begun anew may stand below its first number.
    let statement = format!("ALTER SEQUENCE {name} RESTART WITH {next}");
    target.execute(&about, &statement, ()).await.map(drop)
}

/// Compares the copy's definitions with the source's.
async fn definitions_differ(target: &mut Connection, job: &Job) -> Result<Vec<String>, Error> {
    let copy = Schema::read(target, &job.database).await?;
    let Some(copy) = copy else {
        return Ok(vec!["the database is gone".to_owned()]);
    };
    let names = job.schema.differing(&copy).into_iter();
    Ok(names
        .map(|name| format!("{name} is defined in another way"))
        .collect())
}

async fn sequences_differ(
    target: &mut Connection,
    database: &str,
    marker: &Marker,
) -> Result<Vec<String>, Error> {
    let mut differences = Vec::new();
    for (name, expected) in &marker.sequences {
        let next = next_number(target, database, name).await?;
        if next != *expected {
            differences.push(format!("{name} goes on with {next}, not {expected}"));
        }
    }
    Ok(differences)
}

/// The position of a copy's snapshot, in one line.
impl std::fmt::Display for Position {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} UTC", self.taken)?;
        match &self.binlog {
            Some(binlog) => write!(f, ", {binlog}"),
            None => Ok(()),
        }
    }
}
