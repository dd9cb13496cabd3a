//! Staging's place: the atomic change of what stands there, and the databases beside it.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::mark::{self, Stage};
use super::{Databases, Place, Sync};
use crate::engine::plan::sha256_hex;
use crate::engine::{Cx, Failure, State};
use crate::services::sql::marker::{self, Contents};
use crate::services::sql::schema::{Obstacle, Schema};
use crate::services::sql::{Connection, Error, Object, quote_identifier};

/// How long a rename waits for the transactions that use a table: readers that come later
/// queue behind it meanwhile.
const LOCK_WAIT: u64 = 2;
/// How long it is tried again.
const PATIENCE: Duration = Duration::from_mins(2);
/// "Lock wait timeout exceeded"; "Query execution was interrupted (`max_statement_time`
/// exceeded)". Source: `MariaDB`, "Error Code Reference".
const LOCK_TIMEOUT: [u16; 2] = [1205, 1969];

/// What a database is: `empty`; the number of the copy that it is; else a digest of the
/// names in it.
pub async fn fingerprint(connection: &mut Connection, place: &Place) -> Result<String, Error> {
    let objects = connection.objects(&place.database).await?;
    if objects.is_empty() {
        return Ok("empty".to_owned());
    }
    Ok(match mark::copy_in(connection, place).await? {
        Some((id, true)) => format!("copy {id}"),
        Some((_, false)) => "half copy".to_owned(),
        None if is_half(connection, place).await? => "half copy".to_owned(),
        None => {
            let names: Vec<&str> = objects.iter().map(|object| &*object.name).collect();
            format!("names {}", sha256_hex(names.join("\0").as_bytes()))
        }
    })
}

/// Whether a run made the database and did not come to the end of its copy.
async fn is_half(connection: &mut Connection, place: &Place) -> Result<bool, Error> {
    let contents = marker::contents(connection, &place.database).await?;
    Ok(matches!(contents, Contents::Copy(_) | Contents::Empty))
}

pub(super) async fn observe_drop(
    databases: &Databases,
    sync: &Sync,
    was: &str,
) -> Result<State, Failure> {
    let mut connection = databases.connect(&sync.target).await?;
    // After the cut-over, what this copy replaced stands there.
    let after = mark::has(&mut connection, &sync.target, &sync.id, Stage::Checked).await?;
    let now = fingerprint(&mut connection, &sync.target.previous()).await?;
    let ready = mark::has(
        &mut connection,
        &sync.target.new(),
        &sync.id,
        Stage::Checked,
    )
    .await?;
    let staying = staying(&mut connection, &sync.target).await?;
    connection.close().await;
    Ok(if after || now == "empty" {
        State::Done
    } else if now != was {
        State::Drifted(format!("{} is not what it was", sync.target.previous()))
    } else if let Some(why) = staying {
        // It keeps the only way back, which is not given up for a cut-over that cannot be.
        State::Drifted(why)
    } else if ready {
        State::Pending
    } else {
        State::Waiting(sync.proof())
    })
}

/// What no rename would take along, and what to do about it.
pub(super) async fn staying(
    connection: &mut Connection,
    place: &Place,
) -> Result<Option<String>, Error> {
    let schema = Schema::read(connection, &place.database).await?;
    let mut obstacles = schema.into_iter().flat_map(|schema| schema.obstacles);
    Ok(obstacles
        .find(Obstacle::stays)
        .map(|one| format!("{place} cannot be renamed: {one}: {}", one.way_out())))
}

pub(super) async fn drop_previous(
    databases: &Databases,
    sync: &Sync,
    was: &str,
) -> Result<Value, Failure> {
    let previous = sync.target.previous();
    let mut connection = databases.connect(&previous).await?;
    connection.take_time();
    if !mark::has(
        &mut connection,
        &sync.target.new(),
        &sync.id,
        Stage::Checked,
    )
    .await?
    {
        return Err(Failure::drifted(format!("the {} is gone", sync.proof())));
    }
    if fingerprint(&mut connection, &previous).await? != was {
        return Err(Failure::drifted(format!("{previous} is not what it was")));
    }
    let dropped = clear(&mut connection, &previous).await?;
    connection.close().await;
    Ok(json!({ "dropped": dropped }))
}

