//! The copy: one snapshot of production, into the database beside staging. All or nothing,
//! and begun anew when it was cut short.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use serde_json::{Value, json};

use super::mark::{self, Stage};
use super::swap::{fingerprint, staying};
use super::{Databases, Place, Sync};
use crate::engine::{Cx, Failure, State};
use crate::services::sql::copy::{self, Job, Phase, Progress, Watch};
use crate::services::sql::schema::Schema;
use crate::services::sql::snapshot::Mode;

/// What is copied. Fails unless it is what was planned: `was` is the digest of its definitions,
/// and nothing has come since that cannot be copied.
async fn planned(databases: &Databases, from: &Place, was: &str) -> Result<Schema, Failure> {
    let mut connection = databases.connect(from).await?;
    let schema = Schema::read(&mut connection, &from.database).await?;
    connection.close().await;
    let schema = schema.ok_or_else(|| Failure::drifted(format!("{from} is gone")))?;
    if let Some(obstacle) = schema.obstacles.first() {
        let why = format!("what cannot be copied has come to {from}: {obstacle}");
        return Err(Failure::drifted(why));
    }
    if schema.hash() != was {
        let why = format!("the tables of {from} are not defined as they were");
        return Err(Failure::drifted(why));
    }
    Ok(schema)
}

pub(super) async fn observe(
    databases: &Databases,
    sync: &Sync,
    from: &Place,
    was: &str,
) -> Result<State, Failure> {
    let mut connection = databases.connect(&sync.target).await?;
    let done = mark::anywhere(&mut connection, sync, Stage::Copied).await?;
    let found = fingerprint(&mut connection, &sync.target.new()).await?;
    let staying = staying(&mut connection, &sync.target).await?;
    connection.close().await;
    if done {
        return Ok(State::Done);
    }
    if let Some(why) = staying {
        // The cut-over could not be: so long a work for nothing.
        return Ok(State::Drifted(why));
    }
    if found.starts_with("names ") {
        return Ok(State::Drifted(format!(
            "{} holds what is no copy of ours",
            sync.target.new()
        )));
    }
    match planned(databases, from, was).await {
        Ok(_) => Ok(State::Pending),
        Err(failure) if failure.is_drift() => Ok(State::Drifted(failure.to_string())),
        Err(failure) => Err(failure),
    }
}

pub(super) async fn apply(
    databases: &Databases,
    sync: &Sync,
    (from, was): (&Place, &str),
    schema_only: &[String],
    (snapshot, streams): (Mode, usize),
    cx: &Cx,
) -> Result<Value, Failure> {
    let new = sync.target.new();
    let source = databases.server(&from.server)?;
    let target = databases.server(&new.server)?;
    let schema = planned(databases, from, was).await?;
    let sizes: HashMap<String, u64> = schema
        .tables
        .iter()
        .map(|table| (table.name.clone(), table.data_bytes))
        .collect();
    let watch = Watch {
        cancel: cx.cancel().clone(),
        progress: bars(cx.clone(), sizes),
    };
    let job = Job {
        source: source.clone(),
        schema: Arc::new(schema),
        target: target.clone(),
        database: new.database.clone(),
        schema_only: schema_only.iter().cloned().collect(),
        plan: sync.id.clone(),
        snapshot,
        streams,
    };
    let copied = copy::copy(&job, &watch).await?;
    let mut writer = target.connect().await?;
    let held = copied
        .held
        .map(|held| u64::try_from(held.as_millis()).unwrap_or(u64::MAX));
    let told = json!({
        "snapshot": copied.marker.position,
        "writers_held_up_milliseconds": held,
        "one_connection_because": copied.alone,
        "readers": copied.readers,
        "tables": copied.marker.tables,
        "sequences": copied.marker.sequences,
    });
    mark::begin(&mut writer, &new, &sync.id, &told).await?;
    writer.close().await;
    Ok(told)
}

/// A bar per table, and one of all.
fn bars(
    cx: Cx,
    sizes: HashMap<String, u64>,
) -> Arc<dyn Fn(&Progress<'_>) + Send + std::marker::Sync> {
    let done: Mutex<HashMap<String, u64>> = Mutex::default();
    let total = sizes.values().sum();
    Arc::new(move |progress: &Progress<'_>| {
        let of = sizes.get(progress.table).copied();
        // What the engine says is an estimate.
        let of = of.map(|of| of.max(progress.bytes));
        let table = cx.for_step(progress.table);
        table.progress(progress.bytes, of, "bytes");
        if progress.phase == Phase::Copy {
            let mut done = done.lock().unwrap_or_else(PoisonError::into_inner);
            done.insert(progress.table.to_owned(), progress.bytes);
            let sum: u64 = done.values().sum();
            cx.progress(sum, Some(sum.max(total)), "bytes");
        }
    })
}
