//! The mark inside a copy: which copy it is, and which stages it has been through. It is a
//! table of the copy's own and moves with it, so that a half copy is never taken for one.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{Databases, Place, Sync};
use crate::engine::plan::sha256_hex;
use crate::engine::{Failure, State};
use crate::services::sql::marker::{self, Position};
use crate::services::sql::{Connection, Error, quote_identifier};

/// What a copy has been through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    Copied,
    Rewritten,
    Checked,
}

impl Stage {
    fn name(self) -> &'static str {
        match self {
            Self::Copied => "copied",
            Self::Rewritten => "rewritten",
            Self::Checked => "checked",
        }
    }
}

fn table(place: &Place) -> String {
    format!(
        "{}.{}",
        quote_identifier(&place.database),
        quote_identifier(marker::STAGES)
    )
}

/// Marks a copy that was just made.
pub(super) async fn begin(
    connection: &mut Connection,
    place: &Place,
    id: &str,
    told: &Value,
) -> Result<(), Error> {
    let what = format!("marking {place}");
    connection
        .execute(
            &what,
            &format!(
                "CREATE TABLE {} (id VARCHAR(64) NOT NULL, stage VARCHAR(80) NOT NULL, \
                 at TIMESTAMP NOT NULL DEFAULT CURRENT_TIMESTAMP, detail LONGTEXT, \
                 PRIMARY KEY (id, stage)) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4",
                table(place)
            ),
            (),
        )
        .await?;
    set(connection, place, id, Stage::Copied, told).await
}

/// Notes that a stage is done; inside a transaction, with it.
pub(super) async fn set(
    connection: &mut Connection,
    place: &Place,
    id: &str,
    stage: Stage,
    detail: &Value,
) -> Result<(), Error> {
    put(connection, place, id, stage.name(), detail).await
}

async fn put(
    connection: &mut Connection,
    place: &Place,
    id: &str,
    stage: &str,
    detail: &Value,
) -> Result<(), Error> {
    connection
        .execute(
            &format!("marking {place} as {stage}"),
            &format!(
                "REPLACE INTO {} (id, stage, detail) VALUES (?, ?, ?)",
                table(place)
            ),
            (id, stage, detail.to_string()),
        )
        .await
        .map(drop)
}

/// "Unknown database" and "Table doesn't exist". Source: `MariaDB`, "Error Code Reference".
const ABSENT: [u16; 2] = [1049, 1146];

/// The stages of that copy which the database tells of; none when it is another's.
async fn stages(
    connection: &mut Connection,
    place: &Place,
    id: &str,
) -> Result<BTreeSet<String>, Error> {
    let rows: Result<Vec<String>, Error> = connection
        .rows(
            &format!("the mark of {place}"),
            &format!("SELECT stage FROM {} WHERE id = ?", table(place)),
            (id,),
        )
        .await;
    match rows {
        Ok(rows) => Ok(rows.into_iter().collect()),
        Err(error) if error.code().is_some_and(|code| ABSENT.contains(&code)) => {
            Ok(BTreeSet::new())
        }
        Err(error) => Err(error),
    }
}

/// The copy that the database is, if it is one: its number, and whether it is complete.
pub(super) async fn copy_in(
    connection: &mut Connection,
    place: &Place,
) -> Result<Option<(String, bool)>, Error> {
    let rows: Result<Vec<(String, String)>, Error> = connection
        .rows(
            &format!("the mark of {place}"),
            &format!("SELECT id, stage FROM {}", table(place)),
            (),
        )
        .await;
    match rows {
        Ok(rows) => {
            let id = rows.first().map(|(id, _)| id.clone());
            let complete = rows.iter().any(|(_, stage)| stage == Stage::Checked.name());
            Ok(Some((id.unwrap_or_default(), complete)))
        }
        Err(error) if error.code().is_some_and(|code| ABSENT.contains(&code)) => Ok(None),
        Err(error) => Err(error),
    }
}

/// How a copy was read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reading {
    /// The moment that it shows.
    pub snapshot: Option<Position>,
    /// How long production's writers may have waited for it at most; `None`: not at all.
    pub writers_held_up_milliseconds: Option<u64>,
    /// Why one connection read although more were asked for.
    pub one_connection_because: Option<String>,
    /// How many connections read.
    pub readers: usize,
}

/// How the copy that the database is was read; `None` for one that is no copy.
pub async fn reading(connection: &mut Connection, place: &Place) -> Result<Option<Reading>, Error> {
    let rows: Result<Vec<String>, Error> = connection
        .rows(
            &format!("the mark of {place}"),
            &format!("SELECT detail FROM {} WHERE stage = ?", table(place)),
            (Stage::Copied.name(),),
        )
        .await;
    match rows {
        // One that cannot be understood is of another version of this tool.
        Ok(rows) => Ok(rows.iter().find_map(|text| serde_json::from_str(text).ok())),
        Err(error) if error.code().is_some_and(|code| ABSENT.contains(&code)) => Ok(None),
        Err(error) => Err(error),
    }
}

pub(super) async fn has(
    connection: &mut Connection,
    place: &Place,
    id: &str,
    stage: Stage,
) -> Result<bool, Error> {
    Ok(stages(connection, place, id).await?.contains(stage.name()))
}

/// Whether the copy, wherever it is by now, has been through the stage.
pub(super) async fn anywhere(
    connection: &mut Connection,
    sync: &Sync,
    stage: Stage,
) -> Result<bool, Error> {
    let target = &sync.target;
    for place in [target.new(), target.clone(), target.previous()] {
        if has(connection, &place, &sync.id, stage).await? {
            return Ok(true);
        }
    }
    Ok(false)
}

/// A stage that follows another one.
pub(super) async fn observe(
    databases: &Databases,
    sync: &Sync,
    stage: Stage,
    after: Stage,
) -> Result<State, Failure> {
    let mut connection = databases.connect(&sync.target).await?;
    let found = if anywhere(&mut connection, sync, stage).await? {
        State::Done
    } else if has(&mut connection, &sync.target.new(), &sync.id, after).await? {
        State::Pending
    } else {
        State::Waiting(format!("{} {}", sync.target.new(), after.name()))
    };
    connection.close().await;
    Ok(found)
}

/// The stage of a follow-up.
fn follow_up_stage((number, command): (usize, &[String])) -> String {
    // The words with a byte between them that none of them can hold.
    format!("ran {number} {}", sha256_hex(command.join("\0").as_bytes()))
}

pub(super) async fn observe_follow_up(
    databases: &Databases,
    sync: &Sync,
    command: (usize, &[String]),
) -> Result<State, Failure> {
    let mut connection = databases.connect(&sync.target).await?;
    let seen = stages(&mut connection, &sync.target, &sync.id).await?;
    connection.close().await;
    Ok(if seen.contains(&follow_up_stage(command)) {
        State::Done
    } else if seen.is_empty() {
        State::Waiting(format!("the copy in {}", sync.target))
    } else {
        State::Pending
    })
}

pub(super) async fn follow_up(
    databases: &Databases,
    sync: &Sync,
    command: (usize, &[String]),
) -> Result<(), Failure> {
    let mut connection = databases.connect(&sync.target).await?;
    let stage = follow_up_stage(command);
    put(
        &mut connection,
        &sync.target,
        &sync.id,
        &stage,
        &Value::Null,
    )
    .await?;
    connection.close().await;
    Ok(())
}