/// Drops every table and sequence of one of the databases beside staging; the mark last,
/// so that what is left of a clearing that was cut short is still known for what it is.
pub(super) async fn clear(connection: &mut Connection, place: &Place) -> Result<usize, Error> {
    let what = format!("clearing {place}");
    connection
        .execute(
            &what,
            "SET SESSION foreign_key_checks = 0, lock_wait_timeout = 10",
            (),
        )
        .await?;
    let objects = connection.objects(&place.database).await?;
    let (marks, others): (Vec<_>, Vec<_>) = objects
        .iter()
        .partition(|object| marker::is_mark(&object.name));
    for object in others.iter().chain(&marks) {
        let kind = match &*object.kind {
            "SEQUENCE" => "SEQUENCE",
            "VIEW" => "VIEW",
            _ => "TABLE",
        };
        let name = qualified(place, object);
        let statement = format!("DROP {kind} IF EXISTS {name}");
        connection.execute(&what, &statement, ()).await?;
    }
    connection
        .execute(
            &what,
            "SET SESSION foreign_key_checks = DEFAULT, lock_wait_timeout = DEFAULT",
            (),
        )
        .await?;
    Ok(objects.len())
}

fn qualified(place: &Place, object: &Object) -> String {
    format!(
        "{}.{}",
        quote_identifier(&place.database),
        quote_identifier(&object.name)
    )
}

/// Makes a database beside staging, if there is none.
pub(super) async fn make(connection: &mut Connection, place: &Place) -> Result<(), Error> {
    connection
        .execute(
            &format!("making {place}"),
            &format!(
                "CREATE DATABASE IF NOT EXISTS {} CHARACTER SET utf8mb4 \
                 COLLATE utf8mb4_unicode_ci",
                quote_identifier(&place.database)
            ),
            (),
        )
        .await
        .map(drop)
}

pub(super) async fn observe_cut_over(
    databases: &Databases,
    sync: &Sync,
    was: &str,
) -> Result<State, Failure> {
    let target = &sync.target;
    let mut connection = databases.connect(target).await?;
    let done = mark::has(&mut connection, target, &sync.id, Stage::Checked).await?;
    let ready = mark::has(&mut connection, &target.new(), &sync.id, Stage::Checked).await?;
    let now = fingerprint(&mut connection, target).await?;
    let aside = fingerprint(&mut connection, &target.previous()).await?;
    let staying = staying(&mut connection, target).await?;
    connection.close().await;
    Ok(if done {
        State::Done
    } else if now != was {
        State::Drifted(format!(
            "{target} is not what it was: somebody else replaced it"
        ))
    } else if let Some(why) = staying {
        State::Drifted(why)
    } else if !ready {
        State::Waiting(sync.proof())
    } else if aside != "empty" {
        State::Waiting(format!("room in {}", target.previous()))
    } else {
        State::Pending
    })
}

pub(super) async fn cut_over(
    databases: &Databases,
    sync: &Sync,
    cx: &Cx,
) -> Result<Value, Failure> {
    let target = &sync.target;
    let mut connection = databases.connect(target).await?;
    connection.take_time();
    make(&mut connection, target).await?;
    make(&mut connection, &target.previous()).await?;
    let moves = [(target, &target.previous()), (&target.new(), target)];
    let told = rename(&mut connection, &moves, cx).await?;
    connection.close().await;
    Ok(told)
}

pub(super) async fn observe_back(
    databases: &Databases,
    target: &Place,
    now: &str,
    back: &str,
) -> Result<State, Failure> {
    let mut connection = databases.connect(target).await?;
    let here = fingerprint(&mut connection, target).await?;
    let aside = fingerprint(&mut connection, &target.previous()).await?;
    connection.close().await;
    Ok(if here == now && aside == back {
        State::Pending
    } else if here == back && aside == now {
        State::Done
    } else {
        State::Drifted(format!(
            "{target} or {} is not what it was",
            target.previous()
        ))
    })
}

pub(super) async fn back(databases: &Databases, target: &Place, cx: &Cx) -> Result<Value, Failure> {
    let mut connection = databases.connect(target).await?;
    connection.take_time();
    let (new, previous) = (target.new(), target.previous());
    // Somebody may have dropped it.
    make(&mut connection, target).await?;
    make(&mut connection, &new).await?;
    match &*fingerprint(&mut connection, &new).await? {
        "empty" => {}
        // What a dead run left.
        "half copy" => drop(clear(&mut connection, &new).await?),
        _ => return Err(Failure::drifted(format!("{new} is in the way"))),
    }
    let moves = [(target, &new), (&previous, target), (&new, &previous)];
    let told = rename(&mut connection, &moves, cx).await?;
    connection.close().await;
    Ok(told)
}

/// Moves all of several databases in one atomic statement, in this order. Source: `MariaDB`,
/// "Atomic DDL", "RENAME TABLE".
async fn rename(
    connection: &mut Connection,
    moves: &[(&Place, &Place)],
    cx: &Cx,
) -> Result<Value, Failure> {
    let begun = Instant::now();
    let mut tries = 0_u32;
    loop {
        if cx.cancel().is_cancelled() {
            return Err(Failure::interrupted());
        }
        tries += 1;
        let statement = renaming(connection, moves).await?;
        let what = format!("renaming {} to {}", moves[0].0, moves[0].1);
        connection
            .execute(
                &what,
                // It waits for one table after the other, for each so long, and holds those that it
                // has: the statement's time is that of all together. It is heeded while it waits;
                // a rename that has begun is done to its end.
                &format!(
                    "SET SESSION lock_wait_timeout = {LOCK_WAIT}, max_statement_time = {LOCK_WAIT}"
                ),
                (),
            )
            .await?;
        let at = Instant::now();
        match connection.execute(&what, &statement, ()).await {
            Ok(_) => {
                let took = u64::try_from(at.elapsed().as_millis()).unwrap_or(u64::MAX);
                return Ok(json!({ "tries": tries, "milliseconds": took }));
            }
            Err(error) if is_late(&error) && begun.elapsed() < PATIENCE => {
                // Those who queued behind it go first.
                tokio::time::sleep(Duration::from_millis(500)).await;
            }
            Err(error) if is_late(&error) => {
                return Err(Failure::new(
                    error,
                    "a transaction on staging stays open: end it (SHOW PROCESSLIST), then run \
                     again"
                        .to_owned(),
                ));
            }
            Err(error) => return Err(error.into()),
        }
    }
}

fn is_late(error: &Error) -> bool {
    error
        .code()
        .is_some_and(|code| LOCK_TIMEOUT.contains(&code))
}

/// The statement; what a database holds is what the moves before have left in it.
async fn renaming(
    connection: &mut Connection,
    moves: &[(&Place, &Place)],
) -> Result<String, Error> {
    let mut holds: Vec<(Place, Vec<Object>)> = Vec::new();
    let mut parts = Vec::new();
    for (from, to) in moves {
        let earlier = holds.iter().position(|(place, _)| place == *from);
        let objects = match earlier {
            Some(index) => holds.swap_remove(index).1,
            None => connection.objects(&from.database).await?,
        };
        for object in &objects {
            parts.push(format!(
                "{} TO {}",
                qualified(from, object),
                qualified(to, object)
            ));
        }
        holds.push(((*to).clone(), objects));
    }
    Ok(format!("RENAME TABLE {}", parts.join(", ")))
}
